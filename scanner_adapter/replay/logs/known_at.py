"""Scans of days that were not over: what quotes would have shown by some time of each day.

Day-old bars are the least that a scanner can know, the day's own bars the most. Between them lie
quotes. Where one-minute bars are given they are what the market showed. Daily bars hold no path:
there one is made, a Brownian bridge from the open to the close between low and high, so that what
a replay says of ten o'clock can be trusted to some points, not to tenths of one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bandit.errors import InvalidInputError
from features.errors import InvalidBarsError
from features.inputs.bars import Bars
from features.inputs.layouts import tidy
from features.inputs.quotes import Quotes, bar_width
from features.inputs.sessions import Session
from features.inputs.tables import FIELDS, OnBad, Rows
from features.today import today_scores
from scanner_adapter.replay.logs.scans import ReplayLog, ReplayScan

log = logging.getLogger("scanrank")

_CLOCK = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)$")
# Steps of the path within a session.
_STEPS = 78
# Log range of a Brownian path, in its deviations: the mean of the range is sqrt(8 / pi).
_RANGE = 1.6
# Error of half a day's volume so far, as `features.today` takes it to be.
_VOLUME_ERROR = 0.18


class QuotesOf(Protocol):
    """Makes the quotes of a day as they stood at a moment."""

    def __call__(self, bars: Bars, row: int, now: datetime) -> Quotes:
        """Return the quotes of day number `row` of `bars` at `now`."""


@dataclass(frozen=True, repr=False)
class KnownAtLog(ReplayLog):
    """A scanner's ratings, with contexts that know each scan's day up to some time of it.

    Attributes
    ----------
    times : tuple of str
        "open", "close" or "HH:MM" in the market's zone; with several, scans take them in turn.
    session : Session
    quotes_of : callable
        `BridgeQuotes` or `MinuteQuotes`.
    """

    times: tuple[str, ...] = ("open",)
    session: Session = field(default_factory=Session)
    quotes_of: QuotesOf = field(default_factory=lambda: BridgeQuotes())

    @classmethod
    def of(cls, log: ReplayLog, times: str, *, quotes_of: QuotesOf | None = None) -> KnownAtLog:
        """Return a log whose scans know their own day up to `times`, "10:00" or "open,12:00".

        Raises
        ------
        InvalidInputError
            For a time that is none, or outside the session.
        """
        bars = log.contexts.bars
        session = Session.of_days(bars.dates, bars.mask)
        wanted = tuple(part.strip() for part in times.split(","))
        for time in wanted:
            clock_of(time, session)
        chosen = quotes_of or BridgeQuotes()
        return cls(log.outcomes, log.contexts, log.rule, wanted, session, chosen)

    def scans(self, days: NDArray[np.intp], *, same_day: bool = False) -> Iterator[ReplayScan]:
        """See `Log.scans`; `same_day` would know more than the time allows, and is refused."""
        if same_day:
            raise InvalidInputError("known_at and same_day contradict each other; give only one")
        for number, day in enumerate(days):
            yield self._known(self.scan(int(day), int(day) - 1), int(day), number)

    def _known(self, scan: ReplayScan, day: int, number: int) -> ReplayScan:
        bars = self.contexts.bars
        clock = clock_of(self.times[number % len(self.times)], self.session)
        local = datetime.fromisoformat(f"{bars.dates[day]}T{clock}")
        now = local.replace(tzinfo=ZoneInfo(self.session.tz)).astimezone(UTC)
        past = bars.until(bars.dates[day - 1])
        quotes = self.quotes_of(bars, day, now)
        found = today_scores(past, quotes, now=now, events=self.contexts.events)
        if found is None:
            return replace(scan, now=now)
        return replace(
            scan, now=now, sub_score_names=found.names, sub_scores=found.values[scan.places]
        )


def clock_of(time: str, session: Session) -> str:
    """Return "open", "close" or "HH:MM" as "HH:MM".

    Raises
    ------
    InvalidInputError
        For anything else, or a time outside the session.
    """
    named = {"open": session.opens, "close": session.closes}
    clock = {"24:00": "23:59"}.get(named.get(time, time), named.get(time, time))
    if not _CLOCK.match(clock) or not session.opens <= clock <= session.closes:
        raise InvalidInputError(
            f"known-at is {time!r}; expected 'open', 'close' or a time from {session.opens} to "
            f"{session.closes} ({session.tz}), such as 10:00"
        )
    return clock


@dataclass(frozen=True)
class BridgeQuotes:
    """Quotes made from daily bars: a path from open to close, and the volume that is usually in.

    Parameters
    ----------
    seed : int
        Together with the day it fixes the path, whatever the time that is asked for.
    """

    seed: int = 0

    def __call__(self, bars: Bars, row: int, now: datetime) -> Quotes:
        """See `QuotesOf`."""
        at = np.flatnonzero(bars.mask[row])
        open_, high, low, close, volume = (
            getattr(bars, name)[row, at] for name in ("open", "high", "low", "close", "volume")
        )
        session = Session.of_days(bars.dates, bars.mask)
        rng = np.random.default_rng([self.seed, int(bars.dates[row].astype(np.int64))])
        walk = rng.standard_normal((_STEPS, at.size)).cumsum(axis=0) / np.sqrt(_STEPS)
        error = rng.standard_normal(at.size)
        wall = session.wall(now)
        share = float(session.volume_done(np.array([wall]))[0])
        # Prices move with the volume, so the path runs by the volume's clock.
        part = np.linspace(0.0, 1.0, _STEPS + 1)[1:, None]
        spread = np.log(np.maximum(high / low, 1.0001)) / _RANGE
        path = np.log(open_) + part * np.log(close / open_) + (walk - part * walk[-1]) * spread
        path = np.clip(np.exp(path), low, high)
        n = round(share * _STEPS)
        seen = np.concatenate([open_[None], path[:n]])
        last, top, bottom = seen[-1], seen.max(axis=0), seen.min(axis=0)
        if share >= 1.0:
            last, top, bottom = close, high, low
        off = _VOLUME_ERROR * np.sqrt((1.0 - share) / share) if share > 0.0 else 0.0
        unknown = np.full(at.size, np.nan)
        return Quotes(
            tuple(bars.symbols[j] for j in at.tolist()),
            np.full(at.size, wall),
            last, open_, top, bottom, volume * share * np.exp(off * error), unknown, session,
        )  # fmt: skip


class MinuteQuotes:
    """Quotes from intraday bars of many days.

    Parameters
    ----------
    frame : data frame
        In any layout of `features.inputs.layouts`; each bar is stamped at its start.
    session : Session
    on_bad : "raise" or "skip"
        Whether a row that cannot be read, or a second bar of a symbol and time, is an error, or is
        left out and logged.

    Raises
    ------
    InvalidBarsError
    """

    def __init__(self, frame: object, session: Session, *, on_bad: OnBad = "raise") -> None:
        self._session = session
        rows = Rows(tidy(frame), "minute bars", InvalidBarsError, on_bad)
        codes, names = rows.codes()
        start = rows.stamps(tz=session.tz).wall
        columns = {name: rows.numbers(name) for name in FIELDS}
        twice = pd.DataFrame({"code": codes, "start": start}).duplicated().to_numpy()
        rows.refuse(
            "a bar given twice",
            twice,
            lambda row: f"{names[codes[row]]} has two bars of {start[row]}; expected one",
        )
        for note in rows.notes:
            log.warning("minute bars: %s", note)
        end = start + bar_width(start[rows.good])
        in_session = (session.time_done(start) < 1.0) & (session.time_done(end) > 0.0)
        table = pd.DataFrame({"symbol": np.array([*names, ""], object)[codes], "time": end})
        table = table.assign(day=start.astype("M8[D]").astype("M8[s]"), **columns)
        table = table[rows.good & in_session]
        parts = table.groupby("day", sort=False)
        self._parts: dict[str, pd.DataFrame] = {str(day)[:10]: part for day, part in parts}
        self._none = table.iloc[:0]
        self._of_day: tuple[str, Quotes] | None = None

    def coverage(self, bars: Bars) -> str:
        """Return how many days and symbols of `bars` are known, in words.

        Raises
        ------
        InvalidBarsError
            If there are none.
        """
        days = sorted(set(self._parts) & set(bars.dates.astype(str).tolist()))
        known = {name for day in days for name in self._parts[day]["symbol"].unique()}
        known &= set(bars.symbols)
        if not known:
            met = [str(day) for day in sorted(self._parts)]
            span = f"{met[0]} to {met[-1]}" if met else "no day"
            raise InvalidBarsError(
                f"the minute bars, of {span} within {self._session.opens} to "
                f"{self._session.closes} {self._session.tz}, share no day and symbol with the "
                f"bars, of {bars.dates[0]} to {bars.dates[-1]} and such as {bars.symbols[0]}"
            )
        return (
            f"{len(known):,} of {len(bars.symbols):,} symbols on {len(days):,} days, {days[0]} to "
            f"{days[-1]}; the others know the evening before"
        )

    def __call__(self, bars: Bars, row: int, now: datetime) -> Quotes:
        """See `QuotesOf`; a day of which there are no bars has no quotes."""
        day = str(bars.dates[row])
        if self._of_day is None or self._of_day[0] != day:
            self._of_day = day, self._read(day)
        known = self._of_day[1]
        names = np.array(known.symbols, object)
        begins = np.flatnonzero(np.append(True, names[1:] != names[:-1])[: names.size])
        if not begins.size:
            return known
        n_over = np.add.reduceat((known.time <= self._session.wall(now)).astype(np.intp), begins)
        return known.take((begins + n_over - 1)[n_over > 0])

    def _read(self, day: str) -> Quotes:
        """Return a quote at the end of each bar of a day: its moments then cost one reading."""
        part = self._parts.get(day, self._none)
        numbers = part[[*FIELDS]]
        table = numbers.where((numbers > 0) & (numbers < np.inf)).assign(
            symbol=part["symbol"], time=part["time"]
        )
        table = table[table["close"].notna()].sort_values(["symbol", "time"])
        table = table.fillna({"high": table["close"], "low": table["close"], "volume": 0.0})
        by = table.groupby("symbol")
        last, open_, high, low, volume = (
            values.to_numpy(np.float64)
            for values in (
                table["close"], by["open"].transform("first"), by["high"].cummax(),
                by["low"].cummin(), by["volume"].cumsum(),
            )
        )  # fmt: skip
        time, unknown = table["time"].to_numpy("M8[us]"), np.full(len(table), np.nan)
        return Quotes(
            tuple(table["symbol"]), time, last, open_, high, low, volume, unknown, self._session
        )
