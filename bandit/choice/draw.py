"""Which arms next: a Thompson draw, the top of what remains, and always some random ones.

Kept apart from belief: everything here sees a mean, a factored precision and per-arm noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandit.choice.propensity import batch_propensity

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# Scores that a first bound of the best is taken from.
_SAMPLE = 2_048


@dataclass(frozen=True, slots=True)
class Choice:
    """The arms of one batch, best first, as positions in the scan's universe.

    Parameters
    ----------
    arms : array of int, shape (k,)
        Positions; the random ones stand last.
    is_random : array of bool, shape (k,)
        Drawn by the uniform quota.
    propensity : array, shape (k,)
        Probability, given the draw of the scores, that the arm is in the batch; in (0, 1].
    """

    arms: Index
    is_random: NDArray[np.bool_]
    propensity: Array


def choose(
    free: Index, k: int, quota: float, rng: np.random.Generator, best: Callable[[], Index]
) -> Choice:
    """Choose k of the free arms: the best ones, and some at random whatever they promise.

    Parameters
    ----------
    free : array of int, shape (m,)
        Arms that remain; m >= k.
    quota : float
        How many are to be random in the mean.
    best : callable
        Returns the k best of `free`, best first; called after the random ones were drawn.
    """
    n_random = min(k, round_stochastically(quota, rng))
    at_random = free[sample(free.size, n_random, rng)]
    ranked = best()
    # Behind the k best every rank has the same chance: that of the quota.
    place, drawn = np.nonzero(ranked == at_random[:, None])
    rank = np.full(k, k)
    rank[k - n_random + place] = drawn
    ranks = np.delete(np.arange(k), drawn) if drawn.size else np.arange(k)
    rank[: k - n_random] = ranks = ranks[: k - n_random]
    arms = np.concatenate([ranked[ranks], at_random])
    propensity = batch_propensity(rank, n_remaining=free.size, k=k, quota=quota)
    return Choice(arms, np.arange(k) >= k - n_random, propensity)


def round_stochastically(value: float, rng: np.random.Generator) -> int:
    """Round to one of the two neighbouring integers with the right mean.

    A quota of 2 % of a batch of 20 is 0.4 symbols: rounding to nearest would be silently zero.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> sum(round_stochastically(0.4, rng) for _ in range(1000)) / 1000
    0.373
    """
    whole = math.floor(value)
    return whole + int(rng.random() < value - whole)


def sample(n: int, k: int, rng: np.random.Generator) -> Index:
    """Return k different positions of 0 to n-1, drawn uniformly."""
    if k > 1:
        return np.asarray(rng.choice(n, k, replace=False), np.intp)
    # One or none, as a batch of fifty asks for: in a quarter of the time.
    return np.array([int(rng.random() * n) for _ in range(k)], np.intp)


def top_k(scores: NDArray[np.floating], k: int, rng: np.random.Generator) -> Index:
    """Return the positions of the k largest scores, best first; ties fall by the generator.

    Notes
    -----
    O(n) partition plus a sort of the k. Only where the k-th score is shared by several arms is
    a random subset of those drawn, so equal scores never mean input order.
    """
    n = scores.size
    if n > 4 * _SAMPLE:  # a bound from a sample leaves few of many
        sample = scores[:: n // _SAMPLE]
        place = min(4 + 2 * k * sample.size // n, sample.size)
        few = np.flatnonzero(scores >= np.partition(sample, -place)[-place])
        if k <= few.size <= n // 4:
            return few[top_k(scores[few], k, rng)]
    if k >= n:
        chosen = np.arange(n)
    else:
        chosen = np.argpartition(scores, n - k)[n - k :]
        best = scores[chosen]
        edge = best.min()
        tied = (scores == edge).nonzero()[0]
        above = chosen[best > edge]
        if tied.size > k - above.size:
            tied = rng.choice(tied, k - above.size, replace=False)
            chosen = np.concatenate([above, tied])
    order = np.lexsort((rng.random(chosen.size), -scores[chosen]))
    return np.asarray(chosen[order], np.intp)
