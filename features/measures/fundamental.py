"""Fundamental sub-scores: what companies reported and what was written about them.

A symbol without coverage is unknown (NaN), not neutral: the learner then uses what it knows of
such symbols instead of a made-up average. Everything decays by the calendar.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import nbdtr, ndtri

from features.inputs.bars import Bars
from features.inputs.events import Events, EventTable, decayed_sum
from features.measures.windows import Array

# Half-lives in calendar days. Prices drift after a surprise for about a quarter, after a change
# of rating for about a month (Bernard and Thomas 1989; Womack 1996).
_SURPRISE_HALF_LIFE = 30.0
_RATING_HALF_LIFE = 20.0
# A company that reported nothing for this long, or was not rated, is not covered any more.
_REPORT_COVER, _RATING_COVER = 200, 365
# News of the last days against the symbol's own rate over the days before.
_NEWS_DAYS, _NEWS_NORMAL = 3, 60
# The rate before anything is seen: one article in ten days, worth ten days of evidence.
_NEWS_PRIOR_COUNT, _NEWS_PRIOR_DAYS = 1.0, 10.0

FUNDAMENTAL = (
    "fundamental.surprise",
    "fundamental.surprise_streak",
    "fundamental.report_age",
    "fundamental.report_due",
    "fundamental.reaction",
    "fundamental.rating_changes",
    "fundamental.news_activity",
)


def fundamental_measures(
    events: Events | None,
    symbols: Sequence[str],
    dates: NDArray[np.datetime64],
    reaction: tuple[Array, NDArray[np.int64]] | None = None,
) -> dict[str, Array]:
    """Return the z-value of every fundamental sub-score by name, each of shape (m, n).

    Parameters
    ----------
    symbols : sequence of str, length n
    dates : ndarray of datetime64[D], shape (m,)
        Trading days on whose evening the scores are taken.
    reaction : pair of ndarray, each (n_events,), optional
        See `earnings_reaction`.
    """
    days = dates.astype("datetime64[D]").astype(np.int64)
    unknown = np.full((len(days), len(symbols)), np.nan)
    found = dict.fromkeys(FUNDAMENTAL, unknown)
    if events is None:
        return found
    if events.earnings is not None:
        found |= _earnings(events.earnings, symbols, days, reaction)
    if events.ratings is not None:
        found |= _ratings(events.ratings, symbols, days)
    if events.news is not None:
        found |= _news(events.news, symbols, days)
    return found


def _earnings(
    table: EventTable,
    symbols: Sequence[str],
    days: NDArray[np.int64],
    reaction: tuple[Array, NDArray[np.int64]] | None,
) -> dict[str, Array]:
    at = table.last(symbols, days)
    age = days[:, None] - _take(table.columns["date"], at)
    covered = (at >= 0) & (age <= _REPORT_COVER)
    decay = 0.5 ** (age / _SURPRISE_HALF_LIFE)
    due = np.abs(_take(table.columns["next_report"], at) - days[:, None])
    measures = {
        # Surprises have fat tails: the logarithm keeps the largest apart from each other.
        "fundamental.surprise": _signed_log(_take(table.columns["surprise"], at)) * decay,
        "fundamental.surprise_streak": _take(table.columns["streak"], at) / 4.0,
        "fundamental.report_age": (3.3 - np.log1p(age)) / 1.0,
        "fundamental.report_due": (2.9 - np.log1p(due)) / 1.0,
    }
    if reaction is not None:
        move, day = (_take(each.astype(np.float64), at) for each in reaction)
        known = np.where(day <= days[:, None], move, np.nan)
        measures["fundamental.reaction"] = _signed_log(known) * decay / 0.7
    return {name: np.where(covered, z, np.nan) for name, z in measures.items()}


def earnings_reaction(bars: Bars, table: EventTable) -> tuple[Array, NDArray[np.int64]]:
    """Return how the market took each report, and on which day (since 1970); each (n_events,).

    The return of the symbol's first bar that knew the report, from its own bar before, in mean
    absolute returns of its 20 bars before: a report counts alike for a calm and for a wild symbol.
    NaN where that bar, or its past, is not there.
    """
    where = {name: i for i, name in enumerate(bars.symbols)}
    columns = np.array([where.get(name, -1) for name in table.symbols], dtype=np.intp)
    column = columns[table.code]
    found = np.full(len(column), np.nan)
    when = np.zeros(len(column), np.int64)
    # Packed to the top: row k of a symbol is its bar k, whatever days it missed.
    order = np.argsort(~bars.mask, axis=0, kind="stable")
    close = np.take_along_axis(bars.close, order, axis=0)
    n_before = np.concatenate([np.zeros((1, len(bars.symbols)), np.intp), bars.mask.cumsum(axis=0)])
    row = np.searchsorted(bars.dates, table.day.astype("datetime64[D]"))
    bar = n_before[row, np.maximum(column, 0)]
    inside = (column >= 0) & (bar >= 21) & (bar < n_before[-1, np.maximum(column, 0)])
    bar, column = bar[inside], column[inside]
    level = np.log(close[bar - np.arange(22)[:, None], column])
    change = level[:-1] - level[1:]  # of that bar, and of the 20 before
    usual = np.abs(change[1:]).sum(axis=0) / 20.0
    found[inside] = change[0] / np.where(usual > 0, usual, np.nan)
    when[inside] = bars.dates[order[bar, column]].astype(np.int64)
    return found, when


def _ratings(
    table: EventTable, symbols: Sequence[str], days: NDArray[np.int64]
) -> dict[str, Array]:
    at = table.last(symbols, days)
    age = days[:, None] - _take(table.day.astype(np.float64), at)
    balance = _take(decayed_sum(table, table.columns["sign"], _RATING_HALF_LIFE), at)
    z = balance * 0.5 ** (age / _RATING_HALF_LIFE)
    return {"fundamental.rating_changes": np.where(age <= _RATING_COVER, z, np.nan)}


def _news(table: EventTable, symbols: Sequence[str], days: NDArray[np.int64]) -> dict[str, Array]:
    """Score recent news by its probability under the symbol's own rate, a Poisson surprise.

    The rate is uncertain (gamma, from the days before), so the count is negative binomial; the
    mid-p value avoids calling a usual zero either high or low.
    """

    def count_until(shift: int) -> Array:
        at = table.last(symbols, days - shift)
        return np.where(at >= 0, _take(table.columns["total"], at), 0.0)

    at = table.last(symbols, days)
    covered = at >= 0
    recent = count_until(0) - count_until(_NEWS_DAYS)
    normal = count_until(_NEWS_DAYS) - count_until(_NEWS_DAYS + _NEWS_NORMAL)
    first = _take(table.columns["first_day"], at)
    seen = np.minimum(days[:, None] - _NEWS_DAYS - first, _NEWS_NORMAL)
    # Neither news lately nor for two months means that nobody counts this symbol any more; a
    # first count within the last days has no norm to stand against.
    covered &= (recent + normal > 0) & (seen >= 10)
    z = np.full(at.shape, np.nan)
    shape = normal[covered] + _NEWS_PRIOR_COUNT
    days_of_evidence = seen[covered] + _NEWS_PRIOR_DAYS
    p = days_of_evidence / (days_of_evidence + _NEWS_DAYS)
    k = recent[covered]
    upto = nbdtr(k, shape, p)
    below = np.where(k > 0, nbdtr(np.maximum(k - 1, 0), shape, p), 0.0)
    z[covered] = ndtri(np.clip((upto + below) / 2, 1e-6, 1 - 1e-6))
    return {"fundamental.news_activity": z}


def _take(values: NDArray[np.float64], at: NDArray[np.intp]) -> Array:
    """Return the values at the positions, NaN where the position is -1."""
    if len(values) == 0:
        return np.full(at.shape, np.nan)
    return np.where(at >= 0, values[np.maximum(at, 0)], np.nan)


def _signed_log(x: Array) -> Array:
    return np.sign(x) * np.log1p(np.abs(x))
