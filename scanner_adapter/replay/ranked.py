"""The live code, replayed: the same calls that a scanner makes, with the log as the scanner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.rewards import RewardRule
from scanner_adapter.ranker import SymbolRanker
from scanner_adapter.replay.scans import ReplayScan
from scanner_adapter.stop_rules import StopRule


@dataclass(frozen=True)
class Configuration:
    """How the ranker under test is opened.

    Attributes
    ----------
    name : str
        How reports call it.
    seed : int
        Same seed, same log: same batches, bit for bit.
    settings : mapping
        Further keyword arguments of `SymbolRanker.open`.
    """

    name: str = "scanrank"
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)

    def open(self, rule: RewardRule) -> SymbolRanker:
        """Open an empty ranker in memory."""
        return SymbolRanker.open(
            "memory://", ruleset="replay", seed=self.seed, rewards=rule, **self.settings
        )


class Ranked:
    """An order that comes out of `SymbolRanker`, batch by batch.

    Parameters
    ----------
    ranker : SymbolRanker
    name : str
    batch_size : int
        Symbols per batch; the last batch of a stopped scan is cut to fit.
    until : StopRule, optional
        Asked after every report, as `Scan.run` does.
    """

    def __init__(
        self,
        ranker: SymbolRanker,
        *,
        name: str = "scanrank",
        batch_size: int = 50,
        until: StopRule | None = None,
    ) -> None:
        self.ranker = ranker
        self.name = name
        self.batch_size = batch_size
        self.until = until

    def visit(self, scan: ReplayScan, n_visits: int) -> NDArray[np.intp]:
        """See `Order.visit`."""
        place = {symbol: i for i, symbol in enumerate(scan.symbols)}
        visited: list[int] = []
        with self.ranker.start_scan(
            scan.symbols,
            context=(scan.sub_score_names, scan.sub_scores),
            loadings=scan.loadings,
            now=scan.now,
        ) as live:
            while left := n_visits - len(visited):
                batch = live.next_batch(min(self.batch_size, left))
                if not batch:
                    raise RuntimeError(f"{self.name} lost {left} symbols of the scan {scan.now}")
                places = [place[symbol] for symbol in batch]
                live.report({symbol: scan.outcomes[place[symbol]] for symbol in batch})
                visited += places
                if self.until is not None and self.until.reason(live) is not None:
                    break
        return np.array(visited, dtype=np.intp)
