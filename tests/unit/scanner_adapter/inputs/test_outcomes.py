"""Whatever shape a scanner gives, one outcome; what cannot be read is named."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from scanner_adapter.errors import InvalidOutcomeError
from scanner_adapter.inputs.outcomes import Outcome


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
        ("good", r"outcome of A is 'good' \(str\); expected a number"),
        (object, "outcome of A is <class 'object'>"),
        ({"rating": "high"}, "rating of A is 'high'; expected a number"),
        ({"rating": float("inf")}, "rating of A is inf; expected a finite number"),
        ({"rating": 1.0, "signal": 1}, "signal of A is 1; expected a text"),
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
