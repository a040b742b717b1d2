"""The layouts in which daily bars arrive, turned into one tidy frame.

Recognised: a tidy long frame under the names of any of the usual vendors, in any order of rows;
wide frames (one column level for the field, one for the symbol, in either order, as
`yfinance.download` returns them, also after `reset_index`); date or symbol in the index; a
dictionary of frames by symbol; the JSON of Polygon, Alpaca and ccxt; one symbol's plain frame with
a `symbol` given; and any frame that speaks the dataframe interchange protocol (polars).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from features.checks import refusal
from features.errors import InvalidBarsError
from features.inputs.days import read_stamps
from features.inputs.tables import (
    DATE_NAMES,
    FIELDS,
    SYMBOL_NAMES,
    as_pandas,
    find_columns,
    lacking,
    plain_name,
)

TIDY = ("date", "symbol", *FIELDS)

# What vendors call the columns; the first one found counts. Letters: Polygon, Alpaca, Finnhub.
_NAMES: dict[str, tuple[str, ...]] = {
    "date": DATE_NAMES,
    "symbol": SYMBOL_NAMES,
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c"),
    "volume": ("volume", "v", "vol"),
    # Tiingo, EODHD, Yahoo, Alpha Vantage.
    "adj_close": ("adj_close", "adjclose", "adjusted_close"),
    "split_factor": ("splitfactor", "split_factor", "split_coefficient"),
}
_CCXT = ("timestamp", *FIELDS)
_RESERVED = "unnamed: 0"


def tidy(frame: object, *, symbol: str | None = None) -> pd.DataFrame:
    """Return a frame with the columns date, symbol, open, high, low, close, volume.

    Columns adj_close and split_factor follow if the frame has them; the order of rows is kept.

    Parameters
    ----------
    frame : data frame, or mapping of symbol to data frame
        In any of the layouts listed in the module's docstring.
    symbol : str, optional
        The symbol of a frame of one symbol without a symbol column.

    Raises
    ------
    InvalidBarsError
        If a column is missing or duplicated; the message names it and the columns found.
    """
    if symbol is not None and (not isinstance(symbol, str) or not symbol):
        raise refusal(symbol, "symbol", "the symbol of the frame's bars")
    if isinstance(frame, Mapping):
        return _from_mapping(frame, symbol)
    if isinstance(frame, list | tuple) and frame:
        frame = _from_records(frame)
    table = as_pandas(frame)
    attrs = dict(table.attrs)
    if isinstance(table.columns, pd.MultiIndex):
        table = _from_two_levels(table)
    else:
        # Polygon's grouped bars: T is the ticker, t the time.
        upper = {"T": "symbol"} if {"T", "t"} <= set(table.columns) else {}
        table = table.rename(columns=lambda name: upper.get(name, plain_name(name)))
        _refuse_twins(table, as_pandas(frame))
        table = _index_to_columns(table)
    table.attrs = attrs
    found = find_columns(table, _NAMES)
    if symbol is not None and "symbol" not in found:
        table, found["symbol"] = table.assign(symbol=symbol), "symbol"
    missing = [name for name in TIDY if name not in found]
    if missing:
        hint = f"expected {', '.join(TIDY)} (names are case-insensitive)"
        if missing == ["symbol"]:
            hint = (
                "for one symbol, pass symbol='...'; for several, a dictionary by symbol or a "
                "column symbol"
            )
        raise InvalidBarsError(lacking(table, "bars", missing, hint))
    named = table[[found[name] for name in _NAMES if name in found]]
    return named.set_axis([name for name in _NAMES if name in found], axis=1)


def _refuse_twins(table: pd.DataFrame, given: pd.DataFrame) -> None:
    known = {name for names in _NAMES.values() for name in names}
    twins = table.columns[table.columns.duplicated()]
    twin = next((name for name in twins if name in known), None)
    if twin is not None:
        both = [
            repr(g) for g, name in zip(given.columns, table.columns, strict=True) if name == twin
        ]
        raise InvalidBarsError(f"bars have the columns {' and '.join(both)}; keep one of them")


def _from_mapping(frames: Mapping[Any, Any], symbol: str | None) -> pd.DataFrame:
    """Read frames by symbol, or what an HTTP interface returned as JSON."""
    if isinstance(frames.get("results"), list):  # Polygon
        return tidy(pd.DataFrame(frames["results"]), symbol=frames.get("ticker") or symbol)
    if isinstance(frames.get("bars"), Mapping):  # Alpaca, several symbols
        return _from_mapping(frames["bars"], symbol)
    if isinstance(frames.get("bars"), list):  # Alpaca, one symbol
        return tidy(pd.DataFrame(frames["bars"]), symbol=frames.get("symbol") or symbol)
    # O, H, L and C are symbols, too: columns hold numbers, and not tables or records.
    fields = {plain_name(name) for name, values in frames.items() if not _is_table(values)}
    if {"o", "h", "l", "c"} <= fields or set(FIELDS) <= fields:  # arrays by column
        return tidy(pd.DataFrame({k: v for k, v in frames.items() if k != "s"}), symbol=symbol)
    if not frames:
        raise InvalidBarsError("bars are an empty dictionary; expected one data frame per symbol")
    parts = []
    for name, frame in frames.items():
        part = tidy(frame, symbol=name)
        others = set(part["symbol"].astype(str).str.strip()) - {str(name).strip()}
        if others:
            raise InvalidBarsError(
                f"the frame of {name!r} contains the symbol {min(others)!r}; expected only that "
                "symbol"
            )
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _is_table(values: Any) -> bool:
    is_list = isinstance(values, list) and bool(values)
    return hasattr(values, "columns") or (is_list and isinstance(values[0], Mapping | list))


def _from_records(records: Sequence[Any]) -> pd.DataFrame:
    """Read a list of dictionaries, or ccxt's rows of six numbers."""
    if all(isinstance(record, Mapping) for record in records):
        return pd.DataFrame(list(records))
    if all(isinstance(record, list | tuple) and len(record) == 6 for record in records):
        return pd.DataFrame(list(records), columns=list(_CCXT))
    raise InvalidBarsError(
        f"bars are a list of {type(records[0]).__name__}; expected a data frame, dictionaries, or "
        "rows of [timestamp, open, high, low, close, volume]"
    )


def _index_to_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Turn an index of dates or symbols into columns, leave a plain row number alone."""
    levels: dict[str, pd.Index | pd.Series] = {}
    for k in range(table.index.nlevels):
        values = table.index.get_level_values(k)
        name = plain_name(values.name)
        if name not in (*DATE_NAMES, *SYMBOL_NAMES):
            name = _meaning(values, table) if values.name is None else ""
        if name and name not in table.columns:
            levels[name] = values
    if _RESERVED in table.columns:  # an index without a name that went through a CSV file
        name = _meaning(table[_RESERVED], table)
        if name:
            levels[name] = table[_RESERVED]
    if not levels:
        return table
    return table.reset_index(drop=True).assign(**{n: v.array for n, v in levels.items()})


def _meaning(values: pd.Index | pd.Series, table: pd.DataFrame) -> str:
    """Return whether values without a name are what the table lacks: date, symbol, or neither."""
    lacks_date = not set(DATE_NAMES) & set(table.columns)
    if isinstance(values, pd.DatetimeIndex):
        return "date" if lacks_date else ""
    first = next(iter(values), None)
    if not isinstance(first, str):
        return ""
    if not read_stamps(pd.Series([first])).problems:
        return "date" if lacks_date else ""
    return "" if set(SYMBOL_NAMES) & set(table.columns) else "symbol"


def _from_two_levels(table: pd.DataFrame) -> pd.DataFrame:
    """Stack (field, symbol) or (symbol, field) columns into a tidy frame."""
    if table.columns.nlevels != 2:
        raise InvalidBarsError(
            f"bars have {table.columns.nlevels} column levels; expected one, or two (field, symbol)"
        )
    names = {name for name in DATE_NAMES if len(name) > 1}  # T is AT&T
    date = next(
        (k for k, pair in enumerate(table.columns) if names & {*map(plain_name, pair)}), None
    )
    dates = table.index if date is None else pd.Index(table.iloc[:, date])
    levels = [table.columns.get_level_values(i) for i in (0, 1)]
    plain = [{plain_name(value) for value in level} for level in levels]
    at = max((0, 1), key=lambda i: len(plain[i] & set(FIELDS)))
    missing = [field for field in FIELDS if field not in plain[at]]
    if missing:
        raise InvalidBarsError(f"missing fields in wide bars: {', '.join(missing)}")
    place: dict[tuple[str, str], int] = {}
    meaning = {own: name for name, names in _NAMES.items() for own in names[:3]}
    for k, (field, name) in enumerate(zip(levels[at], levels[1 - at], strict=True)):
        known = meaning.get(plain_name(field))
        if known in (*FIELDS, "adj_close") and k != date:
            if (known, str(name)) in place:
                raise InvalidBarsError(f"wide bars have {field} of {name} twice; keep one")
            place[known, str(name)] = k
    symbols = list(dict.fromkeys(name for _, name in place))
    columns: dict[str, Any] = {}
    for field in (*FIELDS, "adj_close"):
        lacking = [name for name in symbols if (field, name) not in place]
        if lacking and field in FIELDS:
            raise InvalidBarsError(f"wide bars of {lacking[0]} lack {field}")
        if not lacking:
            part = table.iloc[:, [place[field, name] for name in symbols]]
            columns[field] = part.to_numpy().ravel(order="F")
    rows = np.tile(np.arange(len(table)), len(symbols))
    return pd.DataFrame(
        {"date": dates.take(rows), "symbol": np.repeat(np.array(symbols, object), len(table))}
        | columns
    )
