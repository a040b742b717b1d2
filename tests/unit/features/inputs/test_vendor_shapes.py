# ruff: noqa: E501
"""Vendor x shape: every accepted table equals the plain long frame in every bit.

The test writes `docs/reference/inputs.md` anew and compares it with the page (set
`SCANRANK_WRITE_DOCS=1` to replace the page). Shapes: yfinance 0.2 to 1.x (issues 1310, 2355, 2610),
Alpaca, Polygon, Tiingo, EODHD, Alpha Vantage, Finnhub, Stooq, Binance and ccxt from their public
documentation.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from features import Bars, InvalidBarsError
from features.inputs.tables import FIELDS

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "inputs.md"
DAYS = pd.bdate_range("2024-03-04", periods=8)  # New York's clocks change on the 10th
SYMBOLS = ("AAPL", "NA", "005930")


def plain(symbols: tuple[str, ...] = SYMBOLS) -> pd.DataFrame:
    """The long frame that every other shape means."""
    rng = np.random.default_rng(5)
    parts = []
    for symbol in symbols:
        close = np.round(50 * np.exp(np.cumsum(rng.normal(0, 0.02, len(DAYS)))), 2)
        parts.append(
            pd.DataFrame(
                {"date": DAYS, "symbol": symbol, "open": close - 0.25, "high": close + 1.0,
                 "low": close - 1.5, "close": close,
                 "volume": rng.integers(1000, 9000, len(DAYS)).astype(float)}
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


LONG = plain()
ONE = LONG[LONG["symbol"] == "AAPL"].reset_index(drop=True)
EPOCH = (
    LONG["date"].astype("int64") // 10 ** (9 if LONG["date"].dtype == "<M8[ns]" else 6)
).astype("int64")
NEW_YORK = LONG["date"].dt.tz_localize("America/New_York")
LETTERS = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}
TITLES = {name: name.title() for name in FIELDS}


def wide(order: str = "Price") -> pd.DataFrame:
    table = LONG.rename(columns=TITLES).pivot(index="date", columns="symbol")
    table.columns = table.columns.set_names(["Price", "Ticker"])
    table = table.rename_axis(index="Date")
    return table if order == "Price" else table.swaplevel(axis=1).sort_index(axis=1)


def history(zone: str | None = "America/New_York") -> pd.DataFrame:
    """`Ticker.history()`: one symbol, zone-aware index, dividends and splits beside."""
    index = pd.DatetimeIndex(ONE["date"], name="Date")
    table = ONE.rename(columns=TITLES).set_index(index if zone is None else index.tz_localize(zone))
    return table.drop(columns=["date", "symbol"]).assign(Dividends=0.0, **{"Stock Splits": 0.0})


def saved(frame: pd.DataFrame, name: str, **options: object) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / name
        if name.endswith(".parquet"):
            frame.to_parquet(path)
        else:
            frame.to_csv(path, **options)  # type: ignore[call-overload]
        return path

    return write


def folder_of(ending: str, named: bool) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        for symbol, part in LONG.groupby("symbol"):
            table = part if named else part.drop(columns="symbol")
            path = folder / f"{symbol}{ending}"
            if ending == ".parquet":
                table.to_parquet(path)
            else:
                table.to_csv(path, index=False)
        return folder

    return write


def zipped(folder: Path) -> Path:
    path = folder / "bars.csv.gz"
    path.write_bytes(gzip.compress(LONG.to_csv(index=False).encode()))
    return path


def text_of(text: str, name: str = "bars.csv") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_text(text)
        return folder / name

    return write


def split_table(kind: str) -> pd.DataFrame:
    """Raw prices with a 4:1 split on the sixth day, and what a vendor gives beside them."""
    table = LONG.copy()
    cut = table["date"] < DAYS[5]
    table["adjusted"] = table["close"]
    for name in ("open", "high", "low", "close"):
        table[name] = table[name].where(~cut, table[name] * 4)
    if kind != "adjusted_close":
        table["volume"] = table["volume"].where(~cut, table["volume"] / 4)
    factor = np.where(table["date"] == DAYS[5], 4.0, 1.0)
    if kind == "adjusted_close":
        return table.rename(columns={"adjusted": "adjusted_close"})
    return table.rename(columns={"adjusted": "adjClose"}).assign(**{kind: factor})


def records(
    letters: dict[str, str], times: pd.Series, stamp: str, symbol: str = "symbol"
) -> list[dict[str, object]]:
    table = LONG.rename(columns=letters).drop(columns="date").assign(**{stamp: times})
    return table.rename(columns={"symbol": symbol}).to_dict("records")


def by_symbol(make: Callable[[pd.DataFrame], object]) -> dict[str, object]:
    return {str(s): make(p.reset_index(drop=True)) for s, p in LONG.groupby("symbol", sort=False)}


Shape = tuple[str, str, object, dict[str, object]]
UTC = (LONG["date"] + pd.Timedelta(hours=5)).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
# vendor, shape, what is given (a function writes a file and returns its path), further arguments
ACCEPTED: list[Shape] = [
    ("plain", "long frame", LONG, {}),
    ("plain", "newest first", LONG.iloc[::-1], {}),
    ("plain", "rows in any order", LONG.sample(frac=1.0, random_state=1), {}),
    ("plain", "upper case names", LONG.rename(columns=str.upper), {}),
    ("plain", "date and symbol in the index", LONG.set_index(["date", "symbol"]), {}),
    ("plain", "symbol in the index", LONG.set_index("symbol"), {}),
    ("plain", "symbol in an index without a name", LONG.set_index("symbol").rename_axis(None), {}),
    ("plain", "dates as YYYYMMDD numbers",
     LONG.assign(date=LONG["date"].dt.strftime("%Y%m%d").astype(int)), {}),
    ("plain", "dates as text, day first (one day above 12)",
     LONG.assign(date=LONG["date"].dt.strftime("%d/%m/%Y")), {}),
    ("plain", "epochs in seconds", LONG.assign(date=EPOCH), {}),
    ("plain", "epochs in nanoseconds", LONG.assign(date=EPOCH * 10**9), {}),
    ("plain", "stamps with the zone of New York", LONG.assign(date=NEW_YORK), {}),
    ("plain", "numbers as text", LONG.astype({"open": str, "volume": str}), {}),
    ("plain", "categories", LONG.astype({"symbol": "category"}), {}),
    ("plain", "blanks around the symbols", LONG.assign(symbol=LONG["symbol"] + " "), {}),
    ("plain", "every row twice", pd.concat([LONG, LONG]), {}),
    ("plain", "dictionary of frames", by_symbol(lambda p: p.drop(columns="symbol")), {}),
    ("plain", "concat of a dictionary, date in the index",
     pd.concat(by_symbol(lambda p: p.drop(columns="symbol").set_index("date"))), {}),
    ("plain", "Arrow table (polars)", pa.Table.from_pandas(LONG, preserve_index=False), {}),
    ("plain", "CSV", saved(LONG, "b.csv", index=False), {}),
    ("plain", "CSV with row numbers", saved(LONG, "b.csv"), {}),
    ("plain", "CSV with semicolons and decimal commas",
     saved(LONG, "b.csv", index=False, sep=";", decimal=","), {}),
    ("plain", "CSV.gz", zipped, {}),
    ("plain", "Parquet", saved(LONG, "b.parquet"), {}),
    ("plain", "folder of CSV files named after the symbol", folder_of(".csv", False), {}),
    ("plain", "folder of Parquet files", folder_of(".parquet", True), {}),
    ("plain", "folder of CSV.gz files", folder_of(".csv.gz", False), {}),
    ("yfinance", "download, (Price, Ticker)", wide(), {}),
    ("yfinance", "download, group_by='ticker'", wide("Ticker"), {}),
    ("yfinance", "download with Adj Close (auto_adjust=False)",
     pd.concat([wide(), pd.concat({"Adj Close": wide()["Close"] * 0.98}, axis=1)], axis=1), {}),
    ("yfinance", "download().reset_index()", wide().reset_index(), {}),
    ("yfinance", "group_by='ticker', reset_index()", wide("Ticker").reset_index(), {}),
    ("yfinance", "download().stack()", wide().stack(level=1, future_stack=True), {}),
    ("yfinance", "download().to_csv()", saved(wide(), "b.csv"), {}),
    ("yfinance", "group_by='ticker', to_csv()", saved(wide("Ticker"), "b.csv"), {}),
    ("yfinance", "download().reset_index().to_csv(index=False)",
     saved(wide().reset_index(), "b.csv", index=False), {}),
    ("yfinance", "download().reset_index().to_csv()", saved(wide().reset_index(), "b.csv"), {}),
    ("yfinance", "download().to_parquet()", saved(wide(), "b.parquet"), {}),
    ("yfinance", "one ticker, flat columns", history(None), {"symbol": "AAPL"}),
    ("yfinance", "Ticker.history()", history(), {"symbol": "AAPL"}),
    ("yfinance", "Ticker.history().reset_index()", history().reset_index(), {"symbol": "AAPL"}),
    ("yfinance", "Ticker.history() by symbol",
     by_symbol(lambda p: p.rename(columns=TITLES).set_index("date").drop(columns="symbol")), {}),
    ("yfinance", "history of London in UTC, with its zone",
     LONG.assign(date=LONG["date"].dt.tz_localize("Europe/London").dt.tz_convert("UTC")),
     {"tz": "Europe/London"}),
    ("Alpaca", "bars.df (symbol, timestamp)",
     LONG.assign(timestamp=pd.to_datetime(UTC), trade_count=1, vwap=1.0)
     .drop(columns="date").set_index(["symbol", "timestamp"]), {}),
    ("Alpaca", "JSON of several symbols",
     {"bars": by_symbol(lambda p: p.rename(columns=LETTERS).assign(
         t=(p["date"] + pd.Timedelta(hours=5)).dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
         .drop(columns=["date", "symbol"]).to_dict("records")), "next_page_token": None}, {}),
    ("Polygon", "aggregates as JSON, by symbol",
     by_symbol(lambda p: {"ticker": p["symbol"][0], "results": p.rename(columns=LETTERS).assign(
         t=EPOCH[: len(p)].to_numpy() * 1000 + 5 * 3_600_000, n=1)
         .drop(columns=["date", "symbol"]).to_dict("records")}), {}),
    ("Polygon", "grouped daily (T and t)",
     pd.DataFrame(records(LETTERS, EPOCH * 1000 + 5 * 3_600_000, stamp="t", symbol="T")), {}),
    ("Polygon", "flat file",
     saved(LONG.drop(columns="date").rename(columns={"symbol": "ticker"})
           .assign(window_start=EPOCH * 10**9, transactions=1), "b.csv.gz", index=False), {}),
    ("Tiingo", "raw prices with splitFactor", split_table("splitFactor"), {}),
    ("Tiingo", "date in UTC", LONG.assign(date=LONG["date"].dt.strftime("%Y-%m-%dT00:00:00.000Z")), {}),
    ("EODHD", "raw prices with adjusted_close", split_table("adjusted_close"), {}),
    ("EODHD", "bulk of one day a file",
     LONG.rename(columns={"symbol": "code"}).assign(exchange_short_name="US"), {}),
    ("Alpha Vantage", "daily, numbered columns",
     by_symbol(lambda p: p.set_index("date")[list(FIELDS)]
               .rename(columns={n: f"{k}. {n}" for k, n in enumerate(FIELDS, 1)})), {}),
    ("Alpha Vantage", "daily adjusted, split coefficient", split_table("split_coefficient"), {}),
    ("Finnhub", "candles (arrays by letter)",
     by_symbol(lambda p: {LETTERS[n]: p[n].tolist() for n in FIELDS}
               | {"t": EPOCH[: len(p)].tolist(), "s": "ok"}), {}),
    ("ccxt", "fetch_ohlcv rows by symbol",
     by_symbol(lambda p: [[int(t) * 1000, *row] for t, row in
                          zip(EPOCH, p[list(FIELDS)].to_numpy().tolist(), strict=False)]), {}),
    ("Stooq", "bulk file with angle brackets",
     saved(LONG.assign(date=LONG["date"].dt.strftime("%Y%m%d"), time="000000", per="D")
           .rename(columns={"symbol": "TICKER", "volume": "VOL"})
           .rename(columns=lambda n: f"<{n.upper()}>"), "b.csv", index=False), {}),
    ("Binance", "klines with open_time",
     pd.DataFrame(records({}, EPOCH * 1000, stamp="open_time")).assign(close_time=1), {}),
    ("Tushare", "ts_code, trade_date, vol",
     LONG.assign(date=LONG["date"].dt.strftime("%Y%m%d"))
     .rename(columns={"symbol": "ts_code", "date": "trade_date", "volume": "vol"}), {}),
]  # fmt: skip

REFUSED: list[tuple[str, str, object, str]] = [
    ("yfinance", "one ticker without a name", history(), "for one symbol, pass symbol="),
    ("yfinance", "history of London in UTC, without a zone",
     LONG.assign(date=LONG["date"].dt.tz_localize("Europe/Berlin").dt.tz_convert("UTC")),
     "midnight in another timezone"),
    ("plain", "Close beside close", LONG.assign(Close=1.0), "'close' and 'Close'"),
    ("plain", "AAPL beside 'AAPL '",
     pd.concat([LONG, LONG.assign(symbol="AAPL ", date=LONG["date"] + pd.Timedelta(days=90))]),
     "differ only in blanks"),
    ("plain", "03/04/2024", LONG.assign(date="03/04/2024"), "day first"),
    ("plain", "day numbers of Excel", LONG.assign(date=45355), "neither YYYYMMDD nor an epoch"),
    ("plain", "codes that pandas made numbers", LONG.assign(symbol=1e5), "read the column as text"),
    ("plain", "two different bars of one day",
     pd.concat([LONG, LONG.assign(volume=1.0)]), "two bars of"),
    ("plain", "a price of zero", LONG.assign(low=LONG["low"].where(LONG.index != 3, 0.0)), "low 0"),
    ("plain", "a number with a unit", LONG.assign(volume="12k"), "expected a number"),
    ("plain", "no volume", LONG.drop(columns="volume"), "missing columns in bars: volume"),
    ("plain", "hourly bars", LONG.assign(date=DAYS[0] + pd.to_timedelta(LONG.index, "h")),
     "daily_bars"),
]  # fmt: skip


def read(given: object, folder: Path, **options: object) -> Bars:
    if callable(given):
        return Bars.read(given(folder), **options)
    return Bars.from_frame(given, **options)


def is_same(a: Bars, b: Bars) -> bool:
    return (
        a.symbols == b.symbols
        and a.dates.tolist() == b.dates.tolist()
        and all(getattr(a, name).tobytes() == getattr(b, name).tobytes() for name in FIELDS)
    )


@pytest.mark.parametrize("shape", ACCEPTED, ids=lambda s: f"{s[0]}: {s[1]}")
def test_accepted(shape: Shape, tmp_path: Path) -> None:
    _, _, given, options = shape
    expected = Bars.from_frame(ONE if "symbol" in options else LONG)
    assert is_same(read(given, tmp_path, **options), expected)


@pytest.mark.parametrize("shape", REFUSED, ids=lambda s: f"{s[0]}: {s[1]}")
def test_refused(shape: tuple[str, str, object, str], tmp_path: Path) -> None:
    with pytest.raises(InvalidBarsError) as refused:
        read(shape[2], tmp_path)
    assert shape[3] in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_page_shows_this_table() -> None:
    lines = [
        f"| {vendor} | {shape} | accepted"
        + (", with " + ", ".join(f"`{k}='{v}'`" for k, v in options.items()) if options else "")
        + " |"
        for vendor, shape, _, options in ACCEPTED
    ]
    lines += [f"| {vendor} | {shape} | refused: {text} |" for vendor, shape, _, text in REFUSED]
    assert len(lines) >= 40
    head, mark, _ = PAGE.read_text().partition("<!-- made by tests")
    table = (
        f"{mark}/unit/features/inputs/test_vendor_shapes.py -->\n\n| vendor | shape | |\n"
        "| --- | --- | --- |\n" + "\n".join(lines) + "\n"
    )
    if os.environ.get("SCANRANK_WRITE_DOCS"):
        PAGE.write_text(head + table)
    assert PAGE.read_text() == head + table
