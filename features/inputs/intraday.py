"""Daily bars from intraday ones, with today's volume so far put on the scale of a whole day.

At eleven o'clock a symbol has traded a third of its day. Against whole days its volume would look
dull until the close; against the same hours of its own past it is what it is. So the volume of an
unfinished day is projected with the symbol's own profile, and every daily sub-score can be used.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.errors import InvalidBarsError
from features.inputs.layouts import tidy

# Days of the symbol's own past that its volume profile is taken from.
_PROFILE_DAYS = 20
# Share of a day's volume that must be in for a projection; before, it would be mostly noise.
_LEAST_SHARE = 0.02


def daily_bars(frame: object, *, symbol: str | None = None) -> pd.DataFrame:
    """Aggregate intraday bars to one bar a day and symbol, for `Bars.from_frame`.

    Parameters
    ----------
    frame : data frame
        Intraday bars in any layout that `Bars.from_frame` takes; stamps in exchange-local time
        or with a zone, each at the start of its bar, in order.
    symbol : str, optional
        The symbol of a frame that holds one symbol and does not name it.

    Returns
    -------
    DataFrame
        Columns date, symbol, open, high, low, close, volume. On the last day, if it ends earlier
        than the days before it, the volume is divided by the share of a day's volume that the
        symbol had traded by that time on its last 20 days (of the median symbol, if it has no
        past). A symbol that had traded less than 2 % by then keeps NaN: too early to say.

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
    table = tidy(frame, symbol=symbol)
    try:
        stamps = pd.to_datetime(table["date"])
        volume = pd.to_numeric(table["volume"])
    except (ValueError, TypeError) as err:
        raise InvalidBarsError(f"intraday bars hold a stamp or a volume unread: {err}") from err
    if stamps.isna().any():
        raise InvalidBarsError(f"row {int(np.flatnonzero(stamps.isna())[0])} has no date; date it")
    if stamps.dt.tz is not None:
        stamps = stamps.dt.tz_localize(None)
    day = stamps.dt.normalize()
    rows = table.assign(
        date=day, time=stamps - day, volume=volume.astype(np.float64), stamp=stamps
    ).dropna(subset=["open", "high", "low", "close"])
    rows = rows.sort_values(["symbol", "stamp"], kind="stable")
    by = rows.groupby(["symbol", "date"], sort=True, observed=True)
    daily = by.agg(
        open=("open", "first"),
        high=("high", "max"),
        low=("low", "min"),
        close=("close", "last"),
        volume=("volume", "sum"),
    ).reset_index()
    last = rows["date"].max()
    past = rows[rows["date"] < last]
    now = rows.loc[rows["date"] == last, "time"].max()
    if len(past) and now < past["time"].max():
        share = _share_by(past, now)
        today = daily["date"] == last
        known = daily.loc[today, "symbol"].map(share).fillna(share.median())
        daily.loc[today, "volume"] /= known.where(known >= _LEAST_SHARE)
    return daily[["date", "symbol", "open", "high", "low", "close", "volume"]]


def _share_by(past: pd.DataFrame, now: pd.Timedelta) -> pd.Series:
    """Return, by symbol, the share of a day's volume traded in bars up to the time of day."""
    days = np.sort(past["date"].unique())[-_PROFILE_DAYS:]
    profile = past[past["date"].isin(days)]
    whole = profile.groupby("symbol", observed=True)["volume"].sum()
    early = profile[profile["time"] <= now].groupby("symbol", observed=True)["volume"].sum()
    return (early / whole.where(whole > 0)).dropna()
