"""How often one address may ask, and how often it may guess the token."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MAX_CLIENTS = 4096  # remembered; beyond that those that were silent longest are forgotten
FREE_FAILURES = 5  # wrong tokens of one address before the first pause
FREE_FAILURES_OF_ALL = 100  # of all addresses together: a botnet has many
LONGEST_PAUSE_S = 60.0
FORGIVEN_S = 600.0  # without a wrong token, and the count starts again


@dataclass(slots=True)
class _Client:
    tokens: float
    at: float
    n_failures: int = 0
    failed_at: float = float("-inf")
    paused_until: float = float("-inf")


class RateLimit:
    """A token bucket per client address, and a growing pause after wrong tokens.

    Parameters
    ----------
    per_s : float
        Requests a second, for ever; twice as many at once.
    clock : callable
        Monotonic seconds.

    Notes
    -----
    Behind a reverse proxy that is not trusted by setting, all requests come from the proxy's
    address and share one bucket. Pauses are for wrong tokens only: a valid one is never kept
    waiting, whoever guesses beside it.
    """

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._burst = per_s, 2.0 * per_s
        self._clock = clock
        self._clients: OrderedDict[str, _Client] = OrderedDict()
        self._all = _Client(0.0, clock())

    def wait_s(self, address: str, *, is_known: bool = False) -> float:
        """Count a request; return 0, or after how many seconds it may be tried again.

        Those who show a token or a session share a bucket of their own with nobody else there.
        """
        client, now = self._client(f"{address} known" if is_known else address), self._clock()
        client.tokens = min(self._burst, client.tokens + (now - client.at) * self._per_s)
        client.at = now
        if client.tokens >= 1.0:
            client.tokens -= 1.0
            return 0.0
        return (1.0 - client.tokens) / self._per_s

    def pause_s(self, address: str) -> float:
        """Return for how many seconds no wrong token of this address is counted, 0 for none."""
        until = max(self._client(address).paused_until, self._all.paused_until)
        return max(0.0, until - self._clock())

    def failed(self, address: str) -> None:
        """Count a wrong token: 5 are free, then each doubles the pause, up to a minute.

        Of all addresses together 100 are.
        """
        now = self._clock()
        for client, n_free in (
            (self._client(address), FREE_FAILURES), (self._all, FREE_FAILURES_OF_ALL)
        ):  # fmt: skip
            if now - client.failed_at > FORGIVEN_S:
                client.n_failures = 0
            client.failed_at = now
            client.n_failures += 1
            beyond = client.n_failures - n_free
            if beyond >= 0:
                client.paused_until = now + min(2.0 ** min(beyond, 10), LONGEST_PAUSE_S)

    def succeeded(self, address: str) -> None:
        """Forget the wrong tokens of an address."""
        client = self._client(address)
        client.n_failures, client.paused_until = 0, float("-inf")

    def _client(self, address: str) -> _Client:
        client = self._clients.get(address)
        if client is None:
            client = self._clients[address] = _Client(self._burst, self._clock())
            if len(self._clients) > MAX_CLIENTS:
                self._clients.popitem(last=False)
        else:
            self._clients.move_to_end(address)
        return client
