"""Market sub-scores: volume, momentum, breakouts, volatility; what the tape says.

Every function returns z-values of shape (m, n): zero is typical, one is a usual deviation, and
`factors` maps them to 0..100 by the normal distribution function. The constants of centre and
scale were read off the years 2015 to 2018 of a US universe; they set the spread of a score, never
the order of symbols on a day.
"""

from __future__ import annotations

import numpy as np

from features.measures.blocks import Block
from features.measures.windows import (
    Array,
    bars_since,
    highest,
    lag,
    lowest,
    mean,
    root_mean_square,
    total,
    trimmed_norm,
)

# Least deviation of log volume and least daily volatility taken for real; below, a symbol that
# hardly trades would turn every trade into a surprise.
_LEAST_VOLUME_DEVIATION = 0.1
_LEAST_VOLATILITY = 1e-4


def market_measures(block: Block) -> dict[str, Array]:
    """Return the z-value of every market sub-score by name, each of shape (m, n)."""
    return {**_volume(block), **_momentum(block), **_breakouts(block), **_volatility(block)}


def _volume(b: Block) -> dict[str, Array]:
    m = b.m
    log_volume = b.log_volume
    centre, deviation = trimmed_norm(log_volume[:-1], 20, m)
    deviation = np.maximum(deviation, _LEAST_VOLUME_DEVIATION)
    traded = total(b.volume, 21, m) > 0  # no volume at all (an index) is unknown
    month = np.log(mean(b.volume, 20, m))

    def known(x: Array) -> Array:
        return np.where(traded, x, np.nan)

    # Against the plain mean of the 20 days before, as scanners define "twice its normal volume".
    n_rows = m + 60
    surged = lag(b.volume, 0, n_rows) >= 2.0 * mean(b.volume[:-1], 20, n_rows)
    has_past = ~np.isnan(lag(b.volume, 60, m))
    age = np.where(has_past, bars_since(surged, 60, m), np.nan)
    dollars = np.log(mean(b.close * b.volume, 20, m))
    return {
        "market.volume_surge": known((lag(log_volume, 0, m) - centre) / (1.5 * deviation)),
        # How near the last days already are to what a surge is measured against.
        "market.volume_ready": known((mean(log_volume, 3, m) - month + 0.08) / 0.3),
        "market.volume_regime": known((mean(log_volume, 20, m) - mean(log_volume, 120, m)) / 0.3),
        "market.surge_age": known((2.9 - np.log1p(age)) / 0.9),
        "market.liquidity": np.where(np.isfinite(dollars), (dollars - 16.5) / 2.0, np.nan),
    }


def _momentum(b: Block) -> dict[str, Array]:
    m = b.m
    daily = root_mean_square(b.log_return, 60, m)
    daily = np.where(daily > _LEAST_VOLATILITY, daily, np.nan)
    level = b.log_close

    def move(n: int) -> Array:
        change: Array = lag(level, 0, m) - lag(level, n, m)
        change /= daily * np.sqrt(n)
        return change

    relative = (lag(level, 0, m) - lag(level, 120, m)) - (
        lag(b.market, 0, m) - lag(b.market, 120, m)
    )
    return {
        "market.move_today": move(1) / 1.2,
        "market.momentum_20": move(20) / 1.0,
        "market.relative_strength": relative / (daily * np.sqrt(120.0)),
    }


def _breakouts(b: Block) -> dict[str, Array]:
    m = b.m
    close, atr = lag(b.close, 0, m), b.atr
    ceiling = highest(b.high[:-1], 20, m)  # of the 20 days before
    floor = lowest(b.low[:-1], 20, m)
    year_high = highest(b.high, 250, m)
    return {
        "market.high_20": ((close - ceiling) / atr + 2.0) / 1.7,
        "market.high_250": (2.3 - np.log(0.3 + (year_high - close) / atr)) / 1.1,
        "market.range_width": (np.log((ceiling - floor) / atr) - 1.6) / 0.28,
    }


def _volatility(b: Block) -> dict[str, Array]:
    m = b.m
    close = lag(b.close, 0, m)
    true_range = b.true_range / b.close
    month, quarter = mean(true_range, 20, m), mean(true_range, 100, m)
    week = mean(true_range, 5, m)
    today = lag(true_range, 0, m)
    with_range = month > 0
    return {
        "market.volatility_level": (np.log(b.atr / close) + 3.75) / 0.55,
        "market.volatility_expansion": np.where(with_range, np.log(week / month) / 0.25, np.nan),
        "market.volatility_regime": np.where(with_range, np.log(month / quarter) / 0.25, np.nan),
        "market.range_today": np.where(
            with_range, (np.log(np.maximum(today / month, 0.05)) + 0.1) / 0.45, np.nan
        ),
    }
