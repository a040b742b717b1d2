"""Today's bar from a quote, and that nothing after the quote changes anything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import Bars, Quotes, factor_scores
from features.today import TODAY, TodayScores, today_scores

OPEN = datetime(2018, 6, 5, 13, 30, tzinfo=UTC)  # a Tuesday, 9:30 in New York
N, DAYS = 6, 130


def bars(seed: int = 0, *, n_days: int = DAYS) -> Bars:
    rng = np.random.default_rng(seed)
    shape = (n_days, N)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, shape), axis=0))
    open_ = close * np.exp(rng.normal(0, 0.008, shape))
    high = np.maximum(open_, close) * (1 + np.abs(rng.normal(0, 0.006, shape)))
    low = np.minimum(open_, close) * (1 - np.abs(rng.normal(0, 0.006, shape)))
    volume = np.round(np.exp(rng.normal(12, 0.5, shape)))
    weekdays = np.busday_offset("2018-06-04", np.arange(n_days) - DAYS + 1, "backward")
    return Bars(weekdays, tuple(f"S{j}" for j in range(N)), open_, high, low, close, volume)


def quotes(minutes: float, *, rows: slice = slice(None), seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    known = bars()
    last = known.close[-1] * np.exp(rng.normal(0, 0.02, N))
    frame = pd.DataFrame(
        {
            "symbol": known.symbols,
            "time": OPEN + timedelta(minutes=minutes),
            "last": last,
            "open": known.close[-1] * 1.001,
            "high": np.maximum(last, known.close[-1]) * 1.004,
            "low": np.minimum(last, known.close[-1]) * 0.996,
            "volume": np.round(np.exp(rng.normal(10, 0.5, N))),
        }
    )
    return frame.iloc[rows]


def scores(frame: pd.DataFrame, minutes: float, known: Bars | None = None) -> TodayScores:
    found = today_scores(known or bars(), Quotes.read(frame), now=OPEN + timedelta(minutes=minutes))
    assert found is not None
    return found


def test_a_quote_at_the_close_is_the_day_itself() -> None:
    """All of the session is done: volume and range are the quote's, every sub-score the bar's."""
    frame = quotes(390)
    day = Bars.from_frame(
        frame.assign(date="2018-06-05").rename(columns={"last": "close"}).drop(columns="time")
    )
    expected = factor_scores(bars().append(day), as_of="2018-06-05")
    found = scores(frame, 390)
    assert found.day == np.datetime64("2018-06-05")
    n = len(found.names) - len(TODAY)
    wanted = [expected.names.index(name) for name in found.names[:n]]
    np.testing.assert_allclose(found.values[:, :n], expected.values[:, wanted], atol=2e-4)
    assert found.values[:, n].tolist() == [100.0] * N


def test_a_symbol_without_a_quote_keeps_what_the_evening_knew() -> None:
    found = scores(quotes(60, rows=slice(1, None)), 60)
    evening = factor_scores(bars(), as_of="2018-06-04")
    n = len(found.names) - len(TODAY)
    wanted = [evening.names.index(name) for name in found.names[:n]]
    np.testing.assert_array_equal(found.values[0, :n], evening.values[0, wanted])
    assert np.isnan(found.values[0, n:]).all()
    assert not np.isnan(found.values[1:, n:]).any()


def test_volume_so_far_is_put_on_the_scale_of_a_day() -> None:
    """At 10:00 a seventh is usually in: a seventh of the usual volume is a usual day."""
    known = bars()
    usual = np.exp(np.log1p(known.volume[-20:]).mean(axis=0))
    surge = []
    for times in (0.5, 1.0, 2.0):
        frame = quotes(30).assign(volume=0.14 * usual * times)
        found = scores(frame, 30)
        surge.append(found.values[:, found.names.index("market.volume_surge")])
    assert (np.diff(surge, axis=0) > 5.0).all()
    assert 25.0 < np.median(surge[1]) < 75.0


def test_a_gap_is_in_the_symbols_own_daily_moves() -> None:
    frame = quotes(30)
    known = bars()
    frame["open"] = known.close[-1] * np.array([1.05, 0.95, 1.0, 1.0, 1.0, 1.0])
    found = scores(frame, 30)
    gap = found.values[:, found.names.index("market.gap")]
    assert gap[0] > 99.0
    assert gap[1] < 1.0
    np.testing.assert_allclose(gap[2:], 50.0, atol=1e-3)


def test_without_a_quote_that_counts_there_is_no_today() -> None:
    stale = Quotes.read(quotes(-600))
    assert today_scores(bars(), stale, now=OPEN + timedelta(minutes=30)) is None
    foreign = Quotes.read(quotes(10).assign(symbol=[f"X{j}" for j in range(N)]))
    assert today_scores(bars(), foreign, now=OPEN + timedelta(minutes=30)) is None


def test_how_far_the_session_is_does_not_hang_on_a_symbols_last_trade() -> None:
    """At 15:00 a symbol that last traded at 9:35 has the volume of 15:00, not of five minutes."""
    fresh = scores(quotes(330), 330)
    frame = quotes(330)
    frame.loc[0, "time"] = OPEN + timedelta(minutes=5)
    np.testing.assert_array_equal(scores(frame, 330).values, fresh.values)


def test_whole_bars_of_the_day_count_where_they_know_more_than_the_quotes() -> None:
    """After the close: prices alone, a few quotes, and quotes from before the close."""
    evening = bars(n_days=DAYS + 1)
    day = evening.dates[-1]
    expected = factor_scores(evening, as_of=day)
    few = quotes(390, rows=slice(0, 2))
    for frame, n_other in (
        (quotes(390).drop(columns="volume"), 0), (quotes(300), 0), (few, 2),
    ):  # fmt: skip
        now = OPEN + timedelta(hours=8)
        found = today_scores(evening, Quotes.read(frame), now=now, has_day=True)
        assert found is not None
        assert found.day == day
        n = len(found.names) - len(TODAY)
        wanted = [expected.names.index(name) for name in found.names[:n]]
        values = dict(zip(found.used.symbols, found.used.volume, strict=True))
        assert [values[f"S{j}"] for j in range(n_other, N)] == evening.volume[-1, n_other:].tolist()
        if n_other:
            assert values["S0"] == few["volume"].iloc[0]
        else:
            np.testing.assert_allclose(found.values[:, :n], expected.values[:, wanted], atol=2e-4)
            assert f"6 of 6 quotes left out: the bars know more of {day}" in found.used.notes


def test_a_split_since_the_last_bar_is_no_fall() -> None:
    frame = quotes(60)
    frame["previous_close"] = bars().close[-1]
    plain = scores(frame, 60)
    assert plain.used.notes == ()
    split = frame.copy()
    split.loc[2, ["last", "open", "high", "low", "previous_close"]] /= 4.0
    split.loc[2, "volume"] *= 4.0
    found = scores(split, 60)
    assert found.used.notes == ("1 split since the last bar adjusted (S2 4 for 1)",)
    np.testing.assert_allclose(found.values, plain.values, atol=1e-3)


def test_bars_that_end_on_another_day_show_no_splits() -> None:
    """Where most closes differ from the vendor's, one that doubled is a move."""
    frame = quotes(60)
    frame["previous_close"] = bars().close[-1] * np.array([2.0, 1.02, 0.97, 1.03, 0.96, 1.01])
    assert scores(frame, 60).used.notes == ()


@settings(max_examples=15, deadline=None)
@given(
    minutes=st.integers(0, 389),
    later=st.integers(1, 600),
    seed=st.integers(0, 5),
    n_late=st.integers(1, N),
)
def test_nothing_after_a_quotes_time_changes_anything(
    minutes: int, later: int, seed: int, n_late: int
) -> None:
    """Neither quotes that came later, nor the day's own bar or any after it."""
    frame = quotes(minutes)
    plain = scores(frame, minutes)
    late = quotes(minutes + later, seed=seed + 2).iloc[:n_late]
    tail = bars(seed + 7, n_days=DAYS + 3)
    known = bars()
    known = Bars(
        np.concatenate([known.dates, tail.dates[-3:]]),
        known.symbols,
        *(
            np.concatenate([getattr(known, name), getattr(tail, name)[-3:]])
            for name in ("open", "high", "low", "close", "volume")
        ),
    )
    found = scores(pd.concat([late, frame]), minutes, known)
    np.testing.assert_array_equal(found.values, plain.values)
    assert any("later than the scan" in note for note in found.used.notes)


@pytest.mark.parametrize("minutes", [0, 30, 150, 389])
def test_every_sub_score_that_bars_give_is_known(minutes: float) -> None:
    found = scores(quotes(minutes), minutes)
    day_old = factor_scores(bars(), as_of="2018-06-04")
    known = {n for k, n in enumerate(day_old.names) if not np.isnan(day_old.values[:, k]).all()}
    now = {n for k, n in enumerate(found.names) if not np.isnan(found.values[:, k]).all()}
    assert known <= now
