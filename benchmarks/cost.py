"""Slopes of what a scan costs, and what they say of 100 million arm-scans a day.

Run ``python -m benchmarks.cost`` (about a minute). Processor time, so that a busy machine matters
less; everything in one process on the memory store, which leaves out the server's own time
(`benchmarks.store` has the round trips). 30 sub-scores, rows with a rating only.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np

from bandit.stores.sqlite.store import SqliteStore
from benchmarks.scale import RULES, SETTINGS, World
from scanner_adapter import SymbolRanker
from scanner_adapter.state.check import fold_journal

BATCHES = (25, 50, 100, 250)
ARM_SCANS_A_DAY = 100e6
DAY_S = 86_400.0


def one_scan(n: int, k: int, n_batches: int) -> dict[str, float]:
    """Return processor milliseconds of a step and of folding its report, and bytes per outcome."""
    world, store = World(n), SqliteStore()
    ranker = SymbolRanker(store, ruleset=RULES, settings=SETTINGS, seed=0)
    ratings = world.ratings(0)
    with ranker.start_scan(world.symbols, **world.inputs(0)) as scan:
        start = time.process_time()
        for _ in range(n_batches):
            scan.report({s: float(ratings[int(s[1:])]) for s in scan.next_batch(k)})
        step = time.process_time() - start
    start = time.process_time()
    fold_journal(store, RULES, SETTINGS)
    fold = time.process_time() - start
    n_bytes = store.stats(RULES).journal_bytes
    return {
        "arms": n, "batch": k, "step_ms": 1e3 * step / n_batches, "fold_ms": 1e3 * fold / n_batches,
        "bytes_per_outcome": n_bytes / (k * n_batches),
    }  # fmt: skip


def slopes(rows: list[dict[str, float]], large: dict[str, float]) -> dict[str, float]:
    """Fit a report's cost as fixed + per outcome, and a step's as growing with the arms."""
    k = np.array([row["batch"] for row in rows])
    per_outcome, per_report = np.polyfit(k, [row["fold_ms"] for row in rows], 1)
    step_per_outcome, step_fixed = np.polyfit(k, [row["step_ms"] for row in rows], 1)
    same = next(row for row in rows if row["batch"] == large["batch"])
    per_arm = (large["step_ms"] - same["step_ms"]) / (large["arms"] - same["arms"])
    return {
        "fold_ms_per_report": float(per_report),
        "fold_ms_per_outcome": float(per_outcome),
        "step_ms_per_batch": float(step_fixed),
        "step_ms_per_outcome": float(step_per_outcome),
        "step_ms_per_1000_arms": 1e3 * per_arm,
        "bytes_per_outcome": same["bytes_per_outcome"],
    }


def a_day(found: dict[str, float], *, k: int, workers: int) -> dict[str, float]:
    """Return what `ARM_SCANS_A_DAY` cost in batches of k, all of one ruleset, by `workers`."""
    n_reports = ARM_SCANS_A_DAY / k
    step = n_reports * (found["step_ms_per_batch"] + k * found["step_ms_per_outcome"]) / 1e3
    fold = n_reports * (found["fold_ms_per_report"] + k * found["fold_ms_per_outcome"]) / 1e3
    return {
        "workers": workers,
        "reports_per_s": n_reports / DAY_S,
        "step_cores": step / DAY_S,
        "fold_cores": (workers - 1) * fold / DAY_S,
        "journal_gb": ARM_SCANS_A_DAY * found["bytes_per_outcome"] / 1e9,
    }


def main() -> None:
    """Print slopes and prediction."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write slopes and prediction to this file")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    one_scan(2_000, 50, 20)  # warms the caches
    rows = [one_scan(5_000, k, 4_000 // k) for k in BATCHES]
    large = one_scan(100_000, 50, 40)
    print(f"{'arms':>8} {'batch':>6} {'step ms':>8} {'fold ms':>8} {'bytes/outcome':>14}")
    for row in (*rows, large):
        print(
            f"{row['arms']:8,.0f} {row['batch']:6.0f} {row['step_ms']:8.2f} {row['fold_ms']:8.2f} "
            f"{row['bytes_per_outcome']:14.0f}"
        )
    found = slopes(rows, large)
    print(
        f"\na report costs every other worker {found['fold_ms_per_report']:.2f} ms + "
        f"{1e3 * found['fold_ms_per_outcome']:.1f} us an outcome\n"
        f"a batch costs its own worker {found['step_ms_per_batch']:.2f} ms + "
        f"{1e3 * found['step_ms_per_outcome']:.1f} us an outcome, and "
        f"{found['step_ms_per_1000_arms']:.3f} ms more for every 1,000 arms (a belief that has "
        "learned little)"
    )
    print(f"\n{ARM_SCANS_A_DAY:,.0f} arm-scans a day in batches of 50, one ruleset:")
    days: list[dict[str, Any]] = [a_day(found, k=50, workers=w) for w in (1, 10, 100)]
    for day in days:
        print(
            f"{day['workers']:5.0f} workers: {day['reports_per_s']:.0f} reports a second; "
            f"{day['step_cores']:.2f} cores choose and learn, {day['fold_cores']:.2f} fold what "
            f"others reported; journal {day['journal_gb']:.0f} GB a day"
        )
    if options.json:
        options.json.write_text(json.dumps({"slopes": found, "days": days}, indent=1))


if __name__ == "__main__":
    main()
