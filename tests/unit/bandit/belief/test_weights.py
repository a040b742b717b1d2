"""The Gaussian posterior over shared weights, checked against arithmetic on paper."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bandit.belief.weights import WeightPosterior, laplace_update, learn_prior_precision
from bandit.errors import InvalidInputError


def precision_of(posterior: WeightPosterior) -> np.ndarray:
    return np.diag(posterior.prior_precision) + posterior.data_precision


def covariance_of(posterior: WeightPosterior) -> np.ndarray:
    return np.linalg.inv(precision_of(posterior))


def learned_from(
    prior: WeightPosterior, X: object, rewards: object, **more: float
) -> WeightPosterior:
    return laplace_update(prior, np.array(X, float), np.array(rewards, float), **more)


def sd_after(n: int, *, variance: float = 1e6) -> float:
    """Posterior sd of one weight after n rewards of 0.5 at x = 1."""
    prior = WeightPosterior.from_prior([0.0], [variance])
    posterior = learned_from(prior, np.ones((n, 1)), np.full(n, 0.5))
    return math.sqrt(posterior.variance()[0])


class TestByHand:
    def test_one_weight_one_reward(self) -> None:
        """Prior N(0, p0 = 1/4), x = 1, reward 1: the mode solves 1 - p(w) - p0 w = 0.

        Choose w = ln 3, so p = 3/4 and the gradient is 1/4 - p0 ln 3: it is zero for
        p0 = 1 / (4 ln 3). The precision there is p0 + p (1 - p) = p0 + 3/16.
        """
        w, p0 = math.log(3.0), 1.0 / (4.0 * math.log(3.0))
        prior = WeightPosterior.from_prior([0.0], [1.0 / p0])
        posterior = learned_from(prior, [[1.0]], [1.0])
        # The search stops when half the decrement, p (w - mode)^2 / 2, is below 5e-4; the mean is
        # one Newton step nearer, the precision is that of where it stopped.
        assert posterior.mean[0] == pytest.approx(w, abs=1e-5)
        assert precision_of(posterior)[0, 0] == pytest.approx(p0 + 3.0 / 16.0, abs=5e-4)
        assert posterior.n_observed == 1.0

    def test_a_reward_as_expected_moves_nothing_but_makes_surer(self) -> None:
        """At w = 0, p = 1/2 is the reward: the gradient is 0, the precision 1 + x^2 / 4 = 2."""
        prior = WeightPosterior.from_prior([0.0], [1.0])
        posterior = learned_from(prior, [[2.0]], [0.5])
        assert posterior.mean[0] == 0.0
        assert precision_of(posterior)[0, 0] == 2.0

    def test_a_known_offset_explains_the_reward(self) -> None:
        """Offset ln 3 predicts 3/4; a reward of 3/4 leaves the weight, precision 1 + 3/16."""
        prior = WeightPosterior.from_prior([0.0], [1.0])
        posterior = learned_from(prior, [[1.0]], [0.75], offset=math.log(3.0))
        assert posterior.mean[0] == pytest.approx(0.0, abs=1e-12)
        assert precision_of(posterior)[0, 0] == pytest.approx(1.0 + 3.0 / 16.0)

    def test_a_weight_that_was_not_used_stays_at_its_prior(self) -> None:
        prior = WeightPosterior.from_prior([0.3, -0.2], [1.0, 0.25])
        posterior = learned_from(prior, [[1.0, 0.0]], [1.0])
        assert posterior.mean[0] > 0.3
        assert posterior.mean[1] == pytest.approx(-0.2)
        np.testing.assert_allclose(covariance_of(posterior)[1], [0.0, 0.25], atol=1e-15)

    def test_far_start_still_reaches_the_mode(self) -> None:
        """A prior mean of 40 and twenty rewards of 0: the gradient at the mode is 0.

        sum(r - p) - p0 (w - 40) = -20 p - (w - 40) / 100 = 0; undamped Newton overshoots here.
        """
        prior = WeightPosterior.from_prior([40.0], [100.0])
        posterior = learned_from(prior, np.ones((20, 1)), np.zeros(20))
        w = posterior.mean[0]
        assert -20.0 / (1.0 + math.exp(-w)) - (w - 40.0) / 100.0 == pytest.approx(0.0, abs=1e-3)

    def test_the_search_ends_at_the_mode(self) -> None:
        """At the mode X'(r - p) = P (w - m).

        The batch stands on ten others, and its contexts have scales from 0.1 to 10.
        """
        rng = np.random.default_rng(3)
        before = WeightPosterior.from_prior(rng.standard_normal(8), np.full(8, 0.5))
        for _ in range(10):
            before = learned_from(before, rng.standard_normal((20, 8)), rng.random(20))
        X = rng.standard_normal((20, 8)) * 10.0 ** rng.uniform(-1.0, 1.0, 8)
        r = rng.random(20)
        posterior = learned_from(before, X, r)
        p = 1.0 / (1.0 + np.exp(-X @ posterior.mean))
        moved = posterior.mean - before.mean
        np.testing.assert_allclose((r - p) @ X, precision_of(before) @ moved, atol=2e-4)

    def test_draws_have_the_posterior_moments(self) -> None:
        """20,000 draws: standard error of a mean 0.007 sd, of a variance 1 %; five of each."""
        prior = WeightPosterior.from_prior([1.0, -1.0], [1.0, 0.5])
        X = np.array([[1.0, 0.5], [0.2, -1.0], [1.0, 1.0]])
        posterior = learned_from(prior, X, [1.0, 0.0, 0.3])
        draws = posterior.draw(np.random.default_rng(0), 20_000)
        np.testing.assert_allclose(draws.mean(axis=0), posterior.mean, atol=0.035)
        np.testing.assert_allclose(np.cov(draws.T), covariance_of(posterior), atol=0.05)

    def test_the_variance_is_the_diagonal_of_the_covariance(self) -> None:
        prior = WeightPosterior.from_prior([0.0, 0.5, 1.0], [1.0, 2.0, 0.5])
        X = [[1.0, -2.0, 0.5], [0.3, 1.0, 1.0]]
        posterior = learned_from(prior, X, [1.0, 0.0])
        np.testing.assert_allclose(posterior.variance(), np.diag(covariance_of(posterior)))


class TestSpread:
    def test_sd_falls_with_the_square_root_of_n(self) -> None:
        """Rewards of 1/2 at p = 1/2 carry 1/4 each: sd = 2 / sqrt(n), the prior left aside."""
        for n in (25, 100, 400):
            assert sd_after(n) == pytest.approx(2.0 / math.sqrt(n), rel=1e-4)

    def test_draws_narrow_as_data_come_in(self) -> None:
        """A sampler that ignores its data fails here: 16 times the data, a quarter the spread.

        4,000 draws give an sd to 1.1 %; tolerance 5 %.
        """
        rng = np.random.default_rng(1)
        prior = WeightPosterior.from_prior([0.0], [1e6])
        spread = []
        for n in (30, 480):
            posterior = learned_from(prior, np.ones((n, 1)), np.full(n, 0.5))
            spread.append(posterior.draw(rng, 4_000).std())
        assert spread[0] / spread[1] == pytest.approx(4.0, rel=0.05)

    def test_scale_zero_is_greedy(self) -> None:
        posterior = WeightPosterior.from_prior([0.3, 2.0], [1.0, 1.0])
        draws = posterior.draw(np.random.default_rng(0), 3, scale=0.0)
        np.testing.assert_array_equal(draws, np.tile(posterior.mean, (3, 1)))


class TestDecay:
    def test_total_forgetting_is_the_prior(self) -> None:
        prior = WeightPosterior.from_prior([0.5], [2.0])
        posterior = learned_from(prior, np.ones((9, 1)), np.ones(9))
        forgotten = posterior.decay(0.0)
        np.testing.assert_array_equal(precision_of(forgotten), precision_of(prior))
        np.testing.assert_array_equal(forgotten.mean, prior.mean)

    def test_half_by_hand(self) -> None:
        """Four rewards of 1/2 add 4/4 = 1 to the precision 1; half of it is left: 1.5."""
        prior = WeightPosterior.from_prior([0.0], [1.0])
        posterior = learned_from(prior, np.ones((4, 1)), np.full(4, 0.5))
        assert precision_of(posterior)[0, 0] == pytest.approx(2.0)
        assert precision_of(posterior.decay(0.5))[0, 0] == pytest.approx(1.5)
        assert posterior.decay(0.5).n_observed == 2.0


def test_an_empty_batch_teaches_nothing() -> None:
    before = learned_from(WeightPosterior.from_prior([0.1], [1.0]), [[1.0]], [1.0])
    after = learned_from(before, np.empty((0, 1)), [])
    assert after.n_observed == before.n_observed
    np.testing.assert_array_equal(after.data_precision, before.data_precision)
    np.testing.assert_array_equal(after.mean, before.mean)


@pytest.mark.parametrize(
    ("mean", "variance", "message"),
    [
        ([0.0], [0.0], "positive and finite"),
        ([0.0], [float("inf")], "positive and finite"),
        ([float("nan")], [1.0], "must be finite"),
    ],
)
def test_an_impossible_prior_is_refused(
    mean: list[float], variance: list[float], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        WeightPosterior.from_prior(mean, variance)


def test_a_block_that_does_not_pay_is_shrunk_away() -> None:
    """20 weights of effect 1.5 beside 20 of none, 4,000 rewards: the idle ones lose their variance.

    With w estimated to about 0.1, the first block's variance goes to about 2, the second's to
    the size of the estimation error; a factor of 20 between them is far within that.
    """
    rng = np.random.default_rng(0)
    d = 20
    X = rng.standard_normal((4_000, 2 * d))
    w = np.concatenate([1.5 * rng.choice([-1.0, 1.0], d), np.zeros(d)])
    rewards = (rng.random(4_000) < 1.0 / (1.0 + np.exp(-X @ w))).astype(float)
    posterior = WeightPosterior.from_prior(np.zeros(2 * d), np.ones(2 * d))
    for batch in range(0, 4_000, 100):
        rows = slice(batch, batch + 100)
        posterior = learned_from(posterior, X[rows], rewards[rows])
    blocks = np.repeat([0, 1], d).astype(np.intp)
    fixed = np.zeros(2 * d, bool)
    fixed[0] = True
    precision = learn_prior_precision(posterior, blocks, bounds=(0.1, 1e4), fixed=fixed)
    assert precision[0] == 1.0
    assert precision[1] < 1.0
    assert precision[-1] > 20.0 * precision[1]
    np.testing.assert_array_equal(precision[d:], precision[-1])
