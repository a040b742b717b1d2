"""The parts of a scan, each alone: outcomes in columns, and the books of a universe."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from bandit.choice.draw import Choice
from scanner_adapter import Outcome
from scanner_adapter.errors import InvalidOutcomeError
from scanner_adapter.inputs.outcome_table import OutcomeTable, read_report
from scanner_adapter.ledger import Ledger
from scanner_adapter.replay.logs.scans import LoggedOutcomes


def batch(*places: int, random: int = 0) -> Choice:
    """The last `random` of these were drawn by the quota, each with probability 0.5."""
    k = len(places)
    is_random = np.arange(k) >= k - random
    return Choice(np.array(places, np.intp), is_random, np.where(is_random, 0.5, 1.0))


class TestOutcomeTable:
    def test_rows_of_different_columns_meet_in_one_table(self) -> None:
        """Names in order of first appearance; what a row lacks, or divides by zero, is NaN."""
        table = OutcomeTable.of(
            {
                "A": Outcome(1.0, "Long", columns={"rsi": 50.0}),
                "B": Outcome(2.0, alpha=3.0, columns={"ratio": math.inf}),
                "C": Outcome(9.0, "Long", columns={"rsi": 1.0}, error="no data"),
                "D": Outcome(signal="Avoid"),
            }
        )
        nan = math.nan
        assert table.names == ("rating", "rsi", "alpha", "ratio")
        np.testing.assert_array_equal(
            table.values,
            [[1, 50, nan, nan], [2, nan, 3, nan], [nan] * 4, [nan] * 4],
        )
        np.testing.assert_array_equal(table.rating, [1.0, 2.0, nan, nan])
        np.testing.assert_array_equal(table.is_signal, [1.0, 0.0, nan, 0.0])
        assert table.is_failed.tolist() == [False, False, True, False]
        assert table.outcome(2).error == "no data"

    def test_part_of_a_table_has_only_the_columns_of_that_part(self) -> None:
        outcomes = {"A": Outcome(1.0, columns={"x": 1.0}), "B": Outcome(2.0, columns={"y": 2.0})}
        part = OutcomeTable.of(outcomes).take(np.array([1]))
        assert (part.symbols, part.names, part.values.tolist()) == (
            ("B",),
            ("rating", "y"),
            [[2, 2]],
        )

    def test_of_a_symbol_that_stands_twice_in_a_frame_the_last_row_counts(self) -> None:
        frame = pd.DataFrame({"symbol": ["A", "B", "A"], "rating": [1.0, 2.0, 3.0]})
        table = read_report(frame)
        assert dict(zip(table.symbols, table.rating.tolist(), strict=True)) == {"A": 3.0, "B": 2.0}
        assert read_report(table) is table


class TestLoggedOutcomes:
    @pytest.fixture
    def logged(self) -> LoggedOutcomes:
        """Rated; signalled only; failed, with a number beside; rated, and divided by zero."""
        return LoggedOutcomes(
            np.array([5.0, math.nan, math.nan, 7.0]),
            np.array([-1, 0, -1, 1], np.int8),
            ("Long", "Avoid"),
            {"x": np.array([1.0, 2.0, 3.0, math.inf], np.float32)},
        )

    @pytest.mark.parametrize("places", [[0, 1, 2, 3], [3, 0], [2], [2, 1]])
    def test_columns_say_what_the_outcomes_say(
        self, logged: LoggedOutcomes, places: list[int]
    ) -> None:
        """The short way into a report ends where the way over one object per symbol does."""
        symbols = [f"S{place}" for place in places]
        short = logged.table(symbols, np.array(places))
        plain = OutcomeTable.of({s: logged[p] for s, p in zip(symbols, places, strict=True)})
        assert (short.symbols, short.names) == (plain.symbols, plain.names)
        for name in ("rating", "is_signal", "is_failed", "values"):
            np.testing.assert_array_equal(getattr(short, name), getattr(plain, name), name)
        assert [str(short.outcome(i)) for i in range(len(places))] == [
            str(logged[p]) for p in places
        ]

    def test_it_is_a_sequence_of_outcomes(self, logged: LoggedOutcomes) -> None:
        assert [o.error is None for o in logged] == [True, True, False, True]
        assert [o.signal for o in logged[:2]] == [None, "Long"]
        assert logged[-1].columns == {"x": math.inf}

    def test_an_infinite_rating_is_refused(self) -> None:
        with pytest.raises(InvalidOutcomeError, match="rating inf at place 1"):
            LoggedOutcomes(np.array([1.0, math.inf]), np.array([-1, -1], np.int8), (), {})


class TestScanLedger:
    @pytest.fixture
    def ledger(self) -> Ledger:
        return Ledger(("A", "B", "C", "D", "E"), started=0.0)

    def test_the_given_order_passes_over_what_was_handed_out(self, ledger: Ledger) -> None:
        assert ledger.hand_out(batch(1, 0), is_counted=True) == ("B", "A")
        assert ledger.given_order(2).arms.tolist() == [2, 3]
        # Others held D and gave it back; C is handed out, so that it stays where it is.
        ledger.hand_out(batch(2), is_counted=True)
        assert ledger.put_back(np.array([2, 3])).tolist() == [3]
        assert ledger.given_order(9).arms.tolist() == [3, 4]

    def test_only_what_was_handed_out_can_be_reported(self, ledger: Ledger) -> None:
        ledger.hand_out(batch(1, 0), is_counted=True)
        assert ledger.check(["A", "B"]).tolist() == [0, 1]
        with pytest.raises(InvalidOutcomeError, match="'X' is not part of this scan of 5 symbols"):
            ledger.check(["A", "X"])
        with pytest.raises(InvalidOutcomeError, match="'C' was not handed out yet"):
            ledger.check(["A", "C"])

    def test_the_first_outcome_of_a_symbol_stands(self, ledger: Ledger) -> None:
        ledger.hand_out(batch(1, 0, random=1), is_counted=True)
        failed = OutcomeTable.of({"B": Outcome(1.0), "A": Outcome.failed("no data")})
        ledger.record(failed, ledger.check(failed.symbols))
        later = OutcomeTable.of({"A": Outcome(2.0), "E": Outcome(3.0)})
        # Another worker's report, which its quota drew; before this process opened the scan.
        ledger.record(later, np.array([0, 4]), at=5.0, is_random=np.array([False, True]))
        assert [(s, o.rating) for s, o in ledger.outcomes().items() if o.error is None] == [
            ("B", 1.0),
            ("E", 3.0),
        ]
        assert (ledger.n_reported, ledger.n_errors, ledger.n_here) == (3, 1, 2)
        assert ledger.first_error == "no data"
        assert ledger.is_random.tolist() == [True, False, False, False, True]
        assert ledger.order.tolist() == [1, 0, 4]
        assert ledger.at[2] == 5.0

    def test_batches_are_numbered_and_their_chances_kept(self, ledger: Ledger) -> None:
        ledger.hand_out(batch(1, 0, random=1), is_counted=True)
        ledger.hand_out(batch(4), is_counted=True)
        ledger.hand_out(batch(), is_counted=False)  # a worker that found nothing free
        assert (ledger.n_batches, ledger.sizes) == (2, [2, 1, 0])
        assert ledger.batch_of[[0, 1, 4]].tolist() == [1, 1, 2]
        assert ledger.propensity[[0, 1, 4]].tolist() == [0.5, 1.0, 1.0]
