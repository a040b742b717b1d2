"""What do we believe about the reward of a context: a Gaussian posterior over shared weights.

All arms share one weight vector, so that a report about one symbol teaches about every other.
The state is kept in natural parameters and apart from the prior,

    precision  P = diag(p0) + D          shift  h = p0 * m0 + s          mean  m = P^-1 h

so that forgetting is a plain multiplication of what came from data (it can never fall under
the prior), and a prior variance learned later takes effect without touching the data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import blas, lapack
from scipy.special import expit

from bandit.errors import InvalidInputError

Array = NDArray[np.float64]

# From far starts; 1 to 4 steps in practice.
_MAX_NEWTON_STEPS = 100
# Logits: one Newton step still follows, whose error is of the order of the square of this.
SMALL_MOVE = 1e-3


@dataclass(frozen=True)
class WeightPosterior:
    """Gaussian posterior over d weights; plain arrays, never changed in place.

    The mean and the factored precision are computed when they are first asked for, and kept.

    Parameters
    ----------
    prior_mean, prior_precision : array, shape (d,)
        m0 and p0: the diagonal Gaussian prior.
    data_precision : array, shape (d, d)
        D: what the data added to the precision.
    data_shift : array, shape (d,)
        s: what the data added to precision times mean.
    n_observed : float
        Number of rewards learned from, decayed by the same clock as the rest.
    """

    prior_mean: Array
    prior_precision: Array
    data_precision: Array
    data_shift: Array
    n_observed: float = 0.0

    @classmethod
    def from_prior(cls, mean: ArrayLike, variance: ArrayLike) -> WeightPosterior:
        """Start with no data: the posterior is the prior.

        Raises
        ------
        InvalidInputError
            When a mean is not finite or a variance is not a positive finite number.
        """
        mean_, variance_ = np.array(mean, np.float64), np.array(variance, np.float64)
        if not (
            np.isfinite(mean_).all() and (variance_ > 0).all() and np.isfinite(variance_).all()
        ):
            raise InvalidInputError(
                "prior means must be finite and prior variances positive and finite; "
                f"got means {mean_} and variances {variance_}"
            )
        d = mean_.size
        return cls(mean_, 1.0 / variance_, np.zeros((d, d)), np.zeros(d))

    @cached_property
    def cholesky(self) -> Array:
        """L of P = L L' in the lower triangle, column-major; above it is scratch; O(d^3)."""
        precision = self.data_precision.copy()
        precision.ravel()[:: precision.shape[0] + 1] += self.prior_precision
        # LAPACK and BLAS are called directly: at 200 features scipy's checks and copies cost as
        # much as the arithmetic, and this runs once per reported batch. A symmetric matrix is its
        # own transpose, which is column-major already.
        lower, info = lapack.dpotrf(precision.T, lower=1, clean=0, overwrite_a=1)
        if info != 0:
            raise np.linalg.LinAlgError(
                f"the precision of the weights is not positive definite (leading minor {info})"
            )
        return np.asarray(lower)

    @cached_property
    def mean(self) -> Array:
        """m, shape (d,)."""
        shift = self.data_shift + self.prior_precision * self.prior_mean
        # For one vector dtrsv takes two thirds of what dpotrs does.
        half = blas.dtrsv(self.cholesky, shift, lower=1)
        return np.asarray(blas.dtrsv(self.cholesky, half, lower=1, trans=1, overwrite_x=1))

    def variance(self) -> Array:
        """Variance of each weight, the diagonal of P^-1, shape (d,): half the work of all of it."""
        inverse, _ = lapack.dtrtri(self.cholesky, lower=1)
        half = np.tril(inverse)
        return np.asarray(np.einsum("ij,ij->j", half, half))

    def draw(self, rng: np.random.Generator, n_draws: int = 1, scale: float = 1.0) -> Array:
        """Draw weights from N(mean, scale^2 P^-1), shape (n_draws, d)."""
        d = self.mean.size
        if n_draws == 1:  # for one vector LAPACK takes half as long as for a matrix of one
            z = blas.dtrsv(self.cholesky, rng.standard_normal(d), lower=1, trans=1)
            return np.asarray((self.mean + scale * z)[None])
        noise = rng.standard_normal((n_draws, d)).T
        z = blas.dtrsm(1.0, self.cholesky, noise, lower=1, trans_a=1)
        return np.asarray(self.mean + scale * z.T)

    def decay(self, factor: float) -> WeightPosterior:
        """Forget a share of the data: P <- g P + (1 - g) P0, and the same for the shift.

        Decaying by a and then by b equals decaying by a * b; factor 1 keeps all, 0 is the prior.
        """
        return replace(
            self,
            data_precision=self.data_precision * factor,
            data_shift=self.data_shift * factor,
            n_observed=self.n_observed * factor,
        )


def laplace_update(
    posterior: WeightPosterior,
    X: Array,
    rewards: Array,
    *,
    offset: Array | float = 0.0,
    start: Array | None = None,
    most_moved: float = SMALL_MOVE,
) -> WeightPosterior:
    """Learn from one batch of rewards in [0, 1] by a Laplace step, found by Newton's method.

    The likelihood is the Bernoulli one taken at fractional rewards, r log p + (1 - r) log(1 - p)
    with logit p = x'w + offset; binary and graded rewards go through the same code. The
    posterior's mode becomes the new mean, the Hessian there the new precision. Cost depends on
    the batch and the number of features, not on the number of arms.

    Parameters
    ----------
    posterior : WeightPosterior
        Belief before the batch; left untouched.
    X : array, shape (k, d)
        Features of the batch, finite.
    rewards : array, shape (k,)
        In [0, 1].
    offset : float or array, shape (k,)
        Part of the linear predictor that is known already.
    start : array, shape (d,), optional
        Weights from which the search starts; by default the mean of `posterior`.
    most_moved : float
        The search ends with the step that moves no linear predictor by more than this.

    References
    ----------
    Chapelle and Li (2011), An Empirical Evaluation of Thompson Sampling, algorithm 3.
    Papke and Wooldridge (1996), Econometric Methods for Fractional Response Variables.
    Bishop (2006), Pattern Recognition and Machine Learning, section 4.5.
    Bach (2010), Self-concordant Analysis for Logistic Regression, proposition 1: a Newton step
    ascends as long as no predictor moves by more than 1.

    Examples
    --------
    >>> prior = WeightPosterior.from_prior([0.0], [1.0])
    >>> posterior = laplace_update(prior, np.ones((2, 1)), np.ones(2))
    >>> bool(posterior.mean[0] > 0)
    True
    """
    eta = X @ (posterior.mean if start is None else start) + offset
    for _ in range(_MAX_NEWTON_STEPS):
        # The parabola of the log density at eta; its mean is one Newton step away.
        p = expit(eta)
        weight = p * (1.0 - p)
        # The product of a matrix and its own transpose takes half the multiplications.
        half = np.sqrt(weight)[:, None] * X
        data_precision = half.T @ half
        data_precision += posterior.data_precision
        updated = WeightPosterior(
            posterior.prior_mean,
            posterior.prior_precision,
            data_precision,
            posterior.data_shift + (weight * (eta - offset) + rewards - p) @ X,
            posterior.n_observed + rewards.size,
        )
        move = X @ updated.mean + offset - eta
        size = float(np.abs(move).max(initial=0.0))
        if size <= most_moved:
            break
        eta = eta + move / max(size, 1.0)
    return updated


def learn_prior_precision(
    posterior: WeightPosterior,
    blocks: NDArray[np.intp],
    *,
    bounds: tuple[float, float],
    fixed: NDArray[np.bool_],
) -> Array:
    """Re-estimate one prior precision per block of weights by empirical Bayes.

    A block whose weights the data do not move from their prior mean gets a larger precision,
    which shrinks it away: a part that does not pay costs nothing.

    Parameters
    ----------
    blocks : array of int, shape (d,)
        Block number of each weight.
    bounds : (low, high)
        Limits of the precision.
    fixed : array of bool, shape (d,)
        Weights that keep their precision (the intercept).

    Returns
    -------
    array, shape (d,)
        New prior precision.

    References
    ----------
    MacKay (1992), Bayesian Interpolation: alpha = gamma / (w - m0)'(w - m0) with
    gamma = n - alpha tr(Sigma), the number of well-determined weights.
    """
    n_blocks = int(blocks.max()) + 1
    old = posterior.prior_precision
    gamma = np.bincount(blocks, 1.0 - old * posterior.variance(), minlength=n_blocks)
    moved = (posterior.mean - posterior.prior_mean) ** 2
    norm = np.bincount(blocks, moved, minlength=n_blocks)
    # One pseudo-weight at the present precision keeps a block of few weights from jumping.
    size = np.bincount(blocks, minlength=n_blocks)
    # A block may be empty (no scanner rows yet); its precision is computed and read by nobody.
    present = np.where(size > 0, np.bincount(blocks, 1.0 / old, minlength=n_blocks), 1.0)
    present /= np.maximum(size, 1)
    alpha = (np.maximum(gamma, 0.0) + 1.0) / (norm + present)
    return np.where(fixed, old, np.clip(alpha[blocks], *bounds))
