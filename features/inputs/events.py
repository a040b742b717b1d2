"""Events about companies, each with the day from which a scan may know it.

Point in time: a scan on the evening of day D knows what came out before that day's open or
without doubt earlier. A release before the open of D (by its word or its hour) counts on D; a
later or undated release, a rating and a news count of day D count from D + 1, that is from the next
trading day's bars on.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from features.checks import as_kind, as_texts
from features.inputs.event_tables import event_rows, is_before_open, rating_signs
from features.inputs.tables import OnBad, Rows

log = logging.getLogger("scanrank")

# Reports of a company on file before its own spread of surprises counts most.
_PAST_REPORTS = 8
# Calendar days between two reports, and between the reports of the same quarter of two years
# (52 weeks: companies keep the weekday).
_QUARTER, _YEAR = 91, 364


@dataclass(frozen=True)
class EventTable:
    """Events of one kind, sorted by symbol and then by the day from which they are usable.

    Parameters
    ----------
    symbols : tuple of str
        Symbols that have events, sorted.
    code : ndarray of int64, shape (n_events,)
        Position in `symbols`.
    day : ndarray of int64, shape (n_events,)
        First calendar day, in days since 1970, on whose evening the event is known.
    columns : dict of str to ndarray, each of shape (n_events,)
        Measurements that depend on this event and on earlier ones of the symbol only.
    """

    symbols: tuple[str, ...]
    code: NDArray[np.int64]
    day: NDArray[np.int64]
    columns: dict[str, NDArray[np.float64]]

    @cached_property
    def _codes(self) -> dict[str, int]:
        # Kept: a universe is asked for block by block.
        return {name: i for i, name in enumerate(self.symbols)}

    def last(self, symbols: Sequence[str], days: NDArray[np.int64]) -> NDArray[np.intp]:
        """Return the position of the last event usable on each day, -1 = none yet.

        Parameters
        ----------
        symbols : sequence of str, length n
        days : ndarray of int64, shape (m,)

        Returns
        -------
        ndarray of intp, shape (m, n)
        """
        codes = np.array([self._codes.get(name, -1) for name in symbols], dtype=np.int64)
        wanted = (codes << 32)[None, :] + days[:, None]
        found = np.searchsorted((self.code << 32) + self.day, wanted, side="right") - 1
        same = (codes >= 0)[None, :] & (found >= 0)
        same &= self.code[np.maximum(found, 0)] == codes[None, :] if len(self.code) else False
        return np.where(same, found, -1)

    def select(self, symbols: Iterable[str]) -> EventTable:
        """Return the events of these symbols; those without any are left out."""
        codes = np.array(sorted(self._codes[s] for s in symbols if s in self._codes), np.int64)
        start = np.searchsorted(self.code, codes, side="left")
        n_events = np.searchsorted(self.code, codes, side="right") - start
        own = np.repeat(np.arange(len(codes)), n_events)
        rows = np.arange(len(own)) + np.repeat(start - (np.cumsum(n_events) - n_events), n_events)
        return EventTable(
            tuple(self.symbols[code] for code in codes.tolist()),
            own,
            self.day[rows],
            {name: column[rows] for name, column in self.columns.items()},
        )


@dataclass(frozen=True, slots=True)
class Events:
    """Earnings, rating changes and news counts of a universe; each may be missing.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"symbol": ["A"], "date": ["2019-02-20"], "eps_estimate": [0.7],
    ...     "eps_actual": [0.76], "release_time": ["post"]})
    >>> Events.from_frames(earnings=frame)
    Events(1 earnings, 0 ratings, 0 news)
    """

    earnings: EventTable | None = None
    ratings: EventTable | None = None
    news: EventTable | None = None
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        for name in ("earnings", "ratings", "news"):
            as_kind(getattr(self, name), name, EventTable | None, "a table of Events.from_frames")

    def __repr__(self) -> str:
        tables = {"earnings": self.earnings, "ratings": self.ratings, "news": self.news}
        counts = [f"{0 if t is None else len(t.code)} {name}" for name, t in tables.items()]
        return f"Events({', '.join(counts)})"

    @classmethod
    def from_frames(
        cls,
        *,
        earnings: object = None,
        ratings: object = None,
        news: object = None,
        words: Mapping[str, str] | None = None,
        tz: str | None = None,
        on_bad: OnBad = "raise",
    ) -> Events:
        """Take event tables, each a data frame, a list of dictionaries, or either by symbol.

        Columns have the names below or those of a vendor, see `features.inputs.event_tables`.
        Rows that repeat another one count once. What was left out is in `notes` and is logged.

        Parameters
        ----------
        earnings : data frame, optional
            symbol, date, eps_estimate, eps_actual; release_time ('pre', 'post', a time, or empty
            = unknown) where known, or the hour in the date. Rows without both numbers (scheduled
            reports) are left out.
        ratings : data frame, optional
            symbol, date, action: a word for up, down, or coverage without a change. Rows with
            another word are left out and counted.
        news : data frame, optional
            symbol, date, count (articles on that calendar day); kinds are added up. Or articles,
            a row each.
        words : mapping of word to 'up', 'down' or 'hold', optional
            Further words for an analyst's action.
        tz : str, optional
            Zone of the market, to which stamps in UTC and epochs are taken.
        on_bad : "raise" or "skip"
            Whether a row that cannot be read is an error, or is left out and counted.

        Raises
        ------
        InvalidEventsError
            For a missing column, a date or a number that cannot be read; the message names it.
        """
        notes: list[str] = []
        tables: dict[str, EventTable] = {}
        for kind, frame in (("earnings", earnings), ("ratings", ratings), ("news", news)):
            if frame is not None:
                rows, n_repeated = event_rows(frame, kind, on_bad)
                if kind == "earnings":
                    tables[kind] = _earnings(rows, tz)
                elif kind == "ratings":
                    tables[kind] = _ratings(rows, tz, words, notes)
                else:
                    tables[kind] = _news(rows, tz)
                notes += [f"{kind}: {note}" for note in rows.notes]
                if n_repeated:
                    notes.append(f"{kind}: {n_repeated} repeated rows count once")
        for note in notes:
            log.warning("%s", note)
        return cls(**tables, notes=tuple(notes))

    def select(self, symbols: Collection[str]) -> Events:
        """Return the events of these symbols; those without any are left out."""
        symbols = as_texts(symbols)
        tables = (self.earnings, self.ratings, self.news)
        return Events(
            *(None if table is None else table.select(symbols) for table in tables),
            notes=self.notes,
        )


def _earnings(rows: Rows, tz: str | None) -> EventTable:
    codes, names = rows.codes()
    estimate, actual = rows.numbers("eps_estimate"), rows.numbers("eps_actual")
    stamps = rows.stamps(tz=tz)
    released = is_before_open(rows, stamps.minutes, stamps.is_utc)
    date = stamps.days.astype(np.int64)
    known = np.isfinite(estimate) & np.isfinite(actual) & rows.good
    day = np.where(released, date, date + 1)
    symbols, code, order = _sorted(codes, names, day, known)
    # Of two reports of one day that are known at the same time, the later row counts: a vendor's
    # correction. One after the close does not replace one before the open, which was known sooner.
    is_other = [np.diff(code), np.diff(day[order]), np.diff(date[order])]
    last = np.append(np.any(is_other, axis=0), True)[: len(order)]
    code, order = code[last], order[last]
    day, date = day[order], date[order]
    expected = estimate[order]
    surprise = actual[order] - expected
    return EventTable(
        symbols,
        code,
        day,
        {
            "surprise": surprise / _surprise_scale(code, surprise, expected),
            "streak": _streak(code, np.sign(surprise)),
            "next_report": _next_report(code, date),
            "date": date.astype(np.float64),
        },
    )


def _ratings(
    rows: Rows, tz: str | None, words: Mapping[str, str] | None, notes: list[str]
) -> EventTable:
    codes, names = rows.codes()
    day = rows.stamps(tz=tz).days.astype(np.int64) + 1
    sign, unread = rating_signs(rows.table["action"], words)
    if unread:
        shown = ", ".join(repr(word) for word in list(unread)[:5])
        notes.append(
            f"ratings: {sum(unread.values())} of {len(sign)} rows left out because their action is "
            f"unknown: {shown}; define it with words={{...: 'up', 'down' or 'hold'}}"
        )
    symbols, code, order = _sorted(codes, names, day, rows.good & ~np.isnan(sign))
    return EventTable(symbols, code, day[order], {"sign": sign[order]})


def _news(rows: Rows, tz: str | None) -> EventTable:
    codes, names = rows.codes()
    count = rows.numbers("count")
    rows.refuse(
        "count is negative or missing",
        ~(count >= 0),
        lambda row: (
            f"count of {rows.table['symbol'].iloc[row]} in news is {count[row]:g}; "
            "expected 0 or more"
        ),
    )
    day = rows.stamps(tz=tz).days.astype(np.int64) + 1
    symbols, code, order = _sorted(codes, names, day, rows.good)
    so_far = np.cumsum(count[order])
    first = np.searchsorted(code, code, side="left")
    before = np.where(first > 0, so_far[first - 1], 0.0)  # of the symbols ahead in the table
    return EventTable(
        symbols,
        code,
        day[order],
        {"total": so_far - before, "first_day": day[order][first].astype(np.float64)},
    )


def _surprise_scale(
    code: NDArray[np.int64], surprise: NDArray[np.float64], estimate: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what a usual surprise of the company is, from its past reports, in currency.

    The root mean square of up to eight earlier surprises and of one made-up one of 5 % of the
    estimate plus one cent, which serves a company without a past and keeps a company that
    always met its estimate from dividing by zero.
    """
    squares = (0.05 * np.abs(estimate) + 0.01) ** 2
    count = np.ones_like(squares)
    for k in range(1, min(_PAST_REPORTS, len(code) - 1) + 1):
        same = np.zeros(len(code), dtype=bool)
        same[k:] = code[k:] == code[:-k]
        earlier = np.zeros_like(squares)
        earlier[k:] = surprise[:-k] ** 2
        squares = squares + np.where(same, earlier, 0.0)
        count = count + same
    return np.asarray(np.sqrt(squares / count), dtype=np.float64)


def _streak(code: NDArray[np.int64], sign: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the signed length of the run of surprises of one sign that ends at each report."""
    run = sign.copy()
    for i in range(1, len(code)):  # a recursion along each symbol's few reports
        if code[i] == code[i - 1] and sign[i] != 0 and sign[i] == sign[i - 1]:
            run[i] = run[i - 1] + sign[i]
    return run


def _next_report(code: NDArray[np.int64], date: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the day on which the next report is due: a year after the one three back, if there
    is one at the right distance, otherwise a quarter after the last."""
    due = (date + _QUARTER).astype(np.float64)
    if len(code) > 3:
        year_ago = date[:-3] + _YEAR
        regular = (code[3:] == code[:-3]) & (np.abs(year_ago - date[3:] - _QUARTER) <= 30)
        due[3:] = np.where(regular, year_ago, due[3:])
    return due


def decayed_sum(
    table: EventTable, values: NDArray[np.float64], half_life: float
) -> NDArray[np.float64]:
    """Return, at each event, the sum of its and the symbol's earlier values, decayed by age.

    Parameters
    ----------
    values : ndarray, shape (n_events,)
    half_life : float
        In calendar days.
    """
    first = np.searchsorted(table.code, table.code, side="left")
    rank = np.arange(len(table.code)) - first
    balance = values.astype(np.float64).copy()
    by_rank = np.argsort(rank, kind="stable")
    starts = np.searchsorted(rank[by_rank], np.arange(1, int(rank.max(initial=0)) + 2))
    for start, end in pairwise(starts):
        at = by_rank[start:end]  # the k-th event of every symbol at once
        age = (table.day[at] - table.day[at - 1]).astype(np.float64)
        balance[at] += balance[at - 1] * 0.5 ** (age / half_life)
    return balance


def _sorted(
    codes: NDArray[np.intp],
    names: Sequence[str],
    day: NDArray[np.int64],
    kept: NDArray[np.bool_],
) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.intp]]:
    """Return the symbol names, the codes in table order, and the rows in table order."""
    rows = np.flatnonzero(kept)
    present, own = np.unique(codes[rows], return_inverse=True)
    order = np.lexsort((rows, day[rows], own))
    return tuple(names[k] for k in present), own[order].astype(np.int64), rows[order]
