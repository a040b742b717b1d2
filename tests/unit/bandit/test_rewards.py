"""What counts as a hit, on scales of any kind, and the running limit of a top share."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bandit.belief.recall import RecallModel
from bandit.errors import InvalidInputError
from bandit.rewards import RunningLimit, Signal, Threshold, TopShare

NAN = float("nan")


class TestRules:
    def test_a_signal_is_a_hit(self) -> None:
        rewards = Signal().judge(np.array([9.0, NAN, 1.0]), np.array([1.0, 0.0, NAN]), NAN)
        np.testing.assert_array_equal(rewards, [1.0, 0.0, NAN])

    def test_a_threshold_is_the_users_own_number(self) -> None:
        rewards = Threshold(70.0).judge(np.array([70.0, 69.9, NAN]), np.zeros(3), 5.0)
        np.testing.assert_array_equal(rewards, [1.0, 0.0, NAN])

    def test_a_top_share_is_judged_by_the_running_limit(self) -> None:
        rewards = TopShare(0.1).judge(np.array([5.0, 4.9, NAN]), np.zeros(3), 5.0)
        np.testing.assert_array_equal(rewards, [1.0, 0.0, NAN])

    @pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 5.0, NAN])
    def test_a_share_outside_0_to_1_is_refused(self, share: float) -> None:
        with pytest.raises(InvalidInputError, match=r"0.05 for the top 5%"):
            TopShare(share)

    @pytest.mark.parametrize("minimum", [NAN, float("inf")])
    def test_a_threshold_that_is_no_number_is_refused(self, minimum: float) -> None:
        with pytest.raises(InvalidInputError, match="expected a finite rating"):
            Threshold(minimum)


class TestRunningLimit:
    def test_by_hand(self) -> None:
        """Ratings 1 to 10, two hits expected: the limit lies at quantile 0.8, between 8 and 9.

        Position 0.8 x 9 = 7.2 counts from 0: 8 + 0.2.
        """
        limit = RunningLimit(NAN)
        limit.observe(np.arange(1.0, 11.0), np.full(10, 0.2))
        value = limit.value()
        assert value == pytest.approx(8.2)

    def test_no_more_are_hits_than_the_scan_can_have(self) -> None:
        """100 ratings seen, of which the model expects 40 to be hits, in a scan that has 10."""
        limit = RunningLimit(NAN, most=10.0)
        ratings = np.arange(100.0)
        for part in np.array_split(ratings, 4):
            limit.observe(part, np.full(25, 0.4))
        assert np.count_nonzero(ratings >= limit.value()) == 10
        assert limit.chance(np.array([60.0, 99.0])) == pytest.approx([0.0, 1.0], abs=0.01)

    def test_what_was_carried_keeps_a_third_after_twenty_hits(self) -> None:
        """Carried 5, two expected hits at 8.2: exp(-2 / 20) of the one, the rest of the other."""
        limit = RunningLimit(5.0)
        limit.observe(np.arange(1.0, 11.0), np.full(10, 0.2))
        value = limit.value()
        assert value == pytest.approx(math.exp(-0.1) * 5.0 + (1.0 - math.exp(-0.1)) * 8.2)

    def test_the_chance_of_a_hit_by_hand(self) -> None:
        """Four of ten are expected, so 7 to 10 are above the limit (6.4); spread 0.9 x 2 hits.

        Rating 7 is the fourth, half a place inside: Phi(0.5 / 1.8); 6 is half a place outside.
        """
        limit = RunningLimit(NAN)
        limit.observe(np.arange(1.0, 11.0), np.full(10, 0.4))
        chance = limit.chance(np.array([10.0, 7.0, 6.0, 1.0, NAN]))
        assert chance[1] == pytest.approx(stats.norm.cdf(0.5 / 1.8))
        assert chance[2] == pytest.approx(stats.norm.cdf(-0.5 / 1.8))
        assert chance[0] == pytest.approx(stats.norm.cdf(3.5 / 1.8))
        assert chance[3] < 0.01
        assert np.isnan(chance[4])

    def test_the_chances_of_ties_are_those_of_their_middle(self) -> None:
        """Three of 100 stand out: they are hits for sure, and those that share the rest are not."""
        rating = np.zeros(100)
        rating[[3, 50, 51]] = 60.0
        limit = RunningLimit(NAN)
        limit.observe(rating, np.full(100, 0.05))
        chance = limit.chance(rating)
        assert chance[3] > 0.7
        assert chance[0] < 1e-6

    def test_chances_add_up_to_the_hits_expected(self) -> None:
        """500 ratings of which 40 are expected: the sum of the chances is 40, within one."""
        limit = RunningLimit(NAN)
        rating = np.random.default_rng(0).normal(size=500)
        limit.observe(rating, np.full(500, 40 / 500))
        assert limit.chance(rating).sum() == pytest.approx(40.0, abs=1.0)

    def test_the_lowest_rating_is_no_distinction(self) -> None:
        """3 of 100 stand out where 5 are expected: those three, and not all 100."""
        rating = np.zeros(100)
        rating[[3, 50, 51]] = [60.0, 55.0, 90.0]
        limit = RunningLimit(NAN)
        limit.observe(rating, np.full(100, 0.05))
        assert limit.value() == 55.0
        assert limit.carry(5.0) == 55.0

    def test_where_all_are_alike_nobody_is_a_hit(self) -> None:
        limit = RunningLimit(NAN)
        limit.observe(np.full(30, 4.0), np.full(30, 0.05))
        value = limit.value()
        assert not TopShare().judge(np.full(30, 4.0), np.zeros(30), value).any()

    def test_nothing_rated_leaves_what_was_carried(self) -> None:
        limit = RunningLimit(5.0)
        limit.observe(np.array([NAN]), np.array([0.9]))
        assert limit.value() == 5.0
        assert limit.carry(3.0) == 5.0

    @pytest.mark.parametrize("rating", [0.7, 10.0, 1.0 / 3.0])
    def test_a_limit_that_stays_stays_to_the_bit(self, rating: float) -> None:
        """On a coarse scale the limit *is* a rating; one bit above it, nobody is a hit."""
        for expected in (0.5, 1.3, 7.7, 11.0, 40.0):
            limit = RunningLimit(rating)
            limit.observe(np.repeat([rating - 1.0, rating], [5, 95]), np.full(100, expected / 100))
            assert limit.value() == rating

    @pytest.mark.parametrize("scale", [1.0, 0.1, 50.0])
    def test_it_finds_the_true_limit_scan_by_scan(self, scale: float) -> None:
        """Promising symbols first, calibrated probabilities, every scan stopped at 30 %.

        Rating = promise + noise over 2,000 symbols, top 5 %. The quantile of 100 hits has a
        standard error of about 0.08 of the ratings' sd; after 8 scans the carried limit must
        be within two of that, though only a biased third is ever seen.
        """
        rng = np.random.default_rng(0)
        sd = np.sqrt(2.0)
        truth = sd * stats.norm.ppf(0.95)
        carried = NAN
        for _ in range(8):
            promise = rng.standard_normal(2_000)
            rating = promise + rng.standard_normal(2_000)
            probability = stats.norm.sf(truth - promise)
            order = np.argsort(-promise)[:600]
            limit = RunningLimit(carried)
            for batch in np.array_split(order, 12):
                limit.observe(scale * rating[batch] - 3.0, probability[batch])
            carried = limit.carry(float(probability[order].sum()))
        assert (carried + 3.0) / scale == pytest.approx(truth, abs=0.16 * sd)


class TestRecall:
    @pytest.mark.parametrize("mean", [0.3, 4.0, 60.0])
    @pytest.mark.parametrize("level", [0.1, 0.5, 0.9, 0.99])
    def test_quantiles_are_those_of_the_negative_binomial(self, mean: float, level: float) -> None:
        """Variance m + v m^2 is scipy's nbinom(size = 1 / v, p = 1 / (1 + v m))."""
        model = RecallModel()
        v = model.spread
        assert v > 0.0
        m = model.bias * mean
        expected = stats.nbinom.ppf(level, 1.0 / v, 1.0 / (1.0 + v * m))
        assert model.quantile(mean, level) == expected

    def test_nothing_expected_is_nothing_left(self) -> None:
        assert RecallModel().quantile(0.0, 0.9) == 0.0
        estimate = RecallModel().estimate(n_hits=0.0, probability=np.empty(0), confidence=0.9)
        assert (estimate.recall_low, estimate.recall, estimate.recall_high) == (1.0, 1.0, 1.0)

    def test_it_learns_that_the_model_promises_too_much(self) -> None:
        """Half of what was promised comes, exactly, in 300 scans: the bias goes to 1/2."""
        model = RecallModel()
        for _ in range(300):
            model = model.learn([(10.0, 5.0)])
        assert model.bias == pytest.approx(0.5, abs=0.01)
        assert model.spread == 0.0

    def test_its_interval_keeps_its_word(self) -> None:
        """Truths drawn with twice the expected mean and v = 0.3, learned from 400 scans.

        Then the 90 % quantile must cover 90 %: 1,000 more, standard error 0.95 %; a decayed
        window of 50 scans leaves the estimates themselves noisy, hence 5 points.
        """
        rng = np.random.default_rng(0)
        model = RecallModel()

        def truth() -> float:
            m, v = 2.0 * 20.0, 0.3
            return float(rng.negative_binomial(1.0 / v, 1.0 / (1.0 + v * m)))

        for _ in range(400):
            model = model.learn([(20.0, truth())])
        covered = np.mean([truth() <= model.quantile(20.0, 0.9) for _ in range(1_000)])
        assert covered == pytest.approx(0.9, abs=0.05)

    @pytest.mark.parametrize("confidence", [0.8, 0.9, 0.95])
    def test_a_level_is_moved_to_where_truths_fall(self, confidence: float) -> None:
        """Truths between 0 and 60, even, are no negative binomial: its own quantile covers too many
        or too few. The calibrated one covers what was asked, within 3 points (1,000 truths, about
        50 scans learned from)."""
        rng = np.random.default_rng(1)
        model, covered, plain = RecallModel(), [], []
        for i in range(1_400):
            truth = float(rng.integers(0, 61))
            if i >= 400:
                covered.append(truth <= model.quantile(30.0, model.level(confidence)))
                plain.append(truth <= model.quantile(30.0, confidence))
            model = model.learn([(30.0, truth)])
        assert np.mean(covered) == pytest.approx(confidence, abs=0.03)
        assert abs(np.mean(covered) - confidence) <= abs(np.mean(plain) - confidence) + 0.01

    def test_surprises_raise_the_level_and_never_to_one(self) -> None:
        model = RecallModel()
        before = model.level(0.9)
        for _ in range(30):
            model = model.learn([(5.0, 5.0), (5.0, 5.0)])
        calm = model.level(0.9)
        for _ in range(30):
            model = model.learn([(5.0, 5.0), (5.0, 40.0)])
        assert calm < before < model.level(0.9) <= 0.995
        assert model.level(1.0 - 1e-9) == 0.995

    def test_state_comes_back(self) -> None:
        model = RecallModel()
        model = model.learn([(10.0, 7.0), (3.0, 4.0)])
        assert RecallModel.restored(model.state()) == model

    def test_interval_and_estimate_are_in_order(self) -> None:
        estimate = RecallModel().estimate(
            n_hits=10.0, probability=np.full(100, 0.05), confidence=0.9
        )
        assert 0.0 < estimate.recall_low < estimate.recall < estimate.recall_high <= 1.0
        assert estimate.hits_expected_remaining == pytest.approx(5.0)
        assert estimate.recall == pytest.approx(10.0 / 15.0)
        assert estimate.remaining_low < 5.0 < estimate.remaining_high <= 100.0
        assert estimate.recall_low == 10.0 / (10.0 + estimate.remaining_high)
        assert estimate.recall_high == 10.0 / (10.0 + estimate.remaining_low)
