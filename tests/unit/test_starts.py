"""A learner that runs away is seen: several starts and seeds, and one that is made to fail."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.starts import N_SCANS, SKIPPED, Run, behind, open_learner, run_start, starts_of
from scanner_adapter.replay import Order, bundled_log
from scanner_adapter.replay.logs.scans import Log, ReplayScan


class Runaway:
    """Learns the opposite from its third scan on."""

    def __init__(self, learner: Order) -> None:
        self.name, self._learner, self._n = learner.name, learner, 0

    def visit(self, scan: ReplayScan, n_visits: int) -> NDArray[np.intp]:
        self._n += 1
        visited = self._learner.visit(scan, n_visits)
        return visited if self._n < SKIPPED else visited[::-1]


def runs(learner, seeds: tuple[int, ...] = (0, 1, 2)) -> list[Run]:  # type: ignore[no-untyped-def]
    log = bundled_log()
    return [
        Run("bundled", "ratings", str(first), seed, *found)
        for first in starts_of(log, 3, 120, N_SCANS)
        for seed, found in run_start(log, first, seeds, n_scans=N_SCANS, learner=learner).items()
    ]


def test_no_start_falls_behind_last_rating_first() -> None:
    found = runs(open_learner)
    assert len(found) == 9
    assert len({run.found for run in found}) > 3, "seeds make a difference"
    assert not behind(found)


def test_one_runaway_among_the_seeds_is_named() -> None:
    def one_runs_away(log: Log, seed: int) -> Order:
        learner = open_learner(log, seed)
        return Runaway(learner) if seed == 1 else learner

    late = behind(runs(one_runs_away, seeds=(0, 1)))
    assert [run.seed for run in late] == [1, 1, 1]
    assert late[0].ahead == min(run.ahead for run in late) < -0.3
