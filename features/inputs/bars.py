"""Daily bars of a whole universe, aligned once into (days x symbols) arrays.

What happens to unusual symbols:

- *halted* (no bar on a day): the day stays NaN; windows count the symbol's own bars, so the halt
  neither fills nor stretches them; on the day itself every bar-based sub-score is unknown.
- *newly listed*: NaN before the first bar; a sub-score is unknown until its window is full.
- *delisted*: NaN after the last bar; every bar-based sub-score is unknown from then on.
- *split*: taken out where the table holds the factor or an adjusted close beside the raw prices
  (`features.inputs.splits`); an opening that looks like a split, on usual turnover, is warned of.
- *incomplete bar* (one of the five numbers missing): no bar on that day.
- *row after the clock* (more than a day): left out and said.
- *daily row and a live row of the same, last day*: the live row is the day's bar.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.checks import as_kind, as_path, as_texts, refusal
from features.errors import InvalidBarsError
from features.inputs.days import Stamps, as_day
from features.inputs.layouts import tidy
from features.inputs.splits import split_jumps, unsplit
from features.inputs.tables import FIELDS, OnBad, Rows, kind_of, read_table

log = logging.getLogger("scanrank")

# Vendors round the four prices apart from each other; a high under the close by less than this
# share of the price is rounding and is widened, more is refused.
_ROUNDING = 1e-3
# Times of day (minutes) of a daily row: midnight, or New York's in UTC.
_DAILY_MINUTES = (0, 240, 300)


@dataclass(frozen=True, slots=True)
class Bars:
    """Immutable daily bars: five float64 arrays of shape (n_days, n_symbols), NaN = no bar.

    Parameters
    ----------
    dates : ndarray of datetime64[D], shape (n_days,)
        Exchange-local trading days, strictly increasing.
    symbols : tuple of str, length n_symbols
    open, high, low, close : ndarray of float64, shape (n_days, n_symbols)
        Prices, split-adjusted, in the currency of the listing.
    volume : ndarray of float64, shape (n_days, n_symbols)
        Shares, adjusted for the same splits.
    notes : tuple of str
        What reading left out or adjusted, a sentence each.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"date": ["2024-01-02", "2024-01-03"], "symbol": "A",
    ...     "open": 10.0, "high": 11.0, "low": 9.5, "close": 10.5, "volume": 100})
    >>> Bars.from_frame(frame).until("2024-01-02")
    Bars(1 day, 1 symbol, 2024-01-02 .. 2024-01-02)
    """

    dates: NDArray[np.datetime64]
    symbols: tuple[str, ...]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        as_kind(self.dates, "dates", np.ndarray, "an array of datetime64[D]")
        if self.dates.ndim != 1 or self.dates.dtype.kind != "M":
            raise refusal(self.dates, "dates", "an array of datetime64[D]")
        as_texts(self.symbols)
        shape = (len(self.dates), len(self.symbols))
        if 0 in shape:
            raise InvalidBarsError(
                f"bars of {shape[0]} days and {shape[1]} symbols; expected at least one of each"
            )
        for name in FIELDS:
            array = as_kind(getattr(self, name), name, np.ndarray, "an array of float64")
            if array.dtype != np.float64:
                raise refusal(array, name, "an array of float64")
            if array.shape != shape:
                raise InvalidBarsError(f"{name} has shape {array.shape}; expected {shape}")
        if np.any(np.diff(self.dates) <= np.timedelta64(0, "D")):
            raise InvalidBarsError("dates must be strictly increasing; sort them first")
        if len(set(self.symbols)) != len(self.symbols):
            raise InvalidBarsError("a symbol appears twice in the columns")

    def __repr__(self) -> str:
        days, symbols = self.close.shape
        return (
            f"Bars({days} day{'s' * (days != 1)}, {symbols} symbol{'s' * (symbols != 1)}, "
            f"{self.dates[0]} .. {self.dates[-1]})"
        )

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Where there is a bar, shape (n_days, n_symbols)."""
        return ~np.isnan(self.close)

    @classmethod
    def from_frame(
        cls,
        frame: object,
        *,
        symbol: str | None = None,
        tz: str | None = None,
        on_bad: OnBad = "raise",
    ) -> Bars:
        """Align a frame of bars in any usual layout.

        Parameters
        ----------
        frame : data frame, or mapping of symbol to data frame
            Tidy long (date, symbol, open, high, low, close, volume; any case and order of rows,
            any usual vendor's names), wide, what `yfinance.download` returns, or a polars frame;
            see docs/reference/inputs.md.
        symbol : str, optional
            The symbol of a frame that holds one symbol and does not name it.
        tz : str, optional
            Zone of the market, such as 'America/New_York', where stamps are epochs or UTC.
        on_bad : "raise" or "skip"
            Whether a row that cannot be used stops everything, or is left out and counted in
            `notes`.

        Raises
        ------
        InvalidBarsError
            For missing columns, two bars of a symbol on one day, prices that are not positive or
            contradict each other, negative volume, text in numbers, stamps that are no date or
            one of several. The message names row, symbol, date and value.
        """
        rows = Rows(tidy(frame, symbol=symbol), "bars", InvalidBarsError, on_bad)
        codes, names = rows.codes()
        stamps = rows.stamps(tz=tz)
        numbers = np.stack([rows.numbers(name) for name in FIELDS])
        days = stamps.days
        # Daily stamps in UTC that are midnight elsewhere: each bar would be a day early.
        rows.refuse(
            "UTC timestamp of another day",
            stamps.is_midnight_east,
            lambda row: (
                f"the stamp {stamps.wall[row].astype('datetime64[m]')} UTC is midnight in another "
                "timezone, where it belongs to the next day; give the market's timezone, such as "
                "tz='Europe/London' (--tz on the command line)"
            ),
        )
        late = days > np.datetime64("today", "D") + 1  # where the user is, it may be a day later
        complete = ~np.isnan(numbers).any(axis=0) & rows.good & ~late
        _check_numbers(rows, numbers, complete, lambda row: f"{names[codes[row]]} on {days[row]}")
        complete &= rows.good
        notes = _left_out(rows, late & rows.good, numbers, days)
        if complete.any():
            repeated = _one_a_day(rows, complete, codes, stamps, numbers, names)
            complete &= rows.good
            notes += repeated
        notes = (*rows.notes, *notes)
        if not complete.any():
            why = f" ({'; '.join(notes)})" if notes else ""
            rows.fail(f"no complete bar in {len(days)} rows; expected at least one{why}")
        if not complete.all():
            codes, days, numbers = codes[complete], days[complete], numbers[:, complete]
        open_, high, low, close, _ = numbers
        np.maximum(high, np.maximum(open_, close), out=high)
        np.minimum(low, np.minimum(open_, close), out=low)
        row, dates = pd.factorize(days.astype("datetime64[s]"), sort=True)
        dates = dates.astype("datetime64[D]")
        # A symbol without one complete bar has no column.
        is_present = np.bincount(codes, minlength=len(names)) > 0
        present = np.flatnonzero(is_present)
        at = row * present.size + (np.cumsum(is_present) - 1)[codes]

        def aligned(values: NDArray[np.float64]) -> NDArray[np.float64]:
            array = np.full(len(dates) * present.size, np.nan)
            array[at] = values
            return array.reshape(len(dates), present.size)

        arrays = [aligned(column) for column in numbers]
        symbols = tuple(names[i] for i in present)
        beside = {
            name: aligned(rows.numbers(name)[complete]) if name in rows.table else None
            for name in ("adj_close", "split_factor")
        }
        arrays, found = _without_splits(arrays, beside, dates, symbols)
        for note in (notes := (*notes, *found)):
            log.warning("bars: %s", note)
        return cls(dates, symbols, *arrays, notes=notes)

    @classmethod
    def read(cls, path: str | Path, *, tz: str | None = None, on_bad: OnBad = "raise") -> Bars:
        """Read `.parquet`, `.csv` or `.csv.gz`, or a folder of them; see `from_frame`.

        A yfinance download saved as it is can be read. In a folder, a file whose table does not
        name its symbol holds the symbol that the file is named after.
        """
        path = as_path(path)
        if not path.is_dir():
            return cls.from_frame(read_table(path), tz=tz, on_bad=on_bad)
        files = [file for file in sorted(path.iterdir()) if kind_of(file) is not None]
        if not files:
            raise InvalidBarsError(f"no .parquet, .csv or .csv.gz file in the folder {path}")
        tables = []
        for file in files:
            name = file.name[: -len(kind_of(file) or "")]
            table = tidy(read_table(file), symbol=name)
            # Stamps are read file by file: a message then names the file.
            rows = Rows(table, "bars", InvalidBarsError, on_bad)
            rows.stamps(tz=tz)
            tables.append(table[rows.good])
        together = pd.concat(tables, ignore_index=True)
        together.attrs = {"source": str(path)}
        return cls.from_frame(together, tz=tz, on_bad=on_bad)

    def until(self, as_of: object) -> Bars:
        """Return the bars of all days up to and including `as_of`; views, nothing is copied.

        Raises
        ------
        InvalidBarsError
            If there is no day up to `as_of`.
        """
        day = as_day(as_of)
        n_days = int(np.searchsorted(self.dates, day, side="right"))
        if n_days == 0:
            raise InvalidBarsError(
                f"as_of {day} is before the first bar; expected {self.dates[0]} or later"
            )
        return self._rows(slice(None, n_days))

    def select(self, symbols: Sequence[str]) -> Bars:
        """Return the bars of these symbols, in this order.

        Raises
        ------
        InvalidBarsError
            If a symbol has no bars; the message names it.
        """
        symbols = as_texts(symbols)
        where = {name: i for i, name in enumerate(self.symbols)}
        unknown = [name for name in symbols if name not in where]
        if unknown:
            raise InvalidBarsError(
                f"no bars of {', '.join(unknown[:5])}{' ...' if len(unknown) > 5 else ''} "
                f"({len(unknown)} of {len(symbols)} symbols)"
            )
        columns = [where[name] for name in symbols]
        arrays = [np.ascontiguousarray(getattr(self, field)[:, columns]) for field in FIELDS]
        return Bars(self.dates, tuple(symbols), *arrays, notes=self.notes)

    def append(self, new: object) -> Bars:
        """Return bars with later days added; symbols seen for the first time get a new column.

        The last day may come again, whole or in part: its new bars replace those of an unfinished
        day.

        Raises
        ------
        InvalidBarsError
            If a new day lies before the last one.
        """
        later = new if isinstance(new, Bars) else Bars.from_frame(new)
        if later.dates[0] < self.dates[-1]:
            raise InvalidBarsError(
                f"new bars start on {later.dates[0]}; expected {self.dates[-1]} or later"
            )
        known = set(self.symbols)
        symbols = (*self.symbols, *(name for name in later.symbols if name not in known))
        where = {name: i for i, name in enumerate(symbols)}
        columns = [where[name] for name in later.symbols]
        n_old = len(self.dates)
        again = int(later.dates[0] == self.dates[-1])
        arrays = []
        for name in FIELDS:
            own, added = getattr(self, name), getattr(later, name)
            array = np.full((n_old + len(later.dates) - again, len(symbols)), np.nan)
            array[:n_old, : len(self.symbols)] = own
            array[n_old:, columns] = added[again:]
            if again:
                array[n_old - 1, columns] = np.where(
                    later.mask[0], added[0], array[n_old - 1, columns]
                )
            arrays.append(array)
        dates = np.concatenate([self.dates, later.dates[again:]])
        return Bars(dates, symbols, *arrays, notes=self.notes + later.notes)

    def _rows(self, rows: slice) -> Bars:
        fields = (getattr(self, f)[rows] for f in FIELDS)
        return Bars(self.dates[rows], self.symbols, *fields, notes=self.notes)


def _check_numbers(
    rows: Rows,
    numbers: NDArray[np.float64],
    complete: NDArray[np.bool_],
    name: Callable[[int], str],
) -> None:
    """Refuse what no market prints; rows of `numbers` are in the order of FIELDS."""
    open_, high, low, close, volume = numbers
    with np.errstate(invalid="ignore"):
        top, bottom = np.maximum(open_, close), np.minimum(open_, close)
        slack = _ROUNDING * high
        is_price = (np.minimum(bottom, np.minimum(low, high)) > 0) & (
            np.maximum(top, np.maximum(low, high)) < np.inf
        )
        bad = {
            "a price that is not positive and finite": ~is_price,
            "a volume that is negative or infinite": ~((volume >= 0) & (volume < np.inf)),
            "a high below the other prices": np.maximum(top, low) > high + slack,
            "a low above the other prices": np.minimum(bottom, high) < low - slack,
        }

    def say(row: int, what: str) -> str:
        shown = ", ".join(f"{f} {v:g}" for f, v in zip(FIELDS, numbers[:, row], strict=True))
        return f"{name(row)} has {what} ({shown})"

    for what, wrong in bad.items():
        rows.refuse(what, wrong & complete, partial(say, what=what))


def _left_out(
    rows: Rows,
    late: NDArray[np.bool_],
    numbers: NDArray[np.float64],
    days: NDArray[np.datetime64],
) -> tuple[str, ...]:
    """Say which good rows are no bars: those after the clock, and those with a number missing."""
    notes = []
    if late.any():
        row = int(np.flatnonzero(late)[0])
        notes.append(
            f"{_rows(late)} in the future left out, the first: {rows.at(row)}, {days[row]}"
        )
    n_missing = np.isnan(numbers).sum(axis=0)
    part = (n_missing > 0) & (n_missing < len(FIELDS)) & rows.good
    if part.any():
        row = int(np.flatnonzero(part)[0])
        field = FIELDS[int(np.flatnonzero(np.isnan(numbers[:, row]))[0])]
        notes.append(
            f"{_rows(part)} with a missing number left out, the first: {rows.at(row)} has no "
            f"{field}"
        )
    return tuple(notes)


def _one_a_day(
    rows: Rows,
    complete: NDArray[np.bool_],
    codes: NDArray[np.intp],
    stamps: Stamps,
    numbers: NDArray[np.float64],
    names: Sequence[str],
) -> tuple[str, ...]:
    """Leave one row of each symbol and day; differing ones are refused, live ones replace."""
    at = np.flatnonzero(complete)
    days = stamps.days[at].astype(np.int64)
    first_day = int(days.min())
    width = int(days.max()) - first_day + 1
    cell = codes[at] * width + (days - first_day)
    seen = np.zeros(len(names) * width, bool)
    seen[cell] = True
    if int(seen.sum()) == len(cell):
        return ()
    order = np.argsort(cell, kind="stable")
    starts = np.flatnonzero(np.diff(cell[order], prepend=-1))
    n_same, n_live = 0, 0
    refused = np.zeros(len(complete), bool)
    for group in np.split(at[order], starts[1:]):
        if len(group) == 1:
            continue
        if (numbers[:, group] == numbers[:, group[:1]]).all():
            rows.good[group[1:]] = False
            n_same += len(group) - 1
            continue
        early, late = group[np.argsort(stamps.wall[group], kind="stable")][[0, -1]]
        own = days[codes[at] == codes[early]]
        day = int(stamps.days[early].astype(np.int64))
        is_live = stamps.minutes[early] in _DAILY_MINUTES and stamps.wall[late] > stamps.wall[early]
        if len(group) == 2 and is_live and day == own.max() and day > own.min():
            rows.good[early] = False
            n_live += 1
        else:
            refused[group] = True
    rows.refuse(
        "two bars of one day",
        refused,
        lambda row: (
            f"two bars of {names[codes[row]]} on {stamps.days[row]}; keep one per day (for "
            "intraday bars, use features.daily_bars)"
        ),
    )
    notes = []
    if n_same:
        notes.append(f"{n_same} repeated row{'s' * (n_same > 1)} counted once")
    if n_live:
        notes.append(f"the live row of the last day replaces the daily one of {n_live} symbols")
    return tuple(notes)


def _without_splits(
    arrays: list[NDArray[np.float64]],
    beside: dict[str, NDArray[np.float64] | None],
    dates: NDArray[np.datetime64],
    symbols: Sequence[str],
) -> tuple[list[NDArray[np.float64]], tuple[str, ...]]:
    """Take splits out where the table names them, warn of what looks like one."""
    notes = []
    adjusted, factor = beside["adj_close"], beside["split_factor"]
    if adjusted is not None or factor is not None:
        prices, volume, n_splits = unsplit(arrays[:4], arrays[4], adjusted, factor)
        arrays = [*prices, volume]
        if n_splits:
            notes.append(f"{n_splits} split{'s' * (n_splits > 1)} adjusted")
    jumps = split_jumps(arrays[0], arrays[3], arrays[4])
    if jumps:
        shown = ", ".join(
            f"{symbols[j]} on {dates[i]} ({f'{r:g}:1' if r > 1 else f'1:{1 / r:g}'})"
            for i, j, r in jumps[:3]
        )
        notes.append(
            f"{len(jumps)} opening{'s that look' if len(jumps) > 1 else ' that looks'} like an "
            "unadjusted split: "
            f"{shown}; download adjusted prices, or include a column splitFactor or adjClose"
        )
    return arrays, tuple(notes)


def _rows(of: NDArray[np.bool_]) -> str:
    n = int(of.sum())
    return f"{n} row{'s' * (n > 1)}"
