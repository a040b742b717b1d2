"""When the trading session of a day ends: whether its bar is whole yet.

Regular hours of the usual exchanges are here, and New York's half days. Those of other exchanges
are known where `exchange_calendars` is installed (`pip install 'scanrank[exchanges]'`), and count
as whole days otherwise, which errs on the safe side: a bar is then set aside for some hours more.
"""

from __future__ import annotations

import warnings
from datetime import UTC, date, datetime, time
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from features.inputs.calendars import ALWAYS_OPEN

# Suffix of the symbols: market identifier code, zone, close of the session there.
EXCHANGES: dict[str, tuple[str, str, time]] = {
    "": ("XNYS", "America/New_York", time(16)),
    "L": ("XLON", "Europe/London", time(16, 30)),
    "IL": ("XLON", "Europe/London", time(16, 30)),
    "IR": ("XDUB", "Europe/Dublin", time(16, 28)),
    "DE": ("XETR", "Europe/Berlin", time(17, 30)),
    "F": ("XFRA", "Europe/Berlin", time(20)),
    "PA": ("XPAR", "Europe/Paris", time(17, 30)),
    "AS": ("XAMS", "Europe/Amsterdam", time(17, 30)),
    "BR": ("XBRU", "Europe/Brussels", time(17, 30)),
    "LS": ("XLIS", "Europe/Lisbon", time(16, 30)),
    "MI": ("XMIL", "Europe/Rome", time(17, 30)),
    "MC": ("XMAD", "Europe/Madrid", time(17, 30)),
    "SW": ("XSWX", "Europe/Zurich", time(17, 30)),
    "VI": ("XWBO", "Europe/Vienna", time(17, 30)),
    "ST": ("XSTO", "Europe/Stockholm", time(17, 30)),
    "CO": ("XCSE", "Europe/Copenhagen", time(17)),
    "HE": ("XHEL", "Europe/Helsinki", time(18, 30)),
    "OL": ("XOSL", "Europe/Oslo", time(16, 20)),
    "WA": ("XWAR", "Europe/Warsaw", time(17)),
    "TO": ("XTSE", "America/Toronto", time(16)),
    "V": ("XTSE", "America/Toronto", time(16)),
    "SA": ("BVMF", "America/Sao_Paulo", time(18)),
    "MX": ("XMEX", "America/Mexico_City", time(15)),
    "T": ("XTKS", "Asia/Tokyo", time(15, 30)),
    "HK": ("XHKG", "Asia/Hong_Kong", time(16)),
    "SS": ("XSHG", "Asia/Shanghai", time(15)),
    "SZ": ("XSHG", "Asia/Shanghai", time(15)),
    "KS": ("XKRX", "Asia/Seoul", time(15, 30)),
    "KQ": ("XKRX", "Asia/Seoul", time(15, 30)),
    "TW": ("XTAI", "Asia/Taipei", time(13, 30)),
    "SI": ("XSES", "Asia/Singapore", time(17)),
    "NS": ("XBOM", "Asia/Kolkata", time(15, 30)),
    "BO": ("XBOM", "Asia/Kolkata", time(15, 30)),
    "AX": ("XASX", "Australia/Sydney", time(16)),
    "NZ": ("XNZE", "Pacific/Auckland", time(16, 45)),
}
# The last minute of a day that never closes still belongs to a scan of its evening.
_MIDNIGHT = time(23, 59)
_HALF_DAY = time(13)
# Sessions that end early do so after noon.
_NOON = time(12)


def session_end(day: np.datetime64, calendar: str) -> datetime:
    """Return when the bar of a day is whole, UTC.

    Parameters
    ----------
    day : datetime64[D]
        As the exchange counts it.
    calendar : str
        Suffix of the symbols, "24/7", or "" for New York; see `features.inputs.calendars`.
        An exchange that is not known here ends with the calendar day in UTC.
    """
    local = day.astype("datetime64[D]").item()
    code, zone, close = EXCHANGES.get(calendar, ("", "UTC", _MIDNIGHT))
    if calendar == ALWAYS_OPEN or not code:
        return datetime.combine(local, _MIDNIGHT, UTC)
    return datetime.combine(local, close, ZoneInfo(zone)).astimezone(UTC)


def is_unfinished(day: np.datetime64, calendar: str, now: datetime) -> bool:
    """Whether the session of a day goes on, or has not begun, at a time with its zone."""
    end = session_end(day, calendar)
    if now >= end:
        return False
    code, zone, _ = EXCHANGES.get(calendar, ("", "UTC", _MIDNIGHT))
    local = now.astimezone(ZoneInfo(zone))
    # Only then can an early close have come; the exchange's calendar takes a second to load.
    if code and local.date() == day.astype("datetime64[D]").item() and local.time() >= _NOON:
        early = early_close(code, str(day))
        return early is None or now < early
    return True


@lru_cache(maxsize=256)
def early_close(code: str, day: str) -> datetime | None:
    """Return when the session of a day closes, UTC, None if no calendar is installed or knows it.

    Parameters
    ----------
    code : str
        Market identifier code of the exchange, such as XNYS.
    day : str
        YYYY-MM-DD
    """
    if code == "XNYS":
        return _new_york_half_day(date.fromisoformat(day))
    try:
        import exchange_calendars
    except ImportError:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas deprecations in its own code
        try:
            # Around the day: a calendar needs more than one, and knows a year ahead at most.
            first, last = (np.datetime64(day) + step for step in (-10, 10))
            known = exchange_calendars.get_calendar(code, start=str(first), end=str(last))
            close = known.session_close(day)
        except (ValueError, exchange_calendars.errors.CalendarError):
            return None
    found: datetime = close.to_pydatetime().astimezone(UTC)
    return found


def _new_york_half_day(day: date) -> datetime | None:
    """Return 13:00 New York on the eves of 4 July and Christmas and the day after Thanksgiving."""
    is_eve = (day.month, day.day) in ((7, 3), (12, 24)) and day.weekday() < 4
    after_thanksgiving = day.month == 11 and day.weekday() == 4 and 23 <= day.day <= 29
    if not (is_eve or after_thanksgiving):
        return None
    return datetime.combine(day, _HALF_DAY, ZoneInfo("America/New_York")).astimezone(UTC)
