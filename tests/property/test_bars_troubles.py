"""Frames with up to five troubles at once: the slow reader's bars, or one clear error.

The slow reader goes through the rows one by one in plain Python and shares no code with `features`.
More of them: `SCANRANK_EXAMPLES=20000 pytest tests/property/test_bars_troubles.py`.
"""

from __future__ import annotations

import math
import os
from collections import defaultdict
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import Bars, InvalidBarsError
from features.inputs.tables import FIELDS

DAYS = ("2024-03-04", "2024-03-05", "2024-03-11", "2024-03-12")
SYMBOLS = ("AAPL", "NA", "005930")
# How a day is written; all rows of a day are written alike.
WRITTEN = {
    "plain": lambda day: day,
    "zone": lambda day: f"{day} 20:30:00-05:00",
    "utc": lambda day: f"{day}T05:00:00Z",
    "compact": lambda day: int(day.replace("-", "")),
    "epoch": lambda day: int(pd.Timestamp(day).timestamp()),
    "milliseconds": lambda day: int(pd.Timestamp(day).timestamp()) * 1000,
    "ambiguous": lambda _: "03/04/2024",
    "words": lambda day: pd.Timestamp(day).strftime("%B %d, %Y"),
}
TROUBLES = (
    "blank", "lone blank", "repeat", "conflict", "zero price", "text", "missing number", "future",
    "no symbol", "no date", "negative volume", "high too low", "infinite", "shuffle", "case",
    "row dropped",
)  # fmt: skip

Row = dict[str, Any]


def base() -> list[Row]:
    rows = []
    for j, symbol in enumerate(SYMBOLS):
        for i, day in enumerate(DAYS):
            p = 10.0 * (j + 1) + i
            numbers = dict(zip(FIELDS, (p, p + 2, p - 2, p + 1, 100.0 + i), strict=True))
            rows.append({"date": day, "symbol": symbol, **numbers})
    return rows


def spoil(rows: list[Row], trouble: str, k: int) -> list[Row]:
    row = rows[k % len(rows)]
    if trouble == "blank":
        name = row["symbol"]
        for each in rows:
            if each["symbol"] == name and isinstance(name, str):
                each["symbol"] = f" {name.strip()} "
    elif trouble == "lone blank" and isinstance(row["symbol"], str):
        row["symbol"] = f"{row['symbol']} "
    elif trouble == "repeat":
        rows.append(dict(row))
    elif trouble == "conflict":
        rows.append({**row, "volume": 7.0})
    elif trouble == "zero price":
        row["low"] = 0.0
    elif trouble == "text":
        row["volume"] = "12k"
    elif trouble == "missing number":
        row["close"] = math.nan
    elif trouble == "future":
        row["date"] = "2099-01-04"
    elif trouble == "no symbol":
        row["symbol"] = None
    elif trouble == "no date":
        row["date"] = None
    elif trouble == "negative volume":
        row["volume"] = -1.0
    elif trouble == "high too low":
        row["high"] = 0.5
    elif trouble == "infinite":
        row["open"] = math.inf
    elif trouble == "shuffle":
        return rows[k:] + rows[:k][::-1]
    elif trouble == "row dropped" and len(rows) > 1:
        rows.remove(row)
    return rows


def slow(rows: list[Row], writing: dict[str, str], skip: bool) -> dict[tuple[str, str], Any] | None:
    """Return the bars by symbol and day; None if the rows must be refused."""
    spellings: dict[str, set[str]] = defaultdict(set)
    found: dict[tuple[str, str], list[tuple[float, ...]]] = defaultdict(list)
    for row in rows:
        if isinstance(row["symbol"], str):
            spellings[row["symbol"].strip()].add(row["symbol"])
    if any(len(each) > 1 for each in spellings.values()):
        return None
    for row in rows:
        numbers = tuple(row[name] for name in FIELDS)
        is_bad = row["symbol"] is None or row["date"] is None
        is_bad |= row["date"] in writing and writing[row["date"]] == "ambiguous"
        is_bad |= any(isinstance(x, str) for x in numbers)
        is_open = row["date"] == "2099-01-04" or any(x != x for x in numbers)
        if not is_bad and not is_open:
            o, h, low, c, v = numbers
            is_bad = min(o, h, low, c) <= 0 or max(numbers) == math.inf or v < 0
            is_bad |= max(o, low, c) > h * 1.001 or min(o, h, c) < low - h * 0.001
        if is_bad and not skip:
            return None
        if not is_bad and not is_open:
            found[row["symbol"].strip(), row["date"]].append(numbers)
    kept = {}
    for key, several in found.items():
        if len(set(several)) > 1:
            if not skip:
                return None
        else:
            kept[key] = several[0]
    return kept or None


def as_written(rows: list[Row], writing: dict[str, str], is_upper: bool) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    for name in ("date", "symbol"):
        frame[name] = pd.Series([row[name] for row in rows], dtype=object)
    dates = [WRITTEN[writing.get(d, "plain")](d) if d else None for d in frame["date"]]
    frame["date"] = pd.Series(dates, dtype=object)
    return frame.rename(columns=str.upper) if is_upper else frame


@settings(max_examples=int(os.environ.get("SCANRANK_EXAMPLES", "150")), deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(TROUBLES), st.integers(0, 11)), max_size=5),
    st.fixed_dictionaries({day: st.sampled_from(sorted(WRITTEN)) for day in DAYS}),
    st.booleans(),
)
def test_the_right_bars_or_one_clear_error(
    troubles: list[tuple[str, int]], writing: dict[str, str], skip: bool
) -> None:
    rows = base()
    for trouble, k in troubles:
        rows = spoil(rows, trouble, k)
    frame = as_written(rows, writing, any(trouble == "case" for trouble, _ in troubles))
    expected = slow(rows, writing, skip)
    if expected is None:
        with pytest.raises(InvalidBarsError) as refused:
            Bars.from_frame(frame, on_bad="skip" if skip else "raise")
        assert "\n" not in str(refused.value)
        return
    bars = Bars.from_frame(frame, on_bad="skip" if skip else "raise")
    got = {
        (symbol, str(day)): tuple(float(getattr(bars, name)[i, j]) for name in FIELDS)
        for j, symbol in enumerate(bars.symbols)
        for i, day in enumerate(bars.dates)
        if bars.mask[i, j]
    }
    widened = {
        key: (o, max(o, h, low, c), min(o, h, low, c), c, v)
        for key, (o, h, low, c, v) in expected.items()
    }
    assert got == widened
