"""Gaps to moving averages, and what the windows of 5 and 20 days lose and keep tomorrow.

A scanner that looks at a trend, a pullback or a crossing looks at such gaps; one that looks at a
window of days sees its oldest day leave tomorrow, whatever the market does. All are logs in units
of the symbol's own daily deviation, so that calm and wild symbols compare.
"""

from __future__ import annotations

import numpy as np

from features.measures.blocks import Block
from features.measures.windows import Array, deviation, highest, lag, mean

# Least daily deviation taken for real: below, a price does not move, and its gaps are noise.
_LEAST_DEVIATION = 1e-4

# Median and standard deviation of each measure, of US symbols from June 2015 to the end of 2018:
# `python -m benchmarks.features --fit-gaps` prints them.
CENTRE_AND_SPREAD: dict[str, tuple[float, float]] = {
    "technical.gap_20": (0.14, 2.59),
    "technical.gap_50": (0.32, 4.36),
    "technical.gap_20_50": (0.21, 2.75),
    "market.leaving_5": (0.00, 1.03),
    "market.leaving_20": (0.02, 1.04),
    "market.staying_5": (0.07, 2.08),
    "market.staying_20": (0.26, 4.51),
    "market.staying_high": (-2.86, 2.61),
}


def gap_measures(block: Block) -> dict[str, Array]:
    """Return the z-value of every gap by name, each of shape (m, n)."""
    return {
        name: (gap - CENTRE_AND_SPREAD[name][0]) / CENTRE_AND_SPREAD[name][1]
        for name, gap in raw_gaps(block).items()
    }


def raw_gaps(block: Block) -> dict[str, Array]:
    """Return every gap by name, in daily deviations of the last 20 returns; each (m, n)."""
    b, m = block, block.m
    daily = deviation(b.log_return, 20, m)
    daily = np.where(daily > _LEAST_DEVIATION, daily, np.nan)
    close = lag(b.log_close, 0, m)
    month, quarter = np.log(mean(b.close, 20, m)), np.log(mean(b.close, 50, m))
    gaps = {
        "technical.gap_20": close - month,
        "technical.gap_50": close - quarter,
        "technical.gap_20_50": month - quarter,
        # The oldest return of a window of 5 and of 20 returns: tomorrow's window is without it,
        "market.leaving_5": lag(b.log_return, 4, m),
        "market.leaving_20": lag(b.log_return, 19, m),
        # and starts with what these moves say.
        "market.staying_5": close - lag(b.log_close, 4, m),
        "market.staying_20": close - lag(b.log_close, 19, m),
        "market.staying_high": close - np.log(highest(b.high, 19, m)),
    }
    return {name: gap / daily for name, gap in gaps.items()}
