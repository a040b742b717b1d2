# ruff: noqa: E501
"""What a scan says of its bars, and the day that it sees.

Public cases: yfinance issues 38 and 2925, finnhub issue 4 (spellings), twelvedata issue 47 and
FinanceDataReader issue 57 (a stray last bar).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from features import Bars
from features.inputs.hours import is_unfinished
from scanner_adapter import SymbolRanker
from scanner_adapter.demo.simulator import simulate
from scanner_adapter.inputs.bars import scannable
from scanner_adapter.inputs.context import market_facts

FRAME = simulate(n_symbols=30, n_days=300, seed=1).bars.astype({"symbol": str})
SYMBOLS = tuple(sorted(FRAME["symbol"].unique()))
LAST = FRAME["date"].max()
FIRST = FRAME["symbol"] == SYMBOLS[0]
EVENING = datetime(2023, 2, 24, 22, tzinfo=UTC)


def known(frame: pd.DataFrame, now: datetime | None = None) -> np.ndarray:
    return market_facts(SYMBOLS, bars=frame, now=now).values


@pytest.mark.parametrize(
    ("spell", "why"),
    [
        (str.lower, "upper and lower case"),
        (lambda s: f"{s} ", "surrounding blanks"),
        (lambda s: s.replace("SIM", "SIM."), "the separator"),
    ],
)
def test_symbols_that_match_no_bars_are_said(
    spell: Callable[[str], str], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    asked = [*SYMBOLS[:27], *map(spell, SYMBOLS[27:])]
    with caplog.at_level(logging.INFO, "scanrank"):
        scan = SymbolRanker.open("memory://", ruleset="x").start_scan(asked, bars=FRAME)
    lines = [r.getMessage() for r in caplog.records if "symbols are known" in r.getMessage()]
    assert lines == [scan.coverage]
    assert "27 of 30 symbols are known; 3 are not in the bars" in lines[0]
    assert f"the bars have {SYMBOLS[27]!r}: see {why}" in lines[0]
    with scan:
        pass
    assert scan.summary is not None
    assert scan.summary.coverage == scan.coverage


def test_a_stray_bar_late_rows_and_a_wrong_year_change_no_other_symbol() -> None:
    expected = known(FRAME)
    one = FRAME[FIRST & (FRAME["date"] == LAST)]
    saturday = one.assign(date=LAST + pd.Timedelta(days=1), volume=0)
    wrong_year = one.assign(date=pd.Timestamp("2099-01-01"))
    for added in (saturday, wrong_year):
        assert known(pd.concat([FRAME, added]))[1:].tobytes() == expected[1:].tobytes()
    late = FRAME["symbol"].isin(SYMBOLS[:10]) & (FRAME["date"] == LAST)
    found = market_facts(SYMBOLS, bars=FRAME[~late])
    assert found.values[10:].shape == expected[10:].shape
    assert (~np.isnan(found.values)).any(axis=1).all()
    assert found.coverage is not None
    assert (found.coverage.n_known, found.coverage.n_late) == (30, 10)
    before = market_facts(SYMBOLS, bars=FRAME[FRAME["date"] < LAST])
    scores = [not name.startswith("market.relative") for name in found.names]
    assert found.values[:10, scores].tobytes() == before.values[:10, scores].tobytes()


def test_a_bar_older_than_max_age_is_unknown() -> None:
    days = np.sort(FRAME["date"].unique())
    gone = FRAME["symbol"].isin(SYMBOLS[:2]) & (FRAME["date"] > days[-5])
    for max_age, n_known in ((3, 28), (4, 30)):
        facts = market_facts(SYMBOLS, bars=FRAME[~gone], max_age=max_age)
        assert facts.coverage is not None
        assert facts.coverage.n_known == n_known
        assert int((~np.isnan(facts.values)).any(axis=1).sum()) == n_known


def test_a_bar_of_a_session_that_goes_on_is_set_aside() -> None:
    """At noon in New York today's bar is a part of a day; after 16:00 it is whole."""
    noon = datetime(2023, 2, 24, 17, tzinfo=UTC)
    facts = market_facts(SYMBOLS, bars=FRAME, now=noon)
    assert facts.as_of == "2023-02-23"
    assert "set aside for 30 symbols whose session ends at 2023-02-24 21:00 UTC" in str(
        facts.coverage
    )
    assert market_facts(SYMBOLS, bars=FRAME, now=EVENING).as_of == "2023-02-24"
    coin = FRAME[FIRST].assign(symbol="BTC-USD")
    both = market_facts((*SYMBOLS, "BTC-USD"), bars=pd.concat([FRAME, coin]), now=EVENING)
    assert both.as_of == "2023-02-24"
    assert "set aside for 1 symbols" in str(both.coverage)


@pytest.mark.parametrize(
    ("day", "calendar", "utc", "goes_on"),
    [
        ("2023-02-24", "", "2023-02-24T20:59", True), ("2023-02-24", "", "2023-02-24T21:00", False),
        ("2023-07-03", "", "2023-07-03T17:01", False),  # the eve of 4 July ends at 13:00
        ("2023-07-05", "", "2023-07-05T17:01", True), ("2023-11-24", "", "2023-11-24T18:01", False),
        ("2023-02-24", "L", "2023-02-24T16:31", False), ("2023-02-24", "T", "2023-02-24T06:31", False),
        ("2023-02-24", "T", "2023-02-24T05:00", True), ("2023-02-24", "24/7", "2023-02-24T22:00", True),
        ("2023-02-24", "24/7", "2023-02-25T00:00", False),
    ],
)  # fmt: skip
def test_sessions_end(day: str, calendar: str, utc: str, goes_on: bool) -> None:
    now = datetime.fromisoformat(utc).replace(tzinfo=UTC)
    assert is_unfinished(np.datetime64(day), calendar, now) == goes_on


def test_londons_half_day_is_in_its_exchanges_calendar() -> None:
    pytest.importorskip("exchange_calendars")
    now = datetime(2024, 12, 24, 12, 45, tzinfo=UTC)  # closes at 12:30
    assert not is_unfinished(np.datetime64("2024-12-24"), "L", now)


def test_the_command_line_scans_who_traded_lately() -> None:
    days = np.sort(FRAME["date"].unique())
    late = FRAME["symbol"].isin(SYMBOLS[:10]) & (FRAME["date"] == LAST)
    gone = (FRAME["symbol"] == SYMBOLS[29]) & (FRAME["date"] > days[-20])
    bars, notes = scannable(Bars.from_frame(FRAME[~late & ~gone]), None, datetime.now(UTC))
    assert bars.symbols == SYMBOLS[:29]
    assert notes == ("left out, with a last bar over 3 trading days old: 1",)


def test_a_scan_of_the_past_sees_no_day_that_was_not_over() -> None:
    """Bars may reach beyond the clock: neither tomorrow's nor today's are seen, nor later ones."""
    friday = np.datetime64("2023-02-03")
    bars = Bars.from_frame(FRAME)
    assert bars.dates[-1] > friday + 7
    for hour, day in ((15, "2023-02-02"), (20, "2023-02-02"), (22, "2023-02-03")):
        now = datetime(2023, 2, 3, hour, tzinfo=UTC)  # 10:00, 15:00 and 17:00 in New York
        found = market_facts(SYMBOLS, bars=bars, now=now)
        assert found.as_of == day
        alone = market_facts(SYMBOLS, bars=bars.until(np.datetime64(day)), now=now)
        assert found.values.tobytes() == alone.values.tobytes()


def test_quotes_under_other_names_or_of_other_markets_are_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    symbols = (SYMBOLS[0], "VOD.L", "BTC-USD", "RY.TO", "BRK-B")
    frame = pd.concat([FRAME[FIRST].assign(symbol=symbol) for symbol in symbols])
    now = datetime(2023, 2, 27, 15, tzinfo=UTC)
    prices = dict.fromkeys((*symbols[:-1], "BRK.B"), 20.0)
    with caplog.at_level(logging.INFO, "scanrank"):
        facts = market_facts(symbols, bars=frame, quotes=prices, now=now)
    done = facts.values[:, facts.names.index("market.session_done")]
    assert np.isnan(done).tolist() == [False, True, True, False, True]
    said = [record.getMessage() for record in caplog.records]
    assert any(
        "2 of 5 quotes (BTC-USD ...) left out: not of the market with the hours 09:30 to 16:00"
        in text
        for text in said
    )
    assert any(
        "3 of 5 symbols have none (VOD.L, BTC-USD, BRK-B; the quotes have 'BRK.B': "
        "see the separator)" in text
        for text in said
    )


def test_quotes_on_bars_that_were_not_updated_are_said(caplog: pytest.LogCaptureFixture) -> None:
    bars = Bars.from_frame(FRAME).until(np.datetime64("2023-02-10"))
    for day, is_said in ((13, False), (27, True)):
        caplog.clear()
        now = datetime(2023, 2, day, 15, tzinfo=UTC)
        market_facts(SYMBOLS, bars=bars, quotes=dict.fromkeys(SYMBOLS, 20.0), now=now)
        text = f"the bars end 11 weekdays before 2023-02-{day}"
        assert (text in caplog.text) == is_said
