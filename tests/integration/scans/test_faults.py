"""The guarantees of docs/explanation/state.md on real processes; 200 kills: `benchmarks.faults`."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from servers import redis_binary

from benchmarks import faults

# Processes are forked while pytest runs no other thread; newer Pythons warn of threads in general.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    redis_binary()  # skips, or fails in CI, where there is none
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def test_a_killed_server_loses_nothing() -> None:
    row = faults.kill_server(10, seed=1)
    assert row.n_faults == 10
    assert row.n_outcomes >= 400
    assert (row.n_lost, row.n_twice, row.is_equal) == (0, 0, True), row


def test_a_killed_scanner_goes_on_where_it_was() -> None:
    row = faults.kill_scanner(10, seed=1)
    assert row.n_outcomes >= 100
    assert (row.n_lost, row.n_twice, row.n_again, row.is_equal) == (0, 0, 0, True), row


def test_killed_workers_are_replaced() -> None:
    row = faults.kill_workers(4, n=1000, seed=1)
    assert row.n_outcomes <= 1000
    assert (row.n_lost, row.n_twice, row.n_again, row.is_equal) == (0, 0, 0, True), row
    assert row.note.startswith("1000 of 1000 scanned")


def test_rulesets_and_scans_at_once_do_not_disturb_one_another() -> None:
    row = faults.scan_beside(3)
    assert row.n_outcomes == 2 * 6 * 300
    assert (row.n_lost, row.n_twice, row.is_equal) == (0, 0, True), row


def test_a_second_outcome_would_show() -> None:
    """The verification itself: a wrong rating in the journal is counted."""
    store = faults.SqliteStore()
    worth = faults._worth(0, 5)
    for scan_id, rating in (("day0", worth[3]), ("day1", worth[3])):  # day1 has other ratings
        store.append_report(
            faults.RULES, scan_id, arms=["S3"], header={}, arrays={"rating": [rating]}
        )
    counts, n_wrong = faults._journaled(store, 5)
    assert counts == {("day0", "S3"): 1, ("day1", "S3"): 1}
    assert n_wrong == 1
