"""What the ratings of the very first scan say of the arms that remain, while hits are few.

Fifty graded ratings a batch say more than the two hits among them. A ridge regression of their
normal scores on the features orders what remains; it counts for less with every hit, and only as
far as hits do come with high ratings.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtri

Array = NDArray[np.float64]

# Standard deviations of the scores that the hint is worth at first, and hits that halve it.
_WORTH, _FADE = 2.0, 8.0
# A priori a hit's log odds rise by N(1, 1) with each standard deviation of the rating.
_SLOPE, _VARIANCE, _INTERCEPT_VARIANCE = 1.0, 1.0, 4.0


def spread_out(X: Array, precision: Array, k: int) -> NDArray[np.intp]:
    """Return k rows of X (n, d) that would teach the most, each beside those before it.

    The row of the largest posterior variance comes next (greedy D-optimal design).
    """
    half = X / np.sqrt(precision)
    chosen = np.empty(k, np.intp)
    for i in range(k):
        variance = np.einsum("nd,nd->n", half, half)
        chosen[i] = at = int(variance.argmax())
        most = max(float(variance[at]), 1e-12)
        # Seen once, a direction keeps 1 / (1 + variance) of it.
        shrunk = (1.0 - 1.0 / np.sqrt(1.0 + most)) / most
        half -= np.outer(half @ half[at], shrunk * half[at])
    return chosen


def ridge(X: Array, rating: Array, precision: Array) -> tuple[Array, Array]:
    """Return weights (d,) that foretell the normal scores of ratings (k,), and these."""
    place = rating.argsort().argsort()
    z = ndtri((place + 0.5) / rating.size)
    return np.linalg.solve(np.diag(precision) + X.T @ X, X.T @ z), z


def worth(z: Array, reward: Array, n_hits: float, base: float, *, is_sure: bool) -> float:
    """Return how many standard deviations of the scores the hint is worth.

    Parameters
    ----------
    z, reward : array, shape (k,)
        Normal scores of the ratings, and what the arms paid.
    base : float
        Log odds of a hit a priori.
    is_sure : bool
        Hits are the best ratings by definition.
    """
    slope = _SLOPE
    if not is_sure:
        a = base
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
    return float(np.clip(slope, -1.0, 1.0)) * _WORTH * _FADE / (_FADE + n_hits)
