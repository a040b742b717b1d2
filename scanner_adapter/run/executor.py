"""Run a whole scan over any executor, with timeouts and retries, and stop it cleanly."""

from __future__ import annotations

import math
import os
import queue
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, wait
from typing import Any

from bandit.checks import as_count, as_kind
from bandit.errors import InvalidInputError
from scanner_adapter.batch import ScanSummary
from scanner_adapter.run.fetching import Prefetch, Prefetcher, Refresh, Refresher
from scanner_adapter.run.pipeline import OnResult, Pipeline, check_run
from scanner_adapter.run.progress import OnProgress, Progress
from scanner_adapter.run.protocol import RunnableScan
from scanner_adapter.run.stop_rules import (
    DEFAULT_ERRORS,
    StopRule,
    TooManyErrors,
    error_rule,
    seconds_left,
)
from scanner_adapter.run.vendor_errors import Patient

__all__ = ["OnProgress", "OnResult", "Prefetch", "Progress", "ScanFunction", "run_scan"]

ScanFunction = Callable[[str], object]

# Seconds between two checks of evaluations with a timeout: a timeout is late by at most this.
_TICK_S = 0.05


def run_scan(
    scan: RunnableScan,
    fn: ScanFunction,
    *,
    executor: Executor | None = None,
    batch_size: int | None = None,
    until: StopRule | None = None,
    on_result: OnResult | None = None,
    on_hit: OnResult | None = None,
    on_progress: OnProgress | None = None,
    workers: int | None = None,
    timeout_s: float | None = None,
    retries: int = 0,
    prefetch: Prefetch | None = None,
    refresh: Refresh | None = None,
    every_s: float = 60.0,
    errors: TooManyErrors | None = DEFAULT_ERRORS,
) -> ScanSummary:
    """Scan symbols with `fn` in the ranker's order and close the scan.

    Parameters
    ----------
    fn : callable
        Takes a symbol, returns anything `Outcome.of` reads. What it raises, or returns that
        cannot be read, is recorded as that symbol's error; the scan goes on. For processes it must
        be importable by name, as for any process pool.
    executor : Executor, optional
        Threads, processes, loky, or a dask client's `get_executor()`; by default symbols are
        evaluated one after the other in this thread. It is not shut down.
    batch_size : int, optional
        Symbols chosen at a time; by default 50 with one worker, and adaptive with several: as
        small as overhead allows, so that the scan learns often.
    until : StopRule, optional
        Asked after every report.
    on_result : callable, optional
        Called in this thread with (symbol, outcome) as results arrive.
    on_hit : callable, optional
        Called in this thread with (symbol, outcome), once for each high-value result: after the
        report that made it known, or when the scan has closed, because the limit of a top share
        is provisional until then.
    on_progress : callable, optional
        Called with a `Progress` after every report.
    workers : int, optional
        Evaluations at a time, for executors without a known number of workers (dask). By default
        the executor's own number, else the number of processors.
    timeout_s : float, optional
        Seconds after which an evaluation is given up (needs an executor). A thread cannot be
        killed: it stays occupied until `fn` returns. When all threads are occupied so, the scan
        stops with that reason.
    retries : int
        How often a failed evaluation is repeated before the failure becomes the outcome.
    prefetch : callable, optional
        Called with the symbols of the next batch, in a thread, while the current batch is
        evaluated; so the next batch is chosen one batch earlier.
    refresh : callable, optional
        Called without arguments, in a thread of its own, every `every_s` seconds; returns fresh
        quotes in any shape that `SymbolRanker.start_scan` takes. The symbols that remain are ranked
        by them.
    every_s : float
    errors : TooManyErrors or None
        When to give up because the data vendor no longer answers, and how long to wait where an
        error says when to ask again; None = never give up. One in `until` replaces it.

    Notes
    -----
    Stopping, by Ctrl-C too, cancels evaluations that have not started, waits for those that have
    (at most `timeout_s`), reports them and closes the scan, so that what was learned is kept.
    KeyboardInterrupt is then raised again.
    """
    check_run(fn, timeout_s=timeout_s, retries=retries)
    if executor is not None:
        as_kind(executor, "executor", Executor, "a concurrent.futures.Executor")
    fetched = Prefetcher(prefetch)
    n_workers = 1 if executor is None else workers_of(executor, workers)
    if timeout_s is not None and executor is None:
        raise InvalidInputError(
            "timeout_s needs an executor, because nothing can interrupt this thread"
        )
    pipeline = Pipeline(
        scan, n_workers=n_workers, batch_size=batch_size, until=until, on_result=on_result,
        on_hit=on_hit, on_progress=on_progress, errors=(limit := error_rule(until, errors)),
        overlaps=executor is not None and scan.is_shared,
    )  # fmt: skip
    patient = Patient(fn, 0.0 if limit is None else limit.longest_pause_s)
    evaluations = Evaluations(
        executor, patient, n_workers=n_workers, timeout_s=timeout_s, retries=retries
    )
    refresher = Refresher(scan, refresh, every_s)
    with scan, refresher, fetched:
        try:
            while True:
                evaluations.start(fetched.next_symbols(pipeline))
                if pipeline.is_over:
                    break
                result = evaluations.take(seconds_left(until, scan))
                if result is not None:
                    pipeline.finish(*result)
                    # Not before: an interrupt in between would lose the result.
                    evaluations.forget(result[0])
                pipeline.ask()
                evaluations.start(pipeline.probe(), is_first=True)
                if not pipeline.is_ending and evaluations.n_stuck >= n_workers:
                    pipeline.stop(f"all {n_workers} workers are hung in evaluations that timed out")
                if pipeline.is_stopped:
                    patient.wake()
                    pipeline.drop(fetched.drop() | evaluations.cancel())
            pipeline.end()
        except BaseException:
            patient.wake()
            evaluations.cancel()
            pipeline.abort()
            try:
                evaluations.wait(timeout_s)
            finally:  # at a second Ctrl-C, too
                for result in evaluations.returned():
                    pipeline.finish(*result)
                pipeline.end()
            raise
        finally:
            patient.end()
    pipeline.announce_rest()
    return scan.summary


def workers_of(executor: Any, workers: int | None = None) -> int:
    """Return how many evaluations an executor, or a pool, runs at a time."""
    if workers is not None:
        as_count(workers, "workers")
    # Threads, processes and loky, then multiprocessing's pools; dask does not say.
    own = getattr(executor, "_max_workers", None) or getattr(executor, "_processes", None)
    return workers or own or os.cpu_count() or 1


class Evaluations:
    """Evaluations under way: started, timed out, tried again, taken one by one.

    Parameters
    ----------
    executor : Executor or None
        None = each symbol is evaluated when its result is taken, in the calling thread.
    fn : callable
    n_workers : int
    timeout_s : float or None
    retries : int

    Notes
    -----
    Results come through a queue that each future fills, so that taking one costs the same
    whether ten or a thousand are under way.
    """

    def __init__(
        self,
        executor: Executor | None,
        fn: ScanFunction,
        *,
        n_workers: int,
        timeout_s: float | None,
        retries: int,
    ) -> None:
        self._executor = executor
        self._fn = fn
        self._n_workers = n_workers
        self._timeout_s = timeout_s
        self._retries = retries
        self._done: queue.SimpleQueue[tuple[str, Future[object]]] = queue.SimpleQueue()
        self._futures: dict[str, Future[object]] = {}
        self._waiting: deque[str] = deque()  # without an executor
        self._next_look = -math.inf
        self._running_since: dict[str, float] = {}
        self._n_tries: dict[str, int] = {}
        self._stuck: set[Future[object]] = set()
        self._suspects: list[str] = []  # symbols being evaluated when a worker of the pool died

    @property
    def n_stuck(self) -> int:
        """Workers occupied by evaluations that timed out and have not returned."""
        self._stuck = {future for future in self._stuck if not future.done()}
        return len(self._stuck)

    def start(self, symbols: Sequence[str], *, is_first: bool = False) -> None:
        """Hand symbols to the executor; `is_first` puts them before what waits in this thread."""
        for symbol in symbols:
            self._submit(symbol)
            if is_first and self._executor is None:
                self._waiting.rotate(1)

    def take(self, wait_s: float) -> tuple[str, object] | None:
        """Return (symbol, what the scanner returned or raised); None when the wait is over.

        The symbol stays under way until `forget`.
        """
        if self._executor is None:
            return self._evaluate_one()
        deadline = time.monotonic() + wait_s
        while True:
            timed_out = self._timed_out()
            if timed_out is not None:
                return timed_out
            left = max(deadline - time.monotonic(), 0.0)
            if self._timeout_s is not None:
                left = min(left, _TICK_S)
            try:
                symbol, future = self._done.get(timeout=None if math.isinf(left) else left)
            except queue.Empty:
                if time.monotonic() >= deadline or self.n_stuck >= self._n_workers:
                    return None
                continue
            if self._futures.get(symbol) is not future:
                continue  # it timed out or was cancelled before it returned
            under_way = list(self._futures)[: self._n_workers]  # the first ones run
            value = result_of(future)  # a scanner that ends the process raises here
            if isinstance(value, BrokenExecutor):
                self._suspects = self._suspects or under_way
                value = self._broken(value)
            if isinstance(value, Exception) and self._may_retry(symbol):
                self.forget(symbol)
                self._submit(symbol)
                continue
            return symbol, value

    def cancel(self) -> set[str]:
        """Cancel what has not started; return its symbols."""
        cancelled = {symbol for symbol, future in self._futures.items() if future.cancel()}
        for symbol in cancelled:
            self.forget(symbol)
        cancelled.update(self._waiting)
        self._waiting.clear()
        return cancelled

    def wait(self, wait_s: float | None) -> None:
        """Wait at most `wait_s` for all evaluations under way."""
        wait(self._futures.values(), wait_s)

    def returned(self) -> Iterator[tuple[str, object]]:
        """Yield (symbol, result) of each evaluation under way that has returned.

        The futures are asked, not the queue: an interrupt may have come when a result was half
        taken out of it, or not yet bound for it. Evaluations that the interrupt ended, or their
        worker's death by it, are left out.
        """
        for symbol, future in self._futures.items():
            if future.done() and not future.cancelled():
                error = future.exception()
                if isinstance(error, Exception | None) and not isinstance(error, BrokenExecutor):
                    yield symbol, result_of(future)

    def _evaluate_one(self) -> tuple[str, object]:
        symbol = self._waiting.popleft()
        while True:
            try:
                return symbol, self._fn(symbol)
            except Exception as error:
                if not self._may_retry(symbol):
                    return symbol, error

    def _submit(self, symbol: str) -> None:
        if self._executor is None:
            self._waiting.append(symbol)
            return
        try:
            future = self._executor.submit(self._fn, symbol)
        except BrokenExecutor as error:
            raise self._broken(error) from error
        self._futures[symbol] = future
        future.add_done_callback(lambda done: self._done.put((symbol, done)))

    def _broken(self, error: BrokenExecutor) -> BrokenExecutor:
        """Return the error of a pool whose process died, naming the symbols in question."""
        named = ", ".join(self._suspects) or "a symbol of an earlier scan"
        return type(error)(f"a worker of the pool died while evaluating {named}: {error}")

    def forget(self, symbol: str) -> None:
        """Count a symbol as no longer under way."""
        self._futures.pop(symbol, None)
        self._running_since.pop(symbol, None)

    def _may_retry(self, symbol: str) -> bool:
        n_tries = self._n_tries.pop(symbol, 0) + 1
        if n_tries > self._retries:  # the failure is the outcome
            return False
        self._n_tries[symbol] = n_tries
        return True

    def _timed_out(self) -> tuple[str, object] | None:
        """Give up one evaluation that took too long; try it again or return its failure."""
        now = time.monotonic()
        # A look at a thousand futures takes half a millisecond: not for every result.
        if self._timeout_s is None or now < self._next_look:
            return None
        for symbol, future in list(self._futures.items()):
            # An executor does not say when an evaluation began; seen running is close enough.
            if future.running() and now - self._running_since.setdefault(symbol, now) > (
                self._timeout_s
            ):
                self._stuck.add(future)
                self.forget(symbol)
                if not self._may_retry(symbol):
                    return symbol, TimeoutError(f"no result within {self._timeout_s:g} s")
                self._submit(symbol)
        self._next_look = now + _TICK_S
        return None


def result_of(future: Future[object]) -> object:
    """Return what the scanner returned, or the exception that it raised."""
    try:
        return future.result()
    except CancelledError:
        return RuntimeError("the executor cancelled the evaluation")
    except Exception as error:
        # A scanner may fail in any way for one symbol; the failure is that symbol's outcome.
        return error
