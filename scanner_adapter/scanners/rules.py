"""The rules of the built-in reference scanners, each over all days of one symbol at once.

A rule takes a `Series` and returns columns of shape (n_days,): `rating` (higher is better),
`is_hit` (the rule fires) and further numeric columns. It is causal: a day's value uses that day's
bar and earlier ones only, so that computing a whole history at once and computing each day alone
agree bit for bit (tested). The definitions are the textbook ones; where TA-Lib has an indicator,
TA-Lib computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import talib
from numpy.typing import NDArray
from scipy.special import expit

Column = NDArray[np.float64] | NDArray[np.bool_]

# Days of the price channel, the bands and the volume mean in every rule: a month of trading, as in
# the textbooks.
DAYS = 20
# An ATR below this share of the price counts as this share: a symbol that does not trade must not
# divide by zero.
LEAST_ATR_SHARE = 1e-4


@dataclass(frozen=True)
class Series:
    """The bars of one symbol, oldest first; every array float64 of shape (n_days,), without NaN."""

    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]


@dataclass(frozen=True)
class Rule:
    """One rule: what it computes and how many bars it needs before its values mean anything."""

    columns: Callable[[Series], dict[str, Column]]
    min_bars: int


def _before(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return yesterday's value on each day (NaN on the first)."""
    shifted = np.full_like(values, np.nan)
    shifted[1:] = values[:-1]
    return shifted


def _atr(bars: Series, days: int) -> NDArray[np.float64]:
    atr = talib.ATR(bars.high, bars.low, bars.close, timeperiod=days)
    return np.maximum(atr, LEAST_ATR_SHARE * bars.close)


def _volume_ratio(volume: NDArray[np.float64]) -> NDArray[np.float64]:
    """Volume over its mean of the 20 days before; 0 where nothing was traded in them."""
    mean = _before(talib.SMA(volume, timeperiod=DAYS))
    ratio = np.divide(volume, mean, out=np.zeros_like(volume), where=mean > 0)
    return np.where(np.isnan(mean), np.nan, ratio)


def _breakout(bars: Series) -> dict[str, Column]:
    """Close above the highest high of the 20 days before, on at least 1.5 times their mean volume.

    Rating: the close's height above that high in ATR(14).
    """
    prior_high = _before(talib.MAX(bars.high, timeperiod=DAYS))
    height = (bars.close - prior_high) / _atr(bars, 14)
    volume_ratio = _volume_ratio(bars.volume)
    is_hit = (bars.close > prior_high) & (volume_ratio >= 1.5)
    alpha = height * np.log2(1.0 + volume_ratio)
    return {"rating": height, "is_hit": is_hit, "alpha": alpha, "volume_ratio": volume_ratio}


def _reversal(bars: Series) -> dict[str, Column]:
    """RSI(14) below 30 and rising: oversold and turning up (Wilder 1978).

    Rating: 100 - RSI, how far the symbol is oversold; `percent_b` says where it stands in its
    Bollinger bands (20, 2).
    """
    rsi = talib.RSI(bars.close, timeperiod=14)
    change = rsi - _before(rsi)
    upper, _, lower = talib.BBANDS(bars.close, timeperiod=DAYS, nbdevup=2.0, nbdevdn=2.0)
    width = np.maximum(upper - lower, LEAST_ATR_SHARE * bars.close)
    is_hit = (rsi < 30.0) & (change > 0.0)
    return {
        "rating": 100.0 - rsi,
        "is_hit": is_hit,
        "alpha": change,
        "rsi": rsi,
        "percent_b": (bars.close - lower) / width,
    }


def _volume_surge(bars: Series) -> dict[str, Column]:
    """Volume of at least twice its mean of the 20 days before.

    Rating: that ratio; alpha: the day's return in %.
    """
    volume_ratio = _volume_ratio(bars.volume)
    day_return = 100.0 * (bars.close / _before(bars.close) - 1.0)
    return {"rating": volume_ratio, "is_hit": volume_ratio >= 2.0, "alpha": day_return}


def _squeeze(bars: Series) -> dict[str, Column]:
    """Bollinger bands (20, 2) inside the Keltner channel (EMA 20, 1.5 ATR 20): quiet before a move.

    Rating: by how many percent the bands are narrower than the channel; alpha: momentum, the
    close's distance from the EMA in ATRs, which gives the direction (Carter 2012, "Mastering the
    Trade").
    """
    upper, _, lower = talib.BBANDS(bars.close, timeperiod=DAYS, nbdevup=2.0, nbdevdn=2.0)
    middle, atr = talib.EMA(bars.close, timeperiod=DAYS), _atr(bars, DAYS)
    is_hit = (upper < middle + 1.5 * atr) & (lower > middle - 1.5 * atr)
    narrower = 100.0 * (1.0 - (upper - lower) / (3.0 * atr))
    return {"rating": narrower, "is_hit": is_hit, "alpha": (bars.close - middle) / atr}


# Ratings of 76 and above are a Buy, of 25 and below an Avoid: the best 5 % and the worst 14 % of
# the symbol-days of 1,473 US stocks from 2015 to 2020 (the tests print the first with -s).
BUY_FROM, AVOID_TO = 76.0, 25.0


def _technical_rating(bars: Series) -> dict[str, Column]:
    """One rating from 0 to 100 out of trend, momentum, breakout and volume; a hit is a Buy.

    Each part is a logistic squash of distances in ATR(14), so that symbols of any price and
    volatility compare. Alpha is the 20-day log return over its own standard deviation (daily
    deviation times the root of 20).
    """
    close, atr = bars.close, _atr(bars, 14)
    fast, slow = talib.EMA(close, timeperiod=20), talib.EMA(close, timeperiod=50)
    trend = 0.5 * expit((fast - slow) / atr) + 0.5 * expit((close - slow) / (2.0 * atr))
    rsi = talib.RSI(close, timeperiod=14)
    _, _, histogram = talib.MACD(close)
    momentum = 0.5 * expit((rsi - 50.0) / 8.0) + 0.5 * expit(8.0 * histogram / atr)
    breakout = expit(2.0 * (close - _before(talib.MAX(bars.high, timeperiod=DAYS))) / atr + 1.0)
    day_return = np.log(close / _before(close))
    volume_ratio = _volume_ratio(bars.volume)
    volume = expit(np.sign(day_return) * 2.0 * np.log2(0.5 + 0.5 * volume_ratio))
    rating = 100.0 * (0.35 * trend + 0.30 * momentum + 0.20 * breakout + 0.15 * volume)
    # From the second day on: the first return is unknown, and TA-Lib's running sum would carry its
    # NaN along.
    deviation = np.full_like(close, np.nan)
    deviation[1:] = talib.STDDEV(day_return[1:], timeperiod=DAYS)
    growth = np.log(talib.ROCR(close, timeperiod=DAYS))
    alpha = growth / (np.maximum(deviation, LEAST_ATR_SHARE) * np.sqrt(DAYS))
    return {
        "rating": rating,
        "is_hit": rating >= BUY_FROM,
        "alpha": alpha,
        "trend": 100.0 * trend,
        "momentum": 100.0 * momentum,
        "breakout": 100.0 * breakout,
        "volume_score": 100.0 * volume,
        "rsi": rsi,
    }


RULES: Mapping[str, Rule] = {
    "breakout": Rule(_breakout, DAYS + 1),
    "reversal": Rule(_reversal, DAYS),
    "volume_surge": Rule(_volume_surge, DAYS + 1),
    "squeeze": Rule(_squeeze, DAYS + 1),
    "technical_rating": Rule(_technical_rating, 50),
}
