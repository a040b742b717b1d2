"""What a scanner would say at moments of a day: of a rule, of timed ratings, of recorded scans."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from bandit.errors import InvalidInputError
from bandit.rewards import Signal, Threshold
from features import Bars, Session
from features.inputs.quotes import Quotes
from features.similarity import Loadings
from scanner_adapter.replay.logs.contexts import Contexts
from scanner_adapter.replay.logs.known_at import BridgeQuotes, MinuteQuotes
from scanner_adapter.replay.logs.moments import (
    rated_days,
    recorded_days,
    rule_by_now,
    rule_days,
)
from scanner_adapter.replay.logs.outcome_log import OutcomeLog
from scanner_adapter.replay.logs.recorded import RecordedLog, RecordedScan
from scanner_adapter.replay.logs.scans import ReplayLog
from scanner_adapter.scanners.registry import rule_hits
from scanner_adapter.scanners.rules import RULES

N = 5
NEW_YORK = "America/New_York"
FIVE = timedelta(minutes=5)


def bars(n_days: int) -> Bars:
    rng = np.random.default_rng(0)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (n_days, N)), axis=0))
    open_ = close * np.exp(rng.normal(0, 0.01, close.shape))
    high, low = np.maximum(open_, close) * 1.01, np.minimum(open_, close) * 0.99
    days = np.busday_offset("2019-03-29", np.arange(n_days) - n_days + 1, "backward")
    volume = 1e6 * np.exp(rng.normal(0, 0.5, close.shape))
    return Bars(days, tuple(f"S{j}" for j in range(N)), open_, high, low, close, volume)


@pytest.mark.parametrize("n_days", [80, 620])
@pytest.mark.parametrize("name", RULES)
def test_at_the_close_a_rule_says_what_it_says_of_the_day(name: str, n_days: int) -> None:
    """Whether its moments are computed one by one, or follow each other in one series."""
    known = bars(n_days)
    is_hit, rating = rule_hits(name, known)
    day = known.dates[-1]
    moments = np.array([f"{day}T{time}" for time in ("09:30", "12:00", "16:00")], "M8[us]")
    found = rule_by_now(name, known, day, moments, BridgeQuotes(), NEW_YORK)
    np.testing.assert_allclose(found.rating[2], rating[-1], rtol=1e-6)
    np.testing.assert_array_equal(found.signal[2] == 1, is_hit[-1])
    assert (found.rating[:2] != found.rating[2]).any()


def test_a_rule_sees_the_bar_as_it_stands() -> None:
    """Volume was 1e6 on each of 20 days: 1.5e6 by 09:31 is no surge, 2.1e6 by 09:41 is one."""
    known = bars(40)
    known.volume[:] = 1e6
    day = known.dates[-1]
    minutes = pd.DataFrame(
        {
            "date": [f"{day} 09:30", f"{day} 09:40"], "symbol": "S1", "open": 50.0, "high": 51.0,
            "low": 49.0, "close": 50.5, "volume": [1.5e6, 0.6e6],
        }
    )  # fmt: skip
    minutes.loc[2] = [f"{day} 09:45", "S2", 50.0, 51.0, 49.0, 50.5, 1e5]
    quotes = MinuteQuotes(minutes, Session())
    moments = np.array([f"{day}T09:{m}" for m in (30, 35, 45, 50)], "M8[us]")
    found = rule_by_now("volume_surge", known, day, moments, quotes, NEW_YORK)
    np.testing.assert_allclose(found.rating[:, 1], [np.nan, 1.5, 2.1, 2.1])
    np.testing.assert_allclose(found.rating[:, 2], [np.nan, np.nan, np.nan, 0.1])
    assert found.signal[:, 1].tolist() == [-1, 0, 1, 1]
    assert np.isnan(found.rating[:, [0, 3, 4]]).all()


def test_days_of_a_rule_have_a_scan_at_every_moment() -> None:
    known = bars(60)
    contexts = Contexts.compute(known, cached=False)
    log = rule_days(
        "breakout", contexts, Signal(), every=timedelta(hours=1), quotes_of=BridgeQuotes()
    )
    scans = log.scans_of(known.dates[-1])
    assert [f"{scan.now:%H:%M}" for scan in scans] == [f"{hour}:30" for hour in range(13, 20)]
    # Every scan of the day knows the evening before.
    for scan in scans:
        np.testing.assert_array_equal(scan.sub_scores, contexts.sub_scores[-2])
    assert log.scans_of(known.dates[3]) == ()
    for name, every, said in (("noon", FIVE, "noon"), ("squeeze", 0 * FIVE, "every")):
        with pytest.raises(InvalidInputError, match=said):
            rule_days(name, contexts, Signal(), every=every, quotes_of=BridgeQuotes())


def test_many_moments_of_minute_bars_are_read_as_one_snapshot_each() -> None:
    rng = np.random.default_rng(2)
    start = pd.date_range("2019-03-29 09:20", "2019-03-29 16:10", freq="1min")
    rows = pd.DataFrame(
        {
            "date": np.repeat(start, 3).strftime("%Y-%m-%d %H:%M"),
            "symbol": ["B ", "A", "C"] * len(start),
        }
    )
    price = 50 + rng.normal(0, 1, len(rows)).cumsum() * 0.1
    rows = rows.assign(open=price, high=price + 0.1, low=price - 0.1, close=price, volume=100.0)
    rows = rows[rng.random(len(rows)) < 0.3].sample(frac=1.0, random_state=1)
    rows.iloc[5, 5] = np.nan
    rows.iloc[9, 6] = np.nan
    of_day, session = MinuteQuotes(rows, Session()), Session()
    for clock in ("09:30", "09:31", "10:00", "13:37", "16:00", "19:00"):
        now = pd.Timestamp(f"2019-03-29 {clock}", tz=NEW_YORK).to_pydatetime()
        expected, found = Quotes.read(rows, time=now, session=session), of_day(bars(40), 39, now)
        assert found.symbols == expected.symbols
        for name in ("time", "last", "open", "high", "low", "volume"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.fixture
def timed() -> ReplayLog:
    """Four scans of five symbols on two days, three five minutes apart, to some seconds."""
    known = bars(60)
    times = [
        f"{known.dates[-2]} 09:35:02", f"{known.dates[-2]} 09:40:00",
        f"{known.dates[-2]} 09:44:59", f"{known.dates[-1]} 10:00",
    ]  # fmt: skip
    frame = pd.DataFrame(
        {"date": np.repeat(times, N), "symbol": known.symbols * 4, "rating": np.arange(20.0)}
    )
    outcomes = OutcomeLog.from_frame(frame, known.dates, known.symbols, tz=NEW_YORK, is_timed=True)
    return ReplayLog(outcomes, Contexts.compute(known, cached=False), Threshold(7.0))


def test_timed_ratings_are_scans_at_their_times(timed: ReplayLog) -> None:
    log = rated_days(timed, every=FIVE)
    assert log.days.tolist() == timed.contexts.bars.dates[-2:].tolist()
    scans = log.scans_of(log.days[0])
    assert [scan.now for scan in scans] == [
        datetime(2019, 3, 28, 13, 35, 2, tzinfo=UTC), datetime(2019, 3, 28, 13, 40, tzinfo=UTC),
        datetime(2019, 3, 28, 13, 44, 59, tzinfo=UTC),
    ]  # fmt: skip
    assert [int(scan.hits.sum()) for scan in scans] == [0, 3, 5]
    np.testing.assert_array_equal(scans[2].sub_scores, timed.contexts.sub_scores[-3])
    thinned = rated_days(timed, every=timedelta(minutes=10)).scans_of(log.days[0])
    assert [scan.rating[0] for scan in thinned] == [0.0, 10.0]
    in_london = rated_days(timed, every=FIVE, tz="Europe/London").scans_of(log.days[0])
    assert in_london[1].now == datetime(2019, 3, 28, 9, 40, tzinfo=UTC)


def test_one_scan_a_day_says_what_would_do(timed: ReplayLog) -> None:
    outcomes = timed.outcomes
    daily = OutcomeLog(
        outcomes.dates[2:], outcomes.symbols, outcomes.rating[2:], outcomes.signal[2:]
    )
    log = ReplayLog(daily, timed.contexts, timed.rule)
    with pytest.raises(InvalidInputError, match=r"2 scans on 2 days, one a day.*--scanner"):
        rated_days(log, every=FIVE)


def test_recorded_scans_keep_their_times() -> None:
    def recorded(clock: str) -> RecordedScan:
        return RecordedScan(
            datetime.fromisoformat(f"2024-03-{clock}").replace(tzinfo=UTC), ("A", "B"), ("x",),
            np.zeros((2, 1), np.float32), Loadings((), np.empty((2, 0), np.float32)),
            np.array([1.0, 0.0]), np.full(2, -1, np.int8),
        )  # fmt: skip

    scans = tuple(map(recorded, ("04T15:00", "04T15:05", "04T15:10", "05T15:00")))
    log = recorded_days(RecordedLog(scans, Threshold(0.5)), every=timedelta(minutes=10))
    assert [str(day) for day in log.days] == ["2024-03-04", "2024-03-05"]
    assert [scan.now.minute for scan in log.scans_of(log.days[0])] == [0, 10]
    with pytest.raises(InvalidInputError, match="one a day"):
        recorded_days(RecordedLog((scans[0], scans[3]), Threshold(0.5)), every=FIVE)
