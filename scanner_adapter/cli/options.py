"""Options that several commands have: a history to replay, and the part of it that is meant."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from features.inputs.tables import Reading

BarsFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Daily bars, as for scan; with --ratings.")
]
RatingsFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A scanner's logged rows: date, symbol, rating, optionally signal and numbers.",
    ),
]
LogFile = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Instead of --ratings: 'bundled' (the default), or a journal that `scanrank "
        "journal export` wrote.",
    ),
]
SectorsFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="CSV with columns symbol and sector.")
]
EventFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--events",
        metavar="FILE",
        help="Earnings, analysts' ratings or news, beside --bars; once for each file.",
    ),
]
SkipBadRows = Annotated[
    bool,
    typer.Option(
        "--skip-bad-rows",
        help="Leave out rows that cannot be used, and say how many; without it the first one "
        "ends the command.",
    ),
]
Zone = Annotated[
    str | None,
    typer.Option(
        "--tz",
        metavar="ZONE",
        help="The market's zone, such as America/New_York, for files whose times are in UTC or "
        "seconds since 1970.",
    ),
]
FirstScan = Annotated[
    str | None, typer.Option("--from", metavar="DATE", help="First scan; default: the first.")
]
LastScan = Annotated[str | None, typer.Option(metavar="DATE", help="Last scan; default: the last.")]
Budget = Annotated[
    float | None,
    typer.Option(metavar="SHARE", help="Stop each scan at this share of the symbols."),
]
SameDay = Annotated[
    bool,
    typer.Option(
        "--same-day/--day-old",
        help="Whether features see the scan's own day, or end on the trading day before.",
    ),
]
Warmup = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="First scans: learned from, not measured. Default: 60; 30 of the bundled log.",
    ),
]


def reading(skip_bad_rows: bool, tz: str | None) -> Reading:
    """Return how the files of a command are read; refuses a zone that does not exist."""
    from features.inputs.days import check_zone

    check_zone(tz)
    return {"on_bad": "skip" if skip_bad_rows else "raise", "tz": tz}
