"""A scan as its notes describe it: status from the scanner, control from operators.

What stands in the store was written by some other process and is checked here, once per change; a
note that does not fit counts as none, with a warning.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from bandit.stores import ScanInfo, Store
from bandit.stores.names import START, position_key
from scanner_adapter.errors import InvalidNoteError
from scanner_adapter.jsonio import finite_or_none
from scanner_adapter.live.control import Change, ScanControl
from scanner_adapter.live.status import LiveStatus
from scanner_adapter.service.problems import REPLAYED, ProblemError
from scanner_adapter.service.schemas import Scan, ScanBrief

# How far back a scan without status is looked for.
RECENT_SCANS = 100

log = logging.getLogger("scanrank.service")


def read_status(store: Store, ruleset: str, scan_id: str) -> LiveStatus | None:
    """Return the status note of a scan; None if there is none, or none that can be read."""
    return _status(store.get_status(ruleset, scan_id), ruleset, scan_id)


def _status(note: Mapping[str, Any], ruleset: str, scan_id: str) -> LiveStatus | None:
    try:
        return LiveStatus.from_json(note) if note else None
    except InvalidNoteError as err:
        log.warning("the status of scan %s of %s is ignored: %s", scan_id, ruleset, err)
        return None


def control_of(note: Mapping[str, Any]) -> ScanControl:
    """Return what a control note asks for; of one that is not ours, nothing."""
    try:
        return ScanControl.from_json(note)
    except InvalidNoteError as err:
        log.warning("a control document is ignored: %s", err)
        return ScanControl()


def find_scan(store: Store, ruleset: str, scan_id: str) -> ScanInfo | None:
    """Return what the store remembers of a scan, None if it is not among the latest."""
    latest = store.list_scans(ruleset, RECENT_SCANS)
    return next((info for info in latest if info.scan_id == scan_id), None)


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
    known = _counts(info, status)
    return Scan(
        ruleset=ruleset, scan_id=scan_id, status=status, control=control_of(control), **known
    )


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
    known = _counts(info, status)
    for name in ("mode", "n_symbols", "n_hits", "stopped", "updated_at"):
        known[name] = getattr(status, name, None)  # None without a status
    state = "unknown" if status is None else status.state
    estimate = None if status is None else status.estimate
    return ScanBrief(
        scan_id=info.scan_id,
        state="done" if known["is_closed"] else state,
        recall=None if estimate is None else finite_or_none(estimate.recall),
        **known,
    )


def _counts(info: ScanInfo | None, status: LiveStatus | None) -> dict[str, Any]:
    """Return what the store and the scanner both know of a scan; one of them may be missing."""
    n_scanned = [0 if info is None else info.n_reported, 0 if status is None else status.n_scanned]
    started = seconds_of(START if info is None else info.started)
    return {
        "started_at": started if status is None else status.started_at,
        "n_scanned": max(n_scanned),
        "is_closed": bool((info and info.is_closed) or (status and status.state == "done")),
    }


def seconds_of(position: str) -> float:
    """Return the time of a journal position, seconds since 1970.

    Examples
    --------
    >>> seconds_of("1700000000250-3")
    1700000000.25
    """
    return position_key(position)[0] / 1000


def past(position: str) -> str:
    """Return the position just before `position`, for reading the entry that stands there.

    Examples
    --------
    >>> past("1700000000000-2"), past("1700000000000-0"), past(START)
    ('1700000000000-1', '1699999999999-18446744073709551615', '0-0')
    """
    milliseconds, sequence = position_key(position)
    if sequence:
        return f"{milliseconds}-{sequence - 1}"
    return f"{milliseconds - 1}-{2**64 - 1}" if milliseconds else START


FIELD = "applied"  # of the control note: digest of a key -> who applied it
KEPT = 64  # keys per scan


def once(key: str | None, change: Change) -> Change:
    """Return `change`, refusing when `key` was applied to this scan before, by any server.

    The latest keys are written into the control note in the same step as the change itself, so
    that no two servers can both find a key new.

    Raises
    ------
    ProblemError
        409, from the change; nothing is written then.
    """
    if key is None:
        return change
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    mine = secrets.token_hex(4)  # `update_control` may ask again after its write arrived

    def changed(note: dict[str, Any]) -> dict[str, Any]:
        found = note.get(FIELD)
        applied = found if isinstance(found, dict) else {}
        if applied.get(digest) == mine:
            return note
        if digest in applied:
            raise ProblemError(
                REPLAYED, f"Idempotency-Key {key[:80]!r} was used before; nothing was changed"
            )
        latest = dict(list(applied.items())[-(KEPT - 1) :])
        return {**change(note), FIELD: {**latest, digest: mine}}

    return changed
