"""Raw prices made comparable over splits, from what the same table says of them.

Tiingo and Alpha Vantage give the factor of a split on its day, EODHD and others an adjusted close.
Only splits are taken out: dividends stay in, as in Yahoo's `Close`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# A step of the adjusted close beyond this is a split, within it a dividend.
_LEAST_STEP = np.log(1.18)
# Ratios of usual splits; a step within 3 % of one is that one, with a dividend beside it.
_RATIOS = np.array(
    sorted({p / q for p, q in ((3, 2), (4, 3), (5, 4), (6, 5), (5, 2), (5, 3), (7, 2), (7, 4))}
           | {float(n) for n in range(2, 101)})
)  # fmt: skip
_ROUNDING = 0.03
# Difference (log) between two vendors' closes of one day.
_SAME = 0.005
# Own bars on each side of a split whose volumes are compared.
_VOLUME_BARS, _LEAST_VOLUME_BARS = 20, 5
# An opening within 4 % of a split's ratio, on less than twice the usual turnover, is suspicious.
_JUMPS = np.array([1.5, *range(2, 101)])
_JUMP, _USUAL_TURNOVER, _LEAST_JUMP = 0.04, 2.0, 1.45


def unsplit(
    prices: list[Array], volume: Array, adjusted: Array | None, factor: Array | None
) -> tuple[list[Array], Array, int]:
    """Return prices and volume on the scale of the last day, and the number of splits met.

    Parameters
    ----------
    prices : list of ndarray, each (n_days, n_symbols)
        Open, high, low, close as traded, NaN = no bar.
    volume : ndarray, shape (n_days, n_symbols)
        Whether a vendor has adjusted it is seen in it: it jumps by the factor, or does not.
    adjusted : ndarray or None
        Adjusted close.
    factor : ndarray or None
        New shares for one old one, on the day of the split; 1 on others. Goes before `adjusted`.
    """
    close = prices[-1]
    scale, volume_scale, n_splits = np.ones_like(close), np.ones_like(close), 0
    for j in range(close.shape[1]):
        rows = np.flatnonzero(~np.isnan(close[:, j]))
        if factor is not None:
            steps = np.nan_to_num(factor[rows, j], nan=1.0)
            steps = np.where(steps > 0, steps, 1.0)
        elif adjusted is not None:
            steps = _steps(adjusted[rows, j] / close[rows, j])
        else:
            continue
        for k in np.flatnonzero(steps != 1.0):
            if k == 0:
                continue
            n_splits += 1
            before = rows[:k]
            scale[before, j] /= steps[k]
            if _is_raw(volume[rows, j], int(k), steps[k], is_raw=factor is not None):
                volume_scale[before, j] *= steps[k]
    if not n_splits:
        return prices, volume, 0
    return [price * scale for price in prices], volume * volume_scale, n_splits


def split_jumps(open_: Array, close: Array, volume: Array) -> list[tuple[int, int, float]]:
    """Return (row, column, ratio) of openings that look like splits nobody has adjusted.

    A move of that size on real news comes with many times the usual turnover.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = close[:-1] / open_[1:]
    suspicious = (ratio > _LEAST_JUMP) | (ratio < 1 / _LEAST_JUMP)
    suspicious |= np.isnan(ratio) & ~np.isnan(open_[1:])  # after a day without a bar
    found = []
    for row, column in np.argwhere(suspicious) + np.array([1, 0]):
        before = np.flatnonzero(~np.isnan(close[:row, column]))
        if len(before) < _LEAST_VOLUME_BARS:
            continue
        size = close[before[-1], column] / open_[row, column]
        nearest = _JUMPS[np.abs(np.log(_JUMPS / max(size, 1 / size))).argmin()]
        usual = (close[before, column] * volume[before, column])[-_VOLUME_BARS:].mean()
        is_quiet = close[row, column] * volume[row, column] < _USUAL_TURNOVER * usual
        if abs(np.log(nearest / max(size, 1 / size))) < _JUMP and is_quiet:
            found.append((int(row), int(column), float(nearest if size > 1 else 1 / nearest)))
    return found


def overnight_splits(close: Array, previous_close: Array) -> Array:
    """Return new shares for one old one, (n,), by what a vendor says of the close before.

    Only if the vendor agrees with most of the bars: else these end on another day, and the
    difference is a move.

    Parameters
    ----------
    close, previous_close : ndarray, shape (n,)
        Last close of the bars, and the vendor's close of the same day; NaN = unknown.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.log(close / previous_close)
    known = np.abs(change[np.isfinite(change)])
    if not known.size or np.median(known) > _SAME:
        return np.ones(change.size)
    size = np.exp(np.abs(np.nan_to_num(change, posinf=0.0, neginf=0.0)))
    nearest = _RATIOS[np.abs(np.log(_RATIOS / size[:, None])).argmin(axis=1)]
    is_split = (size > np.exp(_LEAST_STEP)) & (np.abs(np.log(nearest / size)) < 2 * _SAME)
    return np.where(is_split, np.where(change > 0, nearest, 1 / nearest), 1.0)


def _steps(ratio: Array) -> Array:
    """Return the factor of the split on each of a symbol's days, 1 = none."""
    steps = np.ones(len(ratio))
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.diff(np.log(ratio))
    for k in np.flatnonzero(np.abs(change) > _LEAST_STEP):
        size = np.exp(abs(change[k]))
        nearest = _RATIOS[np.abs(np.log(_RATIOS / size)).argmin()]
        size = nearest if abs(np.log(nearest / size)) < _ROUNDING else size
        steps[k + 1] = size if change[k] > 0 else 1 / size
    return steps


def _is_raw(volume: Array, k: int, factor: float, *, is_raw: bool) -> bool:
    """Whether the volume before a split still counts the old shares; `is_raw` if undecided."""
    sides = [volume[max(k - _VOLUME_BARS, 0) : k], volume[k : k + _VOLUME_BARS]]
    sides = [side[side > 0] for side in sides]
    if min(len(side) for side in sides) < _LEAST_VOLUME_BARS:
        return is_raw
    jump = float(np.log(np.median(sides[1]) / np.median(sides[0])))
    return bool(abs(jump - np.log(factor)) < abs(jump))
