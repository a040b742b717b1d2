"""What every store promises: a journal, a snapshot, claims, and two notes per scan.

The journal is the truth: an append-only sequence of entries, each with a position
(``milliseconds-sequence``, growing). The snapshot is a shortcut: the state that its reader had
folded up to a position. Loading is the snapshot plus the entries after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bandit.stores.codec import Array, Json
from bandit.stores.notes import Change

SCAN_TTL_S = 30 * 86_400  # how long a scan's reported arms, claims and notes are kept


@dataclass(frozen=True)
class Entry:
    """One journal entry: a report of outcomes, or the opening or closing of a scan."""

    position: str
    kind: str  # "open", "report" or "close"
    scan_id: str
    header: dict[str, Any]
    arrays: dict[str, Array]  # read-only; for a report, first axis = `arms`
    arms: tuple[str, ...]  # of a report: the arms whose first outcome this is


@dataclass(frozen=True)
class Receipt:
    """What became of an append."""

    position: str | None  # None: nothing was new, or it went to the spool
    previous: str  # last position before this append ("0-0": empty); others wrote if it is not ours
    accepted: NDArray[np.bool_]  # (k,): the arms whose first outcome this was
    is_spooled: bool = False  # kept on disk, to be sent when the store answers again
    generation: str = ""  # of the journal after this append; see `Store.generation`


@dataclass(frozen=True)
class Snapshot:
    """Posterior state folded up to and including journal `position`."""

    version: int  # 1, 2, ... for compare-and-set
    position: str
    header: dict[str, Any]
    arrays: dict[str, Array]  # read-only


@dataclass(frozen=True)
class ScanInfo:
    """A scan that the store remembers."""

    scan_id: str
    started: str  # position of its first entry
    n_reported: int  # arms
    is_closed: bool


@dataclass(frozen=True)
class RulesetStats:
    """Sizes of one ruleset, for operators. Bytes are the server's memory, 0 where unknown."""

    n_entries: int
    last_position: str
    journal_bytes: int
    snapshot_version: int  # 0: none yet
    snapshot_position: str
    snapshot_bytes: int
    n_scans: int
    trimmed_position: str  # last one that retention deleted ("0-0": the journal is whole)


@dataclass(frozen=True)
class Problem:
    """One stored thing that cannot be read: its place and the reason."""

    place: str  # "journal 1700000000000-0" or "snapshot"
    reason: str


class Store(Protocol):
    """Where rulesets live. Thread-safe; several processes may share one address.

    Ownership: arrays that come back are read-only and belong to the caller; what is passed in is
    copied. A call that raises has changed nothing, with one exception: after
    `StoreUnavailableError` a write may or may not have arrived. Send it again: every append is
    idempotent.

    Raises
    ------
    InvalidInputError
        A name, header or array was refused at the border.
    StoreUnavailableError
        No answer. `StoreRefusedError`: the answer was no.
    CorruptStateError, IncompatibleStateError
        Stored data cannot be read; the message names its key.
    """

    @property
    def address(self) -> str:
        """The store's URL without user name, password and options: safe to log."""
        ...

    def append_report(
        self,
        ruleset: str,
        scan_id: str,
        *,
        arms: Sequence[str],
        header: Mapping[str, Json],
        arrays: Mapping[str, Array],
    ) -> Receipt:
        """Journal the outcomes of `arms`; the first outcome per (scan, arm) wins.

        Which arms are new is decided atomically with the append, in one round trip. The entry that
        is read back holds only the accepted rows; without any, none is written.

        Parameters
        ----------
        arms : sequence of str, length k
            Distinct.
        arrays : mapping of str to array, shape (k, ...)
        """
        ...

    def append_event(
        self,
        ruleset: str,
        scan_id: str,
        kind: str,
        *,
        header: Mapping[str, Json],
        arrays: Mapping[str, Array],
    ) -> Receipt:
        """Journal the ``"open"`` or ``"close"`` of a scan; the first per (scan, kind) wins.

        The receipt's `accepted` has shape (1,).
        """
        ...

    def read(
        self,
        ruleset: str,
        *,
        after: str = "0-0",
        limit: int | None = None,
        generation: str | None = None,
    ) -> Iterator[Entry]:
        """Yield entries after a position, in journal order, fetching pages as it goes.

        Parameters
        ----------
        generation : str, optional
            That in which `after` was read. None: nothing is checked.

        Raises
        ------
        JournalChangedError
            The journal is of another generation, or the entry at `after` is gone: then its
            generation is another one from now on, for everybody.
        """
        ...

    def generation(self, ruleset: str) -> str:
        """Return the name of the journal's generation, "" before its first entry.

        A position can be trusted together with its generation only. A server that comes back with
        an older state, or an emptied one, has lost entries that were read: whoever notices, at an
        append or reading, gives the journal a new generation, which all others notice then. A
        receipt names it too.
        """
        ...

    def renew_generation(self, ruleset: str) -> str:
        """Begin a new generation and return it, so that all processes load the ruleset again."""
        ...

    def load_snapshot(self, ruleset: str) -> Snapshot | None:
        """Return the newest snapshot, None if there is none yet."""
        ...

    def save_snapshot(
        self,
        ruleset: str,
        *,
        header: Mapping[str, Json],
        arrays: Mapping[str, Array],
        position: str,
        expected_version: int,
        generation: str | None = None,
    ) -> bool:
        """Replace the snapshot of version `expected_version` (0: none yet) by the next one.

        Returns False, and changes nothing, if somebody else was faster.

        Raises
        ------
        JournalChangedError
            As `read` does where a `generation` is given: the snapshot is of another journal.
        """
        ...

    def reported(self, ruleset: str, scan_id: str) -> set[str]:
        """Return the arms of a scan that have an outcome, for resuming it."""
        ...

    def claim(
        self,
        ruleset: str,
        scan_id: str,
        worker: str,
        arms: Sequence[str],
        *,
        k: int,
        lease_s: float,
    ) -> list[str]:
        """Lease the first `k` arms of a preference list that are free, for `lease_s` seconds.

        Free: not reported, and not leased by another worker whose lease still runs by the server's
        clock. Arms that `worker` holds already count as free, and their lease starts anew.
        """
        ...

    def claims(self, ruleset: str, scan_id: str) -> dict[str, str]:
        """Return the arms of a scan whose lease runs, and the worker that holds each.

        Reporting an arm ends its lease, so there are never many.
        """
        ...

    def renew(
        self, ruleset: str, scan_id: str, worker: str, arms: Sequence[str], *, lease_s: float
    ) -> list[str]:
        """Prolong leases (a heartbeat); returns the arms that `worker` still holds."""
        ...

    def release(self, ruleset: str, scan_id: str, worker: str, arms: Sequence[str]) -> bool:
        """Give leases back before they run out; those of other workers stay.

        Returns
        -------
        bool
            Whether no lease of the scan runs any more, seen in the same atomic step: of several
            workers that leave at once with all they hold, the last one learns so from the answer.
        """
        ...

    def put_control(self, ruleset: str, scan_id: str, control: Mapping[str, Json]) -> None:
        """Replace the control note, which running scans poll (stop flag, pins, exclusions).

        A small strict JSON object, at most 64 KiB. What others wrote meanwhile is lost: with
        several operators use `update_control`.
        """
        ...

    def get_control(self, ruleset: str, scan_id: str) -> dict[str, Any]:
        """Return the control note, empty if there is none."""
        ...

    def update_control(self, ruleset: str, scan_id: str, change: Change) -> dict[str, Any]:
        """Replace the control note by what `change` makes of it; nobody's change is lost.

        Parameters
        ----------
        change : callable
            Takes the present note, which is its own to modify, and returns the next one. It is
            called again with a newer note where another operator was faster, and after a dropped
            connection perhaps on a note that it has changed already: let it say what should be
            ("A is among the pins"), not what to add.

        Returns
        -------
        dict
            The note as it was written.
        """
        ...

    def put_status(self, ruleset: str, scan_id: str, status: Mapping[str, Json]) -> None:
        """Replace the status note, which the scanner writes and everybody may read.

        A small strict JSON object, at most 64 KiB.
        """
        ...

    def get_status(self, ruleset: str, scan_id: str) -> dict[str, Any]:
        """Return the status note, empty if there is none."""
        ...

    def get_statuses(self, scans: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """Return the status notes of several (ruleset, scan id), in their order.

        One round trip, however many; in a cluster one to each node, at the same time.
        """
        ...

    def list_rulesets(self) -> list[str]:
        """Return the names of the rulesets that have a journal, sorted."""
        ...

    def list_scans(self, ruleset: str, limit: int = 100) -> list[ScanInfo]:
        """Return the latest `limit` scans, newest first, back to `SCAN_TTL_S` ago."""
        ...

    def newest_scans(self, rulesets: Sequence[str]) -> list[ScanInfo | None]:
        """Return the newest scan of each of several rulesets, in their order; None: it has none.

        Two round trips, however many; in a cluster two to each node.
        """
        ...

    def drop_ruleset(self, ruleset: str) -> None:
        """Delete everything of a ruleset. No scan of it should be running."""
        ...

    def trim(
        self, ruleset: str, *, before: str | None = None, max_entries: int | None = None
    ) -> int:
        """Delete the oldest entries: those before a position, and those beyond `max_entries`.

        Never one that the snapshot does not cover. Returns how many were deleted.
        """
        ...

    def stats(self, ruleset: str) -> RulesetStats:
        """Return sizes."""
        ...

    def stats_of(self, rulesets: Sequence[str]) -> list[RulesetStats]:
        """Return the sizes of several rulesets, in their order.

        Two round trips, however many; in a cluster two to each node.
        """
        ...

    def problems(self, ruleset: str) -> Iterator[Problem]:
        """Read everything of a ruleset and yield what cannot be read."""
        ...

    def repair(self, ruleset: str, problem: Problem) -> bytes:
        """Delete what `problem` names and return its stored bytes, for keeping elsewhere.

        The position of a deleted entry can be read on from, as before.
        """
        ...

    def sync(self, ruleset: str, *, timeout_s: float = 3.0) -> bool:
        """Wait until what was appended is on the server's disk; False where it cannot say so."""
        ...

    def warnings(self) -> list[str]:
        """Return what an operator should change about the store, [] if nothing."""
        ...

    def close(self) -> None:
        """Release connections; the store is not used afterwards. May be called twice."""
        ...
