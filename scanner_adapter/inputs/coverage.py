"""How many symbols of a scan are known from its bars, and why the others are not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from features.inputs.bars import Bars
from features.inputs.calendars import Calendars, last_bars
from features.inputs.hours import is_unfinished, session_end
from features.inputs.tables import FIELDS
from scanner_adapter.errors import InvalidContextError

# The day of a scan is the latest one with half as many bars as the busiest of this many days.
_BUSY_DAYS = 400
_BUSY_SHARE = 0.5
_N_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many of a scan's symbols the bars cover.

    Parameters
    ----------
    as_of : str
        Last day that was seen.
    n_symbols, n_known, n_late, n_old, n_unmatched : int
        Symbols of the scan; those with a bar on their last trading day or at most `max_age`
        trading days before; those of them that lack the last day; those whose last bar is older;
        those that the bars do not name.
    unmatched : tuple of str
        Up to three of them.
    reason : str or None
        How the bars spell them, if they have them under another spelling.
    notes : tuple of str
        Other bars that were left out or set aside.
    """

    as_of: str
    n_symbols: int
    n_known: int
    n_late: int = 0
    n_old: int = 0
    n_unmatched: int = 0
    unmatched: tuple[str, ...] = ()
    reason: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether every symbol is known up to its last day, and nothing was left out."""
        return self.n_known == self.n_symbols and not self.n_late and not self.notes

    def __str__(self) -> str:
        """One line for people."""
        parts = [f"as of {self.as_of}, {self.n_known:,} of {self.n_symbols:,} symbols are known"]
        if self.n_late:
            parts.append(f"{self.n_late:,} of them lack the last day and keep their own last bar")
        if self.n_old:
            parts.append(f"{self.n_old:,} have only older bars")
        if self.n_unmatched:
            shown = ", ".join(map(repr, self.unmatched))
            more = ", ..." if self.n_unmatched > len(self.unmatched) else ""
            why = f"; {self.reason}" if self.reason else ""
            parts.append(f"{self.n_unmatched:,} are not in the bars ({shown}{more}{why})")
        return "; ".join([*parts, *self.notes])


def latest_day(bars: Bars, now: datetime) -> np.datetime64:
    """Return the latest day, not after the clock, on which at least half of the symbols have a bar.

    Half of the busiest day of the year before: symbols that were delisted long ago do not count.
    A day in UTC's future is one in Auckland's present, so a day ahead is none after the clock.

    Raises
    ------
    InvalidContextError
        If all bars lie after the clock.
    """
    today = np.datetime64(now.astimezone(UTC).date(), "D")
    n_days = int(np.searchsorted(bars.dates, today + 1, side="right"))
    if not n_days:
        raise InvalidContextError(
            f"the bars begin on {bars.dates[0]}, after the time of the scan ({now:%Y-%m-%d}); "
            "give bars from before it, or the right now="
        )
    counts = bars.mask[max(n_days - _BUSY_DAYS, 0) : n_days].sum(axis=1)
    busy = np.flatnonzero(counts >= _BUSY_SHARE * counts.max())
    day: np.datetime64 = bars.dates[n_days - len(counts) + int(busy[-1])]
    return day


def seen_bars(
    bars: Bars, as_of: np.datetime64 | None, now: datetime
) -> tuple[Bars, tuple[str, ...]]:
    """Return the bars that a scan at `now` may use, without those of unfinished sessions.

    Today's bar holds a part of the day: taken for a whole one, it would show a quiet day.
    """
    day = latest_day(bars, now) if as_of is None else as_of
    known = bars.until(day)
    last = known.dates[-1]
    # No session ends later than this after its day began in UTC.
    if now >= datetime.combine(last.item(), datetime.min.time(), UTC) + timedelta(hours=36):
        return known, ()
    calendars = Calendars.of(known.symbols, known.dates, known.mask)
    open_ = np.array([is_unfinished(last, label, now) for label in calendars.labels])
    aside = open_[calendars.groups] & known.mask[-1]
    if not aside.any():
        return known, ()
    ends = max(session_end(last, calendars.labels[k]) for k in np.flatnonzero(open_))
    note = (
        f"the bars of {last} are set aside for {int(aside.sum()):,} symbols whose session ends at "
        f"{ends:%Y-%m-%d %H:%M} UTC"
    )
    if len(known.dates) == 1:
        raise InvalidContextError(f"{note}, and there are no earlier bars; scan after it")
    if aside.sum() == known.mask[-1].sum():
        # The day before may be unfinished too: tables of past scans reach beyond their clock.
        earlier, notes = seen_bars(known, known.dates[-2], now)
        return earlier, notes or (note,)
    arrays = [getattr(known, name).copy() for name in FIELDS]
    for array in arrays:
        array[-1, aside] = np.nan
    return Bars(known.dates, known.symbols, *arrays, notes=known.notes), (note,)


def bar_ages(bars: Bars) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the row of each symbol's last bar, -1 = none, and its age in own trading days."""
    mask = bars.mask
    calendars = Calendars.of(bars.symbols, bars.dates, mask)
    return last_bars(mask, calendars.groups, calendars.own)


def coverage_of(
    symbols: Sequence[str],
    bars: Bars,
    at: NDArray[np.intp],
    age: NDArray[np.intp],
    max_age: int,
    notes: Sequence[str] = (),
) -> Coverage:
    """Return the coverage of a scan.

    Parameters
    ----------
    symbols : sequence of str, length n
    bars : Bars
        As the scan sees them.
    at : ndarray of intp, shape (n,)
        Column of each symbol in the bars, -1 = none.
    age : ndarray of intp, shape (n_columns,)
        See `bar_ages`.
    max_age : int
    """
    lost = np.flatnonzero(at < 0)
    own = age[at[at >= 0]]
    return Coverage(
        as_of=str(bars.dates[-1]),
        n_symbols=len(symbols),
        n_known=int((own <= max_age).sum()),
        n_late=int(((own > 0) & (own <= max_age)).sum()),
        n_old=int((own > max_age).sum()),
        n_unmatched=len(lost),
        unmatched=tuple(symbols[k] for k in lost[:_N_EXAMPLES]),
        reason=likely_reason([symbols[k] for k in lost[:1000]], bars.symbols, "bars"),
        notes=tuple(notes),
    )


def likely_reason(unmatched: Sequence[str], known: Sequence[str], what: str) -> str | None:
    """Return how the bars or quotes spell the first symbol that they spell differently."""
    if not unmatched:
        return None
    ways = (
        ("surrounding blanks", lambda text: text.strip()),
        ("upper and lower case", lambda text: text.strip().upper()),
        ("the separator", lambda text: re.sub(r"[^0-9A-Z]", "", text.upper())),
    )
    for where, plain in ways:
        spelled = {plain(name): name for name in known}
        for symbol in unmatched:
            if plain(symbol) in spelled:
                return f"the {what} have {spelled[plain(symbol)]!r}: see {where}"
    return None
