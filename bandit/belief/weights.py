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

# Conjugate gradients find the mode in 2 or 3 steps once something was learned, in 10 in the first
# batches; where so many do not do, Newton's method takes over.
_MAX_GRADIENT_STEPS = 10
# Newton on a log-concave posterior started at the last mode: 2 to 4 steps in practice.
_MAX_NEWTON_STEPS = 25
# Stop when at most half of this can be gained in log posterior; one Newton step still follows.
_TOLERANCE = 1e-3


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

    def corrected(self, X: NDArray[np.floating], change: NDArray[np.floating]) -> WeightPosterior:
        """Return the belief had rewards learned before been others.

        Parameters
        ----------
        X : array, shape (n, d)
            Context rows that were learned from.
        change : array, shape (n,)
            What to add to their rewards.

        Notes
        -----
        The parabola that a Laplace step puts in the place of a batch's log likelihood has its
        gradient from the rewards, X'(r - p), and its curvature from the predictions alone: at the
        same predictions, other rewards move the shift by X' change and nothing else.
        """
        return replace(self, data_shift=self.data_shift + change @ X)

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
        return cls._solving(lower, posterior.shift)

    @classmethod
    def _solving(cls, lower: Array, shift: Array) -> Moments:
        # For one vector dtrsv takes two thirds of what dpotrs does.
        half = blas.dtrsv(lower, shift, lower=1)
        return cls(blas.dtrsv(lower, half, lower=1, trans=1, overwrite_x=1), lower)

    def shifted(self, posterior: WeightPosterior) -> Moments:
        """Return the moments of a posterior whose precision is that of these."""
        return self._solving(self.cholesky, posterior.shift)

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

    def whitened(self, w: Array) -> Array:
        """Return L'w, shape (d,), whose length is that of `w` in the metric of P."""
        return np.asarray(blas.dtrmv(self.cholesky, w, lower=1, trans=1), np.float64)

    def norm(self, w: Array) -> float:
        """Return the length of `w`, shape (d,), in the metric of P: sqrt(w' P w)."""
        return float(np.linalg.norm(self.whitened(w)))

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
    posterior: WeightPosterior,
    X: ArrayLike,
    rewards: ArrayLike,
    *,
    offset: Array | float = 0.0,
    counts: Array | float = 1.0,
    moments: Moments | None = None,
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
    counts : float or array-like, shape (k,)
        How often each row is learned from, as by so many rows alike.
    moments : Moments, optional
        Those of `posterior`, when the caller has them already.

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
    if not isinstance(counts, float):
        counts = np.asarray(counts, np.float64)
    return laplace_step(posterior, moments or Moments.of(posterior), X_, r, offset, counts)


def laplace_step(
    posterior: WeightPosterior,
    before: Moments,
    X: Array,
    r: Array,
    offset: Array | float = 0.0,
    counts: Array | float = 1.0,
) -> tuple[WeightPosterior, Moments]:
    """Do what `laplace_update` does with values that were checked before."""
    if r.size == 0:
        return posterior, before  # LAPACK refuses systems of size 0
    _, eta = find_mode(posterior, before, X, r, offset=offset, counts=counts)
    updated = parabola_at(eta, posterior, X, r, offset=offset, counts=counts)
    return updated, Moments.of(updated)


def find_mode(
    posterior: WeightPosterior,
    moments: Moments,
    X: Array,
    r: Array,
    *,
    offset: Array | float = 0.0,
    counts: Array | float = 1.0,
    start: Array | None = None,
) -> tuple[Array, Array]:
    """Return the likeliest weights after a batch, shape (d,), and their X w + offset, shape (k,).

    Parameters
    ----------
    moments : Moments
        Those of `posterior`.
    start : array, shape (d,), optional
        Weights to search from; those of `moments` by default.
    X, r, offset, counts
        See `laplace_update`.
    """
    found = _mode_by_gradients(moments, X, r, offset, counts, start)
    return _mode_by_newton(posterior, moments, X, r, offset, counts) if found is None else found


def parabola_at(
    eta: Array,
    posterior: WeightPosterior,
    X: Array,
    r: Array,
    *,
    offset: Array | float = 0.0,
    counts: Array | float = 1.0,
) -> WeightPosterior:
    """Return the belief after a batch, as a parabola of its log density where X w + offset = eta.

    Its mean is one Newton step from there.
    """
    p = expit(eta)
    weight = counts * p * (1.0 - p)
    # The product of a matrix and its own transpose takes half the multiplications.
    half = np.sqrt(weight)[:, None] * X
    n = counts * r.size if isinstance(counts, float) else float(counts.sum())
    data_precision = half.T @ half
    data_precision += posterior.data_precision
    return WeightPosterior(
        posterior.prior_mean,
        posterior.prior_precision,
        data_precision,
        posterior.data_shift + (weight * (eta - offset) + counts * (r - p)) @ X,
        posterior.n_observed + n,
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


def _mode_by_gradients(
    before: Moments,
    X: Array,
    r: Array,
    offset: Array | float,
    counts: Array | float,
    start: Array | None,
) -> tuple[Array, Array] | None:
    """Return what `find_mode` does; None where it takes long.

    Conjugate gradients over the coordinates u of w = m + L'^-1 u, in which the belief is N(0, I).
    A batch says little beside what is known already, so that in them the posterior is nearly
    round: one step costs two triangular solves of a vector, where Newton needs those of all rows,
    or a factor of its own.

    References
    ----------
    Nocedal and Wright (2006), Numerical Optimization, section 5.2 (Polak-Ribiere, kept positive).
    Bach (2010), Self-concordant Analysis for Logistic Regression, proposition 1: a Newton step
    along a line ascends as long as no predictor moves by more than 1.
    """
    gradient = direction = np.zeros(before.mean.size)
    w = before.mean if start is None else start
    u = gradient if start is None else before.whitened(start - before.mean)
    eta = X @ w + offset
    squared = 1.0
    for _ in range(_MAX_GRADIENT_STEPS):
        p = expit(eta)
        last, last_squared = gradient, squared
        gradient = before.solve_half((counts * (r - p)) @ X) - u
        squared = float(gradient @ gradient)
        if squared < _TOLERANCE:
            return w, eta
        turn = (squared - float(last @ gradient)) / last_squared
        direction = gradient + max(turn, 0.0) * direction
        move = before.solve_half(direction, transposed=True)
        moves = X @ move
        curvature = float(direction @ direction + (counts * p * (1.0 - p) * moves) @ moves)
        size = float(gradient @ direction) / curvature
        size /= max(1.0, abs(size) * float(np.abs(moves).max()))
        u, w = u + size * direction, w + size * move
        eta = eta + size * moves
    return None


def _mode_by_newton(
    posterior: WeightPosterior,
    before: Moments,
    X: Array,
    r: Array,
    offset: Array | float,
    counts: Array | float,
) -> tuple[Array, Array]:
    """Return the same from far starts, badly scaled contexts and vague beliefs.

    Maximises sum counts (r eta - log(1 + exp eta)) - u'Pu / 2 over u = w - m.
    """
    P, eta = posterior.precision, X @ before.mean + offset
    u = np.zeros(P.shape[0])
    objective = float((counts * (r * eta - np.logaddexp(0.0, eta))).sum())
    for _ in range(_MAX_NEWTON_STEPS):
        p = expit(eta)
        gradient = (counts * (r - p)) @ X - P @ u
        hessian = (X.T * (counts * np.maximum(p * (1.0 - p), 1e-12))) @ X
        hessian += P
        _, step, _ = lapack.dposv(hessian.T, gradient, lower=1, overwrite_a=1)
        if float(gradient @ step) < _TOLERANCE:
            break
        # Full steps can overshoot from a far start; halving keeps the ascent monotone.
        moves, size = X @ step, 1.0
        while True:
            trial, moved = u + size * step, eta + size * moves
            value = float((counts * (r * moved - np.logaddexp(0.0, moved))).sum())
            value -= 0.5 * float(trial @ (P @ trial))
            if value >= objective or size < 1e-6:
                break
            size *= 0.5
        u, eta, objective = trial, moved, value
    return before.mean + u, eta
