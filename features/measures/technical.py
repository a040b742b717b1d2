"""Technical sub-scores: indicators, their agreement, support and resistance, candles.

Returns z-values as `market` does. Signed ones are positive when they point up, so that the
learner can turn them for a scanner that looks for reversals.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from features.measures.blocks import Block
from features.measures.candles import candle_balance
from features.measures.levels import nearest_levels
from features.measures.patterns import pattern_completion
from features.measures.windows import Array, deviation, lag, mean


def technical_measures(block: Block) -> dict[str, Array]:
    """Return the z-value of every technical sub-score by name, each of shape (m, n)."""
    return {**_oscillators(block), **_bands(block), **_levels(block)}


def _oscillators(b: Block) -> dict[str, Array]:
    m, found = b.m, b.indicators
    atr = b.atr
    moved = np.isfinite(atr)  # on constant prices TA-Lib returns 0, which would read as oversold

    def known(x: Array) -> Array:
        return np.where(moved, x, np.nan)

    rsi = lag(found.rsi, 0, m)
    histogram = lag(found.macd_histogram, 0, m)
    stochastic = known((lag(found.stochastic, 0, m) - 52.0) / 28.0)
    macd = known(histogram / (0.25 * atr))
    return {
        "technical.rsi": known((rsi - 51.0) / 12.0),
        "technical.macd": macd,
        "technical.trend_long": (lag(found.ema_50, 0, m) - lag(found.ema_200, 0, m)) / (4.0 * atr),
        "technical.convergence": _convergence(b, stochastic, macd) / 0.5,
    }


def _convergence(b: Block, stochastic: Array, macd: Array) -> Array:
    """Return how far the indicators agree, -1 (all point down) to about 1, shape (m, n).

    One vote for each kind of evidence (oscillators, MACD, moving averages, directional movement),
    so that two oscillators that say the same do not outvote the trend. The RSI has a sub-score of
    its own, and with it here the two would agree to 0.95. Indices without volume vote without
    the money flow; the 200-day average has no vote, since young symbols lack it.
    """
    m, found = b.m, b.indicators
    traded = mean(b.volume, 14, m) > 0
    flow = np.where(traded, (lag(found.money_flow, 0, m) - 52.0) / 17.0, stochastic)
    direction = (lag(found.plus_di, 0, m) - lag(found.minus_di, 0, m)) / 13.0
    trend = (lag(found.ema_20, 0, m) - lag(found.ema_50, 0, m)) / (1.3 * b.atr)
    oscillation = (np.tanh(stochastic) + np.tanh(flow)) / 2.0
    strength = np.minimum(lag(found.adx, 0, m) / 25.0, 1.5)  # direction counts in a trend
    votes = oscillation + np.tanh(1.5 * macd) + np.tanh(1.5 * trend)
    return np.asarray((votes + strength * np.tanh(direction)) / 4.0)


def _bands(b: Block) -> dict[str, Array]:
    m = b.m
    # Bollinger (20, 2) against Keltner (20, 1.5 ATR): below zero, the first lie inside.
    width = np.log(2.0 * deviation(b.close, 20, m) / (1.5 * mean(b.true_range, 20, m)))
    return {"technical.squeeze": (0.15 - np.where(np.isfinite(width), width, np.nan)) / 0.35}


def _levels(b: Block) -> dict[str, Array]:
    m = b.m
    close = lag(b.close, 0, m)
    support, resistance = nearest_levels(b)
    below, above = (close - support) / b.atr, (resistance - close) / b.atr
    return {
        "technical.support": (np.log(below + 0.1) + 0.1) / 1.0,
        "technical.resistance": (np.log(above + 0.1) + 0.1) / 1.0,
        # TA-Lib sees patterns in bars without a range too
        "technical.candles": np.where(np.isnan(b.atr), np.nan, candle_balance(b)),
        "technical.pattern_completion": (ndtri(pattern_completion(b)) + 0.3) / 0.7,
    }
