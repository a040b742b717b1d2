"""A scan in progress, as the scanner sees it: ask for a batch, scan it, report it.

1. `next_batch(k)`  the ranker draws and hands out the k most promising symbols that remain,
                    a few of them at random;
2. the scanner evaluates them, in whatever way it does;
3. `report(rows)`   the outcomes become rewards and are journaled in the store; the belief and
                    today's pattern move before the next batch;
4. leaving the `with` block closes the scan: what it taught as a whole is learned, and the
   belief is snapshotted. Stopping early is normal.

If scanrank itself breaks anywhere on the way, the scan goes on in the given order with one
warning: a scanner never fails because of its prioritiser.

What it is made of: `ledger` (what was handed out and came back), `session` (the belief's part:
choosing and learning), `known` (what can be asked), `claims` (several workers), `live.operators`
(who looks and steers) and `closing` (the end).
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import (
    AsyncIterator,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
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

# Of this process: what one ruleset's scan handed out, another's may report.
_SCANS: WeakSet[Scan] = WeakSet()


class FactsReader(Protocol):
    """Reads a scan's inputs again, with some of them replaced."""

    def __call__(self, now: datetime | None, **inputs: Unpack[ScanInputs]) -> MarketFacts:
        """Return what the market says now."""


class Scan(KnownScan):
    """One scan; made by `SymbolRanker.start_scan`, used as a context manager.

    Notes
    -----
    Thread-safe: calls wait for one another. `run` spreads evaluations over an executor, `arun`
    over coroutines, and `ResultFeed` serves scanners that own their loop.
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
        self.batch_size = batch_size  # where the loop names none
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
        self._is_done = False  # not yet, or by this worker only
        self.overhead_s = overhead_s

    # -- the loop ----------------------------------------------------------------------------

    def next_batch(self, k: int | None = None) -> Batch:
        """Choose up to `k` symbols to scan next; an empty (false) batch means the end.

        When everything was handed out, symbols whose evaluation failed come once more.

        Without `k` as many as the settings say, 50 by default. While features are still computed
        (`awaits_features`), at most one for each worker.

        In a shared scan it waits while all that is left is being scanned by other workers, and is
        empty before the end only while outcomes of this worker's own are still to be reported.

        Raises
        ------
        InvalidInputError
            For a `k` that is not a whole number of at least 1.
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
                if self.stop_asked is not None:
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
        """Iterate over batches with `async for`; choosing one takes milliseconds."""
        while batch := self.next_batch(k):
            yield batch

    def read(self, symbol: str, result: object) -> Outcome:
        """Read what the scanner returned for `symbol`, as `report` does.

        Raises
        ------
        InvalidOutcomeError
            For a result that cannot be read.
        """
        return Outcome.of(result, symbol=symbol, row_map=self.row_map, rule=self.rule)

    def report(self, rows: Mapping[str, object] | pd.DataFrame | OutcomeTable) -> None:
        """Report the outcomes of symbols that were handed out.

        Parameters
        ----------
        rows : mapping of symbol to outcome, DataFrame or OutcomeTable
            An outcome is whatever `Outcome.of` reads: a number, a row, an exception. A DataFrame
            has a column `symbol`, or the symbols as index.

        Raises
        ------
        InvalidOutcomeError
            For an outcome that cannot be read, or a symbol that is not part of the scan or was
            not handed out, neither by this scan nor by one of another ruleset in this process;
            nothing of the report is used.
        ScanStateError
            After the scan has ended.

        Notes
        -----
        The first outcome of a symbol counts, and reporting it again changes nothing; only an error
        is replaced by what comes later.
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
        """Rank what remains anew, by what the market shows now.

        For scans that take long: `scan.refresh(quotes=snapshot)` every few minutes; `run` does so
        by itself, given `refresh=`. What was handed out is learned from as it was chosen.

        Parameters
        ----------
        now : datetime, optional
            The moment as of which quotes count; by default the clock.
        **inputs
            `quotes`, or whatever else `SymbolRanker.start_scan` takes of the market; what is not
            named stays as it was.

        Raises
        ------
        InvalidContextError, InvalidQuotesError, InvalidBarsError
            For inputs that do not fit; the scan goes on with what it knew.
        ScanStateError
            After the scan has ended.
        """
        self._check_open("refresh it")
        if now is not None:
            time_of(now)  # refuses what is no moment
        with self._lock:
            if self._reread_facts is None or self._session.open_scan is None:
                return  # the given order stands: mode off, or a failure
        # Not under the lock: evaluations go on meanwhile.
        facts = self._reread_facts(now, **inputs)
        with self._lock:
            if self._summary is None:
                with self._timed():
                    self._session.refresh(facts)

    # The whole loop in one call: `scan.run(fn, ...)`, `await scan.arun(fn, ...)`.
    run = run_scan
    arun = run_scan_async

    # -- what is known -----------------------------------------------------------------------

    @property
    def _known(self) -> str | None:
        """What the bars know of the symbols, where that is not everything."""
        line, is_partial = self._session.coverage
        return line if is_partial else None

    @property
    def stop_asked(self) -> str | None:
        """Why the scan is to end at an operator's request; None to go on."""
        return self._operators.stop_asked

    def listen(self) -> None:
        """Poll for operators' requests between batches too; a loop of its own need not call it."""
        self._operators.listen()

    def show(self, *, workers: int, target: float | None) -> None:
        """Publish with the status how many evaluate at a time, and which recall is aimed at."""
        view = self._operators.view
        view.workers = as_count(workers, "workers")
        if target is not None:
            view.target = as_number(target, "target", "a recall in (0, 1]", above=0.0, most=1.0)

    def record_retry(self, error: str | None) -> None:
        """Note that `last_good` was evaluated once more during a streak of errors."""
        with self._lock:
            if error is None:
                self._ledger.streak = ErrorStreak()
            else:
                self._ledger.streak.is_confirmed = True

    def status(self) -> LiveStatus:
        """Return the scan as the live page, the API and `scanrank watch` show it.

        Costs a few milliseconds at most; what takes longer is renewed less often.
        """
        return LiveStatus.from_json(self._status())

    @property
    def summary(self) -> ScanSummary:
        """What the scan did; complete once it has ended."""
        return self._summary or self._summarise("scan is still open")

    # -- ending ------------------------------------------------------------------------------

    def close(self) -> ScanSummary:
        """End the scan: learn what it taught as a whole and snapshot the belief."""
        is_first = False
        with self._lock:
            if self._summary is None:
                self._is_ending = True
                comparison = None
                with self._timed():
                    with suppress(*CALLERS_ERRORS):  # said in `failure`; the scan is over
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
                            log.warning("prioritised and control scans not compared: %s", error)
                self._summary = self._summarise(status, comparison)
                self._ended = time.monotonic()
                is_first = True
            summary = self._summary
        if is_first:
            # Not under the lock: the thread that publishes may be waiting for it.
            self._operators.close(has_last=self._is_done)
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
        """Close the scan; what was reported is kept even when the loop raised."""
        if error is not None and self.stopped is None:
            self.stopped = f"{type(error).__name__}: {error}".removesuffix(": ")
        self.close()

    # -- inside ------------------------------------------------------------------------------

    def read_back(self) -> None:
        """Take in what the journal holds of this scan already, as after an interruption."""
        with self._lock:
            self._session.read_back()

    def admit(self, choice: Choice) -> None:
        """Let places be scanned that were chosen elsewhere, as by a `RankerGroup`."""
        with self._lock, self._timed():
            self._check_open("take symbols")
            open_scan = self._session.open_scan
            if open_scan is not None:
                open_scan.admit(choice.arms)
            self._ledger.hand_out(choice, is_counted=True)
            self._ledger.is_steered_elsewhere = True

    def _admit_others(self, symbols: Sequence[str]) -> None:
        """Admit symbols that a scan of another ruleset handed out: one fetch serves both."""
        ledger = self._ledger
        places = [ledger.place[symbol] for symbol in symbols if symbol in ledger.place]
        early = [place for place in places if not ledger.is_handed_out[place]]
        if not early or self._leases is not None:
            return
        # Those that were open at some time while this one was.
        others = [s._ledger for s in _SCANS if s is not self and s._ended > self.started]
        known = [
            place for place in early
            if any(o.has_handed_out(self.symbols[place]) for o in others)
        ]  # fmt: skip
        if len(known) == len(early):
            n = len(known)
            self.admit(Choice(np.array(known, np.intp), np.zeros(n, bool), np.ones(n)))

    def retry_failed(self, k: int) -> tuple[str, ...]:
        """Hand out up to `k` symbols that failed, once more."""
        with self._lock:
            return self._ledger.retry_failed(k)

    def _save_bars(self) -> None:
        """Keep the bars that came with the results for the next scan."""
        try:
            self._bars.save()
        except Exception as error:
            log.warning("bars of scan %s are not kept: %s", self.scan_id, error)

    def _warn(self) -> None:
        """Log the warning about the results once."""
        if self._warned is None and (warning := self._results_warning()) is not None:
            self._warned = warning
            log.warning("scan %s: %s", self.scan_id, warning)

    def _status(self) -> dict[str, Any]:
        """What is published, as `scanner_adapter.live.status.LiveStatus` reads it."""
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
            stopped=self.stopped or (f"{left} symbols were not scanned" if left else None),
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
        # Processor time, not the clock: waiting for the interpreter, which the scanner's threads
        # hold, costs the scan nothing.
        start = time.thread_time()
        try:
            # Off mode multiplies nothing: it must not cost what switching threads costs.
            with one_blas_thread() if self._session.learned is not None else nullcontext():
                yield
        finally:
            self.overhead_s += time.thread_time() - start
