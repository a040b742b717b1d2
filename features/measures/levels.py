"""Support and resistance from pivots, the recent turning points of the price."""

from __future__ import annotations

import numpy as np

from features.measures.blocks import Block
from features.measures.windows import Array, highest, lag, lowest

# A pivot is the extreme of the 5 bars on either side, hence known 5 bars late.
PIVOT_SPAN = 5
# Bars for which a pivot counts as a level: about half a year.
LEVEL_AGE = 120


def pivots(b: Block, n_rows: int) -> tuple[Array, Array]:
    """Return the prices of pivot highs and lows at the bar that confirms them, NaN elsewhere.

    Returns
    -------
    highs, lows : ndarray, shape (n_rows, n)
        For the last `n_rows` bars; the pivot itself lies `PIVOT_SPAN` bars earlier.
    """
    window = 2 * PIVOT_SPAN + 1
    top, bottom = lag(b.high, PIVOT_SPAN, n_rows), lag(b.low, PIVOT_SPAN, n_rows)
    highs = np.where(top == highest(b.high, window, n_rows), top, np.nan)
    lows = np.where(bottom == lowest(b.low, window, n_rows), bottom, np.nan)
    return highs, lows


def nearest_levels(b: Block) -> tuple[Array, Array]:
    """Return the nearest pivot below (or at) the close and the nearest above it, shape (m, n).

    A broken resistance serves as support and the other way round, so pivots of both kinds
    count. Without a pivot on a side the level is infinitely far; NaN is left for symbols with
    fewer bars than a pivot can be searched in.
    """
    m = b.m
    n_rows = m + LEVEL_AGE - 1
    close = lag(b.close, 0, m)
    support, resistance = np.full_like(close, -np.inf), np.full_like(close, np.inf)
    for prices in pivots(b, n_rows):
        for day in range(m):
            price = prices[day : day + LEVEL_AGE]
            is_below = price <= close[day]  # neither, where NaN says that there is no pivot
            below = np.where(is_below, price, -np.inf).max(axis=0)
            above = np.where(price > close[day], price, np.inf).min(axis=0)
            np.maximum(support[day], below, out=support[day])
            np.minimum(resistance[day], above, out=resistance[day])
    known = ~np.isnan(lag(b.close, LEVEL_AGE // 2, m))
    return np.where(known, support, np.nan), np.where(known, resistance, np.nan)
