"""Technical sub-scores: indicators, their agreement, support and resistance, candles.

Returns z-values as `market` does. Signed ones are positive when they point up, so that the
learner can turn them for a scanner that looks for reversals.
"""

from __future__ import annotations

import numpy as np

from features.blocks import Block
from features.candles import candle_balance
from features.levels import nearest_levels
from features.windows import Array, deviation, lag, mean


def technical_measures(block: Block) -> dict[str, Array]:
    """Return the z-value of every technical sub-score by name, each of shape (m, n)."""
    return {**_oscillators(block), **_bands(block), **_levels(block)}


def _oscillators(b: Block) -> dict[str, Array]:
    m, found = b.m, b.indicators
    atr = b.atr
    moved = np.isfinite(atr)  # on constant prices TA-Lib returns 0, which would read as oversold

    def known(x: Array) -> Array:
        return np.where(moved, x, np.nan)

    close = lag(b.close, 0, m)
    rsi = lag(found.rsi, 0, m)
    traded = mean(b.volume, 14, m) > 0
    direction = lag(found.plus_di, 0, m) - lag(found.minus_di, 0, m)
    signed = {
        "technical.rsi": known((rsi - 51.0) / 12.0),
        "technical.macd": known(lag(found.macd_histogram, 0, m) / (0.25 * atr)),
        "technical.stochastic": known((lag(found.stochastic, 0, m) - 52.0) / 28.0),
        "technical.direction": known(direction / 13.0),
        "technical.money_flow": np.where(
            traded, known((lag(found.money_flow, 0, m) - 52.0) / 17.0), np.nan
        ),
        "technical.trend": (lag(found.ema_20, 0, m) - lag(found.ema_50, 0, m)) / (1.3 * atr),
        "technical.trend_long": (lag(found.ema_50, 0, m) - lag(found.ema_200, 0, m)) / (4.0 * atr),
        "technical.stretch": (close - lag(found.ema_20, 0, m)) / (1.3 * atr),
    }
    # Agreement: the mean of the signs, smoothed. EMA 200 is left out, so that a symbol with
    # 60 bars has a value too.
    voters = [z for name, z in signed.items() if name != "technical.trend_long"]
    agreement = sum((np.tanh(2.0 * z) for z in voters), np.zeros_like(close)) / len(voters)
    return {
        **signed,
        "technical.rsi_turn": known((rsi - lag(found.rsi, 3, m)) / 8.0),
        "technical.macd_turn": known(
            (lag(found.macd_histogram, 0, m) - lag(found.macd_histogram, 3, m)) / (0.2 * atr)
        ),
        "technical.trend_strength": known((np.log(lag(found.adx, 0, m)) - 3.05) / 0.4),
        "technical.convergence": agreement / 0.6,
    }


def _bands(b: Block) -> dict[str, Array]:
    m = b.m
    # Bollinger (20, 2) against Keltner (20, 1.5 ATR): below zero, the first lie inside.
    spread = deviation(b.close, 20, m + 9)
    width = np.log(2.0 * spread / (1.5 * mean(b.true_range, 20, m + 9)))
    width = np.where(np.isfinite(width), width, np.nan)
    return {
        "technical.squeeze": (0.15 - width[-m:]) / 0.35,
        "technical.squeeze_recent": (0.15 - mean(width, 10, m)) / 0.3,
    }


def _levels(b: Block) -> dict[str, Array]:
    m = b.m
    close = lag(b.close, 0, m)
    support, resistance = nearest_levels(b)
    below, above = (close - support) / b.atr, (resistance - close) / b.atr
    return {
        "technical.support": (np.log(below + 0.1) + 0.1) / 1.0,
        "technical.resistance": (np.log(above + 0.1) + 0.1) / 1.0,
        "technical.candles": candle_balance(b) / 1.0,
    }
