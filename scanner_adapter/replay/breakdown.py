"""Where does it work? Recall by market regime and by sector, each with its interval.

A mean over a year hides that an order may fail in a storm or never find what banks do. Regimes
split the scans; sectors split the hits of each scan, all ranked in the one order of that scan.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from bandit.errors import InvalidInputError
from bandit.evaluation.intervals import Interval
from bandit.evaluation.metrics import first_places
from scanner_adapter.replay.report import ReplayReport, interval_fields, resampled_counts
from scanner_adapter.tables import plain_table

By = Literal["regime", "sector"]
SHARES = {"recall_10": 0.10, "recall_25": 0.25}

_RESAMPLES = 1000
_NO_SECTOR = "unknown sector"


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One order on one group of scans or hits.

    Attributes
    ----------
    group, order : str
    n_scans, n_hits : int
    recall_10, recall_25 : Interval
        Recall after 10 and 25 % of the whole universe.
    """

    group: str
    order: str
    n_scans: int
    n_hits: int
    recall_10: Interval
    recall_25: Interval

    def to_json(self) -> dict[str, object]:
        """The row as JSON takes it; NaN becomes null."""
        return {
            **{name: getattr(self, name) for name in ("group", "order", "n_scans", "n_hits")},
            **interval_fields("recall_10", self.recall_10),
            **interval_fields("recall_25", self.recall_25),
        }


def breakdown(report: ReplayReport, by: By) -> tuple[GroupRow, ...]:
    """Split a replay by regime or by sector.

    Returns
    -------
    tuple of GroupRow
        Groups in a fixed order, the report's orders within each. A sector's recall is pooled (its
        hits found over all its hits), because most scans have none or one of them.

    Raises
    ------
    InvalidInputError
        If the log does not know sectors, or too little of the market for regimes.
    """
    return tuple(_by_regime(report) if by == "regime" else _by_sector(report))


def group_kind(text: str) -> By:
    """Read a kind of group; raises InvalidInputError for another word."""
    if text not in get_args(By):
        raise InvalidInputError(f"by is {text!r}; expected one of {', '.join(get_args(By))}")
    return cast("By", text)


def breakdown_table(report: ReplayReport, by: By, orders: Sequence[str] | None = None) -> Table:
    """The rows of some orders (all by default) for people; 80 columns suffice."""
    title, numbers = f"Recall by {by}, with 95% intervals", ("scans", "hits", "in 10%", "in 25%")
    table = plain_table(title, (by, "order"), numbers)
    last = None
    for row in breakdown(report, by):
        if orders is not None and row.order not in orders:
            continue
        table.add_row(
            "" if row.group == last else row.group, row.order, str(row.n_scans), str(row.n_hits),
            *(_shown(getattr(row, measure)) for measure in SHARES),
        )  # fmt: skip
        last = row.group
    return table


def _by_regime(report: ReplayReport) -> Iterator[GroupRow]:
    labels = {}
    for level in ("low", "middle", "high"):
        labels[f"volatility {level}"] = [regime.volatility == level for regime in report.regimes]
    for trend in ("up", "down"):
        labels[f"market {trend}"] = [regime.trend == trend for regime in report.regimes]
    if not any(map(any, labels.values())):
        raise InvalidInputError(
            "the log has no market data from before its scans; regimes need about half a year of "
            "bars before the first scan (--bars), or the bundled log"
        )
    for label, rows in labels.items():
        if not any(rows):
            continue
        chosen = report.select(np.array(rows))
        for order, result in chosen.results.items():
            recalls = (chosen.interval(order, measure) for measure in SHARES)
            yield GroupRow(label, order, len(chosen.dates), sum(map(len, result.ranks)), *recalls)


def check_sectors(sectors: Mapping[str, str]) -> None:
    """Refuse a log without sectors, before the replay whose figures they group.

    Raises
    ------
    InvalidInputError
    """
    if not sectors:
        raise InvalidInputError("the log has no sectors; give them with --sectors FILE.csv")


def _by_sector(report: ReplayReport) -> Iterator[GroupRow]:
    check_sectors(report.sectors)
    names = [report.sectors.get(symbol) or _NO_SECTOR for symbol in report.symbols]
    sectors = sorted(set(names), key=lambda name: (name == _NO_SECTOR, name))
    code = np.array([sectors.index(name) for name in names])

    def counts(hit_places: Iterable[NDArray[np.intp]]) -> NDArray[np.intp]:  # (n_scans, n_sectors)
        return np.array([np.bincount(code[hits], minlength=len(sectors)) for hits in hit_places])

    def found_in(share: float, order: str) -> NDArray[np.intp]:
        scans = zip(report.hit_places, report.results[order].ranks, report.sizes, strict=True)
        return counts(hits[ranks * n < first_places(share, n) + 0.5] for hits, ranks, n in scans)

    total = counts(report.hit_places)
    found = {order: [found_in(s, order) for s in SHARES.values()] for order in report.results}
    for k, sector in enumerate(sectors):
        n_scans, n_hits = int((total[:, k] > 0).sum()), int(total[:, k].sum())
        for order in report.results if n_hits else ():
            recalls = (pooled_interval(each[:, k], total[:, k]) for each in found[order])
            yield GroupRow(sector, order, n_scans, n_hits, *recalls)


def pooled_interval(found: NDArray[np.integer], total: NDArray[np.integer]) -> Interval:
    """Return the ratio of total hits found to total hits, with its interval over resampled scans.

    Scans are resampled in blocks, as in `intervals.bootstrap_interval`; a resample without
    a hit is left out.

    Examples
    --------
    >>> pooled_interval(np.array([1, 0, 3]), np.array([2, 0, 4])).mean
    0.6666666666666666
    """
    if not total.any():
        return Interval(math.nan, math.nan, math.nan, 0)
    counts = resampled_counts(len(total), _RESAMPLES)
    hits = counts @ total
    ratio = (counts @ found)[hits > 0] / hits[hits > 0]
    low, high = np.quantile(ratio, [0.025, 0.975])
    mean = float(found.sum() / total.sum())
    return Interval(mean, float(low), float(high), int((total > 0).sum()))


def _shown(interval: Interval) -> str:
    if math.isnan(interval.mean):
        return "–"
    numbers = ((interval.mean, 3), (interval.low, 2), (interval.high, 2))
    # Without the zero before the point, and 1.0 for all: a table of 80 columns has no more room.
    texts = (f"{value:.{digits}f}".removeprefix("0") for value, digits in numbers)
    mean, low, high = ("1.0" if text.startswith("1.") else text for text in texts)
    return f"{mean} {low}–{high}"
