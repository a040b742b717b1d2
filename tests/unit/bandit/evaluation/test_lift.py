"""Lift over strata of one probability: by hand, on noise, on real effects, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bandit.errors import InvalidInputError
from bandit.evaluation.lift import Lift, lift

# (probability, scans): rollouts as people change them.
HISTORIES = {
    "raised at once": [(0.1, 60), (0.9, 60)],
    "raised in steps": [(0.1, 30), (0.3, 30), (0.5, 30), (0.9, 30)],
    "for every scan": [(share, 1) for share in np.linspace(0.1, 0.9, 100)],
    "up and down": [(0.5, 20), (0.9, 40), (0.1, 40)],
}


def noise(rng: np.random.Generator, shares: np.ndarray, effect: float = 1.0) -> Lift:
    """Hits that become more common with time; treatment multiplies them by `effect`."""
    n = len(shares)
    is_treated = rng.random(n) < shares
    hits = rng.poisson(np.linspace(1.0, 6.0, n) * np.where(is_treated, effect, 1.0))
    return lift(hits, is_treated, shares, rng)


def shares_of(history: list[tuple[float, int]]) -> np.ndarray:
    return np.concatenate([np.full(n, share) for share, n in history])


@pytest.mark.parametrize("name", HISTORIES)
@pytest.mark.parametrize("effect", [1.0, 1.5])
def test_the_interval_holds_the_effect(name: str, effect: float) -> None:
    """200 histories, 95 % intervals: 190 expected, with a standard deviation of 3.1; the pooled
    ratio, which ignores the probabilities, would be above 1.5 in the first history."""
    rng = np.random.default_rng(5)
    shares = shares_of(HISTORIES[name])
    found = [noise(rng, shares, effect) for _ in range(200)]
    assert 184 <= sum(each.low <= effect <= each.high for each in found) <= 198
    assert np.median([each.ratio for each in found]) == pytest.approx(effect, rel=0.05)
    assert all(each.low <= each.ratio <= each.high for each in found)


def test_by_hand() -> None:
    """Two strata. First: treated 4; untreated 1, 1, 1, 1 (p = 0.2). Second: treated 10, 10, 10,
    10; untreated 5 (p = 0.8). Weights n1 n0 / n = 0.8 in both: (4 + 10) / (1 + 5) = 2.33."""
    values, treated = [4, 1, 1, 1, 1, 10, 10, 10, 10, 5], [1, 0, 0, 0, 0, 1, 1, 1, 1, 0]
    probability = [0.2] * 5 + [0.8] * 5
    # Fewer than eight scans of a probability share a stratum; four times as many do not.
    found = lift(values * 4, treated * 4, probability * 4, np.random.default_rng(0))
    assert found.n_strata == 2
    assert found.ratio == pytest.approx(14 / 6)
    assert (found.treated.mean, found.untreated.mean) == (7.0, 3.0)
    assert (found.treated.n, found.untreated.n) == (20, 20)


def test_one_kind_alone_has_a_mean_and_no_ratio() -> None:
    found = lift([1, 2, 3], [0, 0, 0], [0.1] * 3, np.random.default_rng(0))
    assert math.isnan(found.ratio)
    assert found.untreated.mean == 2.0
    assert found.treated.n == 0


def test_nothing_found_without_treatment_has_no_upper_end() -> None:
    found = lift([3, 2, 0, 0] * 5, [1, 1, 0, 0] * 5, [0.5] * 20, np.random.default_rng(0))
    assert found.ratio == math.inf
    assert 1.0 < found.low < math.inf
    assert found.high == math.inf


def test_nothing_found_with_treatment_has_no_lower_end() -> None:
    found = lift([0, 0, 3, 2] * 5, [1, 1, 0, 0] * 5, [0.5] * 20, np.random.default_rng(0))
    assert found.ratio == found.low == 0.0
    assert 0.0 < found.high < 1.0


def test_all_zero_says_nothing() -> None:
    found = lift([0] * 20, [1, 0] * 10, [0.5] * 20, np.random.default_rng(0))
    assert math.isnan(found.ratio)


@pytest.mark.parametrize(
    ("values", "treated", "probability", "message"),
    [
        ([1, 2], [1], [0.5, 0.5], "one length"),
        ([1, -2], [1, 0], [0.5, 0.5], "at least 0"),
        ([1, math.nan], [1, 0], [0.5, 0.5], "at least 0"),
        ([1, 2], [1, 0], [0.5, 1.5], r"in \[0, 1\]"),
    ],
)
def test_bad_rows_are_refused(
    values: list[float], treated: list[int], probability: list[float], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        lift(values, treated, probability, np.random.default_rng(0))


def test_a_level_in_percent_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="level is 95; expected a number in"):
        lift([1, 2], [1, 0], [0.5, 0.5], np.random.default_rng(0), level=95)
