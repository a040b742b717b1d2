"""Closes abandoned scans when the next scan of their ruleset starts, so that their outcomes count.

A scan stays open if its worker is killed, or if its last worker loses the store as it leaves. A
shared scan is abandoned once it has no lease and no recent report. Any other scan is abandoned
once the process that opened it has ended, or after a day. Resuming a closed scan adds to it.
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

# Newest scans of a ruleset to check; older ones were checked when later scans started.
_LATEST = 20
_LONGEST_S = 86_400.0
# A worker has no claims between a report and its next batch: not abandoned for this long.
_BETWEEN_BATCHES_S = 2.0


def opened_by(*, is_shared: bool, lease_s: float) -> dict[str, Any]:
    """Return the owner of a scan, as the open entry records it."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "lease_s": lease_s if is_shared else None,
    }


def close_abandoned_scans(learned: LearnedState, scan_id: str) -> list[str]:
    """Close abandoned scans other than `scan_id`; return their ids.

    If the store is unavailable, the next scan tries again.
    """
    if not learned.keeps_journal:  # a replay closes all its scans
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
                "scan %s was never closed; its %d of %d symbols are learned now",
                info.scan_id, info.n_reported, opened.header["n_symbols"],
            )  # fmt: skip
    except StoreError as err:
        log.debug("scans that were left are closed later: %s", err)
    return closed


def _opening(learned: LearnedState, info: ScanInfo) -> Entry | None:
    """Return the open entry of a scan; None if retention has deleted it."""
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
    if not isinstance(by, dict):  # the open entry has no owner
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
    """Whether the process that opened a scan has certainly ended; False for other machines."""
    if by.get("host") != socket.gethostname() or sys.platform == "win32":
        return False  # on Windows, os.kill would end the process
    try:
        os.kill(int(by["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # the id belongs to a process of another user
        return False
    return False
