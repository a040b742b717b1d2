"""Loadings that say which symbols move together: sectors and principal components of returns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from features.checks import as_count, as_kind
from features.components import components
from features.inputs.bars import Bars
from features.inputs.calendars import LEAST_MARKET, Calendars

# Symbols that a sector or an industry needs to get a column of its own.
_LEAST_GROUP = 5
# Components beyond those asked for: today's match of the quarter's last one may be next in size.
_SPARE = 6


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
    as_kind(bars, "bars", Bars, "Bars, such as Bars.from_frame(frame)")
    for name, groups in (("sectors", sectors), ("industries", industries)):
        as_kind(groups, name, Mapping | None, "a mapping of symbol to its group")
    as_count(n_components, "n_components", least=0)
    as_count(window, "window")
    past = bars.until(as_of)
    calendars = Calendars.of(past.symbols, past.dates, past.mask)

    def leading(group: int, rows: NDArray[np.intp], q: int) -> NDArray[np.floating]:
        close = past.close[rows[0] : rows[-1] + 1]
        if len(close) > len(rows):
            close = past.close[rows]
        if len(calendars.labels) > 1:
            close = close[:, calendars.groups == group]
        return components(close, q)

    return loadings_of(
        past.symbols,
        calendars,
        leading,
        sectors=sectors,
        industries=industries,
        n_components=n_components,
        window=window,
    )


def loadings_of(
    symbols: Sequence[str],
    calendars: Calendars,
    leading: Callable[[int, NDArray[np.intp], int], NDArray[np.floating]],
    *,
    sectors: Mapping[str, str] | None = None,
    industries: Mapping[str, str] | None = None,
    n_components: int = 10,
    window: int = 250,
) -> Loadings:
    """Return the loadings of `similarity_loadings` for a universe that lies elsewhere.

    Parameters
    ----------
    symbols : sequence of str, length n_symbols
    calendars : Calendars
        Of these symbols.
    leading : callable
        Takes the number of a calendar, rows of its days and a number q, and returns the loadings
        of its symbols on the leading components of the returns of those days, (n, at most q).
    """
    kinds = {"sector": _groups(symbols, sectors), "industry": _groups(symbols, industries)}
    names = [f"{kind}.{group}" for kind, (groups, _) in kinds.items() for group in groups]
    parts = []
    for number, (label, columns, rows) in enumerate(calendars.members()):
        is_alone = len(calendars.labels) == 1
        if is_alone or len(columns) >= LEAST_MARKET:
            of_group = partial(leading, number)
            found = _rotated(calendars.dates[rows], rows, of_group, n_components, window)
            inner = "" if is_alone or not label else f"{label}."
            names += [f"component.{inner}{k + 1}" for k in range(found.shape[1])]
            parts.append((columns, found))
    values = np.zeros((len(symbols), len(names)), np.float32)
    # One column after the other: a million symbols in double precision would take 170 MB at once.
    one_hots = (code == k for groups, code in kinds.values() for k in range(len(groups)))
    everyone = np.arange(len(symbols))
    components_ = ((columns, column) for columns, found in parts for column in found.T)
    for j, (columns, column) in enumerate((*((everyone, one) for one in one_hots), *components_)):
        exact = column.astype(np.float64)
        size = np.sqrt(np.mean(exact**2))
        values[columns, j] = exact / (size if size > 0 else 1.0)
    return Loadings(tuple(names), values)


def _rotated(
    dates: NDArray[np.datetime64],
    rows: NDArray[np.intp],
    leading: Callable[[NDArray[np.intp], int], NDArray[np.floating]],
    n_components: int,
    window: int,
) -> NDArray[np.floating]:
    """Return the components of the last days, turned towards those of the quarter before."""
    found = leading(rows[-window - 1 :], n_components + _SPARE)
    quarter = dates[-1].astype("datetime64[M]").astype(int) // 3 * 3
    n_before = int(np.searchsorted(dates, np.datetime64(int(quarter), "M")))
    # An anchor from too short a history has other components altogether.
    if n_before > window // 2:
        before = rows[max(n_before - window - 1, 0) : n_before]
        anchor = leading(before, n_components).astype(np.float64)
        left, _, right = np.linalg.svd(found.T.astype(np.float64) @ anchor, full_matrices=False)
        found = found @ (left @ right)
    return found[:, :n_components]


def _groups(
    symbols: Sequence[str], groups: Mapping[str, str] | None
) -> tuple[list[str], NDArray[np.int32]]:
    """Return the groups that are large enough, and each symbol's place among them, -1 = none."""
    own = [str((groups or {}).get(symbol) or "") for symbol in symbols]
    large = sorted(name for name, n in Counter(own).items() if name and n >= _LEAST_GROUP)
    place = {name: k for k, name in enumerate(large)}
    return large, np.fromiter((place.get(name, -1) for name in own), np.int32, len(own))
