"""A million symbols end to end through `SymbolRanker`: time of every stage, and peak memory.

Run ``python -m benchmarks.million`` (about two minutes; ``--arms 100000`` for a look). Contexts of
40 sub-scores are written in chunks to a memory-mapped float32 file, as features computed in pieces
would be; scans go through a real server. A first scan teaches the belief, a second one is measured
as a user would run it; at the end the ruleset is opened anew from its snapshot.

With ``--bars`` the contexts are no made-up numbers: bars of 300 days are made in pieces of 2,000
symbols, and `features_in_pieces` turns them into sub-scores and loadings on two processes. No
process ever holds all bars.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.rewards import TopShare
from bandit.stores.redis.store import RedisStore
from benchmarks._server import own_server
from benchmarks.made_bars import N_DAYS, made_features, symbol
from features.factors import PANEL_NAMES
from scanner_adapter import SymbolRanker

COLUMNS = PANEL_NAMES[:40]
TOP = 0.01
CHUNK = 65_536
N_STEPS = 40
PROCESSES = 2


class Stages:
    """Seconds and memory of one stage after the other."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self._last = time.perf_counter()

    def end(self, stage: str) -> None:
        """Note that a stage has ended."""
        now = time.perf_counter()
        row = {"stage": stage, "seconds": now - self._last, "now_mib": now_mib(),
               "peak_mib": peak_mib(), "worker_peak_mib": peak_mib(resource.RUSAGE_CHILDREN),
               "cpu_s": cpu_s()}  # fmt: skip
        self.rows.append(row)
        print(
            f"{stage:<48} {row['seconds']:8.2f} s {row['now_mib']:8.0f} {row['peak_mib']:8.0f}",
            flush=True,
        )
        self._last = time.perf_counter()


def now_mib() -> float:
    """Resident memory of this process, mapped pages of the contexts included (Linux)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
    except FileNotFoundError:
        return float("nan")


def cpu_s() -> float:
    """Processor time of this process and of its ended children."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in spent)


def peak_mib(who: int = resource.RUSAGE_SELF) -> float:
    """Largest resident memory of this process so far, or of its largest ended child."""
    peak = resource.getrusage(who).ru_maxrss
    return peak / (1024 if sys.platform == "linux" else 1024**2)


def write_contexts(path: Path, n: int) -> None:
    """Write n rows of sub-scores in chunks."""
    rng = np.random.default_rng(0)
    values = np.lib.format.open_memmap(path, "w+", np.float32, (n, len(COLUMNS)))
    for start in range(0, n, CHUNK):
        part = values[start : start + CHUNK]
        part[:] = 100 * rng.random(part.shape, np.float32)
    values.flush()


def ratings_of(contexts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a rating for each row, two thirds of it foretold by the contexts."""
    rng = np.random.default_rng(1)
    weights = rng.normal(0.0, 0.5, len(COLUMNS))
    ratings = np.empty(len(contexts), np.float32)
    for start in range(0, len(contexts), CHUNK):
        part = contexts[start : start + CHUNK]
        known = np.nan_to_num(part, nan=50.0)
        ratings[start : start + CHUNK] = (known - 50.0) / 50.0 @ weights
        ratings[start : start + CHUNK] += rng.standard_normal(len(part))
    return ratings


def run(n: int, *, has_bars: bool = False) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Scan `n` symbols twice; return the stages, and the figures of the second scan."""
    stages = Stages()
    with tempfile.TemporaryDirectory(prefix="scanrank-bench-") as folder, own_server() as server:
        path = Path(folder) / "contexts.npy"
        loadings = None
        if has_bars:
            found = made_features(path, n, PROCESSES)
            contexts, loadings = found.values, found.loadings
            stages.end(f"make bars of {n:,}, features in pieces")
        else:
            write_contexts(path, n)
            contexts = np.load(path, mmap_mode="r")
        ratings = ratings_of(contexts)
        symbols = [symbol(number) for number in range(n)]
        stages.end(
            f"{'' if has_bars else f'write {n:,} x {len(COLUMNS)} contexts, '}make ratings, names"
        )
        inputs: dict[str, Any] = {"context": (COLUMNS, contexts), "loadings": loadings}
        with SymbolRanker.open(
            server.url, ruleset="million", rewards=TopShare(TOP), seed=1
        ) as ranker:
            scan = ranker.start_scan(symbols, **inputs, scan_id="first")
            stages.end("first scan: open")
            with scan:
                for _ in range(20):  # 2 % of the universe
                    batch = scan.next_batch(n // 1000)
                    scan.report({s: float(ratings[int(s[1:])]) for s in batch})
                stages.end(f"first scan: 20 batches of {n // 1000:,}")
            stages.end("first scan: close and snapshot")
            # A scan that is done still holds its universe: let it go before the next.
            del scan, batch
            gc.collect()
            scan = ranker.start_scan(symbols, **inputs, scan_id="second")
            stages.end("second scan: open")
            with scan:
                steps = []
                for _ in range(N_STEPS):
                    began = time.perf_counter()
                    batch = scan.next_batch(50)
                    chosen = time.perf_counter()
                    scan.report({s: float(ratings[int(s[1:])]) for s in batch})
                    steps.append((chosen - began, time.perf_counter() - chosen))
                stages.end(f"second scan: {N_STEPS} batches of 50")
                for _ in range(8):
                    batch = scan.next_batch(n // 100)
                    scan.report({s: float(ratings[int(s[1:])]) for s in batch})
                stages.end(f"second scan: 8 batches of {n // 100:,}")
                estimate = scan.estimate()
                stages.end("second scan: estimate of what is left")
                scan.factor_weights()
                scan.queue.peek(20)
                stages.end("second scan: factor weights, 20 best waiting")
                scan.queue.pin(symbols[:3])
                scan.next_batch(10)
                stages.end("second scan: pin three, next batch")
            stages.end("second scan: close and snapshot")
            n_scanned, n_hits = scan.n_scanned, scan.n_hits
        del scan, batch
        with SymbolRanker.open(server.url, ruleset="million", rewards=TopShare(TOP)) as ranker:
            n_known = len(ranker.learned.belief.track.arms)
        stages.end("open the ruleset anew from its snapshot")
        store = RedisStore(server.url)
        stats = store.stats("million")
        store.close()
    choose, report = (1e3 * float(np.median(part)) for part in zip(*steps, strict=True))
    true_hits = round(TOP * n)
    limit = np.partition(ratings, n - true_hits)[n - true_hits]
    figures = {
        "arms": n, "choose_ms": choose, "report_ms": report, "n_scanned": n_scanned,
        "hits_said": n_hits, "hits_in_all": int((ratings >= limit).sum()),
        "recall_said": estimate.recall, "arms_in_snapshot": n_known,
        "snapshot_bytes": stats.snapshot_bytes, "journal_bytes": stats.journal_bytes,
        "peak_mib": peak_mib(),
    }  # fmt: skip
    return stages.rows, figures


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arms", type=int, default=1_000_000)
    parser.add_argument("--bars", action="store_true", help="features from bars, in pieces")
    parser.add_argument("--json", type=Path, help="write stages and figures to this file")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    print(f"{'stage':<48} {'time':>10} {'now MiB':>8} {'peak':>8}")
    stages, figures = run(options.arms, has_bars=options.bars)
    print(
        f"\na batch of 50 of {options.arms:,}: choose {figures['choose_ms']:.1f} ms, learn and "
        f"journal {figures['report_ms']:.1f} ms (medians of {N_STEPS})\n"
        f"{figures['n_scanned']:,} scanned, {figures['hits_said']:,.0f} of about "
        f"{figures['hits_in_all']:,} high-value results; the scan's own estimate "
        f"{figures['recall_said']:.2f}\n"
        f"snapshot of {figures['arms_in_snapshot']:,} arms: {figures['snapshot_bytes'] / 2**20:.0f}"
        f" MiB; journal {figures['journal_bytes'] / 2**20:.0f} MiB\n"
        f"peak memory {figures['peak_mib']:,.0f} MiB, contexts included"
    )
    if options.bars:
        features = stages[0]
        print(
            f"features: {features['cpu_s']:.0f} s of processor time, making the bars twice included"
            f"; all bars at once would be {5 * 8 * N_DAYS * options.arms / 2**30:.1f} GiB, the "
            f"largest of {PROCESSES} workers took {features['worker_peak_mib']:,.0f} MiB, this "
            f"process {features['peak_mib']:,.0f} MiB"
        )
    if options.json:
        options.json.write_text(
            json.dumps({"stages": stages, "figures": figures}, indent=1), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
