"""Worker processes on one scan, as `benchmarks.scale` measures them, small enough for every day.

Bounds leave room for a busy machine: `python -m benchmarks.scale` prints the figures themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import pytest
from servers import redis_binary

from benchmarks.scale import World, scan_shared

# Processes are forked while pytest runs no other thread; newer Pythons warn of threads in general.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

WORLD = World(600)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    redis_binary()  # skips, or fails in CI, where there is none
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def test_four_workers_are_much_faster_than_one_and_find_as_soon() -> None:
    one = scan_shared(WORLD, 1, cost_s=0.0, batch=10, day=4)
    four = scan_shared(WORLD, 4, cost_s=0.02, batch=10, day=4)
    assert (four.n_lost, four.n_again, four.is_equal) == (0, 0, True)
    assert four.wall_s < 2.0 * four.ideal_s, (four.wall_s, four.ideal_s)
    # 30 hits: one of them is 3.3 points.
    assert np.mean(four.curve) > np.mean(one.curve) - 0.05


def test_a_slow_worker_does_not_hold_the_rest() -> None:
    """One of four takes 0.2 s a symbol; with equal shares it alone would need 30 s."""
    run = scan_shared(WORLD, 4, cost_s=0.02, batch=10, day=1, slow_cost_s=0.2)
    assert (run.n_lost, run.n_again, run.is_equal) == (0, 0, True)
    assert run.ideal_s == pytest.approx(3.87, abs=0.01)
    assert run.wall_s < run.ideal_s + 5.0


@pytest.mark.slow
def test_killed_workers_lose_nothing() -> None:
    run = scan_shared(WORLD, 4, cost_s=0.02, batch=10, day=1, kill_every_s=0.8)
    assert run.n_killed >= 2
    assert (run.n_lost, run.is_equal) == (0, True)
