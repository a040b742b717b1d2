"""Where does it work? Recall by market regime and by sector, each with its interval.

A mean over a year hides that an order may fail in a storm or never find what banks do. Regimes
split the scans; sectors split the hits of each scan, all ranked in the one order of that scan.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from bandit.errors import InvalidInputError
from bandit.evaluation.metrics import Interval, first_places
from scanner_adapter.jsonio import finite_or_none
from scanner_adapter.replay.report import BLOCK, ReplayReport

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
        row: dict[str, object] = {
            name: getattr(self, name) for name in ("group", "order", "n_scans", "n_hits")
        }
        for measure in SHARES:
            interval = asdict(getattr(self, measure))
            for part, key in (("mean", ""), ("low", "_low"), ("high", "_high")):
                row[f"{measure}{key}"] = finite_or_none(interval[part])
        return row


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
    for kind in get_args(By):
        if text == kind:
            return cast("By", kind)
    raise InvalidInputError(f"by is {text!r}; expected one of {', '.join(get_args(By))}")


def breakdown_table(report: ReplayReport, by: By, orders: Sequence[str] | None = None) -> Table:
    """The rows of some orders (all by default) for people; 80 columns suffice."""
    table = Table(
        title=f"Recall by {by}, with 95 % intervals",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title_justify="left",
    )
    table.add_column(by, no_wrap=True)
    table.add_column("order", no_wrap=True)
    for name in ("scans", "hits", "in 10 %", "in 25 %"):
        table.add_column(name, justify="right", no_wrap=True)
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
    labels = {
        f"volatility {level}": np.array([r.volatility == level for r in report.regimes], bool)
        for level in ("low", "middle", "high")
    } | {
        f"market {trend}": np.array([r.trend == trend for r in report.regimes], bool)
        for trend in ("up", "down")
    }
    if not any(rows.any() for rows in labels.values()):
        raise InvalidInputError(
            "the log does not say what the market did before its scans; regimes need bars of "
            "about half a year before the first (--bars), or the bundled log"
        )
    for label, rows in labels.items():
        if not rows.any():
            continue
        part = report.select(rows)
        for order, result in part.results.items():
            yield GroupRow(
                label,
                order,
                len(part.dates),
                sum(len(ranks) for ranks in result.ranks),
                *(part.interval(order, measure) for measure in SHARES),
            )


def _by_sector(report: ReplayReport) -> Iterator[GroupRow]:
    if not report.sectors:
        raise InvalidInputError("the log knows no sectors; give them with --sectors FILE.csv")
    names = [report.sectors.get(symbol) or _NO_SECTOR for symbol in report.symbols]
    sectors = sorted(set(names), key=lambda name: (name == _NO_SECTOR, name))
    code = np.array([sectors.index(name) for name in names])
    n_sectors = len(sectors)
    total = np.array(
        [np.bincount(code[places], minlength=n_sectors) for places in report.hit_places]
    )
    for k, sector in enumerate(sectors):
        if not total[:, k].any():
            continue
        for order, result in report.results.items():
            recalls = []
            for share in SHARES.values():
                found = np.array(
                    [
                        np.count_nonzero(
                            (code[places] == k) & (ranks * n < first_places(share, n) + 0.5)
                        )
                        for places, ranks, n in zip(
                            report.hit_places, result.ranks, report.sizes, strict=True
                        )
                    ]
                )
                recalls.append(pooled_interval(found, total[:, k], np.random.default_rng(0)))
            n_scans, n_hits = int((total[:, k] > 0).sum()), int(total[:, k].sum())
            yield GroupRow(sector, order, n_scans, n_hits, *recalls)


def pooled_interval(
    found: NDArray[np.integer], total: NDArray[np.integer], rng: np.random.Generator
) -> Interval:
    """All that was found over all there was, with its interval over resampled scans.

    Scans are resampled in blocks, as in `intervals.bootstrap_interval`; a resample without
    a hit is left out.

    Examples
    --------
    >>> pooled_interval(np.array([1, 0, 3]), np.array([2, 0, 4]), np.random.default_rng(0)).mean
    0.6666666666666666
    """
    if not total.any():
        return Interval(math.nan, math.nan, math.nan, 0)
    n = len(total)
    starts = rng.integers(0, n, (_RESAMPLES, -(-n // BLOCK)))
    rows = ((starts[:, :, None] + np.arange(BLOCK)) % n).reshape(_RESAMPLES, -1)[:, :n]
    hits = total[rows].sum(axis=1)
    ratio = found[rows].sum(axis=1)[hits > 0] / hits[hits > 0]
    low, high = np.quantile(ratio, [0.025, 0.975])
    return Interval(
        float(found.sum() / total.sum()), float(low), float(high), int((total > 0).sum())
    )


def _shown(interval: Interval) -> str:
    if math.isnan(interval.mean):
        return "–"
    numbers = ((interval.mean, 3), (interval.low, 2), (interval.high, 2))
    # Without the zero before the point, and 1.0 for all: a table of 80 columns has no more room.
    texts = (f"{value:.{digits}f}".removeprefix("0") for value, digits in numbers)
    mean, low, high = ("1.0" if text.startswith("1.") else text for text in texts)
    return f"{mean} {low}–{high}"
