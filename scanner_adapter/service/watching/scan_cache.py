"""Scans that somebody looks at: one place per scan from which every answer about it is made.

A question is answered from what was read about a tenth of a second ago, so that the store is
asked no more often when five hundred ask than when one does.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict

from bandit.stores import ScanInfo, Store
from scanner_adapter.service.notes import find_scan, read_status, scan_of
from scanner_adapter.service.problems import NOT_FOUND, ProblemError
from scanner_adapter.service.schemas import Scan
from scanner_adapter.service.store_access import StoreAccess
from scanner_adapter.service.watching.scan_log import ScanResults

MAX_AGE_S = 0.1
STALE_S = 0.5  # what is older is not answered with, even while a newer answer is on its way
# A scanner that lives publishes at least every 5 s. After more silence, or without any status,
# the store is asked whether it knows the scan and whether that was closed, so often:
QUIET_S, INFO_AGE_S = 12.0, 2.0
MAX_KEPT = 16  # scans nobody streams, of which results are kept in memory


class CachedScan:
    """One scan: its notes, its results, and the notes as JSON bytes.

    `look` asks the store if what is known is older than `max_age_s`; questions at the same time
    share one look.
    """

    def __init__(self, access: StoreAccess, ruleset: str, scan_id: str) -> None:
        self.ruleset, self.scan_id = ruleset, scan_id
        self.log = ScanResults(ruleset, scan_id)
        self.scan: Scan | None = None
        self.json = b""
        self.n_users = 0  # event channels that need it
        self._access = access
        self._lock = asyncio.Lock()
        self._info: ScanInfo | None = None
        self._asked_at = float("-inf")
        self._looked_at = {False: float("-inf"), True: float("-inf")}

    async def look(self, *, with_log: bool, max_age_s: float = MAX_AGE_S) -> Scan | None:
        """Return the current state of the scan; None if the id is unknown.

        Parameters
        ----------
        with_log : bool
            Whether its results are read as well; the first time that takes a second for 100,000.
        max_age_s : float
            0: ask the store in any case.

        Raises
        ------
        StoreError
        """
        age_s = time.monotonic() - self._looked_at[with_log]
        # While one asks the store the others need not wait for the answer, unless they must know.
        is_fresh = age_s <= max_age_s or (max_age_s and self._lock.locked() and age_s < STALE_S)
        if not is_fresh:
            async with self._lock:
                if time.monotonic() - self._looked_at[with_log] > max_age_s:
                    await self._access.call(lambda store: self._read(store, with_log))
                    now = time.monotonic()
                    self._looked_at[False] = now
                    if with_log:
                        self._looked_at[True] = now
        return self.scan

    def forget(self) -> None:
        """Let the next question ask the store: something was just changed."""
        self._looked_at = dict.fromkeys(self._looked_at, float("-inf"))

    def _read(self, store: Store, with_log: bool) -> None:
        # Notes first: a status "done" then comes with every result that was reported before it.
        status = read_status(store, self.ruleset, self.scan_id)
        control = store.get_control(self.ruleset, self.scan_id)
        is_quiet = status is None or time.time() - status.updated_at > QUIET_S
        info = self._remembered(store) if is_quiet else None
        scan = scan_of(self.ruleset, self.scan_id, status, info, control)
        if with_log and scan is not None:
            self.log.refresh(store)
        if scan is not None and self.log.closed_at is not None and not scan.is_closed:
            scan = scan.model_copy(update={"is_closed": True})
        self.scan = scan
        self.json = b"" if scan is None else scan.model_dump_json().encode()

    def _remembered(self, store: Store) -> ScanInfo | None:
        """Return what the store itself remembers; found by its latest scans, so not every time."""
        if time.monotonic() - self._asked_at > INFO_AGE_S:
            self._info = find_scan(store, self.ruleset, self.scan_id)
            self._asked_at = time.monotonic()
        return self._info

    @property
    def hit_limit(self) -> float | None:
        """Rating from which a result is high-value now, None where rewards say so."""
        status = None if self.scan is None else self.scan.status
        return None if status is None else status.hit_limit


class ScanCache:
    """The scans asked for lately; those nobody streams are forgotten, the oldest first."""

    def __init__(self, access: StoreAccess) -> None:
        self._access = access
        self._scans: OrderedDict[tuple[str, str], CachedScan] = OrderedDict()

    def get(self, ruleset: str, scan_id: str) -> CachedScan:
        """Return the place of a scan, whether or not there is one of this id."""
        key = (ruleset, scan_id)
        watched = self._scans.get(key)
        if watched is None:
            watched = self._scans[key] = CachedScan(self._access, ruleset, scan_id)
            idle = [key for key, kept in self._scans.items() if not kept.n_users]
            for old in idle[:-MAX_KEPT]:
                del self._scans[old]
        self._scans.move_to_end(key)
        return watched

    async def known(
        self, ruleset: str, scan_id: str, *, with_log: bool = False, max_age_s: float = MAX_AGE_S
    ) -> tuple[CachedScan, Scan]:
        """Return a scan's place and the scan.

        Raises
        ------
        ProblemError
            404 if the id is unknown.
        StoreError
        """
        watched = self.get(ruleset, scan_id)
        scan = await watched.look(with_log=with_log, max_age_s=max_age_s)
        if scan is None:
            raise no_scan(ruleset, scan_id)
        return watched, scan


def no_scan(ruleset: str, scan_id: str) -> ProblemError:
    """Return the problem of a scan that is not there."""
    return ProblemError(
        NOT_FOUND,
        f"scan {scan_id!r} of ruleset {ruleset!r} is not in the store; see "
        f"/api/v1/rulesets/{ruleset}/scans",
    )
