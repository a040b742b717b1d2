"""Scores of a scan's arms by the shared weights, for several weight vectors at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bandit.belief.expansion import Expansion

# Up to this many arms the scores of a cold start are float64, so that they equal the composite's
# order exactly; beyond it, and once something was learned, time matters more than the 8th digit.
DENSE_UP_TO = 20_000
# Rows expanded at a time.
_CHUNK = 1_024


def scores_by(
    weights: NDArray[np.float64],
    context: NDArray[np.floating],
    expansion: Expansion,
    *,
    exactly: bool,
) -> NDArray[np.floating]:
    """Return x'w of every arm for each row of `weights` (m, d), shape (m, n)."""
    n = context.shape[0]
    weights = weights[:, : expansion.n_features]
    if n > DENSE_UP_TO or not exactly:
        return expansion.linear(context, weights)
    scores = np.empty((weights.shape[0], n))
    for start in range(0, n, _CHUNK):
        rows = slice(start, start + _CHUNK)
        scores[:, rows] = weights @ expansion.transform(context[rows], np.float64).T
    return scores
