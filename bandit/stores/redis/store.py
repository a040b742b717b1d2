"""The store on Redis 6.2 or newer, or Valkey: standalone, behind Sentinel, or a cluster.

What is where: `bandit.stores.redis.keys`. What happens atomically: the scripts in ``lua/``.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
from redis.cluster import RedisCluster

from bandit.errors import (
    CorruptStateError,
    InvalidInputError,
    StoreError,
    StoreRefusedError,
)
from bandit.stores.base import (
    SCAN_TTL_S,
    Problem,
    Receipt,
    RulesetStats,
    ScanInfo,
)
from bandit.stores.codec import Array, Json
from bandit.stores.entries import Sealed
from bandit.stores.names import (
    START,
    changed,
    check_bounds,
    check_name,
    fresh_generation,
    is_name,
    position_key,
)
from bandit.stores.redis.connection import errors_of
from bandit.stores.redis.keys import INDEX, SERVER, piece_keys, ruleset_key, scan_key
from bandit.stores.redis.scans import RedisScans
from bandit.stores.redis.sizes import (
    SnapshotMeta,
    read_sizes,
    read_snapshot_meta,
    size_questions,
    snapshot_question,
)
from bandit.stores.snapshots import Snapshot, decode_snapshot, encode_snapshot

PIECE_BYTES = 8 * 2**20  # of a snapshot: one command that keeps the server busy for some ms only
PIECE_TTL_S = 600  # an upload that was never committed disappears after this
PAGE_ENTRIES = 128  # of the journal per round trip; about 1.5 MB of reports of 50


log = logging.getLogger("scanrank")


class RedisStore(RedisScans):
    """A `bandit.stores.base.Store` on a Redis or Valkey server; opened as `RedisCommands` says."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._registered: set[str] = set()  # rulesets that this client put into the index
        # ruleset -> generation and newest position that this client knows of
        self._known: dict[str, tuple[str, str]] = {}
        self._has_warned_of_strangers = False

    # -- journal -------------------------------------------------------------------------------

    def append_sealed(self, ruleset: str, entry: Sealed) -> Receipt:
        """See `Store`."""
        if entry.kind == "open":
            self._registered.discard(ruleset)  # once a scan: the index may have been dropped
        self._register(ruleset)
        which = "reported" if entry.kind == "report" else "events"
        known_generation, known = self._known.get(ruleset, ("", ""))
        reply = self._run(
            "append",
            (
                ruleset_key(ruleset, "journal"),
                ruleset_key(ruleset, "meta"),
                scan_key(ruleset, entry.scan_id, which),
                ruleset_key(ruleset, "scans"),
                scan_key(ruleset, entry.scan_id, "claims"),
            ),
            entry.scan_id,
            SCAN_TTL_S,
            entry.blob,
            known,
            json.dumps(entry.members, ensure_ascii=False),
            known_generation,
            fresh_generation(),
        )
        position, previous, generation, mask = reply.decode().split(" ")
        self._known[ruleset] = generation, previous if position == "-" else position
        if previous == START:  # a new journal, or a server that came back empty
            self._registered.discard(ruleset)
            self._register(ruleset)
        return Receipt(
            position=None if position == "-" else position,
            previous=previous,
            accepted=np.array(
                [bit == "1" for bit in mask or "1" * len(entry.members)], dtype=np.bool_
            ),
            generation=generation,
        )

    def identity(self, known: str = "") -> str:
        """See `Store`. A database without a name is given one."""
        try:
            self._call("SET", SERVER, known or fresh_generation(), "NX")
            found = self._call("GET", SERVER) or b""
        except (StoreRefusedError, CorruptStateError):
            return ""  # without the right to ask: it is called by its address
        return found.decode() if re.fullmatch(rb"[0-9a-f]{16}", found) else ""

    def place(self) -> str:
        """See `Store`."""
        pool = getattr(self._client, "connection_pool", None)
        options = getattr(pool, "connection_kwargs", {})
        if options.get("path"):
            where = os.path.realpath(options["path"])
        elif options.get("host"):
            host = str(options["host"])
            try:
                host = socket.gethostbyname(host)
            except OSError:  # only IPv6, or gone by now
                host = "127.0.0.1" if host == "::1" else host
            where = f"{host}:{options.get('port')}"
        else:  # behind Sentinel, or a cluster
            return self._address
        return f"{where}/{options.get('db') or 0}"

    def _register(self, ruleset: str) -> None:
        if ruleset not in self._registered:
            is_new = self._call("SADD", INDEX, check_name("ruleset", ruleset))
            if is_new and self._call("SCARD", INDEX) == 1:  # the first, or the index was dropped
                self._find_rulesets()
            self._registered.add(ruleset)

    def _find_rulesets(self) -> None:
        """Make the index anew from the keys that are there."""
        with errors_of(self._address):
            keys = list(self._client.scan_iter(match="scanrank:{*}:meta", count=1000))
        for key in keys:
            self._call("SADD", INDEX, key.split(b"{")[1].split(b"}")[0])

    def _journal(self, ruleset: str) -> str:
        return ruleset_key(ruleset, "journal")

    def _raw_entries(
        self, ruleset: str, after: str, limit: int | None, generation: str | None
    ) -> Iterator[tuple[str, Any, Any]]:
        position_key(after)
        journal = self._journal(ruleset)
        left = limit
        while left is None or left > 0 or generation is not None:
            count = PAGE_ENTRIES if left is None else min(PAGE_ENTRIES, left)
            if generation is not None:
                page = self._first_page(ruleset, after, generation, count)
                generation = None
            else:
                page = self._call("XRANGE", journal, f"({after}", "+", "COUNT", count)
            for raw_position, fields in page:
                after = raw_position.decode()
                fields = fields or {}
                yield after, fields.get(b"b"), fields.get(b"m", b"")
            if len(page) < count:
                return
            left = None if left is None else left - len(page)

    def _first_page(self, ruleset: str, after: str, generation: str, count: int) -> Any:
        keys = (ruleset_key(ruleset, "journal"), ruleset_key(ruleset, "meta"))
        page = self._run("read", keys, after, generation, fresh_generation(), count)
        if page is None:
            raise changed(ruleset, self._address)
        # Unlike redis-py's own, the reply of a script has the fields of an entry in a list.
        return [(raw, dict(zip(fields[::2], fields[1::2], strict=True))) for raw, fields in page]

    def generation(self, ruleset: str) -> str:
        """See `Store`."""
        found = self._call("HGET", ruleset_key(ruleset, "meta"), "generation")
        return str((found or b"").decode("ascii", "replace"))

    def renew_generation(self, ruleset: str) -> str:
        """See `Store`."""
        generation = fresh_generation()
        self._call("HSET", ruleset_key(ruleset, "meta"), "generation", generation)
        return generation

    # -- snapshot ------------------------------------------------------------------------------

    def load_snapshot(self, ruleset: str) -> Snapshot | None:
        """See `Store`."""
        where = ruleset_key(ruleset, "snapshot")
        while True:
            current = self._snapshot_meta(ruleset)
            if current is None:
                return None
            pieces = [self._call("GET", key) for key in current.keys]
            if all(piece is not None for piece in pieces):
                break
            # Replaced while we read it: then it is another one by now, and we start again.
            if self._snapshot_meta(ruleset) == current:
                raise CorruptStateError(
                    f"{where}: a piece of it is missing. Run `scanrank store repair`: the next "
                    "scan then makes a snapshot from the journal."
                )
        snapshot = decode_snapshot(b"".join(pieces), where=where)
        if (snapshot.version, snapshot.position) != (current.version, current.position):
            raise CorruptStateError(f"{where}: its hash and its content have different versions.")
        return snapshot

    def _snapshot_meta(self, ruleset: str) -> SnapshotMeta | None:
        return read_snapshot_meta(ruleset, self._call(*snapshot_question(ruleset)))

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
        """See `Store`. The pieces go up first; one atomic script then makes them current."""
        blob = encode_snapshot(expected_version + 1, position, header, arrays)
        where = ruleset_key(ruleset, "snapshot")
        if generation is not None:
            self._first_page(ruleset, position, generation, 0)
        version, old_id, n_old = self._call("HMGET", where, "version", "id", "pieces")
        if int(version or 0) != expected_version:
            return False
        new_id = secrets.token_hex(16)
        keys = piece_keys(ruleset, new_id, -(-len(blob) // PIECE_BYTES))
        old_keys = piece_keys(ruleset, old_id.decode(), int(n_old)) if old_id else []
        view = memoryview(blob)
        for index, key in enumerate(keys):
            piece = view[index * PIECE_BYTES : (index + 1) * PIECE_BYTES]
            self._call("SET", key, piece, "EX", PIECE_TTL_S)
        done = self._run(
            "commit_snapshot",
            (where, ruleset_key(ruleset, "meta"), *keys, *old_keys),
            expected_version,
            old_id or b"",
            new_id,
            len(keys),
            position,
            len(blob),
        )
        if done == 1:
            self._register(ruleset)
            return True
        self._call("UNLINK", *keys)
        if done == -1:
            raise StoreRefusedError(
                f"store {self._address}: a piece of the new snapshot disappeared within "
                f"{PIECE_TTL_S} s. Set `maxmemory-policy noeviction` on this server."
            )
        return False

    # -- housekeeping --------------------------------------------------------------------------

    def list_rulesets(self) -> list[str]:
        """See `Store`."""
        found = self._call("SMEMBERS", INDEX)
        if not found:
            self._find_rulesets()
            found = self._call("SMEMBERS", INDEX)
        members = sorted(name.decode("ascii", "replace") for name in found)
        names = [name for name in members if is_name(name)]
        if len(names) < len(members) and not self._has_warned_of_strangers:
            self._has_warned_of_strangers = True
            log.warning(
                "store %s: %d members of %s, such as %r, are not ruleset names; another "
                "program wrote them, and they are ignored",
                self._address, len(members) - len(names), INDEX,
                next(name for name in members if not is_name(name))[:80],
            )  # fmt: skip
        are_there = self._call_all([("EXISTS", ruleset_key(name, "journal")) for name in names])
        return [name for name, is_there in zip(names, are_there, strict=True) if is_there]

    def list_scans(self, ruleset: str, limit: int = 100) -> list[ScanInfo]:
        """See `Store`."""
        return self._latest_scans([ruleset], max(limit, 1))[0]

    def newest_scans(self, rulesets: Sequence[str]) -> list[ScanInfo | None]:
        """See `Store`."""
        return [next(iter(scans), None) for scans in self._latest_scans(rulesets, 1)]

    def _latest_scans(self, rulesets: Sequence[str], limit: int) -> list[list[ScanInfo]]:
        """Return the latest scans of each ruleset, newest first, in two round trips."""
        questions: list[tuple[Any, ...]] = []
        for ruleset in rulesets:
            scans, meta = ruleset_key(ruleset, "scans"), ruleset_key(ruleset, "meta")
            questions += [
                ("ZREVRANGE", scans, 0, limit - 1, "WITHSCORES"),
                ("ZCARD", scans),
                ("HGET", meta, "scans"),
            ]
        answers = self._call_all(questions)
        listed = list(zip(rulesets, answers[::3], answers[1::3], answers[2::3], strict=True))
        missing = [ruleset for ruleset, _, n, known in listed if n < int(known or 0)]
        if missing:
            for ruleset in missing:
                self._find_scans(ruleset)
            return self._latest_scans(rulesets, limit)
        questions = []
        for ruleset, found, _, _ in listed:  # name, milliseconds, name, milliseconds ...
            for name in found[::2]:
                questions += [
                    ("SCARD", scan_key(ruleset, name.decode(), "reported")),
                    ("SISMEMBER", scan_key(ruleset, name.decode(), "events"), "close"),
                ]
        asked = iter(self._call_all(questions))
        return [
            [
                ScanInfo(name.decode(), f"{int(ms)}-0", int(next(asked)), bool(next(asked)))
                for name, ms in zip(found[::2], found[1::2], strict=True)
            ]
            for _, found, _, _ in listed
        ]

    def _find_scans(self, ruleset: str) -> None:
        """Make the index of scans anew from the journal, after the server dropped it."""
        index = ruleset_key(ruleset, "scans")
        for entry in self.read(ruleset):
            self._call("ZADD", index, "NX", position_key(entry.position)[0], entry.scan_id)
        meta = ruleset_key(ruleset, "meta")
        self._call("HSET", meta, "scans", self._call("ZCARD", index))

    def drop_ruleset(self, ruleset: str) -> None:
        """See `Store`. Interrupted half-way, it can be called again."""
        with errors_of(self._address):
            for key in list(self._client.scan_iter(match=ruleset_key(ruleset, "*"), count=1000)):
                self._client.unlink(key)
        self._call("SREM", INDEX, ruleset)
        self._registered.discard(ruleset)
        self._known.pop(ruleset, None)

    def trim(
        self, ruleset: str, *, before: str | None = None, max_entries: int | None = None
    ) -> int:
        """See `Store`. Blocks the server for at most 256 entries at a time."""
        check_bounds(before, max_entries)
        keys = (
            ruleset_key(ruleset, "journal"),
            ruleset_key(ruleset, "meta"),
            ruleset_key(ruleset, "snapshot"),
        )
        keep = "" if max_entries is None else max_entries
        total = 0
        while n := self._run("trim", keys, before or "", keep, 256):
            total += int(n)
        return total

    def stats(self, ruleset: str) -> RulesetStats:
        """See `Store`."""
        return self.stats_of([ruleset])[0]

    def stats_of(self, rulesets: Sequence[str]) -> list[RulesetStats]:
        """See `Store`."""
        questions = [size_questions(ruleset) for ruleset in rulesets]
        answers = iter(self._call_all(list(chain.from_iterable(questions))))
        return [
            read_sizes(ruleset, list(islice(answers, len(asked))))
            for ruleset, asked in zip(rulesets, questions, strict=True)
        ]

    def problems(self, ruleset: str) -> Iterator[Problem]:
        """See `Store`."""
        yield from super().problems(ruleset)
        known = self._call("HGET", ruleset_key(ruleset, "meta"), "snapshot")
        if known is not None and not self._call("EXISTS", ruleset_key(ruleset, "snapshot")):
            yield Problem("snapshot", f"version {int(known)} was saved, but is missing")

    def repair(self, ruleset: str, problem: Problem) -> bytes:
        """See `Store`."""
        what, _, position = problem.place.partition(" ")
        if what == "journal":
            position_key(position)
            journal = ruleset_key(ruleset, "journal")
            rows = self._call("XRANGE", journal, position, position)
            self._call("HSET", ruleset_key(ruleset, "meta"), f"removed:{position}", "1")
            self._call("XDEL", journal, position)
            return b"".join((fields or {}).get(b"b", b"") for _, fields in rows)
        if what != "snapshot":
            raise InvalidInputError(f"place {problem.place!r}; expected journal <position>.")
        key = ruleset_key(ruleset, "snapshot")
        kept = b""
        try:
            current = self._snapshot_meta(ruleset)
        except StoreError:  # not even its hash is ours: then there are no pieces to find
            current = None
        if current is not None:
            kept = b"".join(self._call("GET", piece) or b"" for piece in current.keys)
            self._call("UNLINK", *current.keys)
        self._call("UNLINK", key)
        self._call("HDEL", ruleset_key(ruleset, "meta"), "snapshot")
        return kept

    def sync(self, ruleset: str, *, timeout_s: float = 3.0) -> bool:
        """See `Store`. Uses WAITAOF, which Redis 7.2 and Valkey have; not in a cluster."""
        if isinstance(self._client, RedisCluster):
            return False
        # WAITAOF covers what its own connection wrote, so a small write goes along with it; the
        # file is written in order, hence everything before it is on disk too.
        with errors_of(self._address):
            pipeline = self._client.pipeline(transaction=False)
            pipeline.hset(ruleset_key(ruleset, "meta"), "synced", "1")
            pipeline.execute_command("WAITAOF", 1, 0, int(1000 * timeout_s))
            _, answer = pipeline.execute(raise_on_error=False)
        return isinstance(answer, list) and bool(answer) and answer[0] == 1
