"""Arms that were foreseen are thinned out, and what is learned stays what it was on average."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.belief.thinning import MOST_COUNTED, MOST_NOISE, thin
from bandit.belief.weights import WeightPosterior, laplace_update

CHANCES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=60).map(np.array)


@given(CHANCES, st.integers(0, 10**9))
def test_every_arm_kept_counts_for_as_many_as_its_chance_says(
    probability: np.ndarray, n_before: int
) -> None:
    rows, counts = thin(np.zeros(probability.size), probability, n_before)
    assert (np.diff(rows) > 0).all()
    assert (counts >= 1.0).all()
    assert (counts <= MOST_COUNTED).all()
    # A systematic sample is off by less than one place on the line of chances.
    expected = np.clip(probability / MOST_NOISE, 1.0 / MOST_COUNTED, 1.0).sum()
    assert abs(rows.size - expected) < 1.0 + 1e-6


@given(CHANCES, st.integers(0, 10**9))
def test_what_paid_is_always_kept(probability: np.ndarray, n_before: int) -> None:
    rewards = np.ones(probability.size)
    rows, counts = thin(rewards, probability, n_before)
    assert rows.tolist() == list(range(probability.size))
    assert (counts == 1.0).all()


def test_nothing_is_thinned_out_where_everything_may_pay() -> None:
    rows, counts = thin(np.zeros(50), np.full(50, MOST_NOISE), 7)
    assert rows.size == 50
    assert (counts == 1.0).all()


@pytest.mark.parametrize("k", [1, 7, 50])
def test_arms_reported_one_by_one_are_kept_as_often(k: int) -> None:
    """Reports of one arm each have no sum to carry on: what was reported before starts them."""
    n = 2_100
    counted = sum(
        float(thin(np.zeros(k), np.full(k, 0.01), n_before)[1].sum()) for n_before in range(0, n, k)
    )
    assert counted == pytest.approx(n, rel=0.02)


def test_the_noise_is_bounded() -> None:
    """Over many starts: the sum of kept residuals has the right mean and at most the variance
    that the docstring promises."""
    probability = np.random.default_rng(0).uniform(0.0, 0.1, 200)
    sums = []
    for n_before in range(4_000):
        rows, counts = thin(np.zeros(200), probability, n_before)
        sums.append(counts @ probability[rows])
    assert np.mean(sums) == pytest.approx(probability.sum(), rel=0.002)
    assert np.var(sums) <= MOST_NOISE * probability.sum()


def test_it_depends_on_nothing_random() -> None:
    probability = np.linspace(0.0, 0.1, 50)
    first, again = (thin(np.zeros(50), probability, 12_345) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    other, _ = thin(np.zeros(50), probability, 12_346)
    assert first[0].tolist() != other.tolist()


def test_a_posterior_learns_the_same_from_fewer() -> None:
    """10,000 arms of which 2 % pay, foretold well: the weights that all of them teach lie within
    the noise that was promised of those that a third of them teaches."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((10_000, 4))
    logit = X @ np.array([0.8, -0.5, 0.3, 0.0]) - 4.5
    probability = 1.0 / (1.0 + np.exp(-logit))
    rewards = (rng.random(10_000) < probability).astype(float)
    X = np.column_stack([np.ones(10_000), X])
    prior = WeightPosterior.from_prior([-4.5, 0, 0, 0, 0], np.full(5, 4.0))
    _, whole = laplace_update(prior, X, rewards)
    rows, counts = thin(rewards, probability, 0)
    assert rows.size < 4_000
    _, thinned = laplace_update(prior, X[rows], rewards[rows], counts=counts)
    sd, noise = np.sqrt(whole.variance()), float(MOST_NOISE**0.5)
    np.testing.assert_allclose(thinned.mean, whole.mean, atol=3.0 * noise * sd.max())
    np.testing.assert_allclose(np.sqrt(thinned.variance()), sd, rtol=0.1)
