"""Fresh quotes in the course of a run: ask the vendor every so often, and rank what remains."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from bandit.checks import as_function, as_number
from scanner_adapter.run.protocol import RunnableScan

Refresh = Callable[[], object]

log = logging.getLogger("scanrank")


class Refresher:
    """Calls for quotes in a thread of its own while a scan runs, and hands them to it.

    A vendor that does not answer, or answers with what cannot be read, is logged: the scan goes
    on with what it knew, and asks again when it is time.

    Parameters
    ----------
    scan : RunnableScan
    fetch : callable or None
        Takes nothing, returns quotes in any shape that `SymbolRanker.start_scan` takes, or None
        for none this time. None = the scan knows what it knew at its start.
    every_s : float
        Seconds from one answer to the next question.
    """

    def __init__(self, scan: RunnableScan, fetch: Refresh | None, every_s: float) -> None:
        if fetch is not None:
            as_function(fetch, "refresh", "nothing and returns quotes")
        self._every_s = as_number(every_s, "every_s", "a number of seconds above 0", above=0.0)
        self._scan, self._fetch = scan, fetch
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    def _run(self, fetch: Refresh) -> None:
        while not self._is_over.wait(self._every_s):
            try:
                quotes = fetch()
                if quotes is not None and not self._is_over.is_set():
                    self._scan.refresh(quotes=quotes)
            except Exception as error:
                if not self._is_over.is_set():
                    log.warning("the quotes of a running scan were not refreshed: %s", error)

    def __enter__(self) -> Refresher:
        """Start to ask."""
        if self._fetch is not None:
            self._thread = threading.Thread(
                target=self._run, args=(self._fetch,), name="scanrank-refresh", daemon=True
            )
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ask no more; a question under way is not waited for, and its answer not used."""
        self._is_over.set()
