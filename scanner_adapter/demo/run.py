"""The demonstration: the same scans in file order and prioritised, side by side.

1. Load a market: real bars where they are at hand, else a simulated one.
2. Scan its next days in file order, as scanners do today.
3. Scan the same days in the order that the ranker gives out, reporting every batch to it.
4. Print both and draw both recall curves. What was learned stays in the store: the next run goes
   on with the days after these, and starts with what this one learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from bandit.evaluation.metrics import recall_curve
from bandit.rewards import Signal
from bandit.stores import store_from_url
from scanner_adapter.demo.market import DemoMarket, load_demo_market
from scanner_adapter.demo.scans import (
    EVALUATION_S,
    ScanTrace,
    padded_scanner,
    scan_in_file_order,
    scan_prioritised,
)
from scanner_adapter.demo.view import DemoView, comparison
from scanner_adapter.replay.pictures.figures import mean_band
from scanner_adapter.replay.pictures.pictures import draw_recall, is_installed, write_picture
from scanner_adapter.symbol_ranker import SymbolRanker

N_THREADS = 5


@dataclass(frozen=True)
class Plan:
    """How much one run scans, twice: once per order."""

    n_symbols: int
    n_days: int


FULL = Plan(n_symbols=1000, n_days=10)
QUICK = Plan(n_symbols=300, n_days=4)


def run_demo(plan: Plan, *, store: str, out: Path, console: Console) -> None:
    """Run the demonstration and leave `recall.png` in `out`.

    Parameters
    ----------
    plan : Plan
        `FULL` takes 60 to 90 s, `QUICK` under 20 s.
    store : str
        URL of the store that keeps what is learned.
    out : Path
        Folder of the picture; created where missing.
    console : Console
        Where everything is shown.
    """
    market = load_demo_market(plan.n_symbols)
    view = DemoView(console, market.title)
    symbols = market.bars.symbols
    with _open(market, plan, store, view) as ranker, ThreadPoolExecutor(N_THREADS) as executor:
        # The store says where to go on, so that no scan ever learned from a day after its own.
        days = market.scan_days[ranker.n_scans :][: plan.n_days]
        _introduce(view, market, days, ranker.n_scans)

        def in_file_order(day: np.datetime64) -> ScanTrace:
            evaluate = padded_scanner(market, day)
            return scan_in_file_order(symbols, evaluate, executor, view.on_result)

        def prioritised(day: np.datetime64) -> ScanTrace:
            evaluate = padded_scanner(market, day)
            return scan_prioritised(ranker, market, day, evaluate, executor, view.on_result)

        orders = {"file order": in_file_order, "prioritised": prioritised}
        traces: dict[str, list[ScanTrace]] = {name: [] for name in orders}
        for name, scan in orders.items():
            with view.order(name):
                for i, day in enumerate(days):
                    view.begin(day, f"{i + 1} of {len(days)}", len(symbols))
                    trace = scan(day)
                    traces[name].append(trace)
                    view.done(day, trace)

    console.print()
    console.print(comparison(market.title, traces))
    _conclude(view, market, traces, store, out)


def _open(market: DemoMarket, plan: Plan, store: str, view: DemoView) -> SymbolRanker:
    """Open the demo's ranker; it forgets everything once the market's days are used up."""
    ruleset = f"demo-{market.kind}"
    ranker = SymbolRanker.open(store, ruleset=ruleset, rewards=Signal())
    if ranker.n_scans + plan.n_days <= len(market.scan_days):
        return ranker
    ranker.close()
    view.say("Every day of this market has been scanned: forgetting all, and starting over.")
    opened = store_from_url(store)
    opened.drop_ruleset(ruleset)
    opened.close()
    return SymbolRanker.open(store, ruleset=ruleset, rewards=Signal())


def _introduce(
    view: DemoView, market: DemoMarket, days: NDArray[np.datetime64], n_learned: int
) -> None:
    view.say(f"scanrank demo · {market.title} · {len(days)} days from {days[0]}", "bold")
    view.say(
        f"One evaluation is the built-in technical rating, padded by a sleep to "
        f"{1000 * EVALUATION_S:.0f} ms, on {N_THREADS} threads. High-value means a rating that "
        "says Buy. The ranker sees bars up to the day before the scan, and what the scan reports."
    )
    if n_learned:
        view.say(f"warm: learned from {n_learned} scans, going on with the days after them", "cyan")
    else:
        view.say("cold: nothing learned yet, the first scan starts from fixed weights", "cyan")


def _conclude(
    view: DemoView,
    market: DemoMarket,
    traces: Mapping[str, list[ScanTrace]],
    store: str,
    out: Path,
) -> None:
    view.say("")
    if is_installed():
        bands = {
            name: mean_band([recall_curve(trace.hits) for trace in of])
            for name, of in traces.items()
        }
        title = f"{market.title}, mean of {len(next(iter(traces.values())))} scans"
        picture = out / "recall.png"
        write_picture(picture, title, lambda axes: draw_recall(axes, bands))
        view.say(f"Both recall curves: {picture}")
    else:
        view.say("No picture: matplotlib is not installed (pip install 'scanrank[plots]').")
    if store.startswith("memory:"):
        view.say("What was learned is forgotten now: memory:// keeps nothing.")
    else:
        view.say("What was learned is kept: run it again, it goes on with the next days.")
