"""A block of symbols, packed so that every window runs over a symbol's own bars.

Symbols are worked on a few hundred at a time: the arrays of a block stay in the processor's
cache, and the peak memory does not grow with the universe.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from features.inputs.bars import Bars
from features.inputs.calendars import Calendars, Market
from features.measures.indicators import Indicators, indicators
from features.measures.windows import Array, mean

# Bars before the first wanted row that some sub-score reads: the 250-day high, and a margin for
# windows of windows.
LOOKBACK = 280

# The same for TA-Lib's indicators, of which only the last few bars are looked at.
INDICATOR_LOOKBACK = 5

# Bars that say how much of a symbol is usually traded.
_USUAL_DAYS = 20

# Numbers in one array of a block: 2 MiB of float64, which the second-level cache about holds.
_BLOCK_SIZE = 1 << 18


@dataclass(frozen=True)
class Block:
    """The bars of some symbols, the last `m` rows of which are wanted.

    Every array has shape (m + LOOKBACK, n) and is packed to the end: a symbol's last bar is in
    the last row, the bar before in the row before, whatever days it missed; NaN stands only
    before its first bar.

    Parameters
    ----------
    columns : slice
        Which symbols of the universe these are.
    m : int
        Number of rows wanted.
    market : ndarray
        Log level of the median return of the symbol's calendar on the day of each bar.
    scale : ndarray, shape (n,)
        Power of two that brings a symbol's first close to between 1 and 2: exact, so that nothing
        depends on the size of prices where a library compares with a fixed number.
    rows : ndarray of intp, shape (n_days, n) or None
        Packed row of each wanted calendar day, -1 = no bar; None = the days themselves.
    """

    columns: slice
    m: int
    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array
    market: Array
    indicators: Indicators
    scale: Array
    rows: NDArray[np.intp] | None

    @cached_property
    def log_close(self) -> Array:
        """Natural logarithm of the close."""
        return np.log(self.close)

    @cached_property
    def log_volume(self) -> Array:
        """Natural logarithm of the shares; of none at all, of a 100,000th of a usual day's."""
        volume = self.volume
        if (volume == 0).any():
            usual = np.full_like(volume, np.nan)
            usual[_USUAL_DAYS - 1 :] = mean(volume, _USUAL_DAYS, len(volume) - _USUAL_DAYS + 1)
            volume = np.where(volume > 0, volume, np.where(usual > 0, 1e-5 * usual, np.nan))
        return np.log(volume)

    @cached_property
    def log_return(self) -> Array:
        """Change of the log close from the bar before; the first row is NaN."""
        change = np.full_like(self.close, np.nan)
        np.subtract(self.log_close[1:], self.log_close[:-1], out=change[1:])
        return change

    @cached_property
    def true_range(self) -> Array:
        """Wilder's true range, in currency; the first row is NaN."""
        before = self.close[:-1]
        full = np.full_like(self.close, np.nan)
        full[1:] = np.maximum(self.high[1:], before) - np.minimum(self.low[1:], before)
        return full

    @cached_property
    def atr(self) -> Array:
        """Average true range over 14 bars at the wanted rows, in currency; NaN where it is zero."""
        atr = self.indicators.atr[-self.m :]
        return np.where(atr > 0, atr, np.nan)

    def to_days(self, packed: Array) -> Array:
        """Return values of packed rows, shape (m, n), at their calendar days, NaN = no bar."""
        if self.rows is None:
            return packed
        found = np.take_along_axis(packed, np.maximum(self.rows, 0), axis=0)
        return np.where(self.rows >= 0, found, np.nan)


def blocks(bars: Bars, n_days: int, market: Market | None = None) -> Iterator[Block]:
    """Yield the universe in blocks, with the last `n_days` calendar days wanted.

    Parameters
    ----------
    market : Market, optional
        Of all days of the bars; that of these bars by default.
    """
    if market is None:
        market = Calendars.of(bars.symbols, bars.dates, bars.mask).market(bars.close)
    height = min(len(bars.dates), n_days + LOOKBACK) + LOOKBACK
    width = max(32, _BLOCK_SIZE // height)
    for start in range(0, len(bars.symbols), width):
        yield _block(bars, slice(start, min(start + width, len(bars.symbols))), n_days, market)


def _block(bars: Bars, columns: slice, n_days: int, market: Market) -> Block:
    fields = [getattr(bars, f)[:, columns] for f in ("open", "high", "low", "close", "volume")]
    mask = ~np.isnan(fields[3])
    level = market.of(columns)
    rows: NDArray[np.intp] | None = None
    m = n_days
    # Packed already: once a symbol has a bar it has one on every later day.
    if market.last_own is not None or not (mask[1:] >= mask[:-1]).all():
        order = np.argsort(mask, axis=0, kind="stable")  # days without a bar first
        fields = [np.take_along_axis(field, order, axis=0) for field in fields]
        level = np.take_along_axis(level, order, axis=0)
        level = np.where(np.isnan(fields[3]), np.nan, level)
        ahead = mask[::-1].cumsum(axis=0)[::-1]  # own bars on this day and later
        wanted, is_bar = ahead[-n_days:], mask[-n_days:]
        if market.last_own is not None:
            # A day that is none of the symbol's calendar shows what its last own day showed.
            last = market.last_own[market.groups[columns]].T[-n_days:]
            before = np.maximum(last, 0)
            wanted = np.where(is_bar, wanted, np.take_along_axis(ahead, before, axis=0))
            is_bar = is_bar | (np.take_along_axis(mask, before, axis=0) & (last >= 0))
        m = int(wanted[is_bar].max(initial=1))
        rows = np.where(is_bar, m - wanted, -1)
    tall = [np.ascontiguousarray(field.T) for field in fields[1:]]  # rows of symbols for TA-Lib
    height = m + LOOKBACK
    open_, high, low, close, volume, index = (
        _last_rows(field, height) for field in (*fields, level)
    )
    first = tall[2][np.arange(len(mask.T)), np.isnan(tall[2]).argmin(axis=1)]
    scale = np.exp2(-np.floor(np.log2(np.where(np.isnan(first), 1.0, first))))
    found = indicators(*tall, height=m + INDICATOR_LOOKBACK, scale=scale)
    return Block(columns, m, open_, high, low, close, volume, index, found, scale, rows)


def _last_rows(x: Array, height: int) -> Array:
    if len(x) >= height:
        return x[-height:]
    return np.concatenate([np.full((height - len(x), x.shape[1]), np.nan), x])
