"""Quotes: what the whole market shows just now, as vendors give it in one call.

A quote is a symbol's last price and its time, and optionally the day's open, high, low and volume
so far and the close before. `Quotes.read` takes any of the usual shapes
(`features.inputs.quote_layouts`); `Quotes.at` leaves out quotes that are too new or too old.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.checks import as_kind, refusal
from features.errors import InvalidQuotesError
from features.inputs.days import read_stamps
from features.inputs.quote_layouts import NUMBERS, quote_table
from features.inputs.sessions import Session
from features.inputs.tables import OnBad, Rows

# Clocks of vendors and hosts differ: where the clock says what is now, a quote may be so far ahead.
CLOCK_SKEW = np.timedelta64(5, "m")
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Quotes:
    """Quotes, sorted by symbol and time; `at` leaves one of each symbol.

    Parameters
    ----------
    symbols : tuple of str, length n
    time : ndarray of datetime64[us], shape (n,)
        When the quote was true, as the market's clocks show it.
    last, open, high, low, volume, previous_close : ndarray of float64, shape (n,)
        Prices in the currency of the listing, shares traded so far; NaN = not given.
    session : Session
    is_rolling : bool
        Whether open, high, low and volume are those of the last 24 hours, as crypto exchanges
        give them, instead of those since the day began.
    notes : tuple of str
        What was left out, a sentence each.
    """

    symbols: tuple[str, ...]
    time: NDArray[np.datetime64]
    last: NDArray[np.float64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    volume: NDArray[np.float64]
    previous_close: NDArray[np.float64]
    session: Session = field(default_factory=Session)
    is_rolling: bool = False
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    def __repr__(self) -> str:
        n = len(self.symbols)
        until = f", the last of {self.time.max().astype('datetime64[s]')}" if n else ""
        return f"Quotes({n} symbol{'s' * (n != 1)}{until})"

    @classmethod
    def read(
        cls,
        quotes: object,
        *,
        time: datetime | None = None,
        session: Session | None = None,
        on_bad: OnBad = "skip",
    ) -> Quotes:
        """Read quotes in any usual shape.

        Parameters
        ----------
        quotes : data frame, mapping or list
            A frame or a list of dictionaries with symbol, time, last and more under any usual
            vendor's names; a mapping of symbol to such a dictionary or to a price; the snapshots
            of Polygon and Alpaca, tickers of ccxt, Yahoo's batch quotes; or one-minute bars of
            the day, such as `yfinance.download(..., interval="1m")` gives.
        time : datetime, optional
            When they were fetched, with its zone: for the quotes that bear no time of their own.
            Of one-minute bars, those that are not over by then are left out.
        session : Session, optional
            Hours of the market: by default those of New York, and around the clock for what ccxt
            returns.
        on_bad : "raise" or "skip"
            Whether a quote that cannot be used is an error, or is left out and counted in `notes`.

        Raises
        ------
        InvalidQuotesError
            For a shape that is none of these, or quotes without a symbol, a price or a time.

        Examples
        --------
        >>> Quotes.read([{"symbol": "A", "time": "2024-05-02T10:00", "last": 10.2, "volume": 900}])
        Quotes(1 symbol, the last of 2024-05-02T10:00:00)
        """
        as_kind(session, "session", Session | None, "a Session, such as Session(tz='Asia/Tokyo')")
        if time is not None and (not isinstance(time, datetime) or time.tzinfo is None):
            expected = "a datetime with a timezone"
            raise refusal(time, "time", expected, InvalidQuotesError)
        table, kind = quote_table(quotes)
        hours = session or (Session.around_the_clock() if kind == "rolling" else Session())
        if "time" not in table:
            if time is None:
                raise InvalidQuotesError(
                    "quotes have no time; pass Quotes.read(quotes, time=...) the time when they "
                    "were fetched"
                )
            table["time"] = pd.Series(None, table.index, object)
        if time is not None and kind != "bars" and table["time"].isna().any():
            stamps = table["time"].astype(object)
            table["time"] = stamps.where(stamps.notna(), str(hours.wall(time)))
        rows = Rows(table.assign(date=table["time"]), "quotes", InvalidQuotesError, on_bad)
        codes, names = rows.codes()
        wall = rows.stamps("time", tz=hours.tz).wall
        numbers = {name: rows.numbers(name) for name in NUMBERS}
        price = numbers["last"]
        rows.refuse(
            "no price above zero",
            ~((price > 0) & (price < np.inf)),
            lambda row: f"last of {names[codes[row]]} is {price[row]:g}; expected a price above 0",
        )
        for name, values in numbers.items():
            if name != "last":  # vendors write 0 for what has not happened yet
                numbers[name] = np.where((values > 0) & (values < np.inf), values, np.nan)
        if "bar_time" in table:
            _without_old_bars(table, wall, numbers, hours)
        good, notes = np.flatnonzero(rows.good), rows.notes
        if kind == "bars":
            n_given = np.unique(codes[good]).size
            codes, wall, numbers = _from_bars(codes, wall, numbers, good, hours, time)
            good = np.arange(codes.size)
            if good.size < n_given:
                why = f"no bar within {hours.opens} to {hours.closes} {hours.tz} that is over"
                notes = (*notes, f"{n_given - good.size} of {n_given} symbols left out: {why}")
        order = good[np.lexsort((wall[good], codes[good]))]
        return cls(
            tuple(names[code] for code in codes[order].tolist()),
            wall[order],
            **{name: numbers[name][order] for name in NUMBERS},
            session=hours,
            is_rolling=kind == "rolling",
            notes=notes,
        )

    def at(self, now: datetime, *, is_clock: bool = False) -> Quotes:
        """Return the quotes of the session that is open at `now`, or was the last one.

        Left out, counted and said in `notes`: quotes after `now` (a few minutes are allowed where
        `now` is the clock), and stale ones, from before that session or from a day on which the
        market does not trade.
        """
        wall = self.session.wall(now)
        begin = self.session.begin(wall)
        late = self.time > wall + (CLOCK_SKEW if is_clock else np.timedelta64(0, "m"))
        names = np.array(self.symbols, object)
        rows = np.flatnonzero(~late)  # of several of a symbol the latest one counts
        newest = np.append(names[rows][1:] != names[rows][:-1], True)[: rows.size]
        is_newest = np.zeros(len(names), bool)
        is_newest[rows[newest]] = True
        stale = is_newest & (self.time < begin)
        closed = is_newest & ~stale & (self.time.astype("M8[D]") != begin.astype("M8[D]"))
        shown = begin.astype("datetime64[m]")
        notes = [
            f"{_named(bad, self.symbols)} left out: {why}"
            for bad, why in (
                (late, f"later than the scan, {wall.astype('datetime64[s]')} {self.session.tz}"),
                (stale, f"stale, from before the session of {shown} {self.session.tz}"),
                (closed, "the market was closed"),
            )
            if bad.any()
        ]
        kept = self.take(np.flatnonzero(is_newest & ~stale & ~closed))
        return replace(kept, notes=(*self.notes, *notes))

    def take(self, rows: NDArray[np.intp] | Sequence[int]) -> Quotes:
        """Return the quotes of these rows."""
        arrays = {name: getattr(self, name)[rows] for name in ("time", *NUMBERS)}
        return replace(self, symbols=tuple(self.symbols[row] for row in rows), **arrays)


def _named(bad: NDArray[np.bool_], symbols: Sequence[str]) -> str:
    rows = np.flatnonzero(bad)
    more = " ..." if rows.size > _SHOWN else ""
    first = ", ".join(symbols[row] for row in rows[:_SHOWN])
    return f"{rows.size} of {len(symbols)} quotes ({first}{more})"


def _without_old_bars(
    table: pd.DataFrame,
    wall: NDArray[np.datetime64],
    numbers: dict[str, NDArray[np.float64]],
    session: Session,
) -> None:
    """Take away a day's bar that is of an earlier day than the quote: its close came before."""
    day = read_stamps(table["bar_time"], tz=session.tz).days
    is_old = ~(day == wall.astype("datetime64[D]"))
    close = pd.to_numeric(table["bar_close"], errors="coerce").to_numpy(np.float64)
    for name in ("open", "high", "low", "volume"):
        numbers[name] = np.where(is_old, np.nan, numbers[name])
    numbers["previous_close"] = np.where(is_old & (close > 0), close, numbers["previous_close"])


def bar_width(start: NDArray[np.datetime64]) -> np.timedelta64:
    """Return the most frequent step between the stamps of intraday bars, a minute if there is none.

    Not the least one: a vendor's live row, stamped by the second, would make all bars end early.
    """
    steps, counts = np.unique(np.diff(np.unique(start)), return_counts=True)
    return np.timedelta64(steps[counts.argmax()] if steps.size else np.timedelta64(1, "m"), "us")


def _from_bars(
    codes: NDArray[np.intp],
    start: NDArray[np.datetime64],
    numbers: dict[str, NDArray[np.float64]],
    rows: NDArray[np.intp],
    session: Session,
    time: datetime | None,
) -> tuple[NDArray[np.intp], NDArray[np.datetime64], dict[str, NDArray[np.float64]]]:
    """Make a quote of each symbol from its intraday bars of the last day, in regular hours.

    A bar is stamped at its start; it is known at its end, one step of the table later.
    """
    end = start + bar_width(start[rows])
    kept = (session.time_done(start[rows]) < 1.0) & (session.time_done(end[rows]) > 0.0)
    if time is not None:
        kept &= end[rows] <= session.wall(time)
    rows = rows[kept]
    rows = rows[np.lexsort((start[rows], codes[rows]))]
    is_again = (np.diff(codes[rows]) == 0) & (np.diff(start[rows]) == np.timedelta64(0))
    rows = rows[np.append(~is_again, True)[: rows.size]]  # of a bar given twice the later counts
    day, own = start[rows].astype("datetime64[D]"), codes[rows]
    newest = np.full(codes.max(initial=0) + 1, np.datetime64("1900-01-01"))
    np.maximum.at(newest, own, day)
    earlier = rows[day < newest[own]]
    rows = rows[day == newest[own]]
    own = codes[rows]
    first = np.flatnonzero(np.diff(own, prepend=-1))
    last = np.append(first[1:], own.size)[: first.size] - 1
    close_before = np.full(newest.size, np.nan)
    close_before[codes[earlier]] = numbers["last"][earlier]  # in order of time: the last one stays
    found = {
        "last": numbers["last"][rows[last]],
        "open": numbers["open"][rows[first]],
        "high": np.empty(0),
        "low": np.empty(0),
        "volume": np.empty(0),
        "previous_close": close_before[own[first]],
    }
    if first.size:
        found["high"] = np.fmax.reduceat(numbers["high"][rows], first)
        found["low"] = np.fmin.reduceat(numbers["low"][rows], first)
        found["volume"] = np.add.reduceat(np.nan_to_num(numbers["volume"][rows]), first)
    return own[first], end[rows[last]], found
