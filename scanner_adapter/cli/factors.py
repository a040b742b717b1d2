"""`scanrank factors report`: which sub-scores earn their place on the user's own data?"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray

from bandit.errors import InvalidInputError
from bandit.rewards import RewardRule, TopShare
from features.factors import Panel, sub_score_panel
from features.inputs.bars import Bars
from features.inputs.events import Events
from features.report import FactorReport, factor_report
from scanner_adapter.cli.options import (
    BarsFile,
    EventFiles,
    FirstScan,
    HitRule,
    LastScan,
    LogFile,
    RatingsFile,
    SameDay,
    Top,
    given_options,
    hit_rule,
    refuse_idle,
)
from scanner_adapter.inputs.events import read_events
from scanner_adapter.replay.logs.outcome_log import OutcomeLog, read_ratings
from scanner_adapter.replay.read import LogFiles

app = typer.Typer(help="What the sub-scores are worth on your own data.", no_args_is_help=True)

_HEADING = "sub-score             known p10 p50 p90  lift 95 % range   low same verdict"
_LEGEND = """\
known: share of symbols and days; p10, p50, p90: percentiles of the score
lift: rate of hits in the day's top tenth by this score over the rate in all,
with its range; low: the same in the bottom tenth; same: share of four periods
in which the stronger of the two points the same way
too good: holds nearly all hits in one tenth: the scanner's own formula, or it
looks ahead; weak: both lifts may be 1; redundant: ranks as another does"""


@app.callback()
def _root() -> None:
    # With one command only, typer would leave its name out of the command line.
    """What the sub-scores are worth on your own data."""


@app.command()
def report(
    context: typer.Context,
    bars: BarsFile = None,
    ratings: RatingsFile = None,
    log: LogFile = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            "--context",
            metavar="FILE",
            help="Sub-scores of your own, beside --bars or instead of them: Parquet or CSV with "
            "date, symbol and a column for each, as known when that day was scanned.",
        ),
    ] = None,
    events: EventFiles = None,
    top: Top = None,
    hit: HitRule = None,
    from_: FirstScan = None,
    to: LastScan = None,
    same_day: SameDay = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Show coverage, lift, stability and redundancy of every sub-score."""
    given = given_options(context)
    rule = hit_rule(top, hit)
    if scores is None:
        files = LogFiles(log, bars, ratings, events=tuple(events or ()))
        if files.kind not in ("bars", "stopped journal"):
            refuse_idle(
                given, ("bars", "events", "same_day"), "the scans of this log bring what they knew"
            )
        found, left_out = report_on_log(files, rule, from_=from_, to=to, same_day=same_day)
    else:
        if log is not None or ratings is None:
            raise InvalidInputError(
                "--context needs --ratings, the results to judge by; a journal (--log) brings its "
                "own sub-scores"
            )
        if bars is None:
            refuse_idle(given, ("events", "same_day"), "your own sub-scores stand as they are")
        found, left_out = report_on_own(
            scores, ratings, bars, rule, events=events or (), from_=from_, to=to, same_day=same_day
        )
    for sentence in left_out:
        print(f"scanrank: left out: {sentence}.", file=sys.stderr)
    print(json.dumps(as_dict(found), indent=2, allow_nan=False) if as_json else as_text(found))


def report_on_log(
    files: LogFiles, rule: RewardRule | None, *, from_: str | None, to: str | None, same_day: bool
) -> tuple[FactorReport, tuple[str, ...]]:
    """Judge the sub-scores that each complete scan could know by what that scan found.

    A symbol counts on the days on which the scanner rated it, as in `scanrank replay`.

    Returns
    -------
    report, left_out
        See `Log.left_out`.

    Raises
    ------
    InvalidInputError, FeatureError
        For files that cannot be read or do not fit, and where there is no hit to judge by.
    """
    if files.kind == "bars" and files.ratings is not None and files.bars is not None:
        bars = Bars.read(files.bars)
        outcomes = OutcomeLog.read(files.ratings, bars.dates, bars.symbols)
        days = outcomes.days(from_, to)
        panel = _bars_panel(bars, files.events, days, same_day=same_day)
        return _judged(panel, outcomes, days, files.rule(rule)), outcomes.left_out
    log, _ = files.read(rule)
    days = log.days(from_, to)
    scans = list(log.scans(days, same_day=same_day))
    names = tuple(dict.fromkeys(name for scan in scans for name in scan.sub_score_names))
    values = np.full((len(scans), len(log.symbols), len(names)), np.nan, np.float32)
    hits = np.zeros(values.shape[:2], bool)
    for row, scan in enumerate(scans):
        columns = [names.index(name) for name in scan.sub_score_names]
        values[row, scan.places[:, None], columns] = scan.sub_scores
        hits[row, scan.places] = scan.hits
    panel = Panel(values, names, log.dates[days], log.symbols)
    return factor_report(panel, hits, day_old=False), log.left_out


def report_on_own(
    scores: Path,
    ratings: Path,
    bars: Path | None,
    rule: RewardRule | None,
    *,
    events: Sequence[Path] = (),
    from_: str | None,
    to: str | None,
    same_day: bool,
) -> tuple[FactorReport, tuple[str, ...]]:
    """Judge a frame of sub-scores, beside those of the bars where there are some.

    Parameters
    ----------
    scores : path
        `.parquet` or `.csv` with date, symbol and a number in every other column, each row as it
        was known when the symbol was scanned on that day.
    ratings, bars : path
    rule : RewardRule, optional
        By default the top 5 %.

    Returns
    -------
    report, left_out
        See `OutcomeLog.left_out`.

    Raises
    ------
    InvalidInputError, FeatureError
        As `report_on_log`.
    """
    frame, rated = read_scores(scores), read_ratings(ratings)
    known = None if bars is None else Bars.read(bars)
    if known is None:
        day = pd.to_datetime(rated["date"]).to_numpy("datetime64[D]")
        dates = np.union1d(np.unique(day), np.unique(day)[:1] - 1)  # the day before the first scan
        symbols = tuple(sorted({*frame["symbol"], *rated["symbol"].astype(str)}))
    else:
        dates, symbols = known.dates, known.symbols
    outcomes = OutcomeLog.from_frame(rated, dates, symbols)
    days = outcomes.days(from_, to)
    panel = _own_panel(frame, dates[days], symbols)
    if known is not None:
        beside = _bars_panel(known, events, days, same_day=same_day)
        values = np.concatenate([panel.values, beside.values], axis=2)
        panel = Panel(values, (*panel.names, *beside.names), panel.dates, symbols)
    return _judged(panel, outcomes, days, rule or TopShare()), outcomes.left_out


def read_scores(path: Path) -> pd.DataFrame:
    """Read sub-scores of one's own: date (datetime64), symbol (str) and numbers.

    Raises
    ------
    InvalidInputError
        For a file that cannot be read, a column that holds no numbers, or a row that stands twice.
    """
    try:
        frame = pd.read_csv(path) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except (ValueError, OSError) as err:
        raise InvalidInputError(f"--context {path} cannot be read: {err}") from err
    if missing := [name for name in ("date", "symbol") if name not in frame.columns]:
        raise InvalidInputError(
            f"--context {path} lacks the column {', '.join(missing)}; met "
            f"{', '.join(map(str, frame.columns[:12]))}"
        )
    names = [name for name in frame.columns if name not in ("date", "symbol")]
    words = [n for n in names if not pd.api.types.is_numeric_dtype(frame[n])]
    if words or not names:
        raise InvalidInputError(
            f"--context {path}: expected a number in every column beside date and symbol; "
            + (f"column {words[0]} holds others" if words else "there is no such column")
        )
    try:
        day = pd.to_datetime(frame["date"]).dt.normalize()
    except (ValueError, TypeError) as err:
        raise InvalidInputError(f"--context {path} has a date that cannot be read: {err}") from err
    frame = frame.assign(date=day, symbol=frame["symbol"].astype(str))
    if (twice := frame.duplicated(["date", "symbol"])).any():
        row = frame[twice].iloc[0]
        raise InvalidInputError(
            f"--context {path} holds {row['symbol']} on {row['date']:%Y-%m-%d} twice; expected one "
            "row per symbol and day"
        )
    return frame


def _own_panel(frame: pd.DataFrame, dates: NDArray[np.datetime64], symbols: Sequence[str]) -> Panel:
    names = tuple(str(name) for name in frame.columns if name not in ("date", "symbol"))
    index = pd.MultiIndex.from_product([pd.DatetimeIndex(dates), symbols])
    rows = frame.set_index(["date", "symbol"]).reindex(index).to_numpy(np.float32)
    return Panel(rows.reshape(len(dates), len(symbols), len(names)), names, dates, tuple(symbols))


def _bars_panel(
    bars: Bars, events: Sequence[Path], days: NDArray[np.intp], *, same_day: bool
) -> Panel:
    """Sub-scores from bars and events as each day's scan knew them."""
    released = Events.from_frames(**read_events(events))
    # Each scan beside the day whose evening it knew: gaps between scans then do no harm.
    panel = sub_score_panel(bars, released, dates=bars.dates[days - (not same_day)])
    return Panel(panel.values, panel.names, bars.dates[days], panel.symbols)


def _judged(
    panel: Panel, outcomes: OutcomeLog, days: NDArray[np.intp], rule: RewardRule
) -> FactorReport:
    is_rated = ~np.isnan(outcomes.rating[days])
    hits = np.zeros(is_rated.shape, bool)
    for row, day in enumerate(days.tolist()):
        places = np.flatnonzero(is_rated[row])
        hits[row, places] = outcomes.hits(rule, day, places)
    values = np.where(is_rated[:, :, None], panel.values, np.float32(np.nan))
    return factor_report(
        Panel(values, panel.names, panel.dates, panel.symbols), hits, day_old=False
    )


def as_dict(found: FactorReport) -> dict[str, object]:
    """Return the report as JSON takes it; unknown numbers are None."""
    return {
        "n_days": found.n_days,
        "base_rate": found.base_rate,
        "sub_scores": [
            {
                str(key): None if isinstance(value, float) and not math.isfinite(value) else value
                for key, value in row.items()
            }
            for row in found.table.reset_index().to_dict("records")
        ],
    }


def as_text(found: FactorReport) -> str:
    """Return the report as a table of at most 80 columns, the strongest of each factor first."""
    lines = [f"{found.n_days} scans, base rate of hits {found.base_rate:.2%}", _HEADING]
    table = found.table.assign(
        factor=[
            str(name).partition(".")[0] if "." in str(name) else "your own"
            for name in found.table.index
        ],
        strength=found.table[["lift", "low_lift"]].max(axis=1),
    )
    for factor, rows in table.groupby("factor", sort=False):
        lines.append(str(factor))
        known = rows[rows["verdict"] != "unknown"].sort_values("strength", ascending=False)
        lines += [_line(str(name).rpartition(".")[2], row) for name, row in known.iterrows()]
        if n_unknown := len(rows) - len(known):
            lines.append(f"  {n_unknown} sub-scores without data")
    twins = table[table["verdict"] == "redundant"]
    lines += [
        f"{name} = {row['nearest']} (rank correlation {row['correlation']:.2f})"
        for name, row in twins.iterrows()
    ]
    return "\n".join([*lines, _LEGEND])


def _line(name: str, row: pd.Series) -> str:
    spread = f"{row['lift_low']:.2f}-{row['lift_high']:.2f}"
    # Of one's own sub-scores, which may be of any size, there is room for small ones.
    percentiles = " ".join(
        f"{row[p]:>3.0f}" if -99 < row[p] < 999 else "  –" for p in ("p10", "p50", "p90")
    )
    return (
        f"  {name:<20.20} {row['coverage']:>4.0%} {percentiles} {row['lift']:>5.2f} {spread:>10} "
        f"{row['low_lift']:>5.2f} {row['stability']:>4.2f} {row['verdict']}"
    ).rstrip()
