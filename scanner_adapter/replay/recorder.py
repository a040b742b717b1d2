"""What a replay notes of the ranker itself: its weights, and how well it knew what it had found.

Both are only looked at: asking changes nothing that is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bandit.choice.explain import GroupWeight
from scanner_adapter.replay.logs.scans import ReplayScan
from scanner_adapter.scan.scan import Scan

# Shares of the universe after which the recall estimate is compared with the truth.
CHECKED_AT = (0.05, 0.10, 0.15, 0.25, 0.50)
CONFIDENCE = 0.9
# Weights move slowly and take some milliseconds to ask for.
WEIGHTS_EVERY = 5


@dataclass(frozen=True, slots=True)
class Check:
    """One look at the recall estimate.

    Attributes
    ----------
    scan : int
        Number of the scan in the replay, from 0.
    scanned : float
        Share of the universe that was scanned.
    estimated, low, high : float
        Recall as the scan estimated it, and the bounds that are to hold with 90 % each.
    true : float
        Recall as it really was; hits are those of the whole scan, as the report counts them.
    """

    scan: int
    scanned: float
    estimated: float
    low: float
    high: float
    true: float


@dataclass
class Recorder:
    """Notes of one order over a replay.

    Attributes
    ----------
    weights : list of (int, mapping of factor to GroupWeight)
        After every fifth scan, by its number.
    checks : list of Check
    """

    weights: list[tuple[int, dict[str, GroupWeight]]] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    _n_scans: int = 0
    _due: list[float] = field(default_factory=list)

    def start(self) -> None:
        """A scan begins."""
        self._due = list(CHECKED_AT)

    def look(self, live: Scan, scan: ReplayScan) -> None:
        """A report is in."""
        n = len(scan.symbols)
        if not self._due or live.n_scanned < self._due[0] * n:
            return
        while self._due and live.n_scanned >= self._due[0] * n:
            self._due.pop(0)
        total = np.count_nonzero(scan.hits)
        if not total:
            return
        reported = live.outcomes.keys()
        found = sum(
            symbol in reported
            for symbol, hit in zip(scan.symbols, scan.hits.tolist(), strict=True)
            if hit
        )
        estimate = live.estimate(CONFIDENCE)
        self.checks.append(
            Check(
                self._n_scans, live.n_scanned / n,
                estimate.recall, estimate.recall_low, estimate.recall_high, found / total,
            )
        )  # fmt: skip

    def end(self, live: Scan) -> None:
        """Everything was reported."""
        if self._n_scans % WEIGHTS_EVERY == 0:
            self.weights.append((self._n_scans, live.factor_weights()))
        self._n_scans += 1
