"""Own bars, own calendar: a symbol of another calendar changes no other symbol in no bit.

Public cases: ranaroussi/yfinance issue 1310 (crypto beside stocks), FinanceDataReader issue 57 and
yfinance issue 415 (a stray bar on a Saturday).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import Bars, Events, factor_scores, similarity_loadings, sub_score_panel
from features.inputs.calendars import Calendars, calendar_labels
from features.inputs.tables import FIELDS
from scanner_adapter.demo.simulator import simulate

MARKET = simulate(n_symbols=40, n_days=420, seed=1)
ALONE = Bars.from_frame(MARKET.bars)
HOLIDAYS = ALONE.dates[np.arange(20, 420, 37)]  # on which these markets do not trade
UK_DAYS = np.array(
    [d for d in pd.bdate_range("2022-01-03", ALONE.dates[-1]) if d.day != 17], "datetime64[D]"
)


def without_holidays(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[~frame["date"].isin(HOLIDAYS.astype("datetime64[s]"))]


STOCKS = without_holidays(MARKET.bars.astype({"symbol": str}))
EARNINGS = MARKET.earnings


def walk(symbol: str, days: np.ndarray, seed: int) -> pd.DataFrame:
    close = 50 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.03, len(days))))
    return pd.DataFrame(
        {"date": days.astype("datetime64[s]"), "symbol": symbol, "open": close,
         "high": close * 1.01, "low": close * 0.99, "close": close, "volume": 1e6}
    )  # fmt: skip


def panel_of(frame: pd.DataFrame, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    bars = Bars.from_frame(frame)
    panel = sub_score_panel(bars, Events.from_frames(earnings=EARNINGS))
    own = [bars.symbols.index(name) for name in names]
    return panel.dates, panel.values[:, own]


EVERY_DAY = np.arange(ALONE.dates[0], ALONE.dates[-1] + 1)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [("BTC-USD", EVERY_DAY), ("ETH/USDT", EVERY_DAY), ("VOD.L", UK_DAYS),
             ("7203.T", ALONE.dates), ("SHEL.AS", np.setdiff1d(EVERY_DAY, UK_DAYS)[::2])]
        ),
        min_size=1, max_size=3, unique_by=lambda each: each[0],
    ),
    st.integers(0, 99), st.integers(0, 200),
)  # fmt: skip
def test_a_symbol_of_another_calendar_changes_no_bit(
    others: list[tuple[str, np.ndarray]], seed: int, begins: int
) -> None:
    names = tuple(sorted(STOCKS["symbol"].unique()))
    dates, alone = panel_of(STOCKS, names)
    added = [walk(name, days[begins:], seed) for name, days in others]
    mixed_dates, mixed = panel_of(pd.concat([STOCKS, *added]), names)
    assert mixed[np.isin(mixed_dates, dates)].tobytes() == alone.tobytes()


def test_one_without_a_name_is_reported_by_its_days() -> None:
    """A currency by its first weekends; London by the second of its days that others rest."""
    names = tuple(sorted(STOCKS["symbol"].unique()))
    dates, alone = panel_of(STOCKS, names)
    for other, since in ((walk("COIN", EVERY_DAY, 3), 0), (walk("LONDON", ALONE.dates, 3), 58)):
        mixed_dates, mixed = panel_of(pd.concat([STOCKS, other]), names)
        common = np.isin(mixed_dates, dates)
        late = slice(since + 121 if since else 0, None)
        assert mixed[common][late].tobytes() == alone[late].tobytes()


def test_no_row_of_a_mixed_universe_knows_what_comes_later() -> None:
    bars = Bars.from_frame(
        pd.concat([STOCKS, walk("BTC-USD", EVERY_DAY, 3), walk("L", UK_DAYS, 4)])
    )
    panel = sub_score_panel(bars)
    for row in (150, 260, 261, 400):
        alone = sub_score_panel(bars.until(bars.dates[row]), dates=bars.dates[row : row + 1])
        assert alone.values[0].tobytes() == panel.values[row].tobytes()


def test_a_rest_day_shows_what_the_last_day_showed() -> None:
    """Before a Monday comes a Friday, also where a currency has a Sunday."""
    bars = Bars.from_frame(pd.concat([STOCKS, walk("BTC-USD", EVERY_DAY, 3)]))
    panel = sub_score_panel(bars)
    sunday = int(np.flatnonzero(bars.dates == np.datetime64("2023-03-05"))[0])
    name = panel.names.index("market.relative_strength")
    assert np.array_equal(panel.values[sunday, 1:, name], panel.values[sunday - 2, 1:, name])
    assert not np.isnan(panel.values[sunday, 1:, name]).any()


def test_one_stray_bar_changes_no_other_symbol() -> None:
    names = tuple(sorted(STOCKS["symbol"].unique()))
    dates, alone = panel_of(STOCKS, names)
    for day in ("2022-10-08", str(HOLIDAYS[5])):
        stray = walk(names[0], np.array([day], "datetime64[D]"), 1)
        mixed_dates, mixed = panel_of(pd.concat([STOCKS, stray]), names)
        common = np.isin(mixed_dates, dates)
        assert mixed[common][:, 1:].tobytes() == alone[:, 1:].tobytes()


def test_components_are_those_of_each_calendar() -> None:
    coins = [walk(f"C{k}-USD", EVERY_DAY, k) for k in range(25)]
    alone = similarity_loadings(Bars.from_frame(STOCKS), as_of=ALONE.dates[-1])
    mixed = similarity_loadings(Bars.from_frame(pd.concat([STOCKS, *coins])), as_of=ALONE.dates[-1])
    of_stocks = [n for n in mixed.names if not n.startswith("component.24/7")]
    assert of_stocks == list(alone.names)
    own = mixed.values[25:, [mixed.names.index(n) for n in of_stocks]]
    np.testing.assert_allclose(own, alone.values, atol=1e-3)
    assert not mixed.values[:25, [mixed.names.index(n) for n in of_stocks]].any()


@pytest.mark.parametrize(
    ("symbol", "label"),
    [("AAPL", ""), ("BRK.B", ""), ("BRK-B", ""), ("BF/B", ""), ("VOD.L", "L"), ("0700.HK", "HK"),
     ("BTC-USD", "24/7"), ("BTC/USDT", "24/7"), ("ETHUSDT", "24/7"), (".L", "")],
)  # fmt: skip
def test_names_tell_calendars(symbol: str, label: str) -> None:
    days, mask = ALONE.dates[:5], np.ones((5, 1), bool)
    assert calendar_labels([symbol], days, mask).tolist() == [label]


def test_one_calendar_is_the_plain_case() -> None:
    found = Calendars.of(ALONE.symbols, ALONE.dates, ALONE.mask)
    assert found.labels == ("",)
    assert found.own.all()
    assert found.last_own() is None


def test_neither_units_of_volume_nor_sizes_of_prices_matter() -> None:
    """Coins or millions, 1e-6 or 1e5: only liquidity is in money."""
    day = ALONE.dates[-1]
    plain = factor_scores(ALONE, as_of=day)
    kept = [name != "market.liquidity" for name in plain.names]
    for price, volume in ((1e-6, 1.0), (1e5, 1.0), (1.0, 1e-6), (1.0, 1e6), (2.0**-20, 2.0**20)):
        arrays = [getattr(ALONE, name) * (volume if name == "volume" else price) for name in FIELDS]
        scaled = factor_scores(Bars(ALONE.dates, ALONE.symbols, *arrays), as_of=day)
        np.testing.assert_allclose(
            scaled.values[:, kept], plain.values[:, kept], atol=2e-3, err_msg=f"{price} {volume}"
        )
