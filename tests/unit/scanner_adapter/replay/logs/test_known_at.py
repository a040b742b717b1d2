"""Replays of scans that know their own day up to some time."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from bandit.errors import InvalidInputError
from bandit.rewards import TopShare
from features import Bars, InvalidBarsError, Session
from scanner_adapter.replay.logs.contexts import Contexts
from scanner_adapter.replay.logs.known_at import (
    BridgeQuotes,
    KnownAtLog,
    MinuteQuotes,
    clock_of,
)
from scanner_adapter.replay.logs.outcome_log import OutcomeLog
from scanner_adapter.replay.logs.scans import ReplayLog

N, DAYS = 12, 60


def bars() -> Bars:
    rng = np.random.default_rng(0)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (DAYS, N)), axis=0))
    open_ = close * np.exp(rng.normal(0, 0.01, close.shape))
    high = np.maximum(open_, close) * 1.01
    low = np.minimum(open_, close) * 0.99
    days = np.busday_offset("2019-03-29", np.arange(DAYS) - DAYS + 1, "backward")
    volume = np.full(close.shape, 1e6)
    return Bars(days, tuple(f"S{j:02d}" for j in range(N)), open_, high, low, close, volume)


@pytest.fixture(scope="module")
def log() -> ReplayLog:
    known = bars()
    rating = np.random.default_rng(1).normal(size=known.close.shape)
    signal = np.full(rating.shape, -1, np.int8)
    outcomes = OutcomeLog(known.dates, known.symbols, rating, signal, (), {})
    return ReplayLog(outcomes, Contexts.compute(known, cached=False), TopShare(0.2))


def test_a_scan_knows_its_day_up_to_the_time(log: ReplayLog) -> None:
    days = log.days()[-3:]
    for time, share in (("open", 0.0), ("10:00", 14.0), ("close", 100.0)):
        scans = list(KnownAtLog.of(log, time).scans(days))
        done = {float(v) for scan in scans for v in column(scan, "market.session_done")}
        assert list(done) == pytest.approx([share], abs=1e-4)
    day = next(iter(log.scans(days, same_day=True)))
    at_close = next(iter(KnownAtLog.of(log, "close").scans(days)))
    np.testing.assert_allclose(
        at_close.sub_scores[:, : day.sub_scores.shape[1]], day.sub_scores, atol=2e-3
    )
    assert at_close.now == datetime(2019, 3, 27, 20, 0, tzinfo=UTC)


def test_times_take_turns(log: ReplayLog) -> None:
    scans = list(KnownAtLog.of(log, "10:00, 12:00").scans(log.days()[-4:]))
    assert [scan.now.hour for scan in scans] == [14, 16, 14, 16]


def test_a_path_is_one_path_whatever_the_time() -> None:
    """What had been seen by noon had been seen: highs only rise, and stay within the day's."""
    known, quotes = bars(), BridgeQuotes(3)
    high = np.zeros(N)
    for hour in range(14, 21):
        now = datetime(2019, 3, 29, hour, 0, tzinfo=UTC)
        found = quotes(known, DAYS - 1, now)
        assert (found.high >= high).all()
        assert (found.high <= known.high[-1]).all()
        assert (found.low >= known.low[-1]).all()
        high = found.high
    np.testing.assert_array_equal(found.last, known.close[-1])
    np.testing.assert_array_equal(found.volume, known.volume[-1])


def test_minute_bars_are_what_the_market_showed(log: ReplayLog) -> None:
    day = str(log.dates[-1])
    minutes = pd.DataFrame(
        {
            "date": [f"{day} 09:30", f"{day} 09:31", f"{day} 11:00"], "symbol": "S00",
            "open": 50.0, "high": 52.0, "low": 49.0, "close": [51.0, 51.5, 40.0], "volume": 100,
        }
    )  # fmt: skip
    session = Session()
    found = MinuteQuotes(minutes, session)(bars(), DAYS - 1, datetime(2019, 3, 29, 14, tzinfo=UTC))
    assert found.symbols == ("S00",)
    assert (found.last[0], found.volume[0]) == (51.5, 200.0)
    assert MinuteQuotes(minutes, session)(bars(), 3, datetime.now(UTC)).symbols == ()
    known = KnownAtLog.of(log, "10:00", quotes_of=MinuteQuotes(minutes, session))
    scan = next(iter(known.scans(log.days()[-1:])))
    done = column(scan, "market.session_done")
    assert done[0] < 100.0
    assert np.isnan(done[1:]).all()


def test_minute_bars_say_what_they_cover_and_refuse_what_they_do_not() -> None:
    known = bars()
    day = str(known.dates[-1])
    times = [f"{day} {hour}" for hour in ("09:30", "09:31", "17:00")]
    frame = pd.DataFrame(
        {"date": times, "symbol": "S00", "open": 5.0, "high": 5.0, "low": 5.0, "close": 5.0,
         "volume": 100}
    )  # fmt: skip
    said = MinuteQuotes(frame, Session()).coverage(known)
    assert said == (
        f"1 of {N} symbols on 1 days, {day} to {day}; the others know the evening before"
    )
    daily = frame.assign(date=known.dates[-3:].astype(str))
    for other in (daily, frame.assign(symbol="s00"), frame.iloc[:0], frame.iloc[2:]):
        with pytest.raises(InvalidBarsError, match="share no day and symbol with the bars"):
            MinuteQuotes(other, Session()).coverage(known)
    twice = pd.concat([frame, frame.iloc[1:2]])
    with pytest.raises(InvalidBarsError, match="row 3 of minute bars: S00 has two bars of"):
        MinuteQuotes(twice, Session())
    now = datetime(2019, 3, 29, 20, tzinfo=UTC)
    assert MinuteQuotes(twice, Session(), on_bad="skip")(known, DAYS - 1, now).volume == [200.0]


@pytest.mark.parametrize("wrong", ["noon", "9:30", "08:00", "17:00", "", "25:00"])
def test_times_outside_the_session_are_refused(log: ReplayLog, wrong: str) -> None:
    with pytest.raises(InvalidInputError, match="known-at"):
        KnownAtLog.of(log, wrong)
    assert clock_of("close", Session.around_the_clock()) == "23:59"


def test_same_day_contradicts_it(log: ReplayLog) -> None:
    with pytest.raises(InvalidInputError, match="contradict"):
        next(iter(KnownAtLog.of(log, "open").scans(log.days()[-1:], same_day=True)))


def column(scan: object, name: str) -> np.ndarray:
    values = scan.sub_scores[:, scan.sub_score_names.index(name)]  # type: ignore[attr-defined]
    return np.asarray(values)
