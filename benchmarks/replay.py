"""How long does a replay take to rank and learn: ``python -m benchmarks.replay``.

The last 629 trading days of the market data (see `benchmarks._data`), some 1,450 symbols a scan in
batches of 50, through the code that runs live. Beside every scan stands plain numpy and scipy: for
as many batches of as many symbols it multiplies ready features with drawn weights, takes the best
50 and learns from them with one logistic update and a new Cholesky factor; it makes no features,
keeps no history, judges nothing and chooses nothing at random. Machines are shared and noisy: both
take turns, scan by scan, and the whole is replayed three times, with the same choices. The fastest
of the three, scan by scan, is what it takes where nothing else disturbs it.

Before that, the features: the sub-scores of all days of the bars in one causal pass, and read again
from the disk, as every later replay of the same bars does.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
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
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    computed, again = features_seconds()
    print(
        "sub-scores of all days, bars and events read too, s of processor time: "
        f"{computed:.1f}; again, from the disk: {again:.1f}"
    )
    log = _data.ratings_log()
    days = log.days(None, _data.PERIOD_END)[-chosen.scans :]
    rng = np.random.default_rng(0)
    # Seconds of processor time of each scan, in each round.
    ours, bare = (np.empty((chosen.rounds, days.size)) for _ in range(2))
    n_symbols = d = 0
    for i in range(chosen.rounds):
        order = Ranked(
            Configuration(seed=0).open(log.rule, keeps_journal=False), batch_size=BATCH_SIZE
        )
        for j, scan in enumerate(log.scans(days)):
            n = len(scan.symbols)
            n_symbols += n
            began = time.process_time()
            order.visit(scan, n)
            ours[i, j] = time.process_time() - began
            d = order.ranker.learned.belief.expansion.n_features
            features = rng.standard_normal((n, d))
            began = time.process_time()
            plain_scan(features, scan.hits, rng)
            bare[i, j] = time.process_time() - began
    whole, fastest = ours.sum(axis=1), float(ours.min(axis=0).sum())
    ratio = float(np.median(ours / bare))
    print(
        f"{days.size} scans of {n_symbols / ours.size:,.0f} symbols in batches of {BATCH_SIZE}, "
        f"{log.dates[days[0]]} to {log.dates[days[-1]]}, {chosen.rounds} times\n"
        f"ranking and learning, s of processor time: {np.median(whole):.1f} "
        f"({whole.min():.1f} to {whole.max():.1f}); each scan at its fastest: {fastest:.1f}\n"
        f"a scan, ms: {1000 * np.median(ours):.1f}; at its fastest: "
        f"{1000 * np.median(ours.min(axis=0)):.1f}\n"
        f"plain numpy and scipy with {d} ready features, ms: {1000 * np.median(bare):.1f}; "
        f"ours takes {ratio:.2f} x that"
    )
    if chosen.json is not None:
        row: dict[str, float] = {"features_s": computed, "features_again_s": again}
        row |= {"scans": days.size, "s": float(np.median(whole)), "fastest_s": fastest}
        row |= {"numpy_ms": 1000 * float(np.median(bare)), "ratio": ratio}
        chosen.json.write_text(json.dumps([row], indent=1) + "\n", encoding="utf-8")


def features_seconds() -> tuple[float, float]:
    """Take the processor time of the features with an empty disk cache, and with a full one."""
    former = os.environ.get("SCANRANK_CACHE")
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SCANRANK_CACHE"] = folder
        for _ in range(2):
            _data.contexts.cache_clear()
            began = time.process_time()
            _data.contexts()
            seconds.append(time.process_time() - began)
        _data.contexts.cache_clear()
    if former is None:
        del os.environ["SCANRANK_CACHE"]
    else:
        os.environ["SCANRANK_CACHE"] = former
    return seconds[0], seconds[1]


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
