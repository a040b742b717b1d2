"""Snapshots as blobs: version and journal position are inside the checksum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bandit.errors import CorruptStateError, InvalidInputError
from bandit.stores.codec import Array, Json, decode_versioned, encode
from bandit.stores.names import position_key

SNAPSHOT_VERSION = 1

_FIELDS = {"snapshot", "version", "position", "header"}


@dataclass(frozen=True)
class Snapshot:
    """Posterior state folded up to and including journal `position`."""

    version: int  # 1, 2, ... for compare-and-set
    position: str
    header: dict[str, Any]
    arrays: dict[str, Array]  # read-only


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
    envelope, arrays = decode_versioned(
        blob, where=where, what="snapshot", name="snapshot", newest=SNAPSHOT_VERSION,
        fields=_FIELDS,
    )  # fmt: skip
    version, position = envelope["version"], envelope["position"]
    if type(version) is not int or not isinstance(position, str):
        raise CorruptStateError(f"{where}: it is not a scanrank snapshot. It was not used.")
    try:
        position_key(position)
    except InvalidInputError as err:
        raise CorruptStateError(f"{where}: {err} It was not used.") from err
    return Snapshot(version, position, envelope["header"], arrays)
