"""Scoring only the arms that can be picked picks the same arms as scoring them all."""

from __future__ import annotations

import numpy as np
import pytest

from bandit import Belief, BeliefSettings, Signal
from bandit.belief.expansion import Expansion
from bandit.choice.open_scan import OpenScan
from bandit.choice.scores import CACHE_BYTES, BoundedScores, DenseScores

N, COLUMNS = 3_000, ["factor.a", "factor.b", *(f"market.c{i}" for i in range(10))]
SEEDS = {"factor.a": 0.6, "factor.b": 0.4}
RNG = np.random.default_rng(11)
CONTEXT = RNG.uniform(0.0, 100.0, (N, len(COLUMNS)))
LOADINGS = RNG.normal(size=(N, 3)).astype(np.float32)
TRUTH = RNG.normal(0.0, 1.0, len(COLUMNS))
OPENED = {"scan_time": 1.0, "columns": COLUMNS}


def report(ranker: Belief, rows: np.ndarray, seed: int) -> np.ndarray:
    """Fold a report of `rows` whose rewards follow TRUTH; return the rewards."""
    x = CONTEXT[rows]
    chance = 1.0 / (1.0 + np.exp(2.0 - (x - 50.0) / 50.0 @ TRUTH))
    rewards = (np.random.default_rng(seed).random(rows.size) < chance).astype(float)
    arrays = {"context": x, "reward": rewards, "probability": chance}
    ranker.fold("report", OPENED, [str(row) for row in rows], arrays)
    return rewards


def taught(n_reports: int) -> Belief:
    ranker = Belief(BeliefSettings(seed_weights=SEEDS, rule=Signal()))
    ranker.fold("open", OPENED, (), {})
    for seed in range(n_reports):
        report(ranker, np.random.default_rng(seed).choice(N, 50, replace=False), seed)
    return ranker


def picks(n_reports: int, dense_up_to: int) -> list[np.ndarray]:
    """Twelve batches with learning between them."""
    ranker = taught(n_reports)
    nothing = np.zeros(N)
    scan = OpenScan(
        ranker, "scan", tuple(map(str, range(N))), CONTEXT, LOADINGS, ("component",) * 3,
        np.random.default_rng(5), nothing, nothing, dense_up_to=dense_up_to,
    )  # fmt: skip
    assert isinstance(scan.scores, DenseScores if dense_up_to else BoundedScores)
    batches = []
    for step in range(12):
        rows = scan.select(50).arms
        batches.append(rows)
        scan.observe(rows, np.full(50, np.nan), report(ranker, rows, 1_000 + step))
    return batches


@pytest.mark.parametrize("n_reports", [0, 20, 400])
def test_bounded_picks_equal_dense_picks(n_reports: int) -> None:
    """Same seed, same draws: cold, half taught and taught, over a scan that learns."""
    for dense, bounded in zip(picks(n_reports, N), picks(n_reports, 0), strict=True):
        assert dense.tolist() == bounded.tolist()


@pytest.mark.parametrize("cache_bytes", [0, CACHE_BYTES])
def test_few_contend_once_taught_and_none_of_the_best_is_missed(cache_bytes: int) -> None:
    ranker = taught(400)
    bounded = BoundedScores(CONTEXT, ranker.expansion, ranker.moments, cache_bytes)
    dense = DenseScores(CONTEXT, ranker.expansion)
    report(ranker, np.arange(50), 9)  # the mean moves on from the anchor
    free, extra = np.ones(N, bool), np.zeros(N, np.float32)
    draws = ranker.moments.draw(np.random.default_rng(2), 200, 0.3)
    rows = bounded.contenders(free, 50, ranker.moments, draws[0], 0.3, extra)
    for weights in draws:
        best = np.argsort(-dense.linear(np.arange(N), weights))[:50]
        assert np.isin(best, rows).all()
    assert rows.size < N / 3
    # Sums in float32 over some 40 features of size one agree to about 1e-5.
    some = np.arange(0, N, 7)
    assert bounded.linear(some, ranker.moments.mean) == pytest.approx(
        dense.linear(some, ranker.moments.mean), abs=1e-4
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_without_features_equal_features_times_weights(dtype: type) -> None:
    """Lines, hinges at both ends, products with themselves and others, and unknown values."""
    rng = np.random.default_rng(3)
    columns = [f"c{i}" for i in range(12)]
    context = (100.0 * rng.random((500, 12))).astype(dtype)
    context[rng.random(context.shape) < 0.2] = np.nan
    for crossed in (columns[3:7], ()):
        expansion = Expansion(
            columns, n_plain=2, crossed=crossed, upper=(70.0, 90.0), lower=(20.0,)
        )
        weights = rng.normal(size=expansion.n_features)
        plain = expansion.transform(context, np.float64) @ weights
        np.testing.assert_allclose(expansion.linear(context, weights), plain, atol=2e-5)
