"""For scanners that own their loop: one hook for the order, one for the results."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Unpack

from bandit.checks import as_count, refusal
from scanner_adapter.errors import AdapterError
from scanner_adapter.inputs.outcomes import Outcome

if TYPE_CHECKING:
    from scanner_adapter.inputs.context import ScanOptions
    from scanner_adapter.scan.scan import Scan, ScanSummary
    from scanner_adapter.symbol_ranker import SymbolRanker

log = logging.getLogger("scanrank")


class ResultFeed:
    """Orders a scanner's list and takes its results as they come, from any thread.

    Why one would choose it: a scanner that takes a list of symbols and calls back with each
    result needs two lines, and no change to its loop::

        scanner.scan(feed.order(symbols), on_result=feed)

    Parameters
    ----------
    ranker : SymbolRanker
    batch_size : int
        Results learned from at a time.

    Notes
    -----
    Thread-safe. A call from the scanner returns after appending to a list; the one that fills a
    batch also learns from it, while the others go on. Nothing is ever raised into the scanner's
    callback: what cannot be used (an unknown symbol, a row that cannot be read, a result after
    `close`) is counted in `problems` and logged once per kind.

    Examples
    --------
    >>> from scanner_adapter import SymbolRanker
    >>> with ResultFeed(SymbolRanker.open("memory://", ruleset="demo", seed=1)) as feed:
    ...     for symbol in feed.order(["AAPL", "MSFT", "IBM"]):
    ...         feed(symbol, {"rating": len(symbol)})
    >>> feed.summary.n_scanned
    3
    """

    def __init__(self, ranker: SymbolRanker, *, batch_size: int = 50) -> None:
        # By what it does: a wrapped ranker serves as well.
        if isinstance(ranker, type) or not callable(getattr(ranker, "start_scan", None)):
            raise refusal(ranker, "ranker", "a SymbolRanker")
        as_count(batch_size, "batch_size")
        self.problems: Counter[str] = Counter()
        self._ranker = ranker
        self._batch_size = batch_size
        self._lock = threading.Lock()  # of the fields below; never held while learning
        self._scan: Scan | None = None
        self._arrived: dict[str, Outcome] = {}
        self._seen: set[str] = set()
        self._summary: ScanSummary | None = None

    # -- the order ---------------------------------------------------------------------------

    def order(self, symbols: Sequence[str], **inputs: Unpack[ScanOptions]) -> tuple[str, ...]:
        """Start a scan and return all of `symbols`, best first, as known now.

        A scan that is still open is closed first. Takes what `SymbolRanker.start_scan` takes.
        """
        scan = self._start(symbols, inputs)
        ordered: list[str] = []
        while batch := scan.next_batch(self._batch_size):
            ordered += batch.symbols
        return tuple(ordered)

    def stream(self, symbols: Sequence[str], **inputs: Unpack[ScanOptions]) -> Iterator[str]:
        """Start a scan and return its symbols one by one, each batch chosen when it is due.

        For scanners that take symbols from an iterator only when they need them: later batches
        profit from the results of earlier ones. Any thread may call `next` on it.
        """
        return _Stream(self._start(symbols, inputs), self._batch_size, self._flush)

    # -- the results -------------------------------------------------------------------------

    def __call__(self, symbol: str, result: object) -> None:
        """Take the result of one symbol: whatever `Outcome.of` reads, an exception included."""
        with self._lock:
            scan = self._scan
            if scan is None:
                self._note("a result came while no scan was open", symbol)
                return
            if symbol not in scan.universe:
                self._note("a result came for a symbol that is not part of the scan", symbol)
                return
            if symbol in self._seen:
                self._note("a second result came for a symbol; the first one counts", symbol)
                return
            self._seen.add(symbol)
            try:
                self._arrived[symbol] = scan.read(symbol, result)
            except AdapterError as error:
                self._note("a result could not be read", symbol, error)
                self._arrived[symbol] = Outcome.failed(error)
            is_full = len(self._arrived) >= self._batch_size
        if is_full:
            self._flush()

    def close(self) -> ScanSummary | None:
        """Learn from what has arrived and end the scan; symbols without a result stay unknown.

        The feed can start the next scan afterwards.
        """
        self._flush()
        with self._lock:
            scan, self._scan = self._scan, None
            self._seen = set()
        if scan is not None:
            self._summary = scan.close()
        return self._summary

    @property
    def summary(self) -> ScanSummary | None:
        """What the last closed scan did; None before one was closed."""
        return self._summary

    def __enter__(self) -> ResultFeed:
        """Return the feed itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the open scan."""
        self.close()

    # -- inside ------------------------------------------------------------------------------

    def _start(self, symbols: Sequence[str], inputs: ScanOptions) -> Scan:
        self.close()
        scan = self._ranker.start_scan(symbols, **inputs)
        with self._lock:
            self._scan = scan
        return scan

    def _flush(self) -> None:
        with self._lock:
            scan, arrived = self._scan, self._arrived
            self._arrived = {}
        if scan is None or not arrived:
            return
        try:
            scan.report(arrived)
        except Exception as error:
            # Closed in between by another thread, or not handed out yet (a scanner that takes
            # symbols from somewhere else than `stream`): its loop must not stop for that.
            self._note("results could not be used", next(iter(arrived)), error)

    def _note(self, problem: str, symbol: str, error: BaseException | None = None) -> None:
        self.problems[problem] += 1
        if self.problems[problem] == 1:
            why = "" if error is None else f": {error}"
            log.warning("%s (%s)%s; further ones are only counted", problem, symbol, why)


class _Stream:
    """Symbols of a scan, one by one, from any thread."""

    def __init__(self, scan: Scan, batch_size: int, flush: Callable[[], None]) -> None:
        self._scan = scan
        self._batch_size = batch_size
        self._flush = flush
        self._lock = threading.Lock()
        self._batch: Iterator[str] = iter(())

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        with self._lock:
            symbol = next(self._batch, None)
            if symbol is None:
                self._flush()
                self._batch = iter(self._scan.next_batch(self._batch_size))
                symbol = next(self._batch, None)
            if symbol is None:
                raise StopIteration
            return symbol
