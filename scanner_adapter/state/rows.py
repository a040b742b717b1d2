"""Converts outcomes to the arrays of a report entry, one row per symbol, and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.stores import Entry
from scanner_adapter.inputs.outcome_table import OutcomeTable
from scanner_adapter.inputs.outcomes import Outcome
from scanner_adapter.ledger import Ledger


def report_arrays(
    table: OutcomeTable,
    places: NDArray[np.intp],
    *,
    context: NDArray[np.floating],
    rewards: NDArray[np.float64],
    probability: NDArray[np.float64],
) -> dict[str, NDArray[Any]]:
    """Return the arrays of a report that the belief learns from, one row per symbol.

    Parameters
    ----------
    table : OutcomeTable
    places : array of int, shape (k,)
    context : array, shape (n, n_columns)
        Context of the whole universe.
    rewards, probability : array, shape (k,)
        Rewards of the outcomes, and the predicted probabilities of a hit.
    """
    return {
        "context": context.take(places, axis=0).astype(np.float32, copy=False),
        "reward": rewards.astype(np.float32),
        # Not rounded: a rating equal to the limit could fall below it.
        "rating": table.rating,
        "probability": probability.astype(np.float32),
        "rows": table.values.astype(np.float32),
    }


def choice_arrays(
    table: OutcomeTable, places: NDArray[np.intp], ledger: Ledger
) -> dict[str, NDArray[Any]]:
    """Return the other arrays of a report: signals, and how the symbols were chosen."""
    return {
        "propensity": ledger.propensity[places].astype(np.float32),
        "is_signal": table.is_signal.astype(np.float32),
        "is_random": ledger.is_random[places].astype(np.uint8),
        "batch": _counts(ledger.batch_of[places]),
        "place": _counts(places),
    }


def outcome_of(entry: Entry, row: int) -> Outcome:
    """Return an outcome from the journal, which keeps no texts of signals and errors."""
    rating = float(entry.arrays["rating"][row])
    if math.isnan(rating) and math.isnan(entry.arrays["reward"][row]):
        return Outcome.failed("the evaluation failed, according to the journal", is_final=False)
    values = dict(zip(entry.header["row_columns"], entry.arrays["rows"][row].tolist(), strict=True))
    columns = {name: value for name, value in values.items() if not math.isnan(value)}
    columns.pop("rating", None)
    is_signal = "is_signal" in entry.arrays and entry.arrays["is_signal"][row] == 1.0
    signal = "Long" if is_signal else None
    return Outcome(rating=rating, signal=signal, alpha=columns.pop("alpha", None), columns=columns)


def outcome_for_replay(entry: Entry, row: int) -> Outcome:
    """Return an outcome from the journal that, reported again, gives exactly the same row.

    Columns keep their order, including unknown numbers, because the order in which a journal first
    names them is the order of the belief's columns.
    """
    rating = float(entry.arrays["rating"][row])
    known = dict(zip(entry.header["row_columns"], entry.arrays["rows"][row].tolist(), strict=True))
    known.pop("rating", None)
    is_signal = float(entry.arrays["is_signal"][row]) if "is_signal" in entry.arrays else math.nan
    if math.isnan(rating) and math.isnan(is_signal) and all(map(math.isnan, known.values())):
        return Outcome.failed("the evaluation failed, according to the journal")
    # The verdict itself: a word of ours would be none of the scanner's own.
    is_hit = None if math.isnan(is_signal) else is_signal == 1.0
    return Outcome(rating=rating, is_hit=is_hit, columns=known)


def _counts(values: NDArray[np.intp]) -> NDArray[np.unsignedinteger]:
    """Return counts as 16-bit integers, or as 32-bit ones if they are too large."""
    return values.astype(np.uint16 if values.max(initial=0) <= 0xFFFF else np.uint32)
