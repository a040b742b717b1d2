"""Candlestick patterns of TA-Lib for a whole block in one call each."""

from __future__ import annotations

import inspect

import numpy as np
import talib

from features.measures.blocks import Block
from features.measures.windows import Array, lag

# Patterns of one to three bars that say a direction; TA-Lib returns +100 for up, -100 for down.
PATTERNS = (
    "CDLENGULFING",
    "CDLHARAMI",
    "CDLPIERCING",
    "CDLDARKCLOUDCOVER",
    "CDLMORNINGSTAR",
    "CDLEVENINGSTAR",
    "CDLHAMMER",
    "CDLHANGINGMAN",
    "CDLINVERTEDHAMMER",
    "CDLSHOOTINGSTAR",
    "CDL3INSIDE",
    "CDL3OUTSIDE",
    "CDL3WHITESOLDIERS",
    "CDL3BLACKCROWS",
    "CDLBELTHOLD",
    "CDLCLOSINGMARUBOZU",
)
_FUNCTIONS = tuple(inspect.unwrap(getattr(talib, name)) for name in PATTERNS)

# Weight of a pattern that was complete 0, 1, 2 bars ago.
_WEIGHTS = (1.0, 0.6, 0.3)
# Rows before a bar that a pattern and its averages read; TA-Lib's largest here is 13.
_CONTEXT = 20
# Prices, in units of about the first one, on a grid of 2^-30: sums over 15 bars are then exact up
# to a growth by 500,000, hence independent of where a series starts, and the series of all symbols
# can stand in one row.
_GRID = 2.0**30


def candle_balance(b: Block) -> Array:
    """Return bullish minus bearish patterns of the last three bars, weighted by age, (m, n)."""
    m = b.m
    height = m + len(_WEIGHTS) - 1 + _CONTEXT
    series = []
    for prices in (b.open, b.high, b.low, b.close):
        rows = np.round((prices[-height:] * b.scale).T * _GRID) / _GRID  # (n, height)
        series.append(np.where(np.isnan(rows), 1.0, rows).ravel())
    n = b.close.shape[1]
    found = np.zeros(series[0].shape, dtype=np.int32)
    for function in _FUNCTIONS:
        found += function(*series)
    # The first rows of a symbol read the symbol before it, or the filler before its first bar.
    signs = found.reshape(n, height).T / 100.0
    balance = np.zeros((m, n))
    for age, weight in enumerate(_WEIGHTS):
        balance += weight * lag(signs, age, m)
    known = ~np.isnan(lag(b.close, _CONTEXT + len(_WEIGHTS) - 1, m))
    return np.where(known, balance, np.nan)
