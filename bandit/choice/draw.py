"""A batch: the top of one ranking of what remains, with some arms drawn uniformly mixed in.

    at_random = draw_at_random(free, k, quota, rng)
    best = free[top_k(scores, k, rng)]
    choice = mixed(best, at_random, n_free=free.size, quota=quota)

The random arms are drawn first, so that the ranking cannot depend on them. Once the scores are
drawn, only the quota is left to chance, and its chances are those of an urn: the probability with
which an arm came into its batch is exact. Taking the draw as given is allowed, because it was made
before any outcome of the batch; it needs no Monte-Carlo, and the probabilities of all arms sum to
the size of the batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

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

    @classmethod
    def certain(cls, arms: Sequence[int] | Index) -> Choice:
        """Return a batch whose arms, shape (k,), were not left to chance."""
        arms = np.asarray(arms, np.intp)
        return cls(arms, np.zeros(arms.size, bool), np.ones(arms.size))

    @classmethod
    def joined(cls, parts: Sequence[Choice]) -> Choice:
        """Return one batch of several, in their order; at least one."""
        return cls(
            np.concatenate([part.arms for part in parts]),
            np.concatenate([part.is_random for part in parts]),
            np.concatenate([part.propensity for part in parts]),
        )


def draw_at_random(free: Index, k: int, quota: float, rng: np.random.Generator) -> Index:
    """Draw the random arms of a batch of k from the free arms (m,), `quota` on average."""
    n = min(k, round_stochastically(quota, rng))
    return free[sample(free.size, n, rng)]


def mixed(best: Index, at_random: Index, *, n_free: int, quota: float) -> Choice:
    """Return the batch of the `best` arms with the random ones mixed in.

    Parameters
    ----------
    best : array of int, shape (k,)
        The k best of the free arms, best first.
    at_random : array of int, shape (n_random,)
        From `draw_at_random`; they replace the last of the best that are not random themselves.
    n_free : int
        Number of free arms.
    quota : float
        See `draw_at_random`.
    """
    k = best.size
    # Behind the k best every rank has the same chance: that of the quota.
    place, drawn = np.nonzero(best == at_random[:, None])
    rank = np.full(k, k)
    rank[k - at_random.size + place] = drawn
    ranks = np.delete(np.arange(k), drawn) if drawn.size else np.arange(k)
    ranks = ranks[: k - at_random.size]
    rank[: ranks.size] = ranks
    arms = np.concatenate([best[ranks], at_random])
    propensity = batch_propensity(rank, n_remaining=n_free, k=k, quota=quota)
    return Choice(arms, np.arange(k) >= ranks.size, propensity)


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
    fewer = math.floor(quota)
    more = quota - fewer
    result = np.zeros(rank.size)
    for m, weight in ((fewer, 1.0 - more), (fewer + 1, more)):
        if weight == 0.0:
            continue
        by_chance = m / n_remaining
        by_score = (rank < k - m).astype(np.float64)
        # Only the m ranks behind the certain ones depend on who was drawn before them.
        if 0 < m < n_remaining:
            for i in np.flatnonzero((rank >= k - m) & (rank < k)):
                r = int(rank[i])
                by_score[i] = _more_than(r - (k - m), r, n_remaining - 1, m)
        result += weight * (by_chance + (1.0 - by_chance) * by_score)
    # The two shares of a certain arm can add up to a bit more than one.
    return np.minimum(result, 1.0)


def _more_than(x: int, marked: int, n: int, m: int) -> float:
    """Return P(H > x) for H of `marked` arms among m drawn from n: the hypergeometric tail."""
    if m == 1:
        return marked / n if x == 0 else 0.0
    h = np.arange(max(x + 1, m - (n - marked), 0), min(marked, m) + 1)

    def log_choose(a: int, b: NDArray[np.integer] | int) -> NDArray[np.float64]:
        return np.asarray(gammaln(a + 1) - gammaln(np.add(b, 1)) - gammaln(np.subtract(a + 1, b)))

    logs = log_choose(marked, h) + log_choose(n - marked, m - h) - log_choose(n, m)
    return float(np.exp(logs).sum())
