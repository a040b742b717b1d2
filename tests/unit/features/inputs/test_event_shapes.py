# ruff: noqa: E501
"""Events as vendors give them: every shape gives the days, surprises and signs of the plain table.

Public sources: ranaroussi/yfinance (`earnings_dates`, `upgrades_downgrades`, `news`; issues 2365 and
2555), and the documentation of Finnhub, Benzinga, Alpha Vantage, Polygon, EODHD, FMP and Alpaca.
"""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest

from features import Events, InvalidEventsError
from features.inputs.events import EventTable

DAY = "2024-05-02"
NEW_YORK = pd.DatetimeIndex(["2024-08-01 06:30", "2024-05-02 16:30"], tz="America/New_York")
YAHOO = pd.DataFrame(
    {"EPS Estimate": [1.4, 1.5], "Reported EPS": [1.5, 1.6], "Surprise(%)": [7.1, 6.7]},
    index=NEW_YORK.rename("Earnings Date"),
)
PLAIN = pd.DataFrame(
    {"symbol": "A", "date": ["2024-08-01", DAY], "eps_estimate": [1.4, 1.5],
     "eps_actual": [1.5, 1.6], "release_time": ["pre", "post"]}
)  # fmt: skip


def days(table: EventTable | None) -> list[str]:
    assert table is not None
    return table.day.astype("datetime64[D]").astype(str).tolist()


def one(estimate: str, actual: str, stamp: str, **further: object) -> list[dict[str, object]]:
    """Two reports under a vendor's names; `further` may hold a pair of values by row."""
    rows = []
    for k, row in enumerate(PLAIN.to_dict("records")):
        more = {n: v[k] if isinstance(v, tuple) else v for n, v in further.items()}
        rows.append(
            {stamp: row["date"], estimate: row["eps_estimate"], actual: row["eps_actual"]} | more
        )
    return rows


@pytest.mark.parametrize(
    "given",
    [
        YAHOO.assign(symbol="A"),
        {"A": YAHOO},
        {"A": YAHOO.reset_index()},
        YAHOO.reset_index().assign(ticker="A"),
        pd.concat([PLAIN, PLAIN]),
        one("epsEstimate", "epsActual", "date", hour=("bmo", "amc"), symbol="A"),
        {"earningsCalendar": one("epsEstimate", "epsActual", "date", hour=("bmo", "amc"), symbol="A")},
        one("eps_est", "eps", "date", time=("06:30:00", "16:05:00"), ticker="A"),
        {"symbol": "A", "quarterlyEarnings": one(
            "estimatedEPS", "reportedEPS", "reportedDate", reportTime=("pre-market", "post-market"),
            fiscalDateEnding="2024-03-31")},
        one("estimated_eps", "actual_eps", "date", time=("06:30:00", ""), ticker="A"),
        one("estimate", "actual", "report_date", code="A", date="2024-03-31",
            before_after_market=("BeforeMarket", "AfterMarket")),
        one("epsEstimated", "eps", "date", symbol="A", time=("bmo", "amc")),
    ],
)  # fmt: skip
def test_earnings(given: object) -> None:
    """06:30 in New York counts on its day, 16:30 from the next."""
    found = Events.from_frames(earnings=given).earnings
    expected = Events.from_frames(earnings=PLAIN).earnings
    assert days(found) == days(expected) == ["2024-05-03", "2024-08-01"]
    assert found is not None
    assert expected is not None
    for name, column in expected.columns.items():
        assert found.columns[name].tolist() == column.tolist(), name


@pytest.mark.parametrize(
    "given",
    [
        pd.DataFrame({"Firm": "X", "ToGrade": "Buy", "FromGrade": "Hold", "Action": ["up"],
                      "symbol": "A"}, index=pd.DatetimeIndex([f"{DAY} 13:04:11"], name="GradeDate")),
        {"A": pd.DataFrame({"Firm": "X", "Action": ["up"]},
                           index=pd.DatetimeIndex([DAY], name="GradeDate"))},
        [{"symbol": "A", "gradeTime": 1714608000, "company": "X", "action": "up"}],
        [{"ticker": "A", "date": DAY, "time": "08:00:00", "action_company": "Upgrades"}],
        [{"ticker": "A", "date": DAY, "rating_action": "upgrades", "firm": "X"}],
        [{"symbol": "A", "publishedDate": f"{DAY}T13:04:00.000Z", "action": "upgrade"}],
        [{"symbol": "A", "epochGradeDate": 1714608000, "action": "Raised"}] * 3,
    ],
)  # fmt: skip
def test_ratings(given: object) -> None:
    found = Events.from_frames(ratings=given).ratings
    assert days(found) == ["2024-05-03"]
    assert found is not None
    assert found.columns["sign"].tolist() == [1.0]


@pytest.mark.parametrize(
    "given",
    [
        {"A": [{"id": "1", "content": {"title": "t", "pubDate": f"{DAY}T13:04:11Z"}}]},
        {"A": [{"uuid": "1", "title": "t", "providerPublishTime": 1714651451}]},
        [{"id": 1, "datetime": 1714651451, "headline": "h", "related": "A"}],
        {"results": [{"id": "1", "published_utc": f"{DAY}T13:04:11Z", "tickers": ["A"], "title": "t"}]},
        {"feed": [{"title": "t", "url": "u", "time_published": "20240502T130411",
                   "ticker_sentiment": [{"ticker": "A", "relevance_score": "1"}]}]},
        [{"id": 1, "created": "Thu, 02 May 2024 09:04:11 -0400", "stocks": [{"name": "A"}], "title": "t"}],
        {"news": [{"id": 1, "headline": "h", "created_at": f"{DAY}T13:04:11Z", "symbols": ["A"]}]},
        [{"id": 1, "datetime": 1714651451, "headline": "h", "related": "A"}] * 2,
    ],
)  # fmt: skip
def test_news(given: object) -> None:
    found = Events.from_frames(news=given).news
    assert days(found) == ["2024-05-03"]
    assert found is not None
    assert found.columns["total"].tolist() == [1.0]


def test_an_article_about_two_counts_for_both() -> None:
    article = {"id": 1, "datetime": 1714651451, "headline": "h", "related": "A,B"}
    found = Events.from_frames(news=[article]).news
    assert found is not None
    assert found.symbols == ("A", "B")


@pytest.mark.parametrize(
    ("word", "sign"),
    [(w, 1.0) for w in ("up", "Upgrade", "Upgrades", "upgraded", "raised", "Upgraded to Buy")]
    + [(w, -1.0) for w in ("down", "Downgrades", "downgraded", "lowered", "cut")]
    + [(w, 0.0) for w in ("main", "reit", "init", "Maintains", "Initiates Coverage On", "Hold")],
)  # fmt: skip
def test_words(word: str, sign: float) -> None:
    found = Events.from_frames(
        ratings=pd.DataFrame({"symbol": ["A"], "date": DAY, "action": word})
    ).ratings
    assert found is not None
    assert found.columns["sign"].tolist() == [sign]


def test_unknown_words_are_said_and_can_be_taught(caplog: pytest.LogCaptureFixture) -> None:
    frame = pd.DataFrame({"symbol": ["A", "A", "B"], "date": DAY, "action": ["add", "xyz", "up"]})
    with caplog.at_level(logging.WARNING, "scanrank"):
        events = Events.from_frames(ratings=frame)
    assert events.ratings is not None
    assert events.ratings.symbols == ("B",)
    assert "2 of 3 rows left out" in caplog.text
    assert "'add', 'xyz'" in events.notes[0]
    taught = Events.from_frames(ratings=frame, words={"Add": "up", "xyz": "hold"})
    assert taught.notes == ()
    assert taught.ratings is not None
    assert taught.ratings.columns["sign"].tolist() == [1.0, 0.0, 1.0]
    with pytest.raises(InvalidEventsError, match="'add': 'north'; expected up, down or hold"):
        Events.from_frames(ratings=frame, words={"add": "north"})


def test_news_without_a_symbol_names_the_way_out() -> None:
    news = [{"id": "1", "content": {"title": "t", "pubDate": "2024-03-05T13:04:11Z"}}]
    with pytest.raises(InvalidEventsError, match=r"missing columns in news: symbol.*news=\{'AAPL'"):
        Events.from_frames(news=news)


def test_bad_rows_can_be_left_out() -> None:
    frame = PLAIN.assign(eps_actual=["n/a", 1.6])
    with pytest.raises(InvalidEventsError, match="eps_actual of A on 2024-08-01 is 'n/a'"):
        Events.from_frames(earnings=frame)
    events = Events.from_frames(earnings=frame, on_bad="skip")
    assert days(events.earnings) == ["2024-05-03"]
    assert "1 bad row left out" in events.notes[0]
    assert np.isfinite(events.earnings.columns["surprise"]).all()  # type: ignore[union-attr]
