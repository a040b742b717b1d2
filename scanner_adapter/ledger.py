"""`Ledger`: what a scan has handed out and what was reported; places and counts, no belief."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandit.checks import as_text
from bandit.choice.draw import Choice
from bandit.errors import InvalidInputError
from scanner_adapter.errors import InvalidOutcomeError
from scanner_adapter.inputs.outcome_table import OutcomeTable
from scanner_adapter.inputs.outcomes import Outcome

Places = NDArray[np.intp]


@dataclass(slots=True)
class ErrorStreak:
    """A run of errors of one kind that ends with the latest result of a scan.

    Parameters
    ----------
    kind : str
        Name of the exception; "" if the latest result is not an error.
    n, n_worked_before : int
        Number of errors, and of those among them whose symbol worked in an earlier scan.
    example : str
        Symbol and message of the latest error.
    is_confirmed : bool
        Whether a symbol that had worked in this scan was evaluated again, and failed too.
    """

    kind: str = ""
    n: int = 0
    n_worked_before: int = 0
    example: str = ""
    is_confirmed: bool = False


class Ledger:
    """Records what one scan hands out and what is reported.

    Parameters
    ----------
    symbols : tuple of str, length n
        The universe; a symbol's *place* is its position here.
    started : float
        Start of the scan by the monotonic clock, seconds.

    Attributes
    ----------
    place : dict of str to int
    is_handed_out, is_reported, is_random : array of bool, shape (n,)
        Handed out here or reported by any worker; reported; drawn by the uniform quota.
    may_pass : array of bool, shape (n,)
        Reported with a transient error, which a later outcome replaces.
    may_retry : array of bool, shape (n,)
        Failed with a transient error, and not retried yet.
    propensity, batch_of : array, shape (n,)
        For symbols handed out here: probability of being in their batch, and its number.
    n_batches, n_reported, n_errors : int
        `n_reported` includes failures.
    first_error : str or None
        Message of the first failed evaluation.
    worked_before : array of bool, shape (n,)
        Evaluated in an earlier scan.
    last_good : str or None
        The latest symbol evaluated without an error here.
    streak : ErrorStreak
    n_here : int
        Number reported since the scan was opened in this process.
    sizes : list of int
        Sizes of the batches since the last report.

    Notes
    -----
    Not thread-safe: used under the scan's lock. Other modules read the arrays and never write them.
    """

    def __init__(self, symbols: tuple[str, ...], started: float) -> None:
        n = len(symbols)
        self.symbols = symbols
        self.place = dict(zip(symbols, range(n), strict=True))
        self.is_handed_out = np.zeros(n, bool)
        self.is_reported = np.zeros(n, bool)
        self.is_random = np.zeros(n, bool)
        self.may_pass = np.zeros(n, bool)
        self.may_retry = np.zeros(n, bool)
        self._is_retried = np.zeros(n, bool)
        self.propensity = np.ones(n)
        self.batch_of = np.zeros(n, np.intp)
        self.n_batches = self.n_reported = self.n_errors = self.n_here = 0
        self.first_error: str | None = None
        self.worked_before = np.zeros(n, bool)
        self.last_good: str | None = None
        self.streak = ErrorStreak()
        self.is_steered_elsewhere = False  # some symbols were not chosen by this scan
        self.sizes: list[int] = []
        self.started = started
        self.opened_at = time.time()
        self._next = 0  # next place to consider in the given order
        self._order = np.empty(n, np.intp)
        self._elapsed_s = np.empty(n)
        self._at = np.empty(n)
        self._reports: list[OutcomeTable] = []
        self._report_of = np.empty(n, np.intp)  # report and row of each place's outcome
        self._row_of = np.empty(n, np.intp)

    # -- handing out -------------------------------------------------------------------------

    def given_order(self, k: int) -> Choice:
        """Choose the next `k` places in the scanner's own order."""
        places: list[int] = []
        while len(places) < k and self._next < len(self.symbols):
            if not self.is_handed_out[self._next]:
                places.append(self._next)
            self._next += 1
        return Choice.certain(places)

    def hand_out(self, choice: Choice, *, is_counted: bool) -> tuple[str, ...]:
        """Record a batch, which may be empty; return its symbols."""
        places = choice.arms
        self.n_batches += is_counted
        self.is_handed_out[places] = True
        self.is_random[places] = choice.is_random
        self.propensity[places] = choice.propensity
        self.batch_of[places] = self.n_batches
        self.sizes.append(places.size)
        return tuple(map(self.symbols.__getitem__, places.tolist()))

    def has_handed_out(self, symbol: str) -> bool:
        """Whether a symbol was handed out here; False for one outside the universe."""
        place = self.place.get(symbol)
        return place is not None and bool(self.is_handed_out[place])

    def put_back(self, places: Places) -> Places:
        """Make places that others held available again; return those not handed out."""
        places = places[~self.is_handed_out[places]]
        if places.size:
            self._next = min(self._next, int(places.min()))
        return places

    def retry_failed(self, k: int) -> tuple[str, ...]:
        """Hand out up to `k` failed symbols a second time; they keep batch and propensity."""
        places = np.flatnonzero(self.may_retry)[:k]
        self.may_retry[places] = False
        self._is_retried[places] = True
        return tuple(self.symbols[place] for place in places.tolist())

    def is_open(self, places: Places) -> NDArray[np.bool_]:
        """Whether an outcome of `places` (k,) would count: none yet, or a transient error."""
        return ~self.is_reported[places] | self.may_pass[places]

    def leave_out(self, symbols: Iterable[str]) -> None:
        """Mark symbols that other workers have scanned, so that they are not handed out."""
        self.is_handed_out[self.places(symbols)] = True

    # -- what comes back ---------------------------------------------------------------------

    def check(self, symbols: Iterable[str]) -> Places:
        """Return the places of symbols that were handed out.

        Raises
        ------
        InvalidOutcomeError
            For a symbol that is not part of the scan, or was not handed out.
        """
        names = tuple(symbols)
        found = list(map(self.place.get, names))
        if None in found:
            raise InvalidOutcomeError(
                f"symbol {names[found.index(None)]!r} is not part of this scan of "
                f"{len(self.symbols)} symbols; report only symbols from a batch"
            )
        places = np.array(found, np.intp)
        is_early = ~self.is_handed_out[places]
        if is_early.any():
            raise InvalidOutcomeError(
                f"symbol {names[int(is_early.argmax())]!r} was not handed out yet; report only "
                "symbols from a batch"
            )
        return places

    def record(
        self,
        table: OutcomeTable,
        places: Places,
        at: float | None = None,
        is_random: NDArray[np.bool_] | None = None,
    ) -> None:
        """Record outcomes of `places` (k,); the first that is not a transient error counts.

        Parameters
        ----------
        at : float, optional
            Time of the report, seconds since the epoch; by default now.
        is_random : array of bool, shape (k,), optional
            For outcomes from another worker: which of them its uniform quota drew.
        """
        rows = np.flatnonzero(self.is_open(places))
        failed = rows[table.is_failed[rows]]
        self._follow_errors(table, rows)
        self.n_errors -= int(np.count_nonzero(self.may_pass[places[rows]]))
        self.n_errors += failed.size
        self.may_pass[places[rows]] = self.may_retry[places[rows]] = False
        for row in failed.tolist():
            outcome, place = table.outcome(row), places[row]
            self.may_pass[place] = outcome.may_pass
            self.may_retry[place] = outcome.may_pass and not self._is_retried[place]
            self.first_error = self.first_error or outcome.error
        self._report_of[places[rows]], self._row_of[places[rows]] = len(self._reports), rows
        self._reports.append(table)
        rows = rows[~self.is_reported[places[rows]]]
        places = places[rows]
        new = slice(self.n_reported, self.n_reported + rows.size)
        at = time.time() if at is None else at
        self._order[new], self._at[new] = places, at
        self._elapsed_s[new] = time.monotonic() - self.started
        self.is_reported[places] = self.is_handed_out[places] = True
        if is_random is not None:
            self.is_random[places] = is_random[rows]
        self.n_reported += rows.size
        self.n_here += rows.size if at >= self.opened_at else 0

    def _follow_errors(self, table: OutcomeTable, rows: Places) -> None:
        worked = rows[~table.is_failed[rows]]
        if worked.size:
            self.streak = ErrorStreak()
            self.last_good = table.symbols[int(worked[-1])]
            rows = rows[rows > worked[-1]]
        for row in rows.tolist():
            outcome, symbol = table.outcome(row), table.symbols[row]
            if outcome.is_final or outcome.error is None:  # the data vendor did answer
                self.streak = ErrorStreak()
                continue
            kind = outcome.error.partition(":")[0]
            if kind != self.streak.kind:
                self.streak = ErrorStreak(kind)
            self.streak.n += 1
            self.streak.n_worked_before += bool(self.worked_before[self.place[symbol]])
            self.streak.example = f"{symbol}: {outcome.error}"

    # -- looking up --------------------------------------------------------------------------

    @property
    def order(self) -> Places:
        """Places in order of reporting, shape (n_reported,)."""
        return self._order[: self.n_reported]

    @property
    def at(self) -> NDArray[np.float64]:
        """Times of the reports, seconds since the epoch, in that order; shape (n_reported,)."""
        return self._at[: self.n_reported]

    @property
    def elapsed_s(self) -> NDArray[np.float64]:
        """Times of the reports, seconds since the start of the scan; shape (n_reported,)."""
        return self._elapsed_s[: self.n_reported]

    def outcome(self, place: int) -> Outcome:
        """Return the outcome of a reported place."""
        report = self._reports[int(self._report_of[place])]
        return report.outcome(int(self._row_of[place]))

    def outcomes(self) -> dict[str, Outcome]:
        """Return all outcomes, in order of reporting."""
        return {self.symbols[place]: self.outcome(place) for place in self.order.tolist()}

    def place_of(self, symbol: str) -> int:
        """Return the place of a symbol given by the caller.

        Raises
        ------
        InvalidInputError
            If the symbol is not part of the scan.
        """
        place = self.place.get(as_text(symbol, "symbol", "a symbol of the scan"))
        if place is None:
            raise InvalidInputError(
                f"symbol {symbol!r} is not part of this scan of {len(self.symbols)} symbols"
            )
        return place

    def places(self, symbols: Iterable[str]) -> Places:
        """Return the places of symbols of the scan."""
        return np.array([self.place[symbol] for symbol in symbols], np.intp)
