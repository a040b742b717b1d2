"""Daily bars of a whole universe, aligned once into (days x symbols) arrays.

What happens to unusual symbols:

- *halted* (no bar on a day): the day stays NaN; windows count the symbol's own bars, so the halt
  neither fills nor stretches them; on the day itself every bar-based sub-score is unknown.
- *newly listed*: NaN before the first bar; a sub-score is unknown until its window is full.
- *delisted*: NaN after the last bar; every bar-based sub-score is unknown from then on.
- *split*: bars must arrive split-adjusted, as every vendor's default download is. An unadjusted
  split looks like any other move of that size, so nothing here guesses at it.
- *incomplete bar* (one of the five numbers missing): no bar on that day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import InvalidBarsError
from features.inputs.layouts import FIELDS, read_table, tidy

# Vendors round the four prices apart from each other; a high under the close by less than this
# share of the price is rounding and is widened, more is refused.
_ROUNDING = 1e-3


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

    def __post_init__(self) -> None:
        shape = (len(self.dates), len(self.symbols))
        if 0 in shape:
            raise InvalidBarsError(f"bars of {shape[0]} days and {shape[1]} symbols; both need one")
        for field in FIELDS:
            array = getattr(self, field)
            if array.shape != shape:
                raise InvalidBarsError(f"{field} has shape {array.shape}; expected {shape}")
        if np.any(np.diff(self.dates) <= np.timedelta64(0, "D")):
            raise InvalidBarsError("dates must be strictly increasing; sort them first")
        if len(set(self.symbols)) != len(self.symbols):
            raise InvalidBarsError("a symbol occurs twice among the columns")

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
    def from_frame(cls, frame: object, *, symbol: str | None = None) -> Bars:
        """Align a frame of bars in any usual layout.

        Parameters
        ----------
        frame : data frame
            Tidy long (date, symbol, open, high, low, close, volume; any case), wide, what
            `yfinance.download` returns, or a polars frame.
        symbol : str, optional
            The symbol of a frame that holds one symbol and does not name it.

        Raises
        ------
        InvalidBarsError
            For missing columns, duplicate (date, symbol) pairs, dates of a symbol that go
            backwards, several bars a day, prices that are not positive or contradict each other,
            negative volume, text in numbers. The message names symbol, date and value.
        """
        table = tidy(frame, symbol=symbol)
        numbers = np.column_stack([_numbers(table, field) for field in FIELDS])
        if table["symbol"].isna().any():
            row = int(np.flatnonzero(table["symbol"].isna())[0])
            raise InvalidBarsError(f"row {row} has no symbol; drop it or name its symbol")
        days = _days(table["date"])
        complete = ~np.isnan(numbers).any(axis=1)
        if not complete.any():
            raise InvalidBarsError(f"no complete bar in {len(table)} rows; expected one at least")
        codes, names = pd.factorize(table["symbol"].astype(str), sort=True)
        codes, days, numbers = codes[complete], days[complete], numbers[complete]
        dates, rows = np.unique(days, return_inverse=True)
        _check_order(codes, rows, dates, names)
        _check_numbers(numbers, codes, days, names)
        np.maximum(numbers[:, 1], numbers[:, :4].max(axis=1), out=numbers[:, 1])
        np.minimum(numbers[:, 2], numbers[:, :4].min(axis=1), out=numbers[:, 2])
        present = np.unique(codes)  # a symbol without one complete bar has no column
        columns = np.searchsorted(present, codes)
        arrays = []
        for k in range(len(FIELDS)):
            array = np.full((len(dates), len(present)), np.nan)
            array[rows, columns] = numbers[:, k]
            arrays.append(array)
        return cls(dates, tuple(str(names[i]) for i in present), *arrays)

    @classmethod
    def read(cls, path: str | Path) -> Bars:
        """Read `.parquet` or `.csv`, a yfinance download saved as is included; see `from_frame`."""
        return cls.from_frame(read_table(Path(path)))

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
                f"as_of {day} lies before the first bar; expected {self.dates[0]} or later"
            )
        return self._rows(slice(None, n_days))

    def select(self, symbols: Sequence[str]) -> Bars:
        """Return the bars of these symbols, in this order.

        Raises
        ------
        InvalidBarsError
            If a symbol has no bars; the message names it.
        """
        where = {name: i for i, name in enumerate(self.symbols)}
        unknown = [name for name in symbols if name not in where]
        if unknown:
            raise InvalidBarsError(
                f"no bars of {', '.join(unknown[:5])}{' ...' if len(unknown) > 5 else ''} "
                f"({len(unknown)} of {len(symbols)} symbols)"
            )
        columns = [where[name] for name in symbols]
        arrays = [np.ascontiguousarray(getattr(self, field)[:, columns]) for field in FIELDS]
        return Bars(self.dates, tuple(symbols), *arrays)

    def append(self, new: object) -> Bars:
        """Return bars with later days added; symbols seen for the first time get a new column.

        Raises
        ------
        InvalidBarsError
            If a new day is not later than the last one.
        """
        later = new if isinstance(new, Bars) else Bars.from_frame(new)
        if later.dates[0] <= self.dates[-1]:
            raise InvalidBarsError(
                f"new bars start on {later.dates[0]}; expected a day after {self.dates[-1]}"
            )
        known = set(self.symbols)
        symbols = (*self.symbols, *(name for name in later.symbols if name not in known))
        where = {name: i for i, name in enumerate(symbols)}
        columns = [where[name] for name in later.symbols]
        n_old = len(self.dates)
        arrays = []
        for field in FIELDS:
            array = np.empty((n_old + len(later.dates), len(symbols)))
            array[:n_old, : len(self.symbols)] = getattr(self, field)
            array[:n_old, len(self.symbols) :] = np.nan
            array[n_old:] = np.nan
            array[n_old:, columns] = getattr(later, field)
            arrays.append(array)
        return Bars(np.concatenate([self.dates, later.dates]), symbols, *arrays)

    def _rows(self, rows: slice) -> Bars:
        return Bars(self.dates[rows], self.symbols, *(getattr(self, f)[rows] for f in FIELDS))


def as_day(value: object) -> np.datetime64:
    """Return a date, timestamp or ISO text as the calendar day it shows, whatever its zone.

    Raises
    ------
    InvalidBarsError
        If the value is no date.
    """
    try:
        stamp = pd.Timestamp(value)  # type: ignore[arg-type]
    except (ValueError, TypeError) as err:
        raise InvalidBarsError(f"{value!r} is no date; expected for example 2019-12-31") from err
    if pd.isna(stamp):
        raise InvalidBarsError("as_of is missing; expected a date such as 2019-12-31")
    return np.datetime64(stamp.date(), "D")


def _numbers(table: pd.DataFrame, field: str) -> NDArray[np.float64]:
    """Return one column as float64; text that is no number is refused by value."""
    column = table[field]
    if column.dtype.kind not in "fiu":
        numbers = pd.to_numeric(column.astype(object), errors="coerce")
        bad = np.flatnonzero((numbers.isna() & ~column.isna()).to_numpy())
        if len(bad):
            row = table.iloc[int(bad[0])]
            raise InvalidBarsError(
                f"{field} of {row['symbol']} on {row['date']} is {row[field]!r}; expected a number"
            )
        column = numbers
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _days(column: pd.Series) -> NDArray[np.datetime64]:
    """Return the calendar days that the stamps show in their own zone."""
    # Each distinct value is read once: a few thousand days instead of millions of rows.
    codes, values = pd.factorize(column)
    if (codes < 0).any():
        raise InvalidBarsError(
            f"row {int(np.flatnonzero(codes < 0)[0])} has no date; drop it or date it"
        )
    number = next((v for v in values if isinstance(v, int | float | np.number)), None)
    if number is not None:
        raise InvalidBarsError(
            f"the column date holds the number {number!r}; expected dates such as 2019-12-31"
        )
    try:
        stamps = pd.DatetimeIndex(pd.to_datetime(values))
    except (ValueError, TypeError) as err:
        raise InvalidBarsError(f"the column date holds a value that is no date: {err}") from err
    if stamps.tz is not None:
        stamps = stamps.tz_localize(None)
    days: NDArray[np.datetime64] = stamps.to_numpy().astype("datetime64[D]")[codes]
    return days


def _check_order(
    codes: NDArray[np.intp],
    rows: NDArray[np.intp],
    dates: NDArray[np.datetime64],
    names: pd.Index,
) -> None:
    """Refuse two bars of a symbol on one day, and a symbol whose dates go backwards."""
    by_symbol = np.argsort(codes, kind="stable")
    same = np.diff(codes[by_symbol]) == 0
    step = np.diff(rows[by_symbol])
    bad = np.flatnonzero(same & (step < 0))
    if len(bad):
        at = by_symbol[bad[0] + 1]
        raise InvalidBarsError(
            f"dates of {names[codes[at]]} go back to {dates[rows[at]]}; sort the bars by date"
        )
    bad = np.flatnonzero(same & (step == 0))
    if len(bad):
        at = by_symbol[bad[0]]
        raise InvalidBarsError(
            f"two bars of {names[codes[at]]} on {dates[rows[at]]}; keep one a day "
            "(intraday bars: features.daily_bars)"
        )


def _check_numbers(
    numbers: NDArray[np.float64],
    codes: NDArray[np.intp],
    days: NDArray[np.datetime64],
    names: pd.Index,
) -> None:
    """Refuse what no market prints; columns of `numbers` are in the order of FIELDS."""
    price = numbers[:, :4]
    volume = numbers[:, 4]
    high, low = numbers[:, 1], numbers[:, 2]
    slack = _ROUNDING * high
    bad = {
        "a price that is not positive and finite": ~((price > 0) & np.isfinite(price)).all(axis=1),
        "a volume that is negative or infinite": ~((volume >= 0) & np.isfinite(volume)),
        "a high below the other prices": price.max(axis=1) > high + slack,
        "a low above the other prices": price.min(axis=1) < low - slack,
    }
    for what, wrong in bad.items():
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            shown = ", ".join(f"{f} {v:g}" for f, v in zip(FIELDS, numbers[at], strict=True))
            raise InvalidBarsError(
                f"{names[codes[at]]} on {days[at]} has {what} ({shown}); "
                f"mend or drop the {int(wrong.sum())} such rows"
            )
