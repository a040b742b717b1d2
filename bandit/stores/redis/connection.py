"""From a URL to a redis-py client, and from redis-py's exceptions to ours.

Secrets: see `bandit.stores.names.shown`. The URL itself is handed to redis-py and not kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import redis
from redis.backoff import ExponentialBackoff
from redis.cluster import RedisCluster
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.retry import Retry
from redis.sentinel import Sentinel

from bandit.errors import (
    EntryTooLargeError,
    InvalidInputError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
)
from bandit.stores.names import shown

CONNECT_TIMEOUT_S = 2.0  # a server in reach answers in milliseconds; a scan loop waits this long
REPLY_TIMEOUT_S = 5.0  # for one command; the slowest of ours moves 8 MiB

# We read bytes in RESP2's shapes; a URL cannot change that.
_OURS = ("decode_responses", "protocol", "encoding", "encoding_errors", "legacy_responses")
_REFUSALS = {  # code at the start of the server's message, or after "-" in one from inside Lua
    "OOM": "it is out of memory: raise `maxmemory`, or trim journals",
    "READONLY": "it is a read-only replica: give the address of the primary, or use Sentinel",
    "NOPERM": "this user lacks permission: allow it the keys scanrank:* and the commands used",
    # For redis-py one error, whether the URL has no password or the wrong one.
    "WRONGPASS": "wrong user or password, or none: put the right ones into the URL",
    "MISCONF": "it cannot write to its disk: make room there; its log says more",
    "NOREPLICAS": "too few replicas are connected: start them, or lower `min-replicas-to-write`",
}
_CODES: dict[type[RedisError], str] = {  # redis-py cuts the code off the messages of these
    OutOfMemoryError: "OOM",
    ReadOnlyError: "READONLY",
    NoPermissionError: "NOPERM",
    AuthenticationError: "WRONGPASS",  # a ConnectionError too, for redis-py
    AuthorizationError: "WRONGPASS",
}
_ABSENCES = ("LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY")


def connect(url: str) -> Any:
    """Return a client for ``redis``, ``rediss``, ``unix``, ``redis+sentinel``, ``redis+cluster``.

    Returns
    -------
    client : redis.Redis or redis.cluster.RedisCluster
        Not connected yet, except to a cluster. ``Any``: their stubs do not agree on a base.

    Raises
    ------
    InvalidInputError
        The URL cannot be read; its text is not repeated, because it may hold a password.
    """
    options: dict[str, Any] = {
        "protocol": 2,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": REPLY_TIMEOUT_S,
        # A dropped connection is opened again at once (all our writes are idempotent); a timeout is
        # not retried, because the caller would wait for it once more.
        "retry": Retry(
            ExponentialBackoff(cap=0.2, base=0.02), 2, supported_errors=(redis.ConnectionError,)
        ),
    }
    scheme, _, rest = url.partition("://")
    login = rest.rpartition("@")[0]
    if re.search("[/?#]", login) and not (scheme == "unix" and login.startswith("/")):
        raise InvalidInputError(
            f"store address {shown(url)}: the part before the last @ contains /, ? or #. In user "
            "names, passwords and options, write %2F, %3F, %23, and %40 for @."
        )
    try:
        parts = urlsplit(url)
    except ValueError as err:
        raise InvalidInputError(
            f"store address {shown(url)}: it cannot be parsed ({type(err).__name__}). Expected "
            "redis://[user:password@]host:port/db?option=value."
        ) from None
    query = [(key, value) for key, value in parse_qsl(parts.query) if key not in _OURS]
    bare = f"{parts.scheme}://{parts.netloc}{parts.path}"
    if query:
        bare += f"?{urlencode(query)}"
    try:
        if parts.scheme.endswith("+sentinel"):
            return _connect_sentinel(bare, options)
        if parts.scheme.endswith("+cluster"):
            return RedisCluster.from_url(bare.replace("+cluster", "", 1), **options)
        return redis.Redis.from_url(bare, **options)
    except InvalidInputError:
        raise
    except (ValueError, TypeError) as err:
        # `from None`: redis-py's text quotes parts of the URL.
        raise InvalidInputError(
            f"store address {shown(url)}: its options cannot be parsed ({type(err).__name__}). "
            "Expected redis://[user:password@]host:port/db?option=value."
        ) from None


def _connect_sentinel(url: str, options: dict[str, Any]) -> Any:
    """``redis+sentinel://[user:password@]host:port[,host:port ...]/service[/db][?options]``."""
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    service, _, db = parts.path.strip("/").partition("/")
    nodes = []
    for host in hosts.split(","):
        name, _, port = host.rpartition(":") if ":" in host else (host, "", "26379")
        nodes.append((name, int(port)))
    if not service or not nodes[0][0]:
        raise InvalidInputError(
            f"store address {shown(url)}: expected "
            "redis+sentinel://[user:password@]host:port[,host:port]/service[/db]."
        )
    query: dict[str, Any] = dict(parse_qsl(parts.query))
    for key, value in query.items():  # redis-py reads these from URLs only
        if key.endswith("timeout"):
            query[key] = float(value)
    if parts.scheme == "rediss+sentinel":
        query["ssl"] = True
    sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
        nodes, sentinel_kwargs={**options}, **options, **query
    )
    login_options: dict[str, Any] = {"db": int(db or 0)}
    if user:
        login_options["username"] = unquote(user)
    if password:
        login_options["password"] = unquote(password)
    return sentinel.master_for(service, **login_options)


@contextmanager
def errors_of(address: str) -> Iterator[None]:
    """Turn redis-py's exceptions into `StoreUnavailableError` and `StoreRefusedError`.

    A ``WRONGTYPE`` passes: the caller knows the keys and names the foreign one.
    """
    try:
        yield
    except (RedisError, RedisClusterException) as err:  # the latter is no RedisError
        if isinstance(err, ResponseError) and "WRONGTYPE" in str(err):
            raise
        raise _translated(err, address) from err
    except OSError as err:
        raise StoreUnavailableError(f"store {address} does not answer: {err}") from err


def _translated(err: RedisError | RedisClusterException, address: str) -> StoreError:
    text = re.sub(r"\.? script: [0-9a-f]{40}, on @\S+", "", str(err))
    codes = {word.strip("-:") for word in text.replace("\n", " ").split(" ")}
    codes.update(code for kind, code in _CODES.items() if isinstance(err, kind))
    if "unauthenticated" in text:  # a long command on a connection that gave no password
        codes.add("WRONGPASS")
    for code, meaning in _REFUSALS.items():
        if code in codes:
            return StoreRefusedError(f"store {address} refuses: {meaning} ({text}).")
    if "bulk length" in text:
        return EntryTooLargeError(f"store {address} refuses: {text}.")
    if isinstance(
        err, redis.ConnectionError | redis.TimeoutError | RedisClusterException
    ) or codes.intersection(_ABSENCES):
        return StoreUnavailableError(f"store {address} does not answer: {text}")
    return StoreRefusedError(f"store {address} refuses: {text}")
