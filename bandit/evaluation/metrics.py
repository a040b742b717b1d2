"""How good was an order? The measures of prioritised screening, per scan and over scans.

A scan that visits its hits early is like a literature screening that reads the relevant papers
early, so the measures and their names come from that field. Everything here looks at one thing
only: where in the order the hits stood. Scans without a hit say nothing about an order; their
measures are NaN, and every mean and interval over scans leaves them out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandit.checks import as_array, as_count, as_number
from bandit.errors import InvalidInputError

# 0.05 * 1460 is 73.00000000000001 in floating point; without this slack `ceil` would grant 74.
_ROUNDING_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class ScanMetrics:
    """The measures of one scan; NaN where they are not known (no hit, or stopped too early).

    Attributes
    ----------
    recall_5, recall_10, recall_25 : float
        Share of the universe's hits found in the first 5, 10, 25 % of the universe.
    area : float
        Area under the recall curve by the trapezoid rule, 0 to 1: the mean of
        ``1 - (rank - 1/2) / n``, so that a random order has exactly 1/2 on average. A hit that was
        never reached adds nothing: the area counts what was really found.
    wss_95 : float
        Work saved over sampling: the share left unscanned at 95 % recall, less 5 %. A random order
        saves 0 on average. NaN if the scan was stopped before: how much it would have saved is
        unknown.
    average_time_to_discovery : float
        Mean share of the universe scanned when a hit is found; lower is better. NaN if a hit was
        never reached: leaving it out of the mean would reward stopping early.
    first_hit_rank : float
        1-based place of the first hit.
    ndcg : float
        Discounted gain ``sum 1 / log2(rank + 1)`` over the hits, divided by that of the best order.
    """

    recall_5: float
    recall_10: float
    recall_25: float
    area: float
    wss_95: float
    average_time_to_discovery: float
    first_hit_rank: float
    ndcg: float

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The measures in the order of the fields."""
        return tuple(field.name for field in fields(cls))


def scan_metrics(
    hits: ArrayLike, *, n_universe: int | None = None, n_hits: int | None = None
) -> ScanMetrics:
    """Measure one scan.

    Parameters
    ----------
    hits : array-like of bool, shape (n_scanned,)
        Whether the symbol at each place of the order was a hit.
    n_universe : int, optional
        Symbols in the scan's universe; more than `n_scanned` if the scan was stopped early.
    n_hits : int, optional
        Hits in the whole universe, unscanned ones included. Default: those in `hits`.

    Raises
    ------
    InvalidInputError
        If more was scanned than there is, or more hits were found than there are.

    References
    ----------
    A. M. Cohen, W. R. Hersh, K. Peterson, P.-Y. Yen (2006). Reducing workload in systematic
    review preparation using automated citation classification. JAMIA 13(2), 206-219.
    G. Ferdinands, R. Schram, J. de Bruin, A. Bagheri, D. L. Oberski, L. Tummers, J. J. Teijema,
    R. van de Schoot (2023). Performance of active learning models for screening prioritization
    in systematic reviews: a simulation study into the Average Time to Discover relevant records.
    Systematic Reviews 12, 100.
    K. Järvelin, J. Kekäläinen (2002). Cumulated gain-based evaluation of IR techniques. ACM
    Transactions on Information Systems 20(4), 422-446.

    Examples
    --------
    >>> scan_metrics([False, True, True, False]).first_hit_rank
    2.0
    """
    ranks, n, total = _ranks(hits, n_universe, n_hits)
    if not total:
        return ScanMetrics(*[math.nan] * len(ScanMetrics.names()))
    n_95 = math.ceil(0.95 * total - _ROUNDING_SLACK)  # hits that make 95 % recall
    saved = (n - ranks[n_95 - 1]) / n - (1.0 - 0.95) if n_95 <= len(ranks) else math.nan
    is_complete = total == len(ranks)
    best = (1.0 / np.log2(np.arange(1, total + 1) + 1.0)).sum()
    return ScanMetrics(
        recall_5=_recall(ranks, n, total, 0.05),
        recall_10=_recall(ranks, n, total, 0.10),
        recall_25=_recall(ranks, n, total, 0.25),
        area=float((1.0 - (ranks - 0.5) / n).sum()) / total,
        wss_95=float(saved),
        average_time_to_discovery=float(ranks.mean()) / n if is_complete else math.nan,
        first_hit_rank=float(ranks[0]) if len(ranks) else math.nan,
        ndcg=float((1.0 / np.log2(ranks + 1.0)).sum() / best),
    )


def recall_at(
    hits: ArrayLike, share: float, *, n_universe: int | None = None, n_hits: int | None = None
) -> float:
    """Share of all hits that stand in the first ``ceil(share * n_universe)`` places.

    Examples
    --------
    >>> recall_at([True, False, False, True], 0.25)  # one place of four holds one hit of two
    0.5
    """
    share = as_number(share, "share", "a share of the universe in (0, 1]", above=0.0, most=1.0)
    ranks, n, total = _ranks(hits, n_universe, n_hits)
    return _recall(ranks, n, total, share)


def first_places(share: float, n: int) -> int:
    """Return how many places of `n` the first `share` is: rounded up, as everywhere.

    Examples
    --------
    >>> first_places(0.05, 1460), first_places(0.05, 1461)
    (73, 74)
    """
    return math.ceil(share * n - _ROUNDING_SLACK)


def recall_curve(
    hits: ArrayLike, *, n_universe: int | None = None, n_hits: int | None = None
) -> NDArray[np.float64]:
    """Recall after 0, 1, 2, ... scanned symbols, shape ``(n_scanned + 1,)``; NaN without hits."""
    order = _as_order(hits)
    _, _, total = _ranks(order, n_universe, n_hits)
    found = np.concatenate([[0.0], np.cumsum(order)])
    return found / total if total else np.full(len(found), math.nan)


def _as_order(hits: ArrayLike) -> NDArray[np.bool_]:
    order = as_array(hits, "hits")
    if order.ndim != 1:
        raise InvalidInputError(f"hits has shape {order.shape}; expected one row, (n_scanned,)")
    if order.dtype != np.bool_ and not np.isin(order, (0, 1)).all():
        raise InvalidInputError(
            "hits contains values other than 0 and 1; expected one bool per symbol"
        )
    return order.astype(np.bool_)


def _ranks(
    hits: ArrayLike, n_universe: int | None, n_hits: int | None
) -> tuple[NDArray[np.float64], int, int]:
    """The 1-based places of the hits, the size of the universe, and its number of hits."""
    order = _as_order(hits)
    ranks = np.flatnonzero(order).astype(np.float64) + 1.0
    n = len(order) if n_universe is None else as_count(n_universe, "n_universe", least=0)
    total = len(ranks) if n_hits is None else as_count(n_hits, "n_hits", least=0)
    if n < len(order):
        raise InvalidInputError(f"{len(order)} symbols were scanned in a universe of {n}")
    if not len(ranks) <= total <= len(ranks) + n - len(order):
        raise InvalidInputError(
            f"n_hits is {total}, but {len(ranks)} hits were found and {n - len(order)} symbols "
            "remain; expected a number in that range"
        )
    return ranks, n, total


def _recall(ranks: NDArray[np.float64], n: int, total: int, share: float) -> float:
    if total == 0:
        return math.nan
    return float(np.searchsorted(ranks, first_places(share, n), side="right")) / total
