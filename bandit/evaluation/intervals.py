"""How sure? Bootstrap intervals of a mean over scans, and of the difference of two orders.

Scans are the unit of resampling: inside a scan the places of the hits depend on one another, and
between scans a market that is easy today tends to be easy tomorrow. `block` keeps neighbouring
scans together, so that an interval does not look surer than the data are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandit.checks import as_array, as_count, as_kind, as_number
from bandit.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over scans with its interval; NaN throughout if no scan had a value.

    Attributes
    ----------
    mean, low, high : float
    n : int
        Scans that had a value.
    """

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class PairedDifference(Interval):
    """Mean of ``a - b`` over the scans that both measured, with its interval.

    Attributes
    ----------
    probability_positive : float
        Share of the resampled means above zero (ties count half): how sure it is that `a` is
        larger.
    """

    probability_positive: float


def bootstrap_interval(
    values: ArrayLike,
    rng: np.random.Generator,
    *,
    n: int = 2000,
    level: float = 0.95,
    block: int = 1,
) -> Interval:
    """Percentile bootstrap of the mean over scans.

    Parameters
    ----------
    values : array-like of float, shape (n_scans,)
        One value per scan in order of time; NaN (a scan without hits) is left out.
    rng : numpy.random.Generator
    n : int
        Resamples.
    level : float
        Probability inside the interval.
    block : int
        Consecutive scans resampled together (circular blocks). 1 assumes independent scans.

    Raises
    ------
    InvalidInputError
        If a value is infinite, or a setting is outside its range.

    References
    ----------
    B. Efron (1979). Bootstrap methods: another look at the jackknife. Annals of Statistics 7(1).
    D. N. Politis, J. P. Romano (1992). A circular block-resampling procedure for stationary data.
    In: Exploring the limits of bootstrap, 263-270.

    Examples
    --------
    >>> bootstrap_interval([0.5, 0.5, float("nan")], np.random.default_rng(0))
    Interval(mean=0.5, low=0.5, high=0.5, n=2)
    """
    return _interval(_as_row("values", values), rng, n, level, block)[0]


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    rng: np.random.Generator,
    *,
    n: int = 2000,
    level: float = 0.95,
    block: int = 1,
) -> PairedDifference:
    """By how much is `a` above `b`, scan by scan, and how sure is that?

    Comparing scan by scan removes what both orders share (an easy day, a hard day), so that far
    smaller differences show than two separate intervals could distinguish.

    Parameters
    ----------
    a, b : array-like of float, shape (n_scans,)
        The same measure of the same scans under two orders; a scan with a NaN in either is left
        out.
    rng, n, level, block
        As in `bootstrap_interval`.

    Examples
    --------
    >>> paired_difference([0.6, 0.7], [0.5, 0.6], np.random.default_rng(0)).probability_positive
    1.0
    """
    left, right = _as_row("a", a), _as_row("b", b)
    if left.shape != right.shape:
        raise InvalidInputError(
            f"a has {len(left)} scans and b has {len(right)}; expected the same scans in both"
        )
    mean, means = _interval(left - right, rng, n, level, block)
    positive = (means > 0).mean() + 0.5 * (means == 0).mean() if mean.n else math.nan
    return PairedDifference(mean.mean, mean.low, mean.high, mean.n, float(positive))


def _as_row(name: str, values: ArrayLike) -> NDArray[np.float64]:
    row = as_array(values, name, np.float64)
    if row.ndim != 1:
        raise InvalidInputError(f"{name} has shape {row.shape}; expected one row, (n_scans,)")
    if np.isinf(row).any():
        raise InvalidInputError(f"{name} contains an infinite value; expected numbers or NaN")
    return row


def _interval(
    values: NDArray[np.float64], rng: np.random.Generator, n: int, level: float, block: int
) -> tuple[Interval, NDArray[np.float64]]:
    """Return the interval and the means of `n` circular block resamples, shape (n,)."""
    as_kind(rng, "rng", np.random.Generator, "np.random.default_rng(0)")
    as_count(n, "n")
    as_count(block, "block")
    as_number(level, "level", "a number in (0, 1)", above=0.0, below=1.0)
    row = values[~np.isnan(values)]
    size = len(row)
    if not size:
        return Interval(math.nan, math.nan, math.nan, 0), np.empty(0)
    # A block's sum is a difference of running sums over the row laid end to end with its own
    # beginning. The last block is cut, so that each resample has exactly `size` values.
    block = min(block, size)
    running = np.concatenate([[0.0], np.cumsum(np.concatenate([row, row[: block - 1]]))])
    n_whole, rest = divmod(size, block)
    starts = rng.integers(0, size, size=(n, n_whole + (rest > 0)))
    lengths = np.full(starts.shape[1], block)
    if rest:
        lengths[-1] = rest
    sums = running[starts + lengths] - running[starts]
    means = np.asarray(sums.sum(axis=1) / size, dtype=np.float64)
    return Interval(float(row.mean()), *quantiles(means, level), size), means


def quantiles(means: NDArray[np.float64], level: float) -> tuple[float, float]:
    """Return the ends of the interval that holds a share `level` of resampled means."""
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return float(low), float(high)
