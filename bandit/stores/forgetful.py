"""The store of replays: it knows what was reported in a scan under way, and keeps nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bandit.checks import as_arms
from bandit.errors import InvalidInputError
from bandit.stores.base import Receipt, RulesetStats
from bandit.stores.entries import Entry, Sealed
from bandit.stores.names import START, check_name, position_key
from bandit.stores.sqlite.store import SqliteStore


class ForgetfulStore(SqliteStore):
    """A store in memory without journal and snapshots: for replays, which read neither.

    A replay of two years would keep 300 MB of reports that nobody looks at.
    """

    def __init__(self) -> None:
        super().__init__()
        self._arms: dict[tuple[str, str], set[str]] = {}  # of the scans under way
        self._n = 0  # entries so far, which are the positions

    def append_report(
        self, ruleset: str, scan_id: str, *, arms: Sequence[str], **_: Any
    ) -> Receipt:
        """See `Store`."""
        return self.append_sealed(ruleset, Sealed(scan_id, "report", as_arms(arms), b""))

    def append_event(self, ruleset: str, scan_id: str, kind: str, **_: Any) -> Receipt:
        """See `Store`."""
        return self.append_sealed(ruleset, Sealed(scan_id, kind, (), b""))

    def append_sealed(self, ruleset: str, entry: Sealed) -> Receipt:
        """See `Store`."""
        with self._db.lock:
            key = check_name("ruleset", ruleset), check_name("scan", entry.scan_id)
            seen = self._arms.setdefault(key, set())
            members, previous = entry.members, f"{self._n}-0"
            accepted = np.ones(len(members), np.bool_)
            if not seen.isdisjoint(entry.arms):
                accepted[:] = [name not in seen for name in members]
                if not accepted.any():
                    return Receipt(None, previous, accepted)
            seen.update(entry.arms)
            if entry.kind == "close":
                del self._arms[key]
            self._n += 1
            return Receipt(f"{self._n}-0", previous, accepted)

    def reported(self, ruleset: str, scan_id: str) -> set[str]:
        """See `Store`."""
        return set(self._arms.get((ruleset, scan_id), ()))

    def read(self, ruleset: str, *, after: str = START, **_: Any) -> Iterator[Entry]:
        """See `Store`.

        Raises
        ------
        InvalidInputError
            When there were entries after that position.
        """
        if self._n > position_key(after)[0]:
            raise InvalidInputError(
                f"the journal of {ruleset!r} was not kept; open the ranker with a memory:// store"
            )
        return iter(())

    def save_snapshot(self, *_: Any, **__: Any) -> bool:
        """See `Store`."""
        return True

    def stats(self, ruleset: str) -> RulesetStats:
        """See `Store`."""
        return replace(super().stats(ruleset), last_position=f"{self._n}-0")
