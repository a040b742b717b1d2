"""Shows a scan while it runs in this process: a live picture on a terminal, else lines of a log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn

from scanner_adapter.inputs.outcomes import Outcome
from scanner_adapter.live.screen import line_text, screen
from scanner_adapter.live.status import LiveStatus

if TYPE_CHECKING:
    from scanner_adapter.run.pipeline import OnResult
    from scanner_adapter.scan.scan import Scan

# Between two lines of a log.
LINE_S = 10.0
REFRESHES_PER_S = 4


@contextmanager
def shown(scan: Scan, console: Console | None = None) -> Iterator[OnResult]:
    """Show `scan` inside the block, on the error stream by default.

    Yields
    ------
    on_result : callable
        For `Scan.run`. What was evaluated counts at once, not only when its batch is reported.
    """
    console = console or Console(stderr=True, highlight=False)
    shows = _Shown(scan, console)
    if not console.is_terminal:
        yield shows.log_result
        return
    with Live(
        console=console,
        get_renderable=shows.picture,
        refresh_per_second=REFRESHES_PER_S,
        transient=True,
        # A picture that is higher than the terminal would leave its top lines behind.
        vertical_overflow="crop",
    ):
        yield shows.count_result


def progress_bar(*columns: str | ProgressColumn) -> Progress:
    """Return a bar on the error stream, so that the output stays clean for a pipe.

    Parameters
    ----------
    columns : str or ProgressColumn
        Shown after the counter.
    """
    errors = Console(stderr=True)
    return Progress(
        "{task.description}", BarColumn(bar_width=None), MofNCompleteColumn(), *columns,
        console=errors, transient=True, disable=not errors.is_terminal,
    )  # fmt: skip


class _Shown:
    """What was evaluated of a scan, and its pictures."""

    def __init__(self, scan: Scan, console: Console) -> None:
        self._scan = scan
        self._console = console
        self._n_evaluated = scan.n_scanned
        self._next_line = time.monotonic() + LINE_S

    def count_result(self, _symbol: str, _outcome: Outcome) -> None:
        self._n_evaluated += 1

    def log_result(self, _symbol: str, _outcome: Outcome) -> None:
        self._n_evaluated += 1
        if time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_S
            self._console.print(line_text(self._status()), markup=False, soft_wrap=True)

    def picture(self) -> RenderableType:
        width, height = self._console.size
        return screen(self._status(), now=time.time(), width=width, height=height)

    def _status(self) -> LiveStatus:
        status = self._scan.status()
        return replace(status, n_scanned=max(status.n_scanned, self._n_evaluated))
