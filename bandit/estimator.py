"""The reward model with scikit-learn's manners, for pipelines and comparisons outside a scan."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from bandit.belief.weights import Moments, WeightPosterior, laplace_update
from bandit.checks import as_matrix
from bandit.errors import InvalidInputError

Array = NDArray[np.float64]


class FractionalLogistic:
    """Fractional Bayesian logistic regression, learned batch by batch.

    The posterior that scans use (`bandit.belief.weights`), without expansion, track record or
    store. Follows scikit-learn's conventions (`get_params`, `partial_fit`, `predict`,
    `sklearn.base.clone`) and does not import it.

    Parameters
    ----------
    prior_mean : float or array-like, shape (d,)
        Prior mean of the weights.
    prior_variance : float or array-like, shape (d,)
        Prior variance of the weights, in logits squared.

    Attributes
    ----------
    coef_ : array, shape (d,)
        Posterior mean; available after the first `partial_fit`.

    Examples
    --------
    >>> model = FractionalLogistic().partial_fit([[1.0, 0.0], [1.0, 1.0]], [0.0, 1.0])
    >>> model.predict([[1.0, 0.0], [1.0, 1.0]]).round(2)
    array([0.48, 0.59])
    """

    def __init__(self, prior_mean: ArrayLike = 0.0, prior_variance: ArrayLike = 1.0) -> None:
        # scikit-learn's clone compares these by identity: kept as given, checked when used.
        self.prior_mean = prior_mean
        self.prior_variance = prior_variance

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """Return the constructor's arguments; there is nothing deeper."""
        return {"prior_mean": self.prior_mean, "prior_variance": self.prior_variance}

    def set_params(self, **params: Any) -> FractionalLogistic:
        """Set the constructor's arguments; takes effect at the next fit from nothing."""
        for name, value in params.items():
            if name not in self.get_params():
                raise InvalidInputError(
                    f"parameter {name!r} is unknown; known are prior_mean, prior_variance"
                )
            setattr(self, name, value)
        return self

    def fit(self, X: ArrayLike, y: ArrayLike) -> FractionalLogistic:
        """Forget everything and learn from one batch; see `partial_fit`."""
        if hasattr(self, "posterior_"):
            del self.posterior_
        return self.partial_fit(X, y)

    def partial_fit(self, X: ArrayLike, y: ArrayLike) -> FractionalLogistic:
        """Learn from one batch of contexts (k, d) and rewards (k,) in [0, 1].

        Raises
        ------
        InvalidInputError
            See `bandit.belief.weights.laplace_update`; nothing is changed.
        """
        posterior = getattr(self, "posterior_", None)
        if posterior is None:
            shape = np.shape(X)
            if len(shape) != 2:
                raise InvalidInputError(f"context has shape {shape}, expected (k, d)")
            posterior = WeightPosterior.from_prior(
                np.broadcast_to(np.asarray(self.prior_mean, np.float64), shape[1:]),
                np.broadcast_to(np.asarray(self.prior_variance, np.float64), shape[1:]),
            )
        self.posterior_, self._moments = laplace_update(posterior, X, y)
        self.coef_ = self._moments.mean
        self.n_features_in_ = self.coef_.size
        return self

    def predict(self, X: ArrayLike) -> Array:
        """Return the expected reward of each context, shape (n,), in (0, 1)."""
        return np.asarray(expit(self._checked(X) @ self._fitted().mean))

    def sample(self, X: ArrayLike, *, rng: np.random.Generator, n_draws: int = 1) -> Array:
        """Draw rewards' expectations from the posterior, shape (n_draws, n)."""
        weights = self._fitted().draw(rng, n_draws)
        return np.asarray(expit(weights @ self._checked(X).T))

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the posterior as plain arrays (copies)."""
        self._fitted()
        posterior = self.posterior_
        return {
            "prior_mean": posterior.prior_mean.copy(),
            "prior_precision": posterior.prior_precision.copy(),
            "data_precision": posterior.data_precision.copy(),
            "data_shift": posterior.data_shift.copy(),
            "n_observed": np.array(posterior.n_observed),
        }

    @classmethod
    def from_state(cls, state: dict[str, NDArray[Any]]) -> FractionalLogistic:
        """Rebuild a model from what `state` returned."""
        model = cls(state["prior_mean"], 1.0 / state["prior_precision"])
        names = ("prior_mean", "prior_precision", "data_precision", "data_shift")
        model.posterior_ = WeightPosterior(
            n_observed=float(state["n_observed"]),
            **{name: np.array(state[name], np.float64) for name in names},
        )
        model._moments = Moments.of(model.posterior_)
        model.coef_ = model._moments.mean
        model.n_features_in_ = model.coef_.size
        return model

    def _fitted(self) -> Moments:
        if not hasattr(self, "posterior_"):
            raise InvalidInputError("this model has seen no rewards; call partial_fit first")
        return self._moments

    def _checked(self, X: ArrayLike) -> Array:
        return as_matrix(X, name="context", n_columns=self._fitted().mean.size)
