"""When a market trades, and how much of a day's volume is usually in by some time.

Half of a day's time is not half of its volume: exchanges are busy after the open and before the
close. What a quote says of an unfinished day is put on the scale of a whole day by such a profile.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.checks import as_array, as_count, as_kind, refusal
from features.errors import FeatureError
from features.inputs.calendars import is_weekend
from features.inputs.hours import early_close

# Share of a day's volume that is usually in after each thirteenth of a session, in US stocks: a U
# (Jain and Joh 1988), with the closing auction in the last.
U_SHAPE = (0.14, 0.23, 0.3, 0.36, 0.41, 0.455, 0.5, 0.545, 0.59, 0.64, 0.7, 0.78, 1.0)
FLAT = (1.0,)

_CLOCK = re.compile(r"^([01]\d|2[0-4]):([0-5]\d)$")
_MINUTES_A_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Session:
    """The hours of a market, within one calendar day of its zone.

    Where the zone and the close are New York's, its half days end at 13:00.

    Parameters
    ----------
    tz : str
        Zone of the market.
    opens, closes : str
        "HH:MM" in that zone; "24:00" is the end of the day.
    profile : sequence of float
        Share of a day's volume that is in after each of so many equal parts of the session: not
        decreasing, the last one 1.
    weekdays : sequence of int
        Days on which the market trades, 0 = Monday.

    Examples
    --------
    >>> session = Session()
    >>> half = np.array(["2024-05-02T12:45"], "datetime64[m]")
    >>> session.time_done(half), session.volume_done(half)
    (array([0.5]), array([0.4775]))
    """

    tz: str = "America/New_York"
    opens: str = "09:30"
    closes: str = "16:00"
    profile: tuple[float, ...] = U_SHAPE
    weekdays: tuple[int, ...] = (0, 1, 2, 3, 4)

    def __post_init__(self) -> None:
        as_kind(self.tz, "tz", str, "a time zone, such as 'Europe/London'")
        try:
            ZoneInfo(self.tz)
        except (ZoneInfoNotFoundError, ValueError, OSError) as err:
            raise refusal(self.tz, "tz", "a time zone, such as 'Europe/London'") from err
        if self._minutes("opens") >= self._minutes("closes"):
            raise FeatureError(
                f"the session opens at {self.opens} and closes at {self.closes}; expected an "
                "opening before the close, in the market's timezone"
            )
        shares = as_array(self.profile, "profile", "shares of a day's volume")
        rises = shares.ndim == 1 and shares.size and np.all(np.diff(shares, prepend=0.0) >= 0)
        if not rises or shares[-1] != 1.0:
            raise refusal(
                self.profile, "profile", "shares of a day's volume that rise to 1, such as (0.6, 1)"
            )
        object.__setattr__(self, "profile", tuple(shares.tolist()))  # to compare and hash
        wanted = "a tuple of days, 0 = Monday"
        if not as_kind(self.weekdays, "weekdays", tuple, wanted):
            raise refusal(self.weekdays, "weekdays", wanted)
        for day in self.weekdays:
            if as_count(day, "weekdays", least=0) > 6:
                raise refusal(day, "weekdays", "days from 0 = Monday to 6 = Sunday")

    @classmethod
    def around_the_clock(cls) -> Session:
        """Return the session of a market that never closes: days in UTC, volume evenly spread."""
        return cls("UTC", "00:00", "24:00", FLAT, (0, 1, 2, 3, 4, 5, 6))

    @classmethod
    def of_days(
        cls, days: NDArray[np.datetime64], mask: NDArray[np.bool_] | None = None
    ) -> Session:
        """Return the hours of a market with these trading days: weekends mean around the clock.

        Parameters
        ----------
        days : ndarray of datetime64, shape (n_days,)
        mask : ndarray of bool, shape (n_days, n_symbols), optional
            Where there is a bar. With it, a weekend counts if half as many symbols trade as on the
            busiest day, so that one coin among stocks does not decide.
        """
        weekend = is_weekend(days.astype("datetime64[D]"))
        if mask is not None:
            n_traded = np.count_nonzero(mask, axis=1)
            weekend &= 2 * n_traded >= n_traded.max(initial=0)
        return cls.around_the_clock() if weekend.any() else cls()

    def wall(self, time: datetime) -> np.datetime64:
        """Return the time of day that the market's clocks show."""
        if time.tzinfo is None:
            raise FeatureError(f"the time {time} has no timezone; give it one, preferably UTC")
        shown = time.astimezone(ZoneInfo(self.tz)).replace(tzinfo=None)
        return np.datetime64(shown, "us")

    def begin(self, now: np.datetime64) -> np.datetime64:
        """Return when the session that is open, or was the last one, began; wall time."""
        day = now.astype("datetime64[D]")
        opens = np.timedelta64(self._minutes("opens"), "m")
        if now < day + opens:
            day -= np.timedelta64(1, "D")
        while not self.trades_on(day):
            day -= np.timedelta64(1, "D")
        begin: np.datetime64 = (day + opens).astype("datetime64[us]")
        return begin

    def trades_on(self, day: np.datetime64) -> bool:
        """Whether the market trades on such a weekday."""
        return (int(day.astype(np.int64)) + 3) % 7 in self.weekdays  # 1970 began on a Thursday

    def time_done(self, wall: NDArray[np.datetime64]) -> NDArray[np.float64]:
        """Return the share of the session's time that is over, 0 to 1, in the shape of `wall`."""
        day = wall.astype("datetime64[D]")
        minutes = (wall - day) / np.timedelta64(1, "m")
        opens = self._minutes("opens")
        place, days = pd.factorize(day.astype(np.int64).ravel())  # faster than to sort
        closes = np.array([self._closes_on(one) for one in days.astype(day.dtype).tolist()], int)
        closes = closes[place].reshape(day.shape)
        done: NDArray[np.float64] = np.clip((minutes - opens) / (closes - opens), 0.0, 1.0)
        return done

    def volume_done(self, wall: NDArray[np.datetime64]) -> NDArray[np.float64]:
        """Return the share of a day's volume that is usually in, 0 to 1, in the shape of `wall`."""
        known = np.array([0.0, *self.profile])
        return np.asarray(np.interp(self.time_done(wall), np.linspace(0.0, 1.0, known.size), known))

    def _closes_on(self, day: date | None) -> int:
        is_new_york = (self.tz, self.closes) == ("America/New_York", "16:00")
        early = early_close("XNYS", str(day)) if is_new_york and day is not None else None
        if early is None:
            return self._minutes("closes")
        return early.astimezone(ZoneInfo(self.tz)).hour * 60

    def _minutes(self, name: str) -> int:
        value = getattr(self, name)
        found = _CLOCK.match(value) if isinstance(value, str) else None
        minutes = int(found[1]) * 60 + int(found[2]) if found else _MINUTES_A_DAY + 1
        if minutes > _MINUTES_A_DAY:
            raise refusal(value, name, "a time of day, such as '09:30'")
        return minutes
