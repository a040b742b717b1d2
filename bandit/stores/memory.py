"""The store inside one process: for replays and tests. Nothing of it survives the process."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bandit.errors import InvalidInputError
from bandit.stores.base import Entry, Problem, Receipt, RulesetStats, ScanInfo, Snapshot
from bandit.stores.codec import Array, Json
from bandit.stores.entries import Sealed, decode_entry, write_mask
from bandit.stores.journal import JournalWriter
from bandit.stores.names import START, check_arms, check_bounds, check_name, position_key
from bandit.stores.notes import Change, dump_note, load_note
from bandit.stores.snapshots import decode_snapshot, encode_snapshot


@dataclass
class _Scan:
    started: str
    reported: set[str] = field(default_factory=set)
    events: set[str] = field(default_factory=set)
    claims: dict[str, tuple[float, str]] = field(default_factory=dict)  # arm -> expiry, worker
    control: bytes | None = None
    status: bytes | None = None


@dataclass
class _Ruleset:
    journal: list[tuple[str, bytes, bytes]] = field(default_factory=list)  # position, blob, mask
    scans: dict[str, _Scan] = field(default_factory=dict)
    last: str = START
    trimmed: str = START
    snapshot: bytes | None = None
    version: int = 0  # of the snapshot


class MemoryStore(JournalWriter):
    """A `bandit.stores.base.Store` in this process, through the same blobs as the others.

    Entries are encoded and decoded, which costs some ten microseconds a report and makes sure that
    what works here works on a server, and that no array is shared with the caller.

    Parameters
    ----------
    clock : callable, optional
        Seconds, for positions and leases; the wall clock by default.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._rulesets: dict[str, _Ruleset] = {}

    def __repr__(self) -> str:
        return "MemoryStore()"

    @property
    def address(self) -> str:
        """See `Store`."""
        return "memory://"

    def append_sealed(self, ruleset: str, entry: Sealed) -> Receipt:
        """See `JournalWriter`."""
        with self._lock:
            state, scan = self._state(ruleset), self._scan(ruleset, entry.scan_id)
            seen = scan.reported if entry.kind == "report" else scan.events
            members = entry.members
            accepted, mask = np.ones(len(members), np.bool_), b""
            previous = state.last
            if not seen.isdisjoint(members):
                accepted[:] = [name not in seen for name in members]
                if not accepted.any():
                    return Receipt(None, previous, accepted)
                mask = write_mask(accepted)
            now = int(1000 * self._clock())
            milliseconds, _, sequence = previous.partition("-")
            if now > int(milliseconds):
                state.last = f"{now}-0"
            else:
                state.last = f"{milliseconds}-{int(sequence) + 1}"
            self._keep(state, entry, mask)
            seen.update(members)
            if scan.claims:
                for arm in entry.arms:
                    scan.claims.pop(arm, None)
            scan.started = scan.started or state.last
            return Receipt(state.last, previous, accepted)

    def read(
        self, ruleset: str, *, after: str = START, limit: int | None = None
    ) -> Iterator[Entry]:
        """See `Store`. Yields what the journal held at the call."""
        start = position_key(after)
        with self._lock:
            journal = self._peek(ruleset).journal
            first = bisect_right(journal, start, key=lambda row: position_key(row[0]))
            rows = journal[first:]
        for position, blob, mask in rows[:limit]:
            where = f"memory journal of {ruleset} entry {position}"
            yield decode_entry(blob, position, mask, where=where)

    def load_snapshot(self, ruleset: str) -> Snapshot | None:
        """See `Store`."""
        blob = self._peek(ruleset).snapshot
        return None if blob is None else decode_snapshot(blob, where=f"memory snapshot {ruleset}")

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
        blob = encode_snapshot(expected_version + 1, position, header, arrays)
        with self._lock:
            state = self._state(ruleset)
            if state.version != expected_version:
                return False
            state.snapshot, state.version = blob, expected_version + 1
            return True

    def reported(self, ruleset: str, scan_id: str) -> set[str]:
        """See `Store`."""
        with self._lock:
            return set(self._peek_scan(ruleset, scan_id).reported)

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
        check_name("worker", worker)
        if not lease_s > 0:
            raise InvalidInputError(f"lease of {lease_s} s; expected more than 0.")
        with self._lock:
            scan, now = self._scan(ruleset, scan_id), self._clock()
            taken: list[str] = []
            for arm in check_arms(arms):
                if len(taken) >= k:
                    break
                expiry, owner = scan.claims.get(arm, (now, worker))
                if arm not in scan.reported and (owner == worker or expiry <= now):
                    scan.claims[arm] = (now + lease_s, worker)
                    taken.append(arm)
            return taken

    def claims(self, ruleset: str, scan_id: str) -> dict[str, str]:
        """See `Store`."""
        with self._lock:
            now, claims = self._clock(), self._peek_scan(ruleset, scan_id).claims
            return {arm: worker for arm, (expiry, worker) in claims.items() if expiry > now}

    def renew(
        self, ruleset: str, scan_id: str, worker: str, arms: Sequence[str], *, lease_s: float
    ) -> list[str]:
        """See `Store`."""
        check_name("worker", worker)
        if not lease_s > 0:
            raise InvalidInputError(f"lease of {lease_s} s; expected more than 0.")
        with self._lock:
            claims = self._peek_scan(ruleset, scan_id).claims
            held = [arm for arm in check_arms(arms) if claims.get(arm, (0, ""))[1] == worker]
            claims.update({arm: (self._clock() + lease_s, worker) for arm in held})
            return held

    def release(self, ruleset: str, scan_id: str, worker: str, arms: Sequence[str]) -> None:
        """See `Store`."""
        check_name("worker", worker)
        with self._lock:
            claims = self._peek_scan(ruleset, scan_id).claims
            for arm in check_arms(arms):
                if claims.get(arm, (0, ""))[1] == worker:
                    del claims[arm]

    def put_control(self, ruleset: str, scan_id: str, control: Mapping[str, Json]) -> None:
        """See `Store`."""
        raw = dump_note(control)
        with self._lock:
            self._scan(ruleset, scan_id).control = raw

    def get_control(self, ruleset: str, scan_id: str) -> dict[str, Any]:
        """See `Store`."""
        return load_note(self._peek_scan(ruleset, scan_id).control, where="memory control")

    def update_control(self, ruleset: str, scan_id: str, change: Change) -> dict[str, Any]:
        """See `Store`."""
        with self._lock:
            raw = dump_note(change(self.get_control(ruleset, scan_id)))
            self._scan(ruleset, scan_id).control = raw
            return load_note(raw, where="memory control")

    def put_status(self, ruleset: str, scan_id: str, status: Mapping[str, Json]) -> None:
        """See `Store`."""
        raw = dump_note(status)
        with self._lock:
            self._scan(ruleset, scan_id).status = raw

    def get_status(self, ruleset: str, scan_id: str) -> dict[str, Any]:
        """See `Store`."""
        return load_note(self._peek_scan(ruleset, scan_id).status, where="memory status")

    def get_statuses(self, scans: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """See `Store`."""
        return [self.get_status(ruleset, scan_id) for ruleset, scan_id in scans]

    def list_rulesets(self) -> list[str]:
        """See `Store`."""
        with self._lock:
            return sorted(name for name, state in self._rulesets.items() if state.last != START)

    def list_scans(self, ruleset: str, limit: int = 100) -> list[ScanInfo]:
        """See `Store`."""
        with self._lock:
            found = [
                ScanInfo(scan_id, scan.started, len(scan.reported), "close" in scan.events)
                for scan_id, scan in self._peek(ruleset).scans.items()
                if scan.started
            ]
        found.sort(key=lambda scan: position_key(scan.started), reverse=True)
        return found[: max(limit, 1)]

    def newest_scans(self, rulesets: Sequence[str]) -> list[ScanInfo | None]:
        """See `Store`."""
        return [next(iter(self.list_scans(ruleset, 1)), None) for ruleset in rulesets]

    def drop_ruleset(self, ruleset: str) -> None:
        """See `Store`."""
        with self._lock:
            self._rulesets.pop(check_name("ruleset", ruleset), None)

    def trim(
        self, ruleset: str, *, before: str | None = None, max_entries: int | None = None
    ) -> int:
        """See `Store`."""
        check_bounds(before, max_entries)
        with self._lock:
            snapshot = self.load_snapshot(ruleset)
            covered = position_key(snapshot.position if snapshot else START)
            journal = self._peek(ruleset).journal
            n = len(journal) if max_entries is None else max(0, len(journal) - max_entries)
            keys = [position_key(row[0]) for row in journal[:n]]
            end = position_key(before) if before is not None else None
            doomed = [key for key in keys if key <= covered and (end is None or key < end)]
            if doomed:
                self._state(ruleset).trimmed = journal[len(doomed) - 1][0]
            del journal[: len(doomed)]
            return len(doomed)

    def stats(self, ruleset: str) -> RulesetStats:
        """See `Store`."""
        with self._lock:
            state, snapshot = self._peek(ruleset), self.load_snapshot(ruleset)
            return RulesetStats(
                n_entries=len(state.journal),
                last_position=state.last,
                journal_bytes=sum(len(blob) + len(mask) for _, blob, mask in state.journal),
                snapshot_version=state.version,
                snapshot_position=snapshot.position if snapshot else START,
                snapshot_bytes=len(state.snapshot or b""),
                n_scans=sum(bool(scan.started) for scan in state.scans.values()),
                trimmed_position=state.trimmed,
            )

    def stats_of(self, rulesets: Sequence[str]) -> list[RulesetStats]:
        """See `Store`."""
        return [self.stats(ruleset) for ruleset in rulesets]

    def problems(self, ruleset: str) -> Iterator[Problem]:
        """See `Store`. Nothing else writes here, so there are none."""
        self._peek(ruleset)
        return iter(())

    def repair(self, ruleset: str, problem: Problem) -> bytes:
        """See `Store`."""
        raise InvalidInputError(f"{problem.place} of {ruleset}: a memory store has no problems.")

    def sync(self, ruleset: str, *, timeout_s: float = 3.0) -> bool:  # noqa: ARG002
        """See `Store`. There is no disk."""
        return False

    def close(self) -> None:
        """See `Store`."""

    def _keep(self, state: _Ruleset, entry: Sealed, mask: bytes) -> None:
        state.journal.append((state.last, entry.blob, mask))

    def _state(self, ruleset: str) -> _Ruleset:
        state = self._rulesets.get(ruleset)
        if state is None:
            state = self._rulesets[check_name("ruleset", ruleset)] = _Ruleset()
        return state

    def _scan(self, ruleset: str, scan_id: str) -> _Scan:
        scans = self._state(ruleset).scans
        scan = scans.get(scan_id)
        if scan is None:
            scan = scans[check_name("scan", scan_id)] = _Scan(started="")
        return scan

    def _peek(self, ruleset: str) -> _Ruleset:
        return self._rulesets.get(check_name("ruleset", ruleset)) or _Ruleset()

    def _peek_scan(self, ruleset: str, scan_id: str) -> _Scan:
        return self._peek(ruleset).scans.get(check_name("scan", scan_id)) or _Scan(started="")


class ForgetfulStore(MemoryStore):
    """A memory store that keeps no journal and no snapshots: for replays, which read neither.

    A replay of two years would keep 300 MB of reports that nobody looks at. What was reported is
    known while its scan goes on.
    """

    def __repr__(self) -> str:
        return "ForgetfulStore()"

    def append_report(
        self,
        ruleset: str,
        scan_id: str,
        *,
        arms: Sequence[str],
        header: Mapping[str, Json],  # noqa: ARG002
        arrays: Mapping[str, Array],  # noqa: ARG002
    ) -> Receipt:
        """See `Store`."""
        return self.append_sealed(ruleset, Sealed(scan_id, "report", tuple(arms), b""))

    def append_event(
        self,
        ruleset: str,
        scan_id: str,
        kind: str,
        *,
        header: Mapping[str, Json],  # noqa: ARG002
        arrays: Mapping[str, Array],  # noqa: ARG002
    ) -> Receipt:
        """See `Store`."""
        return self.append_sealed(ruleset, Sealed(scan_id, kind, (), b""))

    def read(
        self, ruleset: str, *, after: str = START, limit: int | None = None
    ) -> Iterator[Entry]:
        """See `Store`.

        Raises
        ------
        InvalidInputError
            When there were entries after that position.
        """
        if position_key(self._peek(ruleset).last) > position_key(after):
            raise InvalidInputError(
                f"the journal of {ruleset!r} was not kept; open the ranker on a memory:// store"
            )
        return super().read(ruleset, after=after, limit=limit)

    def save_snapshot(
        self,
        ruleset: str,
        *,
        header: Mapping[str, Json],  # noqa: ARG002
        arrays: Mapping[str, Array],  # noqa: ARG002
        position: str,  # noqa: ARG002
        expected_version: int,
    ) -> bool:
        """See `Store`."""
        with self._lock:
            state = self._state(ruleset)
            state.version += state.version == expected_version
            return state.version == expected_version + 1

    def _keep(self, state: _Ruleset, entry: Sealed, mask: bytes) -> None:  # noqa: ARG002
        if entry.kind == "close":
            state.scans.pop(entry.scan_id)
