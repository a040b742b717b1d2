"""Events: what is known when, and the arithmetic of each fundamental sub-score by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr
from scipy.stats import nbinom

from features import Bars, Events, InvalidEventsError, sub_score_panel
from features.inputs.events import decayed_sum


def calm_bars(n_days: int = 200, symbols: tuple[str, ...] = ("A", "B")) -> Bars:
    """Prices that move by 1 % up and down in turn; every calendar day is a trading day."""
    close = np.where(np.arange(n_days)[:, None] % 2, 101.0, 100.0) * np.ones((1, len(symbols)))
    dates = np.datetime64("2019-01-01") + np.arange(n_days)
    volume = np.full(close.shape, 1e6)
    return Bars(dates, symbols, close, close * 1.01, close * 0.99, close, volume)


def score(bars: Bars, events: Events, name: str, symbol: str = "A") -> pd.Series:
    panel = sub_score_panel(bars, events)
    values = panel.values[:, panel.symbols.index(symbol), panel.names.index(name)]
    return pd.Series(values, index=panel.dates)


def report(**columns: object) -> pd.DataFrame:
    usual = {"symbol": "A", "eps_estimate": 1.0, "release_time": "pre"}
    return pd.DataFrame({**usual, **columns})


def test_surprise_is_standardised_and_decays() -> None:
    """No past: the scale is 5 % of 1.00 plus 0.01 = 0.06, so +0.12 is 2 deviations; z = log 3.

    30 days later half is left.
    """
    events = Events.from_frames(earnings=report(date=["2019-02-01"], eps_actual=1.12))
    surprise = score(calm_bars(), events, "fundamental.surprise")
    assert np.isnan(surprise["2019-01-31"])
    assert surprise["2019-02-01"] == pytest.approx(100 * ndtr(np.log(3.0)), abs=1e-4)
    assert surprise["2019-03-03"] == pytest.approx(100 * ndtr(np.log(3.0) / 2), abs=1e-4)
    assert np.isnan(score(calm_bars(), events, "fundamental.surprise", "B")).all()


def test_a_past_of_large_surprises_makes_one_small() -> None:
    """Past +0.40: scale = sqrt((0.06^2 + 0.40^2) / 2) = 0.286, so +0.12 is 0.42 deviations."""
    table = report(date=["2019-01-10", "2019-04-10"], eps_actual=[1.40, 1.12])
    surprise = score(calm_bars(), Events.from_frames(earnings=table), "fundamental.surprise")
    z = np.log1p(0.12 / np.sqrt((0.06**2 + 0.40**2) / 2))
    assert surprise["2019-04-10"] == pytest.approx(100 * ndtr(z), abs=1e-4)


def test_streak_counts_and_turns() -> None:
    """Three beats in a row are +3, the miss after them starts at -1."""
    dates = ["2018-10-01", "2019-01-05", "2019-02-05", "2019-03-05"]
    table = report(date=dates, eps_actual=[1.1, 1.2, 1.3, 0.9])
    streak = score(calm_bars(), Events.from_frames(earnings=table), "fundamental.surprise_streak")
    assert streak["2019-02-05"] == pytest.approx(100 * ndtr(3 / 4), abs=1e-4)
    assert streak["2019-03-05"] == pytest.approx(100 * ndtr(-1 / 4), abs=1e-4)


def test_a_report_after_the_close_takes_none_from_that_evening() -> None:
    """Two of one date: the one before the open (+0.12, see above) counts until the next day."""
    both = report(date=["2019-02-01"] * 2, eps_actual=[1.12, 0.7], release_time=["pre", "post"])
    scores = [
        score(calm_bars(), Events.from_frames(earnings=table), "fundamental.surprise")
        for table in (both, both.iloc[:1])
    ]
    assert scores[0]["2019-02-01"] == scores[1]["2019-02-01"] > 50.0
    assert scores[0]["2019-02-02"] < 50.0


def test_of_two_reports_known_at_once_the_later_row_counts() -> None:
    both = report(date=["2019-02-01"] * 2, eps_actual=[0.7, 1.12])
    scores = [
        score(calm_bars(), Events.from_frames(earnings=table), "fundamental.surprise")
        for table in (both, both.iloc[1:])
    ]
    pd.testing.assert_series_equal(*scores)


def test_next_report_is_due_a_year_after_the_one_three_back() -> None:
    """Reports on 7 May, 6 August, 5 November 2018 and 11 February 2019: the next is due on
    6 May 2019, 364 days after the first, not 91 days after the last (13 May)."""
    dates = ["2018-05-07", "2018-08-06", "2018-11-05", "2019-02-11"]
    events = Events.from_frames(earnings=report(date=dates, eps_actual=1.1))
    due = score(calm_bars(), events, "fundamental.report_due")
    assert due["2019-03-01":].idxmax() == pd.Timestamp("2019-05-06")
    first = Events.from_frames(earnings=report(date=dates[-1:], eps_actual=1.1))
    due = score(calm_bars(), first, "fundamental.report_due")
    assert due["2019-03-01":].idxmax() == pd.Timestamp("2019-05-13")


def test_reaction_is_the_return_of_the_first_day_that_knew() -> None:
    """Prices move 1 % a day; after the close of 31 January comes news, 1 February moves 5 %."""
    bars = calm_bars()
    row = int(np.flatnonzero(bars.dates == np.datetime64("2019-02-01"))[0])
    close = bars.close.copy()
    close[row, 0] = close[row - 1, 0] * 1.05
    jumped = Bars(bars.dates, bars.symbols, close, close * 1.01, close * 0.99, close, bars.volume)
    table = report(date=["2019-01-31"], eps_actual=1.1, release_time="post")
    reaction = score(jumped, Events.from_frames(earnings=table), "fundamental.reaction")
    assert np.isnan(reaction["2019-01-31"])
    z = np.log1p(np.log(1.05) / np.log(1.01)) / 0.7
    decay = 0.5 ** (1 / 30)  # the release is a day old
    assert reaction["2019-02-01"] == pytest.approx(100 * ndtr(z * decay), abs=1e-3)


def test_rating_changes_add_subtract_and_decay() -> None:
    """Up, then down 20 days later (the half-life): 0.5 - 1 = -0.5, known a day later."""
    table = pd.DataFrame(
        {
            "symbol": ["A", "A", "B"],
            "date": ["2019-02-01", "2019-02-21", "2019-02-01"],
            "action": ["Up", "down", "reiterate"],
        }
    )
    events = Events.from_frames(ratings=table)
    rating = score(calm_bars(), events, "fundamental.rating_changes")
    assert np.isnan(rating["2019-02-01"])
    assert rating["2019-02-02"] == pytest.approx(100 * ndtr(1.0), abs=1e-4)
    assert rating["2019-02-22"] == pytest.approx(100 * ndtr(-0.5), abs=1e-4)
    assert score(calm_bars(), events, "fundamental.rating_changes", "B")["2019-02-02"] == 50.0
    assert events.ratings is not None
    balance = decayed_sum(events.ratings, events.ratings.columns["sign"], 20.0)
    assert balance.tolist() == [1.0, -0.5, 0.0]


def test_news_is_a_surprise_against_the_own_rate() -> None:
    """One article a day for 60 days, then five a day for three: 15 where 3 are usual.

    Rate: (60 + 1) in (60 + 10) days; the count of 3 days is negative binomial(61, 70 / 73).
    """
    bars = calm_bars()
    days = pd.date_range("2019-01-01", periods=63)
    table = pd.DataFrame({"symbol": "A", "date": days, "count": [1] * 60 + [5] * 3})
    activity = score(bars, Events.from_frames(news=table), "fundamental.news_activity")
    law = nbinom(61, 70 / 73)
    expected = 100 * (law.cdf(15) + law.cdf(14)) / 2
    assert activity["2019-03-05"] == pytest.approx(expected, abs=1e-3)
    assert 25 < activity["2019-02-20"] < 75
    # the first ten days have no norm, and nobody counts any more 63 days after the last article
    assert np.isnan(activity["2019-01-05"])
    assert np.isnan(activity["2019-05-20"])


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ({"earnings": pd.DataFrame({"symbol": ["A"]})}, "missing columns in earnings: date"),
        ({"earnings": report(date=["2019-01-02"], eps_actual=["n/a"])}, "eps_actual of A .*'n/a'"),
        (
            {"earnings": report(date=["2019-01-02"], eps_actual=1.0, release_time="noon")},
            "release_time of earnings is 'noon'",
        ),
        ({"earnings": report(date=["soon"], eps_actual=1.0)}, "not a date"),
        (
            {"ratings": pd.DataFrame({"symbol": [None], "date": "2019-01-02", "action": "up"})},
            "row 0 of ratings has no symbol",
        ),
        (
            {"news": pd.DataFrame({"symbol": ["A"], "date": "2019-01-02", "count": -1})},
            "count of A in news is -1",
        ),
    ],
)
def test_bad_events_are_named(frames: dict[str, pd.DataFrame], message: str) -> None:
    with pytest.raises(InvalidEventsError, match=message):
        Events.from_frames(**frames)


def test_scheduled_reports_and_empty_tables_are_no_events() -> None:
    table = report(date=["2019-02-01"], eps_actual=[np.nan])
    events = Events.from_frames(earnings=table, ratings=None, news=None)
    assert repr(events) == "Events(0 earnings, 0 ratings, 0 news)"
    assert np.isnan(score(calm_bars(), events, "fundamental.surprise")).all()
