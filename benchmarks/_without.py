"""scanrank with one of its parts switched off, or without bars, as replay orders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bandit.belief.cells import CellWeights
from bandit.belief.expansion import Expansion
from features.similarity import Loadings
from scanner_adapter.replay import Configuration, Order, Ranked, ReplayLog
from scanner_adapter.replay.logs.scans import ReplayScan
from scanner_adapter.symbol_ranker import SymbolRanker

PREFIX = "without "  # of the names of these orders


class WithoutCells(Ranked):
    """No steps: cells forget everything before each scan."""

    def visit(self, scan: ReplayScan, n_visits: int) -> NDArray[np.intp]:
        """See `Order.visit`."""
        ranker = self.ranker.learned.belief
        ranker.cells = CellWeights.empty(ranker.layout.n_cells)
        return super().visit(scan, n_visits)


class WithoutBars(Ranked):
    """Nothing is known of the market: history and the scanner's own numbers rank."""

    def visit(self, scan: ReplayScan, n_visits: int) -> NDArray[np.intp]:
        """See `Order.visit`."""
        nothing = np.empty((len(scan.symbols), 0), np.float32)
        bare = replace(scan, sub_score_names=(), sub_scores=nothing, loadings=Loadings((), nothing))
        return super().visit(bare, n_visits)


def _without_hinges(log: ReplayLog, seed: int) -> SymbolRanker:
    """Leave sub-scores straight; products stay."""
    opened = Configuration(seed=seed).open(log.rule, keeps_journal=False)
    # Nobody needs this as a setting, so it is none; the belief is still empty here.
    opened.learned.belief._expansion_of = partial(Expansion, upper=(), lower=())
    return opened


def _with_settings(**settings: object) -> Callable[[ReplayLog, int], SymbolRanker]:
    def open_(log: ReplayLog, seed: int) -> SymbolRanker:
        return Configuration(seed=seed, settings=settings).open(log.rule, keeps_journal=False)

    return open_


_OPEN = {
    "similarity": _with_settings(similarity=False),
    "hinges": _without_hinges,
    "cells": _with_settings(),
    "products": _with_settings(products=False),
    "random share": _with_settings(random_share=0.0),
    "bars": _with_settings(),
}
WITHOUT = tuple(PREFIX + part for part in _OPEN)


def open_order(name: str, log: ReplayLog, seed: int, batch_size: int) -> Order:
    """Open one of `WITHOUT`, knowing nothing."""
    part = name.removeprefix(PREFIX)
    kind = {"cells": WithoutCells, "bars": WithoutBars}.get(part, Ranked)
    return kind(_OPEN[part](log, seed), name=name, batch_size=batch_size)
