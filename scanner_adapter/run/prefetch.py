"""Ask the data vendor for the next batch while the current one is evaluated."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from scanner_adapter.run.pipeline import Pipeline

Prefetch = Callable[[tuple[str, ...]], object]

log = logging.getLogger("scanrank")


class Prefetcher:
    """Holds one batch back until its data were asked for.

    Fetching everything up front would hide all gain in time to the first result; fetching batch
    by batch would leave the workers waiting. So one batch is chosen ahead, and fetched while the
    one before it is evaluated. A fetch that fails is logged: the scanner will ask for itself.

    Parameters
    ----------
    fetch : callable or None
        Called with the symbols of a batch, in a thread of its own. None = nothing is held back.
    """

    def __init__(self, fetch: Prefetch | None) -> None:
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
