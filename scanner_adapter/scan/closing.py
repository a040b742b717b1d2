"""Closes a scan: the close entry in the journal, and the snapshot of the belief."""

from __future__ import annotations

import logging
from typing import Any

from bandit.stores import Entry
from scanner_adapter.ledger import Ledger
from scanner_adapter.scan.session import ScanSession
from scanner_adapter.scan.worker import WorkerLeases

log = logging.getLogger("scanrank")

# A stopped scan's close entry lists at most this many remaining symbols (about 7 bytes each).
_MOST_LEFT = 20_000


def save_scan(
    session: ScanSession, ledger: Ledger, leases: WorkerLeases | None, rollout: float | None
) -> tuple[str, bool]:
    """Journal the end, learn from the scan as a whole, and write a snapshot.

    Returns
    -------
    status : str
        "saved", or what went wrong with the store.
    is_done : bool
        Whether the scan is over: no other worker continues it.
    """
    learned = session.learned
    # Release the leases first: otherwise two workers that end together each see the other's
    # leases, and neither closes the scan.
    is_last = leases is None or leases.leave()
    if learned is None or (open_scan := session.open_scan) is None:
        return "nothing to save", leases is None
    try:
        if leases is not None:
            session.read_others(leases)
        session.journal_rest(learned, open_scan)
        before = learned.belief.standing.fallback
        header = _close_header(session, ledger, rollout)
        is_closed = is_last
        if is_last:
            entry = Entry("", "close", session.scan_id, header, {}, ())
            closed = learned.append(entry, session.on_entry)
            is_closed = leases is None or bool(closed.accepted.all())
        _log_fallback(learned.ruleset, before, learned.belief.standing.fallback)
        if is_last and not is_closed:
            return learned.store_trouble() or "saved by another worker", is_last
        is_first = learned.snapshot()
    except Exception as error:
        log.warning("scan %s was not saved completely: %s", session.scan_id, error)
        return f"not saved: {error}", is_last
    if not is_last:  # the others' reports are still to come
        return learned.store_trouble() or "saved; other workers continue the scan", is_last
    return learned.store_trouble() or ("saved" if is_first else "saved by another worker"), is_last


def _close_header(session: ScanSession, ledger: Ledger, rollout: float | None) -> dict[str, Any]:
    """Return the header of the close entry; `state.comparison` reads the early hits from it."""
    left, open_scan = session.left, session.open_scan
    judged = session.judged()
    hits, by_start = session.are_hits(ledger.order), session.early_by_start
    return {
        "scan_time": session.scan_time,
        "mode": session.mode,
        "rollout": rollout,
        "found_early": int(hits[: session.n_early].sum()) if hits.size >= session.n_early else None,
        "would_find_early": (
            int(session.are_hits(by_start).sum())
            if by_start is not None and session.mode == "shadow" and not left
            else None
        ),
        "judged": None if judged is None else judged.to_json(),
        "fallback": (open_scan.fallback or None) if open_scan is not None else None,
        "first_hit_s": float(ledger.elapsed_s[int(hits.argmax())]) if hits.any() else None,
        **(open_scan.closing() if open_scan is not None else {}),
        "left": left if len(left) <= _MOST_LEFT else None,
    }


def _log_fallback(ruleset: str, before: str, now: str) -> None:
    """Log once when the ranker falls back to another order, or returns to its own."""
    if now and now != before:
        log.warning(
            "ruleset %s: in the latest scans the ranker's own order found fewer early hits than %s "
            "would have; the next scans use that order until the ranker's has caught "
            "up", ruleset, now,
        )  # fmt: skip
    elif before and not now:
        log.warning("ruleset %s: the ranker's own order has caught up with %s", ruleset, before)
