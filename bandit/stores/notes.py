"""Notes of a scan: small JSON objects that one side writes and the other polls.

The *control* note is written by operators and read by the workers of the scan; the *status* note
goes the other way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from bandit.errors import CorruptStateError, InvalidInputError
from bandit.stores.codec import Json, check_json

MAX_NOTE_BYTES = 64 * 2**10

# Makes the next note from the present one. It may be called again where somebody else was faster.
Change = Callable[[dict[str, Any]], Mapping[str, Json]]


def dump_note(note: Mapping[str, Json]) -> bytes:
    """Return a note as JSON; refuses anything but a small, strict JSON object."""
    check_json(note)
    # UTF-8 as it is: a symbol in another script would take six bytes a letter escaped.
    raw = json.dumps(note, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    if len(raw) > MAX_NOTE_BYTES:
        raise InvalidInputError(f"a note of {len(raw)} bytes; at most 64 KiB fit.")
    return raw


def load_note(raw: bytes | None, *, where: str) -> dict[str, Any]:
    """Return a stored note, {} if there is none."""
    if raw is None:
        return {}
    try:
        note = json.loads(raw[: MAX_NOTE_BYTES + 1])
        check_json(note)
    except (ValueError, RecursionError) as err:
        raise CorruptStateError(f"{where}: it is not a scanrank note ({err}).") from err
    if not isinstance(note, dict):
        raise CorruptStateError(f"{where}: it is not a JSON object. It was not used.")
    return note
