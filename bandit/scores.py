"""Scores of a scan's arms: all of them for thousands, only the contenders for millions.

The score of an arm is x'w (shared weights), plus what is known of it otherwise. Most arms cannot
reach the top k of a batch, and need not be scored to know it. At an *anchor* every arm's x'm and
its posterior standard deviation r = sqrt(x' P^-1 x) are computed. Later, for a draw w' from the
posterior with mean m' and precision P', narrowed by s,

    |x'w' - x'm| <= r |m' - m|_P + 7 s r

The first part is the Cauchy-Schwarz inequality in the metric of P and always holds. The second
fails for an arm with probability 3e-12 a draw; within a scan the precision only grows, so r
bounds later deviations too. Only arms whose upper bound reaches the k-th best lower bound are
scored, and the picks are those of scoring every arm. When the mean has moved so far that many
arms contend, it is anchored anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bandit.expansion import Expansion
from bandit.reward_model import Moments

Array = NDArray[np.float64]
Floats = NDArray[np.floating]
Index = NDArray[np.intp]
Mask = NDArray[np.bool_]

# Up to this many arms scores are float64 and dense, so that a cold start equals the composite's
# order exactly; beyond it memory and time matter more than the 8th digit.
DENSE_UP_TO = 20_000
# Standard deviations that a draw's deviation is bounded by; P(|N(0,1)| > 7) = 2.6e-12.
_DRAW_BOUND = 7.0
# Rows expanded at a time: 8,192 rows of 240 features of 4 bytes.
_CHUNK = 8_192
# A new anchor pays once more than this share of the arms contends.
_TOO_MANY = 0.02


class ArmScores(Protocol):
    """The shared part of every arm's score, x'w."""

    def means(self, moments: Moments) -> Floats:
        """Return x'm of every arm, shape (n,); not to be written to."""

    def means_of(self, rows: Index, moments: Moments) -> Array:
        """Return x'm of `rows`, shape (m,)."""

    def deviations_of(self, rows: Index, deviation: Array) -> Array:
        """Return x'(w - m) of `rows`, shape (m,), for `deviation` w - m, shape (d,)."""

    def contenders(
        self, is_free: Mask, k: int, moments: Moments, scale: float, extra: Floats
    ) -> Index:
        """Return the free arms that can be among the k best, shape (m,), ascending.

        Parameters
        ----------
        is_free : array of bool, shape (n,)
            At least k of them.
        scale : float
            Of the posterior draw.
        extra : array, shape (n,)
            The rest of each arm's score.
        """


class DenseScores:
    """Every arm's features kept, every arm scored."""

    def __init__(self, context: Floats, expansion: Expansion) -> None:
        self._features = expansion.transform(context, np.float64)
        self._of: Moments | None = None
        self._means = np.empty(0)

    def means(self, moments: Moments) -> Floats:
        """See `ArmScores`."""
        if moments is not self._of:
            # Columns that other workers announced after the scan was opened stand at the end.
            self._means = self._features @ moments.mean[: self._features.shape[1]]
            self._of = moments
        return self._means

    def means_of(self, rows: Index, moments: Moments) -> Array:
        """See `ArmScores`."""
        return np.asarray(self.means(moments)[rows], np.float64)

    def deviations_of(self, rows: Index, deviation: Array) -> Array:
        """See `ArmScores`."""
        part = self._features @ deviation[: self._features.shape[1]]
        return np.asarray(part[rows], np.float64)

    def contenders(
        self, is_free: Mask, k: int, moments: Moments, scale: float, extra: Floats
    ) -> Index:
        """See `ArmScores`: all of them."""
        return np.flatnonzero(is_free)


class BoundedScores:
    """Contexts kept as they are; arms scored at anchors, and where their bounds contend."""

    def __init__(self, context: Floats, expansion: Expansion, moments: Moments) -> None:
        self._context = context
        self._expansion = expansion
        self._d = expansion.n_features
        n = context.shape[0]
        self._anchor = moments
        # The metric of r and of the drift; the anchor's mean moves on, this stays.
        self._metric = moments
        self._means = np.empty(n, np.float32)
        self._radius = np.empty(n, np.float32)
        weights = moments.mean.astype(np.float32)
        for rows, features in self._chunks():
            self._means[rows] = features @ weights
            self._radius[rows] = np.sqrt(moments.variance_of(features))

    def means(self, moments: Moments) -> Floats:
        """See `ArmScores`; takes a new anchor."""
        if moments is not self._anchor:
            weights = moments.mean[: self._d].astype(np.float32)
            for rows, features in self._chunks():
                self._means[rows] = features @ weights
            self._anchor = moments
        return self._means

    def means_of(self, rows: Index, moments: Moments) -> Array:
        """See `ArmScores`."""
        return self.deviations_of(rows, moments.mean)

    def deviations_of(self, rows: Index, deviation: Array) -> Array:
        """See `ArmScores`."""
        features = self._expansion.transform(self._context[rows], np.float64)
        return np.asarray(features @ deviation[: self._d], np.float64)

    def contenders(
        self, is_free: Mask, k: int, moments: Moments, scale: float, extra: Floats
    ) -> Index:
        """See `ArmScores`."""
        rows = self._within_bounds(is_free, k, moments, scale, extra)
        if rows.size > max(_TOO_MANY * is_free.size, 4 * k) and moments is not self._anchor:
            self.means(moments)
            rows = self._within_bounds(is_free, k, moments, scale, extra)
        return rows

    def _within_bounds(
        self, is_free: Mask, k: int, moments: Moments, scale: float, extra: Floats
    ) -> Index:
        moved = moments.mean[: self._d] - self._anchor.mean[: self._d]
        drift = float(np.linalg.norm(self._metric.cholesky.T @ moved))
        width = self._radius * np.float32(drift + _DRAW_BOUND * scale)
        middle = self._means + extra.astype(np.float32, copy=False)
        middle[~is_free] = -np.inf
        lower = middle - width
        floor = np.partition(lower, lower.size - k)[lower.size - k]
        middle += width
        # float32 sums differ from the float64 ones of the plain path in their last digits.
        return np.flatnonzero(middle >= floor - 1e-4)

    def _chunks(self) -> Iterator[tuple[slice, Floats]]:
        for start in range(0, self._context.shape[0], _CHUNK):
            rows = slice(start, start + _CHUNK)
            yield rows, self._expansion.transform(self._context[rows], np.float32)
