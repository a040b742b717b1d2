"""`ScanSession`, the belief in one scan: chooses, journals, learns, and falls back on a failure.

Every report is journaled first and learned from the journal, so that outcomes of this worker, of
other workers and from before a restart take the same path (`on_entry`).
"""

from __future__ import annotations

import logging
import math
import time
import uuid
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from bandit.belief.standing import RIVALS, Judged
from bandit.choice.draw import Choice
from bandit.choice.open_scan import OpenScan
from bandit.choice.queue import PriorityQueue
from bandit.errors import InvalidInputError, StoreError
from bandit.evaluation.metrics import first_places
from bandit.evaluation.offpolicy import inclusion_weights
from bandit.stores import Entry
from scanner_adapter.errors import CALLERS_ERRORS, AdapterError
from scanner_adapter.inputs.context import MarketFacts, renewed_context
from scanner_adapter.inputs.loadings import LoadingCodec
from scanner_adapter.inputs.outcome_table import OutcomeTable
from scanner_adapter.ledger import Ledger, Places
from scanner_adapter.scan.early import EarlyBatches
from scanner_adapter.scan.opened import Opened
from scanner_adapter.scan.worker import WorkerLeases
from scanner_adapter.state.comparison import EARLY_SHARE
from scanner_adapter.state.learned_state import LearnedState
from scanner_adapter.state.rows import choice_arrays, outcome_of, report_arrays

log = logging.getLogger("scanrank")


class ScanSession:
    """The order of one scan: drawn from the belief, or the given order if nothing ranks.

    Parameters
    ----------
    scan_id, mode : str
    ledger : Ledger
    learned : LearnedState or None
        None in mode off.
    opened : Opened or EarlyBatches or None
        None in mode off, and if the scan could not be opened.
    scan_time : float
        Days since the epoch.
    leases : WorkerLeases or None
        This worker's leases in a shared scan.

    Attributes
    ----------
    failure : str or None
        Error in scanrank itself; afterwards `open_scan` and `queue` are None.
    current : OpenScan or None
        What ranks the symbols now; also None while features are being computed.
    coverage : (str or None, bool)
        Coverage of the symbols by bars, and whether it is incomplete.
    early_cpu_s : float
        Processor seconds of the thread that computed features beside the first evaluations.
    session_id : str
        Distinguishes own journal entries from those of others.
    n_early : int
        Symbols in the early share of the universe, see `scanner_adapter.state.comparison`.
    early_by_start : array of int or None
        The first `n_early` places in the ranker's own order at the start, if the scan uses
        another order: in shadow, and while the ranker falls back.

    Notes
    -----
    Not thread-safe: used under the scan's lock.
    """

    def __init__(
        self,
        scan_id: str,
        mode: str,
        ledger: Ledger,
        *,
        learned: LearnedState | None,
        opened: Opened | EarlyBatches | None,
        coverage: tuple[str | None, bool],
        scan_time: float,
        leases: WorkerLeases | None,
    ) -> None:
        self.learned = learned
        self.coverage = coverage
        self.current: OpenScan | None = None
        self.early_cpu_s = 0.0
        self.failure: str | None = None
        self.session_id = uuid.uuid4().hex
        self.scan_id = scan_id
        self.mode = mode
        self.scan_time = scan_time
        self.n_early = first_places(EARLY_SHARE, len(ledger.symbols))
        self.early_by_start: Places | None = None
        self._ledger = ledger
        self._queue: PriorityQueue | None = None
        self._codec: LoadingCodec | None = None
        self._early = opened if isinstance(opened, EarlyBatches) else None
        if isinstance(opened, Opened):
            self._begin(opened)
        self._leases = leases
        self._was_steered = False
        self._was_refreshed = False
        self._unread = ""  # why the reports of other workers could not be read
        self._is_over = False  # already closed; later reports are journaled as late
        self._reporting: tuple[tuple[str, ...], Places] = (), np.empty(0, np.intp)

    # -- opening -----------------------------------------------------------------------------

    def _begin(self, opened: Opened) -> None:
        self.current = open_scan = opened.open_scan
        self._queue, self._codec = PriorityQueue(open_scan), opened.codec
        self.coverage, self._ledger.worked_before = opened.coverage, opened.worked_before
        if self.mode == "shadow" or open_scan.fallback:
            by_score = np.argsort(-open_scan.expected_scores, kind="stable")
            self.early_by_start = by_score[: self.n_early]

    @property
    def awaits_features(self) -> bool:
        """Whether features are still being computed."""
        return self._early is not None

    @property
    def open_scan(self) -> OpenScan | None:
        """The open scan, which ranks the symbols; waits for the features."""
        self.use_features()
        return self.current

    @property
    def queue(self) -> PriorityQueue | None:
        """The queue over `open_scan`; waits for the features."""
        self.use_features()
        return self._queue

    def use_features_if_ready(self) -> None:
        """Rank by the features if they are due."""
        if self._early is not None and self._early.is_due(self._ledger.n_batches):
            self.use_features()

    def use_features(self) -> None:
        """Wait for the features, rank by them, and learn what was reported before.

        Raises
        ------
        AdapterError, FeatureError, InvalidInputError
            For invalid inputs of the caller; the rest comes in the given order.
        """
        early, ledger = self._early, self._ledger
        if early is None:
            return
        try:
            opened, self._early = early.open(ledger.n_batches), None  # kept if Ctrl-C ends the wait
            self._begin(opened)
            self.early_cpu_s = early.cpu_s
            if self.learned is None or self.current is None:
                return
            self.current.take(np.flatnonzero(ledger.is_handed_out))
            self.current.record_failed(np.flatnonzero(ledger.may_pass))
            self._learn_rest(self.learned, self.current, ~ledger.may_pass)
        except Exception as error:
            self.fall_back(error)
            if isinstance(error, CALLERS_ERRORS):
                raise

    # -- choosing ----------------------------------------------------------------------------

    def choose(self, k: int) -> Choice:
        """Choose up to `k` places."""
        if self._early is not None and self._ledger.is_handed_out.all():
            self.use_features()
        early, queue, open_scan = self._early, self._queue, self.current
        if self.mode == "on":
            try:
                if early is not None:
                    return early.choose(~self._ledger.is_handed_out, k)
                if queue is not None and open_scan is not None:
                    self._was_steered |= queue.is_steered
                    uses_queue = queue.is_steered or open_scan.due
                    return queue.select(k) if uses_queue else open_scan.select(k)
            except Exception as error:
                self.fall_back(error)
        return self._ledger.given_order(k)

    def choose_and_claim(self, leases: WorkerLeases, k: int) -> Choice:
        """Choose and claim up to `k` places of a shared scan that no other worker holds.

        Claims of others are taken out of the open scan until they are free again, so that
        propensities are those of a choice among the free symbols.
        """
        self.read_others(leases)
        ledger = self._ledger
        held, free = leases.poll(ledger.place)
        places = ledger.put_back(ledger.places(free))
        if (open_scan := self.open_scan) is not None:
            if places.size:
                open_scan.put_back(places)
            open_scan.take(ledger.places(held))
        parts = [Choice.certain([])]
        n_left = len(ledger.symbols) - ledger.n_reported - leases.n_held
        n_missing = leases.pacing.batch(self.session_id, k, n_left=n_left)
        while n_missing > 0:
            choice = self.choose(n_missing)
            if choice.arms.size == 0:
                break
            names = [ledger.symbols[place] for place in choice.arms.tolist()]
            mine = leases.claim(names)
            kept = np.array([name in mine for name in names], bool)
            parts.append(Choice(choice.arms[kept], choice.is_random[kept], choice.propensity[kept]))
            n_missing -= len(mine)
        return Choice.joined(parts)

    def refresh(self, facts: MarketFacts) -> None:
        """Re-rank the remaining symbols by new market facts."""
        open_scan = self.open_scan
        if open_scan is None or self.learned is None:
            return
        try:
            open_scan.renew(renewed_context(open_scan.columns, open_scan.context, facts))
            self._was_refreshed = True
        except Exception as error:
            self.fall_back(error)

    def fall_back(self, error: BaseException) -> None:
        """Continue in the given order after an error in scanrank itself."""
        self.failure = f"{type(error).__name__}: {error}"
        self.current = self._queue = self._early = None
        log.warning(
            "scanrank failed (%s); the rest of scan %s continues in the given order, and "
            "nothing is learned from it",
            self.failure, self.scan_id,
            exc_info=None if isinstance(error, CALLERS_ERRORS) else error,  # which is raised too
        )  # fmt: skip

    # -- learning ----------------------------------------------------------------------------

    def learn(self, table: OutcomeTable, places: Places) -> None:
        """Journal outcomes that are new, and learn from them.

        Raises
        ------
        AdapterError, InvalidInputError
            For errors of the caller; after any other error the session falls back.
        """
        self.use_features_if_ready()
        open_scan = self.current  # None while features are computed: `use_features` learns it later
        if open_scan is None or self.learned is None:
            return
        kept = np.flatnonzero(~self._may_pass(table))
        if kept.size < places.size:
            open_scan.record_failed(np.delete(places, kept))
            table, places = table.take(kept), places[kept]
        if places.size == 0:
            return
        try:
            self._learn(self.learned, open_scan, table, places)
        except (AdapterError, InvalidInputError):
            raise
        except Exception as error:
            self.fall_back(error)

    def _may_pass(self, table: OutcomeTable) -> NDArray[np.bool_]:
        """Return which outcomes (k,) are errors worth a retry: they are journaled at the end.

        In a shared scan none is, so that no other worker scans the symbol again.
        """
        may_pass = table.is_failed.copy()
        if self._leases is not None:
            may_pass[:] = False
        for row in np.flatnonzero(may_pass).tolist():
            may_pass[row] = table.outcome(row).may_pass
        return may_pass

    def journal_rest(self, learned: LearnedState, open_scan: OpenScan) -> None:
        """Journal what was reported and is not journaled yet, when the scan ends.

        These are the errors of a complete scan, which are now final, and outcomes whose learning
        an interrupt has ended.
        """
        ledger = self._ledger
        is_final = ~ledger.may_pass | ledger.is_reported.all()
        self._learn_rest(learned, open_scan, is_final)

    def _learn_rest(
        self, learned: LearnedState, open_scan: OpenScan, is_final: NDArray[np.bool_]
    ) -> None:
        """Journal and learn what was reported before; `is_final` (n,) says which outcomes count."""
        ledger = self._ledger
        places = ledger.order[(is_final & ~open_scan.is_reported)[ledger.order]]
        if places.size:
            known = {ledger.symbols[place]: ledger.outcome(place) for place in places.tolist()}
            self._learn(learned, open_scan, OutcomeTable.of(known), places)

    def _learn(
        self, learned: LearnedState, open_scan: OpenScan, table: OutcomeTable, places: Places
    ) -> None:
        ledger = self._ledger
        probability = open_scan.predict(places).probability
        rewards = open_scan.judge(table.rating, table.is_signal, probability)
        rewards = np.where(table.is_failed, np.nan, rewards)
        arrays = report_arrays(
            table, places, context=open_scan.context, rewards=rewards, probability=probability
        )
        if learned.keeps_journal:
            arrays |= choice_arrays(table, places, ledger)
        is_elsewhere = self._leases is not None or ledger.is_steered_elsewhere
        header = {
            "scan_time": self.scan_time,
            "reported_at": time.time(),
            "mode": self.mode,
            "batch": ledger.n_batches,
            "columns": list(open_scan.columns),
            "row_columns": list(table.names),
            "hit_limit": open_scan.hit_limit,
            "session": self.session_id,
            "worker": None if self._leases is None else self._leases.worker,
            # For replays: the batches chosen before this report, and whether operators steered.
            "handed_out": None if is_elsewhere else ledger.sizes,
            "is_steered": self._was_steered,
            "is_refreshed": self._was_refreshed,
            "is_late": self._is_over,
        }
        if self._codec is not None:
            arrays |= self._codec.rows(places)
        self._reporting = table.symbols, places
        learned.append(
            Entry("", "report", self.scan_id, header, arrays, table.symbols), self.on_entry
        )
        ledger.sizes = []

    def read_others(self, leases: WorkerLeases) -> None:
        """Learn what other workers reported since the last batch.

        Where the journal cannot be folded, their symbols are left out at least: nobody would ever
        get them, and this worker would wait for them for ever.
        """
        try:
            if self.current is not None and self.learned is not None:
                is_behind = self.learned.is_behind
                if self.learned.refresh(self.on_entry) and is_behind:
                    self.read_back()
                return
        except StoreError as error:
            if str(error) != self._unread:
                self._unread = str(error)
                log.warning("%s Until then, nothing is learned from other workers.", error)
        except Exception as error:
            self.fall_back(error)
        try:
            reported = leases.reported(self._ledger.place)
        except StoreError as error:
            log.debug("reports of scan %s could not be read: %s", self.scan_id, error)
            return
        self._ledger.leave_out(reported)
        if self.current is not None:
            self.current.take(self._ledger.places(reported))

    def read_back(self) -> None:
        """Restore this scan's outcomes from the journal, to resume it."""
        if self.learned is None:
            return
        try:
            for entry in self.learned.entries_of(self.scan_id):
                self.on_entry(entry)
        except StoreError as error:
            log.warning("%s Symbols may be scanned again; the first outcome of each counts.", error)

    @property
    def left(self) -> list[str]:
        """Symbols without an outcome in the journal."""
        open_scan = self.current
        is_left = ~self._ledger.is_reported if open_scan is None else ~open_scan.is_reported
        return [self._ledger.symbols[place] for place in np.flatnonzero(is_left).tolist()]

    def on_entry(self, entry: Entry) -> None:
        """Learn from a journal entry of this scan, by any worker; repeats are ignored."""
        if entry.scan_id != self.scan_id:
            return
        self._is_over |= entry.kind == "close"
        if entry.kind != "report":
            return
        worker = str(entry.header.get("session"))
        if self._leases is not None:
            self._leases.pacing.record(worker, entry.position, len(entry.arms))
            self._leases.record_holder(entry.header.get("worker"))
        ledger, open_scan = self._ledger, self.current
        symbols, places = self._reporting
        if entry.arms is not symbols:  # not exactly the report that is being journaled here
            places = np.array(list(map(ledger.place.get, entry.arms, repeat(-1))), np.intp)
        is_new = places >= 0
        if worker != self.session_id:
            is_new &= ledger.is_open(places)
        if open_scan is not None:
            is_new &= ~open_scan.is_reported[places]
        rows = np.flatnonzero(is_new)
        places = places[rows]
        rating = np.asarray(entry.arrays["rating"], np.float64)[rows]
        if worker != self.session_id:  # by another worker, or before a restart
            table = OutcomeTable.of({entry.arms[i]: outcome_of(entry, i) for i in rows.tolist()})
            ledger.record(
                table, places, float(entry.header.get("reported_at", time.time())),
                is_random=entry.arrays["is_random"][rows] == 1,
            )  # fmt: skip
            if self._leases is not None:
                self._leases.settle(table.symbols)
        if open_scan is not None:
            reward, probability = (
                np.asarray(entry.arrays[name], np.float64)[rows]
                for name in ("reward", "probability")
            )
            if worker != self.session_id:
                open_scan.limit.observe(rating, probability)
            open_scan.observe(places, rating, reward)

    # -- judging -----------------------------------------------------------------------------

    def judged(self) -> Judged | None:
        """Early hits of the ranker's own order and of its rivals; None if they are unknown."""
        open_scan, ledger = self.current, self._ledger
        if open_scan is None or self._was_steered or ledger.n_reported < self.n_early:
            return None
        rivals = [open_scan.rivals[name] for name in RIVALS if name in open_scan.rivals]
        if len(rivals) < len(RIVALS) or any(2 * np.isnan(v).sum() > v.size for v in rivals):
            return None  # too few symbols have been scanned before
        n, order = len(ledger.symbols), ledger.order
        is_whole = ledger.n_reported == n
        if not is_whole and (self._leases is not None or self.mode != "on"):
            return None  # the inclusion probabilities are not known
        hit, weight = np.zeros(n), np.ones(n)
        hit[order] = self.are_hits(order)
        if not is_whole:
            batch = np.full(n, -1, np.int64)
            batch[order] = np.unique(ledger.batch_of[order], return_inverse=True)[1]
            weight = inclusion_weights(batch, ledger.propensity)
        visited = self.early_by_start is None
        first = order[: self.n_early] if self.early_by_start is None else self.early_by_start
        theirs = [np.argsort(-np.nan_to_num(v, nan=-np.inf), kind="stable") for v in rivals]
        tops = [each[: self.n_early] for each in theirs]
        return Judged(
            # Visited symbols are all known, so they need no inverse-propensity weights.
            own=float((hit if visited else hit * weight)[first].sum()),
            random=float(EARLY_SHARE * (hit * weight).sum()),
            rivals=tuple(float((hit * weight)[top].sum()) for top in tops),
            variance=max(float((hit * weight**2)[np.setxor1d(first, top)].sum()) for top in tops),
        )

    @property
    def n_hits(self) -> float:
        """High-value results so far; NaN if nothing judges them."""
        return self.current.n_hits if self.current is not None else math.nan

    def are_hits(self, places: Places) -> NDArray[np.bool_]:
        """Whether the outcomes of `places` (k,) are high-value, as judged now."""
        if self.current is None:
            return np.zeros(places.size, bool)
        return self.current.are_hits(places)

    def n_to_recall(self, target: float) -> int:
        """Number of symbols still to scan, best first, until the expected recall is `target`.

        0 if it is already reached; all that remain if nothing ranks them.
        """
        open_scan = self.current
        if open_scan is None:
            return len(self._ledger.symbols) - self._ledger.n_reported
        left = np.flatnonzero(~open_scan.is_reported)
        estimate = open_scan.estimate()
        wanted = target * (estimate.hits_found + estimate.hits_expected_remaining)
        if estimate.hits_found >= wanted:
            return 0
        probability = np.sort(open_scan.predict(left).probability)[::-1]
        # The recall estimate has learned the overall bias of the probabilities.
        scale = estimate.hits_expected_remaining / max(float(probability.sum()), 1e-12)
        found = estimate.hits_found + scale * np.cumsum(probability)
        return min(int(np.searchsorted(found, wanted)) + 1, left.size)
