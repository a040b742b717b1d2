"""Trailing windows over (n_bars, n_symbols) arrays, exact in every bit wherever they end.

Every function takes the number of last rows wanted, `m`: all of them for a panel, one for
today's scan. The value of a row is built by the same additions in the same order whatever `m`
is and wherever the array starts, so that a panel's row equals the same day computed alone, bit
for bit. Running sums (a cumulative sum, `rolling` in pandas) do not have that property.

NaN spreads: a window that reaches before a symbol's first bar is unknown. Arrays need
`m + window - 1` rows; `blocks` pads them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def lag(x: Array, n: int, m: int) -> Array:
    """Return the last `m` rows as they were `n` bars earlier; a view."""
    end = len(x) - n
    return x[end - m : end]


def _combine(op: Callable[[Array, Array], Array], x: Array, window: int, m: int) -> Array:
    """Reduce `window` rows ending at each of the last `m` rows by doubling: log2(window) passes."""
    if m == 1:  # the same tree, without the branches of other rows
        span = 1 << (window.bit_length() - 1)
        y = x[len(x) - span :]
        while len(y) > 1:
            y = op(y[1::2], y[::2])
        rest = window - span
        return op(y, _combine(op, x[: len(x) - span], rest, 1)) if rest else y
    y = x[len(x) - m - window + 1 :]
    span = 1
    while 2 * span <= window:
        y = op(y[span:], y[:-span])
        span *= 2
    rest = window - span  # two overlapping spans would count rows twice, so sums need the rest
    if rest == 0:
        return y
    if op is np.add:
        return op(y[rest:], _combine(op, x[: len(x) - span], rest, m))
    return op(y[rest:], y[:-rest])


def total(x: Array, window: int, m: int) -> Array:
    """Return the sum over the window, shape (m, n_symbols)."""
    return _combine(np.add, x, window, m)


def mean(x: Array, window: int, m: int) -> Array:
    """Return the mean over the window, shape (m, n_symbols)."""
    return total(x, window, m) / window


def highest(x: Array, window: int, m: int) -> Array:
    """Return the maximum over the window, shape (m, n_symbols)."""
    return _combine(np.maximum, x, window, m)


def lowest(x: Array, window: int, m: int) -> Array:
    """Return the minimum over the window, shape (m, n_symbols)."""
    return _combine(np.minimum, x, window, m)


def root_mean_square(x: Array, window: int, m: int) -> Array:
    """Return the root of the mean square: a volatility for returns, whose mean is about zero."""
    return np.sqrt(mean(x[len(x) - m - window + 1 :] ** 2, window, m))


def deviation(x: Array, window: int, m: int) -> Array:
    """Return the population standard deviation over the window, in two passes.

    The squares are taken of differences to the window's own mean: the one-pass formula loses
    all digits where the deviation is small against the level (prices).
    """
    centre = mean(x, window, m)
    squares = np.zeros_like(centre)
    for k in range(window):
        squares += (lag(x, k, m) - centre) ** 2
    return np.sqrt(squares / window)


def trimmed_norm(x: Array, window: int, m: int) -> tuple[Array, Array]:
    """Return mean and deviation over the window without its highest and its lowest value.

    One spike among 20 days would otherwise hide the next: it lifts the mean and, more, the
    deviation.
    """
    top, bottom = highest(x, window, m), lowest(x, window, m)
    kept = window - 2
    centre = (total(x, window, m) - top - bottom) / kept
    squares = np.zeros_like(centre)
    for k in range(window):
        squares += (lag(x, k, m) - centre) ** 2
    squares -= (top - centre) ** 2
    squares -= (bottom - centre) ** 2
    return centre, np.sqrt(np.maximum(squares, 0.0) / kept)


def bars_since(event: NDArray[np.bool_], window: int, m: int) -> Array:
    """Return how many bars ago the event last was, at most `window`; shape (m, n_symbols)."""
    age = np.full((m, event.shape[1]), float(window))
    for k in range(window - 1, -1, -1):
        end = len(event) - k
        age[event[end - m : end]] = k
    return age
