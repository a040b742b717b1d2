"""A small log that sweeps and searches replay in a second."""

from __future__ import annotations

import numpy as np

from bandit.rewards import TopShare
from features.inputs.bars import Bars
from scanner_adapter.demo.simulator import simulate
from scanner_adapter.replay import ReplayLog
from scanner_adapter.replay.logs.contexts import Contexts
from scanner_adapter.replay.logs.outcome_log import OutcomeLog
from scanner_adapter.scanners.registry import rule_hits


def small_log(n_symbols: int = 20, n_days: int = 100) -> ReplayLog:
    """Rated days of a simulated market; a hit is one of the top 10 % by technical rating."""
    market = simulate(n_symbols=n_symbols, n_days=n_days, seed=3)
    bars = Bars.from_frame(market.bars)
    _, rating = rule_hits("technical_rating", bars)
    outcomes = OutcomeLog(bars.dates, bars.symbols, rating, np.full(rating.shape, -1, np.int8))
    contexts = Contexts.compute(bars, sectors=market.sectors, cached=False)
    return ReplayLog(outcomes, contexts, TopShare(0.10))
