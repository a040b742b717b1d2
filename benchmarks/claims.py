"""Do `tune` and `compare` claim gains where there are none? ``python -m benchmarks.claims``.

Logs of noise: their hits have nothing to do with any sub-score, so that no settings are better than
others. Logs with known best weights: one sub-score of one factor makes the rating, so that all
weight belongs to that factor. Histories of noise: scans of a ranker whose rollout is raised while
hits become more common, so that the true lift is 1. Needs no data; minutes on one core.
"""

from __future__ import annotations

import argparse
from collections import Counter
from datetime import UTC, datetime, timedelta

import joblib
import numpy as np
from rich.console import Console

from bandit.rewards import Threshold, TopShare
from features.similarity import Loadings
from scanner_adapter import SymbolRanker, compare
from scanner_adapter.replay import RecordedLog
from scanner_adapter.replay.logs.recorded import RecordedScan
from scanner_adapter.replay.tuning.result import TuneResult
from scanner_adapter.replay.tuning.tune import tune
from scanner_adapter.state.comparison import Comparison

FACTORS = ("market", "fundamental", "technical")  # history comes from the scans themselves
N_SYMBOLS, N_SCANS, WARMUP, BATCH = 60, 80, 10, 10
START = datetime(2024, 1, 1, 21, tzinfo=UTC)
SYMBOLS = tuple(f"S{i:03}" for i in range(N_SYMBOLS))


def made_log(seed: int, best: str | None) -> RecordedLog:
    """Scans of two sub-scores a factor; the rating is noise, or the first one of `best`."""
    rng = np.random.default_rng(seed)
    names = tuple(f"{factor}.{letter}" for factor in FACTORS for letter in "ab")
    scans = []
    for day in range(N_SCANS):
        known = rng.random((N_SYMBOLS, len(names))).astype(np.float32) * 100.0
        rating = rng.normal(0.0, 10.0, N_SYMBOLS)
        if best is not None:
            rating += known[:, names.index(f"{best}.a")]
        scans.append(
            RecordedScan(
                START + timedelta(days=day), SYMBOLS, names, known,
                Loadings((), np.empty((N_SYMBOLS, 0), np.float32)), rating,
                np.full(N_SYMBOLS, -1, np.int8),
            )
        )  # fmt: skip
    return RecordedLog(tuple(scans), TopShare(0.1))


def tuned(seed: int, best: str | None, trials: int) -> TuneResult:
    """Search settings on a made log."""
    return tune(
        made_log(seed, best), trials=trials, n_jobs=1, warmup=WARMUP, batch_size=BATCH, seed=seed
    )


def compared(seed: int, n_scans: int = 60) -> Comparison:
    """Scan noise with a rollout of 10 %, then with one of 90 % and hits four times as common."""
    rng = np.random.default_rng(seed)
    store, now = SymbolRanker.open("memory://", ruleset="t").store, START
    for phase, (share, chance) in enumerate(((0.1, 0.05), (0.9, 0.2))):
        ranker = SymbolRanker.open(
            store, ruleset="t", seed=2 * seed + phase, rewards=Threshold(1.0), rollout=share
        )
        for _ in range(n_scans):
            now += timedelta(days=1)
            is_hit = dict(zip(SYMBOLS, (rng.random(N_SYMBOLS) < chance).astype(float), strict=True))
            context = (["technical.a"], 100.0 * rng.random((N_SYMBOLS, 1)))
            with ranker.start_scan(SYMBOLS, context=context, now=now) as scan:
                for _ in range(2):
                    scan.report({symbol: is_hit[symbol] for symbol in scan.next_batch(BATCH)})
    return compare(store, "t")


def main() -> None:
    """Print how often a gain is claimed, or missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--logs", type=int, default=100, help="of noise, for tune")
    parser.add_argument("--planted", type=int, default=10, help="logs of each factor, for tune")
    parser.add_argument("--trials", type=int, default=10, help="of each search")
    parser.add_argument("--histories", type=int, default=200, help="of noise, for compare")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    console = Console(highlight=False)
    run = joblib.Parallel(n_jobs=options.jobs)
    noise = run(joblib.delayed(tuned)(seed, None, options.trials) for seed in range(options.logs))
    if noise:
        claims = Counter(result.verdict.split(":")[0] for result in noise)
        console.print(
            f"tune, {len(noise)} logs of noise: a gain claimed in "
            f"{sum(result.is_better for result in noise)}. {_counts(claims)}"
        )
    for best in FACTORS if options.planted else ():
        found = run(
            joblib.delayed(tuned)(seed, best, options.trials) for seed in range(options.planted)
        )
        verdicts = Counter(result.verdict.split(":")[0] for result in found)
        weights = [result.found.weights[best] for result in found if result.is_better]
        console.print(
            f"tune, {len(found)} logs of which {best} is all: {_counts(verdicts)}"
            + (f"; its weight where it pays {min(weights):.2f} or more" if weights else "")
        )
    pairs = run(joblib.delayed(compared)(seed) for seed in range(options.histories))
    inside = [pair.lift_low <= 1.0 <= pair.lift_high for pair in pairs]
    if inside:
        console.print(
            f"compare, {len(pairs)} histories of noise: 1.0 is in the 95 % interval of "
            f"{np.mean(inside):.1%}; median lift {np.median([p.lift for p in pairs]):.2f}, "
            f"interval {np.median([p.lift_low for p in pairs]):.2f} to "
            f"{np.median([p.lift_high for p in pairs]):.2f}"
        )


def _counts(verdicts: Counter[str]) -> str:
    return ", ".join(f"{words}: {n}" for words, n in verdicts.most_common())


if __name__ == "__main__":
    main()
