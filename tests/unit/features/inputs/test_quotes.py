"""Quotes in the shapes of the vendors, and which of them count at a moment."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features import InvalidQuotesError, Quotes, Session

NOW = datetime(2021, 5, 11, 14, 30, tzinfo=UTC)  # 10:30 in New York
POLYGON = {
    "status": "OK",
    "tickers": [
        {
            "ticker": "AAPL",
            "todaysChangePerc": 0.6,
            "updated": 1620741540306274000,
            "day": {"o": 123.5, "h": 126.0, "l": 123.0, "c": 125.2, "v": 37216, "vw": 124.0},
            "lastTrade": {"p": 125.5, "s": 100, "t": 1620741540000000000, "x": 4, "c": [14]},
            "lastQuote": {"P": 125.6, "S": 1, "p": 125.4, "s": 4, "t": 1620741540000000000},
            "min": {"av": 37216, "o": 125.0, "h": 126.0, "l": 125.0, "c": 125.2, "v": 500},
            "prevDay": {"o": 127.0, "h": 128.0, "l": 126.0, "c": 126.85, "v": 292738},
        },
        {  # did not trade yet
            "ticker": "IDLE",
            "updated": 0,
            "day": {"o": 0, "h": 0, "l": 0, "c": 0, "v": 0},
            "prevDay": {"o": 1.0, "h": 1.0, "l": 1.0, "c": 1.0, "v": 10},
        },
    ],
}
ALPACA = {
    "AAPL": {
        "latestTrade": {"t": "2021-05-11T13:59:00.123456789Z", "x": "V", "p": 125.5, "s": 100},
        "latestQuote": {"t": "2021-05-11T13:59:00.1Z", "ap": 125.6, "bp": 125.4},
        "minuteBar": {"t": "2021-05-11T13:58:00Z", "o": 1, "h": 1, "l": 1, "c": 1, "v": 1},
        "dailyBar": {
            "t": "2021-05-11T04:00:00Z", "o": 123.5, "h": 126.0, "l": 123.0, "c": 125.5, "v": 37216,
        },
        "prevDailyBar": {
            "t": "2021-05-10T04:00:00Z", "o": 1, "h": 1, "l": 1, "c": 126.85, "v": 9,
        },
    }
}  # fmt: skip
YAHOO = {
    "quoteResponse": {
        "result": [
            {
                "symbol": "AAPL",
                "shortName": "Apple Inc.",
                "marketState": "REGULAR",
                "regularMarketPrice": 125.5,
                "regularMarketTime": 1620741540,
                "regularMarketOpen": 123.5,
                "regularMarketDayHigh": 126.0,
                "regularMarketDayLow": 123.0,
                "regularMarketVolume": 37216,
                "regularMarketPreviousClose": 126.85,
            }
        ]
    }
}
FINNHUB = {
    "AAPL": {
        "c": 125.5, "d": -1.35, "dp": -1.06, "h": 126.0, "l": 123.0, "o": 123.5, "pc": 126.85,
        "t": 1620741540, "v": 37216,
    }
}  # fmt: skip
PLAIN = [
    {
        "symbol": "AAPL", "time": "2021-05-11T09:59:00-04:00", "last": 125.5, "open": 123.5,
        "high": 126.0, "low": 123.0, "volume": 37216, "previous_close": 126.85,
    }
]  # fmt: skip


@pytest.mark.parametrize(
    "quotes",
    [
        POLYGON,
        {"status": "OK", "ticker": POLYGON["tickers"][0]},
        ALPACA,
        {"snapshots": ALPACA},
        YAHOO,
        YAHOO["quoteResponse"]["result"],
        FINNHUB,
        PLAIN,
        pd.DataFrame(PLAIN),
        pd.DataFrame(PLAIN).set_index("symbol"),
        {"AAPL": {k: v for k, v in PLAIN[0].items() if k != "symbol"}},
    ],
    ids=[
        "polygon", "polygon one", "alpaca", "alpaca nested", "yahoo", "yahoo list", "finnhub",
        "list", "frame", "index", "by symbol",
    ],
)  # fmt: skip
def test_every_vendor_says_the_same(quotes: Any) -> None:
    read = Quotes.read(quotes)
    assert read.symbols == ("AAPL",)
    assert read.time.astype("datetime64[s]")[0] == np.datetime64("2021-05-11T09:59:00")
    printed = [getattr(read, name)[0] for name in ("last", "open", "high", "low", "volume")]
    assert printed == [125.5, 123.5, 126.0, 123.0, 37216.0]
    assert read.previous_close[0] == 126.85


def test_a_symbol_that_did_not_trade_is_left_out_and_counted() -> None:
    assert "1 bad row left out" in Quotes.read(POLYGON).notes[0]
    with pytest.raises(InvalidQuotesError, match="last of IDLE is 0"):
        Quotes.read([{"symbol": "IDLE", "time": "2021-05-11", "last": 0.0}], on_bad="raise")


@pytest.mark.parametrize(
    "quotes",
    [
        {"A": 5.0, "B": None},
        {"A": Decimal("5.0"), "B": float("nan")},
        pd.Series({"A": 5.0, "B": None}),
        {"A": {"last": "5.0"}, "B": None},
        {"snapshots": {"A": {"latestTrade": {"p": 5.0}}, "B": None}},
    ],
    ids=["none", "decimal", "series", "by symbol", "alpaca"],
)
def test_one_symbol_without_a_price_costs_no_other(quotes: Any) -> None:
    read = Quotes.read(quotes, time=NOW)
    assert (read.symbols, read.last.tolist()) == (("A",), [5.0])
    assert read.time[0] == np.datetime64("2021-05-11T10:30:00")
    assert "1 bad row left out (no price above zero)" in read.notes[0]


@pytest.mark.parametrize("answer", [{"tickers": []}, {"snapshots": {}}, {"quoteResponse": {}}])
def test_a_vendor_that_has_no_quotes_yet_is_no_error(answer: dict[str, Any]) -> None:
    assert Quotes.read(answer, time=NOW).symbols == ()


def test_a_volume_of_zero_is_one_that_is_not_known_yet() -> None:
    assert np.isnan(Quotes.read([{**PLAIN[0], "volume": 0}]).volume[0])


def test_of_two_columns_of_a_name_none_is_guessed() -> None:
    frame = pd.DataFrame([["A", 1.0, 2.0]], columns=["symbol", "last", "Last"])
    with pytest.raises(InvalidQuotesError, match="two columns 'last'; keep one"):
        Quotes.read(frame, time=NOW)


def test_a_time_that_cannot_be_read_is_called_a_time() -> None:
    with pytest.raises(InvalidQuotesError, match=r"the time '10:29' is not .* 2019-12-31T10:00"):
        Quotes.read([{"symbol": "A", "time": "10:29", "last": 1.0}], on_bad="raise")


def test_a_daily_bar_of_the_day_before_gives_only_its_close() -> None:
    old = {**ALPACA["AAPL"]}
    old["dailyBar"] = {**old["dailyBar"], "t": "2021-05-10T04:00:00Z"}
    read = Quotes.read({"AAPL": old})
    assert np.isnan([read.open[0], read.high[0], read.volume[0]]).all()
    assert (read.last[0], read.previous_close[0]) == (125.5, 125.5)


def test_tickers_of_ccxt_are_of_the_last_24_hours_and_never_closed() -> None:
    ticker = {
        "symbol": "BTC/USDT", "timestamp": 1620741540000, "datetime": "2021-05-11T13:59:00.000Z",
        "high": 57000.0, "low": 55000.0, "bid": 1.0, "ask": 2.0, "open": 55500.0, "close": 56500.0,
        "last": None, "previousClose": None, "baseVolume": 1000.0, "quoteVolume": 5e7, "info": {},
    }  # fmt: skip
    read = Quotes.read({"BTC/USDT": ticker})
    assert read.is_rolling
    assert (read.last[0], read.volume[0]) == (56500.0, 1000.0)
    saturday = datetime(2021, 5, 15, 3, 0, tzinfo=UTC)
    ticker["timestamp"] = int(saturday.timestamp() * 1000) - 3 * 3_600_000 - 1
    assert Quotes.read([ticker]).at(saturday).symbols == ()  # 1 ms before the day began
    ticker["timestamp"] = int(saturday.timestamp() * 1000) - 60_000
    assert Quotes.read([ticker]).at(saturday).symbols == ("BTC/USDT",)
    # Some exchanges give no time. A frame of tickers is the same, and one without a value.
    ticker |= {"timestamp": None, "datetime": None}
    for tickers in (pd.DataFrame([ticker]), [ticker, {"symbol": "ETH/USDT", "last": None}]):
        read = Quotes.read(tickers, time=saturday)
        assert (read.is_rolling, read.at(saturday).symbols) == (True, ("BTC/USDT",))


def minutes() -> pd.DataFrame:
    """What `yfinance.download(["AAPL", "MSFT"], period="2d", interval="1m")` returns."""
    stamps = pd.DatetimeIndex(
        [
            "2021-05-10 19:59Z", "2021-05-11 13:30Z", "2021-05-11 13:31Z", "2021-05-11 13:32Z",
            "2021-05-11 20:00Z",
        ],
        name="Datetime",
    )  # fmt: skip
    fields = {
        "Close": [126.85, 124.0, 125.0, 125.5, 99.0],
        "High": [126.85, 124.5, 126.0, 125.6, 99.0],
        "Low": [126.85, 123.0, 124.0, 125.0, 99.0],
        "Open": [126.85, 123.5, 124.0, 125.0, 99.0],
        "Volume": [5, 100, 20, 3, 7],
    }
    columns = pd.MultiIndex.from_product(
        [list(fields), ["AAPL", "MSFT"]], names=["Price", "Ticker"]
    )
    values = np.repeat(np.array(list(fields.values()), float), 2, axis=0).T
    return pd.DataFrame(values, index=stamps, columns=columns)


def test_one_minute_bars_become_a_quote_at_the_end_of_the_last_that_is_over() -> None:
    at = datetime(2021, 5, 11, 13, 32, 30, tzinfo=UTC)
    read = Quotes.read(minutes(), time=at)
    assert read.symbols == ("AAPL", "MSFT")
    assert read.time[0] == np.datetime64("2021-05-11T09:32:00")
    printed = [getattr(read, name)[0] for name in ("last", "open", "high", "low", "volume")]
    assert printed == [125.0, 123.5, 126.0, 123.0, 120.0]
    assert read.previous_close[0] == 126.85


def test_a_bar_given_twice_counts_once_and_a_symbol_without_a_session_is_said() -> None:
    long = minutes().stack(level=1, future_stack=True).reset_index()
    twice = Quotes.read(pd.concat([long, long.iloc[2:8]]))
    assert twice.volume.tolist() == Quotes.read(long).volume.tolist() == [123.0, 123.0]
    early = long.iloc[-1:].assign(Ticker="EARLY")  # after the close
    read = Quotes.read(pd.concat([long, early]))
    assert read.symbols == ("AAPL", "MSFT")
    assert read.notes == (
        "1 of 3 symbols left out: no bar within 09:30 to 16:00 America/New_York that is over",
    )


def test_a_live_row_between_two_minutes_makes_no_bar_end_early() -> None:
    long = minutes().iloc[:4].stack(level=1, future_stack=True).reset_index()
    live = long.iloc[-1:].assign(Datetime=pd.Timestamp("2021-05-11 13:32:17Z"), Close=126.0)
    read = Quotes.read(pd.concat([long, live]), time=datetime(2021, 5, 11, 13, 32, 20, tzinfo=UTC))
    assert read.time.tolist() == [datetime(2021, 5, 11, 9, 32)] * 2


def test_bars_after_the_close_are_no_part_of_the_session() -> None:
    read = Quotes.read(minutes())
    assert read.last[0] == 125.5
    assert read.volume[0] == 123.0


def test_quotes_that_are_stale_late_or_of_a_closed_market_are_left_out_and_said() -> None:
    def quote(symbol: str, time: str) -> dict[str, Any]:
        return {"symbol": symbol, "time": time, "last": 5.0}

    read = Quotes.read(
        [
            quote("FRESH", "2021-05-11T10:29:00"),
            quote("LATE", "2021-05-11T10:30:01"),
            quote("STALE", "2021-05-10T15:59:00"),
            quote("EARLY", "2021-05-11T08:00:00"),
        ]
    )
    used = read.at(NOW)
    assert used.symbols == ("FRESH",)
    assert [note.split(" left out")[0] for note in used.notes] == [
        "1 of 4 quotes (LATE)",
        "2 of 4 quotes (EARLY, STALE)",
    ]
    assert read.at(NOW, is_clock=True).symbols == ("FRESH", "LATE")
    weekend = Quotes.read([quote("A", "2021-05-14T15:59:00"), quote("B", "2021-05-15T11:00:00")])
    used = weekend.at(datetime(2021, 5, 15, 16, 0, tzinfo=UTC))
    assert used.symbols == ("A",)
    assert "the market was closed" in used.notes[0]


def test_of_two_quotes_of_a_symbol_the_later_one_counts() -> None:
    rows = [
        {"symbol": "A", "time": f"2021-05-11T{hour}:00", "last": price}
        for hour, price in (("11", 2.0), ("10", 1.0))
    ]
    assert Quotes.read(rows).at(NOW).last.tolist() == [1.0]
    evening = datetime(2021, 5, 11, 20, 0, tzinfo=UTC)
    assert Quotes.read(rows).at(evening).last.tolist() == [2.0]


def test_prices_by_symbol_need_the_time_when_they_were_fetched() -> None:
    with pytest.raises(InvalidQuotesError, match="quotes have no time"):
        Quotes.read({"A": 10.0})
    read = Quotes.read({"A": 10.0}, time=NOW)
    assert read.time[0] == np.datetime64("2021-05-11T10:30:00")


@pytest.mark.parametrize(
    "wrong", [[], {}, 3, "AAPL", [1], pd.DataFrame({"a": [1]}), {"A": "x"}, None]
)
def test_what_is_no_quotes_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidQuotesError):
        Quotes.read(wrong)


def test_a_session_ends_with_all_of_its_time_and_volume_done() -> None:
    session = Session(tz="Europe/London", opens="08:00", closes="16:30", profile=(0.6, 1.0))
    wall = np.array(["2021-05-11T07:00", "2021-05-11T12:15", "2021-05-11T17:00"], "M8[m]")
    assert session.time_done(wall).tolist() == [0.0, 0.5, 1.0]
    assert session.volume_done(wall).tolist() == [0.0, 0.6, 1.0]
    summer = session.wall(datetime(2021, 5, 11, 11, 0, tzinfo=UTC))
    assert summer == np.datetime64("2021-05-11T12:00")
    friday = np.datetime64("2021-05-14T08:00")
    assert session.begin(np.datetime64("2021-05-17T07:59")) == friday
    assert session.begin(np.datetime64("2021-05-16T12:00")) == friday


def test_half_days_of_new_york_are_over_at_one() -> None:
    """The day after Thanksgiving lasts from 9:30 to 13:00; the Thursday before is as any other."""
    wall = np.array(["2024-11-29T11:15", "2024-11-29T13:00", "2024-11-21T12:45"], "M8[m]")
    assert Session().time_done(wall).tolist() == [0.5, 1.0, 0.5]
    assert Session(profile=[0.5, 1.0]) == Session(profile=(0.5, 1.0))  # type: ignore[arg-type]
    assert Session(closes="15:00").time_done(wall).tolist()[1] < 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"tz": "Mars"}, {"tz": 3}, {"opens": "9.30"}, {"opens": "16:00"}, {"closes": "24:30"},
        {"profile": (0.5, 0.4, 1.0)}, {"profile": (0.5,)}, {"profile": ()}, {"weekdays": (7,)},
        {"weekdays": "Mo"}, {"weekdays": ()},
    ],
)  # fmt: skip
def test_hours_that_no_market_has_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="expected"):
        Session(**wrong)


def test_one_coin_among_stocks_does_not_open_the_market_at_weekends() -> None:
    """Two stocks and a coin over ten days from a Monday on; then two coins and a stock."""
    days = np.datetime64("2024-04-29") + np.arange(10)
    weekend = np.isin(np.arange(10), (5, 6))
    one_coin = np.stack([~weekend, ~weekend, np.ones(10, bool)], axis=1)
    assert Session.of_days(days, one_coin) == Session()
    assert Session.of_days(days, one_coin[:, [0, 2, 2]]) == Session.around_the_clock()
    assert Session.of_days(days[~weekend], one_coin[~weekend]) == Session()
    assert Session.of_days(days) == Session.around_the_clock()
