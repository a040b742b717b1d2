"""Chart patterns as barriers: how likely is the price to close above one within ten bars?

A pattern says where the barrier is. The probability of reaching it is a first-passage
probability: of a driftless random walk it would be 2 Phi(-x), x the distance in deviations of
the horizon's move (reflection principle). Prices jump, rest and trend, so the probit is instead
calibrated as a line in x and sqrt(x), per pattern; `benchmarks.calibration` measures how well.

- *range*: the highest high of 20 bars; always there.
- *triangle*: falling or level pivot highs over rising or level pivot lows; the upper line today.
- *double bottom*: two pivot lows within one ATR of each other; the pivot high between them.
- *flag*: a rise of four ATRs within ten bars, then a pause that gave back less than half of it;
  the top of the rise.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from features.measures.blocks import Block
from features.measures.levels import PIVOT_SPAN, pivots
from features.measures.windows import Array, highest, lag, lowest, mean

# Bars within which a pattern has to complete.
HORIZON = 10
# Bars within which a pivot belongs to a pattern: about a quarter.
_PATTERN_AGE = 60

# Coefficients of the probit of completion on 1, sqrt(x) and x, x being `barrier_distance`. Fitted
# on June 2015 to 2017 by `python -m benchmarks.features --fit-patterns`, on the bars and on their
# mirror image together: the rise of those years is then not taken for a law. With the bars alone,
# two deciles of 2018 to 2020 missed by more than 5 points; with both, none does.
CALIBRATION: dict[str, tuple[float, float, float]] = {
    "range": (1.157, -1.860, -0.554),
    "triangle": (1.143, -1.585, -0.888),
    "double bottom": (1.200, -2.002, -0.408),
    "flag": (1.245, -1.975, -0.591),
}


def pattern_barriers(b: Block) -> dict[str, Array]:
    """Return the price above which each pattern is complete, NaN = no such pattern; (m, n)."""
    m = b.m
    close, atr = lag(b.close, 0, m), b.atr
    tops, bottoms = pivots(b, m + _PATTERN_AGE - 1)
    high_1, high_1_age, high_2, high_2_age = _last_two(tops, m)
    low_1, low_1_age, low_2, low_2_age = _last_two(bottoms, m)

    # NaN in a comparison is False, so a missing pivot means no pattern.
    slope_up = (low_1 - low_2) / (low_2_age - low_1_age)
    slope_down = (high_1 - high_2) / (high_2_age - high_1_age)
    upper = high_1 + slope_down * high_1_age
    lower = low_1 + slope_up * low_1_age
    flat = 0.02 * atr  # a bar; less is level
    is_triangle = (slope_down <= flat) & (slope_up >= -flat) & (slope_up - slope_down > flat)
    is_triangle &= (lower < close) & (close < upper)

    between = np.where(
        (high_1_age > low_1_age) & (high_1_age < low_2_age),
        high_1,
        np.where((high_2_age > low_1_age) & (high_2_age < low_2_age), high_2, np.nan),
    )
    floor = np.minimum(low_1, low_2)
    is_double = (np.abs(low_1 - low_2) <= atr) & (low_2_age - low_1_age >= 2 * PIVOT_SPAN)
    is_double &= (between - floor >= 2.0 * atr) & (floor < close) & (close < between)

    return {
        "range": highest(b.high, 20, m),
        "triangle": np.where(is_triangle, upper, np.nan),
        "double bottom": np.where(is_double, between, np.nan),
        "flag": _flag_tops(b),
    }


def barrier_distance(b: Block, barrier: Array) -> Array:
    """Return the way to the barrier over the usual move of the horizon, (m, n); 0 = reached.

    The usual move of a bar is the mean true range of 20: it uses the whole bar, and predicts the
    outcome better than the deviation of closes of 20 or 60 bars does.
    """
    m = b.m
    usual = mean(b.true_range, 20, m) / lag(b.close, 0, m) * np.sqrt(HORIZON)
    way = np.maximum(np.log(barrier / lag(b.close, 0, m)), 0.0)
    return way / np.where(usual > 0, usual, np.nan)


def completion_probability(pattern: str, distance: Array) -> Array:
    """Return the calibrated probability of a close above the barrier within the horizon."""
    constant, near, far = CALIBRATION[pattern]
    return np.asarray(ndtr(constant + near * np.sqrt(distance) + far * distance), dtype=np.float64)


def pattern_completion(b: Block) -> Array:
    """Return the probability of the pattern of the block's symbols likeliest to complete, (m, n).

    Every symbol with 20 bars has a range, so that the probability is known there.
    """
    best = np.full((b.m, b.close.shape[1]), np.nan)
    for pattern, barrier in pattern_barriers(b).items():
        np.fmax(best, completion_probability(pattern, barrier_distance(b, barrier)), out=best)
    return best


def _last_two(prices: Array, m: int) -> tuple[Array, Array, Array, Array]:
    """Return price and age of the last pivot and of the one before; ages count to the pivot."""
    shape = (m, prices.shape[1])
    last, last_age = np.full(shape, np.nan), np.full(shape, np.nan)
    before, before_age = np.full(shape, np.nan), np.full(shape, np.nan)
    for age in range(_PATTERN_AGE - 1, -1, -1):
        price = lag(prices, age, m)
        found = ~np.isnan(price)
        np.copyto(before, last, where=found)
        np.copyto(before_age, last_age, where=found)
        np.copyto(last, price, where=found)
        last_age[found] = age + PIVOT_SPAN
    return last, last_age, before, before_age


def _flag_tops(b: Block) -> Array:
    """Return the top of a rise that pauses since three to ten bars, NaN = none."""
    m = b.m
    top = np.full((m, b.close.shape[1]), np.nan)
    close = lag(b.close, 0, m)
    for age in range(3, 11):
        peak = lag(b.high, age, m)
        base = lag(lowest(b.low, 10, m + age), age, m)
        rise = peak - base
        is_top = peak == highest(b.high, age + 10, m)
        is_flag = is_top & (rise >= 4.0 * b.atr) & (lowest(b.low, age, m) >= peak - 0.5 * rise)
        np.copyto(top, peak, where=is_flag & (close < peak))
    return top
