"""Changes that happen once: a replayed request is refused, on whichever server it arrives.

The keys of the latest changes stand in the scan's control note, written in the same step as the
change itself, so that no two servers can both find a key new.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from scanner_adapter.live.control import Change
from scanner_adapter.service.problems import REPLAYED, ProblemError

FIELD = "applied"  # of the control note: digest of a key -> who applied it
KEPT = 64  # keys per scan


def once(key: str | None, change: Change) -> Change:
    """Return `change`, refusing when `key` was applied to this scan before.

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
