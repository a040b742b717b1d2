"""Stores: where journals, snapshots and shared scans live. Start with `store_from_url`."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from bandit.checks import as_text
from bandit.errors import InvalidInputError
from bandit.stores.base import (
    SCAN_TTL_S,
    Problem,
    Receipt,
    RulesetStats,
    ScanInfo,
    Store,
)
from bandit.stores.entries import Entry
from bandit.stores.folders import data_directory
from bandit.stores.names import position_at, shown
from bandit.stores.snapshots import Snapshot

__all__ = [
    "SCAN_TTL_S",
    "Entry",
    "Problem",
    "Receipt",
    "RulesetStats",
    "ScanInfo",
    "Snapshot",
    "Store",
    "position_at",
    "store_from_url",
]

SCHEMES = (
    "redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster",
    "rediss+cluster", "sqlite", "embedded", "memory",
)  # fmt: skip

_DRIVE = re.compile("/[A-Za-z]:")  # of a path on Windows, as in sqlite:///C:/data/scanrank.db


def store_from_url(url: str) -> Store:
    """Open the store at an address.

    Parameters
    ----------
    url : str
        - ``sqlite:///absolute/path.db``: one file, for the processes of this machine;
          ``?durability=full`` waits for the disk at every report.
        - ``embedded://``: ``scanrank.db`` in the user's data directory;
          ``embedded:///absolute/path``: in that one.
        - ``memory://``: this process only.
        - ``redis://[user:password@]host:port/db``, ``rediss://`` with TLS,
          ``unix:///path/to/socket``; options of redis-py as query
          (``?ssl_ca_certs=/path``, ``?socket_timeout=2``).
        - ``redis+sentinel://host:port[,host:port]/service/db``.
        - ``redis+cluster://host:port``.

    Returns
    -------
    Store
        Wrap it in `SpoolingStore` where a scan must go on without it.

    Raises
    ------
    InvalidInputError
        Another scheme, or options that cannot be read.
    StoreUnavailableError, StoreRefusedError
        The server does not answer, or says no.

    Examples
    --------
    >>> store_from_url("memory://")
    SqliteStore('memory://')
    >>> store_from_url("mysql://somewhere")
    Traceback (most recent call last):
    bandit.errors.InvalidInputError: store scheme 'mysql'; known schemes: redis, rediss, unix, ...
    """
    scheme = as_text(url, "url", "the address of a store, as a string").partition(":")[0]
    if scheme not in SCHEMES:
        raise InvalidInputError(
            f"store scheme {scheme.rpartition('@')[2]!r}; known schemes: {', '.join(SCHEMES)}."
        )
    if scheme not in ("sqlite", "embedded", "memory"):
        from bandit.stores.redis.store import RedisStore  # here: only this one needs redis-py

        return RedisStore(url)
    from bandit.stores.sqlite.store import SqliteStore

    if scheme == "memory":
        return SqliteStore()
    rest, _, query = url.partition("://")[2].partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    durability = options.pop("durability", "normal")
    if options or durability not in ("normal", "full"):
        raise InvalidInputError(
            f"store address {shown(url)}: the only option is durability=normal or durability=full."
        )
    path = Path(unquote(rest.removeprefix("/") if _DRIVE.match(rest) else rest))
    if scheme == "embedded":
        path = (path if rest else data_directory()) / "scanrank.db"
    if not path.is_absolute() or (not rest and scheme == "sqlite"):
        raise InvalidInputError(
            f"store address {shown(url)}: expected sqlite:///absolute/path/scanrank.db or "
            "embedded:///absolute/folder, with three slashes, or embedded:// alone for the user's "
            "data directory."
        )
    return SqliteStore(path, durability="full" if durability == "full" else "normal")
