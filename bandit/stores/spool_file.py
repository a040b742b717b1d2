"""One file of sealed journal entries that wait for the store, safe against being cut anywhere.

A file is a sequence of frames: magic ``b"spl1"``, u32 zero, u64 length (little-endian), the blob.
Every blob carries its own checksum, so a reader that meets a damaged or half-written frame looks
for the next whole one and goes on. Writers and the replay exclude each other by a lock on the file,
also between processes.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bandit.errors import CorruptStateError, IncompatibleStateError
from bandit.stores.entries import Sealed, unseal
from bandit.stores.file_lock import lock

_MAGIC = b"spl1"
_FRAME = struct.Struct("<4sIQ")

_log = logging.getLogger(__name__)


class SpoolFullError(Exception):
    """The entry does not fit: the limit is reached, or the disk is full. Nothing was written."""


class SpoolFile:
    """The spool of one ruleset.

    Parameters
    ----------
    path : path
        Created, with its directory, at the first entry; readable by the user only.
    max_bytes : int
        Of the file.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes

    def is_empty(self) -> bool:
        """Whether nothing waits; costs one `stat`."""
        try:
            return self.path.stat().st_size == 0
        except FileNotFoundError:
            return True

    def append(self, blob: bytes) -> None:
        """Write one entry and wait until it is on the disk.

        Raises
        ------
        SpoolFullError
            With the reason.
        """
        frame = _FRAME.pack(_MAGIC, 0, len(blob)) + blob
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            is_new = not self.path.exists()
            with self._locked() as descriptor:
                size = os.fstat(descriptor).st_size
                if size + len(frame) > self._max_bytes:
                    raise SpoolFullError(f"{self.path} is at its limit of {self._max_bytes} bytes")
                try:
                    _write_all(descriptor, frame)
                    os.fsync(descriptor)
                except OSError:
                    os.ftruncate(descriptor, size)  # no half frame
                    raise
            if is_new:
                _sync_directory(self.path.parent)
        except OSError as err:
            raise SpoolFullError(f"{self.path} cannot be written: {err}") from err

    @contextmanager
    def waiting(self) -> Iterator[Iterator[Sealed]]:
        """Give the waiting entries, oldest first; empty the file if the block ends well.

        Ended by an exception, the file stays as it is: sending an entry twice is harmless.
        """
        if self.is_empty():
            yield iter(())
            return
        with self._locked() as descriptor:
            yield self._entries(descriptor)
            os.ftruncate(descriptor, 0)
            os.fsync(descriptor)

    def set_aside(self, blob: bytes) -> Path:
        """Keep an entry that the store refuses for good, beside the spool."""
        path = self.path.with_suffix(".refused")
        with path.open("ab") as file:
            file.write(_FRAME.pack(_MAGIC, 0, len(blob)) + blob)
            file.flush()
            os.fsync(file.fileno())
        return path

    def _entries(self, descriptor: int) -> Iterator[Sealed]:
        with os.fdopen(os.dup(descriptor), "rb") as file:
            file.seek(0)
            data = file.read()
        offset, n_skipped = 0, 0
        while offset < len(data):
            entry, end = self._entry_at(data, offset)
            if entry is None:
                end = data.find(_MAGIC, offset + 1)
                end = len(data) if end < 0 else end
                n_skipped += end - offset
            else:
                yield entry
            offset = end
        if n_skipped:
            _log.warning("%s: %d damaged bytes were skipped", self.path, n_skipped)

    def _entry_at(self, data: bytes, offset: int) -> tuple[Sealed | None, int]:
        start = offset + _FRAME.size
        if start > len(data):
            return None, offset
        magic, zero, length = _FRAME.unpack_from(data, offset)
        if magic != _MAGIC or zero != 0 or length > len(data) - start:
            return None, offset
        try:
            entry = unseal(data[start : start + length], where=f"{self.path} at byte {offset}")
        except (CorruptStateError, IncompatibleStateError) as err:
            _log.warning("%s", err)
            return None, offset
        return entry, start + length

    @contextmanager
    def _locked(self) -> Iterator[int]:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            lock(descriptor)
            yield descriptor
        finally:
            os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:  # a nearly full disk takes a part, and refuses at the next call
        view = view[os.write(descriptor, view) :]


def _sync_directory(directory: Path) -> None:
    """Make a new file's name survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
