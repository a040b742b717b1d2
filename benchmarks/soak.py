"""Years of scans through the real store with retention on: does anything grow, or drift apart?

Run ``python -m benchmarks.soak`` (2,000 scans of 2,000 symbols, about half an hour on two busy
cores; ``--scans 100 --symbols 500`` for a look). It starts its own server. The clock is simulated,
one scan a day at 250 days a year. After every ``--keep`` scans the journal is exported to Parquet,
the export is folded into a belief of its own beside the ranker's, and the journal is trimmed to
what the snapshot does not cover.

The server forgets a scan's marks 30 days after it by its own clock, which does not hurry: so they
are removed here 30 simulated days after the scan, as it would do.

Slopes are least-squares lines over the scans after the first quarter, in which buffers fill.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.belief.belief import Belief, BeliefSettings
from bandit.rewards import TopShare
from bandit.stores.redis.keys import ruleset_key, scan_key
from bandit.stores.redis.store import RedisStore
from bandit.stores.spool.store import SpoolingStore
from benchmarks._server import Server, own_server
from scanner_adapter import SymbolRanker
from scanner_adapter.inputs.context import CROSSED, seed_weights
from scanner_adapter.state.parquet import export_journal, read_journal

RULES = "soak"
START = datetime(2010, 1, 4, 21, tzinfo=UTC)
SETTINGS = BeliefSettings(seed_weights=seed_weights(None), rule=TopShare(0.05), crossed=CROSSED)
COLUMNS = tuple(f"{factor}.c{n}" for factor in ("market", "technical") for n in range(10))
BATCH = 50
REMEMBERED_DAYS = 30  # as `bandit.stores.base.SCAN_TTL_S`
_PAGE_KIB = 4


class Market:
    """Symbols whose ratings wander: 0.9 of yesterday, and what today's context says."""

    def __init__(self, n: int, seed: int = 0) -> None:
        self.symbols = tuple(f"S{number}" for number in range(n))
        self._rng = np.random.default_rng(seed)
        self._weights = self._rng.normal(0.0, 1.0, len(COLUMNS))
        self._level = self._rng.standard_normal(n)

    def next_day(self) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return context (n, 20) and ratings (n,) of the next day."""
        n = self._level.size
        self._level = 0.9 * self._level + np.sqrt(0.19) * self._rng.standard_normal(n)
        context = self._rng.random((n, len(COLUMNS)), np.float32) * np.float32(100)
        signal = (context.astype(np.float64) - 50.0) @ self._weights
        return context, self._level + 0.5 * signal / signal.std()


@dataclass
class Series:
    """What was seen after each scan."""

    process_mib: list[float] = field(default_factory=list)
    server_mib: list[float] = field(default_factory=list)
    step_ms: list[float] = field(default_factory=list)  # mean of a batch: choose, report
    cpu_ms: list[float] = field(default_factory=list)  # the same in processor time
    recall_10: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Soak:
    """What a soak found."""

    n_scans: int
    n_symbols: int
    n_outcomes: int
    seconds: float
    series: Series
    is_equal: bool  # belief = fold of all exports, bit for bit
    n_entries_left: int
    n_exports: int


def soak(
    n_scans: int,
    n_symbols: int,
    *,
    keep: int = 20,
    budget: float = 1.0,
    every: int = 0,
) -> Soak:
    """Run scans one after another.

    Parameters
    ----------
    keep : int
        Scans after which the journal is exported and trimmed.
    budget : float
        Share of the universe at which each scan is stopped.
    every : int
        Print a line after so many scans; 0 = never.
    """
    with own_server() as server, tempfile.TemporaryDirectory() as folder:
        store = RedisStore(server.url)
        spooling = SpoolingStore(store, Path(folder) / "spool")
        ranker = SymbolRanker(spooling, ruleset=RULES, settings=SETTINGS, seed=0)
        market, series, reference = Market(n_symbols), Series(), Belief(SETTINGS)
        began, n_outcomes, n_exports, n_forgotten = time.monotonic(), 0, 0, 0
        for number in range(n_scans):
            now = _day(number)
            step_ms, cpu_ms, recall, n_scanned = _scan(ranker, market, number, now, budget)
            n_outcomes += n_scanned
            n_forgotten = _forget(store, n_forgotten, now)
            if (number + 1) % keep == 0 or number + 1 == n_scans:
                piece = Path(folder) / "piece.parquet"
                export_journal(spooling, RULES, piece)
                for entry in read_journal(piece):
                    reference.fold(entry.kind, entry.header, entry.arms, entry.arrays)
                piece.unlink()
                spooling.trim(RULES, max_entries=0)
                n_exports += 1
            series.process_mib.append(_resident_mib())
            series.server_mib.append(_resident_mib(server))
            series.step_ms.append(step_ms)
            series.cpu_ms.append(cpu_ms)
            series.recall_10.append(recall)
            if every and (number + 1) % every == 0:
                print(
                    f"{number + 1:>6,} scans, {time.monotonic() - began:6.0f} s: process "
                    f"{series.process_mib[-1]:.0f} MiB, server {series.server_mib[-1]:.0f} MiB, "
                    f"step {np.median(series.step_ms[-every:]):.2f} ms, found in 10 % "
                    f"{np.mean(series.recall_10[-every:]):.3f}",
                    flush=True,
                )
        reopened = SymbolRanker(spooling, ruleset=RULES, settings=SETTINGS).learned.belief
        is_equal = _same(ranker.learned.belief, reference) and _same(reopened, reference)
        n_left = spooling.stats(RULES).n_entries
        spooling.close()
        return Soak(
            n_scans, n_symbols, n_outcomes, time.monotonic() - began, series, is_equal, n_left,
            n_exports,
        )  # fmt: skip


def _day(number: int) -> datetime:
    """Five scans a week, fifty weeks a year."""
    year, day = divmod(number, 250)
    week, weekday = divmod(day, 5)
    return START + timedelta(days=364 * year + 7 * week + weekday)


def _scan(
    ranker: SymbolRanker, market: Market, number: int, now: datetime, budget: float
) -> tuple[float, float, float, int]:
    """Return wall and processor ms per batch, the share of hits in the first 10 %, symbols."""
    context, ratings = market.next_day()
    n = len(market.symbols)
    limit = float(np.sort(ratings)[-max(round(0.05 * n), 1)])
    spent, cpu, n_batches, found, early = 0.0, 0.0, 0, 0, 0
    with ranker.start_scan(
        market.symbols, context=(COLUMNS, context), now=now, scan_id=f"scan{number}"
    ) as scan:
        start, cpu_start = time.perf_counter(), time.process_time()
        while scan.n_scanned < budget * n and (batch := scan.next_batch(BATCH)):
            rows = {symbol: float(ratings[int(symbol[1:])]) for symbol in batch}
            found += sum(value >= limit for value in rows.values())
            scan.report(rows)
            early = found if scan.n_scanned <= 0.1 * n else early
            n_batches += 1
        spent, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    if scan.failure is not None:
        raise SystemExit(f"scan {number} failed: {scan.failure}")
    n_hits = int(np.count_nonzero(ratings >= limit))
    per_batch = 1e3 / max(n_batches, 1)
    return spent * per_batch, cpu * per_batch, early / n_hits, scan.n_scanned


def _forget(store: RedisStore, number: int, now: datetime) -> int:
    """Drop the marks of scans from `number` on that lie 30 simulated days back; return the next."""
    while _day(number) < now - timedelta(days=REMEMBERED_DAYS):
        scan_id = f"scan{number}"
        keys = [
            scan_key(RULES, scan_id, what)
            for what in ("reported", "events", "claims", "control", "status")
        ]
        store._client.unlink(*keys)
        store._client.zrem(ruleset_key(RULES, "scans"), scan_id)
        number += 1
    return number


def _resident_mib(server: Server | None = None) -> float:
    """Resident memory of this process or of the server, from /proc."""
    who = "self" if server is None else str(server.pid)
    return int(Path(f"/proc/{who}/statm").read_text().split()[1]) * _PAGE_KIB / 1024


def _same(one: Belief, other: Belief) -> bool:
    (head, arrays), (other_head, other_arrays) = one.state(), other.state()
    return head == other_head and all(
        array.tobytes() == other_arrays[name].tobytes() for name, array in arrays.items()
    )


def slope(values: Sequence[float]) -> tuple[float, float]:
    """Return the change per 1,000 scans, and the mean, after the first quarter."""
    late = np.asarray(values, np.float64)[len(values) // 4 :]
    return 1e3 * float(np.polyfit(np.arange(late.size), late, 1)[0]), float(late.mean())


def rows(result: Soak) -> list[dict[str, Any]]:
    """One row per quantity: its mean and its change per 1,000 scans."""
    series = result.series
    named = (
        ("process, resident MiB", series.process_mib),
        ("server, resident MiB", series.server_mib),
        ("choose + report of a batch, ms", series.step_ms),
        ("the same in processor time, ms", series.cpu_ms),
        ("share of hits found in the first 10 %", series.recall_10),
    )
    found: list[dict[str, Any]] = []
    for name, values in named:
        change, mean = slope(values)
        found.append(
            {
                "what": name,
                "mean": round(mean, 3),
                "per_1000_scans": round(change, 3),
                "last": round(float(np.mean(values[-max(len(values) // 20, 1) :])), 3),
            }
        )
    return found


def main() -> None:
    """Print the table; exit code 1 where belief and export differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scans", type=int, default=2000)
    parser.add_argument("--symbols", type=int, default=2000)
    parser.add_argument("--keep", type=int, default=20, help="scans kept in the journal")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--budget", type=float, default=1.0, help="share at which a scan stops")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    result = soak(
        options.scans, options.symbols, keep=options.keep, budget=options.budget, every=100
    )
    print(
        f"\n{result.n_scans:,} scans of {result.n_symbols:,} symbols, {result.n_outcomes:,} "
        f"outcomes, {result.seconds:.0f} s; {result.n_exports} exports, "
        f"{result.n_entries_left} entries left in the journal"
    )
    print(f"{'':40} {'mean':>9} {'per 1,000 scans':>16} {'at the end':>11}")
    for row in rows(result):
        print(f"{row['what']:40} {row['mean']:9.2f} {row['per_1000_scans']:+16.3f} "
              f"{row['last']:11.2f}")  # fmt: skip
    print(f"belief = fold of all exports, bit for bit: {'yes' if result.is_equal else 'NO'}")
    if options.json:
        options.json.write_text(json.dumps(rows(result), indent=1), encoding="utf-8")
    raise SystemExit(0 if result.is_equal else 1)


if __name__ == "__main__":
    main()
