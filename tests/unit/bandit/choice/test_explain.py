"""What a pick says of itself, and what the learned weights of groups say."""

from __future__ import annotations

import numpy as np
import pytest

from bandit.belief.expansion import Expansion
from bandit.belief.weights import WeightPosterior, laplace_update
from bandit.choice.explain import contributions, group_weights
from bandit.errors import InvalidInputError

COLUMNS = ["factor.a", "factor.b", "a.x", "b.y"]
GROUPS = ["a", "b", "a", "b"]
EXPANSION = Expansion(COLUMNS, n_plain=2)
SEEDS = {"a": 1, "b": 2}


def features(seed: int = 0, n: int = 300) -> np.ndarray:
    context = np.random.default_rng(seed).uniform(0.0, 100.0, (n, 4))
    return EXPANSION.transform(context, np.float64)


def prior() -> WeightPosterior:
    mean = np.zeros(EXPANSION.n_features)
    mean[1:3] = 4.0 * 0.75, 4.0 * 0.25
    return WeightPosterior.from_prior(mean, np.full(mean.size, 0.01))


def weigh(posterior: WeightPosterior, X: np.ndarray, level: float = 0.9) -> dict:
    return group_weights(
        X, SEEDS, posterior, EXPANSION, GROUPS,
        rng=np.random.default_rng(1), level=level,
    )  # fmt: skip


def test_contributions_and_the_constant_add_up_to_the_score() -> None:
    X, w = features(), np.random.default_rng(3).normal(size=EXPANSION.n_features)
    parts = contributions(X, w, EXPANSION, GROUPS)
    assert sum(parts.values()) + w[0] == pytest.approx(X @ w)


def test_with_the_prior_alone_the_weights_are_the_seed_weights() -> None:
    weights = weigh(prior(), features())
    assert weights["a"].prior == pytest.approx(0.75)
    assert weights["b"].learned == pytest.approx(0.25)
    assert weights["a"].low < 0.75 < weights["a"].high


def test_a_group_that_pays_gains_weight() -> None:
    """Rewards that follow only a column of group b move its share up, and narrow the interval."""
    posterior = prior()
    X = features(7, 2_000)
    rewards = (X[:, EXPANSION.column_of == 3][:, 0] > 0.5).astype(float)
    learned = laplace_update(posterior, X, rewards)
    before, after = weigh(posterior, X), weigh(learned, X)
    assert after["b"].learned > before["b"].learned + 0.2
    assert after["b"].learned + after["a"].learned == pytest.approx(1.0)
    assert after["b"].low <= after["b"].learned <= after["b"].high


def test_weights_are_spreads_of_contributions_over_arms() -> None:
    """The plain way, draw by draw and arm by arm, says the same as the covariance."""
    X, posterior = features(5), prior()
    spread = {group: np.std(X[:, at]) for group, at in SEEDS.items()}

    def shares(w: np.ndarray) -> np.ndarray:
        parts = contributions(X, w, EXPANSION, GROUPS)
        moved = np.array([np.std(parts[group]) / spread[group] for group in SEEDS])
        return moved / moved.sum()

    draws = np.array([shares(w) for w in posterior.draw(np.random.default_rng(1), 400)])
    low, high = (
        shares(posterior.mean) + np.quantile(draws, [0.05, 0.95], axis=0) - np.median(draws, 0)
    )
    for i, weight in enumerate(weigh(prior(), X).values()):
        assert (weight.low, weight.high) == pytest.approx((low[i], high[i]), rel=1e-9)
        assert weight.learned == pytest.approx(shares(posterior.mean)[i], rel=1e-9)


def test_the_interval_holds_the_weight_where_nothing_is_known() -> None:
    """Wide draws move both groups about alike, though the weights are 0.75 and 0.25."""
    mean = prior().prior_mean
    wide = WeightPosterior.from_prior(mean, np.full(mean.size, 100.0))
    for weight in weigh(wide, features(), level=0.2).values():
        assert 0.0 <= weight.low < weight.learned < weight.high <= 1.0


def test_groups_must_name_every_column() -> None:
    with pytest.raises(InvalidInputError, match="3 group names for 4 columns"):
        contributions(features(), np.zeros(EXPANSION.n_features), EXPANSION, GROUPS[:3])
