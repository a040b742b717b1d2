"""The demonstration: real scans, replayed in three orders side by side.

1. Load a log of real scans, which comes with scanrank (or simulate one, when asked to).
2. Learn from the first of them.
3. Replay the last ones, much faster than life: in file order, last rating first, and in the order
   that scanrank gives out while it learns from every batch.
4. Say what that is worth at the speed of a real scanner, and draw the three recall curves.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from bandit.errors import InvalidInputError
from bandit.evaluation.metrics import recall_curve
from scanner_adapter.demo.simulator import simulated_log
from scanner_adapter.demo.view import EVALUATION_S, DemoView, OrderTrace
from scanner_adapter.jsonio import check_folder
from scanner_adapter.replay import Configuration, Log, Ranked, ReplayScan, bundled_log
from scanner_adapter.replay.orders import FileOrder, LastRating, Order
from scanner_adapter.replay.pictures.figures import mean_band
from scanner_adapter.replay.pictures.pictures import draw_recall, is_installed, write_picture
from scanner_adapter.replay.ranked import Recorder
from scanner_adapter.run.stop_rules import RecallReached
from scanner_adapter.scan.scan import Scan

MARKETS = ("real", "simulated")

BATCH_SIZE = 20  # a twentieth of the bundled log's universe
STOP_AT = 0.95


@dataclass(frozen=True)
class Plan:
    """How many scans are learned from, how many are shown, and for how many seconds each."""

    n_learned: int
    n_shown: int
    seconds: float


FULL = Plan(n_learned=100, n_shown=20, seconds=1.0)
QUICK = Plan(n_learned=30, n_shown=6, seconds=0.4)


def run_demo(plan: Plan, *, market: str, out: Path, console: Console) -> None:
    """Run the demonstration and leave `recall.png` in `out`.

    Parameters
    ----------
    plan : Plan
        `FULL` takes under a minute, `QUICK` some ten seconds.
    market : "real" or "simulated"
        The bundled log of real scans, or a made-up one.
    out : Path
        Folder of the picture; created where missing.
    console : Console
        Where everything is shown.

    Raises
    ------
    InvalidInputError
        For another market, or a file in the folder's place.
    """
    if market not in MARKETS:
        raise InvalidInputError(f"market is {market!r}; expected {' or '.join(MARKETS)}")
    check_folder(out, "--out ")
    log: Log = bundled_log() if market == "real" else simulated_log()
    days = log.days()[-(plan.n_learned + plan.n_shown) :]
    n_learned = len(days) - plan.n_shown
    view = DemoView(console, market, len(log.symbols))
    ranker, watch = Configuration(seed=0).open(log.rule, keeps_journal=False), _StopWatch()
    orders: dict[str, Order] = {
        "file order": FileOrder(),
        "last rating": LastRating(len(log.symbols)),
        "scanrank": Ranked(ranker, batch_size=BATCH_SIZE, watch=watch),
    }
    traces = {name: OrderTrace() for name in orders}
    figures = []  # of each scan: where it may stop, what was found by then, seconds that it took

    def visit_all(scan: ReplayScan) -> dict[str, NDArray[np.bool_]]:
        found, n = {}, len(scan.symbols)
        for name, order in orders.items():
            began = time.process_time()
            found[name] = scan.hits[order.visit(scan, n)]
            seconds = time.process_time() - began  # in the end those of scanrank, the last order
        end = watch.stopped_at or n
        figures.append((end / n, found["scanrank"][:end].sum() / max(scan.hits.sum(), 1), seconds))
        return found

    view.introduce(log.dates[days], n_learned)
    with view.learning(n_learned) as step:
        for scan in log.scans(days[:n_learned]):
            visit_all(scan)
            step()
    speed = len(log.symbols) * EVALUATION_S / plan.seconds
    with view.replaying(traces, speed) as show:
        for number, scan in enumerate(log.scans(days[n_learned:]), 1):
            found = visit_all(scan)
            show(f"{scan.now:%Y-%m-%d} ({number} of {plan.n_shown})", found, plan.seconds)
            for name, hits in found.items():
                traces[name].hits.append(hits)
    ranker.close()
    view.compare(traces)
    scanned, recall, cost_s = np.mean(figures[n_learned:], axis=0).tolist()
    _conclude(view, traces, scanned, recall, cost_s, out)


class _StopWatch(Recorder):
    """Records after how many symbols the demo's stop rule would have ended a scan."""

    stopped_at = 0

    def start(self) -> None:
        self.stopped_at = 0

    def look(self, live: Scan, _scan: ReplayScan) -> None:
        if not self.stopped_at and RecallReached(STOP_AT).reason(live) is not None:
            self.stopped_at = live.n_scanned

    def end(self, live: Scan) -> None:
        """Note nothing more."""


def _conclude(
    view: DemoView, traces: dict[str, OrderTrace], scanned: float, recall: float, cost_s: float,
    out: Path,
) -> None:  # fmt: skip
    ours, plain = traces["scanrank"], traces["file order"]
    evaluations_s = EVALUATION_S * float(np.mean([len(hits) for hits in ours.hits]))
    view.say(
        f"At {EVALUATION_S} s a symbol: 80% of the high-value symbols after "
        f"{ours.seconds_to(0.8):.0f} s instead of {plain.seconds_to(0.8):.0f} s in file order. A "
        f"rule that stops at an estimated recall of {STOP_AT:.0%} would have scanned "
        f"{scanned:.0%} of the symbols and found {recall:.0%}.",
        "bold",
    )
    view.say(
        f"Choosing and learning took {1000 * cost_s:.0f} ms a scan, "
        f"{cost_s / evaluations_s:.2%} of its evaluations.",
    )
    picture = out / "recall.png"
    if is_installed():
        bands = {
            name: mean_band([recall_curve(hits) for hits in trace.hits])
            for name, trace in traces.items()
        }
        title = f"{view.title}, mean of {len(ours.hits)} scans"
        write_picture(picture, title, lambda axes: draw_recall(axes, bands))
        view.say(f"The three recall curves: {picture}")
    else:
        view.say("No picture: install it with pip install 'scanrank[plots]'.")
    view.say("Next, with your own bars (CSV or Parquet: date, symbol, open, ..., volume):")
    view.say("  scanrank scan --bars BARS.csv --scanner technical_rating --as-of last", "cyan")
    view.say("  scanrank replay --bars BARS.csv --ratings YOUR_SCANNERS_RATINGS.csv", "cyan")
