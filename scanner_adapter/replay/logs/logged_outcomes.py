"""A log's outcomes as a scanner would have reported them, without making an object of each.

A replay reports every symbol of every scan: as columns, they go into the belief and the journal as
they stand in the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from scanner_adapter.errors import InvalidOutcomeError
from scanner_adapter.inputs.outcome_table import OutcomeTable
from scanner_adapter.inputs.outcomes import Outcome


class LoggedOutcomes(Sequence[Outcome]):
    """Outcomes that stand in columns already, as in a log; each is made when it is asked for.

    Parameters
    ----------
    rating : array of float64, shape (n,)
    signal : array of int8, shape (n,)
        Place in `signal_names`; -1 = no signal.
    signal_names : sequence of str
    columns : mapping of str to array, shape (n,)
        Further numbers of the scanner's rows.
    """

    def __init__(
        self,
        rating: NDArray[np.float64],
        signal: NDArray[np.int8],
        signal_names: Sequence[str],
        columns: Mapping[str, NDArray[np.floating]],
    ) -> None:
        if np.isinf(rating).any():
            raise InvalidOutcomeError(
                f"rating {rating[np.isinf(rating)][0]} at place {int(np.isinf(rating).argmax())} "
                "of the log; expected finite numbers, NaN = none"
            )
        words = (*signal_names, None)
        self._rating, self._signal, self._words = rating.astype(np.float64), signal, words
        self._is_failed = np.isnan(rating) & (signal < 0)
        is_high = np.array([Outcome(0.0, word).is_signal for word in words])[signal]
        self._is_signal = np.where(self._is_failed, np.nan, is_high)
        self._columns = tuple(columns)
        self._rows = np.column_stack([np.empty((len(rating), 0)), *columns.values()])
        whole = {"rating": rating, **columns}
        self._names = tuple(whole)
        self._values = np.column_stack([*whole.values()]).astype(np.float64)
        self._values[self._is_failed] = np.nan
        self._values[np.isinf(self._values)] = np.nan  # as `OutcomeTable.of` reads them

    def __len__(self) -> int:
        """Return n."""
        return len(self._rating)

    @overload
    def __getitem__(self, at: int) -> Outcome: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Outcome]: ...
    def __getitem__(self, at: int | slice) -> Outcome | Sequence[Outcome]:
        """Make the outcome at a place."""
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        if self._is_failed[at]:
            return Outcome.failed("the log has neither rating nor signal")
        columns = dict(zip(self._columns, self._rows[at].tolist(), strict=True))
        return Outcome(float(self._rating[at]), self._words[self._signal[at]], columns=columns)

    def table(self, symbols: Sequence[str], places: NDArray[np.intp]) -> OutcomeTable:
        """Return the outcomes at `places` (k,), which are those of `symbols`, as a report."""
        is_failed, names = self._is_failed[places], self._names
        values = self._values[places]
        if is_failed.all():  # then nobody carries a column
            names, values = names[:1], values[:, :1]
        return OutcomeTable(
            tuple(symbols), self._rating[places], self._is_signal[places], is_failed, names, values,
            lambda row: self[int(places[row])],
        )  # fmt: skip
