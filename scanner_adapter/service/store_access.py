"""The store, asked off the event loop; knows since when it does not answer.

While the store is away a question fails at once for a moment after the last failure: threads that
each wait out a timeout would be used up, and everything else with them.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from bandit.errors import StoreRefusedError, StoreUnavailableError
from bandit.stores import Store, store_from_url

T = TypeVar("T")

THREADS = 8  # a question takes well under a millisecond
SLOW_THREADS = 2  # folding or looking through a long journal takes seconds: not in a stream's way
RETRY_S = 0.25  # how long after a failure questions fail without being asked

log = logging.getLogger("scanrank.service")


class StoreAccess:
    """Runs functions of a store in threads.

    Parameters
    ----------
    url : str
        Address of the store. It need not answer yet: it is opened by the first question.
    store : Store, optional
        One that is open already; it stays its caller's.

    Notes
    -----
    `call` belongs to one event loop; `away_since` may be read from anywhere.
    """

    def __init__(self, url: str, store: Store | None = None) -> None:
        self.away_since: float | None = None
        self.n_outages = 0
        self._url = url
        self._store = store
        self._is_ours = store is None
        self._lock = threading.Lock()
        self._failed_at = float("-inf")
        self._last_error = ""
        self._refusal = ""  # logged once, until the store grants something again
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="scanrank-store")
        self._slow_pool = ThreadPoolExecutor(SLOW_THREADS, thread_name_prefix="scanrank-slow")

    async def call(self, ask: Callable[[Store], T]) -> T:
        """Return ``ask(store)``, run in a thread.

        Raises
        ------
        StoreError
            As the store raised it.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._ask, ask)

    async def call_slow(self, ask: Callable[[Store], T]) -> T:
        """Do as `call` does, for what may take seconds; it waits behind its own kind only."""
        return await asyncio.get_running_loop().run_in_executor(self._slow_pool, self._ask, ask)

    def _ask(self, ask: Callable[[Store], T]) -> T:
        if self.away_since is not None and time.monotonic() - self._failed_at < RETRY_S:
            raise StoreUnavailableError(self._last_error)
        try:
            answer = ask(self._opened())
        except StoreUnavailableError as err:
            self._went_away(str(err))
            raise
        except StoreRefusedError as err:
            if str(err) != self._refusal:
                self._refusal = str(err)
                log.warning("%s", err)
            raise
        self._refusal = ""
        self._answered()
        return answer

    def _opened(self) -> Store:
        with self._lock:
            if self._store is None:
                self._store = store_from_url(self._url)
            return self._store

    def _went_away(self, reason: str) -> None:
        with self._lock:
            self._failed_at, self._last_error = time.monotonic(), reason
            if self.away_since is None:
                self.away_since = time.time()
                self.n_outages += 1
                log.warning("%s", reason)

    def _answered(self) -> None:
        if self.away_since is None:
            return
        with self._lock:
            since, self.away_since = self.away_since, None
        if since is not None:
            log.warning("the store answers again after %.1f s", time.time() - since)

    def close(self) -> None:
        """Wait for the questions that run, and release the store."""
        for pool in (self._pool, self._slow_pool):
            pool.shutdown(wait=True, cancel_futures=True)
        if self._is_ours and self._store is not None:
            self._store.close()
