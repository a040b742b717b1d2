"""The part of every store that is the same: sealing a report or event, then one append."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from bandit.stores.base import Receipt, Store
from bandit.stores.codec import Array, Json
from bandit.stores.entries import Sealed, seal_event, seal_report
from bandit.stores.names import check_name


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


class SealedStore(Store, Protocol):
    """A store that also takes entries that were sealed before, as the spool needs it."""

    def append_sealed(self, ruleset: str, entry: Sealed) -> Receipt:
        """See `JournalWriter`."""
        ...
