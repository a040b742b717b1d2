"""What the adapter costs in a whole scan, and how much sooner results come.

Run ``python -m benchmarks.adapter`` (about a minute). It scans 5,277 symbols on eight threads,
17 ms each (a sleep), first with a plain ``ThreadPoolExecutor.map`` in file order, then with
`Scan.run`; both get their outcomes from the built-in technical rating on a simulated market. The
ranker has learned from a few scans of the days before (not timed).
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from bandit.rewards import TopShare
from features.inputs.bars import Bars
from scanner_adapter.demo.simulator import simulate
from scanner_adapter.scanners.registry import rule_hits
from scanner_adapter.symbol_ranker import SymbolRanker

EVALUATION_S = 0.017
N_DAYS = 300
TOP = 0.05


@dataclass
class Watch:
    """When each evaluation began and ended, seconds since the call."""

    start: float = field(default_factory=time.perf_counter)
    spans: list[tuple[str, float, float]] = field(default_factory=list)

    def evaluator(self, rating: dict[str, float]) -> Callable[[str], dict[str, float]]:
        """Return a scanner that sleeps and tells the rating."""

        def evaluate(symbol: str) -> dict[str, float]:
            began = time.perf_counter()
            time.sleep(EVALUATION_S)
            self.spans.append((symbol, began - self.start, time.perf_counter() - self.start))
            return {"rating": rating[symbol]}

        return evaluate

    def found(self, hits: set[str], share: float) -> float:
        """Seconds until this share of the hits was found, one at least."""
        times = sorted(end for symbol, _, end in self.spans if symbol in hits)
        return times[max(math.ceil(share * len(times)), 1) - 1]

    def idle(self, n_workers: int) -> float:
        """Share of the workers' time, first start to last end, in which nothing was evaluated."""
        busy = sum(end - began for _, began, end in self.spans)
        first, last = min(s[1] for s in self.spans), max(s[2] for s in self.spans)
        return 1.0 - busy / (n_workers * (last - first))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=5277)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--warm", type=int, default=3, help="scans learned from before")
    parser.add_argument("--batch-size", type=int, default=None, help="default: adaptive")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--store", default=None, help="default: a file, for this run")
    arguments = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, load {os.getloadavg()[0]:.1f}; "
        f"{arguments.symbols:,} symbols x {1000 * EVALUATION_S:.0f} ms on "
        f"{arguments.threads} threads, simulated market"
    )
    bars = Bars.from_frame(simulate(arguments.symbols, N_DAYS, seed=7).bars)
    _, ratings = rule_hits("technical_rating", bars)
    with tempfile.TemporaryDirectory(prefix="scanrank-bench-") as folder:
        url = arguments.store or f"embedded://{folder}/store"
        with SymbolRanker.open(url, ruleset="bench", rewards=TopShare(TOP), seed=1) as ranker:
            for back in range(arguments.warm, 0, -1):
                warm_up(ranker, bars, ratings, back)
            for _ in range(arguments.runs):
                measure(ranker, bars, ratings, arguments.threads, arguments.batch_size)
        time.sleep(0.3)  # the server writes its file while it stops
    measure_off(bars.symbols, arguments.threads)


def warm_up(ranker: SymbolRanker, bars: Bars, ratings: NDArray[np.float64], back: int) -> None:
    """Scan an earlier day without sleeping; features end on the day before, as in a real scan."""
    rating = _by_symbol(bars, ratings[-1 - back])
    with ranker.start_scan(
        bars.symbols, bars=bars, as_of=bars.dates[-2 - back], now=_evening(bars, -1 - back)
    ) as scan:
        for batch in scan.batches(500):
            scan.report({symbol: rating[symbol] for symbol in batch})


def measure(
    ranker: SymbolRanker,
    bars: Bars,
    ratings: NDArray[np.float64],
    n_threads: int,
    batch_size: int | None,
) -> None:
    """Time one scan in file order and one prioritised, on the last day."""
    rating = _by_symbol(bars, ratings[-1])
    known = [value for value in rating.values() if not math.isnan(value)]
    limit = float(np.quantile(known, 1.0 - TOP))
    hits = {symbol for symbol, value in rating.items() if value >= limit}

    with ThreadPoolExecutor(n_threads) as executor:
        plain, cpu = Watch(), time.thread_time()
        list(executor.map(plain.evaluator(rating), bars.symbols))
        plain_cpu = time.thread_time() - cpu
        plain_s = time.perf_counter() - plain.start

    with ThreadPoolExecutor(n_threads) as executor:
        ours = Watch()
        scan = ranker.start_scan(
            bars.symbols, bars=bars, as_of=bars.dates[-2], now=_evening(bars, -1)
        )
        start_s, cpu = scan.overhead_s, time.thread_time()
        summary = scan.run(ours.evaluator(rating), executor=executor, batch_size=batch_size)
        cpu = time.thread_time() - cpu
        ours_s = time.perf_counter() - ours.start

    overhead_s = summary.overhead_s - start_s
    print(f"\n{'':44}{'file order':>12}{'prioritised':>13}")
    for label, share in (("first hit", 0.0), ("80 % of hits", 0.8)):
        row = plain.found(hits, share), ours.found(hits, share)
        print(f"{'seconds to the ' + label:44}{row[0]:12.2f}{row[1]:13.2f}")
    print(f"{'seconds in all':44}{plain_s:12.2f}{ours_s:13.2f}")
    idle = 100 * plain.idle(n_threads), 100 * ours.idle(n_threads)
    print(f"{'workers idle, first start to last end, %':44}{idle[0]:12.2f}{idle[1]:13.2f}")
    work_s = len(bars.symbols) * EVALUATION_S
    print(f"{'features and opening the scan, s':44}{'':12}{start_s:13.2f}")
    slower = 100 * (ours_s - start_s - plain_s) / plain_s
    print(f"{'wall time lost after opening, %':44}{'':12}{slower:13.2f}")
    print(f"{'rank, learn, store, s (beside evaluations)':44}{'':12}{overhead_s:13.3f}")
    print(f"{'  as a share of the wall time, %':44}{'':12}{100 * overhead_s / ours_s:13.2f}")
    print(f"{'  as a share of the evaluations, %':44}{'':12}{100 * overhead_s / work_s:13.2f}")
    print(f"{'processor s of the calling thread':44}{plain_cpu:12.3f}{cpu:13.3f}")
    print(f"{'telling the outside, processor s':44}{'':12}{scan.telling_s:13.3f}")
    print(f"{'  as a share of the wall time, %':44}{'':12}{100 * scan.telling_s / ours_s:13.2f}")
    print(f"{'batches':44}{'':12}{scan.n_batches:13d}")
    print(f"hits: {len(hits)}; store: {summary.store_status}; threads left: "
          f"{threading.active_count() - 1}")  # fmt: skip


def measure_off(symbols: tuple[str, ...], n_threads: int) -> None:
    """Time all that mode off does in a scan: hand out the given order, take the outcomes."""
    with SymbolRanker.open("memory://", ruleset="bench", mode="off") as ranker:
        with ranker.start_scan(symbols) as scan:
            for batch in scan.batches(50):
                scan.report(dict.fromkeys(batch, 1.0))
        is_same = tuple(scan.outcomes) == symbols
    work_s = len(symbols) * EVALUATION_S / n_threads
    print(
        f"mode off: {1000 * scan.summary.overhead_s:.1f} ms in a scan of {work_s:.1f} s "
        f"({100 * scan.summary.overhead_s / work_s:.2f} %), order as given: {is_same}"
    )


def _by_symbol(bars: Bars, ratings: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip(bars.symbols, ratings.tolist(), strict=True))


def _evening(bars: Bars, day: int) -> datetime:
    return datetime.fromisoformat(f"{bars.dates[day]}T21:00").replace(tzinfo=UTC)


if __name__ == "__main__":
    main()
