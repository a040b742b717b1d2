"""Days of many scans: what counts as found in time, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from bandit.errors import InvalidInputError
from bandit.rewards import Threshold
from features.similarity import Loadings
from scanner_adapter.replay import ReplayScan
from scanner_adapter.replay.intraday import Spells, replay_intraday
from scanner_adapter.replay.logs.moments import DayLog
from scanner_adapter.replay.logs.scans import LoggedOutcomes
from scanner_adapter.replay.orders import InTurns

SYMBOLS = ("A", "B", "C", "D")
DAYS = np.array(["2024-03-04", "2024-03-05"], "datetime64[D]")
# Four scans of a day, ten minutes apart.
HITS = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 1], [1, 1, 0, 0]], bool)


def scan(day: np.datetime64, number: int) -> ReplayScan:
    rating = HITS[number].astype(float)
    none = Loadings((), np.empty((4, 0), np.float32))
    opens = datetime.fromisoformat(f"{day}T14:30").replace(tzinfo=UTC)
    return ReplayScan(
        opens + number * timedelta(minutes=10), SYMBOLS, np.arange(4), ("x",),
        np.zeros((4, 1), np.float32), none, rating, HITS[number],
        LoggedOutcomes(rating, np.full(4, -1, np.int8), (), {}),
    )  # fmt: skip


def scans_of(day: np.datetime64) -> Sequence[ReplayScan]:
    return [scan(day, number) for number in range(4)]


LOG = DayLog(DAYS, SYMBOLS, Threshold(0.5), scans_of)


class Fixed:
    """Looks at the same two symbols in every scan."""

    name = "fixed"

    def visit(self, scan: ReplayScan, n_visits: int) -> np.ndarray:
        return scan.places[1 : 1 + n_visits]


def test_hits_last_from_scan_to_scan() -> None:
    """A is a hit at 0, 1 and again at 3; B from 1 on, to the day's end; D at 2."""
    spells = Spells.of(HITS)
    assert spells.who.tolist() == [0, 0, 1, 3]
    assert spells.since.tolist() == [0, 3, 1, 2]
    assert spells.until.tolist() == [2, 4, 4, 3]


def test_a_hit_is_found_at_the_first_look_while_it_lasts() -> None:
    """A is looked at when it is over, then at once; B after two scans; D never."""
    is_seen = np.zeros((4, 4), bool)
    is_seen[[2, 3], 0] = is_seen[3, 1] = is_seen[1, 3] = True
    waits = Spells.of(HITS).minutes_to_found(is_seen, np.array([0.0, 10.0, 20.0, 30.0]))
    np.testing.assert_array_equal(waits, [np.nan, 0.0, 20.0, np.nan])


def test_round_robin_takes_turns_and_last_hits_come_first() -> None:
    """One look in each scan: A B C D; a hit when it was last looked at, A stays until it is not."""
    robin, first = InTurns(4), InTurns(4, hits_first=True)
    scans = scans_of(DAYS[0])
    assert [robin.visit(each, 1).tolist() for each in scans] == [[0], [1], [2], [3]]
    # A is a hit at 0 and 1 and none at 2; then the longest unseen, B.
    assert [first.visit(each, 1).tolist() for each in scans] == [[0], [0], [0], [1]]


def test_the_report_is_that_of_the_measured_days() -> None:
    """Two looks a scan at B and C find one of four hits, at once; A waits a day and 30 minutes."""
    report = replay_intraday(LOG, [Fixed(), InTurns(4)], budget=0.5, warmup=1)
    assert report.found("fixed").tolist() == [0.25]
    assert report.minutes("fixed") == 0.0
    assert report.oldest["fixed"] == timedelta(days=1, minutes=30)
    # Round robin sees A, B at 0 and 2, C, D at 1 and 3: A at once, then never; B after 10 minutes.
    assert report.found("round robin").tolist() == [0.5]
    assert report.minutes("round robin") == 5.0
    # A night passes between the looks at C and D: 24 h less the 20 minutes from scan 3 to 1.
    assert report.oldest["round robin"] == timedelta(hours=23, minutes=30)
    # A lasts 20 minutes and 10, B 30, D 10: the end of the day is one step after the last scan.
    assert sorted(report.lasted.tolist()) == [10.0, 10.0, 20.0, 30.0]
    assert (report.n_scans, report.n_symbols) == (4.0, 4.0)
    rows = report.rows
    assert [row["order"] for row in rows] == ["fixed", "round robin"]
    assert (rows[1]["found_while_they_last"], rows[1]["ahead"]) == (0.5, -0.25)


@pytest.mark.parametrize(
    ("budget", "warmup", "said"),
    [
        (0.1, 0, "less than one symbol"), (2.0, 0, "share"), (0.0, 0, "share"),
        (0.5, 2, "no day is left to measure"), (0.5, -1, "no day is left"),
    ],
)  # fmt: skip
def test_what_cannot_be_played_is_refused(budget: float, warmup: int, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        replay_intraday(LOG, [InTurns(4)], budget=budget, warmup=warmup)


def test_a_period_without_days_is_refused() -> None:
    assert LOG.between("2024-03-05", None).days.tolist() == DAYS[1:].tolist()
    with pytest.raises(InvalidInputError, match="no scan"):
        LOG.between("2025-01-01", None)
