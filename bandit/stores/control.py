"""The control note of a scan: a small JSON object that running workers poll."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bandit.errors import CorruptStateError, InvalidInputError
from bandit.stores.codec import Json, check_json

MAX_CONTROL_BYTES = 64 * 2**10


def dump_control(control: Mapping[str, Json]) -> bytes:
    """Return a control note as JSON, refusing what is no small strict JSON object."""
    check_json(control)
    raw = json.dumps(control, allow_nan=False, separators=(",", ":")).encode()
    if len(raw) > MAX_CONTROL_BYTES:
        raise InvalidInputError(f"a control note of {len(raw)} bytes; at most 64 KiB fit.")
    return raw


def load_control(raw: bytes | None, *, where: str) -> dict[str, Any]:
    """Return a stored control note, {} if there is none."""
    if raw is None:
        return {}
    try:
        control = json.loads(raw[: MAX_CONTROL_BYTES + 1])
        check_json(control)
    except (ValueError, RecursionError) as err:
        raise CorruptStateError(f"{where}: it is no control note of ours ({err}).") from err
    if not isinstance(control, dict):
        raise CorruptStateError(f"{where}: it is no JSON object. It was not used.")
    return control
