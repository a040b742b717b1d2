"""When to report and when to choose the next batch, so that workers never run dry.

The same for threads, processes and coroutines, which drive it:

1. `next_symbols()` is called whenever a result has come in. It returns nothing while enough symbols
   are in flight. Otherwise it reports what has arrived, asks the stop rule and chooses the next
   batch, while the last symbols of the batch before are still being evaluated (the ranker counts
   them as handed out, so that they cannot be chosen again);
2. `finish(symbol, result)` takes each result;
3. `end()` reports the rest.

With one worker nothing overlaps: every batch is chosen after all results before it, so the same
seed and outcomes give the same batches on any executor. With several, which results are in when
a batch is chosen depends on their timing. In a shared scan it does anyway, so there a single
worker's next batch is chosen early too.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from bandit.checks import as_count, as_function, as_number
from scanner_adapter.inputs.outcomes import Outcome
from scanner_adapter.run.progress import OnProgress, progress_of
from scanner_adapter.run.protocol import RunnableScan
from scanner_adapter.run.stop_rules import (
    StopRule,
    TooManyErrors,
    check_stop_rule,
    recall_target,
    seconds_left,
    symbols_left,
)

OnResult = Callable[[str, Outcome], None]

FIRST_BATCH = 50
# An adaptive batch is as large as it takes for choosing and learning to cost this share of the
# time that its evaluation takes.
OVERHEAD_SHARE = 0.004
# But at most this share of the universe, so that the scan learns while it runs.
LARGEST_SHARE = 0.1
# What opening a scan of thousands of symbols with its features takes, and learning what was
# reported before, while workers are busy: they have so much to do when it begins.
ENTERING_S = 0.1


def check_run(fn: object, *, timeout_s: float | None, retries: int) -> None:
    """Check the arguments that every run takes.

    Raises
    ------
    InvalidInputError
    """
    as_function(fn, "fn", "a symbol and returns its result")
    if timeout_s is not None:
        as_number(timeout_s, "timeout_s", "a positive number of seconds", above=0.0)
    as_count(retries, "retries", least=0)


class Pipeline:
    """The state of one run.

    Parameters
    ----------
    scan : Scan
    n_workers : int
        Evaluations at a time.
    batch_size : int or None
        None = adaptive with several workers, 50 with one.
    until : StopRule, optional
    on_result, on_hit, on_progress : callable, optional
    errors : TooManyErrors or None
        Asked beside `until`.
    overlaps : bool
        Whether one worker, too, is given its next symbols before it has run dry.
    blocks : bool
        Whether `next_symbols` waits for other workers of a shared scan. If not, it returns nothing
        while they hold all that remains, and is to be called again.
    """

    def __init__(
        self,
        scan: RunnableScan,
        *,
        n_workers: int,
        batch_size: int | None,
        until: StopRule | None,
        on_result: OnResult | None,
        on_progress: OnProgress | None,
        on_hit: OnResult | None = None,
        errors: TooManyErrors | None = None,
        overlaps: bool = False,
        blocks: bool = True,
    ) -> None:
        if batch_size is not None:
            as_count(batch_size, "batch_size")
        if until is not None:
            check_stop_rule(until, "until")
        for name, callback, takes in (
            ("on_result", on_result, "a symbol and its outcome"),
            ("on_hit", on_hit, "a symbol and its outcome"),
            ("on_progress", on_progress, "a Progress"),
        ):
            if callback is not None:
                as_function(callback, name, takes)
        self.scan = scan
        self.n_workers = n_workers
        self.in_flight: set[str] = set()
        self.is_ending = False  # nothing more is chosen
        self.is_stopped = False  # by a rule, before everything was scanned
        self._overlaps = overlaps
        self._blocks = blocks
        self._batch_size = batch_size or scan.batch_size
        self._is_adaptive = batch_size is None and n_workers > 1
        self._until = until
        self._errors = errors
        self._n_failed = 0  # the latest results in a row
        self._probe: str | None = None  # a symbol that had worked, tried again
        self._is_dry = False  # nothing to choose until what is in flight has come back
        self._on_result = on_result
        self._on_hit = on_hit
        self._announced: set[str] = set()  # hits that `on_hit` was called with
        self._on_progress = on_progress
        self._arrived: dict[str, Outcome] = {}
        self._n_handed_out = 0
        self._n_finished = 0
        self._first_started = math.nan
        scan.show(
            workers=n_workers,
            target=recall_target(until),
            is_enough=lambda: not blocks or (until is not None and until.reason(scan) is not None),
        )

    @property
    def lead(self) -> int:
        """Number of symbols still in flight when the next batch is chosen.

        One per worker is being evaluated; another quarter of a batch keeps the workers busy while
        the ranker learns and chooses.
        """
        if self.scan.awaits_features:  # what is handed out now was not ranked by them
            if not self._n_finished:
                return self.n_workers - 1
            ahead = ENTERING_S / max(self._s_per_symbol, 1e-6)
            return self.n_workers + int(min(ahead, FIRST_BATCH))
        if self.n_workers > 1:
            return self.n_workers + self._batch_size // 4
        return 1 + self._batch_size // 4 if self._overlaps else 0

    @property
    def _s_per_symbol(self) -> float:
        return (time.monotonic() - self._first_started) / self._n_finished

    @property
    def is_over(self) -> bool:
        """Whether nothing is in flight and no further batch will come."""
        return self.is_ending and not self.in_flight

    def next_symbols(self) -> tuple[str, ...]:
        """Return symbols to start now; none while enough are in flight and at the end."""
        return self.choose() if len(self.in_flight) <= self.lead else ()

    def choose(self) -> tuple[str, ...]:
        """Report what has arrived and choose the next batch; none at the end."""
        if self.is_ending or self._probe is not None or (self._is_dry and self.in_flight):
            return ()
        self._is_dry = False
        start, overhead = time.monotonic(), self.scan.overhead_s
        if not self._report():
            return ()
        k = min(self._batch_size, symbols_left(self._until, self._n_handed_out))
        batch = self.scan.next_batch(int(k)).symbols if k >= 1 else ()
        if not batch:
            self._heed()  # an operator's stop arrives with the batch that it empties
            # What is in flight may fail, and is then offered once more. In a shared scan, what
            # other workers hold may still come back: `next_batch` has waited for it unless results
            # of this worker's own are due.
            self._is_dry = k >= 1 and bool(self.in_flight) and not self.scan.is_shared
            waits = bool(self.in_flight) or not (self._blocks or self.scan.holds_some)
            is_left = self._is_dry or (self.scan.awaits_others and waits)
            self.is_ending |= k < 1 or not is_left
            return ()
        self._n_handed_out += len(batch)
        self.in_flight.update(batch)
        if math.isnan(self._first_started):
            self._first_started = start
        elif self._is_adaptive and not self.scan.awaits_features:
            self._adapt(self.scan.overhead_s - overhead)
        return batch

    def finish(self, symbol: str, result: object) -> None:
        """Take what the scanner returned, or the exception that it raised."""
        try:
            outcome = self.scan.read(symbol, result)
        except Exception as error:
            # A result may be unreadable in any way; that is this symbol's outcome.
            outcome = Outcome.failed(error)
        self.in_flight.discard(symbol)
        if symbol == self._probe:
            self._probe = None
            self.scan.record_retry(outcome.error)
            self._n_failed = 0
            self._report()
            return
        self._n_finished += 1
        self._n_failed = self._n_failed + 1 if outcome.error is not None else 0
        self._arrived[symbol] = outcome
        self.scan.listen()
        if self._on_result is not None:
            self._on_result(symbol, outcome)

    def ask(self) -> None:
        """Report what has arrived, where stopping cannot wait for the end of the batch.

        That is when a time budget is spent, an operator asks to stop, or errors come in a row.
        """
        if not self.is_ending and (
            seconds_left(self._until, self.scan) <= 0.0
            or self.scan.stop_asked is not None
            or (self._errors is not None and self._n_failed >= self._errors.in_a_row)
        ):
            self._report()

    def probe(self) -> tuple[str, ...]:
        """Return a symbol that worked before, to be tried again now; none while errors are few."""
        if self._errors is None or self.is_ending or self._probe is not None or not self._n_failed:
            return ()
        streak, good = self.scan.error_streak, self.scan.last_good
        if good is None:
            return ()
        if streak.n < self._errors.in_a_row or streak.is_confirmed:
            return ()
        self._probe = good
        self.in_flight.add(good)
        return (good,)

    def stop(self, reason: str) -> None:
        """Choose no more; what is in flight may still finish."""
        self.is_ending = self.is_stopped = True
        self.scan.stopped = reason

    def drop(self, symbols: set[str]) -> None:
        """Forget symbols that were handed out but will not finish."""
        self.in_flight -= symbols

    def abort(self) -> None:
        """End the run without further callbacks."""
        self.is_ending = self.is_stopped = True
        self._on_result = self._on_hit = self._on_progress = None

    def end(self) -> None:
        """Report what has arrived last."""
        self.is_ending = True
        self._report(stage="done")

    def announce_rest(self) -> None:
        """Call `on_hit` for what turned out to be a hit when the scan closed."""
        self._announce(self.scan.outcomes if self._on_hit is not None else {})

    def _announce(self, outcomes: Mapping[str, Outcome]) -> None:
        if self._on_hit is None:
            return
        for (symbol, outcome), is_hit in zip(
            outcomes.items(), self.scan.are_hits(outcomes).tolist(), strict=True
        ):
            if is_hit and symbol not in self._announced:
                self._announced.add(symbol)
                self._on_hit(symbol, outcome)

    def _report(self, stage: str = "scanning") -> bool:
        """Report what has arrived; whether the scan goes on."""
        if self._arrived:
            # Kept until it is reported: `end` reports it again if an interrupt comes in between,
            # and what is reported twice counts once.
            self.scan.report(self._arrived)
            arrived, self._arrived = self._arrived, {}
            self._announce(arrived)
        if self._on_progress is not None and (self._n_handed_out or stage == "done"):
            self._on_progress(
                progress_of(self.scan, stage=stage, target=recall_target(self._until))
            )
        self._heed()
        return not self.is_ending

    def _heed(self) -> None:
        """Stop where an operator or the rule says so."""
        # At the end too: a symbol budget ends the choosing before its last results are in.
        is_whole = self.scan.n_scanned == len(self.scan.symbols)
        if not self.is_stopped and not is_whole and self._probe is None:
            reason = self.scan.stop_asked
            for rule in (self._until, self._errors):
                if reason is None and rule is not None and not self._awaits_probe(rule):
                    reason = rule.reason(self.scan)
            if reason is not None:
                self.stop(reason)

    def _awaits_probe(self, rule: StopRule) -> bool:
        """Whether a rule about errors waits until a symbol that worked was tried again."""
        is_asked = self.scan.error_streak.is_confirmed or self.scan.last_good is None
        return isinstance(rule, TooManyErrors) and not is_asked

    def _adapt(self, overhead_s: float) -> None:
        """Set the size of the next batch from the overhead of this one."""
        if self._n_finished == 0:
            return
        wanted = overhead_s / (OVERHEAD_SHARE * self._s_per_symbol)
        largest = max(FIRST_BATCH, LARGEST_SHARE * len(self.scan.symbols))
        # At most doubled at a time: the first batches teach most, and one slow learning step
        # must not make a huge batch.
        wanted = min(wanted, largest, 2.0 * self._batch_size)
        self._batch_size = max(int(wanted), min(self.n_workers, FIRST_BATCH), 1)
