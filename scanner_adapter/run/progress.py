"""Progress of a scan, for a callback, a progress bar or a log."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from bandit.checks import as_function, as_kind, as_number
from scanner_adapter.run.protocol import DEFAULT_TARGET, ScanView


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a scan.

    Parameters
    ----------
    done, total : int
        Symbols evaluated, and in the universe.
    n_hits : float
        High-value results so far; NaN where results are not judged.
    stage : str
        "scanning", then "done".
    message : str
        The progress in one line of text.
    details : mapping of str to float
        `seconds`, `symbols_per_second`, `recall` (estimated), `target_recall`, and `eta_s`: seconds
        to the target recall, which comes long before the end. NaN = unknown.
    """

    done: int
    total: int
    n_hits: float
    stage: str = "scanning"
    message: str = ""
    details: Mapping[str, float] = field(default_factory=dict)


OnProgress = Callable[[Progress], None]


def progress_of(scan: ScanView, *, stage: str, target: float | None) -> Progress:
    """Return the progress of `scan`; predicting what remains takes about a millisecond."""
    target = DEFAULT_TARGET if target is None else target
    seconds = time.monotonic() - scan.started
    rate = scan.n_scanned / seconds if seconds > 0 else 0.0
    recall = math.nan if scan.mode == "off" else scan.estimate().recall
    to_go = scan.symbols_to_recall(target)
    eta = to_go / rate if rate > 0 else math.nan
    hits = "" if math.isnan(scan.n_hits) else f", {scan.n_hits:.0f} high-value"
    more = ""
    if stage == "scanning" and not math.isnan(recall) and not math.isnan(eta):
        more = f", about {recall:.0%} of all found, {target:.0%} in {eta:.0f} s"
    return Progress(
        done=scan.n_scanned,
        total=len(scan.symbols),
        n_hits=scan.n_hits,
        stage=stage,
        message=f"{scan.n_scanned:,} of {len(scan.symbols):,} symbols{hits}{more}",
        details={
            "seconds": seconds,
            "symbols_per_second": rate,
            "recall": recall,
            "target_recall": target,
            "eta_s": eta,
        },
    )


def five_arguments(
    callback: Callable[[str, int, int, str, Mapping[str, float]], object],
) -> OnProgress:
    """Wrap a callback that takes (stage, done, total, message, details)."""
    as_function(callback, "callback", "stage, done, total, message and details")

    def on_progress(progress: Progress) -> None:
        callback(progress.stage, progress.done, progress.total, progress.message, progress.details)

    return on_progress


def log_progress(logger: logging.Logger | None = None, every_s: float = 10.0) -> OnProgress:
    """Return a callback that logs a line at most every `every_s` seconds, and at the end."""
    if logger is not None:
        as_kind(logger, "logger", (logging.Logger, logging.LoggerAdapter), "a logging.Logger")
    as_number(every_s, "every_s", "a number of seconds, 0 or more", least=0.0)
    logger = logger or logging.getLogger("scanrank")
    last = -math.inf

    def on_progress(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if progress.stage == "done" or now - last >= every_s:
            last = now
            logger.info("%s", progress.message)

    return on_progress


@contextmanager
def rich_progress(console: Console | None = None) -> Iterator[OnProgress]:
    """Show a progress bar inside the block, on the error stream by default.

    Examples
    --------
    >>> from scanner_adapter import SymbolRanker
    >>> ranker = SymbolRanker.open("memory://", ruleset="demo")
    >>> with rich_progress() as bar:
    ...     summary = ranker.start_scan(["AAPL", "MSFT"]).run(len, on_progress=bar)
    """
    if console is not None:
        as_kind(console, "console", Console, "a rich.console.Console")
    console = console or Console(stderr=True)
    bar = RichProgress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[found]}"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("scanning", total=None, found="")

        def on_progress(progress: Progress) -> None:
            eta = progress.details.get("eta_s", math.nan)
            found = "" if math.isnan(progress.n_hits) else f"{progress.n_hits:.0f} found"
            if progress.stage == "scanning" and not math.isnan(eta):
                found += f" · {progress.details['target_recall']:.0%} in {eta:.0f} s"
            bar.update(
                task,
                description=progress.stage,
                completed=progress.done,
                total=progress.total,
                found=found,
            )

        yield on_progress
