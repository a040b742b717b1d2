"""Tables of the command line: read whole in a terminal of any width."""

from __future__ import annotations

import pytest
from rich.console import Console

from scanner_adapter.tables import plain_table

ROWS = [("last rating", "0.341", "0.538 ±0.041", "0.812 ±0.031"), ("[b]", "1", "2", "3")]


def lines_at(width: int) -> list[str]:
    table = plain_table(
        "Found early, mean of 90 scans", ("order",), ("in 5%", "in 10%", "in 25%"), "397 symbols"
    )
    for row in ROWS:
        table.add_row(*row)
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines() if line.strip(" ─")]


def test_what_fits_stands_side_by_side() -> None:
    """11 + 5 + 12 + 12 letters, three gaps of 2 and a margin of 1 at both ends: 48 columns."""
    assert lines_at(48) == [
        "Found early, mean of 90 scans",
        " order        in 5%        in 10%        in 25%",
        " last rating  0.341  0.538 ±0.041  0.812 ±0.031",
        " [b]              1             2             3",
        "397 symbols",
    ]


@pytest.mark.parametrize("width", [47, 40, 34])
def test_what_does_not_fit_continues_below_after_the_names(width: int) -> None:
    assert lines_at(width)[1:-1] == [
        " order        in 5%        in 10%",
        " last rating  0.341  0.538 ±0.041",
        " [b]              1             2",
        " order              in 25%",
        " last rating  0.812 ±0.031",
        " [b]                     3",
    ]
