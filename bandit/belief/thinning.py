"""Few of the many that nobody expected to pay, each standing for several: what they teach is alike.

Most arms of a scan are predicted to be no hits, and are none. Each of them says next to nothing,
and all of them together cost as much to learn from as the rest. An arm whose reward was predicted
with p < `MOST_NOISE` is therefore kept with the chance p / `MOST_NOISE`, and then counts for as
many as it stands for: on average exactly everything is learned.

What that adds to the variance of the sum of residuals is p^2 (1 / chance - 1) for an arm, less than
`MOST_NOISE` times p, which is the variance that the arm brings along by itself. Rewards are known
before arms are thinned out, and an arm that paid is always kept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# Noise that is added to what arms teach, as a share of their own.
MOST_NOISE = 0.05
# No arm stands for more than so many.
MOST_COUNTED = 10
# Multiples of the golden ratio fill the interval from 0 to 1 evenly.
_GOLDEN = 0.6180339887498949


def thin(reward: Array, probability: Array, n_before: int) -> tuple[Index, Array]:
    """Choose which of k arms to learn from, and say how many each stands for.

    Parameters
    ----------
    reward, probability : array, shape (k,)
        What the arms paid, and what was predicted before; in [0, 1].
    n_before : int
        Arms that were reported before: the choice depends on it and on nothing random, so that a
        journal folds into the same belief again.

    Returns
    -------
    rows : array of int, shape (m,)
        Ascending.
    counts : array, shape (m,)
        At least 1; their expected sum is k.

    References
    ----------
    Madow (1949), On the Theory of Systematic Sampling, II: unequal chances, one start.
    Fithian and Hastie (2014), Local Case-Control Sampling: Efficient Subsampling in Imbalanced Data
    Sets: a logistic regression loses little when common cases that were foreseen are thinned out.

    Examples
    --------
    >>> rows, counts = thin(np.array([1.0, 0.0, 0.0, 0.0]), np.array([0.9, 0.2, 0.01, 0.01]), 3)
    >>> rows, counts
    (array([0, 1, 2]), array([1., 1., 5.]))
    """
    chance = np.maximum(reward, probability) * (1.0 / MOST_NOISE)
    chance = np.minimum(np.maximum(chance, 1.0 / MOST_COUNTED), 1.0)
    # The line of chances is cut into pieces of length 1, and each piece keeps the arm it begins in.
    piece = (np.cumsum(chance) + n_before * _GOLDEN % 1.0).astype(np.intp)
    is_kept = np.empty(piece.size, bool)
    is_kept[:1] = piece[:1] > 0
    np.not_equal(piece[1:], piece[:-1], out=is_kept[1:])
    rows = is_kept.nonzero()[0]
    return rows, 1.0 / chance[rows]
