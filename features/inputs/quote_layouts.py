"""The shapes in which quotes arrive, turned into one table.

Recognised: a frame, a list of dictionaries, or either by symbol, under the names of the usual
vendors (Finnhub, Yahoo's batch quotes and fast_info, brokers); prices by symbol; the snapshots of
Polygon and Alpaca; tickers of ccxt, whose day is the last 24 hours; intraday bars in any layout of
`features.inputs.layouts`. A vendor's answer may hold no symbol; one without a value is a bad row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Number
from typing import Any, Literal

import pandas as pd

from features.checks import refusal
from features.errors import InvalidBarsError, InvalidQuotesError
from features.inputs.layouts import tidy
from features.inputs.tables import (
    DATE_NAMES,
    SYMBOL_NAMES,
    as_pandas,
    find_columns,
    lacking,
    plain_name,
)

Kind = Literal["quotes", "rolling", "bars"]
NUMBERS = ("last", "open", "high", "low", "volume", "previous_close")

# What vendors call the columns; the first one found counts.
_NAMES: dict[str, tuple[str, ...]] = {
    "symbol": SYMBOL_NAMES,
    "time": (
        "time", "timestamp", "datetime", "updated", "last_trade_time", "quote_time",
        "regularmarkettime", "as_of", "asof", *DATE_NAMES,
    ),
    "last": (
        "last", "last_price", "lastprice", "price", "last_trade", "ltp", "regularmarketprice",
        "close", "c", "p",
    ),
    "open": ("open", "day_open", "openprice", "regularmarketopen", "o"),
    "high": ("high", "day_high", "dayhigh", "highprice", "regularmarketdayhigh", "h"),
    "low": ("low", "day_low", "daylow", "lowprice", "regularmarketdaylow", "l"),
    "volume": (
        "volume_so_far", "volume", "day_volume", "cumulative_volume", "totalvolume",
        "regularmarketvolume", "last_volume", "lastvolume", "basevolume", "vol", "v",
    ),
    "previous_close": (
        "previous_close", "prev_close", "previousclose", "prevclose",
        "regularmarketpreviousclose", "pc",
    ),
}  # fmt: skip
_EXPECTED = (
    "a frame or dictionaries with symbol, time and last, a mapping by symbol, the snapshot of "
    "Polygon or Alpaca, tickers of ccxt, or one-minute bars"
)


def quote_table(quotes: object) -> tuple[pd.DataFrame, Kind]:
    """Return a table with the columns symbol, last and, where given, time and further numbers.

    The kind says what open, high, low and volume are of: the day so far ("quotes"), the last 24
    hours ("rolling"), or each row's own interval ("bars").

    Raises
    ------
    InvalidQuotesError
        For a shape that is none of those that the module names, or without a needed column.
    """
    if isinstance(quotes, Mapping | list | tuple) and not quotes:
        raise refusal(quotes, "quotes", _EXPECTED, InvalidQuotesError)
    if isinstance(quotes, pd.Series):  # prices by symbol
        quotes = quotes.to_dict()
    if isinstance(quotes, Mapping):
        return _from_mapping(quotes)
    if isinstance(quotes, list | tuple):
        return _from_records(quotes)
    try:
        frame = as_pandas(quotes, what="quotes")
    except InvalidBarsError as err:
        raise refusal(quotes, "quotes", _EXPECTED, InvalidQuotesError) from err
    try:
        if isinstance(frame.columns, pd.MultiIndex):
            return _from_bars(frame)
    except InvalidBarsError as err:
        raise InvalidQuotesError(str(err)) from err
    return _from_frame(frame)


def _from_mapping(quotes: Mapping[Any, Any]) -> tuple[pd.DataFrame, Kind]:
    if isinstance(quotes.get("tickers"), list):  # Polygon, the whole market
        return _from_records(quotes["tickers"])
    if isinstance(quotes.get("ticker"), Mapping):  # Polygon, one symbol
        return _from_records([quotes["ticker"]])
    if isinstance(quotes.get("snapshots"), Mapping):  # Alpaca
        return _from_mapping(quotes["snapshots"])
    if isinstance(quotes.get("quoteResponse"), Mapping):  # Yahoo
        return _from_records(quotes["quoteResponse"].get("result") or [])
    values = [value for value in quotes.values() if value is not None]
    if all(isinstance(value, Mapping) for value in values):
        rows = [
            value if _symbol_of(value := given or {}) is not None else {**value, "symbol": symbol}
            for symbol, given in quotes.items()
        ]
        return _from_records(rows)
    if all(isinstance(value, pd.DataFrame) for value in values):
        return _from_bars({name: bars for name, bars in quotes.items() if bars is not None})
    if all(isinstance(value, Number) and not isinstance(value, bool) for value in values):
        return _from_frame(pd.DataFrame({"symbol": list(quotes), "last": list(quotes.values())}))
    if _symbol_of(quotes) is not None:
        return _from_records([quotes])
    raise refusal(quotes, "quotes", _EXPECTED, InvalidQuotesError)


def _from_records(records: Sequence[Any]) -> tuple[pd.DataFrame, Kind]:
    wrong = next((record for record in records if not isinstance(record, Mapping)), None)
    if wrong is not None:
        raise refusal(
            wrong, "a quote", "a dictionary with symbol, time and last", InvalidQuotesError
        )
    rows = [_flat(record) for record in records] or dict.fromkeys(_NAMES, ())
    return _from_frame(pd.DataFrame(rows, dtype=object))


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a vendor's nested snapshot of a symbol as one flat dictionary."""
    day = _part(record, "dailyBar", "daily_bar", "day")
    trade = _part(record, "latestTrade", "latest_trade", "lastTrade")
    minute = _part(record, "minuteBar", "minute_bar", "min")
    before = _part(record, "prevDailyBar", "previous_daily_bar", "prevDay")
    if not (day or trade or minute):
        return dict(record)
    is_polygon = "day" in record or "lastTrade" in record
    flat = {
        "symbol": _symbol_of(record),
        "last": _first(trade, "p", "price") or _first(minute, "c", "close") or _close(day),
        "open": _first(day, "o", "open"),
        "high": _first(day, "h", "high"),
        "low": _first(day, "l", "low"),
        "volume": _first(day, "v", "volume"),
        "previous_close": _close(before),
        "time": _first(trade, "t", "timestamp")
        or record.get("updated")
        or _first(minute, "t", "timestamp")
        or _first(day, "t", "timestamp"),
    }
    if not is_polygon:  # the bar of the day is the last one there is, be it of an earlier day
        flat |= {"bar_time": _first(day, "t", "timestamp"), "bar_close": _close(day)}
    return flat


def _from_frame(frame: pd.DataFrame) -> tuple[pd.DataFrame, Kind]:
    table = frame.rename(columns=plain_name)
    known = {*_NAMES["symbol"], *_NAMES["time"]}
    names = [plain_name(name) for name in table.index.names]
    if any(name in known and name not in table.columns for name in names):
        table = table.rename_axis(index=names).reset_index()
    elif not set(SYMBOL_NAMES) & set(table.columns) and isinstance(next(iter(table.index), 0), str):
        table = table.rename_axis(index="symbol").reset_index()
    found = find_columns(table, _NAMES)
    missing = [name for name in ("symbol", "last") if name not in found]
    if missing:
        hint = f"expected symbol, time, last and, if known, {', '.join(NUMBERS[1:])}"
        raise InvalidQuotesError(lacking(frame, "quotes", missing, hint))
    kept = [name for name in ("bar_time", "bar_close") if name in table.columns]
    named = table[[*found.values(), *kept]]
    twice = named.columns[named.columns.duplicated()]
    if twice.size:
        raise InvalidQuotesError(f"quotes have two columns {twice[0]!r}; keep one")
    named = named.set_axis([*found, *kept], axis=1)
    if found["last"] in ("last", "last_price") and "close" in table.columns:  # as of ccxt
        named["last"] = named["last"].where(named["last"].notna(), table["close"])
    for name in NUMBERS:
        if name not in named:
            named[name] = float("nan")
    is_bars = found["last"] in ("close", "c") and {"open", "high", "low", "time"} <= set(found)
    if is_bars and named.duplicated("symbol").any():
        return named, "bars"
    return named, "rolling" if {"basevolume", "timestamp"} <= set(table.columns) else "quotes"


def _from_bars(frame: object) -> tuple[pd.DataFrame, Kind]:
    try:
        table = tidy(frame)
    except InvalidBarsError as err:
        raise InvalidQuotesError(str(err)) from err
    table = table.dropna(subset=["close"])
    table = table.rename(columns={"date": "time", "close": "last"})
    return table.assign(previous_close=float("nan")), "bars"


def _symbol_of(record: Mapping[Any, Any]) -> object:
    named = {plain_name(name): value for name, value in record.items()}
    return next((named[name] for name in SYMBOL_NAMES if isinstance(named.get(name), str)), None)


def _part(record: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    return next((record[name] for name in names if isinstance(record.get(name), Mapping)), {})


def _first(part: Mapping[str, Any], *names: str) -> Any:
    return next((part[name] for name in names if part.get(name) is not None), None)


def _close(bar: Mapping[str, Any]) -> Any:
    return _first(bar, "c", "close")
