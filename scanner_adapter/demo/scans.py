"""The demo's two ways to scan a day: in file order, and in the ranker's order; both timed alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from scanner_adapter.demo.market import DemoMarket
from scanner_adapter.inputs.bars import BarsBySymbol
from scanner_adapter.scanners.registry import SCANNERS, Row
from scanner_adapter.symbol_ranker import SymbolRanker

BATCH_SIZE = 50
# What one evaluation costs in the scanner that we measured: 17 ms at the least. The built-in rating
# takes a fraction of a millisecond, so the demo sleeps for the rest, and says so.
EVALUATION_S = 0.017

Evaluate = Callable[[str], Row]
OnResult = Callable[[str, Row, "ScanTrace"], None]


@dataclass
class ScanTrace:
    """What one scan found, in the order in which it looked.

    Attributes
    ----------
    hits : list of bool
        One per evaluated symbol: whether its row is a Buy, the demo's high-value result.
    seconds : float
        Since the call, features and ranking included; the duration when the scan is over.
    hit_seconds : list of float
        Since the call, of each hit.
    overhead_s : float
        The prioritiser's part of the duration.
    """

    hits: list[bool] = field(default_factory=list)
    seconds: float = 0.0
    hit_seconds: list[float] = field(default_factory=list)
    overhead_s: float = 0.0

    def time_to(self, share: float) -> float:
        """Seconds until this share of all hits was found, one hit at least; NaN without any."""
        needed = max(1, math.ceil(share * len(self.hit_seconds)))
        return self.hit_seconds[needed - 1] if self.hit_seconds else math.nan


class _Recorder:
    """Fills a trace result by result, and passes each result on to the screen."""

    def __init__(self, on_result: OnResult) -> None:
        self.trace = ScanTrace()
        self._on_result = on_result
        self._start = time.perf_counter()

    def record(self, symbols: Iterable[str], rows: Iterable[Row]) -> dict[str, Row]:
        """Take the rows as they arrive; return them by symbol."""
        batch, trace = {}, self.trace
        for symbol, row in zip(symbols, rows, strict=True):
            trace.seconds = time.perf_counter() - self._start
            is_hit = row["signal"] == "Buy"
            if is_hit:
                trace.hit_seconds.append(trace.seconds)
            trace.hits.append(is_hit)
            self._on_result(symbol, row, trace)
            batch[symbol] = row
        return batch

    def stop(self) -> ScanTrace:
        self.trace.seconds = time.perf_counter() - self._start
        return self.trace


def scan_in_file_order(
    symbols: Iterable[str], evaluate: Evaluate, executor: Executor, on_result: OnResult
) -> ScanTrace:
    """Evaluate every symbol in the order given, as a scanner without scanrank does."""
    recorder = _Recorder(on_result)
    recorder.record(symbols, executor.map(evaluate, symbols))
    return recorder.stop()


def scan_prioritised(
    ranker: SymbolRanker,
    market: DemoMarket,
    day: np.datetime64,
    evaluate: Evaluate,
    executor: Executor,
    on_result: OnResult,
) -> ScanTrace:
    """Evaluate every symbol in the ranker's order; its features end on the day before `day`."""
    recorder = _Recorder(on_result)
    eve = market.bars.dates[market.bars.dates < day][-1]
    with ranker.start_scan(
        market.bars.symbols,
        bars=market.bars.until(eve),
        events=market.events,
        as_of=eve,
        now=datetime.fromisoformat(f"{day}T21:00").replace(tzinfo=UTC),  # New York has closed
    ) as scan:
        while batch := scan.next_batch(BATCH_SIZE):
            rows = recorder.record(batch.symbols, executor.map(evaluate, batch.symbols))
            scan.report(rows)
    recorder.trace.overhead_s = scan.summary.overhead_s
    return recorder.stop()


def padded_scanner(market: DemoMarket, day: np.datetime64) -> Evaluate:
    """Return the built-in technical rating on the bars up to `day`, padded to `EVALUATION_S`."""
    bars, scan = BarsBySymbol(market.bars.until(day)), SCANNERS["technical_rating"]

    def evaluate(symbol: str) -> Row:
        start = time.perf_counter()
        row = scan(symbol, bars[symbol])
        time.sleep(max(0.0, EVALUATION_S - (time.perf_counter() - start)))
        return row

    return evaluate
