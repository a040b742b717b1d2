"""A report as the journal keeps it: one row per symbol, columns as arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bandit.stores import Entry
from scanner_adapter.outcomes import Outcome


def pairs_of(rows: Mapping[str, object] | pd.DataFrame) -> list[tuple[Any, object]]:
    """Return (symbol, row) of a mapping, or of a frame with a column or an index of symbols."""
    if isinstance(rows, pd.DataFrame):
        frame = rows.set_index("symbol") if "symbol" in rows.columns else rows
        return list(zip(frame.index, frame.to_dict("records"), strict=True))
    return list(rows.items())


def numeric_rows(outcomes: Sequence[Outcome]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return names and values (k, n_columns) of everything numeric that the outcomes carry."""
    # Rows of one scanner nearly all have the same columns: those are filled in at once.
    alike: dict[tuple[str, ...], list[int]] = {}
    for i, o in enumerate(outcomes):
        if o.error is None:
            alpha = () if o.alpha is None else ("alpha",)
            alike.setdefault(("rating", *alpha, *o.columns), []).append(i)
    names = tuple(dict.fromkeys(["rating", *(name for layout in alike for name in layout)]))
    table = np.full((len(outcomes), len(names)), np.nan)
    for layout, at in alike.items():
        places = [names.index(name) for name in layout]
        table[np.ix_(at, places)] = [_numbers(outcomes[i]) for i in at]
    table[np.isinf(table)] = np.nan  # a ratio with nothing below: as good as unknown
    return names, table


def _numbers(o: Outcome) -> tuple[float, ...]:
    alpha = () if o.alpha is None else (o.alpha,)
    return (o.rating, *alpha, *o.columns.values())


def outcome_of(entry: Entry, row: int) -> Outcome:
    """Return an outcome that stands in the journal, where a high-value signal is one and no word.

    Neither are the words of an error kept.
    """
    rating = float(entry.arrays["rating"][row])
    if math.isnan(rating) and math.isnan(entry.arrays["reward"][row]):
        return Outcome.failed("the evaluation failed, says the journal")
    values = dict(zip(entry.header["row_columns"], entry.arrays["rows"][row].tolist(), strict=True))
    columns = {name: value for name, value in values.items() if not math.isnan(value)}
    columns.pop("rating", None)
    is_signal = "is_signal" in entry.arrays and entry.arrays["is_signal"][row] == 1.0
    signal = "Long" if is_signal else None
    return Outcome(rating=rating, signal=signal, alpha=columns.pop("alpha", None), columns=columns)


def outcome_again(entry: Entry, row: int) -> Outcome:
    """Return an outcome so that reporting it again writes the very same row.

    Columns keep their order, unknown numbers included: the order in which a journal first names
    them is the order of the belief's columns.
    """
    rating = float(entry.arrays["rating"][row])
    known = dict(zip(entry.header["row_columns"], entry.arrays["rows"][row].tolist(), strict=True))
    known.pop("rating", None)
    is_signal = float(entry.arrays["is_signal"][row]) if "is_signal" in entry.arrays else math.nan
    if math.isnan(rating) and math.isnan(is_signal) and all(map(math.isnan, known.values())):
        return Outcome.failed("the evaluation failed, says the journal")
    no_signal = "Avoid" if math.isnan(rating) and is_signal == 0.0 else None
    return Outcome(rating=rating, signal="Long" if is_signal == 1.0 else no_signal, columns=known)
