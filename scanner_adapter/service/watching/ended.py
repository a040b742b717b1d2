"""A message for each scan that ends while the service runs: what it found, and a link."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from bandit.errors import StoreError
from bandit.stores import Store
from scanner_adapter.live.notify import Notifier
from scanner_adapter.service.notes import read_scans, read_status
from scanner_adapter.service.schemas import ScanBrief
from scanner_adapter.service.store_access import StoreAccess

LOOK_S = 5.0
LATEST = 10  # scans of a ruleset that are looked at: those that began within one look
N_NAMED = 5  # hits

log = logging.getLogger("scanrank.service")


class EndedScans:
    """Finds scans that ended since the last look.

    Parameters
    ----------
    page : str
        Address of the live page.
    """

    def __init__(self, page: str) -> None:
        self._page = page.rstrip("/")
        self._closed: set[tuple[str, str]] | None = None  # None = before the first look

    def look(self, store: Store) -> list[str]:
        """Return a line for each scan that ended since; what had ended before is no news.

        Raises
        ------
        StoreError
        """
        closed, lines = set(), []
        for ruleset in store.list_rulesets():
            for scan in read_scans(store, ruleset, LATEST):
                if scan.is_closed:
                    closed.add((ruleset, scan.scan_id))
                    if self._closed is not None and (ruleset, scan.scan_id) not in self._closed:
                        lines.append("; ".join(self._parts(store, ruleset, scan)))
        self._closed = closed
        return lines

    def _parts(self, store: Store, ruleset: str, scan: ScanBrief) -> Iterator[str]:
        of = "" if scan.n_symbols is None else f" of {scan.n_symbols:,}"
        found = "" if scan.n_hits is None else f"{scan.n_hits:.0f} high-value in "
        yield f"{ruleset}: {found}{scan.n_scanned:,}{of} symbols"
        status = read_status(store, ruleset, scan.scan_id)
        if status is not None and status.newest_hits:
            hits = sorted(status.newest_hits, key=lambda hit: -(hit.rating or 0.0))[:N_NAMED]
            yield "best: " + ", ".join(
                hit.symbol if hit.rating is None else f"{hit.symbol} {hit.rating:.4g}"
                for hit in hits
            )
        if scan.stopped:
            yield f"stopped: {scan.stopped}"
        yield f"{self._page}/#{ruleset}/{scan.scan_id}"


async def announce(access: StoreAccess, notifier: Notifier, page: str) -> None:
    """Look for scans that ended until cancelled; a store that is away is asked again."""
    ended = EndedScans(page)
    while True:
        try:
            for line in await access.call(ended.look):
                notifier.add(line)
        except StoreError as error:
            log.debug("ended scans could not be checked: %s", error)
        await asyncio.sleep(LOOK_S)
