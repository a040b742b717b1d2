"""Limits on the number of open connections and on the time a request may take to arrive.

uvicorn limits the idle time between two requests, but neither the time until the first request nor
the time for its headers: a thousand idle connections would shut everyone out. Here:

- headers must be complete within `HEADERS_S` of the connection or of their first byte;
- an address may hold at most `PER_ADDRESS` connections without a token or session; for a trusted
  proxy, its clients' requests are counted instead, see `Crowd`;
- a share of all connections is reserved for those with a token or session.

At a limit, the connection that has been idle for longest is closed. So a client that sends its
request at once is served, however many others hold idle connections.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol

HEADERS_S = 10.0
HEADER_BYTES = 16 * 2**10  # of a request's line and headers
PER_ADDRESS = 64
CONNECTIONS = 1_000  # at once, event streams among them
KEPT_SHARE = 0.2  # of them, for connections that have shown a token or a session


class Connection(Protocol):
    """What the bounds need of a connection."""

    address: str
    is_known: bool

    def drop(self) -> None:
        """Close it at once."""


class Connections:
    """All open connections of a server.

    Parameters
    ----------
    most : int
        At once.
    trusted : frozenset of str
        Addresses of proxies, which speak for many clients.
    per_address : int
        Connections of one address that have shown nothing yet.
    """

    def __init__(
        self, most: int, trusted: frozenset[str] = frozenset(), per_address: int = PER_ADDRESS
    ) -> None:
        self._most, self._trusted, self._per_address = most, trusted, per_address
        self._for_all = most - int(KEPT_SHARE * most)
        # In the order of waiting; dictionaries keep it, and forget in constant time.
        self._waiting: dict[Connection, None] = {}
        self._unknown: Counter[str] = Counter()
        self._n_unknown = self._n = 0

    def __len__(self) -> int:
        """Return how many are open."""
        return self._n

    def opened(self, connection: Connection) -> bool:
        """Count a new connection; False where there is no room and nobody to make some."""
        address = connection.address
        is_bounded = address not in self._trusted
        if is_bounded and self._unknown[address] >= self._per_address:
            is_free = self._make_room(lambda c: not c.is_known and c.address == address)
        elif self._n_unknown >= self._for_all:
            is_free = self._make_room(lambda c: not c.is_known)
        elif self._n >= self._most:
            is_free = self._make_room(lambda c: not c.is_known) or self._make_room(lambda _: True)
        else:
            is_free = True
        if is_free:
            self._n += 1
            self._n_unknown += 1
            self._unknown[address] += 1
            self._waiting[connection] = None
        return is_free

    def asks(self, connection: Connection) -> None:
        """Note that a request of it is under way."""
        self._waiting.pop(connection, None)

    def waits(self, connection: Connection) -> None:
        """Note that its request was answered and that it is idle."""
        self._waiting[connection] = None

    def shown(self, connection: Connection) -> None:
        """Note that it has shown a token or a session."""
        if not connection.is_known:
            connection.is_known = True
            self._forget_unknown(connection)

    def closed(self, connection: Connection) -> None:
        """Forget one that `opened` has let in."""
        self._n -= 1
        self._waiting.pop(connection, None)
        if not connection.is_known:
            self._forget_unknown(connection)

    def _forget_unknown(self, connection: Connection) -> None:
        self._n_unknown -= 1
        self._unknown[connection.address] -= 1
        if self._unknown[connection.address] <= 0:
            del self._unknown[connection.address]

    def _make_room(self, may_go: Callable[[Connection], bool]) -> bool:
        oldest = next(filter(may_go, self._waiting), None)
        if oldest is None:
            return False
        self._waiting.pop(oldest)
        oldest.drop()
        return True


class Crowd:
    """Requests under way of each client behind a trusted proxy, of those who have shown nothing.

    Parameters
    ----------
    per_address : int
    """

    def __init__(self, per_address: int = PER_ADDRESS) -> None:
        self._per_address = per_address
        self._under_way: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        """Count a request; False where its address has as many under way as it may have."""
        if self._under_way[address] >= self._per_address:
            return False
        self._under_way[address] += 1
        return True

    def leave(self, address: str) -> None:
        """Forget a request that `enter` has let in."""
        self._under_way[address] -= 1
        if self._under_way[address] <= 0:
            del self._under_way[address]
