"""Whatever shape a scanner gives, one outcome; what cannot be read is named."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from bandit.rewards import HitIf, RewardRule, Signal, Threshold, TopShare
from scanner_adapter.errors import InvalidOutcomeError
from scanner_adapter.inputs.outcomes import Outcome, RowMap


@dataclass
class Row:
    rating: float
    signal: str
    rsi: float


@dataclass(slots=True)
class SlottedRow:
    rating: float
    signal: str
    rsi: float


@pytest.mark.parametrize(
    "value",
    [
        {"rating": 7.5, "signal": "Long", "rsi": 61.0},
        {"Symbol": "A", "TechRating": 7.5, "Signal": "Long", "rsi": 61.0},
        pd.Series({"rating": 7.5, "signal": "Long", "rsi": 61.0}),
        Row(7.5, "Long", 61.0),
        SlottedRow(7.5, "Long", 61.0),
    ],
)
def test_every_shape_of_a_row_is_the_same_outcome(value: object) -> None:
    outcome = Outcome.of(value, symbol="A")
    assert (outcome.rating, outcome.signal, outcome.error) == (7.5, "Long", None)
    assert dict(outcome.columns) == {"rsi": 61.0}


@pytest.mark.parametrize("value", [3, 3.0, np.float32(3.0), np.int64(3)])
def test_a_number_is_the_rating(value: object) -> None:
    assert Outcome.of(value) == Outcome(rating=3.0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (ValueError("no data"), "ValueError: no data"),
        (None, "returned None"),
        ({"rsi": 3.0}, "neither rating nor signal"),
    ],
)
def test_a_failure_is_an_error_and_no_rating(value: object, text: str) -> None:
    outcome = Outcome.of(value)
    assert outcome.error is not None
    assert text in outcome.error
    assert math.isnan(outcome.rating)


def test_an_exception_without_words_is_still_an_error() -> None:
    assert Outcome.failed("").error


@pytest.mark.parametrize(
    ("signal", "expected"),
    [("Long", 1.0), (" strong_buy ", 1.0), ("BUY", 1.0), ("Avoid", 0.0), ("Hold", 0.0)],
)
def test_signals_are_read_whatever_their_case(signal: str, expected: float) -> None:
    assert Outcome(signal=signal).is_signal == expected


def test_no_signal_beside_a_rating_means_none_and_alone_unknown() -> None:
    assert Outcome(rating=3.0).is_signal == 0.0
    assert math.isnan(Outcome().is_signal)


def test_a_given_outcome_is_taken_as_it_is() -> None:
    outcome = Outcome(rating=1.0)
    assert Outcome.of(outcome) is outcome


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1.5, 2.5], r"outcome of A is \[1.5, 2.5\] \(list\); expected a number"),
        (pd.DataFrame({"rating": [1.0, 2.0]}), "outcome of A is a frame of 2 rows"),
        (3j, r"outcome of A is 3j \(complex\)"),
        (object, "outcome of A is <class 'object'>"),
        ({"rating": "high"}, "rating of A is 'high'; expected a number"),
        ({"rating": float("inf")}, "rating of A is inf; expected a finite number"),
        ({"rating": 1.0, "signal": {"a": 1}}, "signal of A is {'a': 1}; expected a string"),
        ("1e999", "rating of A is inf; expected a finite number"),
    ],
)
def test_what_cannot_be_read_is_named(value: object, message: str) -> None:
    with pytest.raises(InvalidOutcomeError, match=message):
        Outcome.of(value, symbol="A")


@pytest.mark.parametrize("value", [float("inf"), Outcome(rating=float("inf"))])
def test_an_infinite_number_is_no_rating(value: object) -> None:
    """Alone as in a row: an infinite rating would be above every limit for ever."""
    with pytest.raises(InvalidOutcomeError, match="rating of A is inf"):
        Outcome.of(value, symbol="A")


def test_texts_and_nested_values_are_no_columns_and_truth_values_are() -> None:
    outcome = Outcome.of({"rating": 1.0, "note": "x", "tags": [1], "is_liquid": True})
    assert dict(outcome.columns) == {"is_liquid": 1.0}


class Verdict(NamedTuple):
    rating: object
    signal: object


class Call(Enum):
    BUY = 1
    SELL = 2


ONE_ROW = pd.DataFrame({"rating": [12.5], "signal": ["BUY"]})


@pytest.mark.parametrize(
    ("value", "rating", "is_signal"),
    [
        (True, 1.0, 1.0),
        (np.bool_(False), 0.0, 0.0),
        (np.array(True), 1.0, 1.0),
        ("BUY", math.nan, 1.0),
        (np.str_("buy"), math.nan, 1.0),
        (Call.BUY, math.nan, 1.0),
        (Call.SELL, math.nan, 0.0),
        ("12.5%", 12.5, 0.0),
        ("-1,234.5 USD", -1234.5, 0.0),
        ("1.5M", 1.5e6, 0.0),
        ("(3.25)", -3.25, 0.0),
        (Decimal("12.5"), 12.5, 0.0),
        (Fraction(25, 2), 12.5, 0.0),
        (np.array([12.5]), 12.5, 0.0),
        (pd.Series([12.5], index=pd.DatetimeIndex(["2024-01-02"])), 12.5, 0.0),
        (1, 1.0, 1.0),
        (-1, -1.0, 0.0),
        (["volume", "new high"], 2.0, 1.0),
        ((), 0.0, 0.0),
        ([True, False, True], 2.0, 1.0),
        (np.array([False, False]), 0.0, 0.0),
        ({"oversold"}, 1.0, 1.0),
        ([{"pattern": "flag"}, {"pattern": "wedge"}], 2.0, 1.0),
        ([{"rating": 12.5, "signal": "BUY"}], 12.5, 1.0),
        (ONE_ROW, 12.5, 1.0),
        (Verdict("12.5%", "Strong Buy"), 12.5, 1.0),
        (SimpleNamespace(rating=12.5, signal=None), 12.5, 0.0),
        ({"SCORE": "12.5", "recommendation": "STRONG_BUY"}, 12.5, 1.0),
        ({"rating": Decimal("12.5"), "signal": True}, 12.5, 1.0),
        ({"rating": 12.5, "signal": ["a", "b"]}, 12.5, 1.0),
        ({"rating": 12.5, "signal": 0}, 12.5, 0.0),
        ({"rating": 12.5, "signal": "1"}, 12.5, 1.0),
        ({"rating": pd.NA, "signal": "SELL"}, math.nan, 0.0),
    ],
)
def test_every_shape_of_a_result(value: object, rating: float, is_signal: float) -> None:
    outcome = Outcome.of(value, symbol="A", rule=Signal())
    assert outcome.error is None
    assert (outcome.rating == rating) or (math.isnan(outcome.rating) and math.isnan(rating))
    assert outcome.is_signal == is_signal


NOTHING = [None, {}, "", pd.NA, pd.NaT, ONE_ROW.iloc[:0]]


@pytest.mark.parametrize("value", NOTHING)
def test_nothing_is_a_failure_with_the_way_out_or_no_signal_where_one_says_so(
    value: object,
) -> None:
    assert "none_is_no=True" in (Outcome.of(value, rule=Signal()).error or "")
    outcome = Outcome.of(value, rule=Signal(none_is_no=True))
    assert (outcome.error, outcome.is_signal) == (None, 0.0)


@pytest.mark.parametrize(
    ("value", "is_signal"),
    [
        ({"price": 12.5, "volume": 3}, 1.0),
        ({"rating": 55.0}, 1.0),
        ({"rating": 55.0, "signal": None}, 0.0),
        ({"signal": None}, 0.0),
        ({"signal": "SELL"}, 0.0),
        (12.5, 1.0),
        (0, 0.0),
        (False, 0.0),
        ([1.5, 2.5], 1.0),
        (object(), 1.0),
    ],
)
def test_something_is_a_signal_where_nothing_is_none_unless_it_says_otherwise(
    value: object, is_signal: float
) -> None:
    assert Outcome.of(value, rule=Signal(none_is_no=True)).is_signal == is_signal


@pytest.mark.parametrize(
    ("value", "is_signal"), [("Grade_A", 1.0), ({"signal": "grade a!"}, 1.0), ("BUY", 0.0)]
)
def test_the_scanners_own_words_count_instead_of_the_usual_ones(
    value: object, is_signal: float
) -> None:
    assert Outcome.of(value, rule=Signal(words=["grade A"])).is_signal == is_signal
    given = Outcome(signal="Grade A")
    assert Outcome.of(given, rule=Signal(words=("grade A",))).is_signal == 1.0


@pytest.mark.parametrize(
    "word",
    ["BULLISH", "Buy Now", "oversold", "SHORT", "long", "strong-buy", "Breakout \U0001f680", "yes"],
)
def test_the_usual_words_for_a_signal(word: str) -> None:
    assert Outcome(signal=word).is_signal == 1.0


@pytest.mark.parametrize("rule", [TopShare(0.05), Threshold(1.0)])
@pytest.mark.parametrize(
    ("value", "rating"),
    [("BUY", 1.0), ("HOLD", 0.0), ({"signal": "BUY"}, 1.0), (True, 1.0), (12.5, 12.5)],
)
def test_a_rule_for_ratings_takes_a_scanner_that_only_signals(
    rule: RewardRule, value: object, rating: float
) -> None:
    assert Outcome.of(value, rule=rule).rating == rating


def test_a_message_is_no_rating() -> None:
    for value in ("no data found", np.str_("low")):
        with pytest.raises(InvalidOutcomeError, match="expected a number, a signal"):
            Outcome.of(value, rule=TopShare())


def test_nan_is_no_rating_and_no_failure_and_no_signal_where_one_says_so() -> None:
    for value in (math.nan, np.float32("nan")):
        outcome = Outcome.of(value, rule=TopShare())
        assert (outcome.error, math.isnan(outcome.rating)) == (None, True)
        assert Outcome.of(value, rule=Signal(none_is_no=True)).is_signal == 0.0


def test_a_rating_that_is_missing_is_not_made_of_a_signal() -> None:
    assert math.isnan(Outcome.of({"rating": None, "signal": "BUY"}, rule=TopShare()).rating)


def test_a_function_of_the_users_judges_any_shape() -> None:
    rule = HitIf(lambda result: result is not None and result["volume"] > 100)
    outcome = Outcome.of({"volume": 120, "note": "x"}, rule=rule)
    assert (outcome.is_signal, dict(outcome.columns)) == (1.0, {"volume": 120.0})
    assert Outcome.of(None, rule=rule).is_signal == 0.0
    assert Outcome.of(ValueError("no data"), rule=rule).error == "ValueError: no data"
    with pytest.raises(
        InvalidOutcomeError, match=r"HitIf <lambda> failed for the result of A.*Key"
    ):
        Outcome.of({"price": 1}, symbol="A", rule=rule)


NESTED = {"summary": {"verdict": "BUY", "score": "7.5"}, "rsi": [{"value": 31.0}], "last": 9.5}


def test_a_row_map_leads_into_nested_rows() -> None:
    row_map = RowMap(
        rating="summary.score", signal="summary.verdict", columns=("rsi.0.value", "last")
    )
    outcome = Outcome.of(NESTED, row_map=row_map)
    assert (outcome.rating, outcome.signal) == (7.5, "BUY")
    assert dict(outcome.columns) == {"rsi.0.value": 31.0, "last": 9.5}


def test_a_path_that_leads_nowhere_is_answered_with_those_that_do() -> None:
    with pytest.raises(
        InvalidOutcomeError, match=r"no 'summary.rank'.*'summary.verdict', 'summary"
    ):
        Outcome.of(NESTED, row_map=RowMap(rating="summary.rank"))
    assert "'summary.verdict'" in (Outcome.of(NESTED).error or "")
