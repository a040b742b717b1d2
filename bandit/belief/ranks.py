"""Ranks within a universe, which make columns of any scale comparable."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bandit.belief.track_record import TrackView

Array = NDArray[np.float64]

# An aged value is worth less: its distance from neutral halves in this many days (a rating's
# autocorrelation is about 0.9 after one trading day and 0.65 after five).
_ROW_HALF_LIFE_DAYS = 12.0


def percentiles(values: NDArray[np.floating | np.integer]) -> Array:
    """Return the mid-rank of each value among all, in (0, 1); ties share theirs.

    Examples
    --------
    >>> import numpy as np
    >>> percentiles(np.array([7.0, 1.0, 7.0, 9.0]))
    array([0.5  , 0.125, 0.5  , 0.875])
    """
    n = values.size
    # Numbers of 16 bits are sorted digit by digit, in a fifth of the time, if stably.
    order = np.argsort(values, kind="stable" if values.dtype.itemsize <= 2 else None)
    ordered = values[order]
    is_first = np.ones(n, bool)  # of those that are equal
    is_first[1:] = ordered[1:] != ordered[:-1]
    below = np.flatnonzero(is_first)
    n_equal = np.concatenate([below[1:], [n]]) - below
    result = np.empty(n)
    result[order] = np.repeat((2.0 * below + n_equal) / (2.0 * n), n_equal)
    return result


def percentiles_of_rows(view: TrackView) -> NDArray[np.float32]:
    """Return the scanner's own last rows as percentiles within the given arms.

    Returns
    -------
    array, shape (n, n_columns), float32
        0 to 100, drawn to 50 as the row ages; NaN where the arm has no row.
    """
    columns = np.ascontiguousarray(view.rows.T)
    bits = columns.view(np.int16)
    # Whole numbers in the same order (and -0 = 0), which sort five times as fast.
    keys = np.where(bits < 0, np.int16(-0x8000) - bits, bits)
    is_known = ~np.isnan(columns)
    values = np.full(columns.shape, np.nan, np.float32)
    kept = 0.5 ** (np.nan_to_num(view.age_days) / _ROW_HALF_LIFE_DAYS)
    for key, known, value in zip(keys, is_known, values, strict=True):
        if known.all():
            value[:] = 50.0 + 100.0 * (percentiles(key) - 0.5) * kept
        elif known.any():
            value[known] = 50.0 + 100.0 * (percentiles(key[known]) - 0.5) * kept[known]
    return values.T
