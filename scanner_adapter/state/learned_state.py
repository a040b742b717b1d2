"""The ranker's belief and its journal, kept in step.

The belief is a fold over the journal in journal order. Appending tells in the same round trip
whether others wrote in between; if so, their entries and ours are read back and folded in order,
so that every worker's belief is the fold of a prefix of the one journal, always.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.belief.belief import Belief, BeliefSettings
from bandit.errors import StoreRefusedError, StoreUnavailableError
from bandit.stores import Entry, Receipt, Snapshot, Store
from bandit.stores.forgetful import ForgetfulStore
from bandit.stores.names import position_key
from scanner_adapter.state.fingerprint import fingerprint

log = logging.getLogger("scanrank")

Listener = Callable[[Entry], None]

# Scans that are looked through for one that is continued or joined.
_RECENT_SCANS = 20
_AWAY = (StoreUnavailableError, StoreRefusedError)


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
        See `bandit.errors`; nothing was changed.
    """

    def __init__(self, store: Store, ruleset: str, settings: BeliefSettings) -> None:
        self.store = store
        self.ruleset = ruleset
        self.settings = settings
        # Else only what is learned from is made of a report, and nothing to read it by later.
        self.keeps_journal = not isinstance(store, ForgetfulStore)
        self.ranker: Belief
        self.position: str
        self.as_of: str | None  # newest day whose facts a scan saw, YYYY-MM-DD; None = none did
        self._snapshot_version: int
        self._is_behind = False
        self._fold_since = "0-0"  # position from which on these settings were used
        self._status_told: object = getattr(store, "status", None)
        self.load()

    def load(self) -> None:
        """Start from the newest snapshot and fold the entries after it."""
        snapshot = self.store.load_snapshot(self.ruleset)
        if snapshot is None:
            self.ranker, self.position, self._snapshot_version = Belief(self.settings), "0-0", 0
            self.as_of = None
        else:
            self.ranker = Belief.from_state(self.settings, snapshot.header, snapshot.arrays)
            self.position, self._snapshot_version = snapshot.position, snapshot.version
            self._fold_since = self._since(snapshot)
            self.as_of = snapshot.header.get("as_of")  # older snapshots have none
        self.catch_up()
        self._is_behind = False

    def _since(self, snapshot: Snapshot) -> str:
        """Position from which on the journal was folded with the present settings."""
        noted, now = snapshot.header.get("settings", {}), fingerprint(self.settings)
        if noted == now:
            return str(snapshot.header["fold_since"])
        for name in [name for name in now if name in noted and noted[name] != now[name]]:
            log.warning(
                "ruleset %s goes on with %s = %s instead of %s; what was learned is kept",
                *(self.ruleset, name, now[name], noted[name]),
            )
        return snapshot.position

    @property
    def is_behind(self) -> bool:
        """Whether the journal holds, or will hold, entries in another order than they were folded.

        The next `refresh` or `snapshot` folds anew.
        """
        return self._is_behind

    def refresh(self, listener: Listener | None = None) -> bool:
        """Take in what others wrote; False while the store is away, when nothing changes.

        `listener` sees the entries since the last time; where the fold starts anew, it sees none.
        """
        try:
            if self._is_behind:
                self.load()
            else:
                self.catch_up(listener)
        except _AWAY as err:
            log.warning("%s The scan goes on with what is known here.", err)
            return False
        return True

    def store_trouble(self) -> str | None:
        """What happened to the store since the last call; None while all goes well."""
        status = getattr(self.store, "status", None)
        if status is None or (status == self._status_told and not status.is_away):
            return None
        self._status_told = status
        return str(status)

    def entries_of(self, scan_id: str) -> Iterator[Entry]:
        """Yield what the journal holds of a scan already; nothing is folded.

        Raises
        ------
        StoreError
        """
        if not self.store.reported(self.ruleset, scan_id):
            return
        started = [
            scan.started for scan in self.store.list_scans(self.ruleset, _RECENT_SCANS)
            if scan.scan_id == scan_id
        ]  # fmt: skip
        after = f"{max(position_key(started[0])[0] - 1, 0)}-0" if started else "0-0"
        for entry in self.store.read(self.ruleset, after=after):
            if entry.scan_id == scan_id:
                yield entry

    def opening_of(self, scan_id: str) -> dict[str, Any] | None:
        """Return the header with which a scan was opened; None where the journal has none.

        None, too, while the store is away.
        """
        try:
            started = [
                scan.started for scan in self.store.list_scans(self.ruleset, _RECENT_SCANS)
                if scan.scan_id == scan_id
            ]  # fmt: skip
            if not started:
                return None
            after = f"{max(position_key(started[0])[0] - 1, 0)}-0"
            for entry in self.store.read(self.ruleset, after=after):
                if entry.scan_id == scan_id and entry.kind == "open":
                    return entry.header
        except _AWAY as err:
            log.warning("%s What scan %s was opened with is not compared.", err, scan_id)
        return None

    def catch_up(self, listener: Listener | None = None) -> int:
        """Fold the entries that others appended; return how many there were."""
        n = 0
        for entry in self.store.read(self.ruleset, after=self.position):
            self._learn(entry)
            self.position = entry.position
            n += 1
            if listener is not None:
                listener(entry)
        return n

    def report(
        self,
        scan_id: str,
        arms: Sequence[str],
        header: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        listener: Listener,
    ) -> Receipt:
        """Journal a report and fold it; `listener` sees every entry that is folded on the way."""
        receipt = self.store.append_report(
            self.ruleset, scan_id, arms=arms, header=header, arrays=arrays
        )
        kept = receipt.accepted
        if not kept.all():
            arrays = {name: array[kept] for name, array in arrays.items()}
            arms = [arm for arm, keep in zip(arms, kept, strict=True) if keep]
        entry = Entry(
            receipt.position or "", "report", scan_id, dict(header), dict(arrays), tuple(arms)
        )
        self._fold(entry, receipt, listener)
        return receipt

    def event(
        self, scan_id: str, kind: str, header: Mapping[str, Any], listener: Listener | None = None
    ) -> Receipt:
        """Journal and fold the opening or closing of a scan."""
        receipt = self.store.append_event(self.ruleset, scan_id, kind, header=header, arrays={})
        entry = Entry(receipt.position or "", kind, scan_id, dict(header), {}, ())
        self._fold(entry, receipt, listener)
        return receipt

    def snapshot(self) -> bool:
        """Write the belief up to the present position; False when another was faster.

        A snapshot that another worker wrote earlier, of less of the journal, is replaced.
        """
        if self._is_behind:
            # Reports went to the spool while the store was away: what others wrote meanwhile
            # stands before them in the journal, so the fold starts again from the last snapshot.
            self.load()
        while not self._save():
            newest = self.store.load_snapshot(self.ruleset)
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
        header, arrays = self.ranker.state()
        header["settings"] = fingerprint(self.settings)
        header["fold_since"] = self._fold_since
        header["as_of"] = self.as_of
        return self.store.save_snapshot(
            self.ruleset,
            header=header,
            arrays=arrays,
            position=self.position,
            expected_version=self._snapshot_version,
        )

    def _fold(self, entry: Entry, receipt: Receipt, listener: Listener | None) -> None:
        if receipt.is_spooled or receipt.has_lost_entries:
            # Entries that were lost and sent again have new positions: fold anew from the
            # snapshot when the scan is over.
            self._is_behind = True
        elif receipt.position is None and not np.any(receipt.accepted):
            # Nothing of ours was new: whoever was first stands in the journal.
            self.refresh(listener)
            return
        elif receipt.previous != self.position and not self._is_behind:
            try:
                self.catch_up(listener)
                return
            except _AWAY as err:
                log.warning("%s What other workers reported is read later.", err)
                self._is_behind = True
        self._learn(entry)
        if not self._is_behind:
            self.position = entry.position
        if listener is not None:
            listener(entry)

    def _learn(self, entry: Entry) -> None:
        self.ranker.fold(entry.kind, entry.header, entry.arms, entry.arrays, scan_id=entry.scan_id)
        seen = entry.header.get("as_of") if entry.kind == "open" else None
        if seen is not None:
            self.as_of = max(self.as_of or "", str(seen))
