"""Intraday bars: an unfinished day is judged by the hours it had."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features import Bars, InvalidBarsError
from features.inputs.intraday import daily_bars

PROFILE = {9: 0.4, 11: 0.2, 13: 0.1, 15: 0.3}


def hours(n_days: int, until: int, symbols: dict[str, float]) -> pd.DataFrame:
    rows = []
    for i, day in enumerate(pd.bdate_range("2024-01-02", periods=n_days)):
        for symbol, volume in symbols.items():
            for hour, share in PROFILE.items():
                if i == n_days - 1 and hour > until:
                    continue
                price = 10.0 + i + hour / 100
                stamp = day + pd.Timedelta(hours=hour)
                rows.append((stamp, symbol, price, price + 1, price - 1, price, volume * share))
    columns = ["Datetime", "symbol", "open", "high", "low", "close", "volume"]
    return pd.DataFrame(rows, columns=columns)


def test_the_unfinished_day_is_scaled_by_the_own_profile() -> None:
    """By 11:00 60 % of a day is in; the projection gives the usual whole day again."""
    daily = daily_bars(hours(25, 11, {"A": 1000.0, "B": 50.0}))
    a = daily[daily["symbol"] == "A"]
    assert len(a) == 25
    assert a["volume"].to_numpy() == pytest.approx(np.full(25, 1000.0))
    assert daily.loc[daily["symbol"] == "B", "volume"].iloc[-1] == pytest.approx(50.0)
    first = a.iloc[0]
    assert (first["open"], first["high"], first["low"], first["close"]) == pytest.approx(
        (10.09, 11.15, 9.09, 10.15)
    )


def test_a_finished_day_is_left_alone() -> None:
    table = hours(3, 15, {"A": 1000.0})
    table.loc[table.index[-1], "volume"] = 900.0  # three times the usual last bar
    assert daily_bars(table)["volume"].iloc[-1] == pytest.approx(1600.0)


def test_a_new_symbol_takes_the_median_profile() -> None:
    table = hours(10, 11, {"A": 1000.0, "B": 100.0, "NEW": 10.0})
    last = table["Datetime"].dt.normalize().max()
    table = table[(table["symbol"] != "NEW") | (table["Datetime"] >= last)]
    daily = daily_bars(table).set_index("symbol")
    assert daily.loc["NEW", "volume"] == pytest.approx(10.0)


def test_too_early_is_unknown_and_zones_keep_their_day() -> None:
    table = hours(10, 9, {"A": 1000.0})
    early = table["Datetime"].dt.hour == 9
    table.loc[early, "volume"] = 1.0  # 0.2 % of a day
    daily = daily_bars(table.assign(Datetime=table["Datetime"].dt.tz_localize("Asia/Tokyo")))
    assert np.isnan(daily["volume"].iloc[-1])
    assert daily["date"].iloc[0] == pd.Timestamp("2024-01-02")
    bars = Bars.from_frame(daily)
    assert len(bars.dates) == 9  # an incomplete bar is no bar


def test_bars_point_to_it() -> None:
    with pytest.raises(InvalidBarsError, match=r"features\.daily_bars"):
        Bars.from_frame(hours(2, 15, {"A": 1.0}))
    with pytest.raises(InvalidBarsError, match="missing columns in bars: volume"):
        daily_bars(hours(2, 15, {"A": 1.0}).drop(columns="volume"))


def minutes(zone: str | None, start: int, end: int, day: str = "2024-01-0{}") -> pd.DataFrame:
    """Two days of half-hours from `start` to `end` (New York hours); prices name the hour."""
    parts = []
    for number in (2, 3):
        stamps = pd.date_range(f"{day.format(number)} 00:00", periods=48, freq="30min")
        stamps = stamps[(stamps.hour >= start) & (stamps.hour < end)]
        price = stamps.hour + stamps.minute / 100.0
        parts.append(
            pd.DataFrame({"date": stamps, "symbol": "A", "open": price, "high": price + 1,
                          "low": price - 1, "close": price, "volume": 10.0})
        )  # fmt: skip
    table = pd.concat(parts, ignore_index=True)
    if zone is not None:
        table["date"] = table["date"].dt.tz_localize("America/New_York").dt.tz_convert(zone)
    return table


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", None])
def test_utc_and_extended_hours_give_the_sessions_own_bars(zone: str | None) -> None:
    """04:00 to 20:00 in New York ends on the next day in UTC; the session is 09:30 to 16:00."""
    daily = daily_bars(minutes(zone, 4, 20))
    assert daily["date"].dt.strftime("%Y-%m-%d").tolist() == ["2024-01-02", "2024-01-03"]
    assert daily["open"].tolist() == [9.3, 9.3]
    assert daily["close"].tolist() == [15.3, 15.3]
    assert daily["volume"].tolist() == [130.0, 130.0]
    whole = daily_bars(minutes(zone, 4, 20), extended=True)
    assert whole["open"].tolist() == [4.0, 4.0]
    assert whole["volume"].tolist() == [320.0, 320.0]


def test_a_finished_half_day_is_whole() -> None:
    """3 July 2024 ended at 13:00; the same hours on 5 July are half of a day."""
    for last, expected in (("2024-07-03", 70.0), ("2024-07-09", 130.0)):
        table = minutes(None, 9, 16)
        table = table[table["date"].dt.strftime("%H:%M") >= "09:30"]
        shift = pd.Timestamp(last) - pd.Timestamp("2024-01-03")
        table = table.assign(date=table["date"] + shift)
        is_last = table["date"].dt.normalize() == pd.Timestamp(last)
        table = table[~is_last | (table["date"].dt.hour < 13)]
        assert daily_bars(table)["volume"].iloc[-1] == pytest.approx(expected)


def test_daily_rows_and_a_live_row_are_one_bar() -> None:
    """Public cases: yfinance issue 573, yahooquery issues 127 and 176."""
    daily = pd.DataFrame(
        {"date": pd.bdate_range("2024-01-02", periods=3), "symbol": "A", "open": 9.0, "high": 9.0,
         "low": 9.0, "close": 9.0, "volume": 1000}
    )  # fmt: skip
    live = daily.tail(1).assign(date=lambda f: f["date"] + pd.Timedelta(hours=16), volume=1001)
    both = pd.concat([daily, live])
    assert daily_bars(both)["volume"].tolist() == [1000, 1000, 1001]
    bars = Bars.from_frame(both)
    assert bars.volume[:, 0].tolist() == [1000, 1000, 1001]
    assert bars.notes == ("the live row of the last day replaces the daily one of 1 symbols",)
