"""Bars: every layout gives the same arrays, and odd symbols behave as written down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from features import Bars, InvalidBarsError, sub_score_panel
from features.inputs.tables import FIELDS


def tidy() -> pd.DataFrame:
    rows = []
    for day, shift in (("2024-01-02", 0.0), ("2024-01-03", 1.0), ("2024-01-04", 2.0)):
        for symbol, price in (("AAPL", 180.0), ("MSFT", 370.0)):
            p = price + shift
            rows.append((day, symbol, p, p + 2, p - 2, p + 1, 1000 * (1 + shift)))
    return pd.DataFrame(rows, columns=["date", "symbol", *FIELDS])


def wide(order: tuple[str, str]) -> pd.DataFrame:
    """What `yfinance.download` returns for several tickers, in either column order."""
    table = tidy().assign(date=lambda f: pd.to_datetime(f["date"]))
    table = table.rename(columns={f: f.capitalize() for f in FIELDS})
    table = table.assign(**{"Adj Close": table["Close"] * 0.98})
    stacked = table.pivot(index="date", columns="symbol").rename_axis(index="Date")
    stacked.columns = stacked.columns.set_names(["Price", "Ticker"])
    if order == ("Ticker", "Price"):
        stacked = stacked.swaplevel(axis=1).sort_index(axis=1)
    return stacked


def same(a: Bars, b: Bars) -> bool:
    return (
        a.symbols == b.symbols
        and a.dates.tolist() == b.dates.tolist()
        and all(np.array_equal(getattr(a, f), getattr(b, f), equal_nan=True) for f in FIELDS)
    )


class Foreign:
    """A frame of another library that speaks one protocol only, as polars speaks both."""

    def __init__(self, frame: pd.DataFrame, protocol: str) -> None:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        self.protocol, self.speak = protocol, getattr(table, protocol)

    def __getattr__(self, name: str) -> object:
        if name == self.protocol:
            return self.speak
        raise AttributeError(name)


@pytest.mark.parametrize("order", [("Price", "Ticker"), ("Ticker", "Price")])
def test_wide_layouts_equal_the_tidy_one(order: tuple[str, str]) -> None:
    assert same(Bars.from_frame(wide(order)), Bars.from_frame(tidy()))


def test_other_spellings_of_the_tidy_layout() -> None:
    expected = Bars.from_frame(tidy())
    upper = tidy().rename(columns=str.upper).rename(columns={"SYMBOL": "Ticker"})
    stamped = tidy().assign(date=lambda f: pd.to_datetime(f["date"]).dt.tz_localize("US/Eastern"))
    late = stamped.assign(date=lambda f: f["date"] + pd.Timedelta(hours=20))  # next day in UTC
    numbers = tidy().astype({"open": str, "volume": "int64"})
    categories = tidy().astype({"symbol": "category", "close": "float32"})
    by_symbol = tidy().sort_values("symbol", kind="stable")
    indexed = tidy().set_index(["date", "symbol"])
    for frame in (upper, stamped, late, numbers, by_symbol, indexed):
        assert same(Bars.from_frame(frame), expected)
    assert same(Bars.from_frame(categories), expected)
    for protocol in ("__arrow_c_stream__", "__dataframe__"):
        assert same(Bars.from_frame(Foreign(tidy(), protocol)), expected)


def test_symbols_of_one_letter_are_no_columns() -> None:
    """Realty Income, Hyatt, Loews, Citigroup, Visa and AT&T are O, H, L, C, V and T."""
    days = pd.bdate_range("2024-03-04", periods=3)
    frames = {
        symbol: pd.DataFrame(
            {"open": 1.0, "high": 9.0, "low": 0.5, "close": 2.0 + place, "volume": 10.0}, days
        )
        for place, symbol in enumerate("OHLCVT")
    }
    records = {
        name: frame.reset_index(names="t").to_dict("records") for name, frame in frames.items()
    }
    for given in (frames, pd.concat(frames, axis=1).swaplevel(axis=1), {"bars": records}):
        bars = Bars.from_frame(given)
        assert bars.symbols == ("C", "H", "L", "O", "T", "V")
        assert bars.close[0].tolist() == [5.0, 3.0, 4.0, 2.0, 7.0, 6.0]


def test_one_ticker_needs_its_name() -> None:
    """yfinance's flat layout for one ticker does not say whose bars these are."""
    table = tidy().query("symbol == 'AAPL'").drop(columns="symbol")
    flat = table.assign(date=pd.to_datetime(table["date"])).set_index("date")
    flat = flat.rename(columns=str.capitalize).rename_axis(index="Date")
    with pytest.raises(InvalidBarsError, match=r"symbol='\.\.\.'"):
        Bars.from_frame(flat)
    expected = Bars.from_frame(tidy()).select(["AAPL"])
    assert same(Bars.from_frame(flat, symbol="AAPL"), expected)
    one = wide(("Price", "Ticker")).loc[:, (slice(None), "AAPL")]
    assert same(Bars.from_frame(one), expected)


@pytest.mark.parametrize("order", [("Price", "Ticker"), ("Ticker", "Price")])
def test_files_as_yfinance_saves_them(tmp_path: Path, order: tuple[str, str]) -> None:
    expected = Bars.from_frame(tidy())
    wide(order).to_csv(tmp_path / "wide.csv")
    wide(order).to_parquet(tmp_path / "wide.parquet")
    tidy().to_csv(tmp_path / "tidy.csv", index=False)
    tidy().to_parquet(tmp_path / "tidy.parquet")
    for name in ("wide.csv", "wide.parquet", "tidy.csv", "tidy.parquet"):
        assert same(Bars.read(tmp_path / name), expected), name


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InvalidBarsError, match="no file"):
        Bars.read(tmp_path / "none.csv")
    (tmp_path / "bars.xlsx").write_text("x")
    with pytest.raises(InvalidBarsError, match=r"ends in \.xlsx"):
        Bars.read(tmp_path / "bars.xlsx")
    (tmp_path / "bars.parquet").write_text("not parquet")
    with pytest.raises(InvalidBarsError, match="cannot be read"):
        Bars.read(tmp_path / "bars.parquet")
    (tmp_path / "bars.csv").write_text("")
    with pytest.raises(InvalidBarsError, match="cannot be read"):
        Bars.read(tmp_path / "bars.csv")


def test_holes_stay_holes_and_rounding_is_widened() -> None:
    table = tidy()
    table.loc[2, "close"] = np.nan  # AAPL on the second day: an incomplete bar is no bar
    table.loc[3, "high"] = table.loc[3, "close"] * (1 - 1e-6)
    bars = Bars.from_frame(table)
    assert bars.mask.tolist() == [[True, True], [False, True], [True, True]]
    assert np.isnan(bars.volume[1, 0])
    assert bars.high[1, 1] == bars.close[1, 1]


def test_until_is_a_view_and_select_an_order() -> None:
    bars = Bars.from_frame(tidy())
    early = bars.until("2024-01-03T15:00")
    assert len(early.dates) == 2
    assert np.shares_memory(early.close, bars.close)
    assert bars.until("2030-01-01").dates[-1] == np.datetime64("2024-01-04")
    assert bars.select(["MSFT", "AAPL"]).close[0].tolist() == [371.0, 181.0]
    with pytest.raises(InvalidBarsError, match="no bars of GOOG"):
        bars.select(["GOOG"])


def test_append_equals_reading_everything_at_once() -> None:
    table = tidy()
    new = pd.DataFrame([("2024-01-05", "NVDA", 5.0, 6.0, 4.0, 5.0, 10.0)], columns=table.columns)
    more = table[table["date"] == "2024-01-04"].assign(date="2024-01-05")
    everything = pd.concat([table, more, new])
    appended = Bars.from_frame(table).append(pd.concat([more, new]))
    assert same(appended, Bars.from_frame(everything))
    with pytest.raises(InvalidBarsError, match="expected 2024-01-04 or later"):
        Bars.from_frame(table).append(more.assign(date="2024-01-03"))


def test_append_replaces_an_unfinished_day() -> None:
    """At noon of the 4th, then its close, then the 5th: as if the noon bar had never been."""
    table = tidy()
    last = table["date"] == "2024-01-04"
    noon = table.assign(volume=table["volume"].where(~last, 1.0))
    noon = noon[~(last & (noon["symbol"] == "MSFT"))]
    later = pd.concat([table[last], table[last].assign(date="2024-01-05")])
    assert same(Bars.from_frame(noon).append(later), Bars.from_frame(table).append(later.tail(2)))


def test_a_halt_neither_fills_nor_stretches_windows() -> None:
    """Scores after a halt equal those of the same bars without the halted days."""
    rng = np.random.default_rng(2)
    close = 40 * np.exp(np.cumsum(rng.normal(0, 0.02, (200, 1)), axis=0))
    dates = np.datetime64("2023-01-02") + np.arange(230)
    fields = [close, close * 1.01, close * 0.98, close * 1.002, np.full((200, 1), 5e5)]
    short = Bars(dates[:200], ("A",), *fields)
    halted_fields = []
    for field in fields:
        field = np.concatenate([field[:150], np.full((30, 1), np.nan), field[150:]])
        halted_fields.append(field)
    halted = Bars(dates, ("A",), *halted_fields)
    a, b = sub_score_panel(short), sub_score_panel(halted)
    assert a.values[150:].tobytes() == b.values[180:].tobytes()
    assert np.isnan(b.values[150:180]).all()


def test_constructor_checks_shapes_and_order() -> None:
    one = np.ones((2, 1))
    days = np.array(["2024-01-02", "2024-01-03"], dtype="datetime64[D]")
    with pytest.raises(InvalidBarsError, match="volume has shape"):
        Bars(days, ("A",), one, one, one, one, one[:1])
    with pytest.raises(InvalidBarsError, match="strictly increasing"):
        Bars(days[::-1], ("A",), one, one, one, one, one)
    with pytest.raises(InvalidBarsError, match="expected at least one of each"):
        Bars(days, (), *([np.ones((2, 0))] * 5))
