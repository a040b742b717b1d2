"""What scans are expected to leave out."""

from __future__ import annotations

import pytest

from bandit.belief.recall import Coverage


def test_by_hand() -> None:
    """One made-up scan that saw nothing, then 100 %, then 25 %; the older counts 0.95."""
    coverage = Coverage()
    coverage = coverage.learn(80, 80)
    assert coverage.expected_left_out == pytest.approx(1.0 / 2.0)
    coverage = coverage.learn(20, 80)
    assert coverage.expected_left_out == pytest.approx((1.0 + 0.75) / (1.0 + 0.95 + 1.0))


def test_a_habit_is_learned_and_unlearned() -> None:
    coverage = Coverage()
    for _ in range(200):
        coverage = coverage.learn(100, 100)
    assert coverage.expected_left_out == pytest.approx(1.0 / 21.0, rel=1e-3)  # never quite zero
    for _ in range(40):
        coverage = coverage.learn(10, 100)
    assert coverage.expected_left_out > 0.7
