"""Scans on a server: claims with their leases, and the two notes of a scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bandit.checks import as_arms
from bandit.stores.base import SCAN_TTL_S, Store
from bandit.stores.codec import Json
from bandit.stores.names import check_lease, check_name
from bandit.stores.notes import Change, dump_note, load_note
from bandit.stores.redis.commands import RedisCommands
from bandit.stores.redis.keys import scan_key

CLAIM_PAGE = 1024  # preferred arms per round trip; the first page nearly always suffices


class RedisScans(RedisCommands, Store):
    """The part of a `RedisStore` about scans that workers share and operators watch."""

    # -- shared scans --------------------------------------------------------------------------

    def reported(self, ruleset: str, scan_id: str) -> set[str]:
        """See `Store`."""
        return {
            arm.decode() for arm in self._call("SMEMBERS", scan_key(ruleset, scan_id, "reported"))
        }

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
        """See `Store`. Each page of the preference list is claimed atomically."""
        check_name("worker", worker)
        names = as_arms(arms)
        keys = (scan_key(ruleset, scan_id, "reported"), scan_key(ruleset, scan_id, "claims"))
        taken: list[str] = []
        for first in range(0, len(names), CLAIM_PAGE):
            if len(taken) >= k:
                break
            page = names[first : first + CLAIM_PAGE]
            reply = self._run(
                "claim", keys, worker, k - len(taken), _ms(lease_s), SCAN_TTL_S, *page
            )
            taken.extend(arm.decode() for arm in reply)
        return taken

    def claims(self, ruleset: str, scan_id: str) -> dict[str, str]:
        """See `Store`."""
        reply = self._run("claims", (scan_key(ruleset, scan_id, "claims"),))
        names = [name.decode() for name in reply]
        return dict(zip(names[::2], names[1::2], strict=True))

    def renew(
        self, ruleset: str, scan_id: str, worker: str, arms: Sequence[str], *, lease_s: float
    ) -> list[str]:
        """See `Store`."""
        check_name("worker", worker)
        keys = (scan_key(ruleset, scan_id, "claims"),)
        reply = self._run("renew", keys, worker, _ms(lease_s), *as_arms(arms))
        return [arm.decode() for arm in reply]

    def release(self, ruleset: str, scan_id: str, worker: str, arms: Sequence[str]) -> bool:
        """See `Store`."""
        check_name("worker", worker)
        keys = (scan_key(ruleset, scan_id, "claims"),)
        return bool(self._run("release", keys, worker, *as_arms(arms)))

    def update_control(self, ruleset: str, scan_id: str, change: Change) -> dict[str, Any]:
        """See `Store`. Two round trips, and one more for every time that another was faster."""
        key = scan_key(ruleset, scan_id, "control")
        found: bytes = self._call("GET", key) or b""
        while True:
            raw = dump_note(change(load_note(found or None, where=key)))
            newer = self._run("replace_note", (key,), found, raw, SCAN_TTL_S)
            if newer is None:
                return load_note(raw, where=key)
            found = newer  # each time that we lose somebody else has won: this ends

    def get_statuses(self, scans: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """See `Store`."""
        keys = [scan_key(ruleset, scan_id, "status") for ruleset, scan_id in scans]
        raw = self._call_all([("GET", key) for key in keys])
        return [load_note(note, where=key) for key, note in zip(keys, raw, strict=True)]

    def _put_note(self, which: str, ruleset: str, scan_id: str, note: Mapping[str, Json]) -> None:
        key = scan_key(ruleset, scan_id, which)
        self._call("SET", key, dump_note(note), "EX", SCAN_TTL_S)

    def _get_note(self, which: str, ruleset: str, scan_id: str) -> dict[str, Any]:
        key = scan_key(ruleset, scan_id, which)
        return load_note(self._call("GET", key), where=key)


def _ms(lease_s: float) -> int:
    """Return a lease in the milliseconds that the scripts want."""
    return max(1, round(1000 * check_lease(lease_s)))
