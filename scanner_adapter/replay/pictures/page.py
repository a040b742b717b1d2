"""A replay as one HTML page: nothing is asked of any server, everything is inside.

Pictures are SVG elements whose text and colours follow the page, so that it reads in the dark and
on a telephone. What a picture shows stands in a table as well.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

from bandit.evaluation.metrics import Interval
from scanner_adapter.replay.breakdown import By, GroupRow, breakdown
from scanner_adapter.replay.pictures.figures import last_weights, reliability
from scanner_adapter.replay.pictures.pictures import inline_svg, pictures
from scanner_adapter.replay.report import ReplayReport

# Dark counterparts of the colours in `pictures`, whose names they carry.
_STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #23272e; --soft: #5a616b;
  --line: #d5d9de; --tint: #f2f5f8; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --ink: #e4e7eb; --soft: #a3abb5;
  --line: #363c44; --tint: #1d2227;
  --c23272e: #e4e7eb; --cd5d9de: #363c44; --c0b5fb0: #6cb2ff; --cb35900: #ff9f4a;
  --c1b7f4d: #4fc98a; --c7a7f87: #9aa1ab; --c8a5a9e: #c795dd; --c3a3f46: #d0d5db;
  --cb5176b: #ff7cb8; --c0f7c85: #4cc7d1; --c6b6b00: #c9c94a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 1.25rem 1rem 3rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; }
p { margin: .4rem 0; max-width: 46rem; }
.soft { color: var(--soft); font-size: .9rem; }
.lead { font-size: 1.1rem; }
.pictures { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
figure { margin: 0; min-width: 0; }
figcaption { font-weight: 600; margin-bottom: .25rem; }
svg { display: block; width: 100%; height: auto; }
svg text { font-family: system-ui, sans-serif !important; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; min-width: 100%; }
caption { text-align: left; color: var(--soft); font-size: .9rem; padding-bottom: .3rem; }
th, td { padding: .3rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--paper); }
td.word { text-align: left; }
thead th { font-weight: 600; color: var(--soft); }
tr.first td, tr.first th { font-weight: 600; background: var(--tint); }
small { color: var(--soft); display: block; line-height: 1.2; }
"""  # noqa: E501

_COLUMNS = (
    ("recall_5", "in first 5 %", 3),
    ("recall_10", "in first 10 %", 3),
    ("recall_25", "in first 25 %", 3),
    ("area", "area", 3),
    ("wss_95", "work saved", 3),
    ("first_hit_rank", "first hit at", 1),
)


def page(report: ReplayReport) -> str:
    """Return the page, about 0.3 MB.

    Raises
    ------
    InvalidInputError
        If matplotlib, an optional dependency, is not installed.
    """
    first = next(iter(report.results))
    drawn = [
        f"<figure><figcaption>{_text(title)}</figcaption>"
        f"{inline_svg(name, _text(title), draw)}</figure>"
        for name, (title, draw) in pictures(report).items()
    ]
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>scanrank replay, {report.dates[0]} to {report.dates[-1]}</title>",
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>Replay of {len(report.dates)} scans, {report.dates[0]} to {report.dates[-1]}</h1>",
        f'<p class="soft">{_text(report.caption())}</p>',
        f'<p class="lead">{_text(verdict(report, first))}</p>',
        "<h2>How much was found, how early</h2>",
        _results(report, first),
        "<h2>Pictures</h2>",
        f'<div class="pictures">{"".join(drawn)}</div>',
        *_weights(report),
        *_reliability(report),
        *_groups(report, first),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


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


def _results(report: ReplayReport, first: str) -> str:
    rows = []
    for order, result in report.results.items():
        cells = [_interval(report.interval(order, m), digits) for m, _, digits in _COLUMNS]
        cells.append(f"{result.overhead_ms.mean():.1f}")
        rows.append(([_text(order), *cells], order == first))
    heads = ["order", *(head for _, head, _ in _COLUMNS), "ms"]
    caption = (
        "Means over scans; small: 95 % interval. Area: under the recall curve; work saved: when "
        "95 % is found; ms: choosing and learning in a scan."
    )
    return _table(heads, rows, caption)


def _weights(report: ReplayReport) -> Iterable[str]:
    weights = last_weights(report.watch) if report.watch is not None else {}
    if not weights:
        return
    yield "<h2>What it learned</h2>"
    rows = [
        (
            [
                _text(name),
                f"{weight.prior:.0%}",
                f"{weight.learned:.0%} <small>{weight.low:.0%} to {weight.high:.0%}</small>",
            ],
            False,
        )
        for name, weight in weights.items()
    ]
    caption = (
        "How far each factor moves scores apart, as a share of all; small: 90 % interval. The seed "
        "weights are shared among the factors of which the log knows something."
    )
    yield _table(["factor", "seed", "learned"], rows, caption)


def _reliability(report: ReplayReport) -> Iterable[str]:
    if report.watch is None or not report.watch.checks:
        return
    check = reliability(report.watch, warmup=int(report.conditions.get("warmup") or 0))
    yield "<h2>Can its estimate of recall be trusted?</h2>"
    yield (
        f"<p>The lower bound was reached in {check.above_low:.0%} of the looks at running scans, "
        f"the upper one not exceeded in {check.below_high:.0%}; each promises 90 %.</p>"
    )
    rows = [
        (
            [
                f"{estimated:.0%}",
                f"{true:.0%} <small>{low:.0%} to {high:.0%}</small>",
                str(n),
            ],
            False,
        )
        for estimated, true, low, high, n in zip(
            check.estimated, check.true, check.low, check.high, check.n.tolist(), strict=True
        )
    ]
    yield _table(["estimated", "true", "looks"], rows, "Looks grouped by what was estimated.")


def _groups(report: ReplayReport, first: str) -> Iterable[str]:
    orders = [name for name in (first, "last rating", "random") if name in report.results]
    kinds: tuple[tuple[By, str, bool], ...] = (
        ("regime", "In which markets", any(r.trend != "unknown" for r in report.regimes)),
        ("sector", "In which sectors", bool(report.sectors)),
    )
    for by, title, is_known in kinds:
        if not is_known:
            continue
        yield f"<h2>{title}</h2>"
        yield _group_table(breakdown(report, by), by, orders)


def _group_table(groups: Sequence[GroupRow], by: str, orders: Sequence[str]) -> str:
    rows = []
    for row in groups:
        if row.order not in orders:
            continue
        cells = [_text(row.group), _text(row.order), str(row.n_scans), str(row.n_hits)]
        cells += [_interval(row.recall_10, 3), _interval(row.recall_25, 3)]
        rows.append((cells, row.order == orders[0]))
    heads = [by, "order", "scans", "hits", "in first 10 %", "in first 25 %"]
    return _table(heads, rows, "Recall with its 95 % interval.")


def _table(heads: Sequence[str], rows: Sequence[tuple[Sequence[str], bool]], caption: str) -> str:
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in heads)
    body = "".join(
        f"<tr{' class=first' if is_first else ''}>{''.join(f'<td>{c}</td>' for c in cells)}</tr>"
        for cells, is_first in rows
    )
    return (
        f'<div class="scroll" tabindex="0"><table><caption>{_text(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _interval(interval: Interval, digits: int) -> str:
    if math.isnan(interval.mean):
        return "–"
    return (
        f"{interval.mean:.{digits}f} "
        f"<small>{interval.low:.{digits}f} to {interval.high:.{digits}f}</small>"
    )


def _text(value: object) -> str:
    return html.escape(str(value))
