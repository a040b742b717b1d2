"""One trial of `tune`: a replay of the first half, given up as soon as others did better.

Successive halving: after an eighth, a quarter and half of the measured scans a trial goes on only
if it belongs to the better half of all that came so far. Every trial sees the same scans in the
same order, so that two trials are compared on the same days, easy or hard.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.evaluation.metrics import recall_at
from scanner_adapter.replay.logs.scans import ReplayScan
from scanner_adapter.replay.orders import Order
from scanner_adapter.replay.ranked import Configuration, Ranked
from scanner_adapter.replay.run import replay
from scanner_adapter.replay.tuning.sweep import SharedLog
from scanner_adapter.settings import Settings

# What is maximised: the mean of the recall after these shares of the universe.
SHARES = (0.10, 0.25)
RUNGS = (0.125, 0.25, 0.5)  # of the measured scans


@dataclass(frozen=True)
class TrialOutcome:
    """What came of a trial.

    Attributes
    ----------
    reports : tuple of (int, float)
        Mean score so far after this many measured scans: at each rung that was reached.
    score : float
        Mean score of all that was measured.
    is_pruned : bool
        Whether it was given up.
    """

    reports: tuple[tuple[int, float], ...]
    score: float
    is_pruned: bool


def score_of(hits: NDArray[np.bool_], visited: NDArray[np.intp]) -> float:
    """Score one scan: the mean recall after `SHARES` of the universe, NaN without hits.

    Parameters
    ----------
    hits : ndarray of bool, shape (n,)
    visited : ndarray of int, shape (n_visits,)
        Places in `hits`, in the order of the visits.

    Examples
    --------
    >>> hits = np.array([True, False, False, False, True, False, False, False, False, False])
    >>> score_of(hits, np.array([4, 1, 2, 0, 3]))  # 1 of 2 in the first place, and in the first 3
    0.5
    """
    n, n_hits = len(hits), int(hits.sum())
    recalls = [recall_at(hits[visited], s, n_universe=n, n_hits=n_hits) for s in SHARES]
    return float(np.mean(recalls))


def rungs(n_measured: int) -> tuple[int, ...]:
    """Return after how many measured scans a trial is compared with the others.

    Examples
    --------
    >>> rungs(560)
    (70, 140, 280)
    """
    return tuple(sorted({max(math.ceil(share * n_measured), 1) for share in RUNGS}))


def is_promising(score: float, others: Sequence[float]) -> bool:
    """Tell whether a trial belongs to the better half of those that came to its rung.

    References
    ----------
    L. Li, K. Jamieson, A. Rostamizadeh, E. Gonina, J. Ben-tzur, M. Hardt, B. Recht, A. Talwalkar
    (2020). A system for massively parallel hyperparameter tuning. MLSys (asynchronous successive
    halving, here with a reduction factor of 2).

    Examples
    --------
    >>> is_promising(0.8, [0.7, 0.9, 0.6]), is_promising(0.7, [0.8, 0.9, 0.6])
    (True, False)
    """
    better_half = max((len(others) + 1) // 2, 1)
    return sum(other > score for other in others) < better_half


def run_trial(
    shared: SharedLog,
    settings: Settings,
    seed: int,
    standing: Mapping[int, Sequence[float]],
    conditions: Mapping[str, Any],
) -> TrialOutcome:
    """Replay under these settings until the end, or until a rung is missed.

    Parameters
    ----------
    standing : mapping of int to sequence of float
        The rungs, and at each the scores of earlier trials.
    conditions : mapping
        Of the replay, its warm-up included.
    """
    log = shared.log
    configuration = Configuration(seed=seed, settings=settings.arguments())
    ranker = configuration.open(log.rule, keeps_journal=False)
    ranked = Ranked(ranker, batch_size=settings.batch_size)
    judged = _Judged(ranked, standing, int(conditions["warmup"]))
    try:
        replay(log, orders=[judged], batch_size=settings.batch_size, **conditions)
        is_pruned = False
    except _GivenUpError:
        is_pruned = True
    return TrialOutcome(tuple(judged.reports), judged.mean, is_pruned)


class _GivenUpError(Exception):
    """The trial missed a rung."""


@dataclass
class _Judged:
    """An order that keeps its score, and gives up where others did better."""

    order: Order
    standing: Mapping[int, Sequence[float]]
    warmup: int
    name: str = "trial"
    scores: list[float] = field(default_factory=list)
    reports: list[tuple[int, float]] = field(default_factory=list)
    _n_seen: int = 0

    @property
    def mean(self) -> float:
        known = [score for score in self.scores if not math.isnan(score)]
        return float(np.mean(known)) if known else math.nan

    def visit(self, scan: ReplayScan, n_visits: int) -> NDArray[np.intp]:
        """See `Order.visit`."""
        visited = self.order.visit(scan, n_visits)
        self._n_seen += 1
        if self._n_seen <= self.warmup:
            return visited
        self.scores.append(score_of(scan.hits, visited))
        n = len(self.scores)
        if n in self.standing and not math.isnan(self.mean):
            self.reports.append((n, self.mean))
            if not is_promising(self.mean, self.standing[n]):
                raise _GivenUpError
        return visited
