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
"""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from collections.abc import (
    AsyncIterator,
    Callable,
    Container,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from concurrent.futures import Executor
from contextlib import contextmanager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bandit.errors import InvalidInputError, StoreError
from bandit.explain import Explanation, GroupWeight
from bandit.open_scan import OpenScan
from bandit.queue import PriorityQueue
from bandit.recall import RecallEstimate
from bandit.stores import Entry
from scanner_adapter.blas_threads import one_blas_thread
from scanner_adapter.compare import EARLY_SHARE, Comparison
from scanner_adapter.context import factor_of
from scanner_adapter.errors import AdapterError, InvalidOutcomeError, ScanStateError
from scanner_adapter.journal_rows import numeric_rows, outcome_of, pairs_of
from scanner_adapter.kept_loadings import KeptLoadings
from scanner_adapter.learned_state import LearnedState
from scanner_adapter.live_control import ScanControl, obey
from scanner_adapter.live_link import LiveLink
from scanner_adapter.live_status import LiveStatus
from scanner_adapter.live_view import LiveView, rule_text
from scanner_adapter.modes import ModeChoice
from scanner_adapter.outcomes import Outcome, RowMap
from scanner_adapter.shared_scan import WorkerShare
from scanner_adapter.stop_rules import StopRule
from scanner_adapter.summary import Batch, ScanSummary

if TYPE_CHECKING:
    from scanner_adapter.execution import OnResult, Prefetch, ScanFunction
    from scanner_adapter.execution_async import AsyncScanFunction
    from scanner_adapter.progress import OnProgress

__all__ = ["SECONDS_PER_DAY", "Batch", "Scan", "ScanSummary"]

SECONDS_PER_DAY = 86_400.0

# A stopped scan's close entry names what was left, at some 7 bytes a symbol, up to so many.
_MOST_LEFT = 20_000

log = logging.getLogger("scanrank")


class Scan:
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
        live: OpenScan | None,
        context_names: tuple[str, ...],
        scan_time: float,
        started: float,
        lock: threading.RLock,
        row_map: RowMap | None = None,
        failure: BaseException | None = None,
        compare: Callable[[], Comparison] | None = None,
        share: WorkerShare | None = None,
        kept: KeptLoadings | None = None,
        batch_size: int = 50,
    ) -> None:
        self.scan_id = scan_id
        self.batch_size = batch_size  # where the loop names none
        self.mode: str = mode.mode
        self.rollout = mode.rollout
        self.symbols = symbols
        self.started = started
        self.scan_time = scan_time
        self.row_map = row_map
        self.stopped: str | None = None
        self.failure: str | None = None
        self._lock = lock
        self._learned = learned
        self._live = live
        self._queue = PriorityQueue(live) if live is not None else None
        self._context_names = context_names
        self._compare = compare
        self._share = share
        self._session = uuid.uuid4().hex  # tells own journal entries from those of others
        self._place = dict(zip(symbols, range(len(symbols)), strict=True))
        self._handed_out = np.zeros(len(symbols), bool)
        self._next = 0
        self._choice: dict[int, tuple[float, bool, int]] = {}  # propensity, at random, batch
        self._kept = kept
        self._sizes: list[int] = []  # of the batches since the last report
        self._was_steered = False
        self._reported: dict[str, Outcome] = {}
        self._reported_s: list[float] = []  # since the start, in the order of `_reported`
        self._early_by_start: NDArray[np.intp] | None = None
        self._n_batches = 0
        self._summary: ScanSummary | None = None
        self._is_done = False  # not yet, or by this worker only
        self._obeyed = ScanControl()
        self._view = LiveView(symbols, self._place, self._reported, factor_of(context_names))
        self._link: LiveLink | None = None
        # In mode off nothing is told, and a store inside this process nobody else can read.
        if learned is not None and learned.store.address != "memory://":
            self._link = LiveLink(
                learned.store, learned.ruleset, scan_id, self._status, is_shared=share is not None
            )
        self._view.told = {
            "scan_id": scan_id,
            "ruleset": "-" if learned is None else learned.ruleset,
            "mode": self.mode,
            "scan_time": scan_time * SECONDS_PER_DAY,
            "hit_rule": "-" if learned is None else rule_text(learned.settings.rule),
        }
        if failure is not None:
            self._give_way(failure)
        elif live is not None and self.mode == "shadow":
            n_early = self._n_early()
            self._early_by_start = np.argsort(-live.expected_scores, kind="stable")[:n_early]
        self.overhead_s = time.monotonic() - started

    # -- the loop ----------------------------------------------------------------------------

    def next_batch(self, k: int | None = None) -> Batch:
        """Choose up to `k` symbols to scan next; an empty (false) batch means the end.

        Without `k` as many as the settings say, 50 by default.

        In a shared scan it waits while all that is left is being scanned by other workers, and is
        empty before the end only while outcomes of this worker's own are still to be reported.

        Raises
        ------
        ScanStateError
            After the scan has ended.
        """
        k = self.batch_size if k is None else k
        while True:
            with self._lock:
                batch = self._next_batch(k)
                share = self._share
                if batch or share is None or share.holds_some or not share.waits_for_others:
                    return batch
                if self.stop_asked is not None:
                    return batch
            share.pause()

    def _next_batch(self, k: int) -> Batch:
        with self._lock:
            self._check_open("ask for a batch")
            if k < 1:
                raise ScanStateError(f"batch of {k} symbols; ask for at least one")
            with self._timed():
                self._hear()
                if self.stop_asked is not None:
                    return Batch(self._n_batches, (), np.empty(0, bool), np.empty(0))
                if self._share is None:
                    places, is_random, propensity = self._choose(k)
                else:
                    places, is_random, propensity = self._choose_and_claim(self._share, k)
                self._handed_out[places] = True
                self._view.drawn.update(places[is_random].tolist())
                self._n_batches += self._share is None or places.size > 0
                for place, drawn, chance in zip(places, is_random, propensity, strict=True):
                    self._choice[int(place)] = (float(chance), bool(drawn), self._n_batches)
                self._sizes.append(places.size)
                symbols = tuple(self.symbols[place] for place in places)
            return Batch(self._n_batches, symbols, is_random, propensity)

    def batches(self, k: int | None = None) -> Iterator[Batch]:
        """Iterate over batches until everything was handed out."""
        while batch := self.next_batch(k):
            yield batch

    async def abatches(self, k: int | None = None) -> AsyncIterator[Batch]:
        """Iterate over batches with `async for`; choosing one takes milliseconds."""
        while batch := self.next_batch(k):
            yield batch

    def report(self, rows: Mapping[str, object] | pd.DataFrame) -> None:
        """Report the outcomes of symbols that were handed out.

        Parameters
        ----------
        rows : mapping of symbol to outcome, or DataFrame
            An outcome is whatever `Outcome.of` reads: a number, a row, an exception. A DataFrame
            has a column `symbol`, or the symbols as index.

        Raises
        ------
        InvalidOutcomeError
            For an outcome that cannot be read, or a symbol that is not part of the scan or was
            not handed out; nothing of the report is used.
        ScanStateError
            After the scan has ended.

        Notes
        -----
        The first outcome of a symbol counts; reporting it again changes nothing.
        """
        with self._lock:
            self._check_open("report outcomes")
            with self._timed():
                outcomes = self._read(rows)
                if self._share is not None:
                    self._share.settle(outcomes)
                new = {symbol: o for symbol, o in outcomes.items() if symbol not in self._reported}
                if new and self._live is not None and self._learned is not None:
                    try:
                        self._learn(self._learned, self._live, new)
                    except (AdapterError, InvalidInputError):
                        raise
                    except Exception as error:
                        self._give_way(error)
                self._note_reported(new)
                if self._link is not None:
                    self._link.tell()
                    self._link.listen()

    def estimate(self, confidence: float = 0.9) -> RecallEstimate:
        """Estimate the share of the high-value results that was found.

        After a failure of scanrank itself everything in it is NaN, so that no stop rule holds.

        Raises
        ------
        ScanStateError
            In mode off, which keeps no belief.
        """
        with self._lock:
            if self._live is None:
                if self.failure is None:
                    raise ScanStateError("mode off estimates nothing; use mode 'shadow' or 'on'")
                return RecallEstimate(math.nan, math.nan, math.nan, math.nan, math.nan, confidence)
            return self._live.estimate(confidence)

    def run(
        self,
        fn: ScanFunction,
        *,
        executor: Executor | None = None,
        batch_size: int | None = None,
        until: StopRule | None = None,
        on_result: OnResult | None = None,
        on_progress: OnProgress | None = None,
        workers: int | None = None,
        timeout_s: float | None = None,
        retries: int = 0,
        prefetch: Prefetch | None = None,
    ) -> ScanSummary:
        """Scan everything with `fn`, or until a stop rule says so; closes the scan.

        See `scanner_adapter.execution.run_scan`.
        """
        from scanner_adapter.execution import run_scan

        return run_scan(
            self,
            fn,
            executor=executor,
            batch_size=batch_size,
            until=until,
            on_result=on_result,
            on_progress=on_progress,
            workers=workers,
            timeout_s=timeout_s,
            retries=retries,
            prefetch=prefetch,
        )

    async def arun(
        self,
        fn: AsyncScanFunction,
        *,
        concurrency: int = 8,
        batch_size: int | None = None,
        until: StopRule | None = None,
        on_result: OnResult | None = None,
        on_progress: OnProgress | None = None,
        timeout_s: float | None = None,
        retries: int = 0,
    ) -> ScanSummary:
        """Scan with a coroutine function, `concurrency` at a time; closes the scan.

        See `scanner_adapter.execution_async.run_scan_async`.
        """
        from scanner_adapter.execution_async import run_scan_async

        return await run_scan_async(
            self,
            fn,
            concurrency=concurrency,
            batch_size=batch_size,
            until=until,
            on_result=on_result,
            on_progress=on_progress,
            timeout_s=timeout_s,
            retries=retries,
        )

    # -- what is known -----------------------------------------------------------------------

    @property
    def universe(self) -> Container[str]:
        """The symbols of the scan, for asking whether one is among them."""
        return self._place

    @property
    def n_batches(self) -> int:
        """Batches handed out so far."""
        return self._n_batches

    @property
    def is_shared(self) -> bool:
        """Whether other workers scan the same universe."""
        return self._share is not None

    @property
    def awaits_others(self) -> bool:
        """Whether an empty batch is not the end: symbols are left that other workers hold."""
        return self._share is not None and self._share.waits_for_others

    @property
    def stop_asked(self) -> str | None:
        """Why the scan is to end by an operator's wish; None to go on."""
        stop = None if self._link is None else self._link.wishes.stop
        return None if stop is None else f"stopped from outside: {stop.reason}"

    def listen(self) -> None:
        """Hear operators between batches too; a loop of its own need not call it."""
        if self._link is not None:
            self._link.listen()

    def show(self, *, workers: int, target: float | None) -> None:
        """Publish with the status how many evaluate at a time, and which recall is aimed at."""
        self._view.workers = workers
        self._view.target = self._view.target if target is None else target

    @property
    def n_scanned(self) -> int:
        """Symbols reported so far, failures included."""
        return len(self._reported)

    @property
    def n_hits(self) -> float:
        """High-value results so far; NaN where nothing judges them."""
        return self._live.n_hits if self._live is not None else math.nan

    @property
    def outcomes(self) -> Mapping[str, Outcome]:
        """Outcomes so far, in order of reporting."""
        with self._lock:
            return dict(self._reported)

    @property
    def queue(self) -> PriorityQueue:
        """What waits, and the user's wishes: pins, exclusions, boosts.

        Wishes count in mode on; shadow keeps the given order whatever is wished.

        Raises
        ------
        ScanStateError
            In mode off, or after a failure: nothing ranks the symbols.
        """
        if self._queue is None:
            raise ScanStateError("nothing ranks the symbols of this scan (mode off, or a failure)")
        return self._queue

    def status(self) -> LiveStatus:
        """Return the scan as the live page, the API and `scanrank watch` show it.

        Costs a few milliseconds at most; what takes longer is renewed less often.
        """
        return LiveStatus.from_json(self._status())

    @property
    def telling_s(self) -> float:
        """Processor seconds spent on telling the outside, most of them beside the scan."""
        return 0.0 if self._link is None else self._link.cost_s

    def is_random(self, symbol: str) -> bool:
        """Whether the uniform quota drew the symbol."""
        return self._place[symbol] in self._view.drawn

    def is_hit(self, symbol: str) -> bool:
        """Whether the symbol's reported outcome is high-value, as far as is known now."""
        return bool(self.are_hits([symbol])[0])

    def are_hits(self, symbols: Iterable[str]) -> NDArray[np.bool_]:
        """Whether the reported outcomes of `symbols` are high-value, in their order."""
        places = self._places(symbols)
        if self._live is None:
            return np.zeros(places.size, bool)
        return self._live.are_hits(places)

    def explain(self, symbol: str) -> Explanation:
        """Say why `symbol` stands where it does: each factor's part, prior and learned.

        Raises
        ------
        ScanStateError
            In mode off, which keeps no belief, or for a symbol that is not part of the scan.
        """
        if self._live is None:
            raise ScanStateError("mode off explains nothing; use mode 'shadow' or 'on'")
        if symbol not in self._place:
            raise ScanStateError(
                f"symbol {symbol!r} is not part of this scan of {len(self.symbols)} symbols"
            )
        with self._lock:
            return self._live.explain(self._place[symbol], factor_of(self._context_names))

    def factor_weights(self, level: float = 0.9) -> dict[str, GroupWeight]:
        """Return each factor's weight over this scan's symbols: seed, learned and its interval.

        Raises
        ------
        ScanStateError
            In mode off, which keeps no belief.
        """
        if self._live is None:
            raise ScanStateError("mode off weighs nothing; use mode 'shadow' or 'on'")
        with self._lock:
            return self._live.group_weights(factor_of(self._context_names), level)

    def hits_in_last(self, n: int) -> int:
        """High-value results among the latest `n` reported symbols."""
        with self._lock:
            return int(np.count_nonzero(self.are_hits(list(self._reported)[-n:])))

    def symbols_to_recall(self, target: float) -> int:
        """Symbols still to be scanned until a share `target` of all hits is expected found.

        The most promising first; 0 when it is reached already, all that remain where nothing
        ranks them.
        """
        with self._lock:
            if self._live is None:
                return len(self.symbols) - len(self._reported)
            left = np.flatnonzero(~self._live.is_reported)
            estimate = self._live.estimate()
            wanted = target * (estimate.hits_found + estimate.hits_expected_remaining)
            if estimate.hits_found >= wanted:
                return 0
            probability = np.sort(self._live.predict(left).probability)[::-1]
            # The estimate has learned by how much the probabilities are off in all.
            scale = estimate.hits_expected_remaining / max(float(probability.sum()), 1e-12)
            found = estimate.hits_found + scale * np.cumsum(probability)
            return min(int(np.searchsorted(found, wanted)) + 1, left.size)

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
                status, comparison = "nothing to save", None
                with self._timed():
                    if self._learned is not None and self._live is not None:
                        status = self._save(self._learned, self._live)
                    else:
                        self._is_done = self._share is None
                    if self._share is not None:
                        self._share.close()
                    if self._compare is not None and self.rollout is not None:
                        try:
                            comparison = self._compare()
                        except Exception as error:
                            log.warning("prioritised and control scans not compared: %s", error)
                self._summary = self._summarise(status, comparison)
                is_first = True
            summary = self._summary
        if is_first and self._link is not None:
            # Not under the lock: the thread that publishes may be waiting for it.
            self._link.close(has_last=self._is_done)
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

    def _choose(self, k: int) -> tuple[NDArray[np.intp], NDArray[np.bool_], NDArray[np.float64]]:
        if self._queue is not None and self.mode == "on":
            try:
                self._was_steered |= self._queue.is_steered
                choice = self._queue.select(k)
                return choice.arms, choice.is_random, choice.propensity
            except Exception as error:
                self._give_way(error)
        places: list[int] = []
        while len(places) < k and self._next < len(self.symbols):
            if not self._handed_out[self._next]:
                places.append(self._next)
            self._next += 1
        return np.array(places, np.intp), np.zeros(len(places), bool), np.ones(len(places))

    def _choose_and_claim(
        self, share: WorkerShare, k: int
    ) -> tuple[NDArray[np.intp], NDArray[np.bool_], NDArray[np.float64]]:
        """Choose what no other worker holds, by everything that all have reported so far.

        What others hold counts as not remaining until it is free again, so that propensities are
        those of the choice among the symbols that were free.
        """
        self._hear_others(share)
        held, free = share.look(self._place)
        self._put_back(free)
        if self._live is not None:
            self._live.take(self._places(held))
        parts = [(np.empty(0, np.intp), np.empty(0, bool), np.empty(0))]
        n_left = len(self.symbols) - len(self._reported) - share.n_held
        n_missing = share.paces.batch(self._session, k, n_left=n_left)
        while n_missing > 0:
            places, is_random, propensity = self._choose(n_missing)
            if places.size == 0:
                break
            mine = share.claim([self.symbols[place] for place in places])
            kept = np.array([self.symbols[place] in mine for place in places], bool)
            parts.append((places[kept], is_random[kept], propensity[kept]))
            n_missing -= len(mine)
        places, is_random, propensity = (np.concatenate(part) for part in zip(*parts, strict=True))
        return places, is_random, propensity

    def _hear(self) -> None:
        """Do what operators ask since the last batch."""
        if self._link is None:
            return
        self._link.poll()
        wishes = self._link.wishes
        if wishes is not self._obeyed and self._queue is not None:
            former, self._obeyed = self._obeyed, wishes
            try:
                obey(self._queue, wishes, former, self._place)
            except Exception as error:
                log.warning("wishes %s are not heard: %s", wishes, error, exc_info=error)
            self._view.touch(by_wish=True)
            self._link.tell()
        if wishes.stop is not None and self.stopped is None and not self._handed_out.all():
            self.stopped = self.stop_asked

    def _status(self) -> dict[str, Any]:
        """What is told outside, as `scanner_adapter.live_status.LiveStatus` reads it."""
        with self._lock, one_blas_thread():
            return self._view.note(
                self._live,
                self._queue,
                self.symbols_to_recall,
                state="done" if self._is_done else "scanning",
                stopped=self.stopped if self._summary is None else self._summary.stopped,
                failure=self.failure,
            )

    def _put_back(self, symbols: Iterable[str]) -> None:
        places = self._places(symbols)
        places = places[~self._handed_out[places]]
        if places.size:
            self._next = min(self._next, int(places.min()))
            if self._live is not None:
                self._live.put_back(places)

    def _hear_others(self, share: WorkerShare) -> None:
        """Take in what other workers reported since the last batch."""
        try:
            if self._live is None or self._learned is None:  # after a failure nothing is folded
                self._handed_out[self._places(share.reported(self._place))] = True
                return
            is_behind = self._learned.is_behind
            if self._learned.refresh(self._on_entry) and is_behind:
                self.read_back()
        except StoreError as error:
            log.warning("%s What other workers reported is read later.", error)
        except Exception as error:
            self._give_way(error)

    def read_back(self) -> None:
        """Take in what the journal holds of this scan already, as after an interruption."""
        with self._lock:
            if self._learned is None:
                return
            try:
                for entry in self._learned.entries_of(self.scan_id):
                    self._on_entry(entry)
            except StoreError as error:
                log.warning("%s Symbols may be scanned again; first outcomes count.", error)

    def _give_way(self, error: BaseException) -> None:
        """Go on in the given order: scanrank itself is broken."""
        self.failure = f"{type(error).__name__}: {error}"
        self._live = self._queue = None
        log.warning(
            "scanrank failed (%s); the rest of scan %s comes in the given order and teaches "
            "nothing", self.failure, self.scan_id, exc_info=error,
        )  # fmt: skip

    def _learn(self, learned: LearnedState, live: OpenScan, new: Mapping[str, Outcome]) -> None:
        places = self._places(new)
        rating = np.array([o.rating for o in new.values()])
        is_signal = np.array([o.is_signal for o in new.values()])
        failed = np.array([o.error is not None for o in new.values()])
        rating[failed] = np.nan
        probability = live.predict(places).probability
        rewards = live.judge(rating, is_signal, probability)
        rewards[failed] = np.nan
        names, rows = numeric_rows(list(new.values()))
        chosen = [self._choice[int(place)] for place in places]
        header = {
            "scan_time": self.scan_time,
            "reported_at": time.time(),
            "mode": self.mode,
            "batch": self._n_batches,
            "columns": list(self._context_names),
            "row_columns": list(names),
            "session": self._session,
            # For replays: which batches were chosen before this report, and by whose wish.
            "handed_out": self._sizes if self._share is None else None,
            "is_steered": self._was_steered,
        }
        arrays: dict[str, NDArray[Any]] = {
            "context": live.context[places].astype(np.float32),
            "reward": rewards.astype(np.float32),
            # In full: rounded, a rating that is the limit itself would fall below it.
            "rating": rating,
            "probability": probability.astype(np.float32),
            "propensity": np.array([chance for chance, _, _ in chosen], np.float32),
            "is_signal": is_signal.astype(np.float32),
            "is_random": np.array([drawn for _, drawn, _ in chosen], np.uint8),
            "batch": _counts([batch for _, _, batch in chosen]),
            "place": _counts(places),
            "rows": rows.astype(np.float32),
            **(self._kept.rows(places) if self._kept is not None else {}),
        }
        learned.report(self.scan_id, tuple(new), header, arrays, self._on_entry)
        self._sizes = []

    def _on_entry(self, entry: Entry) -> None:
        """Let the scan learn from an entry of its own, by this worker or another; once."""
        if entry.kind != "report" or entry.scan_id != self.scan_id:
            return
        if self._share is not None:
            worker = str(entry.header.get("session"))
            self._share.paces.note(worker, entry.position, len(entry.arms))
        live = self._live
        new = [
            i
            for i, arm in enumerate(entry.arms)
            if arm in self._place
            and arm not in self._reported
            and not (live is not None and live.is_reported[self._place[arm]])
        ]
        places = self._places([entry.arms[i] for i in new])
        self._handed_out[places] = True
        rating = np.asarray(entry.arrays["rating"], np.float64)[new]
        if entry.header.get("session") != self._session:  # by another worker, or before a restart
            self._view.drawn.update(places[entry.arrays["is_random"][new] == 1].tolist())
            self._note_reported(
                {entry.arms[i]: outcome_of(entry, i) for i in new},
                float(entry.header.get("reported_at", time.time())),
            )
            if live is not None:
                probability = np.asarray(entry.arrays["probability"], np.float64)[new]
                live.limit.observe(rating, probability)
        if live is not None:
            live.observe(places, rating, np.asarray(entry.arrays["reward"], np.float64)[new])

    def _note_reported(self, outcomes: Mapping[str, Outcome], at: float | None = None) -> None:
        """Keep outcomes; of a symbol that another worker reported first, that one stands."""
        new = {symbol: o for symbol, o in outcomes.items() if symbol not in self._reported}
        self._reported.update(new)
        self._reported_s += [time.monotonic() - self.started] * len(new)
        self._view.add(new, time.time() if at is None else at)
        if self._share is not None:
            self._share.settle(outcomes)

    def _read(self, rows: Mapping[str, object] | pd.DataFrame) -> dict[str, Outcome]:
        outcomes = {}
        for symbol, value in pairs_of(rows):
            place = self._place.get(symbol)
            if place is None:
                raise InvalidOutcomeError(
                    f"symbol {symbol!r} is not part of this scan of {len(self.symbols)} symbols; "
                    "report only what a batch handed out"
                )
            if not self._handed_out[place]:
                raise InvalidOutcomeError(
                    f"symbol {symbol!r} was not handed out yet; report only what a batch handed out"
                )
            outcomes[symbol] = Outcome.of(value, symbol=symbol, row_map=self.row_map)
        return outcomes

    def _save(self, learned: LearnedState, live: OpenScan) -> str:
        is_last = True
        try:
            if self._share is not None:
                self._hear_others(self._share)
                is_last = self._share.is_last()
            if is_last:  # of the workers: the others' reports are still to come otherwise
                header = {
                    "scan_time": self.scan_time,
                    **self._early(),
                    **live.closing(),
                    "left": self._left(),
                }
                closed = learned.event(self.scan_id, "close", header, self._on_entry)
                if self._share is not None and not closed.accepted.all():
                    return learned.store_trouble() or "saved by another worker"
            is_first = learned.snapshot()
        except Exception as error:
            log.warning("scan %s was not saved as a whole: %s", self.scan_id, error)
            return f"not saved: {error}"
        finally:
            self._is_done = is_last
        if not is_last:
            return learned.store_trouble() or "saved; other workers go on with the scan"
        return learned.store_trouble() or ("saved" if is_first else "saved by another worker")

    def _early(self) -> dict[str, object]:
        """What `scanner_adapter.compare` reads from the close entry."""
        symbols, n_early = list(self._reported), self._n_early()
        hits = self.are_hits(symbols)
        by_start = self._early_by_start
        is_whole = len(symbols) == len(self.symbols)
        return {
            "mode": self.mode,
            "rollout": self.rollout,
            "found_early": int(hits[:n_early].sum()) if len(symbols) >= n_early else None,
            "would_find_early": (
                int(self.are_hits([self.symbols[place] for place in by_start]).sum())
                if by_start is not None and is_whole
                else None
            ),
            "first_hit_s": self._reported_s[int(hits.argmax())] if hits.any() else None,
        }

    def _left(self) -> list[str] | None:
        """Symbols that were not reported, for replays; None where they are too many to keep."""
        n_left = len(self.symbols) - len(self._reported)
        if n_left > _MOST_LEFT:
            return None
        return [symbol for symbol in self.symbols if symbol not in self._reported]

    def _n_early(self) -> int:
        return math.ceil(EARLY_SHARE * len(self.symbols))

    def _places(self, symbols: Iterable[str]) -> NDArray[np.intp]:
        return np.array([self._place[symbol] for symbol in symbols], np.intp)

    def _summarise(self, status: str, comparison: Comparison | None = None) -> ScanSummary:
        errors = [o.error for o in self._reported.values() if o.error is not None]
        left = len(self.symbols) - len(self._reported)
        return ScanSummary(
            scan_id=self.scan_id,
            mode=self.mode,
            n_symbols=len(self.symbols),
            n_scanned=len(self._reported),
            n_errors=len(errors),
            n_hits=self.n_hits,
            estimate=self._live.estimate() if self._live is not None else None,
            seconds=time.monotonic() - self.started,
            overhead_s=self.overhead_s,
            stopped=self.stopped or (f"{left} symbols were not scanned" if left else None),
            n_scans_learned=self._learned.ranker.n_scans if self._learned is not None else 0,
            store_status=status,
            first_error=errors[0] if errors else None,
            failure=self.failure,
            comparison=comparison,
        )

    def _check_open(self, action: str) -> None:
        if self._summary is not None:
            raise ScanStateError(
                f"scan {self.scan_id} has ended; cannot {action}. Start a new scan"
            )

    @contextmanager
    def _timed(self) -> Iterator[None]:
        start = time.monotonic()
        try:
            # Off mode multiplies nothing: it must not cost what switching threads costs.
            with one_blas_thread() if self._live is not None else nullcontext():
                yield
        finally:
            self.overhead_s += time.monotonic() - start


def _counts(values: Sequence[int] | NDArray[np.intp]) -> NDArray[np.unsignedinteger]:
    """Return whole numbers in two bytes each, or in four where they need it."""
    array = np.asarray(values)
    return array.astype(np.uint16 if array.max(initial=0) <= 0xFFFF else np.uint32)
