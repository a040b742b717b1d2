"""What the adapter costs in a whole scan, and how much sooner results come.

Run ``python -m benchmarks.adapter`` (about four minutes). It scans 5,277 symbols on eight threads,
17 ms each (a sleep), first with a plain ``ThreadPoolExecutor.map`` in file order, then twice with
`Scan.run`: on an empty store, and the day after. Outcomes are those of the built-in technical
rating on a simulated market; bars end the day before. Each run has another file order.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
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
    ended: float = math.nan

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
    parser.add_argument("--batch-size", type=int, default=None, help="default: adaptive")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--store", default=None, help="default: a file for each run")
    arguments = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, load {os.getloadavg()[0]:.1f}; "
        f"{arguments.symbols:,} symbols x {1000 * EVALUATION_S:.0f} ms on "
        f"{arguments.threads} threads, simulated market; {arguments.runs} runs, each in another "
        "file order"
    )
    bars = Bars.from_frame(simulate(arguments.symbols, N_DAYS, seed=7).bars)
    _, ratings = rule_hits("technical_rating", bars)
    rows: list[dict[str, dict[str, float]]] = []
    for run in range(arguments.runs):
        order = np.random.default_rng(run).permutation(bars.symbols).tolist()
        with tempfile.TemporaryDirectory(prefix="scanrank-bench-") as folder:
            url = arguments.store or f"embedded://{folder}/store"
            with SymbolRanker.open(
                url, ruleset=f"bench-{run}", rewards=TopShare(TOP), seed=run
            ) as ranker:
                plain = scan_plain(order, arguments.threads)
                row: dict[str, dict[str, float]] = {}
                # Other bars in each run: features of those seen before come from a cache.
                bars = replace(bars, volume=bars.volume * 1.01)
                for name, day in (("first scan", -2), ("second scan", -1)):
                    rating = _by_symbol(bars, ratings[day])
                    hits = hits_of(rating)
                    row[f"file order, {name}"] = told(plain, hits, arguments.threads)
                    row[name] = scan_ranked(
                        ranker, bars, order, day, rating, arguments.threads, arguments.batch_size
                    )
                rows.append(row)
            time.sleep(0.3)  # the server writes its file while it stops
    print_table(rows)
    measure_off(bars.symbols, arguments.threads)


def hits_of(rating: dict[str, float]) -> set[str]:
    """Return the best 5 % of a day."""
    known = [value for value in rating.values() if not math.isnan(value)]
    limit = float(np.quantile(known, 1.0 - TOP))
    return {symbol for symbol, value in rating.items() if value >= limit}


def told(watch: Watch, hits: set[str], n_threads: int) -> dict[str, float]:
    """Return what a watch says of a scan."""
    return {
        "ms to the first evaluation": 1000 * min(began for _, began, _ in watch.spans),
        "seconds to the first hit": watch.found(hits, 0.0),
        "seconds to 80 % of hits": watch.found(hits, 0.8),
        "seconds in all": watch.ended,
        "workers idle, first start to last end, %": 100 * watch.idle(n_threads),
        "ms from the last evaluation to the end": 1000
        * (watch.ended - max(end for _, _, end in watch.spans)),
    }


def scan_plain(order: list[str], n_threads: int) -> Watch:
    """Scan in file order, with a plain pool."""
    with ThreadPoolExecutor(n_threads) as executor:
        watch = Watch()
        list(executor.map(watch.evaluator(dict.fromkeys(order, 0.0)), order))
        watch.ended = time.perf_counter() - watch.start
    return watch


def scan_ranked(
    ranker: SymbolRanker,
    bars: Bars,
    order: list[str],
    day: int,
    rating: dict[str, float],
    n_threads: int,
    batch_size: int | None,
) -> dict[str, float]:
    """Scan a day in scanrank's order, by the bars of the day before."""
    with ThreadPoolExecutor(n_threads) as executor:
        watch = Watch()
        scan = ranker.start_scan(
            order, bars=bars, as_of=bars.dates[day - 1], now=_evening(bars, day)
        )
        cpu = time.thread_time()
        summary = scan.run(watch.evaluator(rating), executor=executor, batch_size=batch_size)
        cpu = time.thread_time() - cpu
        watch.ended = time.perf_counter() - watch.start
    (opened,) = (
        entry.header for entry in ranker.learned.entries_of(scan.scan_id) if entry.kind == "open"
    )
    return told(watch, hits_of(rating), n_threads) | {
        "batches before features": opened["before_features"],
        "batches": scan.n_batches,
        "rank, learn, store, features, processor s": summary.overhead_s,
        "processor s of the calling thread": cpu,
        "publishing the status, processor s": scan.publishing_s,
    }


def print_table(rows: list[dict[str, dict[str, float]]]) -> None:
    """Print medians over runs, and by how much longer a whole scan takes."""
    names = ("file order, first scan", "first scan", "file order, second scan", "second scan")
    heads = [f"{name.replace('file order, ', 'plain, '):>20}" for name in names]
    print(f"\n{'medians':44}{''.join(heads)}")
    for label in rows[0]["first scan"]:
        values = [[row[name].get(label, math.nan) for row in rows] for name in names]
        cells = [f"{median:20.2f}" for median in np.median(values, axis=1)]
        print(f"{label:44}{''.join(cells).replace('nan', '   ')}")
    for name in ("first scan", "second scan"):
        every = [
            100 * (row[name]["seconds in all"] / row[f"file order, {name}"]["seconds in all"] - 1)
            for row in rows
        ]
        print(f"whole {name}: {np.median(every):+.2f} % of the plain pool's time "
              f"({', '.join(f'{each:+.2f}' for each in every)})")  # fmt: skip


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
