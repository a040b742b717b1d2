"""The orders that replays are compared with, which learn nothing or only what was seen last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from features.factors import combine
from scanner_adapter.replay.logs.scans import ReplayScan


class Order(Protocol):
    """An order under test: given one scan after the other, it returns what it visited.

    An order may learn from the outcomes of what it visits, and of nothing else.
    """

    name: str

    def visit(self, scan: ReplayScan, n_visits: int) -> NDArray[np.intp]:
        """Scan up to `n_visits` symbols.

        Parameters
        ----------
        scan : ReplayScan
            Universe, context and (to be read only for visited symbols) outcomes of one scan.
        n_visits : int
            Symbols that may be visited, at most as many as there are; an order with a stop rule
            may visit fewer.

        Returns
        -------
        ndarray of int, shape (n_visits,) or shorter
            Places in ``scan.symbols``, each at most once, in the order of the visits.
        """


def by_value(value: NDArray[np.floating]) -> NDArray[np.intp]:
    """Places by falling value; ties in file order, NaN last."""
    return np.argsort(-np.where(np.isnan(value), -np.inf, value), kind="stable")


@dataclass
class Random:
    """A fresh shuffle for each scan: what any order has to beat."""

    rng: np.random.Generator
    name: str = "random"

    def visit(self, scan: ReplayScan, n_visits: int) -> NDArray[np.intp]:
        """See `Order.visit`."""
        return self.rng.permutation(len(scan.symbols))[:n_visits]


@dataclass
class FileOrder:
    """The scanner's own order, that of the symbols in its file."""

    name: str = "file order"

    def visit(self, scan: ReplayScan, n_visits: int) -> NDArray[np.intp]:
        """See `Order.visit`."""
        return np.arange(min(n_visits, len(scan.symbols)))


@dataclass
class Composite:
    """The four factors at their default weights, cold: no history, nothing learned."""

    name: str = "composite"

    def visit(self, scan: ReplayScan, n_visits: int) -> NDArray[np.intp]:
        """See `Order.visit`."""
        _, composite = combine(scan.sub_scores, scan.sub_score_names)
        return by_value(composite)[:n_visits]


class LastRating:
    """By the last rating that this order itself has seen; symbols it never saw come last.

    Strong where every scan is completed. Where scans stop early it sees the same symbols again
    and again.
    """

    name = "last rating"

    def __init__(self, n_symbols: int) -> None:
        self._last = np.full(n_symbols, np.nan)

    def visit(self, scan: ReplayScan, n_visits: int) -> NDArray[np.intp]:
        """See `Order.visit`."""
        order = by_value(self._last[scan.places])[:n_visits]
        self._last[scan.places[order]] = scan.rating[order]
        return order


@dataclass
class Oracle:
    """Knows every outcome beforehand: the best that is possible."""

    name: str = "oracle"

    def visit(self, scan: ReplayScan, n_visits: int) -> NDArray[np.intp]:
        """See `Order.visit`."""
        return np.lexsort((-scan.rating, ~scan.hits))[:n_visits]


class InTurns:
    """What was looked at longest ago comes first, over all scans: round robin.

    With `hits_first`, symbols that were hits when they were last looked at come before all others.
    """

    def __init__(self, n_symbols: int, *, hits_first: bool = False) -> None:
        self.name = "last hits first" if hits_first else "round robin"
        self._hits_first = hits_first
        self._visited = np.zeros(n_symbols, np.intp)  # number of the scan; 0 = never
        self._was_hit = np.zeros(n_symbols, bool)
        self._number = 0

    def visit(self, scan: ReplayScan, n_visits: int) -> NDArray[np.intp]:
        """See `Order.visit`."""
        self._number += 1
        goes_first = self._was_hit[scan.places] & self._hits_first
        order = np.lexsort((self._visited[scan.places], ~goes_first))[:n_visits]
        self._visited[scan.places[order]] = self._number
        self._was_hit[scan.places[order]] = scan.hits[order]
        return order
