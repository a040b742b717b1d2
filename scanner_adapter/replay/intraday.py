"""Many scans a day, each of which sees a part: which hits does an order find while they last?

A hit begins when a scan would say so of a symbol and lasts until one would not, or the day ends. It
counts as found at the first look in between, whoever was looking for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from bandit.errors import InvalidInputError
from bandit.evaluation.intervals import bootstrap_interval
from scanner_adapter.jsonio import finite_or_none
from scanner_adapter.replay.logs.moments import DayLog
from scanner_adapter.replay.logs.scans import ReplayScan
from scanner_adapter.replay.orders import Order
from scanner_adapter.replay.tables import plain_table

_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)


@dataclass(frozen=True)
class Spells:
    """When which symbols were hits on a day of many scans.

    Attributes
    ----------
    who, since, until : ndarray of int, shape (n_spells,)
        The symbol of each spell, and the scans from which on, and before which, it is a hit.
    """

    who: NDArray[np.intp]
    since: NDArray[np.intp]
    until: NDArray[np.intp]

    @classmethod
    def of(cls, is_hit: NDArray[np.bool_]) -> Spells:
        """Read them off (n_scans, n_symbols): scans in a row at which a symbol is a hit.

        Examples
        --------
        >>> Spells.of(np.array([[1, 0], [1, 1], [0, 1], [1, 1]], bool)).since.tolist()
        [0, 3, 1]
        """
        change = np.diff(np.pad(is_hit.T.astype(np.int8), ((0, 0), (1, 1))), axis=1)
        who, since = np.nonzero(change == 1)
        return cls(who, since, np.nonzero(change == -1)[1])

    def minutes_to_found(
        self, is_seen: NDArray[np.bool_], minutes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return how long each waited for its first look, (n_spells,); NaN = until it was over.

        Parameters
        ----------
        is_seen : ndarray of bool, shape (n_scans, n_symbols)
        minutes : ndarray, shape (n_scans,)
            When the scans ran.
        """
        waits = np.full(self.who.size, np.nan)
        for i, (j, a, b) in enumerate(zip(self.who, self.since, self.until, strict=True)):
            if is_seen[a:b, j].any():
                waits[i] = minutes[a + is_seen[a:b, j].argmax()] - minutes[a]
        return waits


def look(
    order: Order, scans: Sequence[ReplayScan], budget: float, n_symbols: int
) -> NDArray[np.bool_]:
    """Return at which scan an order looks at which symbol, (n_scans, n_symbols).

    Raises
    ------
    InvalidInputError
        Where the budget of a scan is no symbol at all.
    """
    is_seen = np.zeros((len(scans), n_symbols), bool)
    for row, scan in zip(is_seen, scans, strict=True):
        n = round(budget * len(scan.symbols))
        if n < 1:
            raise InvalidInputError(
                f"budget is {budget:g} of {len(scan.symbols)} symbols at {scan.now}, which is not "
                "one; expected a larger share, and one time for all symbols of a scan"
            )
        row[scan.places[order.visit(scan, n)]] = True
    return is_seen


@dataclass(frozen=True)
class IntradayReport:
    """What orders found on days of many scans; sequences are over the measured days.

    Attributes
    ----------
    waits : mapping of order to sequence of array
        See `Spells.minutes_to_found`.
    oldest : mapping of order to timedelta
        The longest that a symbol had not been looked at, nights included.
    lasted : ndarray
        Minutes that each hit lasted.
    days : ndarray of datetime64[D]
    n_scans, n_symbols : float
        Scans a day and symbols a scan, in the mean.
    warmup : int
        Days before the first that is measured.
    budget : float
    """

    waits: dict[str, list[NDArray[np.float64]]]
    oldest: dict[str, timedelta]
    lasted: NDArray[np.float64]
    days: NDArray[np.datetime64]
    n_scans: float
    n_symbols: float
    warmup: int
    budget: float

    def found(self, order: str) -> NDArray[np.float64]:
        """Return the share of each day's hits that was found while they lasted; NaN without any."""
        return np.array([np.mean(~np.isnan(w)) if w.size else np.nan for w in self.waits[order]])

    def minutes(self, order: str) -> float:
        """Return the median time from becoming a hit to being found, of the hits found."""
        waits = np.concatenate(self.waits[order])
        return float(np.median(waits[~np.isnan(waits)])) if np.isfinite(waits).any() else np.nan

    @property
    def rows(self) -> list[dict[str, object]]:
        """One row an order, for JSON."""
        rows: list[dict[str, object]] = []
        first = next(iter(self.waits))
        for order in self.waits:
            rng = np.random.default_rng(0)
            found = bootstrap_interval(self.found(order), rng)
            ahead = bootstrap_interval(self.found(first) - self.found(order), rng)
            rows.append(
                {
                    "order": order,
                    "found_while_they_last": finite_or_none(found.mean),
                    "low": finite_or_none(found.low),
                    "high": finite_or_none(found.high),
                    "ahead": finite_or_none(ahead.mean),
                    "ahead_low": finite_or_none(ahead.low),
                    "ahead_high": finite_or_none(ahead.high),
                    "minutes_to_found": finite_or_none(self.minutes(order)),
                    "oldest_look_hours": self.oldest[order] / _HOUR,
                    "days": found.n,
                }
            )
        return rows

    def table(self) -> Table:
        """Return the table of the command."""
        title = (
            f"{self.days.size} days, {self.days[0]} to {self.days[-1]}, after {self.warmup} of "
            f"warm-up · {self.n_scans:.0f} scans a day, each of {100 * self.budget:.3g}% of "
            f"{self.n_symbols:.0f} symbols"
        )
        caption = (
            f"{self.lasted.size} hits, half of which last {np.median(self.lasted):g} minutes or "
            "less" if self.lasted.size else "no hits"
        )  # fmt: skip
        numbers = ("found", "minutes", "oldest look", f"{next(iter(self.waits))} ahead")
        table = plain_table(title, ("order",), numbers, caption)
        for row in self.rows:
            found, minutes, ahead, low, high = (
                "-" if row[key] is None else f"{row[key]:{shape}}"
                for key, shape in (
                    ("found_while_they_last", ".3f"), ("minutes_to_found", ".0f"),
                    ("ahead", "+.3f"), ("ahead_low", "+.3f"), ("ahead_high", "+.3f"),
                )
            )  # fmt: skip
            age = self.oldest[str(row["order"])]
            oldest = f"{age / _HOUR:.1f} h" if age < 48 * _HOUR else f"{age / (24 * _HOUR):.0f} d"
            is_first = table.row_count == 0
            gain = "" if is_first else f"{ahead} ({low} to {high})"
            table.add_row(str(row["order"]), found, minutes, oldest, gain)
        return table


def replay_intraday(
    log: DayLog,
    orders: Iterable[Order],
    *,
    budget: float,
    warmup: int,
    progress: Callable[[int, int], None] | None = None,
) -> IntradayReport:
    """Replay days of many scans under each order, and measure what it found in time.

    Parameters
    ----------
    log : DayLog
    orders : iterable of Order
        The first is the one that the others are compared with.
    budget : float
        Share of the universe that each scan sees.
    warmup : int
        Days at the beginning that are learned from and not measured.
    progress : callable, optional
        Called with (days done, days in all).

    Raises
    ------
    InvalidInputError
        For settings outside their range, or where no day is left to measure.
    """
    if not 0.0 < budget <= 1.0:
        raise InvalidInputError(f"budget is {budget}; expected a share in (0, 1], such as 2%")
    if not 0 <= warmup < log.days.size:
        raise InvalidInputError(
            f"{log.days.size} days leave none to measure after {warmup} of warm-up; replay a "
            "longer period, or a shorter warm-up"
        )
    contenders = list(orders)
    waits: dict[str, list[NDArray[np.float64]]] = {order.name: [] for order in contenders}
    n = len(log.symbols)
    last = {order.name: np.full(n, np.nan) for order in contenders}
    oldest = dict.fromkeys(waits, 0.0)
    lasted, sizes, counts = [np.empty(0)], [], []
    for number, day in enumerate(log.days):
        scans = log.scans_of(day)
        minutes = np.array([scan.now.timestamp() / 60.0 for scan in scans])
        is_hit = np.zeros((len(scans), n), bool)
        for row, scan in zip(is_hit, scans, strict=True):
            row[scan.places[scan.hits]] = True
        spells = Spells.of(is_hit)
        ends = np.append(minutes, minutes[-1:] + np.append(0.0, np.diff(minutes))[-1:])
        for order in contenders:
            is_seen = look(order, scans, budget, n)
            age = _oldest(last[order.name], scans, is_seen, minutes)
            if number >= warmup:
                waits[order.name].append(spells.minutes_to_found(is_seen, minutes))
                oldest[order.name] = max(oldest[order.name], age)
        if number >= warmup:
            lasted.append(ends[spells.until] - ends[spells.since])
            sizes += [len(scan.symbols) for scan in scans]
            counts.append(len(scans))
        if progress is not None:
            progress(number + 1, log.days.size)
    return IntradayReport(
        waits, {name: age * _MINUTE for name, age in oldest.items()}, np.concatenate(lasted),
        log.days[warmup:], float(np.mean(counts)), float(np.mean(sizes or [0])), warmup, budget,
    )  # fmt: skip


def _oldest(
    last: NDArray[np.float64], scans: Sequence[ReplayScan], is_seen: NDArray[np.bool_],
    minutes: NDArray[np.float64],
) -> float:  # fmt: skip
    """Return the longest time without a look that a scan leaves, and note the looks in `last`.

    A symbol's time runs from its first scan on.
    """
    oldest = 0.0
    for scan, row, now in zip(scans, is_seen, minutes.tolist(), strict=True):
        here = scan.places
        last[here] = np.where(row[here] | np.isnan(last[here]), now, last[here])
        oldest = max(oldest, float(now - last[here].min()))
    return oldest
