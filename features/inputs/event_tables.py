"""Events as vendors give them, turned into plain tables: whose, when, and what.

Understood are the frames of `yfinance.Ticker` (`earnings_dates`, `upgrades_downgrades`, `news`) and
the JSON rows of Finnhub, Benzinga, Alpha Vantage, Polygon, EODHD, FMP and Alpaca. A table without
a symbol of its own comes in a dictionary by symbol.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sized
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import InvalidBarsError, InvalidEventsError
from features.inputs.tables import OnBad, Rows, as_pandas, find_columns, lacking, plain_name

# Vendors' names of each column, the preferred one first. EODHD's `date` is the end of the quarter.
_SYMBOLS = ("symbol", "ticker", "tickers", "symbols", "code", "related", "stocks",
            "ticker_sentiment", "relatedtickers", "name")  # fmt: skip
_DATES = {
    "earnings": ("report_date", "date", "earnings_date", "reporteddate", "datetime"),
    "ratings": ("date", "gradedate", "gradetime", "epochgradedate", "publisheddate", "datetime"),
    "news": ("date", "datetime", "pubdate", "published_utc", "time_published", "created",
             "created_at", "providerpublishtime", "publisheddate", "published_at"),
}  # fmt: skip
_FACTS: dict[str, dict[str, tuple[str, ...]]] = {
    "earnings": {
        "eps_estimate": ("eps_estimate", "epsestimate", "estimatedeps", "estimated_eps", "eps_est",
                         "epsestimated", "estimate"),
        "eps_actual": ("eps_actual", "epsactual", "reported_eps", "reportedeps", "actual_eps",
                       "eps", "actual"),
    },
    "ratings": {"action": ("action", "rating_action", "action_company", "ratingaction")},
    "news": {"count": ("count",)},
}  # fmt: skip
_RELEASE = ("release_time", "hour", "before_after_market", "reporttime", "report_time", "time")
# An article has one of these, a count has none.
_ARTICLE = ("title", "headline", "id", "uuid", "url", "content")

_PRE = {"pre", "bmo", "premarket", "beforemarket", "beforemarketopen", "beforeopen", "before"}
_POST = {"post", "amc", "postmarket", "aftermarket", "aftermarketclose", "afterclose", "after",
         "aftermarkethours"}  # fmt: skip
_UNSAID = {"", "dmh", "duringmarket", "during", "unknown", "nan", "none", "tbd", "tns",
           "notsupplied", "timenotsupplied"}  # fmt: skip
# Under which key the JSON of a vendor has its rows.
_INNER = ("results", "feed", "news", "earningsCalendar", "earnings", "ratings", "quarterlyEarnings")
_OPEN_MINUTE = 9 * 60 + 30  # a release before counts on its day

RATING_WORDS: dict[str, str] = {
    word: meaning
    for meaning, words in {
        "up": "up upgrade upgrades upgraded raise raises raised increase increases increased "
        "positive",
        "down": "down downgrade downgrades downgraded lower lowers lowered cut cuts decrease "
        "decreases decreased reduce reduces reduced negative",
        "hold": "main maintain maintains maintained reit reiterate reiterates reiterated init "
        "initiate initiates initiated initiation initialise start starts started resume resumes "
        "resumed reinstate reinstates reinstated assume assumes assumed hold keep keeps kept "
        "first_seen affirm affirms affirmed confirm confirms confirmed unchanged none neutral "
        "coverage set sets adjust adjusts announces announce suspend suspends suspended drops "
        "discontinue discontinues discontinued terminates terminate reaffirm reaffirms "
        "reaffirmed target",
    }.items()
    for word in words.split()
}
"""What vendors' words for an analyst's action mean; `Events.from_frames(words=...)` extends it."""


def event_kinds(frame: pd.DataFrame) -> list[str]:
    """Return the kinds of events that a table's columns allow."""
    columns = _columns(frame)
    kinds = [
        kind
        for kind, facts in _FACTS.items()
        if all(any(own in columns for own in names) for names in facts.values())
    ]
    is_article = columns & set(_ARTICLE) and columns & set(_DATES["news"])
    return kinds or (["news"] if is_article and columns & set(_SYMBOLS) else [])


def event_rows(frame: object, kind: str, on_bad: OnBad) -> tuple[Rows, int]:
    """Return the rows of events, each once, and how many were repeats.

    Columns: symbol, date, and what their kind has.

    Parameters
    ----------
    frame : data frame, list of dictionaries, or mapping of symbol to either
    kind : str
        "earnings", "ratings" or "news".
    on_bad : "raise" or "skip"

    Raises
    ------
    InvalidEventsError
        If a column is missing or there twice.
    """
    table = _as_table(frame, kind)
    attrs = dict(table.attrs)
    table = _with_index(table.rename(columns=plain_name), kind)
    twin = next(iter(table.columns[table.columns.duplicated()]), None)
    if twin is not None:
        raise InvalidEventsError(f"{kind} have two columns {twin}; keep one of them")
    table.attrs = attrs
    needed = {"symbol": _SYMBOLS, "date": _DATES[kind], **_FACTS[kind]}
    found = find_columns(table, needed)
    if kind == "news" and "count" not in found and _first(table, _ARTICLE) is not None:
        table, found["count"] = table.assign(count=1), "count"
    missing = [name for name in needed if name not in found]
    if missing:
        hint = f"expected {', '.join(needed)}"
        if missing == ["symbol"]:
            hint += f"; give a dictionary by symbol: {kind}={{'AAPL': ...}}"
        raise InvalidEventsError(lacking(table, kind, missing, hint))
    if kind == "earnings":
        found |= find_columns(table, {"release_time": _RELEASE})
    once = _once(table)
    named = once[[*found.values()]].set_axis([*found], axis=1)
    named = _one_symbol_a_row(named).reset_index(drop=True)
    named.attrs = attrs
    return Rows(named, kind, InvalidEventsError, on_bad), len(table) - len(once)


def is_before_open(
    rows: Rows, minutes: NDArray[np.int64], is_utc: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which reports came before the open of their day, shape (n_rows,).

    Parameters
    ----------
    minutes, is_utc : ndarray, shape (n_rows,)
        Time of day of the stamps; 0 = only a date. Of a time in UTC nothing is concluded.
    """
    before = (minutes > 0) & (minutes < _OPEN_MINUTE) & ~is_utc
    if "release_time" not in rows.table:
        return before
    said = rows.table["release_time"].astype(object)
    text = (
        said.where(said.notna(), "")
        .astype(str)
        .str.lower()
        .str.replace(r"[^a-z0-9:]", "", regex=True)
    )
    clock = text.str.extract(r"^(\d{1,2}):?(\d{2})(?::?\d{2})?(am|pm)?$")
    hour = pd.to_numeric(clock[0]) % 12 + 12 * (clock[2] == "pm")
    hour = hour.where(clock[2].notna(), pd.to_numeric(clock[0]))
    minute = 60 * hour + pd.to_numeric(clock[1])
    is_clock = minute.notna().to_numpy()
    known = text.isin(_PRE | _POST | _UNSAID).to_numpy() | is_clock
    rows.refuse(
        "unknown release time",
        ~known,
        lambda row: (
            f"release_time of earnings is {said.iloc[row]!r}; expected pre, post, a time or empty"
        ),
    )
    at_clock = is_clock & (minute > 0).to_numpy() & (minute < _OPEN_MINUTE).to_numpy()
    stated = text.isin(_PRE | _POST).to_numpy() | (is_clock & (minute > 0).to_numpy())
    return np.where(stated, text.isin(_PRE).to_numpy() | at_clock, before)


def rating_signs(
    column: pd.Series, words: Mapping[str, str] | None
) -> tuple[NDArray[np.float64], dict[str, int]]:
    """Return +1, -1 or 0 for each action, NaN where it is not understood, and those words.

    Raises
    ------
    InvalidEventsError
        If a word of the user's means none of up, down and hold.
    """
    known = RATING_WORDS | {plain_name(word): str(means) for word, means in (words or {}).items()}
    odd = next((f"{w!r}: {m!r}" for w, m in known.items() if m not in ("up", "down", "hold")), None)
    if odd is not None:
        raise InvalidEventsError(f"words contains {odd}; expected up, down or hold")
    sign = {"up": 1.0, "down": -1.0, "hold": 0.0}
    codes, values = pd.factorize(column)
    signs, unread = [], dict[str, int]()
    for k, value in enumerate(values):
        text = plain_name(value)
        means = known.get(text) or known.get(re.split(r"[^a-z]+", text.strip("_"))[0])
        signs.append(sign[means] if means else np.nan)
        if means is None:
            unread[str(value)] = int((codes == k).sum())
    if (codes < 0).any():
        unread["(empty)"] = int((codes < 0).sum())
    return np.array([*signs, np.nan])[codes], unread


def _columns(frame: pd.DataFrame) -> set[str]:
    names = [*frame.columns, *(name for name in frame.index.names if name is not None)]
    return {plain_name(name) for name in names}


def _first(table: pd.DataFrame, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in table.columns), None)


def _as_table(frame: object, kind: str) -> pd.DataFrame:
    if isinstance(frame, Mapping):
        inner = next((frame[key] for key in _INNER if isinstance(frame.get(key), list)), None)
        if inner is not None:
            table = _as_table(inner, kind)
            own = frame.get("symbol") or frame.get("ticker")
            return table if own is None else table.assign(symbol=own)
        parts = []
        for symbol, part in frame.items():
            if part is not None and not (isinstance(part, Sized) and len(part) == 0):
                table = _with_index(_as_table(part, kind).rename(columns=plain_name), kind)
                own = [name for name in _SYMBOLS if name in table.columns]
                parts.append(table.drop(columns=own).assign(symbol=symbol))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(
            columns=["symbol", "date", *_FACTS[kind]]
        )  # fmt: skip
    if isinstance(frame, list | tuple):
        rows = [
            {**row, **row["content"]} if isinstance(row.get("content"), Mapping) else row
            for row in frame
            if isinstance(row, Mapping)
        ]
        if len(rows) != len(frame):
            raise InvalidEventsError(f"{kind} are a list; expected one dictionary per event")
        return pd.DataFrame(rows)
    try:
        return as_pandas(frame, what=kind)
    except InvalidBarsError as err:
        raise InvalidEventsError(
            f"{kind} are a {type(frame).__name__}; expected a data frame, a list of dictionaries, "
            "or a dictionary of either by symbol"
        ) from err


def _with_index(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Make columns of an index that holds dates or symbols."""
    for k, name in enumerate(table.index.names):
        values = table.index.get_level_values(k)
        plain = plain_name(name) if name is not None else ""
        is_date = isinstance(values, pd.DatetimeIndex) and _first(table, _DATES[kind]) is None
        wanted = plain if plain in (*_DATES[kind], *_SYMBOLS) else "date" if is_date else ""
        if wanted and wanted not in table.columns:
            table = table.assign(**{wanted: values.array})
    return table.reset_index(drop=True)


def _once(table: pd.DataFrame) -> pd.DataFrame:
    """Return each row once; rows that are alike in all columns are the same event."""
    plain = table.copy()
    for name in plain.columns:
        if plain[name].map(lambda value: isinstance(value, list | dict | set)).any():
            plain[name] = plain[name].astype(str)
    return table[~plain.duplicated().to_numpy()]


def _one_symbol_a_row(table: pd.DataFrame) -> pd.DataFrame:
    """Give an article about several symbols a row for each."""
    column = table["symbol"]

    def several(value: Any) -> Any:
        if isinstance(value, str) and "," in value:
            return [part.strip() for part in value.split(",")]
        if isinstance(value, list | tuple):
            return [
                next((v[k] for k in ("symbol", "ticker", "name") if k in v), None)
                if isinstance(v, Mapping)
                else v
                for v in value
            ]
        return value

    if column.dtype != object and not isinstance(column.dtype, pd.StringDtype):
        return table
    lists = column.map(several)
    if not lists.map(lambda value: isinstance(value, list)).any():
        return table
    table = table.assign(symbol=lists).explode("symbol")
    return table[table["symbol"].notna()]
