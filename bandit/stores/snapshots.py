"""Snapshots as blobs: version and journal position are inside the checksum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bandit.errors import CorruptStateError, IncompatibleStateError, InvalidInputError
from bandit.stores.base import Snapshot
from bandit.stores.codec import Array, Json, decode, encode
from bandit.stores.names import position_key

SNAPSHOT_VERSION = 1

_FIELDS = {"snapshot", "version", "position", "header"}


def encode_snapshot(
    version: int, position: str, header: Mapping[str, Json], arrays: Mapping[str, Array]
) -> bytes:
    """Return the blob of a snapshot."""
    position_key(position)
    envelope: dict[str, Json] = {
        "snapshot": SNAPSHOT_VERSION,
        "version": version,
        "position": position,
        "header": header,
    }
    return encode(envelope, arrays)


def decode_snapshot(blob: bytes, *, where: str) -> Snapshot:
    """Return the snapshot in a blob.

    Raises
    ------
    CorruptStateError, IncompatibleStateError
    """
    envelope, arrays = decode(blob, where=where)
    made: Any = envelope.get("snapshot")
    if isinstance(made, int) and made > SNAPSHOT_VERSION:
        raise IncompatibleStateError(
            f"{where}: snapshot version {made}, and this scanrank reads up to {SNAPSHOT_VERSION}. "
            "A newer scanrank wrote it: upgrade this one."
        )
    version, position = envelope.get("version"), envelope.get("position")
    header = envelope.get("header")
    if (
        envelope.keys() != _FIELDS
        or made != SNAPSHOT_VERSION
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
