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

from bandit.errors import CorruptStateError, IncompatibleStateError, StoreError
from bandit.stores.codec import Array, Json
from bandit.stores.entries import Entry, Sealed, decode_entry, seal_event, seal_report
from bandit.stores.names import START, check_name
from bandit.stores.notes import Change
from bandit.stores.snapshots import Snapshot

SCAN_TTL_S = 30 * 86_400  # how long a scan's reported arms, claims and notes are kept


@dataclass(frozen=True)
class Receipt:
    """What became of an append."""

    position: str | None  # None: nothing was new, or it went to the spool
    previous: str  # last position before this append ("0-0": empty); others wrote if it is not ours
    accepted: NDArray[np.bool_]  # (k,): the arms whose first outcome this was
    is_spooled: bool = False  # kept on disk, to be sent when the store answers again
    generation: str = ""  # of the journal after this append; see `Store.generation`


@dataclass(frozen=True)
class ScanInfo:
    """A scan that the store remembers."""

    scan_id: str
    started: str  # position of its first entry
    n_reported: int  # arms
    is_closed: bool


@dataclass(frozen=True)
class RulesetStats:
    """Sizes of one ruleset, for operators. Bytes are 0 where unknown."""

    n_entries: int
    last_position: str
    journal_bytes: int  # on a server the memory that it takes
    snapshot_version: int  # 0: none yet
    snapshot_position: str
    snapshot_bytes: int  # as it was written
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

    # -- journal -------------------------------------------------------------------------------

    def append_sealed(self, ruleset: str, entry: Sealed) -> Receipt:
        """Append an entry that was sealed before, as `append_report` and `append_event` do."""
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
        check_name("ruleset", ruleset)
        return self.append_sealed(ruleset, seal_report(scan_id, arms, header, arrays))

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
        check_name("ruleset", ruleset)
        return self.append_sealed(ruleset, seal_event(scan_id, kind, header, arrays))

    def read(
        self,
        ruleset: str,
        *,
        after: str = START,
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
            The journal is of another generation, or the entry at `after` is gone. In the latter
            case the journal gets a new generation, for every reader.
        """
        where = self._journal(ruleset)
        for position, blob, mask in self._raw_entries(ruleset, after, limit, generation):
            yield decode_entry(blob, position, mask, where=f"{where} entry {position}")

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

    def _journal(self, ruleset: str) -> str:
        """Return what messages call a journal."""
        ...

    def _raw_entries(
        self, ruleset: str, after: str, limit: int | None, generation: str | None
    ) -> Iterator[tuple[str, Any, Any]]:
        """Yield position, blob and mask of what `read` reads."""
        ...

    # -- snapshot ------------------------------------------------------------------------------

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

    # -- shared scans --------------------------------------------------------------------------

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
            workers that leave at once with all they hold, exactly the last one gets True.
        """
        ...

    # -- notes ---------------------------------------------------------------------------------

    def put_control(self, ruleset: str, scan_id: str, control: Mapping[str, Json]) -> None:
        """Replace the control note, which running scans poll (stop flag, pins, exclusions).

        A small strict JSON object, at most 64 KiB. What others wrote meanwhile is lost: with
        several operators use `update_control`.
        """
        self._put_note("control", ruleset, scan_id, control)

    def get_control(self, ruleset: str, scan_id: str) -> dict[str, Any]:
        """Return the control note, empty if there is none."""
        return self._get_note("control", ruleset, scan_id)

    def update_control(self, ruleset: str, scan_id: str, change: Change) -> dict[str, Any]:
        """Replace the control note by what `change` makes of it; nobody's change is lost.

        Parameters
        ----------
        change : callable
            Takes the present note, which it may modify, and returns the next one. It is called
            again with a newer note where another operator was faster, and after a dropped
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
        self._put_note("status", ruleset, scan_id, status)

    def get_status(self, ruleset: str, scan_id: str) -> dict[str, Any]:
        """Return the status note, empty if there is none."""
        return self._get_note("status", ruleset, scan_id)

    def get_statuses(self, scans: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """Return the status notes of several (ruleset, scan id), in their order.

        One round trip, however many; in a cluster one to each node, at the same time.
        """
        return [self.get_status(ruleset, scan_id) for ruleset, scan_id in scans]

    def _put_note(self, which: str, ruleset: str, scan_id: str, note: Mapping[str, Json]) -> None:
        """Write a note, "control" or "status"."""
        ...

    def _get_note(self, which: str, ruleset: str, scan_id: str) -> dict[str, Any]:
        """Return a note, empty if there is none."""
        ...

    # -- housekeeping --------------------------------------------------------------------------

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
        return [next(iter(self.list_scans(ruleset, 1)), None) for ruleset in rulesets]

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

        One round trip, however many; in a cluster one to each node.
        """
        return [self.stats(ruleset) for ruleset in rulesets]

    def problems(self, ruleset: str) -> Iterator[Problem]:
        """Read everything of a ruleset and yield what cannot be read."""
        where = self._journal(ruleset)
        for position, blob, mask in self._raw_entries(ruleset, START, None, None):
            try:
                decode_entry(blob, position, mask, where=f"{where} entry {position}")
            except StoreError as err:
                yield Problem(f"journal {position}", str(err))
        try:
            self.load_snapshot(ruleset)
        except (CorruptStateError, IncompatibleStateError) as err:
            yield Problem("snapshot", str(err))

    def repair(self, ruleset: str, problem: Problem) -> bytes:
        """Delete what `problem` names and return its stored bytes, for keeping elsewhere.

        The position of a deleted entry can be read on from, as before.
        """
        ...

    def sync(self, ruleset: str, *, timeout_s: float = 3.0) -> bool:
        """Wait until what was appended is on the server's disk; False where it cannot say so."""
        ...

    def identity(self, known: str = "") -> str:  # noqa: ARG002
        """Return a name of the database that is the same by whatever address, "" without one.

        Parameters
        ----------
        known : str
            What a database at this address was called, before it was emptied.
        """
        return ""

    def place(self) -> str:
        """Return where the database is, the same however its address was spelled."""
        return self.address

    def warnings(self) -> list[str]:
        """Return what an operator should change about the store, [] if nothing."""
        ...

    def close(self) -> None:
        """Release connections; the store is not used afterwards. May be called twice."""
        ...
