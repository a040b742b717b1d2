"""One clear error, or a defined behaviour, for whatever a scanner does wrong."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable

import pandas as pd
import pytest

from bandit.errors import InvalidInputError
from scanner_adapter import (
    TECHNIC_ROWS,
    InvalidOutcomeError,
    Outcome,
    Progress,
    RowMap,
    ScanStateError,
    SymbolRanker,
    five_arguments,
    log_progress,
    rich_progress,
)
from scanner_adapter.scan.scan import Scan

SYMBOLS = ["AAPL", "MSFT", "IBM"]


@pytest.fixture
def scan() -> Scan:
    ranker = SymbolRanker.open("memory://", ruleset="t", seed=1)
    scan = ranker.start_scan(SYMBOLS)
    scan.next_batch(3)
    return scan


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"AAPL": 1.0, "NVDA": 1.0}, "'NVDA' is not part of this scan of 3 symbols"),
        ({"AAPL": 1.0, "MSFT": "good"}, "outcome of MSFT is 'good'"),
        ({"AAPL": 1.0, "MSFT": [1.0]}, r"outcome of MSFT is \[1.0\]"),
        ({"AAPL": 1.0, "MSFT": {"rating": "high"}}, "rating of MSFT is 'high'; expected a number"),
        ({"AAPL": 1.0, "MSFT": {"rating": math.inf}}, "expected a finite number"),
        (
            {"AAPL": 1.0, "MSFT": {"signal": object}},
            "signal of MSFT is <class 'object'>; expected a string",
        ),
    ],
)
def test_a_report_with_one_bad_row_is_refused_as_a_whole(
    scan: Scan, rows: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidOutcomeError, match=message):
        scan.report(rows)
    assert scan.n_scanned == 0
    scan.report(dict.fromkeys(SYMBOLS, 2.0))
    assert scan.n_scanned == 3


def test_none_and_nan_and_exceptions_are_failed_evaluations_or_unknown(scan: Scan) -> None:
    scan.report({"AAPL": None, "MSFT": float("nan"), "IBM": ValueError("x")})
    errors = {symbol: outcome.error for symbol, outcome in scan.outcomes.items()}
    assert "the scanner returned None" in (errors.pop("AAPL") or "")
    assert errors == {"MSFT": None, "IBM": "ValueError: x"}
    assert scan.close().n_errors == 2


def test_the_first_of_two_reports_counts(scan: Scan) -> None:
    scan.report({"AAPL": 1.0})
    scan.report({"AAPL": 9.0, "MSFT": 2.0})
    assert scan.outcomes["AAPL"].rating == 1.0
    assert scan.n_scanned == 2


def test_not_handed_out_yet() -> None:
    scan = SymbolRanker.open("memory://", ruleset="t", seed=1).start_scan(SYMBOLS)
    with pytest.raises(InvalidOutcomeError, match="not handed out yet"):
        scan.report({"AAPL": 1.0})


@pytest.mark.parametrize(
    "call",
    [
        lambda scan: scan.next_batch(1),
        lambda scan: scan.report({"AAPL": 1.0}),
        lambda scan: scan.run(len),
        lambda scan: next(scan.batches(1)),
    ],
)
def test_nothing_goes_on_after_the_end(scan: Scan, call: Callable[[Scan], object]) -> None:
    scan.close()
    with pytest.raises(ScanStateError, match="has ended"):
        call(scan)
    assert scan.close() is scan.summary  # closing twice is harmless


def test_a_generator_of_batches_left_in_the_middle_closes_cleanly() -> None:
    ranker = SymbolRanker.open("memory://", ruleset="t", seed=1)
    with ranker.start_scan([f"S{i}" for i in range(30)]) as scan:
        for batch in scan.batches(10):
            scan.report(dict.fromkeys(batch, 1.0))
            break
    assert scan.summary.stopped == "20 symbols were not scanned"
    assert ranker.n_scans == 1


def test_a_generator_run_on_after_the_scan_says_so(scan: Scan) -> None:
    ranker = SymbolRanker.open("memory://", ruleset="t", seed=1)
    with ranker.start_scan([f"S{i}" for i in range(30)]) as scan:
        batches = scan.batches(10)
        next(batches)
    with pytest.raises(ScanStateError, match="has ended"):
        next(batches)


@pytest.mark.parametrize("symbols", [[], ["", None], "AAPL", ["A", 5], [["A"]], 7])
def test_universes_that_are_none(symbols: list[str]) -> None:
    ranker = SymbolRanker.open("memory://", ruleset="t")
    with pytest.raises(InvalidInputError):
        ranker.start_scan(symbols)
    assert list(ranker.store.read("t")) == []


def test_a_batch_of_none(scan: Scan) -> None:
    with pytest.raises(InvalidInputError, match="k is 0"):
        scan.next_batch(0)


# -- rows under other names ------------------------------------------------------------------


@dataclasses.dataclass(slots=True)
class Row:
    TechRating: float
    Signal: str | None
    AlphaScore: float
    RSI: float


def test_technic_rows_from_every_shape() -> None:
    row = Row(12.5, "Long", 0.3, 61.0)
    expected = Outcome(rating=12.5, signal="Long", alpha=0.3, columns={"RSI": 61.0})
    as_dict = dataclasses.asdict(row)
    for value in (row, as_dict, pd.Series(as_dict)):
        assert Outcome.of(value, row_map=TECHNIC_ROWS) == expected


def test_a_map_keeps_only_the_columns_it_names() -> None:
    row_map = RowMap(rating="grade", columns=("rsi",))
    row = {"grade": 3, "rsi": 50.0, "close": 9.0, "rating": 99.0}
    assert Outcome.of(row, row_map=row_map) == Outcome(rating=3.0, columns={"rsi": 50.0})


def test_what_a_map_misses_is_named() -> None:
    with pytest.raises(InvalidOutcomeError, match=r"IBM has no 'AlphaScore'.*'TechRating', 'Sig"):
        Outcome.of({"TechRating": 1.0, "Signal": "Long"}, symbol="IBM", row_map=TECHNIC_ROWS)
    with pytest.raises(InvalidOutcomeError, match="neither rating nor signal"):
        RowMap(alpha="x")


def test_a_scan_reads_rows_by_the_rankers_map() -> None:
    ranker = SymbolRanker.open("memory://", ruleset="t", row_map=RowMap(rating="grade"))
    with ranker.start_scan(SYMBOLS) as scan:
        scan.next_batch(3)
        frame = pd.DataFrame({"symbol": SYMBOLS, "grade": [1.0, 2.0, 3.0], "rating": [0.0] * 3})
        scan.report(frame)
    assert [o.rating for o in scan.outcomes.values()] == [1.0, 2.0, 3.0]


# -- progress --------------------------------------------------------------------------------


def test_progress_for_every_taste(caplog: pytest.LogCaptureFixture) -> None:
    ranker = SymbolRanker.open("memory://", ruleset="t", seed=1)
    symbols, calls = [f"S{i}" for i in range(120)], []
    callback = five_arguments(lambda *arguments: calls.append(arguments))
    ranker.start_scan(symbols).run(lambda s: float(s[1:]), on_progress=callback)
    assert [call[0] for call in calls] == ["scanning", "scanning", "scanning", "done"]
    assert [call[1:3] for call in calls] == [(50, 120), (100, 120), (120, 120), (120, 120)]
    assert "50 of 120 symbols" in calls[0][3]
    assert 0.0 <= calls[0][4]["eta_s"] < 60.0
    with caplog.at_level(logging.INFO, "scanrank"):
        ranker.start_scan(symbols).run(lambda s: float(s[1:]), on_progress=log_progress())
    assert caplog.messages[-1].startswith("120 of 120 symbols")
    assert len(caplog.messages) == 2  # the first and the last: all within ten seconds
    with rich_progress() as bar:
        bar(Progress(1, 2, math.nan))


def test_the_eta_to_the_target_comes_before_the_end() -> None:
    """What was rated high last time is expected first: 95 % of hits need few more symbols."""
    ranker = SymbolRanker.open("memory://", ruleset="t", seed=1)
    symbols = [f"S{i}" for i in range(400)]
    for _ in range(4):
        ranker.start_scan(symbols).run(lambda s: float(s[1:]))
    scan = ranker.start_scan(symbols)
    assert 0 < scan.symbols_to_recall(0.5) < scan.symbols_to_recall(0.95) < 400
    with scan:
        scan.report({symbol: float(symbol[1:]) for symbol in scan.next_batch(50)})
    assert scan.symbols_to_recall(0.1) == 0
