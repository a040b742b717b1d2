"""Daily bars from intraday ones, with today's volume so far put on the scale of a whole day.

At eleven o'clock a symbol has traded a third of its day. Against whole days its volume would look
dull until the close; against the same hours of its own past it is what it is. So the volume of an
unfinished day is projected with the symbol's own profile, and every daily sub-score can be used.
"""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import InvalidBarsError
from features.inputs.calendars import ALWAYS_OPEN, calendar_labels, is_weekend
from features.inputs.days import Stamps
from features.inputs.hours import EXCHANGES, early_close
from features.inputs.layouts import tidy
from features.inputs.tables import FIELDS, OnBad, Rows

log = logging.getLogger("scanrank")

# Days of the symbol's own past that its volume profile is taken from.
_PROFILE_DAYS = 20
# Share of a day's volume that must be in for a projection; before, it would be mostly noise.
_LEAST_SHARE = 0.02
# New York, in minutes: trading before and after the session, and the session itself.
_NEW_YORK = "America/New_York"
_NEW_YORK_NAMES = (_NEW_YORK, "US/Eastern")
_EXTENDED, _SESSION = (4 * 60, 20 * 60), (9 * 60 + 30, 16 * 60)
# Of stamps without a zone it is inferred from trades as early and as late as nowhere else.
_BEFORE, _AFTER = 8 * 60, 17 * 60


def daily_bars(
    frame: object,
    *,
    symbol: str | None = None,
    tz: str | None = None,
    extended: bool = False,
    on_bad: OnBad = "raise",
) -> pd.DataFrame:
    """Aggregate intraday bars to one bar a day and symbol, for `Bars.from_frame`.

    Parameters
    ----------
    frame : data frame, or mapping of symbol to data frame
        Intraday bars in any layout that `Bars.from_frame` takes; stamps in exchange-local time or
        with a zone, each at the start of its bar. Stamps in UTC are taken to New York where all of
        a symbol's lie within its trading hours, from 04:00 to 20:00 on weekdays. Daily rows
        followed by a live row of the last day are left as they are: the live row is its bar.
    symbol : str, optional
        The symbol of a frame that holds one symbol and does not name it.
    tz : str, optional
        Zone of the market, to which stamps in UTC and epochs are taken.
    extended : bool
        Whether trades in New York before 09:30 and from 16:00 on count. By default a day's bar is
        that of its session, as in vendors' daily bars.
    on_bad : "raise" or "skip"
        Whether a row that cannot be read is an error, or is left out and logged.

    Returns
    -------
    DataFrame
        Columns date, symbol, open, high, low, close, volume. On the last day, if it ends earlier
        than the days before it and its session was not to end so early, the volume is divided by
        the share of a day's volume that the symbol had traded by that time on its last 20 days (of
        the median symbol, if it has no past). A symbol that had traded less than 2 % by then keeps
        NaN: too early to say.

    Raises
    ------
    InvalidBarsError
        If columns are missing, or a stamp or a number cannot be read.

    Examples
    --------
    >>> import pandas as pd
    >>> hours = [f"2024-01-{day:02d} {hour}:00" for day in (2, 3, 4) for hour in (10, 12, 14)]
    >>> frame = pd.DataFrame({"date": hours[:-2], "symbol": "A", "open": 9.0, "high": 9.5,
    ...     "low": 8.5, "close": 9.2, "volume": [50, 30, 20, 50, 30, 20, 80]})
    >>> daily_bars(frame)["volume"].tolist()    # 80 by noon, when half is usually in
    [100.0, 100.0, 160.0]
    """
    checked = Rows(tidy(frame, symbol=symbol), "bars", InvalidBarsError, on_bad)
    codes, names = checked.codes()
    stamps = checked.stamps(tz=tz)
    numbers = {field: checked.numbers(field) for field in FIELDS}
    good = checked.good & ~np.isnan(np.column_stack(list(numbers.values())[:4])).any(axis=1)
    for note in checked.notes:
        log.warning("bars: %s", note)
    if not good.any():
        checked.fail(f"no complete bar in {len(good)} rows; expected at least one")
    zone = tz or str(getattr(checked.table["date"].dtype, "tz", None))
    wall, is_session = _local(stamps, codes, names, good, zone)
    if not extended:
        good &= is_session
    stamp = pd.Series(wall[good].astype("datetime64[us]"))
    day = stamp.dt.normalize()
    rows = pd.DataFrame(
        {"date": day, "code": codes[good], "time": stamp - day, "stamp": stamp}
        | {field: values[good] for field, values in numbers.items()}
    ).sort_values(["code", "stamp"], kind="stable")
    rows = _live_rows(rows)
    by = rows.groupby(["code", "date"], sort=True)
    daily = by.agg(
        open=("open", "first"),
        high=("high", "max"),
        low=("low", "min"),
        close=("close", "last"),
        volume=("volume", "sum"),
    ).reset_index()
    labels = _labels(rows, names)
    for label in np.unique(labels):
        members = rows["code"].map(lambda code, of=label: labels[code] == of)
        _project(daily, rows[members], str(label))
    daily["symbol"] = pd.Series(names, dtype=object).iloc[daily["code"]].to_numpy()
    return daily[["date", "symbol", *FIELDS]]


def _local(
    stamps: Stamps, codes: NDArray[np.intp], names: list[str], good: NDArray[np.bool_],
    zone: str,
) -> tuple[NDArray[np.datetime64], NDArray[np.bool_]]:  # fmt: skip
    """Return the exchange's time of each row, and whether it lies in the session."""
    wall = stamps.wall.copy()
    new_york = wall.copy()
    utc = stamps.is_utc & good
    if utc.any():
        there = pd.DatetimeIndex(wall[utc]).tz_localize("UTC").tz_convert(_NEW_YORK)
        new_york[utc] = there.tz_localize(None).to_numpy().astype("datetime64[us]")
    days = new_york.astype("datetime64[D]")
    minute = (new_york - days).astype("timedelta64[m]").astype(np.int64)
    inside = (minute >= _EXTENDED[0]) & (minute < _EXTENDED[1]) & ~is_weekend(days)
    n = len(names)

    def all_of(condition: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.asarray(np.bincount(codes[good & ~condition], minlength=n) == 0)

    def any_of(condition: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.asarray(np.bincount(codes[good & condition], minlength=n) > 0)

    by_name = np.array([label == "" for label in calendar_labels(names, days[:0], utc[:0, None])])
    fits = all_of(inside) & by_name
    is_new_york = fits & (
        all_of(utc)
        | (zone in _NEW_YORK_NAMES)
        | (any_of(minute < _BEFORE) & any_of(minute >= _AFTER))
    )
    wall = np.where(is_new_york[codes], new_york, wall)
    in_session = (minute >= _SESSION[0]) & (minute < _SESSION[1])
    return wall, in_session | ~is_new_york[codes] | ~any_of(in_session)[codes]


def _live_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the last row of a symbol's last day where all its days before have one row."""
    size = rows.groupby(["code", "date"])["time"].transform("size")
    is_last = rows["date"] == rows.groupby("code")["date"].transform("max")
    before = size.where(~is_last).groupby(rows["code"]).transform("max")
    is_live = is_last & (size > 1) & (before == 1)
    return rows[~(is_live & rows.duplicated(["code", "date"], keep="last"))]


def _labels(rows: pd.DataFrame, names: list[str]) -> NDArray[np.str_]:
    """Return the calendar of each symbol by its name and its days."""
    dates = np.sort(rows["date"].unique()).astype("datetime64[D]")
    mask = np.zeros((len(dates), len(names)), bool)
    mask[np.searchsorted(dates, rows["date"].to_numpy().astype("datetime64[D]")), rows["code"]] = (
        True
    )
    return calendar_labels(names, dates, mask)


def _project(daily: pd.DataFrame, rows: pd.DataFrame, label: str) -> None:
    """Put the volume of an unfinished last day on the scale of a whole one, in `daily`."""
    if not len(rows):
        return
    last = rows["date"].max()
    past = rows[rows["date"] < last]
    now = rows.loc[rows["date"] == last, "time"].max()
    if not len(past) or now >= past["time"].max() or _ended_early(rows, last, now, label):
        return
    share = _share_by(past, now)
    today = (daily["date"] == last) & daily["code"].isin(rows["code"].unique())
    known = daily.loc[today, "code"].map(share).fillna(share.median())
    daily.loc[today, "volume"] /= known.where(known >= _LEAST_SHARE)


def _ended_early(rows: pd.DataFrame, last: pd.Timestamp, now: pd.Timedelta, label: str) -> bool:
    """Whether the session was to end at the last bar: a finished half day is whole."""
    if label == ALWAYS_OPEN or label not in EXCHANGES:
        return False
    code, zone, _ = EXCHANGES[label]
    close = early_close(code, str(last.date()))
    if close is None:
        return False
    steps = rows.groupby(["code", "date"])["time"].diff().dropna()
    width = pd.Timedelta(steps.median() if len(steps) else 0)
    end = pd.Timestamp(close).tz_convert(zone).tz_localize(None)
    return bool(last + (now + width) >= end)


def _share_by(past: pd.DataFrame, now: pd.Timedelta) -> pd.Series:
    """Return, by symbol, the share of a day's volume traded in bars up to the time of day."""
    days = np.sort(past["date"].unique())[-_PROFILE_DAYS:]
    profile = past[past["date"].isin(days)]
    whole = profile.groupby("code")["volume"].sum()
    early = profile[profile["time"] <= now].groupby("code")["volume"].sum()
    return (early / whole.where(whole > 0)).dropna()
