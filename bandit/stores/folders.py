"""Folders of this user, by the XDG base directory specification, or as Windows has them."""

from __future__ import annotations

import os
from pathlib import Path

from bandit.errors import StoreRefusedError


def data_directory() -> Path:
    """Return the default folder of the embedded store."""
    return _folder("XDG_DATA_HOME", "share")


def state_directory() -> Path:
    """Return where reports wait for a server by default."""
    return _folder("XDG_STATE_HOME", "state")


def _folder(variable: str, name: str) -> Path:
    root = os.environ.get(variable) or (os.environ.get("LOCALAPPDATA") if os.name == "nt" else None)
    if root:
        return Path(root) / "scanrank"
    try:
        return Path.home() / ".local" / name / "scanrank"
    except RuntimeError as err:
        raise StoreRefusedError(
            f"this user has no home directory: set {variable} to a writable folder, or give a "
            "store with a path, such as sqlite:///data/scanrank.db"
        ) from err
