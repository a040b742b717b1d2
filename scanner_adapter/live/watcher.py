"""Looks at a running scan from outside, through its store; survives the store's absence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bandit.errors import InvalidInputError, StoreError, StoreUnavailableError
from bandit.stores import ScanInfo, Store, store_from_url
from bandit.stores.names import position_key
from scanner_adapter.errors import InvalidNoteError
from scanner_adapter.live.screen import clock, duration
from scanner_adapter.live.status import LiveStatus

# Between two searches for a newer scan, which take two commands a ruleset.
SEARCH_S = 2.0
# A scanner writes every 5 s at least (`publisher.HEARTBEAT_S`); after three times that it is
# missed.
SILENT_S = 15.0


@dataclass(frozen=True)
class Sight:
    """What was seen: the latest status known, and what is the matter (empty: nothing)."""

    status: LiveStatus | None
    notice: str
    is_connected: bool


class ScanWatcher:
    """Follows one scan, or the newest one there is.

    Parameters
    ----------
    url : str
        Of the store; it may be away, now or later.
    ruleset : str, optional
        By default all are looked at.
    scan_id : str, optional
        By default the newest scan is followed, and the next one when it begins.
    """

    def __init__(self, url: str, ruleset: str | None = None, scan_id: str | None = None) -> None:
        self._url = url
        self._ruleset = ruleset
        self._of = "any ruleset" if ruleset is None else f"ruleset {ruleset}"
        self._scan_id = scan_id
        self._store: Store | None = None
        self._target: tuple[str, str] | None = None  # ruleset and scan
        self._next_search = float("-inf")
        self._status: LiveStatus | None = None
        self._away_since: float | None = None

    def look(self, now: float) -> Sight:
        """Return what is to be seen at `now` (seconds since 1970).

        Raises
        ------
        InvalidInputError
            For a scan that is not in the store.
        StoreRefusedError
            If the store does not let us in. One that is away is no error: it may come back.
        """
        try:
            notice = self._look(now)
        except StoreUnavailableError:
            self._away_since = self._away_since or now
            return Sight(
                self._status, f"disconnected since {clock(self._away_since)}, trying again", False
            )
        except InvalidNoteError as err:
            notice = str(err)
        self._away_since = None
        return Sight(self._status, notice, True)

    def close(self) -> None:
        """Release the store."""
        if self._store is not None:
            self._store.close()

    def _opened(self) -> Store:
        self._store = self._store or store_from_url(self._url)
        return self._store

    def _look(self, now: float) -> str:
        store = self._opened()
        if now >= self._next_search and not (self._scan_id and self._target):
            self._next_search = now + SEARCH_S
            found = self._search(store)
            if found != self._target:
                self._target, self._status = found, None
        if self._target is None:
            return f"no scan of {self._of} in {store.address} yet; waiting for one to start"
        ruleset, scan_id = self._target
        note = store.get_status(ruleset, scan_id)
        if not note:
            return f"scan {scan_id} of {ruleset} has published nothing (yet)"
        self._status = LiveStatus.from_json(note)
        silent_s = now - self._status.updated_at
        if self._status.state == "done" or silent_s < SILENT_S:
            return ""
        if any(scan.scan_id == scan_id and scan.is_closed for scan in store.list_scans(ruleset)):
            return "the scan has ended without publishing a final status"
        return f"no update for {duration(silent_s)}"

    def _search(self, store: Store) -> tuple[str, str] | None:
        rulesets = store.list_rulesets() if self._ruleset is None else [self._ruleset]
        if self._scan_id is None:
            newest = [(name, scan) for name in rulesets for scan in _listed(store, name, 1)]
            if not newest:
                return None
            name, scan = max(newest, key=lambda pair: position_key(pair[1].started))
            return name, scan.scan_id
        for name in rulesets:
            if any(scan.scan_id == self._scan_id for scan in _listed(store, name, 1000)):
                return name, self._scan_id
        raise InvalidInputError(
            f"scan {self._scan_id!r} does not belong to {self._of} in {store.address}; omit "
            "--scan to follow the newest"
        )


def _listed(store: Store, ruleset: str, limit: int) -> Iterable[ScanInfo]:
    try:
        return store.list_scans(ruleset, limit)
    except StoreUnavailableError:
        raise
    except StoreError:  # something foreign under its name: the other rulesets can be watched
        return ()
