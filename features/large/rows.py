"""Which row of a file each symbol of a universe in pieces has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from features.errors import FeatureError


class Rows:
    """The rows wanted, and the columns of all pieces one after the other, of the same symbols.

    Parameters
    ----------
    column : dict of symbol to its number among all pieces
    symbols : sequence of str or None
        The rows wanted; None = all, in the order of the pieces.
    """

    def __init__(self, column: Mapping[str, int], symbols: Sequence[str] | None) -> None:
        self.symbols = tuple(column if symbols is None else symbols)
        if not self.symbols or len(set(self.symbols)) < len(self.symbols):
            raise FeatureError(
                f"symbols are {len(self.symbols)}, {len(set(self.symbols))} of them distinct; "
                "expected at least one symbol, each once"
            )
        own = (column.get(symbol, -1) for symbol in self.symbols)
        self._column = np.fromiter(own, np.intp, len(self.symbols))
        self._is_known = self._column >= 0
        self._row = np.full(len(column), -1, np.intp)
        self._row[self._column[self._is_known]] = np.flatnonzero(self._is_known)

    @property
    def unknown(self) -> NDArray[np.intp]:
        """Rows of symbols that are in no piece."""
        return np.flatnonzero(~self._is_known)

    def of(self, columns: slice) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Return the rows of those of these columns that are wanted, and which these are."""
        rows = self._row[columns]
        return rows[rows >= 0], rows >= 0

    def take(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return values of all columns (n_columns, q) by row, zero for a symbol in no piece."""
        if np.array_equal(self._column, np.arange(len(values))):
            return values
        taken = np.zeros((len(self.symbols), values.shape[1]), np.float32)
        taken[self._is_known] = values[self._column[self._is_known]]
        return taken
