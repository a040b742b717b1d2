"""Scans that nobody closed: the next scan of their ruleset ends them, and what they found counts.

A worker that is killed, and the last of several that lost the store as it left, close nothing. When
the next scan starts, a shared scan ends here once none of its leases runs, any other one once the
process that opened it is gone, and both after a day. One that is resumed later adds to it.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from typing import Any

from bandit.errors import StoreError
from bandit.stores import Entry, ScanInfo
from bandit.stores.names import position_key
from scanner_adapter.state.learned_state import LearnedState

log = logging.getLogger("scanrank")

# Of a ruleset's newest scans so many are looked at; older ones were, when the next ones started.
_LATEST = 20
_LONGEST_S = 86_400.0
# A worker holds nothing between a report and its next batch: so long nobody takes it for gone.
_BETWEEN_BATCHES_S = 2.0


def opened_by(*, is_shared: bool, lease_s: float) -> dict[str, Any]:
    """Return what the open entry says of who runs the scan."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "lease_s": lease_s if is_shared else None,
    }


def close_abandoned_scans(learned: LearnedState, scan_id: str) -> list[str]:
    """End the scans that nobody will close, all but `scan_id`; return their ids.

    A store that is away is passed over: the scan after this one looks again.
    """
    if not learned.keeps_journal:  # a replay's scans are all closed
        return []
    closed = []
    try:
        for info in learned.store.list_scans(learned.ruleset, _LATEST):
            if info.is_closed or info.scan_id == scan_id:
                continue
            opened = _opening(learned, info)
            if opened is None or not _is_abandoned(learned, info, opened):
                continue
            learned.append(Entry(
                "", "close", info.scan_id,
                {
                    "scan_time": opened.header["scan_time"],
                    "mode": opened.header["mode"],
                    "n_scanned": info.n_reported,
                    "n_total": opened.header["n_symbols"],
                    "is_judged": info.n_reported > 0,
                    "was_left": True,
                },
                {}, (),
            ))  # fmt: skip
            closed.append(info.scan_id)
            log.warning(
                "scan %s was never closed; its %d of %d symbols are learned from now",
                info.scan_id, info.n_reported, opened.header["n_symbols"],
            )  # fmt: skip
    except StoreError as err:
        log.debug("scans that were left are closed later: %s", err)
    return closed


def _opening(learned: LearnedState, info: ScanInfo) -> Entry | None:
    """Return the entry that opened a scan; None where retention has deleted it."""
    started = position_key(info.started)
    before = f"{started[0]}-{started[1] - 1}" if started[1] else f"{max(started[0] - 1, 0)}-0"
    for entry in learned.store.read(learned.ruleset, after=before):
        if position_key(entry.position) > started:
            break
        if entry.scan_id == info.scan_id:
            return entry if entry.kind == "open" else None
    return None


def _is_abandoned(learned: LearnedState, info: ScanInfo, opened: Entry) -> bool:
    by = opened.header.get("by")
    if not isinstance(by, dict):  # whoever opened it said nothing of itself
        by = {}
    if by.get("lease_s") is None:
        age_s = time.time() - position_key(info.started)[0] / 1000.0
        return age_s > _LONGEST_S or _is_gone(by)
    if learned.store.claims(learned.ruleset, info.scan_id):
        return False
    last = info.started
    for entry in learned.store.read(learned.ruleset, after=info.started):
        if entry.scan_id == info.scan_id:
            last = entry.position
    silent_s = time.time() - position_key(last)[0] / 1000.0
    return silent_s > min(float(by["lease_s"]), _BETWEEN_BATCHES_S)


def _is_gone(by: dict[str, Any]) -> bool:
    """Whether the process that opened a scan has surely ended; of another machine nobody knows."""
    if by.get("host") != socket.gethostname() or sys.platform == "win32":
        return False  # there, asking about a process would end it
    try:
        os.kill(int(by["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's process has the number now, or still
        return False
    return False
