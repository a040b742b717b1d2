"""Scores of a scan's arms: all of them for thousands, only the contenders for millions.

The score of an arm is x'w (shared weights), plus what is known of it otherwise. Most arms cannot
reach the top k of a batch, and need not be scored to know it. At an *anchor* every arm's x'm and
its posterior standard deviation r = sqrt(x' P^-1 x) are computed. Later, for a draw w' from the
posterior with mean m' and precision P', narrowed by s,

    |x'w' - x'm| <= r |m' - m|_P + 6 s r

The first part is the Cauchy-Schwarz inequality in the metric of P and always holds. The second
fails for an arm with probability 2e-9 a draw; within a scan the precision only grows, so r
bounds later deviations too. Only arms whose upper bound reaches the k-th best lower bound are
scored, and the picks are those of scoring every arm. When the mean has moved so far that many
arms contend, it is anchored anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bandit.belief.expansion import Expansion
from bandit.belief.weights import Moments

Array = NDArray[np.float64]
Floats = NDArray[np.floating]
Index = NDArray[np.intp]
Mask = NDArray[np.bool_]

# Up to this many arms every arm is scored, and those that contend in float64, so that a cold start
# equals the composite's order exactly; beyond it memory and time matter more than the 8th digit.
DENSE_UP_TO = 20_000
# Standard deviations that a draw's deviation is bounded by; P(|N(0,1)| > 6) = 2e-9.
_DRAW_BOUND = 6.0
# Features kept beside the contexts: 500,000 arms of 121 features take 242 MB, a million none.
CACHE_BYTES = 256 * 2**20
# Slack of the bounds for sums in float32, in logits.
_ROUNDING = 1e-3
# Rows expanded at a time: 8,192 rows of 240 features of 4 bytes.
_CHUNK = 8_192
# A new anchor pays once more than this share of the arms contends: scoring a gathered row costs
# about 10 times a row of a full pass, expanding it anew about 30 times.
_TOO_MANY_CACHED = 0.10
_TOO_MANY = 0.03


class ArmScores(Protocol):
    """The shared part of every arm's score, x'w."""

    def means(self, moments: Moments) -> Floats:
        """Return x'm of every arm, shape (n,); not to be written to."""

    def features(self, rows: Index) -> NDArray[np.float32]:
        """Return x of `rows`, shape (m, d)."""

    def linear(self, rows: Index, weights: Array) -> Array:
        """Return x'w of `rows`, shape (m,), for weights of shape (d,)."""

    def contenders(
        self, is_free: Mask, k: int, moments: Moments, weights: Array, scale: float, extra: Floats
    ) -> Index:
        """Return the free arms that can be among the k best, shape (m,), ascending.

        Parameters
        ----------
        is_free : array of bool, shape (n,)
            At least k of them.
        weights : array, shape (d,)
            Drawn from `moments`, narrowed by `scale`.
        extra : array, shape (n,)
            The rest of each arm's score.
        """


class DenseScores:
    """Every arm scored in float32, and those that contend in float64.

    Reading the features is what scoring a few thousand arms costs, and float32 halves it.
    """

    def __init__(self, context: Floats, expansion: Expansion) -> None:
        self._features = expansion.transform(context, np.float64)
        self._rough = self._features.astype(np.float32)
        self._of: Moments | None = None
        self._means = np.empty(0)

    def means(self, moments: Moments) -> Floats:
        """See `ArmScores`."""
        if moments is not self._of:
            # Columns that other workers announced after the scan was opened stand at the end.
            self._means = self._features @ moments.mean[: self._features.shape[1]]
            self._of = moments
        return self._means

    def features(self, rows: Index) -> NDArray[np.float32]:
        """See `ArmScores`."""
        return self._rough[rows]

    def linear(self, rows: Index, weights: Array) -> Array:
        """See `ArmScores`."""
        weights = weights[: self._features.shape[1]]
        if 2 * rows.size > self._features.shape[0]:
            return np.asarray((self._features @ weights)[rows])
        return np.asarray(self._features.take(rows, axis=0) @ weights)

    def contenders(
        self, is_free: Mask, k: int, moments: Moments, weights: Array, scale: float, extra: Floats
    ) -> Index:
        """See `ArmScores`."""
        scores = self.rough(weights)
        scores += extra
        # A partition takes long where many are equal, as those that are not free would be.
        free = is_free.nonzero()[0]
        scores = scores.take(free)
        edge = float(np.partition(scores, -k)[-k]) - _ROUNDING
        return free[scores >= edge]

    def rough(self, weights: Array) -> NDArray[np.float32]:
        """Return x'w of every arm to some six digits, shape (n,), for weights of shape (d,)."""
        some = weights[: self._rough.shape[1]].astype(np.float32)
        return np.asarray(self._rough @ some, np.float32)


class BoundedScores:
    """Arms scored at anchors, and where their bounds contend.

    Features are kept in float32 where they fit `cache_bytes`, and expanded when needed beyond.
    """

    def __init__(
        self,
        context: Floats,
        expansion: Expansion,
        moments: Moments,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._context = context
        self._expansion = expansion
        self._d = expansion.n_features
        self._n = context.shape[0]
        self._features: NDArray[np.float32] | None = None
        if 4 * self._n * self._d <= cache_bytes:
            self._features = np.empty((self._n, self._d), np.float32)
            for rows in self._chunks():
                self._features[rows] = expansion.transform(context[rows], np.float32)
        self._radius = np.empty(self._n, np.float32)
        for rows in self._chunks():
            self._radius[rows] = np.sqrt(moments.variance_of(self._expanded(rows)))
        # The metric of r and of the drift stays; the anchor's mean moves on.
        self._metric = moments
        self._anchor = moments
        self._means = self._all(moments.mean)

    def means(self, moments: Moments) -> Floats:
        """See `ArmScores`; takes a new anchor."""
        if moments is not self._anchor:
            self._means = self._all(moments.mean)
            self._anchor = moments
        return self._means

    def features(self, rows: Index) -> NDArray[np.float32]:
        """See `ArmScores`."""
        if self._features is not None:
            return self._features[rows]
        return np.asarray(self._expansion.transform(self._context[rows], np.float32))

    def linear(self, rows: Index, weights: Array) -> Array:
        """See `ArmScores`."""
        if 4 * rows.size > self._n:
            return np.asarray(self._all(weights)[rows], np.float64)
        return np.asarray(self.features(rows) @ weights[: self._d], np.float64)

    def contenders(
        self, is_free: Mask, k: int, moments: Moments, weights: Array, scale: float, extra: Floats
    ) -> Index:
        """See `ArmScores`."""
        rows = self._within_bounds(is_free, k, moments, scale, extra)
        too_many = _TOO_MANY if self._features is None else _TOO_MANY_CACHED
        if rows.size > max(too_many * self._n, 4 * k) and moments is not self._anchor:
            self.means(moments)
            rows = self._within_bounds(is_free, k, moments, scale, extra)
        return rows

    def _within_bounds(
        self, is_free: Mask, k: int, moments: Moments, scale: float, extra: Floats
    ) -> Index:
        moved = moments.mean[: self._d] - self._anchor.mean[: self._d]
        drift = self._metric.norm(moved)
        width = self._radius * np.float32(drift + _DRAW_BOUND * scale)
        middle = self._means + extra.astype(np.float32, copy=False)
        middle[~is_free] = -np.inf
        lower = middle - width
        lower.partition(self._n - k)
        middle += width
        # float32 sums differ from the float64 ones of the plain path in their last digits.
        return np.flatnonzero(middle >= lower[self._n - k] - _ROUNDING)

    def _all(self, weights: Array) -> NDArray[np.float32]:
        w = weights[: self._d].astype(np.float32)
        if self._features is not None:
            return self._features @ w
        scores = np.empty(self._n, np.float32)
        for rows in self._chunks():
            scores[rows] = self._expansion.linear(self._context[rows], w)
        return scores

    def _expanded(self, rows: slice) -> Floats:
        if self._features is not None:
            return self._features[rows]
        return self._expansion.transform(self._context[rows], np.float32)

    def _chunks(self) -> Iterator[slice]:
        return (slice(start, start + _CHUNK) for start in range(0, self._n, _CHUNK))
