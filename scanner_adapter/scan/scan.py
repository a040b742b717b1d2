"""A scan in progress, as the scanner sees it: ask for a batch, scan it, report it.

1. `next_batch(k)`  the ranker draws from the posterior and hands out the k most promising symbols
                    that remain, a few of them at random;
2. the scanner evaluates them;
3. `report(rows)`   the outcomes become rewards and are journaled in the store; the belief and
                    today's pattern are updated before the next batch;
4. leaving the `with` block closes the scan: the belief learns from the scan as a whole and is
   written to a snapshot. Stopping early is normal.

If scanrank itself fails at any point, the scan continues in the given order and logs one warning:
a scanner never fails because of its prioritiser.

Modules: `opened` (opening), `early` (batches before the features are computed), `session`
(choosing, claiming, journaling and learning), `worker` and `pacing` (leases and batch sizes in a
shared scan), `known` (queries), `result_check` (warnings about results), `closing` (the end) and
`abandoned` (scans that nobody closed). Outside this room: `ledger` and `live.operators`.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol, Unpack
from weakref import WeakSet

import numpy as np
import pandas as pd

from bandit.checks import as_count, as_number
from bandit.choice.draw import Choice
from bandit.rewards import RewardRule
from scanner_adapter.batch import SECONDS_PER_DAY, Batch, ScanSummary, time_of
from scanner_adapter.blas_threads import one_blas_thread
from scanner_adapter.errors import CALLERS_ERRORS, ScanStateError
from scanner_adapter.inputs.context import MarketFacts, ScanInputs
from scanner_adapter.inputs.outcome_table import OutcomeTable, read_report
from scanner_adapter.inputs.outcomes import Outcome, RowMap
from scanner_adapter.ledger import ErrorStreak, Ledger
from scanner_adapter.live.operators import OperatorLine, fixed_fields
from scanner_adapter.live.status import LiveStatus
from scanner_adapter.options import ModeChoice
from scanner_adapter.run.coroutines import run_scan_async
from scanner_adapter.run.executor import run_scan
from scanner_adapter.scan.closing import save_scan
from scanner_adapter.scan.early import EarlyBatches
from scanner_adapter.scan.known import KnownScan
from scanner_adapter.scan.opened import Opened
from scanner_adapter.scan.result_check import ResultCheck
from scanner_adapter.scan.session import ScanSession
from scanner_adapter.scan.worker import WorkerLeases
from scanner_adapter.state.comparison import Comparison
from scanner_adapter.state.kept_bars import KeptBars
from scanner_adapter.state.learned_state import LearnedState

__all__ = ["Batch", "Scan", "ScanSummary"]

log = logging.getLogger("scanrank")

# All scans of this process: a symbol handed out by one ruleset's scan may be reported to another.
_SCANS: WeakSet[Scan] = WeakSet()


class FactsReader(Protocol):
    """Computes a scan's market facts again, with some inputs replaced."""

    def __call__(self, now: datetime | None, **inputs: Unpack[ScanInputs]) -> MarketFacts:
        """Return the market facts as of `now`."""


class Scan(KnownScan):
    """One scan, created by `SymbolRanker.start_scan` and used as a context manager.

    Notes
    -----
    Thread-safe: calls are serialised. `run` runs evaluations on an executor, `arun` as coroutines;
    `ResultFeed` serves scanners that have a loop of their own.
    """

    def __init__(
        self,
        *,
        scan_id: str,
        mode: ModeChoice,
        symbols: tuple[str, ...],
        learned: LearnedState | None,
        opened: Opened | EarlyBatches | None,
        scan_time: float,
        started: float,
        overhead_s: float,
        lock: threading.RLock,
        rule: RewardRule,
        row_map: RowMap | None = None,
        failure: BaseException | None = None,
        compare: Callable[[], Comparison] | None = None,
        leases: WorkerLeases | None = None,
        batch_size: int = 50,
        coverage: tuple[str | None, bool] = (None, False),
        bars: KeptBars,
        reread_facts: FactsReader | None = None,
    ) -> None:
        self.scan_id = scan_id
        self.batch_size = batch_size  # default of `next_batch`
        self.mode: str = mode.mode
        self.rollout = mode.rollout
        self.symbols = symbols
        self.started = started
        self.scan_time = scan_time
        self.row_map = row_map
        self.rule = rule
        self.stopped: str | None = None
        self._lock = lock
        self._compare = compare
        self._reread_facts = reread_facts
        self._leases = leases
        self._ledger = Ledger(symbols, started)
        self._bars = bars
        self._check = ResultCheck(rule, learned is not None and learned.belief.track.has_hits)
        self._warned: str | None = None
        self._is_enough: Callable[[], bool] = bool  # False, unless a run has a stop rule
        self._session = ScanSession(
            scan_id, mode.mode, self._ledger, learned=learned, opened=opened, coverage=coverage,
            scan_time=scan_time, leases=leases,
        )  # fmt: skip
        if failure is not None:
            self._session.fall_back(failure)
        fixed = fixed_fields(scan_id, mode.mode, scan_time * SECONDS_PER_DAY, learned)
        self._operators = OperatorLine(self._ledger, fixed)
        if learned is not None:
            self._operators.connect(learned, scan_id, self._status, is_shared=self.is_shared)
        self._summary: ScanSummary | None = None
        self._ended = math.inf  # by the monotonic clock
        _SCANS.add(self)
        self._is_ending = False
        self._is_done = False  # closed, and no other worker continues it
        self.overhead_s = overhead_s

    # -- the loop ----------------------------------------------------------------------------

    def next_batch(self, k: int | None = None) -> Batch:
        """Choose up to `k` symbols to scan next; an empty (falsy) batch means the end.

        Once everything was handed out, symbols whose evaluation failed are handed out again. In a
        shared scan the call waits while other workers hold all remaining symbols; a batch is then
        empty before the end only if this worker still has outcomes to report, or is to stop.

        Parameters
        ----------
        k : int, optional
            By default the `batch_size` of the settings, 50. While features are being computed
            (`awaits_features`), a batch has at most one symbol per worker.

        Raises
        ------
        InvalidInputError
            If `k` is not a whole number of at least 1.
        ScanStateError
            After the scan has ended.
        """
        k = self.batch_size if k is None else as_count(k, "k")
        while True:
            with self._lock:
                batch = self._next_batch(k)
                leases = self._leases
                if batch or leases is None or leases.holds_some or not leases.waits_for_others:
                    return batch
                if self.stop_asked is not None or self._is_enough():
                    return batch
            leases.pause()

    def _next_batch(self, k: int) -> Batch:
        with self._lock:
            self._check_open("ask for a batch")
            ledger, session, leases = self._ledger, self._session, self._leases
            with self._timed():
                session.use_features_if_ready()
                self._operators.poll(None if session.awaits_features else session.queue)
                if self.stop_asked is not None:
                    if self.stopped is None and not ledger.is_handed_out.all():
                        self.stopped = self.stop_asked
                    return Batch(ledger.n_batches, (), np.empty(0, bool), np.empty(0))
                if session.awaits_features and self.mode == "on":
                    k = min(k, self._operators.view.workers or os.cpu_count() or 1)
                if leases is None:
                    choice = session.choose(k)
                    if choice.arms.size == 0 and (again := ledger.retry_failed(k)):
                        places = ledger.places(again)
                        chances = ledger.is_random[places], ledger.propensity[places]
                        return Batch(ledger.n_batches, again, *chances)
                else:
                    choice = session.choose_and_claim(leases, k)
                symbols = ledger.hand_out(choice, is_counted=leases is None or choice.arms.size > 0)
            return Batch(ledger.n_batches, symbols, choice.is_random, choice.propensity)

    def batches(self, k: int | None = None) -> Iterator[Batch]:
        """Iterate over batches until everything was handed out."""
        while batch := self.next_batch(k):
            yield batch

    async def abatches(self, k: int | None = None) -> AsyncIterator[Batch]:
        """Iterate over batches with `async for`; choosing one blocks for milliseconds."""
        while batch := self.next_batch(k):
            yield batch

    def read(self, symbol: str, result: object) -> Outcome:
        """Convert what the scanner returned for `symbol` to an outcome, as `report` does.

        Raises
        ------
        InvalidOutcomeError
            If the result cannot be read.
        """
        return Outcome.of(result, symbol=symbol, row_map=self.row_map, rule=self.rule)

    def report(self, rows: Mapping[str, object] | pd.DataFrame | OutcomeTable) -> None:
        """Report outcomes of symbols that were handed out, and learn from them.

        The first outcome of a symbol counts; reporting it again changes nothing. Only an error is
        replaced by a later outcome.

        Parameters
        ----------
        rows : mapping of symbol to outcome, DataFrame or OutcomeTable
            An outcome is anything `Outcome.of` reads: a number, a row, an exception. A DataFrame
            has a column `symbol`, or the symbols as its index.

        Raises
        ------
        InvalidOutcomeError
            If an outcome cannot be read, or a symbol is not part of the scan or was not handed out
            by any scan of this process. Nothing of the report is used.
        ScanStateError
            After the scan has ended.
        """
        with self._lock:
            self._check_open("report outcomes")
            with self._timed():
                table = read_report(rows, self.row_map, self.rule, self._bars.add)
                self._admit_others(table.symbols)
                places = self._ledger.check(table.symbols)
                if self._leases is not None:
                    self._leases.settle(table.symbols)
                is_new = self._ledger.is_open(places)
                if not is_new.all():
                    table, places = table.take(np.flatnonzero(is_new)), places[is_new]
                if places.size:
                    self._session.learn(table, places)
                    n_again = int(np.count_nonzero(self._ledger.may_pass[places]))
                    self._ledger.record(table, places)
                    self._check.observe(table, n_again=n_again)
                    self._warn()
                self._operators.publish()

    def refresh(self, *, now: datetime | None = None, **inputs: Unpack[ScanInputs]) -> None:
        """Re-rank the remaining symbols by current market data.

        For long scans: `scan.refresh(quotes=snapshot)` every few minutes, or `run(refresh=...)`.
        Symbols already handed out are learned with the features that they were chosen by.

        Parameters
        ----------
        now : datetime, optional
            Time of the quotes, with a timezone; by default the current time.
        **inputs
            `quotes`, or other market inputs of `SymbolRanker.start_scan`; inputs that are not
            given stay as they were, and so do quotes if none of the new ones is usable.

        Raises
        ------
        InvalidContextError, InvalidQuotesError, InvalidBarsError
            For invalid inputs; the scan continues with its previous ones.
        ScanStateError
            After the scan has ended.
        """
        self._check_open("refresh it")
        if now is not None:
            time_of(now)  # raises unless it is a time with a timezone
        with self._lock:
            if self._reread_facts is None or self._session.open_scan is None:
                return  # mode off, or a failure: the given order stays
        # Outside the lock, so that evaluations continue.
        facts = self._reread_facts(now, **inputs)
        with self._lock:
            if self._summary is None:
                with self._timed():
                    self._session.refresh(facts)

    # The whole loop in one call: `scan.run(fn, ...)`, `await scan.arun(fn, ...)`.
    run = run_scan
    arun = run_scan_async

    # -- what is known -----------------------------------------------------------------------

    def listen(self) -> None:
        """Poll for operators' requests between batches too; `next_batch` and `report` do so."""
        self._operators.listen()

    def show(
        self, *, workers: int, target: float | None, is_enough: Callable[[], bool] | None = None
    ) -> None:
        """Set the number of concurrent evaluations and the target recall that the status shows.

        While `is_enough` returns true, `next_batch` does not wait for other workers.
        """
        self._is_enough = is_enough or self._is_enough
        view = self._operators.view
        view.workers = as_count(workers, "workers")
        if target is not None:
            view.target = as_number(target, "target", "a recall in (0, 1]", above=0.0, most=1.0)

    def record_retry(self, error: str | None) -> None:
        """Record the result of evaluating `last_good` again during a streak of errors."""
        with self._lock:
            if error is None:
                self._ledger.streak = ErrorStreak()
            else:
                self._ledger.streak.is_confirmed = True

    def status(self) -> LiveStatus:
        """Return the scan as the live page, the API and `scanrank watch` show it.

        Takes a few milliseconds at most; expensive parts are updated less often.
        """
        return LiveStatus.from_json(self._status())

    @property
    def summary(self) -> ScanSummary:
        """Summary of the scan so far; final once the scan has ended."""
        return self._summary or self._summarise("scan is still open")

    # -- ending ------------------------------------------------------------------------------

    def close(self) -> ScanSummary:
        """End the scan: learn from it as a whole, and write a snapshot of the belief.

        A second call returns the same summary. A failure to save is logged, not raised; see
        `ScanSummary.store_status`.
        """
        with self._lock:
            if self._summary is None:
                self._is_ending = True
                comparison = None
                with self._timed():
                    with suppress(*CALLERS_ERRORS):  # recorded in `failure`
                        self._session.use_features()
                    self._warn()
                    status, self._is_done = save_scan(
                        self._session, self._ledger, self._leases, self.rollout
                    )
                    self._save_bars()
                    if self._compare is not None and self.rollout is not None:
                        try:
                            comparison = self._compare()
                        except Exception as error:
                            log.warning(
                                "prioritised and control scans could not be compared: %s", error
                            )
                self._summary = self._summarise(status, comparison)
            summary = self._summary
        if math.isinf(self._ended):
            # Outside the lock, which the publishing thread may be waiting for.
            self._operators.close(has_last=self._is_done)
            self._ended = time.monotonic()
        return summary

    def __enter__(self) -> Scan:
        """Return the scan itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the scan; reported outcomes are kept even if the loop raised."""
        if error is not None and self.stopped is None:
            self.stopped = f"{type(error).__name__}: {error}".removesuffix(": ")
        try:
            self.close()
        except BaseException:  # Ctrl-C while it is saved: it is saved, then the program ends
            self.close()
            raise

    # -- inside ------------------------------------------------------------------------------

    def read_back(self) -> None:
        """Restore this scan's outcomes from the journal, to resume it."""
        with self._lock:
            self._session.read_back()

    def admit(self, choice: Choice) -> None:
        """Hand out places that were chosen elsewhere, for example by a `RankerGroup`."""
        with self._lock, self._timed():
            self._check_open("take symbols")
            open_scan = self._session.open_scan
            if open_scan is not None:
                open_scan.admit(choice.arms)
            self._ledger.hand_out(choice, is_counted=True)
            self._ledger.is_steered_elsewhere = True

    def _admit_others(self, symbols: Sequence[str]) -> None:
        """Admit symbols handed out by a scan of another ruleset, so that one fetch serves both."""
        ledger = self._ledger
        places = [ledger.place[symbol] for symbol in symbols if symbol in ledger.place]
        early = [place for place in places if not ledger.is_handed_out[place]]
        if not early or self._leases is not None:
            return
        # Scans that were open at some time since this one started.
        others = [s._ledger for s in _SCANS if s is not self and s._ended > self.started]
        known = [
            place for place in early
            if any(o.has_handed_out(self.symbols[place]) for o in others)
        ]  # fmt: skip
        if len(known) == len(early):
            self.admit(Choice.certain(known))

    def retry_failed(self, k: int) -> tuple[str, ...]:
        """Hand out up to `k` failed symbols a second time."""
        with self._lock:
            return self._ledger.retry_failed(k)

    def _save_bars(self) -> None:
        """Save the bars that came with the results, for the next scan."""
        try:
            self._bars.save()
        except Exception as error:
            log.warning("bars of scan %s could not be stored: %s", self.scan_id, error)

    def _warn(self) -> None:
        """Log the warning about the results, once."""
        if self._warned is None and (warning := self._results_warning()) is not None:
            self._warned = warning
            log.warning("scan %s: %s", self.scan_id, warning)

    def _status(self) -> dict[str, Any]:
        """Return the status to publish, as `scanner_adapter.live.status.LiveStatus` reads it."""
        with self._lock, one_blas_thread():
            return self._operators.view.build(
                open_scan := self._session.current,
                None if open_scan is None else self._session.queue,
                self._session.n_to_recall,
                state="done" if self._is_done else "scanning",
                stopped=self.stopped if self._summary is None else self._summary.stopped,
                failure=self.failure,
                warning=" · ".join(filter(None, (self._known, self.warning))) or None,
            )

    def _summarise(self, status: str, comparison: Comparison | None = None) -> ScanSummary:
        ledger, open_scan, learned = self._ledger, self._session.current, self._session.learned
        left = len(self.symbols) - ledger.n_reported
        has_left = left > 0 and self._is_ending  # an open scan has not stopped
        return ScanSummary(
            scan_id=self.scan_id,
            mode=self.mode,
            n_symbols=len(self.symbols),
            n_scanned=ledger.n_reported,
            n_errors=ledger.n_errors,
            n_hits=self.n_hits,
            estimate=open_scan.estimate() if open_scan is not None else None,
            seconds=time.monotonic() - self.started,
            overhead_s=self.overhead_s + self._session.early_cpu_s,
            stopped=self.stopped or (f"{left} symbols were not scanned" if has_left else None),
            n_scans_learned=learned.belief.n_scans if learned is not None else 0,
            store_status=status,
            first_error=ledger.first_error,
            failure=self.failure,
            comparison=comparison,
            warning=self.warning,
            coverage=self.coverage,
        )

    def _check_open(self, action: str) -> None:
        if self._summary is not None:
            raise ScanStateError(
                f"scan {self.scan_id} has ended; cannot {action}. Start a new scan"
            )

    @contextmanager
    def _timed(self) -> Iterator[None]:
        # Processor time, not wall time: while it waits for the interpreter lock, the scanner's own
        # threads run.
        start = time.thread_time()
        try:
            # Mode off multiplies no matrices, so it need not pay for switching the limit.
            with one_blas_thread() if self._session.learned is not None else nullcontext():
                yield
        finally:
            self.overhead_s += time.thread_time() - start
