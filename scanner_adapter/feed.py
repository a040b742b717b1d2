"""Connect scanners that own their loop: one hook for the order, one for the results."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Unpack

from bandit.checks import as_count, refusal
from scanner_adapter.errors import AdapterError, ScanStateError
from scanner_adapter.inputs.outcomes import Outcome
from scanner_adapter.run.executor import result_of, workers_of

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from multiprocessing.pool import Pool

    from scanner_adapter.inputs.context import ScanOptions
    from scanner_adapter.scan.scan import Scan, ScanSummary
    from scanner_adapter.symbol_ranker import SymbolRanker

log = logging.getLogger("scanrank")

# Share of a universe that a loop may take before the first result comes back.
_TOO_MANY = 0.1
_FEW = 50


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
    Thread-safe. A call from the scanner only stores the result; the call that completes a batch
    also learns from it, while the others go on. Nothing is ever raised into the scanner's callback:
    a result that cannot be used (an unknown symbol, a row that cannot be read, a result after
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
        # Not by its class: a wrapped ranker serves as well.
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
        self._has_results = False  # of the open scan
        self._summary: ScanSummary | None = None
        self._stream: _Stream | None = None

    # -- the order ---------------------------------------------------------------------------

    def order(self, symbols: Sequence[str], **inputs: Unpack[ScanOptions]) -> tuple[str, ...]:
        """Start a scan and return all of `symbols`, best first, as known now.

        A scan that is still open is closed first. Takes what `SymbolRanker.start_scan` takes.
        """
        scan = self._start(symbols, {**inputs, "overlap": False})
        ordered: list[str] = []
        while batch := scan.next_batch(self._batch_size):
            ordered += batch.symbols
        return tuple(ordered)

    def stream(self, symbols: Sequence[str], **inputs: Unpack[ScanOptions]) -> Iterator[str]:
        """Start a scan and return its symbols one by one, each batch chosen when it is due.

        For scanners that take symbols from an iterator only when they need them: later batches
        profit from the results of earlier ones. Any thread may call `next` on it.
        """
        scan = self._start(symbols, inputs)
        self._stream = _Stream(self, scan)
        return self._stream

    def map(
        self,
        fn: Callable[[str], object],
        executor: Executor | Pool,
        symbols: Sequence[str] | None = None,
        **inputs: Unpack[ScanOptions],
    ) -> Iterator[tuple[str, object]]:
        """Evaluate symbols over an executor, and yield each with its result as it comes.

        Why one would choose it: `executor.map(fn, feed.stream(symbols))` takes every symbol before
        the first result is in, and so does a pool with a `chunksize`. This loop hands out only as
        many as there are workers, and learns from every result::

            for symbol, result in feed.map(fn, pool, symbols):
                ...

        Parameters
        ----------
        fn : callable
            Takes a symbol; returns whatever `Outcome.of` reads, or that in a pair with the symbol.
        executor : Executor or multiprocessing pool
        symbols : sequence of str, optional
            By default those of the last `stream`.
        **inputs
            As for `SymbolRanker.start_scan`.

        Yields
        ------
        symbol : str
        result : object
            What `fn` returned, or the exception that it raised.

        Raises
        ------
        ScanStateError
            Without symbols, when no stream was started.
        """
        if symbols is not None:
            self.stream(symbols, **inputs)
        if self._stream is None:
            raise ScanStateError("feed.map has no symbols; pass them, or call feed.stream first")
        return _mapped(fn, executor, self._stream, self)

    # -- the results -------------------------------------------------------------------------

    def __call__(self, symbol: str, result: object) -> None:
        """Take the result of one symbol: whatever `Outcome.of` reads, an exception included."""
        with self._lock:
            scan = self._scan
            if scan is None:
                self._note("a result arrived while no scan was open", symbol)
                return
            if symbol not in scan.universe:
                self._note("a result arrived for a symbol that is not part of the scan", symbol)
                return
            if symbol in self._seen:
                self._note("a second result arrived for a symbol; the first one counts", symbol)
                return
            self._seen.add(symbol)
            try:
                self._arrived[symbol] = scan.read(symbol, result)
            except AdapterError as error:
                self._note("a result could not be read", symbol, error)
                self._arrived[symbol] = Outcome.failed(error)
            self._has_results = True
            if self._arrived[symbol].may_pass:  # it is offered again: its next result counts
                self._seen.discard(symbol)
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
    def mode(self) -> str | None:
        """Mode of the open scan; None where none is open."""
        scan = self._scan
        return None if scan is None else scan.mode

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
            self._has_results = False
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
    """Symbols of a scan, one by one, from any thread; warns of a loop that takes all at once."""

    def __init__(self, feed: ResultFeed, scan: Scan) -> None:
        self._feed, self._scan = feed, scan
        self._lock = threading.Lock()
        self._batch: Iterator[str] = iter(())
        self._n_taken = 0
        # Small universes are taken at once by workers that need that many.
        self._too_many = max(_TOO_MANY * len(scan.symbols), min(_FEW, len(scan.symbols) - 1))

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        with self._lock:
            symbol = next(self._batch, None)
            if symbol is None:
                self._feed._flush()
                self._batch = iter(self._scan.next_batch(self._feed._batch_size))
                symbol = next(self._batch, None)
            if symbol is None:
                raise StopIteration
            self._n_taken += 1
            is_first_too_many = self._too_many < self._n_taken <= self._too_many + 1
            if is_first_too_many and not self._feed._has_results:
                log.warning(
                    "%d of %d symbols were taken before the first result came back, so this scan "
                    "cannot learn while it runs. A pool's map, or a chunksize, takes them all in "
                    "advance; use `for symbol, result in feed.map(fn, executor, symbols)`, or "
                    "chunksize=1.", self._n_taken, len(self._scan.symbols),
                )  # fmt: skip
            return symbol


def _mapped(
    fn: Callable[[str], object], executor: Any, symbols: Iterator[str], feed: ResultFeed
) -> Iterator[tuple[str, object]]:
    """Keep the workers of an executor busy, and no more symbols out than that takes."""
    done: SimpleQueue[tuple[str, object]] = SimpleQueue()
    n_workers = workers_of(executor)
    n_out = 0

    def submit(symbol: str) -> None:
        def put(result: object) -> None:
            done.put((symbol, result))

        if hasattr(executor, "apply_async"):  # multiprocessing's pools
            executor.apply_async(fn, (symbol,), callback=put, error_callback=put)
        else:
            executor.submit(fn, symbol).add_done_callback(lambda future: put(result_of(future)))

    try:
        while True:
            # One more than there are workers, so that none waits for this loop.
            while n_out <= n_workers and (symbol := next(symbols, None)) is not None:
                submit(symbol)
                n_out += 1
            if n_out == 0:
                return
            symbol, result = done.get()
            n_out -= 1
            if isinstance(result, tuple) and len(result) == 2 and result[0] == symbol:
                result = result[1]
            feed(symbol, result)
            yield symbol, result
    finally:
        for _ in range(n_out):  # a loop that was left: what runs is waited for and counts
            symbol, result = done.get()
            feed(symbol, result)
