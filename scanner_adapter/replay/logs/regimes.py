"""What kind of market a scan met: calm or turbulent, rising or falling, as was known before it.

An order that only works in quiet markets is worth knowing about before a stormy one. The market
is the equal-weighted mean of the log's own universe; nothing after the day itself is looked at.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.inputs.bars import Bars

VOLATILITY_DAYS = 20  # a trading month: long enough to be stable, short enough to notice a storm
TREND_DAYS = 60  # a trading quarter
_WEEK = 7  # rows
LEAST_HISTORY = 120  # days of volatility before terciles mean anything

_TERCILES = ("low", "middle", "high")


class Regime(NamedTuple):
    """The market on one evening.

    Attributes
    ----------
    volatility : str
        "low", "middle" or "high": the tercile of the market's volatility over the last 20 days
        among all days so far; "unknown" while there are too few of them.
    trend : str
        "up" or "down": whether the market rose over the last 60 days; "unknown" before.
    """

    volatility: str
    trend: str


UNKNOWN = Regime("unknown", "unknown")


def market_regimes(bars: Bars) -> tuple[Regime, ...]:
    """Return the regime on the evening of each day of the bars, length n_days.

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.bdate_range("2020-01-01", periods=200).strftime("%Y-%m-%d")
    >>> price = 100 * 1.001 ** np.arange(200) * (1 + 0.01 * (np.arange(200) % 2))
    >>> price[190:] *= np.where(np.arange(10) % 2, 0.9, 1.0)
    >>> frame = pd.DataFrame({"date": days, "symbol": "A", "open": price, "high": price,
    ...     "low": price, "close": price, "volume": 1.0})
    >>> regimes = market_regimes(Bars.from_frame(frame))
    >>> regimes[50], regimes[199].volatility
    (Regime(volatility='unknown', trend='unknown'), 'high')
    """
    is_open = _is_open(bars.mask)
    market = market_returns(bars.close[is_open])
    n = len(market)
    volatility, trend = np.full(n, np.nan), np.full(n, np.nan)
    if n > VOLATILITY_DAYS:
        windows = np.lib.stride_tricks.sliding_window_view(market[1:], VOLATILITY_DAYS)
        volatility[VOLATILITY_DAYS:] = windows.std(axis=1)
    if n > TREND_DAYS:
        level = np.cumsum(market)
        trend[TREND_DAYS:] = level[TREND_DAYS:] - level[:-TREND_DAYS]
    regimes = [Regime(_tercile(volatility, day), _direction(float(trend[day]))) for day in range(n)]
    return tuple(regimes[row] for row in np.cumsum(is_open) - 1)


def _is_open(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Days on which at least half as many symbols traded as on the busiest of the week before.

    On the others, a weekend of a few coins or a foreign exchange, the market is as it was.
    """
    n_traded = mask.sum(axis=1)
    padded = np.concatenate([np.zeros(_WEEK - 1, n_traded.dtype), n_traded])
    busiest = np.lib.stride_tricks.sliding_window_view(padded, _WEEK).max(axis=1)
    return np.asarray(2 * n_traded >= busiest)


def market_returns(close: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean log return over the symbols on each day, shape (n_days,); 0 on the first."""
    returns = np.log(close[1:] / close[:-1])
    known = ~np.isnan(returns)
    total = np.where(known, returns, 0.0).sum(axis=1)
    return np.concatenate([[0.0], total / np.maximum(known.sum(axis=1), 1)])


def _tercile(volatility: NDArray[np.float64], day: int) -> str:
    past = volatility[: day + 1]
    past = past[~np.isnan(past)]
    if len(past) < LEAST_HISTORY:
        return "unknown"
    below = float((past < past[-1]).mean())
    return _TERCILES[min(int(3.0 * below), 2)]


def _direction(trend: float) -> str:
    return "unknown" if np.isnan(trend) else "up" if trend > 0 else "down"
