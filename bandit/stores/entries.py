"""Journal entries as blobs: what goes into the header beside the caller's own.

Scan, kind and arms are inside the blob, so that the checksum covers them and a spooled blob says
itself where it belongs. Which rows were accepted is decided by the store after the blob was made,
and travels beside it as a mask with its own check.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.checks import as_arms
from bandit.errors import CorruptStateError, InvalidInputError
from bandit.stores.codec import Array, Json, decode_versioned, encode
from bandit.stores.names import check_name

ENTRY_VERSION = 1
EVENT_KINDS = ("open", "close")

_FIELDS = {"entry", "kind", "scan", "arms", "header"}


@dataclass(frozen=True)
class Entry:
    """One journal entry: a report of outcomes, or the opening or closing of a scan."""

    position: str
    kind: str  # "open", "report" or "close"
    scan_id: str
    header: dict[str, Any]
    arrays: dict[str, Array]  # read-only; for a report, first axis = `arms`
    arms: tuple[str, ...]  # of a report: the arms whose first outcome this is


@dataclass(frozen=True)
class Sealed:
    """An entry ready to be appended: its blob, and what a store has to know about it."""

    scan_id: str
    kind: str  # "open", "report" or "close"
    arms: tuple[str, ...]  # of a report
    blob: bytes

    @property
    def members(self) -> tuple[str, ...]:
        """What must not have been seen in this scan: the arms of a report, the kind of an event."""
        return self.arms or (self.kind,)


def seal_report(
    scan_id: str,
    arms: Sequence[str],
    header: Mapping[str, Json],
    arrays: Mapping[str, Array],
) -> Sealed:
    """Return the entry of a report; every array's first axis must be the arms'."""
    names = as_arms(arms)
    if not names:
        raise InvalidInputError("a report without symbols; expected at least one.")
    for name, array in arrays.items():
        shape = np.shape(array)
        if not shape or shape[0] != len(names):
            raise InvalidInputError(
                f"array {name!r} has shape {shape}; expected {len(names)} rows, one per symbol."
            )
    return _seal("report", scan_id, names, header, arrays)


def seal_event(
    scan_id: str, kind: str, header: Mapping[str, Json], arrays: Mapping[str, Array]
) -> Sealed:
    """Return the entry of an opening or closing."""
    if kind not in EVENT_KINDS:
        raise InvalidInputError(f"event kind {kind!r}; expected one of {', '.join(EVENT_KINDS)}.")
    return _seal(kind, scan_id, (), header, arrays)


def _seal(
    kind: str,
    scan_id: str,
    arms: tuple[str, ...],
    header: Mapping[str, Json],
    arrays: Mapping[str, Array],
) -> Sealed:
    envelope: dict[str, Json] = {
        "entry": ENTRY_VERSION,
        "kind": kind,
        "scan": check_name("scan", scan_id),
        "arms": arms,
        "header": header,
    }
    return Sealed(scan_id, kind, arms, encode(envelope, arrays))


def split(entry: Sealed) -> tuple[Sealed, ...]:
    """Return a report as two of half its arms; nothing where that is impossible."""
    if len(entry.arms) < 2:
        return ()
    whole = decode_entry(entry.blob, "", b"", where="an entry to split")
    n = len(entry.arms) // 2
    return tuple(
        seal_report(
            entry.scan_id, entry.arms[part], whole.header,
            {name: array[part] for name, array in whole.arrays.items()},
        )
        for part in (slice(n), slice(n, None))
    )  # fmt: skip


def sealed_again(entry: Entry) -> Sealed:
    """Return an entry that was read, with the rows that were accepted, for appending it."""
    if entry.kind == "report":
        return seal_report(entry.scan_id, entry.arms, entry.header, entry.arrays)
    return seal_event(entry.scan_id, entry.kind, entry.header, entry.arrays)


def unseal(blob: bytes, *, where: str) -> Sealed:
    """Return the entry in a blob that was kept elsewhere, for appending it; raises as `decode`."""
    entry = decode_entry(blob, "", b"", where=where)
    return Sealed(entry.scan_id, entry.kind, entry.arms, blob)


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
    envelope, arrays = decode_versioned(
        blob, where=where, what="journal entry", name="entry", newest=ENTRY_VERSION, fields=_FIELDS
    )
    arms, kind = envelope["arms"], envelope["kind"]
    if (
        not isinstance(arms, list)
        or kind not in ("report", *EVENT_KINDS)
        or (kind == "report") != bool(arms)
    ):
        raise CorruptStateError(f"{where}: it is not a scanrank journal entry. It was not used.")
    try:
        scan_id, names = check_name("scan", envelope["scan"]), as_arms(arms)
    except InvalidInputError as err:
        raise CorruptStateError(f"{where}: {err} It was not used.") from err
    if kind == "report" and any(a.ndim == 0 or len(a) != len(names) for a in arrays.values()):
        raise CorruptStateError(
            f"{where}: an array does not have one row per symbol. It was not used."
        )
    if mask:
        rows = np.flatnonzero(_read_mask(mask, len(names), where))
        names = tuple(names[row] for row in rows)
        arrays = {name: _frozen(array[rows]) for name, array in arrays.items()}
    return Entry(position, kind, scan_id, envelope["header"], arrays, names)


def write_mask(accepted: NDArray[np.bool_]) -> bytes:
    """Return the mask of a report with some rows refused (the Lua script writes the same)."""
    bits = b"".join(b"1" if bit else b"0" for bit in accepted)
    return bits + b":" + hashlib.sha1(bits, usedforsecurity=False).hexdigest()[:8].encode()


def _read_mask(mask: bytes, n_arms: int, where: str) -> NDArray[np.bool_]:
    if not isinstance(mask, bytes):
        raise CorruptStateError(f"{where}: its mask is {type(mask).__name__}, not bytes.")
    bits: NDArray[np.bool_] = np.frombuffer(mask[:n_arms], dtype=np.uint8) == ord("1")
    if len(bits) != n_arms or write_mask(bits) != mask:
        raise CorruptStateError(f"{where}: its mask of accepted rows is corrupt. It was not used.")
    return bits


def _frozen(array: Array) -> Array:
    array.setflags(write=False)
    return array
