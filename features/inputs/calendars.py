"""Which symbols share a trading calendar, and the level of the market on each calendar.

A table may hold stocks of New York and London beside a currency that trades at weekends. Days of
one calendar are no days of another: the market's move is the median of the symbols of one calendar
from one of its days to the next, so that a symbol of another calendar changes it in no bit.

The calendar of a symbol is in its name (`VOD.L`, `BTC-USD`), else by bars at weekends in its first
two weeks. A symbol of neither that trades on holidays of the rest is not counted in their median
from its second such day on. No row depends on a later bar, but for those two weeks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

ALWAYS_OPEN = "24/7"
# Suffixes of exchanges as Yahoo writes them; others (BRK.B) are classes of shares.
_EXCHANGES = frozenset(
    "AE AS AT AX BA BD BE BK BO BR CN CO DE DU F HA HE HK HM IC IL IR IS JK JO KL KQ KS L LS MC "  # noqa: SIM905
    "ME MI MU MX NE NS NZ OL PA PR QA RG SA SG SI SN SR SS ST SW SZ T TA TL TO TW TWO V VI VS "
    "WA".split()
)
_COIN = re.compile(r"/[A-Z]{3,}|[-_](USD[TC]?|EUR|GBP|BTC|ETH|PERP)$|USDT$")
# Symbols whose median move is taken for the market's.
LEAST_MARKET = 20
# A day belongs to a calendar if half as many of its symbols trade as on the busiest of ten days.
_BUSY_DAYS, _BUSY_SHARE = 10, 0.5
# Calendar days of its life by whose weekends a symbol is classified, and the weekend bars it takes.
_FIRST_DAYS, _WEEKEND_BARS = 14, 2
# Holidays of the rest, within so many calendar days, on which a symbol of another calendar trades.
_FOREIGN_DAYS, _FOREIGN_WITHIN = 2, 400


@dataclass(frozen=True, slots=True)
class Market:
    """The level of the market for each symbol, by its calendar.

    Parameters
    ----------
    groups : ndarray of intp, shape (n_symbols,)
        Number of each symbol's calendar.
    levels : ndarray, shape (n_calendars, n_days)
        Cumulated median log returns, NaN where there is no market.
    last_own : ndarray of intp, shape (n_calendars, n_days), or None
        Row of each calendar's last day up to a day, -1 = none; None if all days are of all.
    """

    groups: NDArray[np.intp]
    levels: Array
    last_own: NDArray[np.intp] | None = None

    @property
    def own(self) -> Mask:
        """Which days are trading days of each calendar, (n_calendars, n_days)."""
        if self.last_own is None:
            return np.ones(self.levels.shape, bool)
        return np.asarray(self.last_own == np.arange(self.levels.shape[1]))

    def of(self, columns: slice) -> Array:
        """Return the level for some symbols, (n_days, n)."""
        if len(self.levels) == 1:
            n = len(range(*columns.indices(len(self.groups))))
            return np.broadcast_to(self.levels[0][:, None], (self.levels.shape[1], n))
        return self.levels[self.groups[columns]].T


@dataclass(frozen=True, slots=True)
class Calendars:
    """The calendars of a universe.

    Parameters
    ----------
    dates : ndarray of datetime64[D], shape (n_days,)
    labels : tuple of str, length n_calendars
        The suffix of an exchange, "24/7", or "" for all others.
    groups : ndarray of intp, shape (n_symbols,)
    own : ndarray of bool, shape (n_calendars, n_days)
        Which days are trading days of each.
    extra : ndarray of bool, shape (n_calendars, n_days)
        On which other weekdays single symbols of it traded.
    """

    dates: NDArray[np.datetime64]
    labels: tuple[str, ...]
    groups: NDArray[np.intp]
    own: Mask
    extra: Mask

    @classmethod
    def of(cls, symbols: Sequence[str], dates: NDArray[np.datetime64], mask: Mask) -> Calendars:
        """Find the calendars of bars, `mask` (n_days, n_symbols) saying where there is one."""
        labels = calendar_labels(symbols, dates, mask)
        names, groups = np.unique(labels, return_inverse=True)
        counts = counts_of(groups, len(names), mask)
        return cls.counted(dates, tuple(names.tolist()), groups, counts)

    @classmethod
    def counted(
        cls,
        dates: NDArray[np.datetime64],
        labels: tuple[str, ...],
        groups: NDArray[np.intp],
        counts: NDArray[np.intp],
    ) -> Calendars:
        """Make them from the number of symbols that traded, (n_calendars, n_days)."""
        offset = (dates - dates[0]).astype(np.int64)
        busiest = np.zeros((len(counts), int(offset[-1]) + 1), counts.dtype)
        busiest[:, offset] = counts
        for shift in (1, 2, 4, 2):  # the largest of ten days, by doubling
            later = busiest[:, shift:].copy()
            np.maximum(later, busiest[:, :-shift], out=later)
            busiest[:, shift:] = later
        own = (counts > 0) & (counts >= _BUSY_SHARE * busiest[:, offset])
        # A day on which nobody trades, as of a halted symbol alone, is a day without its bars.
        weekday = ~is_weekend(dates)
        always_open = np.array(labels)[:, None] == ALWAYS_OPEN
        own |= (counts.sum(axis=0) == 0) & (weekday | always_open)
        extra = (counts > 0) & ~own & weekday
        return cls(dates, labels, groups, own, extra)

    def foreign(self, group: int, traded: Mask, days: NDArray[np.datetime64]) -> Mask:
        """Return who trades by another calendar than its group's, (len(days), n).

        Parameters
        ----------
        traded : ndarray of bool, shape (n_extra, n)
            Whether each symbol traded on the days in `extra` of the group.
        days : ndarray of datetime64[D]
        """
        since = (days[:, None] - self.dates[self.extra[group]][None, :]).astype(np.int64)
        counted = ((since >= 0) & (since < _FOREIGN_WITHIN)).astype(np.float32)
        return np.asarray(counted @ traded.astype(np.float32) >= _FOREIGN_DAYS)

    def market(self, close: Array) -> Market:
        """Return the market's level for closes of all days, (n_days, n_symbols)."""

        def members_on(group: int, rows: NDArray[np.intp]) -> list[Array]:
            part = close if len(rows) == len(close) else close[rows]
            return [part if len(self.labels) == 1 else part[:, self.groups == group]]

        return self.market_of(members_on, len(close))

    def market_of(
        self, members_on: Callable[[int, NDArray[np.intp]], Iterable[Array]], n_rows: int
    ) -> Market:
        """Return the market's level for closes that lie elsewhere.

        Parameters
        ----------
        members_on : callable
            Takes the number of a calendar and rows of its days, and returns the closes of its
            symbols on them, (n, k), of one piece after the other.
        n_rows : int
            Days to read at once.
        """
        levels = []
        for group in range(len(self.labels)):
            rows = np.flatnonzero(self.own[group])
            extra = np.flatnonzero(self.extra[group])
            traded = [~np.isnan(close) for close in members_on(group, extra)] if len(extra) else []
            moves = [np.empty(0)]
            for start in range(1, len(rows), n_rows):
                part = rows[start - 1 : start + n_rows]
                pieces = [*members_on(group, part)]
                close = pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1)
                change = np.log(close[1:] / close[:-1])
                if traded:
                    days = self.dates[part[1:]]
                    foreign = [self.foreign(group, each, days) for each in traded]
                    change[np.concatenate(foreign, axis=1)] = np.nan
                moves.append(medians(change))
            levels.append(self.level(group, np.concatenate(moves)))
        return Market(self.groups, np.array(levels), self.last_own())

    def level(self, group: int, moves: Array) -> Array:
        """Return the level on all days from the moves between a calendar's own days.

        On other days it stays what it was.
        """
        rows = np.flatnonzero(self.own[group])
        level = np.full(len(self.dates), np.nan)
        is_market = ~np.isnan(moves)
        so_far = np.cumsum(np.where(is_market, moves, 0.0))
        level[rows[1:]] = np.where(is_market, so_far, np.nan)
        last = self.last_own()
        return level if last is None else np.where(last[group] < 0, np.nan, level[last[group]])

    def last_own(self) -> NDArray[np.intp] | None:
        """Return the row of each calendar's last day up to each day, see `Market`."""
        if self.own.all():
            return None
        return np.maximum.accumulate(np.where(self.own, np.arange(len(self.dates)), -1), axis=1)

    def members(self) -> Iterator[tuple[str, NDArray[np.intp], NDArray[np.intp]]]:
        """Yield each calendar's label, its symbols' columns and the rows of its days."""
        for group, label in enumerate(self.labels):
            yield label, np.flatnonzero(self.groups == group), np.flatnonzero(self.own[group])


def last_bars(
    mask: Mask, groups: NDArray[np.intp], own: Mask
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the row of each symbol's last bar, -1 = none, and its age in own trading days.

    Parameters
    ----------
    mask : ndarray of bool, shape (n_days, n_symbols)
        Where there is a bar.
    groups, own
        See `Calendars`.
    """
    row = np.where(mask.any(axis=0), len(mask) - 1 - mask[::-1].argmax(axis=0), -1)
    so_far = own.cumsum(axis=1)
    age = so_far[groups, -1] - so_far[groups, np.maximum(row, 0)]
    return row, np.where(row < 0, len(mask) + 1, age)


def calendar_labels(
    symbols: Sequence[str], dates: NDArray[np.datetime64], mask: Mask
) -> NDArray[np.str_]:
    """Return the calendar of each symbol by name, else by its first weekends."""
    labels = [_by_name(symbol) for symbol in symbols]
    weekends = np.flatnonzero(is_weekend(dates))
    if weekends.size:
        first = dates[mask.argmax(axis=0)]
        age = (dates[weekends, None] - first[None, :]).astype(np.int64)
        n_early = (mask[weekends] & (age < _FIRST_DAYS)).sum(axis=0)
        for k in np.flatnonzero(n_early >= _WEEKEND_BARS):
            labels[k] = ALWAYS_OPEN
    return np.array(labels)


def is_weekend(dates: NDArray[np.datetime64]) -> Mask:
    """Which days are Saturdays or Sundays."""
    return np.asarray((dates.astype(np.int64) + 3) % 7 >= 5)  # 1970 began on a Thursday


def counts_of(groups: NDArray[np.intp], n_groups: int, mask: Mask) -> NDArray[np.intp]:
    """Return how many symbols of each calendar traded on each day, (n_calendars, n_days)."""
    if n_groups == 1:
        return np.asarray(mask.sum(axis=1)[None, :], np.intp)
    counts = [mask[:, groups == group].sum(axis=1) for group in range(n_groups)]
    return np.array(counts, np.intp)


def medians(change: Array) -> Array:
    """Return the median log return of each row, (n_rows,); sorts the rows of `change`.

    Rounded to a grid of 2^-40, so that sums are exact and do not depend on the first day of the
    history. NaN on days on which fewer than 20 symbols moved: so few are no market.
    """
    change.sort(axis=1)  # NaN last
    count = (~np.isnan(change)).sum(axis=1)
    rows = np.arange(len(change))
    middle = np.maximum(count - 1, 0)
    median = (change[rows, middle // 2] + change[rows, (middle + 1) // 2]) / 2
    return np.where(count >= LEAST_MARKET, np.round(median * 2.0**40) * 2.0**-40, np.nan)


def _by_name(symbol: str) -> str:
    head, dot, tail = symbol.rpartition(".")
    if dot and head and tail in _EXCHANGES:
        return tail
    if ("/" in symbol or "-" in symbol or "_" in symbol or symbol.endswith("USDT")) and (
        _COIN.search(symbol)
    ):
        return ALWAYS_OPEN
    return ""
