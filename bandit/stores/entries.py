"""Journal entries and snapshots as blobs: what goes into the header beside the caller's own.

Scan, kind and arms are inside the blob, so that the checksum covers them. Which rows were accepted
is decided by the store after the blob was made, and travels beside it as a mask with its own check.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.errors import CorruptStateError, IncompatibleStateError, InvalidInputError
from bandit.stores.base import Entry, Snapshot
from bandit.stores.codec import Array, Json, decode, encode
from bandit.stores.names import check_arms, check_name, position_key

ENTRY_VERSION = 1
EVENT_KINDS = ("open", "close")

_ENTRY_FIELDS = {"entry", "kind", "scan", "arms", "header"}
_SNAPSHOT_FIELDS = {"snapshot", "version", "position", "header"}


def encode_report(
    scan_id: str, arms: tuple[str, ...], header: Mapping[str, Json], arrays: Mapping[str, Array]
) -> bytes:
    """Return the blob of a report; every array's first axis must be the arms'."""
    if not arms:
        raise InvalidInputError("a report without arms; expected at least one.")
    for name, array in arrays.items():
        shape = np.shape(array)
        if not shape or shape[0] != len(arms):
            raise InvalidInputError(
                f"array {name!r} has shape {shape}; its first axis must be the {len(arms)} arms."
            )
    return _encode_entry("report", scan_id, arms, header, arrays)


def encode_event(
    scan_id: str, kind: str, header: Mapping[str, Json], arrays: Mapping[str, Array]
) -> bytes:
    """Return the blob of an opening or closing."""
    if kind not in EVENT_KINDS:
        raise InvalidInputError(f"event kind {kind!r}; expected one of {', '.join(EVENT_KINDS)}.")
    return _encode_entry(kind, scan_id, (), header, arrays)


def _encode_entry(
    kind: str,
    scan_id: str,
    arms: Sequence[str],
    header: Mapping[str, Json],
    arrays: Mapping[str, Array],
) -> bytes:
    envelope: dict[str, Json] = {
        "entry": ENTRY_VERSION,
        "kind": kind,
        "scan": scan_id,
        "arms": list(arms),
        "header": header,
    }
    return encode(envelope, arrays)


def decode_entry(blob: bytes, position: str, mask: bytes, *, where: str) -> Entry:
    """Return the entry, reduced to the accepted rows.

    Parameters
    ----------
    mask : bytes
        One ``0`` or ``1`` per arm, a colon, the start of its SHA-1; empty if all were accepted.

    Raises
    ------
    CorruptStateError, IncompatibleStateError
    """
    envelope, arrays = decode(blob, where=where)
    version = envelope.get("entry")
    if isinstance(version, int) and version > ENTRY_VERSION:
        raise IncompatibleStateError(
            f"{where}: journal entry version {version}, and this scanrank reads up to "
            f"{ENTRY_VERSION}. A newer scanrank wrote it: upgrade this one."
        )
    arms, kind, header = envelope.get("arms"), envelope.get("kind"), envelope.get("header")
    if (
        envelope.keys() != _ENTRY_FIELDS
        or version != ENTRY_VERSION
        or not isinstance(arms, list)
        or not isinstance(header, dict)
        or kind not in ("report", *EVENT_KINDS)
        or (kind == "report") != bool(arms)
    ):
        raise CorruptStateError(f"{where}: it is no journal entry of ours. It was not used.")
    try:
        scan_id, names = check_name("scan", str(envelope.get("scan"))), check_arms(arms)
    except InvalidInputError as err:
        raise CorruptStateError(f"{where}: {err} It was not used.") from err
    if kind == "report" and any(a.ndim == 0 or len(a) != len(names) for a in arrays.values()):
        raise CorruptStateError(f"{where}: an array has not one row per arm. It was not used.")
    if mask:
        rows = np.flatnonzero(_read_mask(mask, len(names), where))
        names = tuple(names[row] for row in rows)
        arrays = {name: _frozen(array[rows]) for name, array in arrays.items()}
    return Entry(position, kind, scan_id, header, arrays, names)


def write_mask(accepted: NDArray[np.bool_]) -> bytes:
    """Return the mask of a report with some rows refused (the Lua script writes the same)."""
    bits = b"".join(b"1" if bit else b"0" for bit in accepted)
    return bits + b":" + hashlib.sha1(bits, usedforsecurity=False).hexdigest()[:8].encode()


def _read_mask(mask: bytes, n_arms: int, where: str) -> NDArray[np.bool_]:
    bits: NDArray[np.bool_] = np.frombuffer(mask[:n_arms], dtype=np.uint8) == ord("1")
    if len(bits) != n_arms or write_mask(bits) != mask:
        raise CorruptStateError(f"{where}: its mask of accepted rows is damaged. It was not used.")
    return bits


def _frozen(array: Array) -> Array:
    array.setflags(write=False)
    return array


def encode_snapshot(
    version: int, position: str, header: Mapping[str, Json], arrays: Mapping[str, Array]
) -> bytes:
    """Return the blob of a snapshot; version and position are inside the checksum."""
    position_key(position)
    envelope: dict[str, Json] = {
        "snapshot": ENTRY_VERSION,
        "version": version,
        "position": position,
        "header": header,
    }
    return encode(envelope, arrays)


def decode_snapshot(blob: bytes, *, where: str) -> Snapshot:
    """Return the snapshot in a blob, or raise as `decode_entry` does."""
    envelope, arrays = decode(blob, where=where)
    made: Any = envelope.get("snapshot")
    if isinstance(made, int) and made > ENTRY_VERSION:
        raise IncompatibleStateError(
            f"{where}: snapshot version {made}, and this scanrank reads up to {ENTRY_VERSION}. "
            "A newer scanrank wrote it: upgrade this one."
        )
    version, position = envelope.get("version"), envelope.get("position")
    header = envelope.get("header")
    if (
        envelope.keys() != _SNAPSHOT_FIELDS
        or made != ENTRY_VERSION
        or type(version) is not int
        or not isinstance(position, str)
        or not isinstance(header, dict)
    ):
        raise CorruptStateError(f"{where}: it is no snapshot of ours. It was not used.")
    try:
        position_key(position)
    except InvalidInputError as err:
        raise CorruptStateError(f"{where}: {err} It was not used.") from err
    return Snapshot(version, position, header, arrays)
