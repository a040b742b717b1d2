"""The store in one SQLite file, or in memory: no server, any number of processes of one machine.

Tables, all small beside ``entry`` and ``snapshot``, which hold the blobs of
`bandit.stores.entries` and `bandit.stores.snapshots`::

    ruleset   its name, the last position that retention deleted, the journal's generation, and
              positions that `repair` removed
    entry     the journal: position (ms, sub), blob, mask of accepted rows
    snapshot  the newest one of a ruleset
    scan      its name, position of its first entry, control and status notes
    member    what was seen in a scan, a row per entry: its arms joined by line ends, or its kind
    claim     arm, worker, expiry
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bandit.errors import InvalidInputError
from bandit.stores.base import (
    Problem,
    Receipt,
    RulesetStats,
    ScanInfo,
)
from bandit.stores.codec import Array, Json
from bandit.stores.entries import Sealed, write_mask
from bandit.stores.names import (
    START,
    changed,
    check_bounds,
    check_name,
    fresh_generation,
    position_key,
)
from bandit.stores.snapshots import Snapshot, decode_snapshot, encode_snapshot
from bandit.stores.sqlite.database import Database, Durability
from bandit.stores.sqlite.scans import ScanRows

TABLES = """
create table if not exists ruleset(id integer primary key, name text not null unique,
    trimmed_ms integer not null default 0, trimmed_sub integer not null default 0,
    generation text not null default '', removed text not null default '');
create table if not exists entry(id integer primary key, ruleset integer not null,
    ms integer not null, sub integer not null, mask blob not null, blob blob not null,
    unique(ruleset, ms, sub));
create table if not exists snapshot(ruleset integer primary key, version integer not null,
    position text not null, blob blob not null);
create table if not exists scan(id integer primary key autoincrement, ruleset integer not null,
    name text not null, ms integer, sub integer, touched real not null, control blob, status blob,
    unique(ruleset, name));
create table if not exists member(scan integer, is_event integer, n integer,
    size integer not null, names text not null, primary key(scan, is_event, n)) without rowid;
create table if not exists claim(scan integer, arm text, worker text not null,
    expiry real not null, primary key(scan, arm)) without rowid;
"""
_ADD_ENTRY = "insert into entry(ruleset, ms, sub, mask, blob) values(?,?,?,?,?)"
_ADD_MEMBERS = "insert into member values(?,?,?,?,?)"
_END_CLAIMS = "delete from claim where scan=? and arm in (select value from json_each(?))"
_PAGE = 128  # entries at a time
_MAX = 2**63 - 1  # of a number in SQLite


@dataclass(slots=True)
class _Tail:
    """What an append to a scan goes on from; true as long as the database has this version."""

    version: tuple[int, int, int]
    place: tuple[str, str]  # ruleset, scan
    rules: int
    scan: int
    is_known: bool  # whether the scan has entries
    generation: str
    last: tuple[int, int]  # position of the newest entry of the ruleset
    n: int  # rows in `member`
    seen: set[str]
    has_claims: bool


class SqliteStore(ScanRows):
    """A `bandit.stores.base.Store` in one file.

    Parameters
    ----------
    path : path, optional
        Of the file, created with its folder if absent. None: in memory, for replays and tests;
        nothing of it survives the process.
    durability : {"normal", "full"}
        Whether a report waits until it is on the disk; what a power cut can take is said in
        ``docs/explanation/state.md``. A killed process loses nothing with either.
    clock : callable
        Seconds since 1970, for positions and leases.

    Raises
    ------
    StoreRefusedError
        The file cannot be opened or written. `StoreUnavailableError`: others keep it locked.
    CorruptStateError, IncompatibleStateError
        The file is no database, or that of another program; or of a newer version of this one.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        durability: Durability = "normal",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._db = Database(None if path is None else Path(path), TABLES, durability)
        # (opening of the file, scan) -> the last `n` that was read of `member`, the arms up to it
        self._members: dict[tuple[int, int], tuple[int, set[str]]] = {}
        # ruleset -> generation and newest position that this client knows of
        self._known: dict[str, tuple[str, str]] = {}
        self._tail: _Tail | None = None  # of the latest report

    def __repr__(self) -> str:
        return f"SqliteStore({self.address!r})"

    @property
    def address(self) -> str:
        """See `Store`."""
        return self._db.address

    # -- journal -------------------------------------------------------------------------------

    def append_sealed(self, ruleset: str, entry: Sealed) -> Receipt:
        """See `Store`."""
        is_event, members, db = entry.kind != "report", entry.members, self._db
        with db.lock:
            with db.writing():
                tail = self._find_tail(ruleset, entry.scan_id, is_event)
                ms, sub = tail.last
                previous, mask, new = f"{ms}-{sub}", b"", members
                accepted = np.ones(len(members), np.bool_)
                if not tail.seen.isdisjoint(members):
                    accepted[:] = [name not in tail.seen for name in members]
                    if not accepted.any():
                        self._known[ruleset] = tail.generation, previous
                        return Receipt(None, previous, accepted, generation=tail.generation)
                    mask = write_mask(accepted)
                    new = tuple(name for name in members if name not in tail.seen)
                now = int(1000 * self._clock())
                ms, sub = (now, 0) if now > ms else (ms, sub + 1)
                db.run(_ADD_ENTRY, tail.rules, ms, sub, mask, entry.blob)
                n = tail.n + 1
                db.run(_ADD_MEMBERS, tail.scan, is_event, n, len(new), "\n".join(new))
                if not tail.is_known:
                    db.run("update scan set ms=?, sub=? where id=?", ms, sub, tail.scan)
                if tail.has_claims and entry.arms:
                    db.run(_END_CLAIMS, tail.scan, json.dumps(entry.arms))
                version = *tail.version[:2], db.n_changes()
            tail.seen.update(new)
            position = f"{ms}-{sub}"
            self._known[ruleset] = tail.generation, position
            if not is_event:
                self._remember(tail.scan, n, tail.seen)
                tail.version, tail.last, tail.n, tail.is_known = version, (ms, sub), n, True
                self._tail = tail
        return Receipt(position, previous, accepted, generation=tail.generation)

    def _find_tail(self, ruleset: str, scan_id: str, is_event: bool) -> _Tail:
        """Return what an append goes on from; nothing is read where nobody else wrote."""
        tail, place, version = self._tail, (ruleset, scan_id), self._db.version()
        if tail is not None and not is_event and tail.place == place and tail.version == version:
            return tail
        rules = self._ruleset(ruleset)
        scan, is_known = self._scan(rules, scan_id)
        last = self._last(rules)
        known = self._known.get(ruleset, ("", f"{last[0]}-{last[1]}"))
        n, seen = self._seen(scan, is_event)
        has_claims = self._db.row("select 1 from claim where scan=? limit 1", scan) is not None
        generation = self._checked(rules, *known)
        return _Tail(version, place, rules, scan, is_known, generation, last, n, seen, has_claims)

    def _checked(self, rules: int, generation: str, position: str, *, reads: bool = False) -> str:
        """Return the journal's generation: a new one where it lacks a position of the given one.

        Who reads on from a position must not have missed what retention deleted after it.
        """
        found, removed, ms, sub = self._db.row(
            "select generation, removed, trimmed_ms, trimmed_sub from ruleset where id=?", rules
        )
        is_lost = False
        key = position_key(position)
        is_trimmed = key == (ms, sub) if reads else key <= (ms, sub)
        if not is_trimmed and position not in removed.split():
            sql = "select 1 from entry where ruleset=? and ms=? and sub=?"
            is_lost = max(key) > _MAX or self._db.row(sql, rules, *key) is None
        if not found or (is_lost and found == generation):
            found = fresh_generation()
            self._db.run("update ruleset set generation=? where id=?", found, rules)
        return str(found)

    def _check(self, ruleset: str, generation: str, position: str) -> None:
        """Refuse a position that the journal does not have (any more)."""
        found = self.generation(ruleset)
        if found == generation != "":
            with self._db.writing():
                found = self._checked(self._ruleset(ruleset), generation, position, reads=True)
        if found != generation:
            raise changed(ruleset, self.address)

    def generation(self, ruleset: str) -> str:
        """See `Store`."""
        found = self._db.row(
            "select generation from ruleset where name=?", check_name("ruleset", ruleset)
        )
        return str(found[0]) if found else ""

    def renew_generation(self, ruleset: str) -> str:
        """See `Store`."""
        generation = fresh_generation()
        with self._db.writing():
            rules = self._ruleset(ruleset)
            self._db.run("update ruleset set generation=? where id=?", generation, rules)
        return generation

    def _last(self, rules: int) -> tuple[int, int]:
        """Position of the newest entry, of the newest that was deleted where none is left."""
        sql = "select ms, sub from entry where ruleset=? order by ms desc, sub desc limit 1"
        trimmed = "select trimmed_ms, trimmed_sub from ruleset where id=?"
        ms, sub = self._db.row(sql, rules) or self._db.row(trimmed, rules)
        return ms, sub

    def _journal(self, ruleset: str) -> str:
        return f"journal {ruleset}"

    def _raw_entries(
        self, ruleset: str, after: str, limit: int | None, generation: str | None
    ) -> Iterator[tuple[str, Any, Any]]:
        if generation is not None:
            self._check(ruleset, generation, after)
        check_name("ruleset", ruleset)
        ms, sub = (min(part, _MAX) for part in position_key(after))
        left = _MAX if limit is None else limit
        while left > 0:
            page = self._db.rows(
                "select ms, sub, blob, mask from entry where ruleset=(select id from ruleset where "
                "name=?) and (ms, sub) > (?, ?) order by ms, sub limit ?",
                *(ruleset, ms, sub, min(left, _PAGE)),
            )
            for ms, sub, blob, mask in page:
                yield f"{ms}-{sub}", blob, mask
            if len(page) < _PAGE:
                return
            left -= len(page)

    # -- snapshot ------------------------------------------------------------------------------

    def load_snapshot(self, ruleset: str) -> Snapshot | None:
        """See `Store`."""
        found = self._db.row(
            "select blob from snapshot where ruleset=(select id from ruleset where name=?)",
            check_name("ruleset", ruleset),
        )
        return None if found is None else decode_snapshot(found[0], where=f"snapshot of {ruleset}")

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
        """See `Store`."""
        blob = encode_snapshot(expected_version + 1, position, header, arrays)
        if generation is not None:
            self._check(ruleset, generation, position)
        with self._db.writing():
            rules = self._ruleset(ruleset)
            found = self._db.row("select version from snapshot where ruleset=?", rules) or (0,)
            if found[0] != expected_version:
                return False
            self._db.run(
                "insert or replace into snapshot values(?,?,?,?)",
                *(rules, expected_version + 1, position, blob),
            )
            return True

    # -- housekeeping --------------------------------------------------------------------------

    def list_rulesets(self) -> list[str]:
        """See `Store`."""
        return [
            name for (name,) in self._db.rows(
                "select name from ruleset where trimmed_ms>0 or exists (select 1 from entry where "
                "ruleset=id) order by name"
            )
        ]  # fmt: skip

    def list_scans(self, ruleset: str, limit: int = 100) -> list[ScanInfo]:
        """See `Store`."""
        rows = self._db.rows(
            "select name, ms, sub, (select coalesce(sum(size), 0) from member where scan=scan.id "
            "and not is_event), exists (select 1 from member where scan=scan.id and is_event and "
            "names='close') from scan where ruleset=(select id from ruleset where name=?) and ms>? "
            "order by ms desc, sub desc limit ?",
            *(check_name("ruleset", ruleset), self._oldest_ms(), max(limit, 1)),
        )
        return [ScanInfo(name, f"{ms}-{sub}", n, bool(closed)) for name, ms, sub, n, closed in rows]

    def drop_ruleset(self, ruleset: str) -> None:
        """See `Store`."""
        with self._db.writing():
            rules = self._ruleset(ruleset)
            self._forget_scans("ruleset=?", rules)
            for table, column in (("entry", "ruleset"), ("snapshot", "ruleset"), ("ruleset", "id")):
                self._db.run(f"delete from {table} where {column}=?", rules)  # noqa: S608

    def trim(
        self, ruleset: str, *, before: str | None = None, max_entries: int | None = None
    ) -> int:
        """See `Store`."""
        check_bounds(before, max_entries)
        with self._db.writing():
            rules, snapshot = self._ruleset(ruleset), self.load_snapshot(ruleset)
            ends = [position_key(snapshot.position) if snapshot else (0, 0)]
            if before is not None:
                ms, sub = position_key(before)
                ends.append((min(ms, _MAX), sub - 1))
            if max_entries is not None:
                newest = self._db.row(
                    "select ms, sub from entry where ruleset=? order by ms desc, sub desc "
                    "limit 1 offset ?",
                    *(rules, max_entries),
                )
                ends.append(newest or (0, 0))
            doomed = "from entry where ruleset=? and (ms, sub) <= (?, ?)"
            last = self._db.row(
                f"select ms, sub {doomed} order by ms desc, sub desc limit 1", rules, *min(ends)
            )
            if last is None:
                return 0
            sql = "update ruleset set trimmed_ms=?, trimmed_sub=? where id=?"
            self._db.run(sql, *last, rules)
            return self._db.run(f"delete {doomed}", rules, *last)

    def stats(self, ruleset: str) -> RulesetStats:
        """See `Store`."""
        found = self._db.row(
            "select id, trimmed_ms, trimmed_sub, version, position, length(blob) from ruleset "
            "left join snapshot on ruleset=id where name=?",
            check_name("ruleset", ruleset),
        )
        rules, ms, sub, version, position, size = found or (0, 0, 0, None, None, None)
        n_entries, n_bytes = self._db.row(
            "select count(*), coalesce(sum(length(blob) + length(mask)), 0) from entry where "
            "ruleset=?", rules,
        )  # fmt: skip
        sql = "select count(*) from scan where ruleset=? and ms>?"
        last = self._last(rules) if rules else (0, 0)
        return RulesetStats(
            n_entries=n_entries,
            last_position=f"{last[0]}-{last[1]}",
            journal_bytes=n_bytes,
            snapshot_version=version or 0,
            snapshot_position=position or START,
            snapshot_bytes=size or 0,
            n_scans=self._db.row(sql, rules, self._oldest_ms())[0],
            trimmed_position=f"{ms}-{sub}",
        )

    def repair(self, ruleset: str, problem: Problem) -> bytes:
        """See `Store`."""
        what, _, position = problem.place.partition(" ")
        with self._db.writing():
            rules = self._ruleset(ruleset)
            key: tuple[int, ...] = ()
            if what == "journal":
                where, key = "from entry where ruleset=? and ms=? and sub=?", position_key(position)
            elif what == "snapshot":
                where = "from snapshot where ruleset=?"
            else:
                raise InvalidInputError(f"place {problem.place!r}; expected journal <position>.")
            found = self._db.row(f"select cast(blob as blob) {where}", rules, *key)
            self._db.run(f"delete {where}", rules, *key)
            if what == "journal":
                sql = "update ruleset set removed=removed || ' ' || ? where id=?"
                self._db.run(sql, position, rules)
            return b"" if found is None else found[0]

    def sync(self, ruleset: str, *, timeout_s: float = 3.0) -> bool:  # noqa: ARG002
        """See `Store`. Writes the log into the file; there is no disk in memory."""
        return self._db.checkpoint()

    def warnings(self) -> list[str]:
        """See `Store`."""
        return self._db.warnings()

    def backup(self, path: Path) -> None:
        """Copy everything into a new file while others go on writing.

        Raises
        ------
        InvalidInputError
            When the file is there already.
        StoreRefusedError
            When it cannot be written; nothing is left of it.
        """
        self._db.backup(path)

    def close(self) -> None:
        """See `Store`."""
        self._db.close()
