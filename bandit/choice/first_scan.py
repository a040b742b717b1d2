"""The first scan of an empty store: ratings order the arms that remain while hits are few.

Fifty graded ratings a batch say more than the two hits among them. A ridge regression of their
normal scores on the features orders what remains. It counts for less with every hit, and only as
far as hits do come with high ratings, which is learned along the way.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtri

from bandit.belief.track_record import percentiles
from bandit.choice.scores import SharedScores

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# Spread of the hint at first, in standard deviations of the scores, and the hits that halve it.
_WORTH, _FADE = 2.0, 8.0
# Arms among which the first batch explores, and how many of them it takes at most.
_LOOK_AT, _LOOK_MOST = 5_000, 100
# A priori a hit's log odds rise by N(1, 1) with each standard deviation of the rating.
_SLOPE, _VARIANCE, _INTERCEPT_VARIANCE = 1.0, 1.0, 4.0


class RatingHint:
    """Scores from the ratings of a scan before which nothing was learned.

    Parameters
    ----------
    shared : SharedScores
    is_sure : bool
        Hits are the best ratings by definition.
    """

    def __init__(self, shared: SharedScores, *, is_sure: bool, rng: np.random.Generator) -> None:
        self._shared, self._is_sure, self._rng = shared, is_sure, rng
        self.added: Array | float = 0.0  # to the scores of all arms, (n,)

    def look_around(self, best: Index, free: Index) -> Index:
        """Replace up to half of the `best` arms by those of the `free` arms that teach most."""
        precision = self._shared.posterior.prior_precision
        free = self._rng.permutation(free)[:_LOOK_AT]  # ties never mean input order
        n = min(best.size // 2, _LOOK_MOST)
        chosen = free[spread_out(self._shared.features(free), precision, n)]
        return np.concatenate([chosen, best[~np.isin(best, chosen)]])[: best.size]

    def learn(self, rows: Index, rating: Array, reward: Array, is_free: NDArray[np.bool_]) -> None:
        """Learn from every arm that was reported.

        Parameters
        ----------
        rows, rating, reward : array, shape (k,)
        is_free : array of bool, shape (n,)
            Arms that remain.
        """
        known = ~np.isnan(rating)
        if not known.any() or not is_free.any():
            return
        rows, rating, reward = rows[known], rating[known], reward[known]
        shared = self._shared
        w, z = ridge(shared.features(rows), rating, shared.posterior.prior_precision)
        predicted = shared.linear(w)
        left = predicted[is_free]
        slope = _SLOPE if self._is_sure else slope_of(z, reward, shared.posterior.prior_mean[0])
        by = float(np.clip(slope, -1.0, 1.0)) * _WORTH * _FADE / (_FADE + float(reward.sum()))
        by *= float(shared.mean[is_free].std()) / max(float(left.std()), 1e-9)
        self.added = by * (predicted - left.mean())


def spread_out(X: Array, precision: Array, k: int) -> Index:
    """Return the k rows of X (n, d) that teach the most, each given those before it.

    The row of the largest posterior variance comes next (greedy D-optimal design).
    """
    half = X / np.sqrt(precision)
    variance = np.einsum("nd,nd->n", half, half)
    known = np.empty((k, len(X)))  # what each chosen row reveals of all: rows of a Cholesky factor
    chosen = np.empty(k, np.intp)
    for i in range(k):
        chosen[i] = at = int(variance.argmax())
        column = half @ half[at] - known[:i, at] @ known[:i]
        known[i] = column / np.sqrt(1.0 + variance[at])
        variance -= known[i] ** 2
        variance[at] = -np.inf
    return chosen


def ridge(X: Array, rating: Array, precision: Array) -> tuple[Array, Array]:
    """Return weights (d,) that predict the normal scores of ratings (k,), and these."""
    z = np.asarray(ndtri(percentiles(rating)), np.float64)
    return np.asarray(np.linalg.solve(np.diag(precision) + X.T @ X, X.T @ z)), z


def slope_of(z: Array, reward: Array, base: float) -> float:
    """Return the rise of a hit's log odds with each standard deviation z (k,) of the rating.

    Parameters
    ----------
    base : float
        Log odds of a hit a priori.
    """
    a, slope = base, _SLOPE
    for _ in range(20):
        p = expit(a + slope * z)
        v = p * (1.0 - p)
        gradient = np.array([
            (reward - p).sum() - (a - base) / _INTERCEPT_VARIANCE,
            ((reward - p) * z).sum() - (slope - _SLOPE) / _VARIANCE,
        ])  # fmt: skip
        cross = (v * z).sum()
        curvature = np.array([
            [v.sum() + 1.0 / _INTERCEPT_VARIANCE, cross],
            [cross, (v * z * z).sum() + 1.0 / _VARIANCE],
        ])  # fmt: skip
        step = np.linalg.solve(curvature, gradient).clip(-1.0, 1.0)
        a, slope = a + step[0], slope + step[1]
    return float(slope)
