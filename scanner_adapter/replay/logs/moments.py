"""Days of several scans: the results of every symbol at each scan time of a day.

There are three sources: a log whose ratings have times of day, a journal with several complete
scans a day, and a built-in rule evaluated at any time on today's bar so far. Features are those of
the previous evening, so that orders differ only by the symbols they have scanned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from bandit.errors import InvalidInputError
from bandit.rewards import RewardRule
from features.inputs.bars import Bars
from features.inputs.sessions import Session
from features.inputs.tables import FIELDS
from scanner_adapter.replay.logs.contexts import Contexts
from scanner_adapter.replay.logs.known_at import QuotesOf
from scanner_adapter.replay.logs.outcome_log import OutcomeLog, rows_between
from scanner_adapter.replay.logs.recorded import RecordedLog
from scanner_adapter.replay.logs.scans import ReplayLog, ReplayScan
from scanner_adapter.scanners.rules import RULES, Series

# A scanner that runs every five minutes is punctual to some seconds only.
_JITTER = 0.1
# Bars after which the start of a series no longer affects a running mean (50 days: to 2e-9).
_SETTLED = 500


@dataclass(frozen=True)
class DayLog:
    """Days of several scans.

    Attributes
    ----------
    days : ndarray of datetime64[D], shape (n_days,)
        Increasing.
    symbols : tuple of str
        `ReplayScan.places` are places in it.
    rule : RewardRule
        What counts as a hit.
    scans_of : callable
        Returns the scans of a day, in order of time.
    """

    days: NDArray[np.datetime64]
    symbols: tuple[str, ...]
    rule: RewardRule
    scans_of: Callable[[np.datetime64], Sequence[ReplayScan]]

    def between(self, from_: date | str | None, to: date | str | None) -> DayLog:
        """Return the days from `from_` to `to`, both included.

        Raises
        ------
        InvalidInputError
            If there is none.
        """
        rows = rows_between(self.days, np.ones(self.days.size, bool), from_, to)
        return replace(self, days=self.days[rows])


def thinned(times: NDArray[np.datetime64], every: timedelta) -> NDArray[np.intp]:
    """Return the places of times, in their order, that are at least `every` apart.

    Examples
    --------
    >>> times = np.array(["2024-05-02T09:35", "2024-05-02T09:40", "2024-05-02T09:44:59"], "M8[us]")
    >>> thinned(times, timedelta(minutes=10)).tolist()
    [0, 2]
    """
    least = np.timedelta64((1.0 - _JITTER) * every, "us")
    kept: list[int] = []
    for place, time in enumerate(times):
        if not kept or time - times[kept[-1]] >= least:
            kept.append(place)
    return np.array(kept, np.intp)


def rated_days(log: ReplayLog, *, every: timedelta, tz: str | None = None) -> DayLog:
    """Return the days of ratings that have times of day.

    Parameters
    ----------
    log : ReplayLog
        Read with `is_timed`.
    every : timedelta
        Scans that follow sooner are skipped.
    tz : str, optional
        Zone of the times; by default New York's, or UTC if the bars include weekends.

    Raises
    ------
    InvalidInputError
        If no day has several complete scans.
    """
    outcomes, bars = log.outcomes, log.contexts.bars
    zone = tz or Session.of_days(bars.dates, bars.mask).tz
    is_scan = ~np.isnan(outcomes.rating).all(axis=1)
    if outcomes.is_stopped is not None:
        is_scan &= ~outcomes.is_stopped
    day = outcomes.dates.astype("datetime64[D]")
    is_scan &= day > bars.dates[0]

    def scans_of(wanted: np.datetime64) -> Sequence[ReplayScan]:
        rows = np.flatnonzero(is_scan & (day == wanted))
        return _scans(log, rows[thinned(outcomes.dates[rows], every)], zone)

    return DayLog(_many_a_day(day[is_scan], every), log.symbols, log.rule, scans_of)


def recorded_days(log: RecordedLog, *, every: timedelta) -> DayLog:
    """Return the days of scans that were recorded with their times.

    Raises
    ------
    InvalidInputError
        If no day has several complete scans.
    """
    tz = Session.of_days(log.dates).tz
    shown = [scan.now.astimezone(ZoneInfo(tz)).replace(tzinfo=None) for scan in log.recorded]
    times = np.array(shown, "datetime64[us]")
    day = times.astype("datetime64[D]")

    def scans_of(wanted: np.datetime64) -> Sequence[ReplayScan]:
        rows = np.flatnonzero(day == wanted)
        return tuple(log.scans(rows[thinned(times[rows], every)]))

    return DayLog(_many_a_day(day, every), log.symbols, log.rule, scans_of)


def rule_days(
    name: str, contexts: Contexts, rule: RewardRule, *, every: timedelta, quotes_of: QuotesOf
) -> DayLog:
    """Return days on which a built-in rule is evaluated throughout the session.

    Parameters
    ----------
    name : str
        A key of `RULES`.
    contexts : Contexts
    rule : RewardRule
        What counts as a hit.
    every : timedelta
        Time between two scans; the first is at the open.
    quotes_of : callable
        Returns the quotes known at a time, from which today's bar is built.

    Raises
    ------
    InvalidInputError
        For an unknown rule, or an `every` that is not above zero.
    """
    if name not in RULES:
        raise InvalidInputError(f"rule is {name!r}; expected one of {', '.join(RULES)}")
    if every <= timedelta(0):
        raise InvalidInputError(f"every is {every}; expected a time above zero")
    bars = contexts.bars
    session = Session.of_days(bars.dates, bars.mask)

    def scans_of(day: np.datetime64) -> Sequence[ReplayScan]:
        moments = _moments(day, session, every)
        outcomes = rule_by_now(name, bars, day, moments, quotes_of, session.tz)
        rows = np.flatnonzero(~np.isnan(outcomes.rating).all(axis=1))
        return _scans(ReplayLog(outcomes, contexts, rule), rows, session.tz)

    return DayLog(bars.dates[1:], bars.symbols, rule, scans_of)


def rule_by_now(
    name: str, bars: Bars, day: np.datetime64, moments: NDArray[np.datetime64],
    quotes_of: QuotesOf, tz: str,
) -> OutcomeLog:  # fmt: skip
    """Evaluate a rule at each moment of a day, on the previous days and today's bar so far.

    Parameters
    ----------
    moments : ndarray of datetime64, shape (n_moments,)
        In the market's local time.

    Returns
    -------
    OutcomeLog, shape (n_moments, n_symbols)
        Result of `rule_hits` if the day had ended at the moment; NaN without a quote.
    """
    row, rule = int(np.searchsorted(bars.dates, day)), RULES[name]
    today = _bars_by_now(bars, row, [_utc(moment, tz) for moment in moments], quotes_of)
    shape = (len(moments), len(bars.symbols))
    table: dict[str, NDArray[np.float64]] = {"rating": np.full(shape, np.nan)}
    # A loop over symbols, because the rules skip the days on which a symbol has no bar.
    for j in np.flatnonzero(~np.isnan(today[:, 3]).all(axis=0)).tolist():
        known = np.flatnonzero(bars.mask[:row, j])
        if known.size < rule.min_bars - 1:
            continue
        asked = np.flatnonzero(~np.isnan(today[:, 3, j]))
        # With a long history, the moments are put into one series and the rule is computed once:
        # so many bars lie between two moments that the first does not affect the second.
        is_long = known.size >= _SETTLED
        past = np.array([getattr(bars, field)[known, j] for field in FIELDS])
        past = past[:, -_SETTLED:] if is_long else past
        for group in [asked] if is_long else asked[:, None]:
            whole = np.repeat(past[:, None], group.size, axis=1)
            whole = np.concatenate([whole, today[group, :, j].T[..., None]], axis=2)
            columns = rule.columns(Series(*whole.reshape(len(FIELDS), -1)))
            for column, values in columns.items():
                now = values[whole.shape[2] - 1 :: whole.shape[2]]
                table.setdefault(column, np.full(shape, np.nan))[group, j] = now
    is_hit = table.pop("is_hit", np.zeros(shape)) == 1.0
    rating = table.pop("rating")
    signal = np.where(np.isnan(rating), -1, is_hit).astype(np.int8)
    further = {column: values.astype(np.float32) for column, values in table.items()}
    return OutcomeLog(moments, bars.symbols, rating, signal, ("Hold", "Buy"), further)


def _bars_by_now(
    bars: Bars, row: int, moments: Sequence[datetime], quotes_of: QuotesOf
) -> NDArray[np.float64]:
    """Return the day's bar up to each moment, (n_moments, 5, n_symbols)."""
    place = {symbol: j for j, symbol in enumerate(bars.symbols)}
    found = np.full((len(moments), len(FIELDS), len(place) + 1), np.nan)
    for number, now in enumerate(moments):
        quotes = quotes_of(bars, row, now)
        at = [place.get(symbol, -1) for symbol in quotes.symbols]
        for k, name in enumerate(("open", "high", "low", "last", "volume")):
            found[number, k, at] = getattr(quotes, name)
    return found[..., :-1]


def _moments(day: np.datetime64, session: Session, every: timedelta) -> NDArray[np.datetime64]:
    """Return the moments of a day's scans, from the open, before the close."""
    opens = np.datetime64(f"{day}T{session.opens}", "us")
    times = opens + np.timedelta64(every, "us") * np.arange(timedelta(days=1) // every + 1)
    times = times[times.astype("datetime64[D]") == day]
    return np.asarray(times[session.time_done(times) < 1.0])


def _scans(log: ReplayLog, rows: NDArray[np.intp], tz: str) -> tuple[ReplayScan, ...]:
    """Return the scans at some rows of one day, with the features of the previous evening."""
    if not rows.size:
        return ()
    times = log.outcomes.dates[rows]
    bars = log.contexts.bars
    before = int(np.searchsorted(bars.dates, times[0].astype("datetime64[D]"))) - 1
    loadings = log.contexts.loadings(before)
    return tuple(
        replace(log.scan(row, before, loadings), now=_utc(time, tz))
        for row, time in zip(rows.tolist(), times, strict=True)
    )


def _utc(wall: np.datetime64, tz: str) -> datetime:
    shown: datetime = wall.astype("datetime64[us]").item()
    return shown.replace(tzinfo=ZoneInfo(tz)).astimezone(UTC)


def _many_a_day(day: NDArray[np.datetime64], every: timedelta) -> NDArray[np.datetime64]:
    """Return the days of these scans; refuse a log with one scan a day."""
    days, counts = np.unique(day, return_counts=True)
    if not days.size or counts.max() == 1:
        raise InvalidInputError(
            f"a scan every {every / timedelta(minutes=1):g} minutes cannot be replayed: this log "
            f"has {counts.sum()} scans on {days.size} days, one a day, and does not show how hits "
            "come and go. Give a log whose scans have times of day, or --bars with a built-in "
            "--scanner, which is evaluated at every moment"
        )
    return days
