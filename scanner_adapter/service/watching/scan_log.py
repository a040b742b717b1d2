"""The results of one scan, read from the journal once and kept in step with it.

Lists, event streams and explanations all read from here, so that however many watch, the journal
is read once per server. A result takes some 150 bytes.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import numpy as np

from bandit.errors import InvalidInputError
from bandit.stores import Entry, Store
from bandit.stores.names import START, position_key
from scanner_adapter.jsonio import finite_or_none
from scanner_adapter.service.notes import find_scan, past
from scanner_adapter.service.schemas import Result, Results, ResultsEvent

_NUMBERS = ("rating", "reward", "propensity", "probability")
_RANDOM, _SIGNAL, _ERROR = 1, 2, 4  # bits of a result's flags


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """One report of the scan: where it stands, and which results are its own."""

    position: str
    key: tuple[int, int]
    first: int
    end: int
    reported_at: float


class ScanResults:
    """Results of a scan in journal order. Not thread-safe; reads may run beside one `refresh`.

    `refresh` appends results first and the entry that makes them visible last, so that a reader in
    another thread sees whole entries only.
    """

    def __init__(self, ruleset: str, scan_id: str) -> None:
        self.ruleset, self.scan_id = ruleset, scan_id
        self.entries: list[LoggedEntry] = []
        self.position = ""  # of the journal, read up to; "": not yet
        self.closed_at: float | None = None  # time of the close entry
        self._symbols: list[str] = []
        self._row_of: dict[str, int] = {}
        self._columns = {name: array("d") for name in _NUMBERS}
        self._flags = array("B")

    def __len__(self) -> int:
        """Return the number of results."""
        return self.entries[-1].end if self.entries else 0

    def refresh(self, store: Store) -> int:
        """Read what was journaled since the last time; return how many entries are ours.

        Raises
        ------
        StoreError
        """
        if not self.position:
            info = find_scan(store, self.ruleset, self.scan_id)
            self.position = START if info is None else past(info.started)
        n = 0
        for entry in store.read(self.ruleset, after=self.position):
            if entry.scan_id == self.scan_id:
                n += 1
                if entry.kind == "report":
                    self._append(entry)
                elif entry.kind == "close":
                    self.closed_at = position_key(entry.position)[0] / 1000
            self.position = entry.position
        return n

    def _append(self, entry: Entry) -> None:
        # A store that forgot entries is sent them again: the first outcome of a symbol stands.
        new = [i for i, symbol in enumerate(entry.arms) if symbol not in self._row_of]
        if not new:
            return
        first, k = len(self._symbols), len(new)
        arrays = {name: values[new] for name, values in entry.arrays.items()}
        symbols = [entry.arms[i] for i in new]
        for name in _NUMBERS:
            column = arrays.get(name)
            values = np.full(k, np.nan) if column is None else np.asarray(column, np.float64)
            self._columns[name].frombytes(values.tobytes())
        zero = np.zeros(k, np.uint8)
        is_error = np.isnan(np.asarray(arrays["reward"])) & np.isnan(np.asarray(arrays["rating"]))
        flags = (
            _RANDOM * (np.asarray(arrays.get("is_random", zero)) > 0)
            + _SIGNAL * (np.asarray(arrays.get("is_signal", zero)) > 0)
            + _ERROR * is_error
        )
        self._flags.frombytes(flags.astype(np.uint8).tobytes())
        for row, symbol in enumerate(symbols, first):
            self._row_of[symbol] = row
        self._symbols.extend(symbols)
        at = entry.header.get("reported_at")
        key = position_key(entry.position)
        reported_at = float(at) if isinstance(at, int | float) else key[0] / 1000
        self.entries.append(LoggedEntry(entry.position, key, first, first + k, reported_at))

    # -- what is known ---------------------------------------------------------------------------

    def row_of(self, symbol: str) -> int | None:
        """Return the row of a symbol's result, None if it has none."""
        row = self._row_of.get(symbol)
        return row if row is not None and row < len(self) else None

    def entry_of(self, row: int) -> LoggedEntry:
        """Return the entry that a row came with."""
        return self.entries[bisect_right(self.entries, row, key=lambda entry: entry.first) - 1]

    def n_entries_up_to(self, position: str) -> int:
        """Return how many of our entries stand at `position` of the journal or before it."""
        return bisect_right(self.entries, position_key(position), key=lambda entry: entry.key)

    def result(self, row: int, entry: LoggedEntry, hit_limit: float | None) -> Result:
        """Return one result, judged by the limit that is known now."""
        flags = self._flags[row]
        rating, reward = self._columns["rating"][row], self._columns["reward"][row]
        return Result(
            symbol=self._symbols[row],
            rank=row + 1,
            rating=finite_or_none(rating),
            reward=finite_or_none(reward),
            is_hit=_is_hit(rating, reward, hit_limit),
            is_signal=bool(flags & _SIGNAL),
            is_error=bool(flags & _ERROR),
            is_random=bool(flags & _RANDOM),
            propensity=finite_or_none(self._columns["propensity"][row]),
            probability=finite_or_none(self._columns["probability"][row]),
            position=entry.position,
            reported_at=entry.reported_at,
        )

    def event(self, entry: LoggedEntry, hit_limit: float | None) -> ResultsEvent:
        """Return what a stream sends of one entry: its high-value results, and how many came."""
        rating, reward = self._columns["rating"], self._columns["reward"]
        rows = range(entry.first, entry.end)
        return ResultsEvent(
            position=entry.position,
            n_results=len(rows),
            n_errors=sum(bool(self._flags[row] & _ERROR) for row in rows),
            hits=[
                self.result(row, entry, hit_limit)
                for row in rows
                if _is_hit(rating[row], reward[row], hit_limit)
            ],
        )

    def page(
        self, after: str | None, limit: int, *, hits_only: bool, hit_limit: float | None
    ) -> Results:
        """Return up to `limit` results, newest first, older than the cursor `after`.

        Raises
        ------
        InvalidInputError
            For a cursor that this service did not issue.
        """
        n = len(self)
        row = n if after is None else self._row_at(after)
        found: list[Result] = []
        rating, reward = self._columns["rating"], self._columns["reward"]
        while row > 0 and len(found) < limit:
            row -= 1
            if not hits_only or _is_hit(rating[row], reward[row], hit_limit):
                found.append(self.result(row, self.entry_of(row), hit_limit))
        cursor = None
        if row > 0:
            entry = self.entry_of(row)
            cursor = f"{entry.position}.{row - entry.first}"
        return Results(results=found, next=cursor, n_results=n, position=self.position or START)

    def _row_at(self, cursor: str) -> int:
        """Return the row that a cursor `position.row` names: the last one that was shown."""
        position, _, number = cursor.rpartition(".")
        if not (number.isascii() and number.isdecimal() and len(number) < 10):
            raise InvalidInputError(
                f"after {cursor[:80]!r}: expected the `next` of an earlier page"
            )
        key = position_key(position)
        at = bisect_left(self.entries, key, key=lambda entry: entry.key)
        if at == len(self.entries):
            return len(self)
        entry = self.entries[at]
        return min(entry.first + int(number), entry.end) if entry.key == key else entry.first


def _is_hit(rating: float, reward: float, hit_limit: float | None) -> bool:
    # NaN compares false: an evaluation that failed is no hit.
    return reward >= 0.5 if hit_limit is None or math.isnan(rating) else rating >= hit_limit
