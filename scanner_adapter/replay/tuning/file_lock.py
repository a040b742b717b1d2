"""A lock on an open file, which ends with the process however that ends, on every platform."""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    import msvcrt
else:
    try:
        import fcntl
    except ModuleNotFoundError:  # an emulation of Unix, such as Emscripten, has one process
        fcntl = None  # type: ignore[assignment]


def lock(descriptor: int) -> None:
    """Exclude other processes until the descriptor is closed.

    Raises
    ------
    BlockingIOError
        Another one has it.
    """
    if sys.platform == "win32":
        os.lseek(descriptor, 2**31 - 2, os.SEEK_SET)  # a byte that nobody reads
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as err:
            raise BlockingIOError(*err.args) from err
    elif fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
