"""`scanrank factors report`: which sub-scores earn their place on the user's own data?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bandit.errors import InvalidInputError
from bandit.rewards import RewardRule, TopShare
from features.factors import Panel, sub_score_panel
from features.inputs.bars import Bars
from features.inputs.events import Events
from features.inputs.tables import Reading, Rows, read_table
from features.report import FactorReport, factor_report
from scanner_adapter.cli.options import refuse_idle
from scanner_adapter.inputs.events import read_events
from scanner_adapter.jsonio import finite
from scanner_adapter.replay.logs.outcome_log import OutcomeLog, read_ratings
from scanner_adapter.replay.read import LogFiles

_HEADING = "sub-score             known p10 p50 p90  lift  95% range   low same verdict"
_LEGEND = """\
known: share of symbols and days; p10, p50, p90: percentiles of the score
lift: hit rate in the day's top tenth by this score over the overall rate,
with its range; low: the same in the bottom tenth; same: share of four periods
in which the stronger of the two points the same way
too good: nearly all hits are in one tenth: the scanner's own formula, or it
looks ahead; weak: both lifts may be 1; redundant: ranks like another sub-score"""


@dataclass(frozen=True)
class FactorsRequest:
    """The arguments of the command, checked; see its help. `given`: see `given_options`."""

    bars: Path | None
    ratings: Path | None
    log: str | None
    scores: Path | None
    events: tuple[Path, ...]
    rule: RewardRule | None
    from_: str | None
    to: str | None
    same_day: bool
    reading: Reading
    given: Mapping[str, str]


def report_on(asked: FactorsRequest) -> tuple[FactorReport, tuple[str, ...]]:
    """Judge sub-scores by what complete scans found: those of a log, or of a file of one's own.

    Returns
    -------
    report, left_out
        What of the log is left out, a sentence each; see `Log.left_out`.

    Raises
    ------
    InvalidInputError, FeatureError
        For files that cannot be read or do not fit, where there is no hit to judge by, and for an
        option that would change nothing.
    """
    if asked.scores is None:
        files = LogFiles(
            asked.log, asked.bars, asked.ratings, events=asked.events, reading=asked.reading
        )
        if files.kind not in ("bars", "stopped journal"):
            idle = ["bars", "events", "same_day"]
            refuse_idle(asked.given, idle, "the scans of this log include their own data")
        return _report_on_log(files, asked)
    if asked.log is not None or asked.ratings is None:
        raise InvalidInputError(
            "--context needs --ratings, the results to judge by; a journal (--log) has its own "
            "sub-scores"
        )
    if asked.bars is None:
        idle = ["events", "same_day"]
        refuse_idle(asked.given, idle, "your own sub-scores are used as they are")
    return _report_on_own(asked.scores, asked.ratings, asked)


def _report_on_log(files: LogFiles, asked: FactorsRequest) -> tuple[FactorReport, tuple[str, ...]]:
    """Judge the sub-scores that each scan could know; a symbol counts on days with a rating."""
    if files.kind == "bars" and files.ratings is not None and files.bars is not None:
        bars = Bars.read(files.bars, **files.reading)
        outcomes = OutcomeLog.read(files.ratings, bars.dates, bars.symbols, **files.reading)
        days = outcomes.days(asked.from_, asked.to)
        events = read_events(files.events, **files.reading)
        panel = _bars_panel(bars, events, days, same_day=asked.same_day)
        return _judged(panel, outcomes, days, files.rule(asked.rule)), outcomes.left_out
    log, _ = files.read(asked.rule)
    days = log.days(asked.from_, asked.to)
    scans = list(log.scans(days, same_day=asked.same_day))
    names = tuple(dict.fromkeys(name for scan in scans for name in scan.sub_score_names))
    values = np.full((len(scans), len(log.symbols), len(names)), np.nan, np.float32)
    hits = np.zeros(values.shape[:2], bool)
    for row, scan in enumerate(scans):
        columns = [names.index(name) for name in scan.sub_score_names]
        values[row, scan.places[:, None], columns] = scan.sub_scores
        hits[row, scan.places] = scan.hits
    panel = Panel(values, names, log.dates[days], log.symbols)
    return factor_report(panel, hits, day_old=False), log.left_out


def _report_on_own(
    scores: Path, ratings: Path, asked: FactorsRequest
) -> tuple[FactorReport, tuple[str, ...]]:
    """Judge sub-scores of one's own, beside those of the bars where there are some."""
    frame, rated = read_scores(scores), read_ratings(ratings)
    known = None if asked.bars is None else Bars.read(asked.bars, **asked.reading)
    if known is None:
        rows = Rows(rated.reset_index(drop=True), "ratings", InvalidInputError)
        day, rated_symbols = rows.stamps().days, rows.codes()[1]
        dates = np.union1d(np.unique(day), np.unique(day)[:1] - 1)  # the day before the first scan
        symbols = tuple(sorted({*frame["symbol"], *rated_symbols}))
    else:
        dates, symbols = known.dates, known.symbols
    outcomes = OutcomeLog.from_frame(rated, dates, symbols, **asked.reading)
    days = outcomes.days(asked.from_, asked.to)
    panel = _own_panel(frame, dates[days], symbols)
    if known is not None:
        events = read_events(asked.events, **asked.reading)
        beside = _bars_panel(known, events, days, same_day=asked.same_day)
        values = np.concatenate([panel.values, beside.values], axis=2)
        panel = Panel(values, (*panel.names, *beside.names), panel.dates, symbols)
    return _judged(panel, outcomes, days, asked.rule or TopShare()), outcomes.left_out


def read_scores(path: Path) -> pd.DataFrame:
    """Read sub-scores of one's own: date (datetime64), symbol (str) and numbers.

    Raises
    ------
    InvalidInputError
        For a file that cannot be read, a column that holds no numbers, or a row that stands twice.
    """
    frame = read_table(path, what="--context", error=InvalidInputError)
    if missing := [name for name in ("date", "symbol") if name not in frame.columns]:
        raise InvalidInputError(
            f"missing columns in --context {path}: {', '.join(missing)}; got "
            f"{', '.join(map(str, frame.columns[:12]))}"
        )
    table = Rows(frame.reset_index(drop=True), "--context", InvalidInputError, "raise")
    day, (codes, symbols) = table.stamps().days, table.codes()
    names = [name for name in frame.columns if name not in ("date", "symbol")]
    if not names:
        raise InvalidInputError(
            f"--context {path} has only the columns date and symbol; expected at least one numeric "
            "column"
        )
    if words := [name for name in names if not pd.api.types.is_numeric_dtype(frame[name])]:
        raise InvalidInputError(
            f"--context {path}: column {words[0]} contains {frame[words[0]].iloc[0]!r}; expected "
            "numbers in every column except date and symbol"
        )
    frame = frame.assign(date=day.astype("datetime64[s]"), symbol=np.array(symbols)[codes])
    if (twice := frame.duplicated(["date", "symbol"])).any():
        row = frame[twice].iloc[0]
        raise InvalidInputError(
            f"--context {path} contains {row['symbol']} on {row['date']:%Y-%m-%d} twice; expected "
            "one row per symbol and day"
        )
    return frame


def _own_panel(frame: pd.DataFrame, dates: NDArray[np.datetime64], symbols: Sequence[str]) -> Panel:
    names = tuple(str(name) for name in frame.columns if name not in ("date", "symbol"))
    index = pd.MultiIndex.from_product([pd.DatetimeIndex(dates), symbols])
    rows = frame.set_index(["date", "symbol"]).reindex(index).to_numpy(np.float32)
    return Panel(rows.reshape(len(dates), len(symbols), len(names)), names, dates, tuple(symbols))


def _bars_panel(
    bars: Bars, released: Events | None, days: NDArray[np.intp], *, same_day: bool
) -> Panel:
    """Sub-scores from bars and events as each day's scan knew them."""
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
        "sub_scores": finite(found.table.reset_index().to_dict("records")),
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
