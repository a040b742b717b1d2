"""Many scans a day: what a look can still bring, and who is due for one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit.choice.ageing import due_now, something_new


def test_the_chance_of_something_new_by_hand() -> None:
    """After one half-life 1 - 1/2, after two 1 - 1/4; never seen is long ago."""
    found = np.exp(something_new(np.array([30.0, 60.0, np.nan]), 30.0))
    assert found == pytest.approx([0.5, 0.75, 1.0])
    assert np.isfinite(something_new(np.zeros(3), 30.0)).all()


def test_due_by_hand() -> None:
    """Left: 10, 9, 1 and 4 of 10 hours, a scan an hour.

    In order 1, 4, 9, 10, so the pace must be at least 1/1, 2/4, 3/9 and 4/10: one an hour.
    """
    assert due_now(np.array([0.0, 1.0, 9.0, 6.0]), within=10.0, gap=1.0).tolist() == [2]
    # Two that are overdue are due at once.
    assert due_now(np.array([0.0, 11.0, 12.0, 6.0]), within=10.0, gap=1.0).tolist() == [2, 1]


def test_a_long_gap_says_nothing_of_the_scans_to_come() -> None:
    """Forty arms, half of the time gone; after a night a twentieth of 24 hours is reckoned with."""
    age = np.full(40, 12.0)
    assert len(due_now(age, within=24.0, gap=1.0)) == 4  # 40 / 12 an hour
    assert len(due_now(age, within=24.0, gap=17.5)) == 4  # 40 / 12 x 1.2
    assert len(due_now(np.full(40, np.nan), within=24.0, gap=np.inf)) == 2  # 40 / 24 x 1.2


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 60),
    n_scans=st.integers(3, 40),
    n_other=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_nobody_waits_longer_than_promised(n: int, n_scans: int, n_other: int, seed: int) -> None:
    """Scans every hour that look at those due, and at some others at random."""
    rng = np.random.default_rng(seed)
    last, gap, n_due = np.full(n, np.nan), np.inf, []
    for now in range(4 * n_scans):
        due = due_now(now - last, within=float(n_scans), gap=gap)
        n_due.append(due.size)
        last[due] = last[rng.choice(n, min(n, n_other))] = now
        gap = 1.0
        if now >= n_scans:
            assert now - last.min() <= n_scans
    # Looked at a scan before it would be too late, and rounded up.
    assert np.mean(n_due[n_scans:]) <= n / (n_scans - 1) + 1
