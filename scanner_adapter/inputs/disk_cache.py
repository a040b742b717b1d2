"""Arrays that take long to compute, kept on disk under a fingerprint of everything they depend on.

The arrays are plain `.npy` files, memory-mapped when read, so that several processes that replay
the same data share one copy. An array that cannot be read is computed again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import features

log = logging.getLogger(__name__)

KEEP = 4  # data sets kept; a panel of five years and 1,500 symbols takes about 0.3 GB

# Libraries whose release may change the last bit of a sub-score.
_LIBRARIES = ("numpy", "pandas", "TA-Lib")


def cache_folder() -> Path:
    """The user's cache folder for replays: ``SCANRANK_CACHE``, or below the XDG cache folder."""
    if own := os.environ.get("SCANRANK_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "scanrank" / "replay"


def fingerprint(parts: Iterable[bytes | str | NDArray[np.generic]]) -> str:
    """Hash of the inputs, of the source of `features` and of the libraries it computes with.

    The source is included so that no array outlives the code that made it.
    """
    digest = hashlib.sha256(_code())  # in hardware on most machines, twice as fast as others
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).view(np.uint8).data)
        else:
            digest.update(part.encode() if isinstance(part, str) else part)
            digest.update(b"\0")
    return digest.hexdigest()[:32]


@cache
def _code() -> bytes:
    digest = hashlib.sha256()
    for library in _LIBRARIES:
        digest.update(f"{library} {metadata.version(library)};".encode())
    root = Path(features.__file__).parent
    for source in sorted(root.rglob("*.py")):
        digest.update(source.relative_to(root).as_posix().encode() + source.read_bytes())
    return digest.digest()


class DiskCache:
    """The arrays of one fingerprint, by name.

    Parameters
    ----------
    key : str
        What `fingerprint` returned.
    folder : Path, optional
        Default `cache_folder()`.
    keep : int
        Fingerprints kept in the folder; those that were not used for longest go.

    Notes
    -----
    Safe to use from several processes: a file appears whole or not at all.
    """

    def __init__(self, key: str, folder: Path | None = None, *, keep: int = KEEP) -> None:
        self._keep = keep
        self.path = (folder or cache_folder()) / key

    def read(self, name: str) -> NDArray[np.generic] | None:
        """The array of that name, read-only, or None if there is none that can be read."""
        path = self.path / f"{name}.npy"
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            return None
        except (ValueError, OSError, EOFError) as err:
            log.warning("the cached %s cannot be read (%s); it is computed again", path, err)
            return None
        return np.asarray(array)

    def write(self, name: str, array: NDArray[np.generic]) -> None:
        """Keep the array, and drop the data sets that have not been used for longest.

        A full or read-only disk is logged, not raised: the next replay takes longer, that is all.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.path, delete=False) as file:
                try:
                    np.save(file, array, allow_pickle=False)
                except OSError:
                    Path(file.name).unlink(missing_ok=True)
                    raise
            Path(file.name).replace(self.path / f"{name}.npy")
            os.utime(self.path)
            self._drop_oldest()
        except OSError as err:
            log.warning("%s is not cached in %s: %s", name, self.path, err)

    def _drop_oldest(self) -> None:
        entries = [entry for entry in self.path.parent.iterdir() if entry.is_dir()]
        for entry in sorted(entries, key=lambda e: e.stat().st_mtime, reverse=True)[self._keep :]:
            shutil.rmtree(entry, ignore_errors=True)
