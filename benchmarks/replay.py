"""How long does a replay take to rank and learn: ``python -m benchmarks.replay``.

The last 629 trading days of the market data (see `benchmarks._data`), some 1,450 symbols a scan in
batches of 50, through the code that runs live. Beside every scan stands plain numpy and scipy: for
as many batches of as many symbols it multiplies ready features with drawn weights, takes the best
50 and learns from them with one logistic update and a new Cholesky factor; it makes no features,
keeps no history, judges nothing and chooses nothing at random. Machines are shared and noisy: both
take turns, scan by scan.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular
from scipy.special import expit

from benchmarks import _data
from scanner_adapter.replay import Configuration, Ranked

BATCH_SIZE = 50


def main() -> None:
    """Replay, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scans", type=int, default=_data.N_SCANS)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    log = _data.ratings_log()
    days = log.days(None, _data.PERIOD_END)[-chosen.scans :]
    order = Ranked(Configuration(seed=0).open(log.rule, keeps_journal=False), batch_size=BATCH_SIZE)
    rng = np.random.default_rng(0)
    wall, processor, bare = [], [], []
    n_symbols = d = 0
    for scan in log.scans(days):
        n = len(scan.symbols)
        n_symbols += n
        began, began_processor = time.perf_counter(), time.process_time()
        order.visit(scan, n)
        processor.append(time.process_time() - began_processor)
        wall.append(time.perf_counter() - began)
        d = order.ranker.learned.ranker.expansion.n_features
        features = rng.standard_normal((n, d))
        began_processor = time.process_time()
        plain_scan(features, scan.hits, rng)
        bare.append(time.process_time() - began_processor)
    quartiles = 1000.0 * np.percentile(processor, [25, 50, 75])
    ratio = float(np.median(np.array(processor) / np.array(bare)))
    print(
        f"{len(days)} scans of {n_symbols / len(days):,.0f} symbols in batches of {BATCH_SIZE}, "
        f"{log.dates[days[0]]} to {log.dates[days[-1]]}\n"
        f"ranking and learning: {sum(wall):.1f} s, {sum(processor):.1f} s of processor time\n"
        f"a scan: {quartiles[1]:.1f} ms of processor time "
        f"(middle half {quartiles[0]:.1f} to {quartiles[2]:.1f})\n"
        f"plain numpy, {d} ready features: {1000.0 * np.median(bare):.1f} ms; "
        f"ours takes {ratio:.2f} x that"
    )
    if chosen.json is not None:
        row = {"scans": len(days), "wall_s": sum(wall), "processor_s": sum(processor)}
        row |= {"ms": quartiles[1], "numpy_ms": 1000.0 * float(np.median(bare)), "ratio": ratio}
        chosen.json.write_text(json.dumps([row], indent=1) + "\n", encoding="utf-8")


def plain_scan(
    features: NDArray[np.float64], hits: NDArray[np.bool_], rng: np.random.Generator
) -> None:
    """Rank and learn a scan of n symbols with features (n, d), of which `hits` (n,) pay."""
    n, d = features.shape
    precision, shift = np.eye(d), np.zeros(d)
    is_left = np.ones(n, bool)
    for _ in range(-(-n // BATCH_SIZE)):
        factor = np.linalg.cholesky(precision)
        mean = cho_solve((factor, True), shift, check_finite=False)
        noise = rng.standard_normal((d,))
        drawn = mean + solve_triangular(factor, noise, lower=True, trans=1, check_finite=False)
        left = np.flatnonzero(is_left)
        scores = (features @ drawn)[left]
        k = min(BATCH_SIZE, left.size)
        batch = left[np.argpartition(-scores, k - 1)[:k]]
        is_left[batch] = False
        X = features[batch]
        p = expit(X @ mean)
        weight = p * (1.0 - p)
        precision = precision + (X.T * weight) @ X
        shift = shift + (weight * (X @ mean) + hits[batch] - p) @ X


if __name__ == "__main__":
    main()
