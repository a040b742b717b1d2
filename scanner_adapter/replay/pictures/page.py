"""A replay as one HTML page: nothing is asked of any server, everything is inside.

Pictures are SVG elements whose text and colours follow the page, so that it reads in the dark and
on a telephone. What a picture shows stands in a table as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bandit.evaluation.intervals import Interval
from scanner_adapter.replay.breakdown import By, breakdown
from scanner_adapter.replay.pictures.figures import last_weights, reliability
from scanner_adapter.replay.pictures.pictures import check_installed, inline_svg, pictures
from scanner_adapter.replay.report import ReplayReport

_COLUMNS = (
    ("recall_5", "in first 5%", 3),
    ("recall_10", "in first 10%", 3),
    ("recall_25", "in first 25%", 3),
    ("area", "area", 3),
    ("wss_95", "work saved", 3),
    ("first_hit_rank", "first hit at", 1),
)


# A text, or a value with its interval.
Cell = str | tuple[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the page; rows of the order `first` are set off."""

    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
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
            first=first,
            results=_results(report),
            pictures=drawn,
            parts=[*_weights(report), *_reliability(report), *_groups(report, first)],
        )
    )


def verdict(report: ReplayReport, order: str) -> str:
    """Say in a sentence how an order compares with the strongest baseline."""
    baselines = [name for name in report.results if name not in (order, "oracle")]
    mine = report.interval(order, "recall_10").mean
    if math.isnan(mine):
        return "No scan had a high-value result, so no order can be judged."
    if not baselines:
        return f"{order} found {mine:.0%} of the high-value results in the first 10%."
    best = max(baselines, key=lambda name: report.interval(name, "recall_10").mean)
    difference = report.difference(order, best, "recall_10")
    points = f"{100 * difference.mean:+.1f} points, 95%: {100 * difference.low:+.1f} to "
    sure = (
        "better than"
        if difference.low > 0
        else "worse than"
        if difference.high < 0
        else "not significantly different from"
    )
    return (
        f"In the first 10% of the symbols {order} found {mine:.0%} of the high-value results, "
        f"{sure} {best!r}, the best of the other orders ({points}{100 * difference.high:+.1f})."
    )


def _results(report: ReplayReport) -> Table:
    rows = []
    for order, result in report.results.items():
        cells = [_interval(report.interval(order, m), digits) for m, _, digits in _COLUMNS]
        rows.append([order, *cells, f"{result.overhead_ms.mean():.1f}"])
    heads = ["order", *(head for _, head, _ in _COLUMNS), "ms"]
    caption = (
        "Means over scans; small: 95% interval. Area: under the recall curve; work saved: when "
        "95% is found; ms: choosing and learning in a scan."
    )
    return Table(heads, rows, caption)


def _weights(report: ReplayReport) -> Iterator[Table]:
    weights = last_weights(report.watch) if report.watch is not None else {}
    if not weights:
        return
    rows = [
        (name, f"{w.prior:.0%}", (f"{w.learned:.0%}", f"{w.low:.0%} to {w.high:.0%}"))
        for name, w in weights.items()
    ]
    caption = (
        "How much each factor spreads the scores, as a share of all factors; small: 90% interval. "
        "The seed weights are shared among the factors that the log has data for."
    )
    yield Table(["factor", "seed", "learned"], rows, caption, "What it learned")


def _reliability(report: ReplayReport) -> Iterator[Table]:
    if report.watch is None or not report.watch.checks:
        return
    check = reliability(report.watch, warmup=int(report.conditions.get("warmup") or 0))
    lead = (
        f"The lower bound was reached in {check.above_low:.0%} of the checks during scans, and the "
        f"upper bound was not exceeded in {check.below_high:.0%}; the target for each is 90%."
    )
    bins = zip(check.estimated, check.true, check.low, check.high, check.n.tolist(), strict=True)
    rows = [
        (f"{estimated:.0%}", (f"{true:.0%}", f"{low:.0%} to {high:.0%}"), str(n))
        for estimated, true, low, high, n in bins
    ]
    caption, title = (
        "Checks grouped by estimated recall.",
        "Can its recall estimate be trusted?",
    )
    yield Table(["estimated", "true", "checks"], rows, caption, title, lead)


def _groups(report: ReplayReport, first: str) -> Iterator[Table]:
    kinds: tuple[tuple[By, str, bool], ...] = (
        ("regime", "By market regime", any(r.trend != "unknown" for r in report.regimes)),
        ("sector", "By sector", bool(report.sectors)),
    )
    for by, title, is_known in kinds:
        if not is_known:
            continue
        rows = [
            (row.group, row.order, str(row.n_scans), str(row.n_hits),
             _interval(row.recall_10, 3), _interval(row.recall_25, 3))
            for row in breakdown(report, by)
            if row.order in (first, "last rating", "random")
        ]  # fmt: skip
        heads = [by, "order", "scans", "hits", "in first 10%", "in first 25%"]
        yield Table(heads, rows, "Recall with its 95% interval.", title)


def _interval(interval: Interval, digits: int) -> Cell:
    if math.isnan(interval.mean):
        return "–"
    mean, low, high = (f"{x:.{digits}f}" for x in (interval.mean, interval.low, interval.high))
    return mean, f"{low} to {high}"
