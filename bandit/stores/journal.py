"""The part of the stores that is the same: sealing a report or event, reading them, notes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from bandit.errors import CorruptStateError, IncompatibleStateError, StoreError
from bandit.stores.base import Entry, Problem, Receipt, Snapshot, Store
from bandit.stores.codec import Array, Json
from bandit.stores.entries import Sealed, decode_entry, seal_event, seal_report
from bandit.stores.names import START, check_name


class JournalWriter:
    """Base of the stores: the two appends of the contract over one `append_sealed`."""

    def append_sealed(self, ruleset: str, entry: Sealed) -> Receipt:
        """Append an entry; which of its members are new is decided atomically with it."""
        raise NotImplementedError

    def append_report(
        self,
        ruleset: str,
        scan_id: str,
        *,
        arms: Sequence[str],
        header: Mapping[str, Json],
        arrays: Mapping[str, Array],
    ) -> Receipt:
        """See `Store`."""
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
        """See `Store`."""
        check_name("ruleset", ruleset)
        return self.append_sealed(ruleset, seal_event(scan_id, kind, header, arrays))


class CommonStore(JournalWriter):
    """What a file and a server do alike: reading entries, looking for damage, and notes."""

    def _journal(self, ruleset: str) -> str:
        """Return what messages call a journal."""
        raise NotImplementedError

    def _raw_entries(
        self, ruleset: str, after: str, limit: int | None, generation: str | None
    ) -> Iterator[tuple[str, Any, Any]]:
        """Yield position, blob and mask of what `read` reads."""
        raise NotImplementedError

    def _put_note(self, which: str, ruleset: str, scan_id: str, note: Mapping[str, Json]) -> None:
        raise NotImplementedError

    def _get_note(self, which: str, ruleset: str, scan_id: str) -> dict[str, Any]:
        raise NotImplementedError

    def load_snapshot(self, ruleset: str) -> Snapshot | None:
        """See `Store`."""
        raise NotImplementedError

    def read(
        self,
        ruleset: str,
        *,
        after: str = START,
        limit: int | None = None,
        generation: str | None = None,
    ) -> Iterator[Entry]:
        """See `Store`."""
        where = self._journal(ruleset)
        for position, blob, mask in self._raw_entries(ruleset, after, limit, generation):
            yield decode_entry(blob, position, mask, where=f"{where} entry {position}")

    def problems(self, ruleset: str) -> Iterator[Problem]:
        """See `Store`."""
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

    def put_control(self, ruleset: str, scan_id: str, control: Mapping[str, Json]) -> None:
        """See `Store`."""
        self._put_note("control", ruleset, scan_id, control)

    def get_control(self, ruleset: str, scan_id: str) -> dict[str, Any]:
        """See `Store`."""
        return self._get_note("control", ruleset, scan_id)

    def put_status(self, ruleset: str, scan_id: str, status: Mapping[str, Json]) -> None:
        """See `Store`."""
        self._put_note("status", ruleset, scan_id, status)

    def get_status(self, ruleset: str, scan_id: str) -> dict[str, Any]:
        """See `Store`."""
        return self._get_note("status", ruleset, scan_id)


class SealedStore(Store, Protocol):
    """A store that also takes entries that were sealed before, as the spool needs it."""

    def append_sealed(self, ruleset: str, entry: Sealed) -> Receipt:
        """See `JournalWriter`."""
        ...
