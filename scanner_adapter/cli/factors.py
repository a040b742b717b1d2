"""`scanrank factors report`: which sub-scores earn their place on the user's own data?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bandit.errors import InvalidInputError
from bandit.rewards import TopShare
from features.factors import Panel, sub_score_panel
from features.inputs.bars import Bars
from features.inputs.tables import Reading
from features.report import FactorReport, factor_report
from scanner_adapter.inputs.events import read_events
from scanner_adapter.jsonio import finite
from scanner_adapter.replay.logs.outcome_log import OutcomeLog

_HEADING = "sub-score             known p10 p50 p90  lift 95 % range   low same verdict"
_LEGEND = """\
known: share of symbols and days; p10, p50, p90: percentiles of the score
lift: rate of hits in the day's top tenth by this score over the rate in all,
with its range; low: the same in the bottom tenth; same: share of four periods
in which the stronger of the two points the same way"""


def report_on_files(
    bars: Path,
    ratings: Path,
    *,
    events: Sequence[Path] = (),
    top: float,
    from_: str | None,
    to: str | None,
    same_day: bool,
    reading: Reading | None = None,
) -> FactorReport:
    """Judge the sub-scores that each scan could know by what that scan found.

    A symbol counts on the days on which the scanner rated it, as in `scanrank replay`.

    Raises
    ------
    InvalidInputError, FeatureError
        For files that cannot be read or do not fit, and where there is no hit to judge by.
    """
    rule = TopShare(top)
    how = reading or Reading()
    released = read_events(events, **how)
    known = Bars.read(bars, **how)
    log = OutcomeLog.read(ratings, known.dates, known.symbols, **how)
    is_rated = ~np.isnan(log.rating)
    days = _days(log, is_rated, from_, to)
    hits = np.zeros((len(days), len(known.symbols)), bool)
    for row, day in enumerate(days):
        places = np.flatnonzero(is_rated[day])
        hits[row, places] = log.hits(rule, int(day), places)
    # Each scan beside the day whose evening it knew: gaps between scans then do no harm.
    panel = sub_score_panel(known, released, dates=known.dates[days - (not same_day)])
    values = np.where(is_rated[days][:, :, None], panel.values, np.float32(np.nan))
    aligned = Panel(values, panel.names, known.dates[days], panel.symbols)
    return factor_report(aligned, hits, day_old=False)


def _days(
    log: OutcomeLog, is_rated: np.ndarray[tuple[int, int], np.dtype[np.bool_]],
    from_: str | None, to: str | None,
) -> np.ndarray[tuple[int], np.dtype[np.intp]]:  # fmt: skip
    """Rows of the days with ratings from `from_` to `to`; nothing was known before the first."""
    wanted = is_rated.any(axis=1) & (np.arange(len(log.dates)) > 0)
    for given, is_first in ((from_, True), (to, False)):
        if given is not None:
            try:
                day = np.datetime64(pd.Timestamp(given), "D")
            except ValueError as err:
                raise InvalidInputError(
                    f"{given!r} is no date; expected one such as 2019-12-31"
                ) from err
            wanted &= log.dates >= day if is_first else log.dates <= day
    if not wanted.any():
        raise InvalidInputError(
            f"no scan from {from_ or 'the first'} to {to or 'the last'}; the bars run "
            f"{log.dates[0]} .. {log.dates[-1]}"
        )
    return np.flatnonzero(wanted)


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
        factor=[str(name).partition(".")[0] for name in found.table.index],
        strength=found.table[["lift", "low_lift"]].max(axis=1),
    )
    for factor, rows in table.groupby("factor", sort=False):
        lines.append(str(factor))
        known = rows[rows["verdict"] != "unknown"].sort_values("strength", ascending=False)
        lines += [_line(str(name).partition(".")[2], row) for name, row in known.iterrows()]
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
    return (
        f"  {name:<20} {row['coverage']:>4.0%} {row['p10']:>3.0f} {row['p50']:>3.0f} "
        f"{row['p90']:>3.0f} {row['lift']:>5.2f} {spread:>10} {row['low_lift']:>5.2f} "
        f"{row['stability']:>4.2f} {row['verdict']}"
    ).rstrip()
