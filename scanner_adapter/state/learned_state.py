"""The ranker's belief, kept in step with its journal.

The belief is a fold over the journal in journal order. An append returns, in the same round trip,
whether others wrote in between. If so, their entries and ours are read back and folded in order, so
that every worker's belief is always the fold of a prefix of the same journal.

A journal may lose entries that were already folded: its server came back with an older state, or
was emptied. Its generation then changes, for every process. Each process sends again what it keeps
(`bandit.stores.spool`) and reloads; a process that holds more than the store returns saves it for
all. Outcomes are identified by scan and symbol (`scanner_adapter.state.fold`), so that none counts
twice, in whatever order processes notice the loss.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandit.belief.belief import Belief, BeliefSettings
from bandit.errors import JournalChangedError, StoreRefusedError, StoreUnavailableError
from bandit.stores import Entry, Receipt, Snapshot, Store
from bandit.stores.forgetful import ForgetfulStore
from bandit.stores.names import START, position_key
from scanner_adapter.state.fold import JournalFold, Seen, fingerprint
from scanner_adapter.state.schema import check_entry

log = logging.getLogger("scanrank")

Listener = Callable[[Entry], None]

# Newest scans to search for one that is resumed or joined.
_RECENT_SCANS = 20
_AWAY = (StoreUnavailableError, StoreRefusedError)
_MOST_LOADS = 5  # attempts to load a journal that changes while it is read


class _Retained(NamedTuple):
    """State of a fold whose journal the store may have lost since."""

    state: tuple[dict[str, Any], dict[str, NDArray[Any]]]
    size: tuple[int, int]
    born: str
    position: str


class LearnedState:
    """One ruleset's belief, loaded from a store and kept in step with its journal.

    Parameters
    ----------
    store : Store
    ruleset : str
    settings : BeliefSettings

    Raises
    ------
    StoreError
        See `bandit.errors`; nothing is changed.
    """

    def __init__(self, store: Store, ruleset: str, settings: BeliefSettings) -> None:
        self.store = store
        self.ruleset = ruleset
        self.settings = settings
        # If False, reports hold only what is learned from: nobody reads them later.
        self.keeps_journal = not isinstance(store, ForgetfulStore)
        self.position: str
        self._folded: JournalFold
        self._generation: str
        self._born: str  # first generation of the journal that the belief was folded from
        self._snapshot_version: int
        self._retained: _Retained | None = None  # as of before reports went to the spool
        self._is_behind = False
        self._is_alone = False  # the last refresh failed
        self._fold_since = START  # position since which the present settings are used
        self._warnings: list[str] = []  # losses and recoveries, until `store_trouble` is called
        self._logged_status: object = getattr(store, "status", None)
        self.load()

    @property
    def belief(self) -> Belief:
        """The belief."""
        return self._folded.belief

    @property
    def as_of(self) -> str | None:
        """Latest `as_of` day of any scan, YYYY-MM-DD; None if no scan had one."""
        return self._folded.as_of

    def load(self) -> None:
        """Load the newest snapshot and fold the entries after it."""
        for _ in range(_MOST_LOADS):
            try:
                self._load()
                break
            except JournalChangedError as err:
                log.info("%s", err)
        else:
            raise StoreUnavailableError(
                f"store {self.store.address}: the journal of {self.ruleset} changed {_MOST_LOADS} "
                "times while it was read; try again."
            )
        self._is_behind, self._retained = False, None

    def _load(self) -> None:
        generation = self.store.generation(self.ruleset)
        snapshot = self.store.load_snapshot(self.ruleset)
        if snapshot is None:
            fold, position, version = JournalFold(self.ruleset, self.settings), START, 0
            born, since = generation, START
        else:
            fold = JournalFold.of_snapshot(self.ruleset, self.settings, snapshot)
            position, version = snapshot.position, snapshot.version
            born, since = snapshot.header.get("born") or generation, self._since(snapshot)
        has_snapshot = position != START
        if has_snapshot:
            try:
                entries = self.store.read(
                    self.ruleset, after=position, limit=0, generation=generation
                )
                for entry in entries:
                    fold.add(entry)
            except JournalChangedError:
                # The journal was replaced since the snapshot: read all of it; entries that the
                # snapshot already contains are skipped.
                position, generation = START, self.store.generation(self.ruleset)
        self._folded, self.position, self._generation = fold, position, generation
        self._snapshot_version, self._born, self._fold_since = version, born, since
        is_same_journal = has_snapshot and position != START
        for entry in self.store.read(
            self.ruleset, after=position, generation=generation if is_same_journal else None
        ):
            fold.add(entry)
            self.position = entry.position
        if self.position == START:  # retention may have deleted all entries
            self.position = self.store.stats(self.ruleset).trimmed_position

    def _since(self, snapshot: Snapshot) -> str:
        """Return the position since which the journal is folded with the present settings."""
        stored, now = snapshot.header.get("settings", {}), fingerprint(self.settings)
        if stored == now:
            return str(snapshot.header["fold_since"])
        for name in [name for name in now if name in stored and stored[name] != now[name]]:
            log.warning(
                "ruleset %s continues with %s = %s instead of %s; learned state is kept",
                *(self.ruleset, name, now[name], stored[name]),
            )
        return snapshot.position

    @property
    def is_behind(self) -> bool:
        """Whether entries were folded in another order than the journal has, or will have.

        The next `refresh` or `snapshot` folds from the last snapshot again.
        """
        return self._is_behind

    def refresh(self, listener: Listener | None = None) -> bool:
        """Fold what others wrote; return False, changing nothing, if the store is unavailable.

        `listener` is called with each new entry, but with none if the state is reloaded.
        """
        try:
            if not self._is_behind:
                try:
                    self.catch_up(listener)
                except JournalChangedError:
                    self._mark_behind()
            if self._is_behind:
                self._recover()
        except _AWAY as err:
            level = logging.DEBUG if self._is_alone else logging.WARNING  # once per outage
            log.log(level, "%s The scan continues with the local state.", err)
            self._is_alone = True
            return False
        self._is_alone = False
        return True

    def _recover(self) -> None:
        """Reload; if the state held here is larger than what the store returns, save it for all.

        Larger means more scans, then more symbols. If the held state contains the stored snapshot,
        it continues from the snapshot's position; if it comes from another journal, it takes in all
        entries of this one. Two states that diverged in the same journal cannot be merged: the
        stored one stays, entries that processes keep are sent again, and the loss is logged.
        """
        retained = self._retained or self._retain()
        self.load()
        mine = self._folded.size
        header, arrays = retained.state
        seen = Seen.restored(header["seen"], arrays, "the state held in memory")
        position = self._base_of(retained, seen) if retained.size > mine else None
        if position is None:
            if not self._folded.seen.covers(seen):
                self._warn(
                    f"the store lost what {self.ruleset} had learned from {retained.size[0]} "
                    f"scans; {mine[0]} scans are known now"
                )
            return
        header["fold_since"] = retained.position  # a fold from zero is not possible any more
        is_saved = self.store.save_snapshot(
            self.ruleset, header=header, arrays=arrays, position=position,
            expected_version=self._snapshot_version,
        )  # fmt: skip
        if is_saved:
            self.store.renew_generation(self.ruleset)
            self._warn(
                f"the store had lost the learned state of {self.ruleset}: {retained.size[0]} scans "
                "were saved again from memory"
            )
        self.load()

    def _base_of(self, retained: _Retained, seen: Seen) -> str | None:
        """Return the position up to which `retained` contains the journal; None if unknown.

        Only called when `retained` holds more than the store has just returned.
        """
        snapshot = self.store.load_snapshot(self.ruleset)
        if snapshot is not None:
            theirs = JournalFold.of_snapshot(self.ruleset, self.settings, snapshot).seen
            if seen.covers(theirs):
                return snapshot.position
            if retained.born == self._born:
                return None
        is_whole = self.store.stats(self.ruleset).trimmed_position == START
        return START if is_whole else None

    def _retain(self) -> _Retained:
        return _Retained(self._state(), self._folded.size, self._born, self.position)

    def _mark_behind(self) -> None:
        if not self._is_behind:
            # Entries folded from here on have another position in the journal, or none.
            self._retained, self._is_behind = self._retain(), True

    def _warn(self, message: str) -> None:
        log.warning("%s", message)
        self._warnings.append(message)

    def store_trouble(self) -> str | None:
        """Return what went wrong with the store since the last call; None if nothing did."""
        status, warnings = getattr(self.store, "status", None), self._warnings
        self._warnings = []
        if status is not None and (status != self._logged_status or status.is_away):
            self._logged_status = status
            warnings = [str(status), *warnings]
        return "; ".join(warnings) or None

    def entries_of(self, scan_id: str) -> Iterator[Entry]:
        """Yield the entries of a scan in the journal, without folding them.

        Raises
        ------
        StoreError
        """
        if not self.store.reported(self.ruleset, scan_id):
            return
        for entry in self.store.read(self.ruleset, after=self._before(scan_id) or START):
            if entry.scan_id == scan_id:
                yield entry

    def opening_of(self, scan_id: str) -> dict[str, Any] | None:
        """Return the header of a scan's open entry; None if the journal has none.

        Also None if the store is unavailable.
        """
        try:
            after = self._before(scan_id)
            if after is None:
                return None
            for entry in self.store.read(self.ruleset, after=after):
                if entry.scan_id == scan_id and entry.kind == "open":
                    return entry.header
        except _AWAY as err:
            log.warning(
                "%s The inputs of scan %s cannot be compared with its opening.", err, scan_id
            )
        return None

    def _before(self, scan_id: str) -> str | None:
        """Return a position before a scan's first entry; None if it is not one of the latest."""
        for scan in self.store.list_scans(self.ruleset, _RECENT_SCANS):
            if scan.scan_id == scan_id:
                return f"{max(position_key(scan.started)[0] - 1, 0)}-0"
        return None

    def catch_up(self, listener: Listener | None = None) -> int:
        """Fold the entries that others appended; return their number."""
        n = 0
        if self._generation == "" and self.position == START:
            self._generation = self._born = self.store.generation(self.ruleset)
        for entry in self.store.read(
            self.ruleset, after=self.position, generation=self._generation
        ):
            self._fold(entry)
            self.position = entry.position
            n += 1
            if listener is not None:
                listener(entry)
        return n

    def append(self, entry: Entry, listener: Listener | None = None) -> Receipt:
        """Journal an entry, whose position is not known yet, and fold it.

        `listener` is called with every entry folded on the way. If others have already reported
        some symbols of a report, only the rest counts.
        """
        where, scan_id = self.ruleset, entry.scan_id
        header, arrays, arms = entry.header, entry.arrays, entry.arms
        if entry.kind != "report":
            receipt = self.store.append_event(
                where, scan_id, entry.kind, header=header, arrays=arrays
            )
        else:
            if self.keeps_journal:  # checked before it is stored for good
                check_entry(entry, where)
            receipt = self.store.append_report(
                where, scan_id, arms=arms, header=header, arrays=arrays
            )
            if not (kept := receipt.accepted).all():
                arrays = {name: array[kept] for name, array in arrays.items()}
                arms = tuple(arm for arm, keep in zip(arms, kept, strict=True) if keep)
        entry = Entry(receipt.position or "", entry.kind, scan_id, header, arrays, arms)
        if not self.keeps_journal:
            self.belief.fold(entry.kind, header, arms, arrays, scan_id=scan_id)
            self._advance(entry, listener)
            return receipt
        if self._generation == "" and receipt.previous == START and not self._is_behind:
            self._generation = self._born = receipt.generation  # its first entry
        if receipt.is_spooled or receipt.generation != self._generation:
            # The journal will differ from this fold; the state is reloaded when the scan ends.
            self._mark_behind()
        elif receipt.position is None and not np.any(receipt.accepted):
            # Others had already reported everything; the journal holds their outcomes.
            self.refresh(listener)
            return receipt
        elif receipt.previous != self.position and not self._is_behind:
            try:
                self.catch_up(listener)
                return receipt
            except JournalChangedError:
                self._mark_behind()
            except _AWAY as err:
                log.warning("%s Reports of other workers are read later.", err)
                self._mark_behind()
        self._fold(entry, is_checked=True)
        self._advance(entry, listener)
        return receipt

    def _fold(self, entry: Entry, *, is_checked: bool = False) -> None:
        try:
            self._folded.add(entry, is_checked=is_checked)
        except BaseException as error:
            # An error has changed nothing. Ctrl-C may leave half of the entry folded; the state is
            # then loaded again before it is saved or a scan begins with it.
            self._is_behind |= not isinstance(error, Exception)
            raise

    def _advance(self, entry: Entry, listener: Listener | None) -> None:
        if not self._is_behind:
            self.position = entry.position
        if listener is not None:
            listener(entry)

    def snapshot(self) -> bool:
        """Write a snapshot of the belief; return False if another worker's is as new.

        An older snapshot of another worker, of a shorter part of the journal, is replaced.
        """
        for _ in range(_MOST_LOADS):
            try:
                return self._snapshot()
            except JournalChangedError:
                self._recover()
        return False

    def _snapshot(self) -> bool:
        if self._is_behind:
            # Reports went to the spool during an outage. Entries of others come before them in the
            # journal, so the fold starts again from the last snapshot.
            self._recover()
        while not self._save():
            newest = self.store.load_snapshot(self.ruleset)
            if newest is None and self._snapshot_version:
                self._warn(f"the snapshot of {self.ruleset} had vanished from the store")
            self._snapshot_version = newest.version if newest is not None else 0
            if newest is None:
                continue
            self._fold_since = self._since(newest)
            if position_key(newest.position) >= position_key(self.position):
                log.debug("another worker wrote the snapshot of %s first", self.ruleset)
                return False
        self._snapshot_version += 1
        return True

    def _save(self) -> bool:
        header, arrays = self._state()
        return self.store.save_snapshot(
            self.ruleset,
            header=header,
            arrays=arrays,
            position=self.position,
            expected_version=self._snapshot_version,
            generation=self._generation,
        )

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        header, arrays = self._folded.state()
        extra = {
            "settings": fingerprint(self.settings),
            "fold_since": self._fold_since,
            "born": self._born,
        }
        return header | extra, arrays
