"""Stores: where journals, snapshots and shared scans live. Start with `store_from_url`."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from bandit.checks import as_text
from bandit.errors import InvalidInputError
from bandit.stores.base import (
    SCAN_TTL_S,
    Entry,
    Problem,
    Receipt,
    RulesetStats,
    ScanInfo,
    Snapshot,
    Store,
)
from bandit.stores.journal import SealedStore
from bandit.stores.names import position_at

__all__ = [
    "SCAN_TTL_S",
    "Entry",
    "Problem",
    "Receipt",
    "RulesetStats",
    "ScanInfo",
    "SealedStore",
    "Snapshot",
    "Store",
    "position_at",
    "store_from_url",
]

SCHEMES = (
    "redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster",
    "rediss+cluster", "embedded", "memory",
)  # fmt: skip


def store_from_url(url: str) -> SealedStore:
    """Open the store at an address.

    Parameters
    ----------
    url : str
        - ``memory://``: this process only.
        - ``embedded://``: a private server in the user's data directory;
          ``embedded:///absolute/path``: in that directory.
        - ``redis://[user:password@]host:port/db``, ``rediss://`` with TLS,
          ``unix:///path/to/socket``; options of redis-py as query
          (``?ssl_ca_certs=/path``, ``?socket_timeout=2``).
        - ``redis+sentinel://host:port[,host:port]/service/db``.
        - ``redis+cluster://host:port``.

    Returns
    -------
    SealedStore
        A `Store`; wrap it in `bandit.stores.spool.SpoolingStore` where a scan must go on without
        it.

    Raises
    ------
    InvalidInputError
        Another scheme, or options that cannot be read.
    StoreUnavailableError, StoreRefusedError
        The server does not answer, or says no.

    Examples
    --------
    >>> store_from_url("memory://")
    MemoryStore()
    >>> store_from_url("mysql://somewhere")
    Traceback (most recent call last):
    bandit.errors.InvalidInputError: store scheme 'mysql'; known are redis, rediss, unix, ...
    """
    scheme = urlsplit(as_text(url, "url", "the address of a store, as a text")).scheme
    if scheme not in SCHEMES:
        raise InvalidInputError(f"store scheme {scheme!r}; known are {', '.join(SCHEMES)}.")
    # Imported here: memory:// needs neither redis-py nor a platform with file locks.
    if scheme == "memory":
        from bandit.stores.memory import MemoryStore

        return MemoryStore()
    if scheme == "embedded":
        from bandit.stores.embedded import EmbeddedStore, default_directory

        rest = url.removeprefix("embedded://")
        if rest and not rest.startswith("/"):
            raise InvalidInputError(
                f"store address {url!r}: expected embedded:///absolute/path, with three slashes, "
                "or embedded:// alone for the user's data directory."
            )
        return EmbeddedStore(unquote(rest) if rest else default_directory())
    from bandit.stores.redis.store import RedisStore

    return RedisStore(url)
