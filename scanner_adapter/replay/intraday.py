"""Several scans a day, each of a part of the universe: which hits does an order find in time?

A hit begins at the first scan time at which the symbol would be a hit, and lasts until it would no
longer be one or the day ends. It is found when the symbol is first scanned in between.
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
from scanner_adapter.tables import plain_table

_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)


@dataclass(frozen=True)
class Spells:
    """The times during which symbols were hits on one day.

    Attributes
    ----------
    who, since, until : ndarray of int, shape (n_spells,)
        The symbol of each spell, its first scan, and the scan after its last.
    """

    who: NDArray[np.intp]
    since: NDArray[np.intp]
    until: NDArray[np.intp]

    @classmethod
    def of(cls, is_hit: NDArray[np.bool_]) -> Spells:
        """Return the runs of scans at which a symbol is a hit, from (n_scans, n_symbols).

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
        """Return the minutes until each spell was found, (n_spells,); NaN = it was not.

        Parameters
        ----------
        is_seen : ndarray of bool, shape (n_scans, n_symbols)
        minutes : ndarray, shape (n_scans,)
            Times of the scans.
        """
        waits = np.full(self.who.size, np.nan)
        for i, (j, a, b) in enumerate(zip(self.who, self.since, self.until, strict=True)):
            if is_seen[a:b, j].any():
                waits[i] = minutes[a + is_seen[a:b, j].argmax()] - minutes[a]
        return waits


def look(
    order: Order, scans: Sequence[ReplayScan], budget: float, n_symbols: int
) -> NDArray[np.bool_]:
    """Return which symbols an order scans at each scan, (n_scans, n_symbols).

    Raises
    ------
    InvalidInputError
        If the budget of a scan is less than one symbol.
    """
    is_seen = np.zeros((len(scans), n_symbols), bool)
    for row, scan in zip(is_seen, scans, strict=True):
        n = round(budget * len(scan.symbols))
        if n < 1:
            raise InvalidInputError(
                f"budget {budget:g} of {len(scan.symbols)} symbols at {scan.now} is less than one "
                "symbol; expected a larger budget, and the same time for all symbols of a scan"
            )
        row[scan.places[order.visit(scan, n)]] = True
    return is_seen


@dataclass(frozen=True)
class IntradayReport:
    """Hits found by each order on days of several scans; sequences are over the measured days.

    Attributes
    ----------
    waits : mapping of order to sequence of array
        See `Spells.minutes_to_found`.
    oldest : mapping of order to timedelta
        The longest time for which a symbol was not scanned, nights included.
    lasted : ndarray
        Duration of each hit, in minutes.
    days : ndarray of datetime64[D]
    n_scans, n_symbols : float
        Mean numbers of scans per day and of symbols per scan.
    warmup : int
        Days before the first measured one.
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
        """Return the share of each day's hits found while they lasted; NaN without hits."""
        return np.array([np.mean(~np.isnan(w)) if w.size else np.nan for w in self.waits[order]])

    def minutes(self, order: str) -> float:
        """Return the median minutes from the start of a hit to its being found, over hits found."""
        waits = np.concatenate(self.waits[order])
        return float(np.median(waits[~np.isnan(waits)])) if np.isfinite(waits).any() else np.nan

    @property
    def rows(self) -> list[dict[str, object]]:
        """One row per order, for JSON."""
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
        """Return the table that the command prints."""
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
    """Replay days of several scans under each order, and measure which hits it found in time.

    Parameters
    ----------
    log : DayLog
    orders : iterable of Order
        The others are compared with the first.
    budget : float
        Share of the universe that each scan evaluates.
    warmup : int
        Days at the start that are learned from but not measured.
    progress : callable, optional
        Called with (days done, days in all).

    Raises
    ------
    InvalidInputError
        For settings outside their range, or if no day is left to measure.
    """
    if not 0.0 < budget <= 1.0:
        raise InvalidInputError(f"budget is {budget}; expected a share in (0, 1], such as 2%")
    if not 0 <= warmup < log.days.size:
        raise InvalidInputError(
            f"no day is left to measure: the log has {log.days.size} and the warm-up takes "
            f"{warmup}; replay a longer period, or use a shorter warm-up"
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
    """Return the longest time, in minutes, for which a symbol was not scanned; updates `last`.

    Time counts from the first scan that could have included the symbol.
    """
    oldest = 0.0
    for scan, row, now in zip(scans, is_seen, minutes.tolist(), strict=True):
        here = scan.places
        last[here] = np.where(row[here] | np.isnan(last[here]), now, last[here])
        oldest = max(oldest, float(now - last[here].min()))
    return oldest
