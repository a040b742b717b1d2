"""One notion of the day of a stamp: shown days stay, numbers are read as what they can only be.

Public cases: ranaroussi/yfinance issues 2327 and 184 (zones and days mixed), pandas issue 24987
(two offsets in one column), Finnhub's epoch seconds (`gradeTime`, `datetime`).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bandit.errors import InvalidInputError
from features import Bars, Events, InvalidBarsError, InvalidEventsError
from features.inputs.days import as_day, read_stamps
from scanner_adapter.replay.logs.outcome_log import OutcomeLog

DAY = np.datetime64("2024-05-02")
EPOCH = 1714608000  # 2024-05-02 00:00 UTC

MEANS_THE_DAY = [
    "2024-05-02", "2024/05/02", "2024-5-2", "20240502", 20240502, 20240502.0, " 2024-05-02 ",
    "2024-05-02 20:30:00-04:00", "2024-05-02T23:59:59.123456789Z", "2024-05-02T04:00:00Z",
    "20240502T130411", "May 2, 2024", "2-May-2024", "Thu, 02 May 2024 13:04:11 GMT",
    "2024-05-02 00:00",
    EPOCH, EPOCH * 10**3, EPOCH * 10**6, EPOCH * 10**9, EPOCH + 0.5, str(EPOCH), np.int64(EPOCH),
    pd.Timestamp("2024-05-02 20:30", tz="America/New_York"),
    pd.Timestamp("2024-05-02 23:59").date(),
    pd.Timestamp("2024-05-02 00:30", tz="Asia/Tokyo"), np.datetime64("2024-05-02T12"),
]  # fmt: skip
IS_NO_DAY = {
    "03/04/2024": "2024-04-03 (day first) or 2024-03-04 (month first)",
    "03.04.2024": "2024-04-03 (day first) or 2024-03-04 (month first)",
    "03/04/24": "ambiguous",
    "45414": "neither YYYYMMDD nor an epoch",
    7: "neither YYYYMMDD nor an epoch",
    45414.0: "neither YYYYMMDD nor an epoch",
    -1: "neither YYYYMMDD nor an epoch",
    10**25: "neither YYYYMMDD nor an epoch",
    20240231: "neither YYYYMMDD nor an epoch",
    True: "not a date",
    "soon": "not a date",
    "10:30": "not a date",
    "2024-02-31": "not a date",
    None: "missing",
    "": "missing",
    float("nan"): "missing",
}


@pytest.mark.parametrize("value", MEANS_THE_DAY, ids=repr)
def test_whatever_shows_the_day_means_it(value: object) -> None:
    assert as_day(value) == DAY
    column = read_stamps(pd.Series([value, "2023-01-01"], dtype=object))
    assert column.days.tolist() == [DAY.item(), np.datetime64("2023-01-01").item()]


@pytest.mark.parametrize(("value", "message"), IS_NO_DAY.items(), ids=repr)
def test_what_is_no_day_is_refused_by_name(value: object, message: str) -> None:
    with pytest.raises(InvalidBarsError) as refused:
        as_day(value)
    assert message in str(refused.value)
    assert repr(value) in str(refused.value)


def test_other_rows_tell_day_from_month() -> None:
    """13/04 can only be a day first; then 03/04 is the third of April."""
    days = read_stamps(pd.Series(["03/04/2024", "13/04/2024"])).days
    assert days.astype(str).tolist() == ["2024-04-03", "2024-04-13"]
    days = read_stamps(pd.Series(["03/04/2024", "03/14/2024"])).days
    assert days.astype(str).tolist() == ["2024-03-04", "2024-03-14"]
    both = read_stamps(pd.Series(["03/04/2024", "13/04/2024", "04/13/2024"]))
    assert list(both.problems) == [0, 1, 2], "they contradict each other"


def test_tz_takes_utc_and_epochs_to_the_market() -> None:
    """00:30 UTC on the third is 20:30 on the second in New York."""
    for value in ("2024-05-03T00:30Z", "2024-05-03T00:30:00+00:00", EPOCH + 88_200,
                  pd.Timestamp("2024-05-03 00:30", tz="UTC")):  # fmt: skip
        assert as_day(value) == DAY + 1
        assert as_day(value, tz="America/New_York") == DAY
    assert as_day("2024-05-02 23:00", tz="America/New_York") == DAY, "nothing says that it is UTC"
    assert as_day(20240502, tz="America/New_York") == DAY


@pytest.mark.parametrize("value", MEANS_THE_DAY, ids=repr)
def test_bars_events_and_logs_agree(value: object) -> None:
    stamp = pd.Series([value], dtype=object)
    bar = pd.DataFrame({"date": stamp, "symbol": "A", "open": 1.0, "high": 1.0, "low": 1.0})
    assert Bars.from_frame(bar.assign(close=1.0, volume=1)).dates.tolist() == [DAY.item()]
    rating = pd.DataFrame({"date": stamp, "symbol": "A", "action": "up"})
    ratings = Events.from_frames(ratings=rating).ratings
    assert ratings is not None
    assert ratings.day.astype("datetime64[D]").tolist() == [(DAY + 1).item()]
    log = OutcomeLog.from_frame(
        pd.DataFrame({"date": stamp, "symbol": "A", "rating": 1.0}), np.array([DAY]), ["A"]
    )
    assert log.rating.tolist() == [[1.0]]


@pytest.mark.parametrize("value", [v for v in IS_NO_DAY if v not in (None, True)], ids=repr)
def test_all_of_them_refuse_alike(value: object) -> None:
    frame = pd.DataFrame({"date": pd.Series([value], dtype=object), "symbol": "A", "rating": 1.0})
    with pytest.raises(InvalidInputError, match="row 0 of ratings"):
        OutcomeLog.from_frame(frame, np.array([DAY]), ["A"])
    with pytest.raises(InvalidEventsError, match="row 0 of ratings"):
        Events.from_frames(ratings=frame.assign(action="up"))
    with pytest.raises(InvalidBarsError, match="row 0 of bars"):
        Bars.from_frame(frame.assign(open=1, high=1, low=1, close=1, volume=1))


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/London", "Asia/Tokyo"])
def test_a_saved_history_has_two_offsets(zone: str) -> None:
    """`Ticker.history().to_csv()`: -05:00 and -04:00 in one column; the shown day is the day.

    Taken to UTC, London's and Tokyo's midnights lie on the day before: refused, unless the zone is
    given.
    """
    days = pd.bdate_range("2024-03-01", "2024-04-05", name="Date").tz_localize(zone)
    frame = pd.DataFrame(dict.fromkeys(("Open", "High", "Low", "Close", "Volume"), 9.0), index=days)
    saved = frame.set_index(days.astype(str)).rename_axis(index="Date").reset_index()
    expected = pd.bdate_range("2024-03-01", "2024-04-05").to_numpy().astype("datetime64[D]")
    for given in (saved, frame):
        assert Bars.from_frame(given, symbol="A").dates.tolist() == expected.tolist()
    utc = saved.assign(Date=pd.to_datetime(saved["Date"], utc=True))
    assert Bars.from_frame(utc, symbol="A", tz=zone).dates.tolist() == expected.tolist()
    if zone == "America/New_York":
        assert Bars.from_frame(utc, symbol="A").dates.tolist() == expected.tolist()
    else:
        with pytest.raises(InvalidBarsError, match=r"midnight in another timezone.*tz="):
            Bars.from_frame(utc, symbol="A")


def test_an_evening_rating_stays_on_its_day() -> None:
    """20:30 in New York is the next day in UTC; the log must not see its own day's bars."""
    dates = np.array(["2024-01-04", "2024-01-05", "2024-01-08"], "datetime64[D]")
    stamp = pd.Series([pd.Timestamp("2024-01-05 20:30", tz="America/New_York")])
    log = OutcomeLog.from_frame(
        pd.DataFrame({"date": stamp, "symbol": "A", "rating": 1.0}), dates, ["A"]
    )
    assert np.flatnonzero(~np.isnan(log.rating[:, 0])).tolist() == [1]
