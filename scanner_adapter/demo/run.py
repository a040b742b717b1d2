"""The demonstration: real scans, replayed in three orders side by side.

1. Load a log of real scans, which comes with scanrank (or simulate one, when asked to).
2. Learn from the first of them.
3. Replay the last ones, much faster than life: in file order, last rating first, and in the order
   that scanrank gives out while it learns from every batch.
4. Say what that is worth at the speed of a real scanner, and draw the three recall curves.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from bandit.errors import InvalidInputError
from bandit.evaluation.metrics import recall_curve
from scanner_adapter.demo.simulator import simulated_log
from scanner_adapter.demo.trace import EVALUATION_S, OrderTrace
from scanner_adapter.demo.view import DemoView
from scanner_adapter.replay import Configuration, Log, ReplayScan, bundled_log
from scanner_adapter.replay.orders import FileOrder, LastRating, Order
from scanner_adapter.replay.pictures.figures import mean_band
from scanner_adapter.replay.pictures.pictures import draw_recall, is_installed, write_picture
from scanner_adapter.run.stop_rules import RecallReached
from scanner_adapter.symbol_ranker import SymbolRanker

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


@dataclass
class Stops:
    """Where a stop rule would have ended the scans, and what was found by then.

    Attributes
    ----------
    scanned, recall : list of float
        Shares of the universe and of its hits.
    """

    scanned: list[float] = field(default_factory=list)
    recall: list[float] = field(default_factory=list)


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
        For another market.
    """
    if market not in MARKETS:
        raise InvalidInputError(f"market is {market!r}; expected {' or '.join(MARKETS)}")
    log: Log = bundled_log() if market == "real" else simulated_log()
    days = log.days()[-(plan.n_learned + plan.n_shown) :]
    n_learned = len(days) - plan.n_shown
    view = DemoView(console, market, len(log.symbols))
    ranker = Configuration(seed=0).open(log.rule, keeps_journal=False)
    others: dict[str, Order] = {
        "file order": FileOrder(),
        "last rating": LastRating(len(log.symbols)),
    }
    traces = {name: OrderTrace() for name in (*others, "scanrank")}
    stops, overhead_s = Stops(), 0.0

    def visit_all(scan: ReplayScan) -> dict[str, NDArray[np.bool_]]:
        nonlocal overhead_s
        n = len(scan.symbols)
        found = {name: scan.hits[order.visit(scan, n)] for name, order in others.items()}
        began = time.process_time()
        visited, stopped_at = _scan_prioritised(ranker, scan)
        overhead_s = time.process_time() - began
        found["scanrank"] = scan.hits[visited]
        stops.scanned.append(stopped_at / len(visited))
        stops.recall.append(found["scanrank"][:stopped_at].sum() / max(scan.hits.sum(), 1))
        return found

    view.introduce(log.dates[days], n_learned)
    with view.learning(n_learned) as step:
        for scan in log.scans(days[:n_learned]):
            visit_all(scan)
            step()
    stops, costs = Stops(), []
    speed = len(log.symbols) * EVALUATION_S / plan.seconds
    with view.replaying(traces, speed) as show:
        for number, scan in enumerate(log.scans(days[n_learned:]), 1):
            found = visit_all(scan)
            costs.append(overhead_s)
            show(f"{scan.now:%Y-%m-%d} ({number} of {plan.n_shown})", found, plan.seconds)
            for name, hits in found.items():
                traces[name].hits.append(hits)
    ranker.close()
    view.compare(traces)
    _conclude(view, traces, stops, costs, out)


def _scan_prioritised(ranker: SymbolRanker, scan: ReplayScan) -> tuple[NDArray[np.intp], int]:
    """Scan everything in scanrank's order; return the places visited, and where it may stop."""
    place = {symbol: i for i, symbol in enumerate(scan.symbols)}
    rule, visited, stopped_at = RecallReached(STOP_AT), [], 0
    with ranker.start_scan(scan.symbols, **scan.inputs()) as live:
        while batch := live.next_batch(BATCH_SIZE):
            places = np.array([place[symbol] for symbol in batch], np.intp)
            live.report(scan.report(places))
            visited.append(places)
            if not stopped_at and rule.reason(live) is not None:
                stopped_at = live.n_scanned
    return np.concatenate(visited), stopped_at or len(scan.symbols)


def _conclude(
    view: DemoView, traces: dict[str, OrderTrace], stops: Stops, costs: Sequence[float], out: Path
) -> None:
    ours, plain = traces["scanrank"], traces["file order"]
    evaluations_s = EVALUATION_S * float(np.mean([len(hits) for hits in ours.hits]))
    view.say(
        f"At {EVALUATION_S} s a symbol: 80 % of the high-value symbols after "
        f"{ours.seconds_to(0.8):.0f} s instead of {plain.seconds_to(0.8):.0f} s in file order. A "
        f"rule that stops at an estimated recall of {STOP_AT:.0%} would have scanned "
        f"{_mean(stops.scanned):.0%} of the symbols and found {_mean(stops.recall):.0%}.",
        "bold",
    )
    view.say(
        f"Choosing and learning took {1000 * float(np.mean(costs)):.0f} ms a scan, "
        f"{float(np.mean(costs)) / evaluations_s:.2%} of its evaluations.",
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
        view.say("No picture: pip install 'scanrank[plots]' draws it.")
    view.say("Next, with bars of your own (CSV or Parquet: date, symbol, open, ..., volume):")
    view.say("  scanrank scan --bars BARS.csv --scanner technical_rating --as-of last", "cyan")
    view.say("  scanrank replay --bars BARS.csv --ratings YOUR_SCANNERS_RATINGS.csv", "cyan")


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else math.nan
