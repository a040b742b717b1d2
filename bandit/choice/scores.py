"""Scores of a scan's arms by the shared weights: their mean, and a handful of posterior draws.

They are computed when a scan is opened; batches take the draws in turn. While little is known the
scan's own outcomes move the shared weights too, for this scan alone, and all arms are scored anew.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bandit.belief.belief import Belief
from bandit.belief.cells import correction
from bandit.belief.expansion import Expansion
from bandit.belief.weights import laplace_update

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# Up to this many arms the scores of a cold start are float64, so that they equal the composite's
# order exactly; beyond it, and once something was learned, time matters more than the 8th digit.
EXACT_UP_TO = 20_000
# Rows expanded at a time.
_CHUNK = 1_024
# Draws of the shared weights for a scan. One, four, one a batch or none: all find the same within
# 0.3 points; several keep one odd draw from leading a whole scan.
_DRAWS = 4
# A draw's spread over arms is at most this share of the spread of the mean scores. While little was
# learned, a draw of two hundred weights moves the scores by more than the seed weights do, and the
# first scans would follow it rather than them.
_MOST_NOISE = 0.3
# The shared weights of a young scan learn again when the reports have grown by this factor.
_MORE = 1.3


class SharedScores:
    """Scores of a scan's arms by the shared weights.

    Parameters
    ----------
    belief : Belief
        As it is now; what it learns later does not reach this scan.
    context : array, shape (n, n_columns)
    scale : float
        Scale of the draws; 0 = there are none.

    Attributes
    ----------
    mean : array, shape (n,)
        Expected linear predictor of each arm.
    """

    def __init__(
        self,
        belief: Belief,
        context: NDArray[np.floating],
        rng: np.random.Generator,
        scale: float,
    ) -> None:
        self.expansion = belief.expansion
        self._base = self.posterior = belief.posterior
        self.is_young = belief.is_young
        self.layout, self.worth = belief.layout, belief.cells.worth
        self._rng, self._scale = rng, scale
        self._n_learned = 0
        self._turn = 0
        self.renew(context)

    def renew(self, context: NDArray[np.floating]) -> None:
        """Score all arms by another context, shape (n, n_columns)."""
        self.context = context
        self._steps = correction(self.worth, self.layout, context)
        self._score()

    def _score(self) -> None:
        weights = self.posterior.mean[None]
        if self._scale > 0.0:
            draws = self.posterior.draw(self._rng, _DRAWS, self._scale)
            weights = np.concatenate([weights, draws])
        is_cold = self.posterior.n_observed == 0.0
        scores = scores_by(weights, self.context, self.expansion, exactly=is_cold)
        signal = float(scores[0].std())
        for row in scores[1:]:
            row -= scores[0]
            row *= min(1.0, _MOST_NOISE * signal / max(float(row.std()), 1e-12))
            row += scores[0]
        scores += self._steps.astype(scores.dtype)
        self.mean: NDArray[np.floating] = scores[0]
        self._draws = scores[1:]

    def next_draw(self) -> NDArray[np.floating]:
        """Return the scores by the draw whose turn it is, shape (n,); without draws, the mean."""
        if not len(self._draws):
            return self.mean
        self._turn += 1
        return np.asarray(self._draws[self._turn % len(self._draws)])

    def learn(self, rows: Index, rewards: Array) -> None:
        """Learn the shared weights again from everything reported, and score all arms.

        Parameters
        ----------
        rows, rewards : array, shape (k,)
            Every arm that was reported, and its reward as judged now.
        """
        self.posterior = laplace_update(
            self._base, self.features(rows), rewards, start=self.posterior.mean
        )
        self._score()

    def is_due(self, n_reported: int) -> bool:
        """Whether `learn` should run again; a true answer counts as having run it."""
        if not self.is_young or n_reported < _MORE * self._n_learned:
            return False
        self._n_learned = n_reported
        return True

    def features(self, rows: Index) -> Array:
        """Return the expanded context of `rows` (m,), shape (m, n_features)."""
        return np.asarray(self.expansion.transform(self.context[rows], np.float64), np.float64)

    def linear(self, weights: Array) -> NDArray[np.float32]:
        """Return x'w of every arm for weights (n_features,), shape (n,)."""
        return np.asarray(self.expansion.linear(self.context, weights[None])[0], np.float32)


def scores_by(
    weights: Array, context: NDArray[np.floating], expansion: Expansion, *, exactly: bool
) -> NDArray[np.floating]:
    """Return x'w of every arm for each row of `weights` (m, d), shape (m, n)."""
    n = context.shape[0]
    if n > EXACT_UP_TO or not exactly:
        return expansion.linear(context, weights)
    scores = np.empty((weights.shape[0], n))
    for start in range(0, n, _CHUNK):
        rows = slice(start, start + _CHUNK)
        scores[:, rows] = weights @ expansion.transform(context[rows], np.float64).T
    return scores
