"""The results of a scan as files: a line for each while it runs, a table when it has ended."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

from bandit.errors import InvalidInputError
from scanner_adapter.cli.output.scan_table import Finding
from scanner_adapter.inputs.outcomes import Outcome
from scanner_adapter.jsonio import as_cell, finite_or_none, write_whole

if TYPE_CHECKING:
    from scanner_adapter.run.pipeline import OnResult


def check_folders(*files: Path | None) -> None:
    """Refuse files in folders that do not exist, before the scan.

    Raises
    ------
    InvalidInputError
    """
    for file in files:
        if file is not None and not file.absolute().parent.is_dir():
            raise InvalidInputError(f"{file}: there is no such folder")


@contextmanager
def json_lines(file: Path | None) -> Iterator[OnResult | None]:
    """Write a line of JSON for each result as it arrives, so that `tail -f` sees it."""
    if file is None:
        yield None
        return
    with file.open("w", encoding="utf-8", buffering=1) as lines:

        def write(symbol: str, outcome: Outcome) -> None:
            row = {
                "symbol": symbol,
                "rating": finite_or_none(outcome.rating),
                "signal": outcome.signal,
                "alpha": finite_or_none(outcome.alpha),
                "error": outcome.error,
            }
            lines.write(json.dumps(row, allow_nan=False) + "\n")

        yield write


def write_csv(file: Path, findings: Sequence[Finding]) -> None:
    """Write every evaluated symbol in the order of scanning; an empty cell is not known."""
    text = io.StringIO()
    table = csv.DictWriter(text, [f.name for f in fields(Finding)], lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(each) | {"symbol": as_cell(each.symbol)} for each in findings)
    write_whole(file, text.getvalue())
