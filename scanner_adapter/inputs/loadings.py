"""A scan's similarity loadings as the journal keeps them: half precision, groups by number.

Loadings are directions along which a scan learns today's pattern: eleven bits are as good as
twenty-four. A scan rounds them before it uses them, so that the journal keeps what was used.
Sectors are stored as one number instead of a column each. Together that is about 20 bytes a symbol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.errors import InvalidInputError

NO_GROUP = 0xFFFF


def half_precision(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Round loadings (n, q) to what half precision can hold.

    Raises
    ------
    InvalidInputError
        For a loading beyond 65,504 in size.
    """
    with np.errstate(over="ignore"):
        rounded = np.asarray(values, np.float16).astype(np.float32)
    is_infinite = np.isinf(rounded)
    if is_infinite.any() and (is_infinite & np.isfinite(values)).any():
        row, column = np.argwhere(is_infinite & np.isfinite(values))[0]
        raise InvalidInputError(
            f"loadings[{row}, {column}] is {values[row, column]}; expected an absolute value of at "
            "most 65,504, preferably scaled to a mean square of one"
        )
    return rounded


class LoadingCodec:
    """Loadings of a scan's symbols, ready to be written with their reports.

    Parameters
    ----------
    names : sequence of str, length q
        Each `block.name`.
    values : array of float32, shape (n, q)
        As `half_precision` returns them.
    """

    def __init__(self, names: Sequence[str], values: NDArray[np.float32]) -> None:
        self._names = tuple(names)
        self._sizes: dict[str, list[float]] = {}  # of one-hot blocks: the value in each column
        groups, dense = [], []
        blocks = [name.partition(".")[0] for name in names]
        for block in dict.fromkeys(blocks):
            at = [j for j, each in enumerate(blocks) if each == block]
            part = values[:, at]
            sizes = part.max(axis=0, initial=0.0)
            is_set = part != 0.0
            if len(at) < NO_GROUP and is_set.sum(axis=1).max(initial=0) <= 1 and np.array_equal(
                part, is_set * sizes
            ):  # fmt: skip
                self._sizes[block] = sizes.astype(float).tolist()
                groups.append(np.where(is_set.any(axis=1), is_set.argmax(axis=1), NO_GROUP))
            else:
                dense.append(part)
        n = len(values)
        empty = np.empty((n, 0))
        self._groups = np.column_stack([empty, *groups]).astype(np.uint16)
        self._dense = np.column_stack([empty, *dense]).astype(np.float16)

    def header(self) -> dict[str, Any]:
        """Return the loadings' part of the open entry's header."""
        return {"loadings": list(self._names), "groups": self._sizes}

    def rows(self, places: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
        """Return the arrays that go with a report of the symbols at `places` (k,)."""
        arrays = {"group": self._groups[places], "loading": self._dense[places]}
        return {name: array for name, array in arrays.items() if array.shape[1]}


def loadings_of(
    stored: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], n: int
) -> NDArray[np.float32]:
    """Return the loadings (n, q) that a scan used, from its open entry and its reports' rows.

    Examples
    --------
    >>> values = np.array([[2.0, 0.0, 0.5], [0.0, 3.0, -1.0], [0.0, 0.0, 0.0]], np.float32)
    >>> kept = LoadingCodec(["sector.A", "sector.B", "component.1"], values)
    >>> bool((loadings_of(kept.header(), kept.rows(np.arange(3)), 3) == values).all())
    True
    """
    names, sizes = stored["loadings"], stored["groups"]
    values = np.zeros((n, len(names)), np.float32)
    blocks = [name.partition(".")[0] for name in names]
    for k, (block, size) in enumerate(sizes.items()):
        at = np.flatnonzero([each == block for each in blocks])
        group = arrays["group"][:, k].astype(np.intp)
        rows = np.flatnonzero(group != NO_GROUP)
        values[rows, at[group[rows]]] = np.asarray(size, np.float32)[group[rows]]
    at_dense = [j for j, block in enumerate(blocks) if block not in sizes]
    if at_dense:
        values[:, at_dense] = arrays["loading"]
    return values
