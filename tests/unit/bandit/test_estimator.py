"""The reward model as scikit-learn sees it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from bandit.errors import InvalidInputError
from bandit.estimator import FractionalLogistic


def batch(seed: int, n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    return X, (rng.random(n) < 1.0 / (1.0 + np.exp(-X @ [2.0, 0.0, -1.0]))).astype(float)


def test_clone_copies_parameters_and_nothing_learned() -> None:
    model = FractionalLogistic(prior_variance=2.0).partial_fit(*batch(0))
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    with pytest.raises(InvalidInputError, match="call partial_fit first"):
        copy.predict([[0.0, 0.0, 0.0]])


def test_learns_batch_by_batch_and_fit_forgets() -> None:
    model = FractionalLogistic()
    for seed in range(50):
        model.partial_fit(*batch(seed))
    # 2,000 rewards: a standard error of about 0.08 a weight.
    assert model.coef_ == pytest.approx([2.0, 0.0, -1.0], abs=0.3)
    once = FractionalLogistic().fit(*batch(0)).coef_
    assert model.fit(*batch(0)).coef_ == pytest.approx(once)


def test_a_failed_update_changes_nothing() -> None:
    model = FractionalLogistic().partial_fit(*batch(0))
    before = model.state()
    X, y = batch(1)
    y[3] = 1.5
    with pytest.raises(InvalidInputError, match=r"reward 1\.5 at position 3"):
        model.partial_fit(X, y)
    for name, array in model.state().items():
        assert np.array_equal(array, before[name])


def test_state_comes_back_bit_for_bit() -> None:
    model = FractionalLogistic(prior_variance=3.0).partial_fit(*batch(0))
    copy = FractionalLogistic.from_state(model.state())
    assert np.array_equal(copy.predict(batch(1)[0]), model.predict(batch(1)[0]))
    assert np.array_equal(copy.partial_fit(*batch(2)).coef_, model.partial_fit(*batch(2)).coef_)


def test_samples_spread_around_the_prediction() -> None:
    model = FractionalLogistic().partial_fit(*batch(0, 400))
    X = batch(1, 5)[0]
    draws = model.sample(X, rng=np.random.default_rng(0), n_draws=2_000)
    assert draws.shape == (2_000, 5)
    # Median of a monotone map of a Gaussian; 2,000 draws know it to about 0.005.
    assert np.median(draws, axis=0) == pytest.approx(model.predict(X), abs=0.02)


def test_unknown_parameters_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="parameter 'alpha' is unknown"):
        FractionalLogistic().set_params(alpha=1.0)
