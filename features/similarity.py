"""Loadings that say which symbols move together: sectors and principal components of returns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd

from features.bars import Bars

# Symbols that a sector or an industry needs to get a column of its own.
_LEAST_GROUP = 5
# Components beyond those asked for: today's match of the quarter's last one may be next in size.
_SPARE = 6
# Share of the window's days on which a symbol must have moved to be given components.
_LEAST_HISTORY = 0.25


@dataclass(frozen=True, slots=True)
class Loadings:
    """Similarity loadings of a universe.

    Parameters
    ----------
    names : tuple of str, length q
    values : ndarray of float32, shape (n_symbols, q)
        Columns of mean square one; zero = nothing known, which pulls no way.
    """

    names: tuple[str, ...]
    values: NDArray[np.float32]


def similarity_loadings(
    bars: Bars,
    *,
    as_of: object,
    sectors: Mapping[str, str] | None = None,
    industries: Mapping[str, str] | None = None,
    n_components: int = 10,
    window: int = 250,
) -> Loadings:
    """Return sector and industry one-hots, then principal components of the trailing daily returns.

    Parameters
    ----------
    bars : Bars
        Days after `as_of` are not read.
    sectors, industries : mapping of symbol to name, optional
        Groups with fewer than five symbols of the universe get no column.
    n_components : int
        At most; fewer if there are fewer days or symbols.
    window : int
        Trading days of returns.

    Notes
    -----
    Returns are standardised by symbol, unknown ones are zero. The decomposition is scikit-learn's
    randomised SVD (Halko, Martinsson and Tropp 2011) with a fixed seed.

    The sign of a component is arbitrary, and neighbours of like size swap and mix from one day to
    the next. So the components are rotated within their own span towards those of the last day of
    the calendar quarter before (orthogonal Procrustes, Schoenemann 1966), whose signs follow their
    largest loadings. In 2017 and 2018 no component turned from one day to the next inside a
    quarter; without it each of the weaker ones turned on one day in five.
    """
    past = bars.until(as_of)
    names: list[str] = []
    columns: list[NDArray[np.float64]] = []
    for kind, groups in (("sector", sectors), ("industry", industries)):
        own = [str((groups or {}).get(symbol) or "") for symbol in past.symbols]
        counts = Counter(own)
        for group in sorted(name for name, n in counts.items() if name and n >= _LEAST_GROUP):
            names.append(f"{kind}.{group}")
            columns.append(np.array([name == group for name in own], dtype=np.float64))
    components = _components(past.close[-window - 1 :], n_components + _SPARE)
    quarter = past.dates[-1].astype("datetime64[M]").astype(int) // 3 * 3
    n_before = int(np.searchsorted(past.dates, np.datetime64(int(quarter), "M")))
    # An anchor from too short a history has other components altogether.
    if n_before > window // 2:
        anchor = _components(past.close[:n_before][-window - 1 :], n_components)
        left, _, right = np.linalg.svd(components.T @ anchor, full_matrices=False)
        components = components @ (left @ right)
    components = components[:, :n_components]
    names += [f"component.{k + 1}" for k in range(components.shape[1])]
    values = np.column_stack([*columns, components]) if columns else components
    size = np.sqrt(np.mean(values**2, axis=0, keepdims=True))
    return Loadings(tuple(names), (values / np.where(size > 0, size, 1.0)).astype(np.float32))


def _components(close: NDArray[np.float64], n_components: int) -> NDArray[np.float64]:
    """Return the loadings of the symbols on the leading components, shape (n_symbols, q)."""
    n_symbols = close.shape[1]
    q = min(n_components, n_symbols, len(close) - 1)
    if q < 1:
        return np.zeros((n_symbols, 0))
    returns = np.log(close[1:] / close[:-1])
    known = ~np.isnan(returns)
    count = known.sum(axis=0)
    returns = np.where(known, returns, 0.0)
    centred = np.where(known, returns - returns.sum(axis=0) / np.maximum(count, 1), 0.0)
    spread = np.sqrt((centred**2).sum(axis=0) / np.maximum(count, 1))
    usable = (count >= _LEAST_HISTORY * len(returns)) & (spread > 0)
    scaled = np.where(usable, centred / np.where(usable, spread, 1.0), 0.0)
    # One day of +30 % must not make a component of its own.
    scaled = np.clip(scaled, -5.0, 5.0).astype(np.float32)
    _, sizes, loadings = randomized_svd(
        scaled, n_components=q, n_oversamples=10, n_iter=2, random_state=0, flip_sign=False
    )
    largest = (loadings * np.abs(loadings)).sum(axis=1)
    sign = np.where(largest < 0, -1.0, 1.0)
    # Beyond the rank of the returns a component is rounding noise.
    sign[sizes < 1e-4 * sizes[0]] = 0.0
    return np.where(usable[:, None], loadings.T * sign, 0.0).astype(np.float64)
