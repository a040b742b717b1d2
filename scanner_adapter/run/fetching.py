"""What a run asks of the data vendor: the next batch's data ahead of time, and fresh quotes."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor

from bandit.checks import as_function, as_number
from scanner_adapter.run.pipeline import Pipeline
from scanner_adapter.run.protocol import RunnableScan

Prefetch = Callable[[tuple[str, ...]], object]
Refresh = Callable[[], object]

log = logging.getLogger("scanrank")


class Prefetcher:
    """Holds one batch back until its data have been fetched.

    Fetching everything up front would delay the first result; fetching batch by batch would leave
    the workers waiting. So one batch is chosen ahead, and fetched while the one before it is
    evaluated. A fetch that fails is logged: the scanner then fetches for itself.

    Parameters
    ----------
    fetch : callable or None
        Called with the symbols of a batch, in a thread of its own. None = nothing is held back.
    """

    def __init__(self, fetch: Prefetch | None) -> None:
        if fetch is not None:
            as_function(fetch, "prefetch", "the symbols of a batch")
        self._fetch = fetch
        self._staged: tuple[str, ...] = ()
        self._pending: Future[object] | None = None
        self._thread = ThreadPoolExecutor(1, "scanrank-prefetch") if fetch is not None else None

    def next_symbols(self, pipeline: Pipeline) -> tuple[str, ...]:
        """Return symbols to start now, see `Pipeline.next_symbols`."""
        if self._fetch is None or self._thread is None:
            return pipeline.next_symbols()
        if len(pipeline.in_flight) - len(self._staged) > pipeline.lead:
            return ()
        is_first = not self._staged
        self._wait()
        ready = self._staged
        self._staged = pipeline.choose()
        if self._staged:
            self._pending = self._thread.submit(self._fetch, self._staged)
            if is_first:
                return self.next_symbols(pipeline)
        return ready

    def drop(self) -> set[str]:
        """Forget the batch that is held back; return its symbols."""
        staged, self._staged = set(self._staged), ()
        return staged

    def _wait(self) -> None:
        if self._pending is None:
            return
        try:
            self._pending.result()
        except Exception as error:
            log.warning("prefetch of %d symbols failed: %s", len(self._staged), error)
        self._pending = None

    def __enter__(self) -> Prefetcher:
        """Return the prefetcher itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let the thread end; a fetch under way is not waited for."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)


class Refresher:
    """Fetches quotes in a thread of its own while a scan runs, and hands them to the scan.

    A fetch that fails, or returns what cannot be read, is logged: the scan goes on with the quotes
    it has, and fetches again when it is time.

    Parameters
    ----------
    scan : RunnableScan
    fetch : callable or None
        Takes nothing, returns quotes in any shape that `SymbolRanker.start_scan` takes, or None
        for none this time. None instead of a function = nothing is fetched.
    every_s : float
        Seconds from the end of one fetch to the start of the next.
    loop : event loop, optional
        Where a fetch that is a coroutine runs; by default in one of its own.
    """

    def __init__(
        self,
        scan: RunnableScan,
        fetch: Refresh | None,
        every_s: float,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if fetch is not None:
            as_function(fetch, "refresh", "nothing and returns quotes")
        self._every_s = as_number(every_s, "every_s", "a number of seconds above 0", above=0.0)
        self._scan, self._fetch = scan, fetch
        self._loop = loop
        self._since: float | None = None  # when the fetch in progress began
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    def _run(self, fetch: Refresh) -> None:
        while not self._is_over.wait(self._every_s):
            try:
                self._since = time.monotonic()
                quotes = fetch()
                if asyncio.iscoroutine(quotes):
                    quotes = self._result(quotes)
                self._since = None
                if quotes is not None and not self._is_over.is_set():
                    self._scan.refresh(quotes=quotes)
            except Exception as error:
                self._since = None
                if not self._is_over.is_set():
                    log.warning("the quotes of a running scan were not refreshed: %s", error)

    def _result(self, fetch: Coroutine[object, object, object]) -> object:
        if self._loop is None:
            return asyncio.run(fetch)
        return asyncio.run_coroutine_threadsafe(fetch, self._loop).result()

    def __enter__(self) -> Refresher:
        """Start fetching."""
        if self._fetch is not None:
            self._thread = threading.Thread(
                target=self._run, args=(self._fetch,), name="scanrank-refresh", daemon=True
            )
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop fetching; a fetch in progress is not waited for, and its result is not used."""
        self._is_over.set()
        began = self._since
        if began is not None and (waited := time.monotonic() - began) > self._every_s:
            log.warning("a fetch of quotes has not returned for %.0f s; the scan went on", waited)
