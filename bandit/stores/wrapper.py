"""A store that hands every call to another one; a base for those that change a few of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bandit.stores.base import Entry, Problem, Receipt, RulesetStats, ScanInfo, Snapshot
from bandit.stores.codec import Array, Json
from bandit.stores.entries import Sealed
from bandit.stores.journal import JournalWriter, SealedStore
from bandit.stores.names import START
from bandit.stores.notes import Change


class WrappedStore(JournalWriter):
    """A `bandit.stores.base.Store` that is another one, call by call."""

    def __init__(self, store: SealedStore) -> None:
        self._store = store

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._store!r})"

    @property
    def address(self) -> str:
        """See `Store`."""
        return self._store.address

    def append_sealed(self, ruleset: str, entry: Sealed) -> Receipt:
        """See `JournalWriter`."""
        return self._store.append_sealed(ruleset, entry)

    def read(
        self, ruleset: str, *, after: str = START, limit: int | None = None
    ) -> Iterator[Entry]:
        """See `Store`."""
        return self._store.read(ruleset, after=after, limit=limit)

    def load_snapshot(self, ruleset: str) -> Snapshot | None:
        """See `Store`."""
        return self._store.load_snapshot(ruleset)

    def save_snapshot(
        self,
        ruleset: str,
        *,
        header: Mapping[str, Json],
        arrays: Mapping[str, Array],
        position: str,
        expected_version: int,
    ) -> bool:
        """See `Store`."""
        return self._store.save_snapshot(
            ruleset,
            header=header,
            arrays=arrays,
            position=position,
            expected_version=expected_version,
        )

    def reported(self, ruleset: str, scan_id: str) -> set[str]:
        """See `Store`."""
        return self._store.reported(ruleset, scan_id)

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
        """See `Store`."""
        return self._store.claim(ruleset, scan_id, worker, arms, k=k, lease_s=lease_s)

    def claims(self, ruleset: str, scan_id: str) -> dict[str, str]:
        """See `Store`."""
        return self._store.claims(ruleset, scan_id)

    def renew(
        self, ruleset: str, scan_id: str, worker: str, arms: Sequence[str], *, lease_s: float
    ) -> list[str]:
        """See `Store`."""
        return self._store.renew(ruleset, scan_id, worker, arms, lease_s=lease_s)

    def release(self, ruleset: str, scan_id: str, worker: str, arms: Sequence[str]) -> None:
        """See `Store`."""
        self._store.release(ruleset, scan_id, worker, arms)

    def put_control(self, ruleset: str, scan_id: str, control: Mapping[str, Json]) -> None:
        """See `Store`."""
        self._store.put_control(ruleset, scan_id, control)

    def get_control(self, ruleset: str, scan_id: str) -> dict[str, Any]:
        """See `Store`."""
        return self._store.get_control(ruleset, scan_id)

    def update_control(self, ruleset: str, scan_id: str, change: Change) -> dict[str, Any]:
        """See `Store`."""
        return self._store.update_control(ruleset, scan_id, change)

    def put_status(self, ruleset: str, scan_id: str, status: Mapping[str, Json]) -> None:
        """See `Store`."""
        self._store.put_status(ruleset, scan_id, status)

    def get_status(self, ruleset: str, scan_id: str) -> dict[str, Any]:
        """See `Store`."""
        return self._store.get_status(ruleset, scan_id)

    def get_statuses(self, scans: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """See `Store`."""
        return self._store.get_statuses(scans)

    def list_rulesets(self) -> list[str]:
        """See `Store`."""
        return self._store.list_rulesets()

    def list_scans(self, ruleset: str, limit: int = 100) -> list[ScanInfo]:
        """See `Store`."""
        return self._store.list_scans(ruleset, limit)

    def newest_scans(self, rulesets: Sequence[str]) -> list[ScanInfo | None]:
        """See `Store`."""
        return self._store.newest_scans(rulesets)

    def drop_ruleset(self, ruleset: str) -> None:
        """See `Store`."""
        self._store.drop_ruleset(ruleset)

    def trim(
        self, ruleset: str, *, before: str | None = None, max_entries: int | None = None
    ) -> int:
        """See `Store`."""
        return self._store.trim(ruleset, before=before, max_entries=max_entries)

    def stats(self, ruleset: str) -> RulesetStats:
        """See `Store`."""
        return self._store.stats(ruleset)

    def stats_of(self, rulesets: Sequence[str]) -> list[RulesetStats]:
        """See `Store`."""
        return self._store.stats_of(rulesets)

    def problems(self, ruleset: str) -> Iterator[Problem]:
        """See `Store`."""
        return self._store.problems(ruleset)

    def repair(self, ruleset: str, problem: Problem) -> bytes:
        """See `Store`."""
        return self._store.repair(ruleset, problem)

    def sync(self, ruleset: str, *, timeout_s: float = 3.0) -> bool:
        """See `Store`."""
        return self._store.sync(ruleset, timeout_s=timeout_s)

    def close(self) -> None:
        """See `Store`."""
        self._store.close()
