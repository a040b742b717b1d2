"""Stop rules compared on a log: how much each leaves unscanned, and what that costs in hits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from bandit.errors import InvalidInputError
from scanner_adapter.replay.logs.scans import Log
from scanner_adapter.replay.pace import Pace
from scanner_adapter.replay.ranked import Configuration, Ranked
from scanner_adapter.replay.report import ReplayReport, Row
from scanner_adapter.run.stop_rules import StopRule, recall_target
from scanner_adapter.tables import plain_table


def stopped_orders(
    log: Log,
    configuration: Configuration,
    rules: Mapping[str, StopRule],
    batch_size: int,
    pace: Pace | None = None,
) -> list[Ranked]:
    """Return scanrank's order once for each rule, for `replay(orders=...)`.

    Each has a ranker of its own: what a rule leaves unscanned is not learned from either.
    """
    return [
        Ranked(
            configuration.open(log.rule, keeps_journal=False),
            name=name,
            batch_size=batch_size,
            until=rule,
            pace=pace,
        )
        for name, rule in rules.items()
    ]


def stop_rows(report: ReplayReport, rules: Mapping[str, StopRule]) -> list[Row]:
    """Return one row per rule.

    Share of the universe scanned and of the hits found (mean, lowest tenth), and `kept`: of a rule
    that aims at a recall, the share of scans that reached it or were not stopped.
    """
    rows: list[Row] = []
    for name, rule in rules.items():
        result = report.results.get(name)
        if result is None:
            raise InvalidInputError(f"rule {name!r} was not replayed; see stopped_orders")
        has_hits = np.array([len(places) > 0 for places in report.hit_places], bool)
        recall, scanned = result.curves[has_hits, -1], result.scanned[has_hits]
        rows.append(
            {
                "rule": name,
                "scans": int(has_hits.sum()),
                "scanned": _mean(result.scanned),
                "found": _mean(recall),
                "found_in_worst_tenth": float(np.quantile(recall, 0.1)) if recall.size else None,
                "kept": _kept(recall, scanned, recall_target(rule)),
            }
        )
    return rows


def stop_table(report: ReplayReport, rules: Mapping[str, StopRule]) -> Table:
    """Return the rows as a table of at most 80 columns."""
    conditions = report.conditions
    table = plain_table(
        f"Stop rules on {len(report.dates)} scans, {report.dates[0]} to {report.dates[-1]}",
        ("rule",),
        ("scanned", "found", "worst tenth", "kept"),
        f"{conditions['symbols']} symbols, batches of {conditions['batch_size']}, "
        f"{conditions['warmup']} scans of warm-up. A hit is {conditions['hit']}. kept: "
        "scans that reached the target recall, or were not stopped.",
    )
    for row in stop_rows(report, rules):
        shares = (row[key] for key in ("scanned", "found", "found_in_worst_tenth", "kept"))
        table.add_row(str(row["rule"]), *("–" if x is None else f"{x:.1%}" for x in shares))
    return table


def _mean(values: NDArray[np.floating]) -> float | None:
    return float(values.mean()) if values.size else None


def _kept(
    recall: NDArray[np.floating], scanned: NDArray[np.floating], target: float | None
) -> float | None:
    if target is None or not recall.size:
        return None
    return float(((recall >= target - 1e-6) | (scanned >= 1.0)).mean())
