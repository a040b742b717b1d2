"""The day of a stamp: the one place where dates, texts and numbers become calendar days.

- A stamp with a time zone or an offset keeps the day that it shows, whatever the zone; with `tz`
  it is first taken to that zone.
- A number is read as the only thing that it can be: 20240502, or an epoch in seconds,
  milliseconds, microseconds or nanoseconds (UTC). Every other number is refused.
- 03/04/2024 is refused, unless other rows of the column say which of the two is the month.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.checks import refusal, shown
from features.errors import InvalidBarsError

# Of the offsets of a text only the shown time is kept; whether it was UTC is remembered.
_ISO = re.compile(
    r"^(\d{4})[-/]?(\d{1,2})[-/]?(\d{1,2})"
    r"(?:[T ]+(\d{2}):?(\d{2})(?::?(\d{2})(?:[.,](\d{1,9}))?)?)?"
    r"\s*(Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?$"
)
_NUMBER_FIRST = re.compile(r"^(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d{2})((?:[T ].*)?)$")
_PLAIN = (
    r"^(\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)?)"
    r"(Z|[+-]\d\d:\d\d)?$"
)
_NUMBER = re.compile(r"^\d+(\.\d+)?$")
_MONTH = re.compile(r"(?i)\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b")
_UTC_WORDS = {"Z", "z", "UTC", "GMT", "+00", "+0000", "+00:00", "-00:00"}
_NO_NUMBER = (
    "is a number, but neither YYYYMMDD nor an epoch in s, ms, us or ns (an Excel day number or a "
    "row number?)"
)
# Times (UTC, in minutes) at which a day begins in Auckland, Sydney, Tokyo, Shanghai, Mumbai and
# Europe: a daily bar with such a stamp belongs to the next day. New York's day begins at 4 or 5.
_MIDNIGHTS_EAST = {60 * h for h in (11, 12, 13, 14, 15, 16, 22, 23)} | {18 * 60 + 30}

EXAMPLE = "such as 2019-12-31"


@dataclass(frozen=True, slots=True)
class Stamps:
    """What the stamps of a column show.

    Parameters
    ----------
    wall : ndarray of datetime64[us], shape (n,)
        Date and time of day as shown; NaT where a row cannot be read.
    is_utc : ndarray of bool, shape (n,)
        Whether it is the time in UTC.
    problems : dict of row to text
        What is wrong with the rows that cannot be read: value met and value expected.
    """

    wall: NDArray[np.datetime64]
    is_utc: NDArray[np.bool_]
    problems: dict[int, str]

    @property
    def days(self) -> NDArray[np.datetime64]:
        """Calendar days, datetime64[D], shape (n,)."""
        return self.wall.astype("datetime64[D]")

    @property
    def minutes(self) -> NDArray[np.int64]:
        """Minutes since midnight, shape (n,)."""
        return (self.wall - self.days).astype("timedelta64[m]").astype(np.int64)

    @property
    def is_midnight_east(self) -> NDArray[np.bool_]:
        """Whether it is the time in UTC at which the next day begins east of Greenwich, (n,)."""
        return self.is_utc & np.isin(self.minutes, list(_MIDNIGHTS_EAST))


def read_stamps(column: pd.Series, *, tz: str | None = None) -> Stamps:
    """Return the shown time of every row; see the module for how.

    Parameters
    ----------
    column : Series
        Dates, timestamps, texts or numbers, or a mixture.
    tz : str, optional
        Zone of the market, such as 'America/New_York': stamps in UTC or with an offset are taken
        there. Stamps without a zone are left alone.
    """
    check_zone(tz)
    # Each distinct value is read once: a few thousand days instead of millions of rows.
    codes, values = pd.factorize(column)
    if isinstance(values, pd.DatetimeIndex):
        wall, is_utc, wrong = _shown(values, tz), _is_utc(values.tz, tz), dict[int, str]()
        known = np.full(len(values), is_utc)
    else:
        wall, known, wrong = _each(pd.Index(values), tz)
    wall = np.append(wall, np.datetime64("NaT"))
    problems = {int(row): "is missing" for row in np.flatnonzero(codes < 0)}
    for place, text in wrong.items():
        problems |= {int(row): text for row in np.flatnonzero(codes == place)}
    return Stamps(wall[codes], np.append(known, False)[codes], dict(sorted(problems.items())))


def as_day(value: object, *, tz: str | None = None) -> np.datetime64:
    """Return a date, timestamp, text or number as the calendar day that it shows.

    Raises
    ------
    InvalidBarsError
        If the value is no date, or one of two dates.

    Examples
    --------
    >>> as_day("2024-05-02T20:30-04:00"), as_day(20240502)
    (np.datetime64('2024-05-02'), np.datetime64('2024-05-02'))
    """
    if not isinstance(value, Hashable):  # a list, a frame
        raise refusal(value, "the date", f"one {EXAMPLE}", InvalidBarsError)
    found = read_stamps(pd.Series([value], dtype=object), tz=tz)
    if found.problems:
        raise InvalidBarsError(
            f"the date {shown(value)} {found.problems[0]}; expected one {EXAMPLE}"
        )
    day: np.datetime64 = found.days[0]
    return day


def check_zone(tz: str | None) -> None:
    """Refuse a zone that does not exist.

    Raises
    ------
    InvalidBarsError
    """
    try:
        if tz is not None:
            ZoneInfo(tz)
    except (ValueError, OSError, ZoneInfoNotFoundError) as err:
        raise InvalidBarsError(
            f"unknown timezone {tz!r}; expected a name such as America/New_York or UTC"
        ) from err


def _shown(values: pd.DatetimeIndex, tz: str | None) -> NDArray[np.datetime64]:
    if values.tz is not None:
        values = (values if tz is None else values.tz_convert(tz)).tz_localize(None)
    return values.to_numpy().astype("datetime64[us]")


def _is_utc(zone: object, tz: str | None) -> bool:
    return zone is not None and tz is None and str(zone) in {"UTC", "UTC+00:00", "Etc/UTC"}


def _each(
    values: pd.Index, tz: str | None
) -> tuple[NDArray[np.datetime64], NDArray[np.bool_], dict[int, str]]:
    """Read a mixture of values; returns shown times, which are in UTC, and what is wrong."""
    wall = np.full(len(values), "NaT", "datetime64[us]")
    is_utc = np.zeros(len(values), bool)
    wrong: dict[int, str] = {}
    if values.dtype.kind in "iuf":
        texts, numbers = {}, dict(enumerate(values.tolist()))
    else:
        texts, numbers = _iso(values, wall, is_utc, tz), {}
    for place, value in list(texts.items()):
        if isinstance(value, str):
            text = texts[place] = value.strip()
            if _NUMBER.match(text):
                numbers[place] = float(text) if "." in text else int(text)
                del texts[place]
            continue
        del texts[place]
        if isinstance(value, int | float | np.number) and not isinstance(value, bool):
            numbers[place] = value
            continue
        try:
            stamp = pd.Timestamp(value)
        except (ValueError, TypeError):
            wrong[place] = "is not a date"
            continue
        wall[place], is_utc[place] = _shown(pd.DatetimeIndex([stamp]), tz)[0], _is_utc(stamp.tz, tz)
        if np.isnat(wall[place]):
            wrong[place] = "is missing"
    day_first = _day_first(texts.values())
    for place, text in texts.items():
        shown = _text(text, tz, day_first)
        if isinstance(shown, str):
            wrong[place] = shown
        else:
            wall[place], is_utc[place] = shown
    if numbers:
        at = np.fromiter(numbers, np.intp, len(numbers))
        wall[at], is_utc[at] = _numbers(list(numbers.values()), tz)
        wrong |= dict.fromkeys(at[np.isnat(wall[at])].tolist(), _NO_NUMBER)
    return wall, is_utc, wrong


def _iso(
    values: pd.Index, wall: NDArray[np.datetime64], is_utc: NDArray[np.bool_], tz: str | None
) -> dict[int, Any]:
    """Read what is plainly ISO 8601 at once, and return the rest by place."""
    text = pd.Series([value if isinstance(value, str) else "" for value in values], dtype=str)
    parts = text.str.extract(_PLAIN)
    at = np.flatnonzero(parts[0].notna())
    shown = pd.to_datetime(parts[0].iloc[at], format="ISO8601", errors="coerce")
    zone = parts[1].iloc[at]
    with_zone = zone.notna().to_numpy()
    if tz is not None and with_zone.any():
        whole = parts[0].iloc[at][with_zone] + zone[with_zone]
        local = pd.to_datetime(whole, format="ISO8601", errors="coerce", utc=True)
        shown[with_zone] = local.dt.tz_convert(tz).dt.tz_localize(None)
    wall[at] = shown.to_numpy().astype("datetime64[us]")
    is_utc[at] = zone.isin(_UTC_WORDS).to_numpy() & (tz is None)
    rest = np.isnat(wall)
    return {place: values[place] for place in np.flatnonzero(rest).tolist()}


def _text(text: str, tz: str | None, day_first: bool | None) -> tuple[np.datetime64, bool] | str:
    """Return the shown time and whether it is in UTC, or what is wrong with the text."""
    if not text or text.lower() in {"nan", "nat", "none", "null", "<na>"}:
        return "is missing"
    if two := _NUMBER_FIRST.match(text):
        first, _, second, year, rest = two.groups()
        if len(year) == 2:
            return "is ambiguous; write the year first, with four digits"
        if day_first is None and first != second:
            return (
                f"could be {year}-{second:0>2}-{first:0>2} (day first) or "
                f"{year}-{first:0>2}-{second:0>2} (month first); write it as YYYY-MM-DD"
            )
        month, day = (second, first) if day_first else (first, second)
        text = f"{year}-{month}-{day}{rest}"
    iso = _ISO.match(text)
    if iso is None and not (_MONTH.search(text) and re.search(r"\b\d{4}\b", text)):
        return "is not a date"
    try:
        if iso is None:
            stamp = pd.Timestamp(text)
            zone = None if stamp.tz is None else "UTC" if _is_utc(stamp.tz, None) else "other"
            shown = _shown(pd.DatetimeIndex([stamp]), tz)[0]
            return shown, zone == "UTC" and tz is None
        *parts, fraction, zone = iso.groups()
        year, month, day, hour, minute, second = (int(part or 0) for part in parts)
        stamp = pd.Timestamp(year, month, day, hour, minute, second)
        stamp += pd.Timedelta(int((fraction or "").ljust(9, "0")[:9] or 0), "ns")
    except (ValueError, OverflowError):
        return "is not a date"
    if zone is None:
        return stamp.to_datetime64().astype("datetime64[us]"), False
    if tz is not None:
        offset = "+00:00" if zone in _UTC_WORDS else f"{zone[:3]}:{zone[3:].strip(':') or '00'}"
        return _shown(pd.DatetimeIndex([stamp.tz_localize(offset)]), tz)[0], False
    return stamp.to_datetime64().astype("datetime64[us]"), zone in _UTC_WORDS


def _numbers(
    values: list[int | float], tz: str | None
) -> tuple[NDArray[np.datetime64], NDArray[np.bool_]]:
    """Return the shown times, NaT where a number is none, and which are in UTC; each (n,)."""
    # No float holds a whole number of 400 digits.
    size = np.array([float(v) if abs(v) < 9e18 else 0.0 for v in values], np.float64)
    # Floats hold seconds with a fraction; larger ones are whole, but for rounding.
    whole = np.array([int(v) if abs(v) < 9e18 else 0 for v in values], np.int64)
    us = np.round((size - whole) * 1e6).astype(np.int64)
    for limit, factor in ((1e11, 10**6), (1e14, 1000), (1e17, 1)):
        us = np.where((size < limit) & (size >= limit / 1000), whole * factor + us, us)
    us = np.where(size >= 1e17, whole // 1000, us)
    wall = us.astype("datetime64[us]")
    compact = (size >= 19000101) & (size < 22000101)
    wall[~((size >= 1e8) & (size < 9e18))] = np.datetime64("NaT")
    texts = pd.Series(whole[compact].astype(str))
    days = pd.to_datetime(texts, format="%Y%m%d", errors="coerce")
    wall[compact] = days.to_numpy().astype("datetime64[us]")
    if tz is not None:
        wall[~compact] = _shown(pd.DatetimeIndex(wall[~compact]).tz_localize("UTC"), tz)
    return wall, ~compact & (tz is None)


def _day_first(texts: Iterable[str]) -> bool | None:
    """Whether the first number of dates such as 13/4/2024 is the day; None if undecided."""
    pairs = [found.groups() for text in texts if (found := _NUMBER_FIRST.match(text))]
    day = any(int(first) > 12 for first, *_ in pairs)
    month = any(int(second) > 12 for _, _, second, *_ in pairs)
    return None if day == month else day
