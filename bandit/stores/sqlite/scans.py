"""Scans in the file: claims with their leases, the two notes of a scan, and whose row is whose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bandit.checks import as_arms
from bandit.stores.base import SCAN_TTL_S, Store
from bandit.stores.codec import Json
from bandit.stores.names import check_lease, check_name
from bandit.stores.notes import Change, dump_note, load_note
from bandit.stores.sqlite.database import Database

_N_REMEMBERED = 8  # scans whose members are kept at hand


class ScanRows(Store):
    """The part of a `SqliteStore` about scans that workers share and operators watch."""

    _db: Database
    _clock: Callable[[], float]
    _members: dict[tuple[int, int], tuple[int, set[str]]]

    # -- shared scans --------------------------------------------------------------------------

    def reported(self, ruleset: str, scan_id: str) -> set[str]:
        """See `Store`."""
        scan = self._known_scan(ruleset, scan_id)
        return set() if scan is None else set(self._seen(scan, is_event=False)[1])

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
        names, now = as_arms(arms), self._clock()
        until = now + check_lease(lease_s)
        with self._db.writing():
            scan, _ = self._scan(self._ruleset(ruleset), scan_id)
            held = self._claims(scan, now)
            taken = {arm for arm, owner in held.items() if owner != worker}
            taken |= self._seen(scan, is_event=False)[1]
            free = [arm for arm in names if arm not in taken][: max(k, 0)]
            self._db.run_many(
                "insert or replace into claim values(?,?,?,?)",
                [(scan, arm, worker, until) for arm in free],
            )
            return free

    def claims(self, ruleset: str, scan_id: str) -> dict[str, str]:
        """See `Store`."""
        scan = self._known_scan(ruleset, scan_id)
        return {} if scan is None else self._claims(scan, self._clock())

    def _claims(self, scan: int, now: float) -> dict[str, str]:
        return dict(
            self._db.rows("select arm, worker from claim where scan=? and expiry>?", scan, now)
        )

    def renew(
        self, ruleset: str, scan_id: str, worker: str, arms: Sequence[str], *, lease_s: float
    ) -> list[str]:
        """See `Store`."""
        until = self._clock() + check_lease(lease_s)
        return self._of_mine("update claim set expiry=?", ruleset, scan_id, worker, arms, until)

    def release(self, ruleset: str, scan_id: str, worker: str, arms: Sequence[str]) -> bool:
        """See `Store`."""
        with self._db.writing():
            self._of_mine("delete from claim", ruleset, scan_id, worker, arms)
            return not self.claims(ruleset, scan_id)

    def _of_mine(
        self, what: str, ruleset: str, scan_id: str, worker: str, arms: Sequence[str], *more: Any
    ) -> list[str]:
        """Do something to the leases that a worker holds; returns their arms."""
        check_name("worker", worker)
        names = as_arms(arms)
        with self._db.writing():
            scan = self._known_scan(ruleset, scan_id)
            sql = f"{what} where scan=? and arm=? and worker=?"
            return [arm for arm in names if self._db.run(sql, *more, scan, arm, worker)]

    # -- notes ---------------------------------------------------------------------------------

    def update_control(self, ruleset: str, scan_id: str, change: Change) -> dict[str, Any]:
        """See `Store`."""
        with self._db.writing():
            self._put_note("control", ruleset, scan_id, change(self.get_control(ruleset, scan_id)))
            return self.get_control(ruleset, scan_id)

    def _put_note(self, which: str, ruleset: str, scan_id: str, note: Mapping[str, Json]) -> None:
        raw = dump_note(note)
        with self._db.writing():
            scan, _ = self._scan(self._ruleset(ruleset), scan_id)
            sql = f"update scan set {which}=?, touched=? where id=?"  # noqa: S608
            self._db.run(sql, raw, self._clock(), scan)

    def _get_note(self, which: str, ruleset: str, scan_id: str) -> dict[str, Any]:
        scan = self._known_scan(ruleset, scan_id)
        found = self._db.row(f"select {which} from scan where id=?", scan)  # noqa: S608
        return load_note(found[0] if found else None, where=f"{which} note of {ruleset} {scan_id}")

    # -- rows ----------------------------------------------------------------------------------

    def _seen(self, scan: int, is_event: bool) -> tuple[int, set[str]]:
        """Return the number of the newest row of `member`, and the names in all of them.

        The arms of recent scans are kept at hand; what other processes added is read.
        """
        with self._db.lock:
            at_hand = None if is_event else self._members.get((self._db.n_opened, scan))
            n, names = at_hand or (0, set())
            for number, joined in self._db.rows(
                "select n, names from member where scan=? and is_event=? and n>? order by n",
                *(scan, is_event, n),
            ):
                names.update(joined.split("\n"))
                n = number
            return n, names

    def _remember(self, scan: int, n: int, seen: set[str]) -> None:
        self._members.pop((self._db.n_opened, scan), None)
        self._members[self._db.n_opened, scan] = n, seen
        if len(self._members) > _N_REMEMBERED:
            del self._members[next(iter(self._members))]

    def _oldest_ms(self) -> int:
        return int(1000 * (self._clock() - SCAN_TTL_S))

    def _ruleset(self, name: str) -> int:
        """Return the number of a ruleset, which is made where there is none yet."""
        found = self._db.row("select id from ruleset where name=?", check_name("ruleset", name))
        if found is None:
            self._db.run("insert into ruleset(name) values(?)", name)
            return self._ruleset(name)
        return int(found[0])

    def _scan(self, rules: int, name: str) -> tuple[int, bool]:
        """Return the number of a scan, which is made where there is none, and if it has entries."""
        sql = "select id, ms from scan where ruleset=? and name=?"
        found = self._db.row(sql, rules, check_name("scan", name))
        if found is None:
            oldest = self._clock() - SCAN_TTL_S
            self._forget_scans(
                "ruleset=? and coalesce(ms, 0)<? and touched<?", rules, 1000 * oldest, oldest
            )
            self._db.run(
                "insert into scan(ruleset, name, touched) values(?,?,?)",
                *(rules, name, self._clock()),
            )
            found = self._db.row(sql, rules, name)
        return int(found[0]), found[1] is not None

    def _known_scan(self, ruleset: str, name: str) -> int | None:
        found = self._db.row(
            "select scan.id from scan join ruleset on ruleset.id=ruleset where ruleset.name=? and "
            "scan.name=?",
            *(check_name("ruleset", ruleset), check_name("scan", name)),
        )
        return None if found is None else int(found[0])

    def _forget_scans(self, which: str, *values: Any) -> None:
        for table in ("member", "claim"):
            sql = f"delete from {table} where scan in (select id from scan where {which})"  # noqa: S608
            self._db.run(sql, *values)
        self._db.run(f"delete from scan where {which}", *values)  # noqa: S608
