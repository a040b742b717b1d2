"""A replay as one HTML page: nothing is asked of any server, everything is inside.

Pictures are SVG elements whose text and colours follow the page, so that it reads in the dark and
on a telephone. What a picture shows stands in a table as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bandit.evaluation.metrics import Interval
from scanner_adapter.replay.breakdown import By, GroupRow, breakdown
from scanner_adapter.replay.pictures.figures import last_weights, reliability
from scanner_adapter.replay.pictures.pictures import check_installed, inline_svg, pictures
from scanner_adapter.replay.report import ReplayReport

_COLUMNS = (
    ("recall_5", "in first 5 %", 3),
    ("recall_10", "in first 10 %", 3),
    ("recall_25", "in first 25 %", 3),
    ("area", "area", 3),
    ("wss_95", "work saved", 3),
    ("first_hit_rank", "first hit at", 1),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of a table, with its interval where it has one."""

    value: str
    range: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the page; rows that are first are set off."""

    heads: Sequence[str]
    rows: Sequence[tuple[Sequence[Cell], bool]]
    caption: str
    title: str = ""
    lead: str = ""


def page(report: ReplayReport) -> str:
    """Return the page, about 0.3 MB.

    Raises
    ------
    InvalidInputError
        If matplotlib and jinja2, the extra `plots`, are not installed.
    """
    check_installed()
    from jinja2 import Environment

    template = Path(__file__).with_name("page.html.j2").read_text(encoding="utf-8")
    first = next(iter(report.results))
    drawn = [
        (title, inline_svg(name, title, draw)) for name, (title, draw) in pictures(report).items()
    ]
    return (
        Environment(autoescape=True, trim_blocks=True)
        .from_string(template)
        .render(
            report=report,
            verdict=verdict(report, first),
            results=_results(report, first),
            pictures=drawn,
            parts=[*_weights(report), *_reliability(report), *_groups(report, first)],
        )
    )


def verdict(report: ReplayReport, order: str) -> str:
    """Say in a sentence how an order compares with the strongest baseline."""
    baselines = [name for name in report.results if name not in (order, "oracle")]
    mine = report.interval(order, "recall_10").mean
    if not baselines or math.isnan(mine):
        return f"{order} found {mine:.0%} of the high-value results in the first 10 %."
    best = max(baselines, key=lambda name: report.interval(name, "recall_10").mean)
    difference = report.difference(order, best, "recall_10")
    points = f"{100 * difference.mean:+.1f} points, 95 %: {100 * difference.low:+.1f} to "
    sure = (
        "better than"
        if difference.low > 0
        else "worse than"
        if difference.high < 0
        else "not surely different from"
    )
    return (
        f"In the first 10 % of the symbols {order} found {mine:.0%} of the high-value results, "
        f"{sure} {best!r}, the strongest of the other orders "
        f"({points}{100 * difference.high:+.1f})."
    )


def _results(report: ReplayReport, first: str) -> Table:
    rows = []
    for order, result in report.results.items():
        cells = [_interval(report.interval(order, m), digits) for m, _, digits in _COLUMNS]
        cells.append(Cell(f"{result.overhead_ms.mean():.1f}"))
        rows.append(([Cell(order), *cells], order == first))
    heads = ["order", *(head for _, head, _ in _COLUMNS), "ms"]
    caption = (
        "Means over scans; small: 95 % interval. Area: under the recall curve; work saved: when "
        "95 % is found; ms: choosing and learning in a scan."
    )
    return Table(heads, rows, caption)


def _weights(report: ReplayReport) -> Iterator[Table]:
    weights = last_weights(report.watch) if report.watch is not None else {}
    if not weights:
        return
    rows = [
        (
            [
                Cell(name),
                Cell(f"{weight.prior:.0%}"),
                Cell(f"{weight.learned:.0%}", f"{weight.low:.0%} to {weight.high:.0%}"),
            ],
            False,
        )
        for name, weight in weights.items()
    ]
    caption = (
        "How far each factor moves scores apart, as a share of all; small: 90 % interval. The seed "
        "weights are shared among the factors of which the log knows something."
    )
    yield Table(["factor", "seed", "learned"], rows, caption, "What it learned")


def _reliability(report: ReplayReport) -> Iterator[Table]:
    if report.watch is None or not report.watch.checks:
        return
    check = reliability(report.watch, warmup=int(report.conditions.get("warmup") or 0))
    lead = (
        f"The lower bound was reached in {check.above_low:.0%} of the looks at running scans, the "
        f"upper one not exceeded in {check.below_high:.0%}; each promises 90 %."
    )
    rows = [
        (
            [Cell(f"{estimated:.0%}"), Cell(f"{true:.0%}", f"{low:.0%} to {high:.0%}"),
             Cell(str(n))],
            False,
        )
        for estimated, true, low, high, n in zip(
            check.estimated, check.true, check.low, check.high, check.n.tolist(), strict=True
        )
    ]  # fmt: skip
    yield Table(
        ["estimated", "true", "looks"], rows, "Looks grouped by what was estimated.",
        "Can its estimate of recall be trusted?", lead,
    )  # fmt: skip


def _groups(report: ReplayReport, first: str) -> Iterator[Table]:
    orders = [name for name in (first, "last rating", "random") if name in report.results]
    kinds: tuple[tuple[By, str, bool], ...] = (
        ("regime", "In which markets", any(r.trend != "unknown" for r in report.regimes)),
        ("sector", "In which sectors", bool(report.sectors)),
    )
    for by, title, is_known in kinds:
        if is_known:
            yield _group_table(breakdown(report, by), by, orders, title)


def _group_table(groups: Sequence[GroupRow], by: str, orders: Sequence[str], title: str) -> Table:
    rows = [
        (
            [Cell(row.group), Cell(row.order), Cell(str(row.n_scans)), Cell(str(row.n_hits)),
             _interval(row.recall_10, 3), _interval(row.recall_25, 3)],
            row.order == orders[0],
        )
        for row in groups
        if row.order in orders
    ]  # fmt: skip
    heads = [by, "order", "scans", "hits", "in first 10 %", "in first 25 %"]
    return Table(heads, rows, "Recall with its 95 % interval.", title)


def _interval(interval: Interval, digits: int) -> Cell:
    if math.isnan(interval.mean):
        return Cell("–")
    return Cell(
        f"{interval.mean:.{digits}f}", f"{interval.low:.{digits}f} to {interval.high:.{digits}f}"
    )
