"""A scan as its notes describe it: status from the scanner, control from operators.

What stands in the store was written by some other process and is checked here, once per change; a
note that does not fit counts as none, with a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from bandit.stores import ScanInfo, Store
from bandit.stores.names import position_key
from scanner_adapter.errors import InvalidNoteError
from scanner_adapter.jsonio import finite_or_none
from scanner_adapter.live.control import ScanControl
from scanner_adapter.live.status import LiveStatus
from scanner_adapter.service.schemas import Scan, ScanBrief

# How far back a scan without status is looked for.
RECENT_SCANS = 100

log = logging.getLogger("scanrank.service")


def read_status(store: Store, ruleset: str, scan_id: str) -> LiveStatus | None:
    """Return the status note of a scan; None if there is none, or none that can be read."""
    return _status(store.get_status(ruleset, scan_id), ruleset, scan_id)


def _status(note: Mapping[str, Any], ruleset: str, scan_id: str) -> LiveStatus | None:
    if not note:
        return None
    try:
        return LiveStatus.from_json(note)
    except InvalidNoteError as err:
        log.warning("the status of scan %s of %s is not used: %s", scan_id, ruleset, err)
        return None


def control_of(note: Mapping[str, Any]) -> ScanControl:
    """Return what a control note asks for; of one that is not ours, nothing."""
    try:
        return ScanControl.from_json(note)
    except InvalidNoteError as err:
        log.warning("a control note is not used: %s", err)
        return ScanControl()


def find_scan(store: Store, ruleset: str, scan_id: str) -> ScanInfo | None:
    """Return what the store remembers of a scan, None if it is not among the latest."""
    for info in store.list_scans(ruleset, RECENT_SCANS):
        if info.scan_id == scan_id:
            return info
    return None


def scan_of(
    ruleset: str,
    scan_id: str,
    status: LiveStatus | None,
    info: ScanInfo | None,
    control: Mapping[str, Any],
) -> Scan | None:
    """Put together what is known of a scan; None if that is nothing.

    Parameters
    ----------
    info : ScanInfo, optional
        What the store itself remembers.
    """
    if status is None and info is None:
        return None
    started_at, n_scanned, is_closed = 0.0, 0, False
    if info is not None:
        started_at, n_scanned = seconds_of(info.started), info.n_reported
        is_closed = info.is_closed
    if status is not None:
        started_at, n_scanned = status.started_at, max(n_scanned, status.n_scanned)
        is_closed = is_closed or status.state == "done"
    return Scan(
        ruleset=ruleset, scan_id=scan_id, started_at=started_at, n_scanned=n_scanned,
        is_closed=is_closed, status=status, control=control_of(control),
    )  # fmt: skip


def read_scans(store: Store, ruleset: str, limit: int) -> list[ScanBrief]:
    """Return the latest scans, newest first."""
    scans = store.list_scans(ruleset, limit)
    return _briefs(store, [(ruleset, info) for info in scans])


def read_newest_scans(store: Store, rulesets: Sequence[str]) -> dict[str, ScanBrief]:
    """Return the newest scan of each ruleset that has one; three round trips in all."""
    newest = zip(rulesets, store.newest_scans(rulesets), strict=True)
    scans = [(ruleset, info) for ruleset, info in newest if info is not None]
    briefs = _briefs(store, scans)
    return {ruleset: brief for (ruleset, _), brief in zip(scans, briefs, strict=True)}


def _briefs(store: Store, scans: Sequence[tuple[str, ScanInfo]]) -> list[ScanBrief]:
    notes = store.get_statuses([(ruleset, info.scan_id) for ruleset, info in scans])
    return [
        _brief(info, _status(note, ruleset, info.scan_id))
        for (ruleset, info), note in zip(scans, notes, strict=True)
    ]


def _brief(info: ScanInfo, status: LiveStatus | None) -> ScanBrief:
    if status is None:
        return ScanBrief(
            scan_id=info.scan_id, started_at=seconds_of(info.started), n_scanned=info.n_reported,
            is_closed=info.is_closed, state="done" if info.is_closed else "unknown", mode=None,
            n_symbols=None, n_hits=None, recall=None, stopped=None, updated_at=None,
        )  # fmt: skip
    is_closed = info.is_closed or status.state == "done"
    return ScanBrief(
        scan_id=info.scan_id, started_at=status.started_at,
        n_scanned=max(info.n_reported, status.n_scanned), is_closed=is_closed,
        state="done" if is_closed else status.state, mode=status.mode,
        n_symbols=status.n_symbols, n_hits=status.n_hits,
        recall=None if status.estimate is None else finite_or_none(status.estimate.recall),
        stopped=status.stopped,
        updated_at=status.updated_at,
    )  # fmt: skip


def seconds_of(position: str) -> float:
    """Return the time of a journal position, seconds since 1970.

    Examples
    --------
    >>> seconds_of("1700000000250-3")
    1700000000.25
    """
    return position_key(position)[0] / 1000
