"""What do we believe about the reward of a context: a Gaussian posterior over shared weights.

All arms share one weight vector, so that a report about one symbol teaches about every other.
The state is kept in natural parameters and apart from the prior,

    precision  P = diag(p0) + D          shift  h = p0 * m0 + s          mean  m = P^-1 h

so that forgetting is a plain multiplication of what came from data (it can never fall under
the prior), and a prior variance learned later takes effect without touching the data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import blas, lapack
from scipy.special import expit

from bandit.checks import as_matrix, as_rewards
from bandit.errors import InvalidInputError

Array = NDArray[np.float64]

# From far starts; 1 to 4 steps in practice.
_MAX_NEWTON_STEPS = 100
# Logits: one Newton step still follows, whose error is of the order of the square of this.
SMALL_MOVE = 1e-3


@dataclass(frozen=True, slots=True)
class WeightPosterior:
    """State of a Gaussian posterior over d weights; plain arrays, never changed in place.

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
            When the shapes differ or a variance is not a positive finite number.
        """
        mean_ = np.array(mean, dtype=np.float64)
        variance_ = np.array(variance, dtype=np.float64)
        if mean_.ndim != 1 or variance_.shape != mean_.shape:
            raise InvalidInputError(
                f"prior mean has shape {mean_.shape} and prior variance {variance_.shape}; "
                "expected both (d,)"
            )
        if not (
            np.isfinite(mean_).all() and (variance_ > 0).all() and np.isfinite(variance_).all()
        ):
            raise InvalidInputError(
                "prior means must be finite and prior variances positive and finite; "
                f"met means {mean_} and variances {variance_}"
            )
        d = mean_.size
        return cls(mean_, 1.0 / variance_, np.zeros((d, d)), np.zeros(d))

    @property
    def precision(self) -> Array:
        """P, shape (d, d)."""
        precision = self.data_precision.copy()
        precision.ravel()[:: precision.shape[0] + 1] += self.prior_precision
        return precision

    @property
    def shift(self) -> Array:
        """h = P m, shape (d,)."""
        return self.data_shift + self.prior_precision * self.prior_mean

    def decay(self, factor: float) -> WeightPosterior:
        """Forget a share of the data: P <- g P + (1 - g) P0, and the same for the shift.

        Decaying by a and then by b equals decaying by a * b, and factor 0 is the prior.
        """
        if not 0.0 <= factor <= 1.0:
            raise InvalidInputError(f"decay factor {factor} is outside [0, 1]")
        if factor == 1.0:
            return self
        return replace(
            self,
            data_precision=self.data_precision * factor,
            data_shift=self.data_shift * factor,
            n_observed=self.n_observed * factor,
        )

    def with_prior(self, mean: Array, precision: Array) -> WeightPosterior:
        """Return the same data under another prior (both of shape (d,))."""
        return replace(self, prior_mean=mean, prior_precision=precision)


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean and factored precision of a `WeightPosterior`: what drawing and scoring need."""

    mean: Array
    cholesky: Array  # L of P = L L' in its lower triangle, column-major; above it, leftovers

    @classmethod
    def of(cls, posterior: WeightPosterior) -> Moments:
        """Factorise once; O(d^3), independent of the number of arms."""
        # LAPACK and BLAS are called directly: at 200 features scipy's checks and copies cost as
        # much as the arithmetic, and this runs once per reported batch. A symmetric matrix is its
        # own transpose, which is column-major already.
        lower, info = lapack.dpotrf(posterior.precision.T, lower=1, clean=0, overwrite_a=1)
        if info != 0:
            raise np.linalg.LinAlgError(
                f"the precision of the weights is not positive definite (leading minor {info})"
            )
        # For one vector dtrsv takes two thirds of what dpotrs does.
        half = blas.dtrsv(lower, posterior.shift, lower=1)
        return cls(blas.dtrsv(lower, half, lower=1, trans=1, overwrite_x=1), lower)

    def draw(self, rng: np.random.Generator, n_draws: int = 1, scale: float = 1.0) -> Array:
        """Draw weights from N(mean, scale^2 P^-1), shape (n_draws, d)."""
        if n_draws == 1:  # for one vector LAPACK takes half as long as for a matrix of one
            z = self.solve_half(rng.standard_normal(self.mean.size), transposed=True)
            return (self.mean + scale * z)[None]
        z = rng.standard_normal((n_draws, self.mean.size)).T
        return self.mean + scale * self.solve_half(z, transposed=True).T

    def solve_half(self, right: NDArray[np.floating], *, transposed: bool = False) -> Array:
        """Return L^-1 right, or L'^-1 right, for the factor L of P = L L'; shape (d,) or (d, m)."""
        trans = int(transposed)
        if right.ndim == 1:
            return np.asarray(blas.dtrsv(self.cholesky, right, lower=1, trans=trans), np.float64)
        return np.asarray(blas.dtrsm(1.0, self.cholesky, right, lower=1, trans_a=trans), np.float64)

    def variance(self) -> Array:
        """Variance of each weight, the diagonal of P^-1, shape (d,): half the work of all of it."""
        inverse, _ = lapack.dtrtri(self.cholesky, lower=1)
        half = np.tril(inverse)
        return np.asarray(np.einsum("ij,ij->j", half, half))

    def variance_of(self, X: NDArray[np.floating]) -> Array:
        """Variance of each row's linear predictor, x' P^-1 x, shape (n,)."""
        half = self.solve_half(X.T)
        return np.asarray(np.einsum("dn,dn->n", half, half))


def laplace_update(
    posterior: WeightPosterior, X: ArrayLike, rewards: ArrayLike, *, offset: Array | float = 0.0
) -> tuple[WeightPosterior, Moments]:
    """Learn from one batch of rewards in [0, 1] by a Laplace step.

    The likelihood is the Bernoulli one taken at fractional rewards, r log p + (1 - r) log(1 - p)
    with logit p = x'w + offset; binary and graded rewards go through the same code. The
    posterior's mode becomes the new mean, the Hessian there the new precision. Cost depends on
    the batch and the number of features, not on the number of arms.

    Parameters
    ----------
    posterior : WeightPosterior
        Belief before the batch; left untouched.
    X : array-like, shape (k, d)
        Context rows of the batch.
    rewards : array-like, shape (k,)
        In [0, 1].
    offset : float or array-like, shape (k,)
        Part of the linear predictor that is known already.

    Returns
    -------
    (WeightPosterior, Moments)
        Belief after the batch, and its factorisation (computed on the way).

    Raises
    ------
    InvalidInputError
        For wrong shapes, non-finite contexts or rewards outside [0, 1]; nothing is changed.

    References
    ----------
    Chapelle and Li (2011), An Empirical Evaluation of Thompson Sampling, algorithm 3.
    Papke and Wooldridge (1996), Econometric Methods for Fractional Response Variables.
    Bishop (2006), Pattern Recognition and Machine Learning, section 4.5.

    Examples
    --------
    >>> prior = WeightPosterior.from_prior([0.0], [1.0])
    >>> posterior, moments = laplace_update(prior, [[1.0], [1.0]], [1.0, 1.0])
    >>> bool(moments.mean[0] > 0)
    True
    """
    X_ = as_matrix(X, name="context", n_columns=posterior.prior_mean.size)
    r = as_rewards(rewards, n=X_.shape[0])
    if not r.size:  # LAPACK refuses systems of size 0
        return posterior, Moments.of(posterior)
    return laplace_step(posterior, Moments.of(posterior).mean, X_, r, offset, SMALL_MOVE)


def laplace_step(
    posterior: WeightPosterior,
    mean: Array,
    X: Array,
    r: Array,
    offset: Array | float = 0.0,
    most_moved: float = 1.0,
) -> tuple[WeightPosterior, Moments]:
    """Do what `laplace_update` does with values that were checked before, by Newton's method.

    Parameters
    ----------
    mean : array, shape (d,)
        Weights to search from, as those of `posterior`.
    most_moved : float
        The step is the last that moves no linear predictor by more than this. What was learned
        before predicts a batch well, and a step by less than a logit finds the mode.

    References
    ----------
    Bach (2010), Self-concordant Analysis for Logistic Regression, proposition 1: a Newton step
    ascends as long as no predictor moves by more than 1.
    """
    eta = X @ mean + offset
    for _ in range(_MAX_NEWTON_STEPS):
        updated = parabola_at(eta, posterior, X, r, offset)
        moments = Moments.of(updated)
        move = X @ moments.mean + offset - eta
        size = float(np.abs(move).max(initial=0.0))
        if size <= most_moved:
            break
        eta = eta + move / max(size, 1.0)
    return updated, moments


def parabola_at(
    eta: Array, posterior: WeightPosterior, X: Array, r: Array, offset: Array | float = 0.0
) -> WeightPosterior:
    """Return the belief after a batch, as a parabola of its log density where X w + offset = eta.

    Its mean is one Newton step from there.
    """
    p = expit(eta)
    weight = p * (1.0 - p)
    # The product of a matrix and its own transpose takes half the multiplications.
    half = np.sqrt(weight)[:, None] * X
    data_precision = half.T @ half
    data_precision += posterior.data_precision
    return WeightPosterior(
        posterior.prior_mean,
        posterior.prior_precision,
        data_precision,
        posterior.data_shift + (weight * (eta - offset) + r - p) @ X,
        posterior.n_observed + r.size,
    )


def learn_prior_precision(
    posterior: WeightPosterior,
    moments: Moments,
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
    variance = moments.variance()
    squared = (moments.mean - posterior.prior_mean) ** 2
    n_blocks = int(blocks.max()) + 1
    old = posterior.prior_precision
    gamma = np.bincount(blocks, 1.0 - old * variance, minlength=n_blocks)
    norm = np.bincount(blocks, squared, minlength=n_blocks)
    # One pseudo-weight at the present precision keeps a block of few weights from jumping.
    size = np.bincount(blocks, minlength=n_blocks)
    # A block may be empty (no scanner rows yet); its precision is computed and read by nobody.
    present = np.where(size > 0, np.bincount(blocks, 1.0 / old, minlength=n_blocks), 1.0)
    present /= np.maximum(size, 1)
    alpha = (np.maximum(gamma, 0.0) + 1.0) / (norm + present)
    return np.where(fixed, old, np.clip(alpha[blocks], *bounds))
