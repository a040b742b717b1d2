"""A small log that sweeps and searches replay in a second."""

from __future__ import annotations

from scanner_adapter.demo.simulator import simulated_log
from scanner_adapter.replay import ReplayLog


def small_log(n_symbols: int = 20, n_days: int = 100) -> ReplayLog:
    """Rated days of a simulated market; a hit is one of the top 10 % by technical rating."""
    return simulated_log(n_symbols, n_days, share=0.10)
