"""The very first scan: it looks around, and learns from ratings while hits are few."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bandit.belief.belief import Belief, BeliefSettings
from bandit.choice.first_scan import ridge, slope_of, spread_out
from bandit.choice.open_scan import OpenScan
from bandit.rewards import Signal, TopShare

SEEDS = {"factor.a": 0.7, "factor.b": 0.3}
COLUMNS = (*SEEDS, "a.x", "a.y")
N = 400
CONTEXT = np.random.default_rng(8).uniform(0.0, 100.0, (N, len(COLUMNS)))


def first_scan(context: np.ndarray = CONTEXT, seed: int = 0, **settings: Any) -> OpenScan:
    settings = {"rule": Signal(), "random_share": 0.0, **settings}
    belief = Belief(BeliefSettings(seed_weights=SEEDS, **settings))
    belief.fold("open", {"scan_time": 1.0, "columns": list(COLUMNS)}, (), {})
    arms = [f"S{i}" for i in range(len(context))]
    return OpenScan(
        belief, "first", arms, context, COLUMNS, rng=np.random.default_rng(seed)
    )  # fmt: skip


def composite(context: np.ndarray = CONTEXT) -> np.ndarray:
    return 0.7 * context[:, 0] + 0.3 * context[:, 1]


class TestLookingAround:
    def test_by_hand(self) -> None:
        """Variances 9, 8 and 4 of the rows; the second is nearly the first, the third another.

        With noise 1, row 1 keeps 8 - (3 x 2.8)^2 / 10 = 0.944 after row 0, row 2 all of its 4.
        """
        X = np.array([[3.0, 0.0], [2.8, 0.4], [0.0, 2.0]])
        assert spread_out(X, np.ones(2), 3).tolist() == [0, 2, 1]

    def test_what_is_held_for_certain_teaches_little(self) -> None:
        X = np.array([[3.0, 0.0], [0.0, 2.0]])
        assert spread_out(X, np.array([100.0, 1.0]), 1).tolist() == [1]

    def test_rows_alike_are_each_chosen_once(self) -> None:
        assert sorted(spread_out(np.ones((5, 3)), np.ones(3), 5).tolist()) == [0, 1, 2, 3, 4]

    def test_half_of_the_first_batch_is_spread_and_half_the_best(self) -> None:
        chosen = first_scan().select(40).arms
        assert np.unique(chosen).size == 40
        best = np.argsort(-composite())[:100]
        assert 20 <= np.isin(chosen, best).sum() < 40
        extreme = np.abs(CONTEXT[chosen[:20]] - 50.0).mean()
        assert extreme > np.abs(CONTEXT - 50.0).mean() + 5.0

    def test_a_first_batch_of_everything_holds_each_arm_once(self) -> None:
        """However large: so many look around, and the rest are the best."""
        chosen = first_scan().select(N).arms
        assert sorted(chosen.tolist()) == list(range(N))

    def test_without_features_it_is_no_input_order(self) -> None:
        """400 arms alike, 20 a batch, 200 seeds: each expects 10, sd 3."""
        counts = np.zeros(N)
        for seed in range(200):
            counts[first_scan(np.full_like(CONTEXT, 50.0), seed).select(20).arms] += 1
        assert counts.max() < 30

    def test_without_exploration_the_order_is_the_composites(self) -> None:
        scan = first_scan(exploration=0.0)
        order = np.concatenate([scan.select(50).arms for _ in range(8)])
        np.testing.assert_array_equal(order, np.argsort(-composite()))

    def test_the_second_scan_does_not(self) -> None:
        scan = first_scan()
        scan.belief.fold("close", {}, (), {})
        arms = [f"S{i}" for i in range(N)]
        second = OpenScan(
            scan.belief, "second", arms, CONTEXT, COLUMNS, rng=np.random.default_rng(0)
        )
        assert np.isin(second.select(40).arms, np.argsort(-composite())[:80]).all()


class TestRatings:
    def test_equal_ratings_share_their_score(self) -> None:
        """Zeros but for one: the lowest four at the quantile 4 / 10, the best at 9 / 10."""
        _, z = ridge(np.ones((5, 1)), np.array([0.0, 0.0, 7.0, 0.0, 0.0]), np.ones(1))
        np.testing.assert_allclose(
            z, [-0.253347, -0.253347, 1.281552, -0.253347, -0.253347], atol=1e-6
        )

    def test_the_gate_opens_with_hits_among_the_best_ratings(self) -> None:
        """And turns where hits have the lowest ones; with no hit it stays near its prior."""
        z = np.linspace(-2.0, 2.0, 200)
        assert slope_of(z, (z > 1.5).astype(float), -3.0) > 2.0
        assert slope_of(z, (z < -1.5).astype(float), -3.0) < -1.0
        assert slope_of(z, (np.arange(200) % 20 == 0).astype(float), -3.0) == pytest.approx(
            0, abs=0.3
        )
        assert slope_of(z[:3], np.zeros(3), -3.0) == pytest.approx(1.0, abs=0.2)

    @pytest.mark.parametrize("rule", [TopShare(0.05), Signal()])
    def test_ratings_that_contradict_the_composite_turn_the_order(self, rule: Any) -> None:
        """What the composite ranks last is rated best: after two batches it comes first.

        Hits are the twenty best ratings; random order would have 5 of them in 100 symbols.
        """
        rating = -composite()
        is_hit = (rating >= np.sort(rating)[-20]).astype(float)
        scan = first_scan(rule=rule)
        found = []
        for _ in range(4):
            rows = scan.select(25).arms
            probability = scan.predict(rows).probability
            reward = scan.judge(rating[rows], is_hit[rows], probability)
            scan.observe(rows, rating[rows], reward)
            found.append(is_hit[rows].sum())
        assert sum(found) >= 15

    def test_without_ratings_nothing_is_added(self) -> None:
        scan = first_scan()
        rows = scan.select(25).arms
        scan.observe(rows, np.full(25, np.nan), (rows % 2).astype(float))
        assert scan._hint is not None
        assert scan._hint.added == 0.0
