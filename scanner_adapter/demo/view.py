"""What the demo shows: a live bar with results as they are found, a line per scan, the comparison.

Without a terminal (a pipe, a CI log) only the lines are printed: no bar, no control characters.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from bandit.evaluation.metrics import scan_metrics
from scanner_adapter.demo.scans import EVALUATION_S, ScanTrace
from scanner_adapter.scanners.registry import Row

# High-value results on the screen at a time: enough to see them come in, few enough for 24 lines.
N_SHOWN = 6


class DemoView:
    """The demo's screen.

    Parameters
    ----------
    console : Console
    title : str
        Of the market; stands on every screen, since a simulated market must never pass for real.
    """

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._latest: deque[tuple[str, ...]] = deque(maxlen=N_SHOWN)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[found]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._progress.add_task("", total=None, found="")

    def say(self, line: str, style: str = "") -> None:
        """Print one line."""
        self._console.print(Text(line, style=style))

    @contextmanager
    def order(self, name: str) -> Iterator[None]:
        """Show the scans inside the block as those of one order."""
        self._console.print()
        self.say(f"{name} · {self._title}", "bold")
        if not self._console.is_terminal:
            yield
            return
        with Live(
            console=self._console,
            get_renderable=self._screen,
            refresh_per_second=12,
            transient=True,
        ):
            yield

    def begin(self, day: np.datetime64, place: str, n_symbols: int) -> None:
        """Start the bar of one scan; `place` says which of how many it is."""
        self._latest.clear()
        self._progress.reset(self._task, total=n_symbols, found="", description=f"{day} ({place})")

    def on_result(self, symbol: str, row: Row, trace: ScanTrace) -> None:
        """Move the bar; show the result where it is high-value."""
        n_done = len(trace.hits)
        if trace.hits[-1]:
            self._latest.append(
                (
                    f"{trace.seconds:.2f} s",
                    f"no. {n_done:,}",
                    symbol,
                    f"{row['rating']:.1f}",
                    f"{row['alpha']:+.1f}",
                )
            )
        self._progress.update(self._task, completed=n_done, found=f"{sum(trace.hits)} found")

    def done(self, day: np.datetime64, trace: ScanTrace) -> None:
        """Print the line of a finished scan."""
        metrics = scan_metrics(trace.hits)
        self.say(
            f"  {day}  {sum(trace.hits):3d} high-value, the first after "
            f"{trace.time_to(0.0):.2f} s, {_percent(metrics.recall_10):>5} in the first 10 %"
        )

    def _screen(self) -> Group:
        table = Table(box=None, padding=(0, 2, 0, 2))
        for heading in ("found after", "scanned as", "symbol", "rating", "alpha"):
            table.add_column(heading, justify="left" if heading == "symbol" else "right")
        for found in self._latest:
            table.add_row(*found, style="green")
        # Always as many rows: a live area that grows leaves its old top line behind.
        for _ in range(N_SHOWN - len(self._latest)):
            table.add_row()
        return Group(
            Text(f"  latest high-value results · {self._title}", "dim"), table, self._progress
        )


def comparison(title: str, traces: Mapping[str, Sequence[ScanTrace]]) -> Table:
    """Return the closing table: one column per order, means over its scans.

    Scans without any hit have no time, share or work saved; they are left out of those means.
    """
    table = Table(title=f"Means over the scans · {title}", title_style="bold", title_justify="left")
    table.add_column("")
    for name in traces:
        table.add_column(name, justify="right")

    def row(label: str, values: Sequence[str]) -> None:
        table.add_row(label, *values)

    measured = {name: [scan_metrics(t.hits) for t in of] for name, of in traces.items()}

    def mean(metric: str) -> list[str]:
        return [_percent(_known_mean([getattr(m, metric) for m in of])) for of in measured.values()]

    def seconds(share: float) -> list[str]:
        means = [_known_mean([trace.time_to(share) for trace in of]) for of in traces.values()]
        return [f"{mean:.2f} s" for mean in means]

    row("time to the first high-value result", seconds(0.0))
    row("time to 80 % of them", seconds(0.8))
    row("found in the first 10 % of symbols", mean("recall_10"))
    row("found in the first 25 % of symbols", mean("recall_25"))
    row("work saved at 95 % found (WSS@95)", mean("wss_95"))
    row(
        "duration of a scan",
        [f"{np.mean([t.seconds for t in of]):.2f} s" for of in traces.values()],
    )
    row("prioritiser's overhead per scan", [_overhead(of) for of in traces.values()])
    row("- of the scan's duration", [_share(of, _durations(of)) for of in traces.values()])
    row("- of the evaluations' time", [_share(of, _evaluations(of)) for of in traces.values()])
    return table


def _overhead(traces: Sequence[ScanTrace]) -> str:
    overhead_s = sum(trace.overhead_s for trace in traces)
    return f"{1000 * overhead_s / len(traces):.0f} ms" if overhead_s else "none"


def _share(traces: Sequence[ScanTrace], seconds: float) -> str:
    overhead_s = sum(trace.overhead_s for trace in traces)
    return f"{100 * overhead_s / seconds:.1f} %" if overhead_s else "-"


def _durations(traces: Sequence[ScanTrace]) -> float:
    return sum(trace.seconds for trace in traces)


def _evaluations(traces: Sequence[ScanTrace]) -> float:
    """What the evaluations would take one after the other; on threads a scan is shorter."""
    return sum(len(trace.hits) for trace in traces) * EVALUATION_S


def _known_mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{round(100 * share)} %"
