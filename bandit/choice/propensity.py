"""With what probability did an arm come into its batch? Exact, given the draw that ranked it.

A batch is the top of one ranking with a uniform quota mixed in. Once the scores are drawn, only
the quota is left to chance, and its chances are those of an urn. Taking the draw as given is
allowed, because it was made before any outcome of the batch; it needs no Monte-Carlo, and the
probabilities of all arms sum to the size of the batch.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from bandit.errors import InvalidInputError


def batch_propensity(
    rank: NDArray[np.integer], *, n_remaining: int, k: int, quota: float
) -> NDArray[np.float64]:
    """Probability that the arms at these ranks are in a batch of k.

    The batch is made so: `quota` is rounded stochastically to m; m arms are drawn uniformly from
    all that remain; the best k - m of the others complete it.

    Parameters
    ----------
    rank : ndarray of int, shape (n,)
        Places by drawn score among all that remain, from 0.
    n_remaining : int
        Arms that remain.
    k : int
        Size of the batch, 1 to `n_remaining`.
    quota : float
        Expected number of uniform arms, 0 to k.

    Returns
    -------
    ndarray of float, shape (n,)
        In [0, 1]; 0 only if the quota is 0.

    Raises
    ------
    InvalidInputError
        If k, the quota or a rank is outside its range.

    Notes
    -----
    With m fixed, an arm at rank r that is not drawn itself comes in if at least r - (k - m) + 1 of
    the r arms before it were drawn; that number is hypergeometric.

    Examples
    --------
    Two of four, one of them at random: the best is certain, the last two have one chance in four;
    the second also comes in when the best is the random one.

    >>> batch_propensity(np.arange(4), n_remaining=4, k=2, quota=1.0)
    array([1.  , 0.5 , 0.25, 0.25])
    """
    if not 1 <= k <= n_remaining:
        raise InvalidInputError(
            f"k is {k} with {n_remaining} symbols remaining; expected 1 to that"
        )
    if not 0.0 <= quota <= k:
        raise InvalidInputError(f"quota is {quota} for a batch of {k}; expected 0 to k")
    if ((rank < 0) | (rank >= n_remaining)).any():
        raise InvalidInputError(f"a rank is outside 0 to {n_remaining - 1}")
    fewer = math.floor(quota)
    more = quota - fewer
    result = (1.0 - more) * _with_quota(rank, n_remaining, k, fewer)
    if more > 0.0:
        result += more * _with_quota(rank, n_remaining, k, fewer + 1)
    # The two shares of a certain arm can add up to a bit more than one.
    return np.minimum(result, 1.0)


def _with_quota(rank: NDArray[np.integer], n: int, k: int, m: int) -> NDArray[np.float64]:
    by_chance = m / n
    by_score = (rank < k - m).astype(np.float64)
    # Only the m ranks behind the certain ones depend on who was drawn before them.
    if 0 < m < n:
        between = np.flatnonzero((rank >= k - m) & (rank < k))
        by_score[between] = [_more_than(r - (k - m), r, n - 1, m) for r in rank[between].tolist()]
    return by_chance + (1.0 - by_chance) * by_score


def _more_than(x: int, marked: int, n: int, m: int) -> float:
    """Return P(H > x) for H of `marked` arms among m drawn from n: the hypergeometric tail."""
    if m == 1:
        return marked / n if x == 0 else 0.0
    h = np.arange(max(x + 1, m - (n - marked), 0), min(marked, m) + 1)

    def log_choose(a: int, b: NDArray[np.integer] | int) -> NDArray[np.float64]:
        return np.asarray(gammaln(a + 1) - gammaln(np.add(b, 1)) - gammaln(np.subtract(a + 1, b)))

    logs = log_choose(marked, h) + log_choose(n - marked, m - h) - log_choose(n, m)
    return float(np.exp(logs).sum())
