"""The factor by which a treatment raises a count, where the odds of being treated changed.

A rollout that is raised from a tenth to nine tenths puts its treated scans into later, other
markets. Scans that were drawn with one probability are comparable among themselves: the lift is
that of Mantel and Haenszel over such strata, and its interval holds the factors that a
randomisation test does not reject.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from bandit.checks import as_array, as_kind, as_number
from bandit.errors import InvalidInputError
from bandit.evaluation.intervals import Interval, quantiles

# Probabilities with fewer scans share a stratum with their neighbour.
_LEAST_IN_STRATUM = 8
_N_RESAMPLES = 2000

Row = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Lift:
    """What treatment does to the mean.

    Attributes
    ----------
    ratio, low, high : float
        Mean with over mean without treatment, and its interval; NaN while no stratum has both,
        infinite where nothing was counted without treatment.
    treated, untreated : Interval
        Means, every stratum with the weight that it has in the ratio. Where no stratum has both,
        the plain means.
    n_strata : int
        Strata with scans of both kinds.
    """

    ratio: float
    low: float
    high: float
    treated: Interval
    untreated: Interval
    n_strata: int


def lift(
    values: ArrayLike,
    is_treated: ArrayLike,
    probability: ArrayLike,
    rng: np.random.Generator,
    *,
    level: float = 0.95,
) -> Lift:
    """Estimate by what factor treatment raises the mean of `values`.

    Parameters
    ----------
    values : array-like, shape (n,)
        Not negative; a scan each.
    is_treated : array-like of bool, shape (n,)
    probability : array-like, shape (n,)
        With which each was drawn for treatment.
    rng : numpy.random.Generator
        For the intervals of the means; that of the ratio needs none.
    level : float
        Probability inside the intervals.

    Raises
    ------
    InvalidInputError
        If the rows differ in length, a probability is outside [0, 1], or a value is negative or
        not finite.

    Notes
    -----
    Under the hypothesis that treatment multiplies a value by t, the values that all scans would
    have had with treatment are known: treated ones as they are, the others times t. Their
    covariance with the draws has mean zero and a known variance, whatever the values are and
    however they change in time: only the draws were random. The interval is the set of t where it
    lies within the normal quantile of zero, solved as Fieller did for ratios of means.

    References
    ----------
    N. Mantel, W. Haenszel (1959). Statistical aspects of the analysis of data from retrospective
    studies of disease. JNCI 22(4), 719-748.
    P. R. Rosenbaum (2002). Observational studies, chapter 2: inverting randomisation tests.
    E. C. Fieller (1954). Some problems in interval estimation. JRSS B 16(2), 175-185.

    Examples
    --------
    Twice as many hits in either half, of which the second, mostly treated, had ten times as many:

    >>> values = [2, 1, 1, 1, 20, 20, 20, 10]
    >>> found = lift(values, [1, 0, 0, 0, 1, 1, 1, 0], [0.25] * 4 + [0.75] * 4,
    ...              np.random.default_rng(0))
    >>> round(found.ratio, 2)
    2.0
    """
    as_kind(rng, "rng", np.random.Generator, "np.random.default_rng(0)")
    as_number(level, "level", "a number in (0, 1)", above=0.0, below=1.0)
    y = as_array(values, "values", np.float64)
    p = as_array(probability, "probability", np.float64)
    m = as_array(is_treated, "is_treated", np.bool_)
    if y.ndim != 1 or not y.shape == p.shape == m.shape:
        raise InvalidInputError(
            f"values, is_treated and probability have shapes {y.shape}, {m.shape} and {p.shape}; "
            "expected one row each, of one length"
        )
    bad_values, bad_odds = y[~((y >= 0) & (y < math.inf))], p[~((p >= 0) & (p <= 1))]
    if bad_values.size or bad_odds.size:
        raise InvalidInputError(
            "expected values of at least 0 and probabilities in [0, 1]; got "
            f"{bad_values[:1]} and {bad_odds[:1]}"
        )
    stratum = _strata(p)
    strata = [np.flatnonzero(stratum == k) for k in np.unique(stratum)]
    both = [rows for rows in strata if m[rows].any() and not m[rows].all()]
    weighed = [(rows, _weight(m[rows])) for rows in both] or [(np.arange(y.size), 1.0)]
    treated, untreated = (
        _mean(y, [(rows[kind[rows]], weight) for rows, weight in weighed], rng, level)
        for kind in (m, ~m)
    )
    ratio = _ratio(y, m, p, both, level) if both else (math.nan, math.nan, math.nan)
    return Lift(*ratio, treated, untreated, len(both))


def _ratio(
    y: Row, m: NDArray[np.bool_], p: Row, both: list[NDArray[np.intp]], level: float
) -> tuple[float, float, float]:
    """Return the lift over the strata `both` and its interval.

    When one group has no hits, no factor turns its zeros into anything and the test would reject
    every factor. The bound then assumes one hit more.
    """
    everyone = np.concatenate(both)
    for kind in (m, ~m):
        if y[everyone].any() and not (y * kind)[everyone].any():
            rows = max(both, key=lambda rows: _weight(m[rows]))
            one_more = y.copy()
            one_more[rows[kind[rows]][0]] = 1.0
            _, low, high = _ratio(one_more, m, p, both, level)
            return (0.0, 0.0, high) if kind is m else (math.inf, low, math.inf)
    gain = base = 0.0
    vv = vw = ww = 0.0  # variance of u * gain - base, as a polynomial in u = 1 / t
    for rows in both:
        n, n_treated = rows.size, int(m[rows].sum())
        v, w = y[rows] * m[rows], y[rows] * ~m[rows]
        v, w = v - v.mean(), w - w.mean()
        gain += float((m[rows] - p[rows]) @ v)
        base -= float((m[rows] - p[rows]) @ w)
        spread = p[rows] * (1.0 - p[rows])
        # How many were treated is known; it says nothing about what treatment does.
        spread *= n_treated * (n - n_treated) / (n - 1) / spread.sum()
        vv += float(spread @ v**2)
        vw += float(spread @ (v * w))
        ww += float(spread @ w**2)
    z = float(ndtri(0.5 + level / 2.0)) ** 2
    low, high = _accepted(gain**2 - z * vv, gain * base + z * vw, base**2 - z * ww)
    ratio = gain / base if base > 0 else math.inf if gain > 0 else math.nan
    # Where there is no spread at all, the ends differ from the ratio by rounding.
    return ratio, min(low, ratio), max(high, ratio)


def _strata(p: Row) -> NDArray[np.intp]:
    """Return the stratum of each scan: one for each probability that is frequent enough."""
    _, of, counts = np.unique(p, return_inverse=True, return_counts=True)
    number = np.zeros(counts.size, np.intp)
    k = size = 0
    for i, count in enumerate(counts.tolist()):
        number[i] = k
        size += count
        if size >= _LEAST_IN_STRATUM:
            k, size = k + 1, 0
    if size and k:  # what is left over joins the last one
        number[number == k] = k - 1
    return np.asarray(number[of], np.intp)


def _weight(m: NDArray[np.bool_]) -> float:
    return float(m.sum() * (~m).sum() / m.size)


def _accepted(a: float, b: float, c: float) -> tuple[float, float]:
    """Return the hull of the t = 1 / u > 0 with ``a u**2 - 2 b u + c <= 0``."""
    root = b * b - a * c
    if a <= 0.0 and (root <= 0.0 or a == 0.0):
        return 0.0, math.inf
    ends = sorted((b + sign * math.sqrt(max(root, 0.0))) / a for sign in (-1.0, 1.0))
    if a > 0.0:
        low, high = ends
        return (1.0 / high if high > 0 else math.inf), (1.0 / low if low > 0 else math.inf)
    # Outside of the roots: all large u belong to it, small ones where both roots are above zero.
    return 0.0, 1.0 / ends[1] if ends[0] <= 0.0 < ends[1] else math.inf


def _mean(
    y: Row, parts: list[tuple[NDArray[np.intp], float]], rng: np.random.Generator, level: float
) -> Interval:
    """Weighted mean over strata, and its percentile bootstrap within them."""
    parts = [(rows, weight) for rows, weight in parts if rows.size]
    total = sum(weight for _, weight in parts)
    if not parts:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean, resampled = 0.0, np.zeros(_N_RESAMPLES)
    for rows, weight in parts:
        mean += weight / total * float(y[rows].mean())
        drawn = rng.choice(y[rows], (_N_RESAMPLES, rows.size))
        resampled += weight / total * drawn.mean(axis=1)
    return Interval(mean, *quantiles(resampled, level), sum(rows.size for rows, _ in parts))
