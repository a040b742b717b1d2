"""Exact inclusion probabilities of a batch with a uniform quota."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.choice.draw import batch_propensity, round_stochastically


def test_by_counting_every_draw_of_the_quota() -> None:
    """7 arms, batch of 4, quota 2: all 21 pairs that the quota can draw, counted."""
    counts, pairs = np.zeros(7), list(combinations(range(7), 2))
    for drawn in pairs:
        best = [rank for rank in range(7) if rank not in drawn][:2]
        counts[[*drawn, *best]] += 1
    np.testing.assert_allclose(
        batch_propensity(np.arange(7), n_remaining=7, k=4, quota=2.0), counts / len(pairs)
    )


def test_a_quota_that_is_no_whole_number_is_the_mean_of_its_neighbours() -> None:
    """Quota 0.25 of a batch of 2 from 4: 0.75 x (1, 1, 0, 0) + 0.25 x (1, 0.5, 0.25, 0.25)."""
    np.testing.assert_allclose(
        batch_propensity(np.arange(4), n_remaining=4, k=2, quota=0.25), [1, 0.875, 0.0625, 0.0625]
    )


def test_it_is_what_choosing_does() -> None:
    """20,000 batches of 5 from 12, quota 1.5; the standard error of a share is below 0.0036."""
    rng = np.random.default_rng(0)
    counts = np.zeros(12)
    for _ in range(20_000):
        drawn = rng.choice(12, round_stochastically(1.5, rng), replace=False)
        best = np.setdiff1d(np.arange(12), drawn)[: 5 - len(drawn)]
        counts[drawn] += 1
        counts[best] += 1
    np.testing.assert_allclose(
        counts / 20_000, batch_propensity(np.arange(12), n_remaining=12, k=5, quota=1.5), atol=0.015
    )


@given(st.integers(1, 60), st.data())
def test_probabilities_sum_to_the_batch_and_fall_with_the_rank(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n))
    quota = data.draw(st.floats(0.0, k))
    probability = batch_propensity(np.arange(n), n_remaining=n, k=k, quota=quota)
    assert probability.sum() == pytest.approx(k)
    assert (np.diff(probability) <= 1e-12).all()
    assert probability.min() >= 0.0
    assert probability.max() <= 1.0 + 1e-12
