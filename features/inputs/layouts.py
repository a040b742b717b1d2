"""The layouts in which daily bars arrive, turned into one tidy frame.

Recognised: a tidy long frame, wide frames (one column level for the field, one for the
symbol, in either order, as `yfinance.download` returns them), one symbol's plain frame with a
`symbol` given, a yfinance download saved as CSV (two or three header lines), and any frame that
speaks the dataframe interchange protocol (polars).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.interchange

from features.checks import refusal
from features.errors import InvalidBarsError

FIELDS = ("open", "high", "low", "close", "volume")
TIDY = ("date", "symbol", *FIELDS)

# What data vendors call the two key columns; compared in lower case.
_DATE_NAMES = ("date", "datetime", "timestamp", "time", "day")
_SYMBOL_NAMES = ("symbol", "ticker", "tickers", "name")


def as_pandas(frame: object) -> pd.DataFrame:
    """Return the frame as pandas; another library's through Arrow or the interchange protocol.

    Raises
    ------
    InvalidBarsError
        If the object is no data frame.
    """
    if isinstance(frame, pd.DataFrame):
        return frame
    if hasattr(frame, "__arrow_c_stream__"):
        return pd.DataFrame(pa.table(frame).to_pandas())
    if hasattr(frame, "__dataframe__"):  # pandas' own reader of this protocol is deprecated
        return pd.DataFrame(pa.interchange.from_dataframe(frame).to_pandas())
    raise InvalidBarsError(
        f"bars are a {type(frame).__name__}; expected a pandas or polars data frame with the "
        f"columns {', '.join(TIDY)}"
    )


def tidy(frame: object, *, symbol: str | None = None) -> pd.DataFrame:
    """Return a frame with the columns date, symbol, open, high, low, close, volume.

    Parameters
    ----------
    frame : data frame
        In any of the layouts that the module names.
    symbol : str, optional
        The symbol of a frame that holds one symbol and does not name it.

    Raises
    ------
    InvalidBarsError
        If a column is missing; the message names it and the columns met.
    """
    if symbol is not None and (not isinstance(symbol, str) or not symbol):
        raise refusal(symbol, "symbol", "the symbol of the frame's bars")
    table = as_pandas(frame)
    if isinstance(table.columns, pd.MultiIndex):
        table = _from_two_levels(table)
    else:
        table = table.rename(columns=lambda name: str(name).strip().lower())
        table = _index_to_columns(table)
    names = {str(name): str(name) for name in table.columns}
    date = next((names[name] for name in _DATE_NAMES if name in names), None)
    key = next((names[name] for name in _SYMBOL_NAMES if name in names), None)
    if key is None and symbol is not None:
        key = "symbol"
        table = table.assign(symbol=symbol)
    missing = [field for field in FIELDS if field not in names]
    if date is None:
        missing.insert(0, "date")
    if key is None:
        missing.insert(0, "symbol")
    if date is None or key is None or missing:
        hint = (
            "; a frame of one symbol needs symbol='...'"
            if missing == ["symbol"]
            else f"; expected {', '.join(TIDY)} in any case"
        )
        met = ", ".join(str(name) for name in list(table.columns)[:12])
        raise InvalidBarsError(f"bars lack the column {', '.join(missing)}; met {met}{hint}")
    columns = {date: "date", key: "symbol"}
    return table.rename(columns=columns)[list(TIDY)]


def read_table(
    path: Path, *, what: str = "bars", error: type[ValueError] = InvalidBarsError
) -> pd.DataFrame:
    """Read a `.parquet` or `.csv` file, a yfinance download saved as is included.

    Parameters
    ----------
    what, error : str and type of ValueError
        What the file should hold, and what to raise if it is missing, of another kind, or
        unreadable as its ending says.
    """
    if not path.is_file():
        raise error(f"no file {path}; expected {what} as .parquet or .csv")
    kind = path.suffix.lower()
    try:
        if kind == ".parquet":
            return pd.read_parquet(path)
        if kind == ".csv":
            return _read_csv(path)
    except (ValueError, OSError) as err:
        raise error(f"{path} cannot be read as {kind}: {err}") from err
    raise error(f"{path} ends in {kind or 'nothing'}; expected .parquet or .csv")


def _read_csv(path: Path) -> pd.DataFrame:
    """Read one CSV; a second line that starts with 'Ticker' or 'Price' means two header lines."""
    with path.open(encoding="utf-8-sig") as lines:
        first = lines.readline().split(",")[0].strip().lower()
        second = lines.readline().split(",")[0].strip().lower()
    if {first, second} == {"price", "ticker"}:
        return pd.read_csv(path, header=[0, 1], index_col=0).rename_axis(index="date")
    return pd.read_csv(path)


def _index_to_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Turn a named or dated index into columns, leave a plain row number alone."""
    index = table.index
    if isinstance(index, pd.MultiIndex):
        return table.reset_index().rename(columns=lambda name: str(name).lower())
    known = (*_DATE_NAMES, *_SYMBOL_NAMES)
    if index.name is not None and str(index.name).lower() in known:
        name = str(index.name).lower()
        return table if name in table.columns else table.rename_axis(index=name).reset_index()
    if isinstance(index, pd.DatetimeIndex) and not set(_DATE_NAMES) & set(table.columns):
        return table.rename_axis(index="date").reset_index()
    return table


def _from_two_levels(table: pd.DataFrame) -> pd.DataFrame:
    """Stack (field, symbol) or (symbol, field) columns into a tidy frame."""
    if table.columns.nlevels != 2:
        raise InvalidBarsError(
            f"bars have {table.columns.nlevels} column levels; expected one, or two (field, symbol)"
        )
    levels = [
        {str(value).strip().lower() for value in table.columns.get_level_values(i)} for i in (0, 1)
    ]
    field_level = next((i for i in (0, 1) if set(FIELDS) <= levels[i]), None)
    if field_level is None:
        best = max(levels, key=lambda level: len(level & set(FIELDS)))
        missing = ", ".join(field for field in FIELDS if field not in best)
        raise InvalidBarsError(f"wide bars lack the column level {missing}")
    fields = [str(name).strip().lower() for name in table.columns.get_level_values(field_level)]
    symbols = [str(name).strip() for name in table.columns.get_level_values(1 - field_level)]
    parts: dict[str, dict[str, pd.Series]] = {}
    for position, (field, name) in enumerate(zip(fields, symbols, strict=True)):
        if field in FIELDS:
            parts.setdefault(name, {})[field] = table.iloc[:, position]
    frames = []
    for name, columns in parts.items():
        lacking = [field for field in FIELDS if field not in columns]
        if lacking:
            raise InvalidBarsError(f"wide bars of {name} lack {', '.join(lacking)}")
        frames.append(pd.DataFrame(columns).assign(symbol=name, date=table.index))
    return pd.concat(frames, ignore_index=True)
