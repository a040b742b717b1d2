"""What the demo shows: three orders side by side while they scan, then how they compare.

Without a terminal (a pipe, a CI log) only lines are printed: no animation, no control characters.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

# What one evaluation takes in the demo's figures; nothing is evaluated in it.
EVALUATION_S = 0.25
_BLOCKS = " ▁▂▃▄▅▆▇█"
_WIDTH = 30  # letters of a curve
_FRAMES_PER_S = 12
_STYLES = {"scanrank": "bold green"}

Show = Callable[[str, Mapping[str, NDArray[np.bool_]], float], None]


@dataclass
class OrderTrace:
    """What one order found, scan by scan.

    Attributes
    ----------
    hits : list of bool array, each of shape (n_symbols,)
        Of each scan, in the order of the visits.
    """

    hits: list[NDArray[np.bool_]] = field(default_factory=list)

    def found_in(self, share: float) -> float:
        """Mean share of the hits found in the first `share` of the symbols."""
        shares = [
            hits[: math.ceil(share * len(hits))].sum() / hits.sum() for hits in self._with_hits
        ]
        return float(np.mean(shares)) if shares else math.nan

    def seconds_to(self, share: float) -> float:
        """Mean seconds until this share of the hits was found, one evaluation after another."""
        places = [
            np.flatnonzero(hits)[max(math.ceil(share * hits.sum()), 1) - 1]
            for hits in self._with_hits
        ]
        return EVALUATION_S * (float(np.mean(places)) + 1.0) if places else math.nan

    @property
    def _with_hits(self) -> list[NDArray[np.bool_]]:
        """Scans that have a hit; the others have no share and no time."""
        return [hits for hits in self.hits if hits.any()]


class DemoView:
    """The demo's screen.

    Parameters
    ----------
    console : Console
    market : "real" or "simulated"
        Stands on every screen: a simulated market must never pass for a real one.
    n_symbols : int
    """

    def __init__(self, console: Console, market: str, n_symbols: int) -> None:
        self._console = console
        kind = "real scans" if market == "real" else "SIMULATED scans"
        self.title = f"{kind} of {n_symbols} symbols"

    def say(self, text: str, style: str = "") -> None:
        """Print a paragraph."""
        self._console.print(Text(text, style=style))

    def introduce(self, dates: NDArray[np.datetime64], n_learned: int) -> None:
        """Say what is shown."""
        self.say(f"scanrank demo · {self.title}, {dates[0]} to {dates[-1]}", "bold")
        self.say(
            "A symbol is high-value if its rating is in the day's top 5%. scanrank knows the "
            f"previous day, learns from {n_learned} scans, and then replays the last "
            f"{len(dates) - n_learned} live."
        )

    @contextmanager
    def learning(self, n_scans: int) -> Iterator[Callable[[], None]]:
        """Show a bar; the block calls what it is given after every scan."""
        with Progress(
            TextColumn("learning"), BarColumn(bar_width=None), MofNCompleteColumn(),
            console=self._console, transient=True, disable=not self._console.is_terminal,
        ) as progress:  # fmt: skip
            task = progress.add_task("", total=n_scans)
            yield lambda: progress.advance(task)

    @contextmanager
    def replaying(self, traces: Mapping[str, OrderTrace], speed: float) -> Iterator[Show]:
        """Show scans in which all orders run at the same time; the block calls for each."""
        if not self._console.is_terminal:
            yield self._line
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as live:

            def show(name: str, found: Mapping[str, NDArray[np.bool_]], seconds: float) -> None:
                n_frames = max(int(seconds * _FRAMES_PER_S), 1)
                for frame in range(1, n_frames + 1):
                    live.update(
                        self._picture(name, found, frame / n_frames, traces, speed), refresh=True
                    )
                    time.sleep(seconds / n_frames)

            yield show

    def compare(self, traces: Mapping[str, OrderTrace]) -> None:
        """Print the closing table: one row per order, means over the scans."""
        table = _table(f"Means over {len(traces['scanrank'].hits)} {self.title}")
        for heading in ("first 10%", "first 25%", "first hit", "80% found"):
            table.add_column(heading, justify="right")
        for name, trace in traces.items():
            table.add_row(
                name,
                f"{trace.found_in(0.10):.0%}",
                f"{trace.found_in(0.25):.0%}",
                f"{trace.seconds_to(0.0):.1f} s",
                f"{trace.seconds_to(0.8):.0f} s",
                style=_STYLES.get(name, ""),
            )
        self._console.print(table)

    def _line(self, name: str, found: Mapping[str, NDArray[np.bool_]], _seconds: float) -> None:
        early = ", ".join(
            f"{order} {hits[: -(-len(hits) // 10)].sum()}" for order, hits in found.items()
        )
        n_hits = int(next(iter(found.values())).sum())
        self.say(f"{name.partition(' ')[0]} in the first 10%, of {n_hits}: {early}")

    def _picture(
        self,
        name: str,
        found: Mapping[str, NDArray[np.bool_]],
        share: float,
        traces: Mapping[str, OrderTrace],
        speed: float,
    ) -> RenderableType:
        table = _table(f"{name} · {self.title} · {speed:.0f} times real time")
        table.add_column("share found, over the universe")
        table.add_column("found", justify="right")
        table.add_column("10% before", justify="right")
        for order, hits in found.items():
            n = round(share * len(hits))
            before = traces[order]
            table.add_row(
                order,
                _curve(hits, n),
                f"{hits[:n].sum()} of {hits.sum()}",
                f"{before.found_in(0.10):.0%}" if before.hits else "",
                style=_STYLES.get(order, ""),
            )
        return table


def _table(title: str) -> Table:
    table = Table(title=title, title_style="bold", title_justify="left", box=None, pad_edge=False)
    table.add_column("order")
    return table


def _curve(hits: NDArray[np.bool_], n: int) -> str:
    """The recall after each thirtieth of the universe, as far as `n` symbols reach.

    Examples
    --------
    >>> _curve(np.array([True, True] + [False] * 28), 15)
    '▄██████████████               '
    """
    ends = np.linspace(0, len(hits), _WIDTH + 1)[1:].astype(int)
    recall = np.cumsum(hits)[ends - 1] / max(hits.sum(), 1)
    cells = [_BLOCKS[round(8 * share)] for share, end in zip(recall, ends, strict=True) if end <= n]
    return "".join(cells).ljust(_WIDTH)
