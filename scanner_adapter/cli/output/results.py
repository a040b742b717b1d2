"""What a scan from the command line found: a table for people, JSON, CSV and lines for machines."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from scanner_adapter.inputs.outcomes import Outcome
from scanner_adapter.jsonio import as_cell, finite_or_none, write_whole
from scanner_adapter.scan.scan import ScanSummary
from scanner_adapter.tables import plain_table

if TYPE_CHECKING:
    from scanner_adapter.run.pipeline import OnResult


STDOUT = Path("-")

# Rows of the table for people; JSON has them all.
N_SHOWN = 20


@dataclass(frozen=True)
class Finding:
    """One evaluated symbol; `place` is 1 for the first one, `is_random` the uniform quota."""

    place: int
    symbol: str
    is_random: bool
    is_hit: bool | None  # None after a failure of scanrank, when nothing judges results
    rating: float | None
    signal: str | None
    alpha: float | None
    error: str | None


def as_json(
    scanner: str, day: str, findings: list[Finding], summary: ScanSummary
) -> dict[str, object]:
    """Return everything for machines; see the keys."""
    counts = ("n_symbols", "n_scanned", "n_errors", "stopped", "failure", "warning", "coverage")
    recall = ("recall", "recall_low", "recall_high")
    return {
        "as_of": day,
        "scanner": scanner,
        **{name: getattr(summary, name) for name in counts},
        "n_hits": finite_or_none(summary.n_hits),
        **{name: finite_or_none(getattr(summary.estimate, name, None)) for name in recall},
        "seconds": round(summary.seconds, 3),
        "overhead_ms": round(1000 * summary.overhead_s, 1),
        "scans_learned": summary.n_scans_learned,
        "store": summary.store_status,
        "results": [asdict(finding) for finding in findings],
    }


def show(
    scanner: str, day: str, findings: list[Finding], summary: ScanSummary, *, stderr: bool = False
) -> None:
    """Print the best of what was found, and how the scan went."""
    console = Console(highlight=False, stderr=stderr)
    rated = [finding for finding in findings if finding.error is None]
    rated.sort(key=lambda f: (not f.is_hit, math.inf if f.rating is None else -f.rating))
    table = plain_table(
        f"{scanner} on {day}: the best {min(N_SHOWN, len(rated))} of {summary.n_scanned:,} scanned",
        ("symbol",),
        ("rating", "alpha", "signal", "scanned as"),
    )
    for finding in rated[:N_SHOWN]:
        table.add_row(
            finding.symbol,
            *("-" if x is None else f"{x:,.2f}" for x in (finding.rating, finding.alpha)),
            finding.signal or "-",
            f"no. {finding.place:,}",
            style="bold" if finding.is_hit else "",
        )
    if rated:
        console.print(table)
    console.print(str(summary), markup=False)


@contextmanager
def json_lines(file: Path | None) -> Iterator[OnResult | None]:
    """Write a line of JSON for each result as it arrives, so that `tail -f` or a pipe sees it."""
    if file is None:
        yield None
        return
    with (
        nullcontext(sys.stdout) if file == STDOUT else file.open("w", encoding="utf-8", buffering=1)
    ) as lines:

        def write(symbol: str, outcome: Outcome) -> None:
            row = {
                "symbol": symbol,
                "rating": finite_or_none(outcome.rating),
                "signal": outcome.signal,
                "alpha": finite_or_none(outcome.alpha),
                "error": outcome.error,
            }
            print(json.dumps(row, allow_nan=False), file=lines, flush=True)

        yield write


def write_csv(file: Path, findings: Sequence[Finding]) -> None:
    """Write every evaluated symbol in the order of scanning; an empty cell is not known."""
    text = io.StringIO()
    table = csv.DictWriter(text, [f.name for f in fields(Finding)], lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(each) | {"symbol": as_cell(each.symbol)} for each in findings)
    write_whole(file, text.getvalue())
