"""The data behind the pictures of a replay: computed here once, drawn by `pictures`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandit.choice.explain import GroupWeight
from bandit.errors import InvalidInputError
from bandit.evaluation.intervals import bootstrap_interval
from scanner_adapter.replay.ranked import Recorder
from scanner_adapter.replay.report import BLOCK, ReplayReport, resampled_counts

Array = NDArray[np.float64]

SHARES = np.arange(101) / 100
"""Shares of the universe at which recall curves are drawn."""

WINDOW = 20
"""Scans behind each point of a rolling mean: a trading month."""

_RESAMPLES = 500
_BINS = np.array([0.0, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0])
_LEAST_CHECKS = 10  # in a bin; the mean of fewer says nothing


@dataclass(frozen=True, slots=True)
class Band:
    """A mean with its 95 % interval at each of m points; arrays of shape (m,)."""

    mean: Array
    low: Array
    high: Array


@dataclass(frozen=True, slots=True)
class Gain:
    """Rolling difference of one measure between the first order and another.

    Attributes
    ----------
    dates : ndarray of datetime64[D], shape (m,)
        Last day of each window.
    band : Band
        Difference of the recall, as shares.
    """

    dates: NDArray[np.datetime64]
    band: Band


@dataclass(frozen=True, slots=True)
class WeightHistory:
    """A factor's weight over the replay.

    Attributes
    ----------
    scans : ndarray of int, shape (m,)
        Number of the scan, warm-up included.
    prior : float
    learned, low, high : ndarray, shape (m,)
    """

    scans: NDArray[np.intp]
    prior: float
    learned: Array
    low: Array
    high: Array


@dataclass(frozen=True, slots=True)
class Reliability:
    """How the recall estimate compares with the truth.

    Attributes
    ----------
    estimated, true : ndarray, shape (m,)
        Means over the checks in each bin of the estimate.
    low, high : ndarray, shape (m,)
        95 % interval of `true`, over scans.
    n : ndarray of int, shape (m,)
        Checks in the bin, at least 10.
    above_low, below_high : float
        Share of all checks whose truth reached the lower bound, and did not exceed the upper one;
        0.9 was promised for each.
    """

    estimated: Array
    true: Array
    low: Array
    high: Array
    n: NDArray[np.intp]
    above_low: float
    below_high: float


def mean_band(curves: Sequence[Array]) -> Band:
    """Mean of recall curves with its interval over scans, at `SHARES`.

    Parameters
    ----------
    curves : sequence of ndarray, each of shape (n_scanned + 1,)
        Recall after 0, 1, 2, ... symbols of a complete scan, as `metrics.recall_curve`; scans
        without a hit (NaN) are left out.
    """
    known = [
        np.interp(SHARES, np.linspace(0.0, 1.0, len(curve)), curve)
        for curve in curves
        if not np.isnan(curve).any()
    ]
    return _band(np.reshape(known, (len(known), len(SHARES))))


def recall_bands(report: ReplayReport) -> dict[str, Band]:
    """Mean recall curve of each order with its interval over scans, at `SHARES`."""
    return {
        name: _band(result.curves[~np.isnan(result.curves[:, 0])].astype(np.float64))
        for name, result in report.results.items()
    }


def gains(
    report: ReplayReport,
    measure: str = "recall_10",
    *,
    order: str = "scanrank",
    against: Sequence[str] = ("last rating", "composite", "random"),
) -> dict[str, Gain]:
    """Rolling mean over `WINDOW` scans of what `order` found more than each baseline.

    Raises
    ------
    InvalidInputError
        If an order is not part of the report, or there are fewer scans than a window has.
    """
    for name in (order, *against):
        if name not in report.results:
            raise InvalidInputError(
                f"order is {name!r}; this report has {', '.join(report.results)}"
            )
    n = len(report.dates)
    if n < WINDOW:
        raise InvalidInputError(f"{n} measured scans; a gain over time needs at least {WINDOW}")
    mine = report.results[order].values(measure)
    found = {}
    for name in against:
        difference = mine - report.results[name].values(measure)
        windows = np.lib.stride_tricks.sliding_window_view(difference, WINDOW)
        found[name] = Gain(report.dates[WINDOW - 1 :], _rolling(windows))
    return found


def weight_histories(watch: Recorder) -> dict[str, WeightHistory]:
    """Each factor's learned weight over the replay, with its credible interval.

    A factor of which the log knows nothing moves no score and is left out. The seed share is that
    at the end: in an empty store history moves nothing yet, and the others share its part.
    """
    if not watch.weights:
        return {}
    scans = np.array([scan for scan, _ in watch.weights], np.intp)

    def column(factor: str, part: str) -> Array:
        return np.array([getattr(weights[factor], part) for _, weights in watch.weights])

    return {
        factor: WeightHistory(
            scans, weight.prior, *(column(factor, part) for part in ("learned", "low", "high"))
        )
        for factor, weight in last_weights(watch).items()
    }


def last_weights(watch: Recorder) -> dict[str, GroupWeight]:
    """The factors' weights at the end, prior beside learned, where they move anything."""
    final = watch.weights[-1][1] if watch.weights else {}
    return {name: weight for name, weight in final.items() if weight.prior or weight.learned}


def reliability(watch: Recorder, *, warmup: int = 0) -> Reliability:
    """Compare the recall estimates of the scans after the warm-up with the truth."""
    checks = [check for check in watch.checks if check.scan >= warmup]
    estimated, true, low, high = (
        np.array([getattr(check, part) for check in checks])
        for part in ("estimated", "true", "low", "high")
    )
    at = np.clip(np.searchsorted(_BINS, estimated, side="right") - 1, 0, len(_BINS) - 2)
    rows = []
    for k in np.flatnonzero(np.bincount(at, minlength=len(_BINS)) >= _LEAST_CHECKS):
        inside = at == k
        interval = bootstrap_interval(true[inside], np.random.default_rng(0), block=BLOCK)
        rows.append(
            (estimated[inside].mean(), interval.mean, interval.low, interval.high, inside.sum())
        )
    estimates, truths, lows, highs, n = np.array(rows, np.float64).reshape(-1, 5).T
    slack = 1e-9
    return Reliability(
        estimates,
        truths,
        lows,
        highs,
        n.astype(np.intp),
        above_low=float((true >= low - slack).mean()) if checks else math.nan,
        below_high=float((true <= high + slack).mean()) if checks else math.nan,
    )


def first_hits(report: ReplayReport, up_to: int = 60) -> dict[str, Array]:
    """Share of scans whose first hit came within 1, 2, ... `up_to` symbols, by order."""
    within = np.arange(1, up_to + 1)
    found = {}
    for name, result in report.results.items():
        has_hits = ~np.isnan(result.curves[:, 0])
        first = np.nan_to_num(result.values("first_hit_rank")[has_hits], nan=np.inf)
        share = (first[:, None] <= within).mean(axis=0) if len(first) else np.full(up_to, math.nan)
        found[name] = np.asarray(share, np.float64)
    return found


def _band(rows: Array) -> Band:
    """Mean over rows (n_scans, m) with its interval by resampling blocks of scans."""
    n = len(rows)
    if n == 0:
        unknown = np.full(rows.shape[1], math.nan)
        return Band(unknown, unknown, unknown)
    low, high = np.quantile(resampled_counts(n, _RESAMPLES) @ rows / n, [0.025, 0.975], axis=0)
    return Band(rows.mean(axis=0), low, high)


def _rolling(windows: Array) -> Band:
    """Mean of each window (m, WINDOW) with its interval; scans without hits are left out."""
    counts = resampled_counts(windows.shape[1], _RESAMPLES).astype(np.float64)
    known = ~np.isnan(windows)
    total = counts @ np.where(known, windows, 0.0).T
    number = np.maximum(counts @ known.T, 1.0)
    low, high = np.quantile(total / number, [0.025, 0.975], axis=0)
    with np.errstate(invalid="ignore"):
        mean = np.where(known, windows, 0.0).sum(axis=1) / known.sum(axis=1)
    return Band(mean, low, high)
