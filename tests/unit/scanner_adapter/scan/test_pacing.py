"""The last batches of a shared scan, worked out by hand."""

from __future__ import annotations

from scanner_adapter.scan.pacing import Pacing


def reports(pace: Pacing, worker: str, times_ms: list[int], n: int) -> None:
    for ms in times_ms:
        pace.record(worker, f"{ms}-0", n)


def test_alone_every_batch_is_whole() -> None:
    pace = Pacing()
    reports(pace, "a", [1000, 2000], 25)
    assert pace.batch("a", 25, n_left=3) == 25


def test_while_much_is_left_every_batch_is_whole() -> None:
    pace = Pacing()
    for worker in "abcd":
        reports(pace, worker, [1000, 2000], 25)
    assert pace.batch("a", 25, n_left=1000) == 25


def test_the_last_batches_shrink_to_half_a_share_and_no_further_than_an_eighth() -> None:
    """4 alike, 155 left, 75 with the others: 80 free, half of a quarter of them is 10."""
    pace = Pacing()
    for worker in "abcd":
        reports(pace, worker, [1000, 2000], 25)
    assert pace.batch("a", 25, n_left=155) == 10
    assert pace.batch("a", 25, n_left=75) == 4
    assert pace.batch("a", 4, n_left=75) == 1


def test_a_slow_worker_takes_its_part_by_pace() -> None:
    """One report of 5 in 10 s beside 3 of 25 every second: 0.5 of 75.5 a second."""
    pace = Pacing()
    for worker in "abc":
        reports(pace, worker, [1000, 2000, 3000, 4000, 5000, 6000], 25)
    pace.record("slow", "11000-0", 5)
    for worker in "abc":
        reports(pace, worker, [10900, 11900], 25)
    # 1,075 left without the 75 of the others: half of 1,000 x 0.5 / 75.5 is 3.3 (the paces of the
    # quick ones span their pause, so that it is a little more)
    assert 4 <= pace.batch("slow", 25, n_left=1075) <= 8
    assert pace.batch("slow", 25, n_left=80) == 1


def test_what_was_noted_before_changes_nothing() -> None:
    pace = Pacing()
    for worker in "ab":
        reports(pace, worker, [1000, 2000], 25)
    before = pace.batch("a", 25, n_left=60)
    reports(pace, "b", [1000, 2000], 25)
    pace.record("b", "", 25)  # it waits in the spool
    assert pace.batch("a", 25, n_left=60) == before < 25


def test_a_worker_that_is_silent_for_long_counts_no_more() -> None:
    pace = Pacing()
    reports(pace, "gone", [1000, 2000], 25)
    reports(pace, "a", [1000, 2000, 3000, 4000, 5000, 6000, 7000], 25)
    assert pace.batch("a", 25, n_left=30) == 25
