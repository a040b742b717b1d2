"""The outcomes of a report as columns, for belief, journal and live view."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bandit.checks import refusal
from bandit.rewards import RewardRule
from scanner_adapter.errors import InvalidOutcomeError
from scanner_adapter.inputs.outcomes import Outcome, RowMap


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeTable:
    """Outcomes of k symbols.

    Parameters
    ----------
    symbols : tuple of str, length k
    rating : array of float64, shape (k,)
        NaN where the evaluation failed or gave none.
    is_signal : array of float64, shape (k,)
        1 for a high-value signal, 0 for none, NaN where the scanner does not say.
    is_failed : array of bool, shape (k,)
    names : tuple of str, length c
        Of everything numeric that the outcomes carry, `rating` first.
    values : array of float64, shape (k, c)
        NaN where an outcome does not carry it.
    outcome : callable
        Returns the outcome in a row, 0 to k-1.
    """

    symbols: tuple[str, ...]
    rating: NDArray[np.float64]
    is_signal: NDArray[np.float64]
    is_failed: NDArray[np.bool_]
    names: tuple[str, ...]
    values: NDArray[np.float64]
    outcome: Callable[[int], Outcome]

    @classmethod
    def of(cls, outcomes: Mapping[str, Outcome]) -> OutcomeTable:
        """Put outcomes into columns.

        Examples
        --------
        >>> table = OutcomeTable.of({"A": Outcome(7.0, "Long"), "B": Outcome.failed("no data")})
        >>> table.is_signal.tolist(), table.is_failed.tolist(), table.names
        ([1.0, nan], [False, True], ('rating',))
        """
        rows = list(outcomes.values())
        rating, is_signal, is_failed = [], [], []
        # Rows of one scanner nearly all have the same columns: those are filled in at once.
        alike: dict[tuple[str, ...], tuple[list[int], list[tuple[float, ...]]]] = {}
        for i, o in enumerate(rows):
            failed = o.error is not None
            is_failed.append(failed)
            rating.append(math.nan if failed else o.rating)
            is_signal.append(math.nan if failed else o.is_signal)
            if failed:  # it carries nothing else
                continue
            alpha = {} if o.alpha is None else {"alpha": o.alpha}
            numbers = {"rating": o.rating, **alpha, **o.columns}
            at, parts = alike.setdefault(tuple(numbers), ([], []))
            at.append(i)
            parts.append(tuple(numbers.values()))
        names = tuple(dict.fromkeys(["rating", *(name for layout in alike for name in layout)]))
        values = np.full((len(rows), len(names)), np.nan)
        for layout, (at, parts) in alike.items():
            values[np.ix_(at, [names.index(name) for name in layout])] = parts
        values[np.isinf(values)] = np.nan  # a ratio with nothing below: as good as unknown
        return cls(
            tuple(outcomes), np.array(rating, np.float64), np.array(is_signal, np.float64),
            np.array(is_failed, bool), names, values, rows.__getitem__,
        )  # fmt: skip

    def take(self, rows: NDArray[np.intp]) -> OutcomeTable:
        """Return some of the outcomes, with the columns that those carry."""
        return OutcomeTable.of({self.symbols[row]: self.outcome(row) for row in rows.tolist()})


def read_report(
    rows: Mapping[str, object] | pd.DataFrame | OutcomeTable,
    row_map: RowMap | None = None,
    rule: RewardRule | None = None,
    keep_bars: Callable[[str, object], None] | None = None,
) -> OutcomeTable:
    """Read a report: a mapping of symbol to anything that `Outcome.of` reads, or a frame of rows.

    Parameters
    ----------
    keep_bars : callable, optional
        Called with a symbol and the bars that its outcome carries.

    Raises
    ------
    InvalidOutcomeError
        For an outcome that cannot be read, naming its symbol, and for anything but a report.
    """
    if isinstance(rows, OutcomeTable):
        return rows
    if isinstance(rows, pd.DataFrame):
        frame = rows.set_index("symbol") if "symbol" in rows.columns else rows
        rows = dict(zip(frame.index, frame.to_dict("records"), strict=True))
    if not isinstance(rows, Mapping | pd.Series):
        raise InvalidOutcomeError(
            str(refusal(rows, "the report", "a mapping of symbol to outcome, or a data frame"))
        )
    outcomes = {
        symbol: Outcome.of(row, symbol=symbol, row_map=row_map, rule=rule)
        for symbol, row in rows.items()
    }
    for symbol, outcome in outcomes.items():
        if outcome.bars is not None:  # not held in memory until the scan's end by each outcome
            if keep_bars is not None:
                keep_bars(symbol, outcome.bars)
            outcomes[symbol] = replace(outcome, bars=None)
    return OutcomeTable.of(outcomes)
