"""Bars of a scan that a command starts: those up to its day, and the rows of each symbol."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd

from bandit.errors import InvalidInputError
from features.inputs.bars import Bars
from features.inputs.days import as_day
from scanner_adapter.inputs.context import MAX_AGE
from scanner_adapter.inputs.coverage import bar_ages, seen_bars

COLUMNS = ("open", "high", "low", "close", "volume")


def scannable(bars: Bars, as_of: str | None, now: datetime) -> tuple[Bars, tuple[str, ...]]:
    """Return the bars of the symbols to scan, up to the scan's day, and notes of what was left out.

    Symbols are scanned if their last bar is at most three of their own trading days old: a symbol
    without a bar today is scanned, one that was delisted is not.

    Parameters
    ----------
    bars : Bars
    as_of : str or None
        A trading day of the bars; None = the latest one that most symbols have.
    now : datetime
        The clock, with its zone.

    Raises
    ------
    InvalidBarsError
        When `as_of` is no date.
    InvalidInputError
        When it is not a day of the bars, or no symbol has a recent bar.
    """
    day = None
    if as_of is not None:
        day = as_day(as_of)
        first, last = bars.dates[0], bars.dates[-1]
        if not first <= day <= last:
            raise InvalidInputError(
                f"as-of {day} is outside the bars, which cover {first} .. {last}"
            )
        if day not in bars.dates:
            before = bars.dates[bars.dates < day][-1]
            raise InvalidInputError(
                f"as-of {day} is not a trading day in the bars; the last one before it is {before}"
            )
    known, notes = seen_bars(bars, day, now)
    row, age = bar_ages(known)
    recent = np.flatnonzero(age <= MAX_AGE)
    if not recent.size:
        raise InvalidInputError(
            f"the universe is empty: no symbol has a bar up to {known.dates[-1]} that is at most "
            f"{MAX_AGE} trading days old"
        )
    n_old = int(((age > MAX_AGE) & (row >= 0)).sum())
    if n_old:
        notes = (*notes, f"left out, with a last bar over {MAX_AGE} trading days old: {n_old:,}")
    return known.select([known.symbols[j] for j in recent]), notes


class BarsBySymbol:
    """Returns one symbol's bars as the frame that a scanner expects.

    A dict of 1,500 frames would take 0.3 s to build, and many scans stop before they need them all.
    It can be read from several threads; each frame is new, so that a scanner may write into it.

    Parameters
    ----------
    bars : Bars
        Up to the as-of day.
    """

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._column = {symbol: j for j, symbol in enumerate(bars.symbols)}
        self._dates = bars.dates.astype("datetime64[s]")  # pandas has no whole days

    def __getitem__(self, symbol: str) -> pd.DataFrame:
        """Return the days on which the symbol traded: date, open, high, low, close, volume."""
        j = self._column[symbol]
        traded = ~np.isnan(self._bars.close[:, j])
        columns = {name: getattr(self._bars, name)[traded, j] for name in COLUMNS}
        return pd.DataFrame({"date": self._dates[traded], **columns})
