"""How fast results come: several workers, evaluations of different length, reports that are late.

With one worker every batch is chosen with all results before it. Eight workers choose the next
batch while results of the last one are still out, and a data vendor may answer minutes later: the
ranker then chooses by less. A pace replays that by a queue of events with a clock of its own: no
time passes, and nothing depends on how busy the machine is.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bandit.errors import InvalidInputError
from scanner_adapter.inputs.outcome_table import OutcomeTable
from scanner_adapter.inputs.outcomes import Outcome
from scanner_adapter.run.pipeline import Pipeline
from scanner_adapter.run.stop_rules import AnyOf, StopRule, SymbolBudget
from scanner_adapter.scan.scan import Scan


@dataclass(frozen=True, slots=True)
class Pace:
    """How results come in.

    Attributes
    ----------
    workers : int
        Evaluations at a time.
    seconds : float
        Median length of an evaluation.
    spread : float
        Standard deviation of its logarithm: 0 = all alike, 1 = one in six takes 2.7 times as long.
    delay_s : float
        Seconds between the end of an evaluation and its result.
    delay_batches : int
        Instead of `delay_s`: results come as many batches late; the scanner asks for so many
        batches ahead.
    """

    workers: int = 1
    seconds: float = 0.1
    spread: float = 0.0
    delay_s: float = 0.0
    delay_batches: int = 0

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise InvalidInputError(f"workers is {self.workers}; expected at least 1")
        if not (np.isfinite(self.seconds) and self.seconds > 0):
            raise InvalidInputError(f"seconds is {self.seconds}; expected a positive number")
        if self.spread < 0 or self.delay_s < 0 or self.delay_batches < 0:
            raise InvalidInputError(
                f"spread is {self.spread}, delay_s is {self.delay_s}, delay_batches is "
                f"{self.delay_batches}; expected none below 0"
            )
        if self.delay_s and self.delay_batches:
            raise InvalidInputError(
                "results can be late by seconds or by batches; give only one of the two delays"
            )

    def __str__(self) -> str:
        parts = [f"{self.workers} workers"] if self.workers > 1 else []
        if self.delay_s:
            parts.append(
                f"results {self.delay_s:g} s late (an evaluation takes {self.seconds:g} s)"
            )
        if self.delay_batches:
            parts.append(f"results {self.delay_batches} batches late")
        return ", ".join(parts)


def evaluate(
    scan: Scan,
    outcomes: Mapping[str, Outcome],
    pace: Pace,
    *,
    n_visits: int,
    batch_size: int,
    until: StopRule | None = None,
    look: Callable[[], None] = lambda: None,
    rng: np.random.Generator,
) -> list[str]:
    """Run a scan at a pace; return its symbols in the order in which their evaluations ended.

    Parameters
    ----------
    scan : Scan
        Open; it stays open.
    outcomes : mapping of symbol to Outcome
    n_visits : int
        Symbols that are evaluated at most.
    batch_size : int
    until : StopRule, optional
    look : callable
        Called after every report, and sometimes between two; may look at the scan, which then
        knows nothing of what is under way.
    rng : Generator
        For the lengths of evaluations.
    """
    if pace.delay_batches:
        return in_batches(
            scan, lambda symbols: {symbol: outcomes[symbol] for symbol in symbols},
            late=pace.delay_batches, n_visits=n_visits, batch_size=batch_size, until=until,
            look=look,
        )  # fmt: skip
    budget = SymbolBudget(n_visits)
    pipeline = Pipeline(
        scan,
        n_workers=pace.workers,
        batch_size=batch_size,
        until=budget if until is None else AnyOf(budget, until),
        on_result=None,
        on_progress=None,
    )
    lengths = pace.seconds * np.exp(pace.spread * rng.standard_normal(len(scan.symbols)))
    seconds = iter(lengths.tolist())
    waiting: deque[str] = deque()
    # (time, tie-break, symbol, whether its result is in); a result follows its evaluation's end.
    events: list[tuple[float, int, str, bool]] = []
    n_busy, n_events, now = 0, 0, 0.0
    visited: list[str] = []
    while True:
        waiting.extend(pipeline.next_symbols())
        look()
        while waiting and n_busy < pace.workers:
            n_busy, n_events = n_busy + 1, n_events + 1
            heapq.heappush(events, (now + next(seconds), n_events, waiting.popleft(), False))
        if not events:
            # Nothing is under way: either the scan is over, or the pipeline has more to say.
            if pipeline.is_ending:
                break
            continue
        now, _, symbol, is_in = heapq.heappop(events)
        if not is_in:
            n_busy -= 1
            visited.append(symbol)
            # Its worker is free: the pipeline shall not wait for the result with what comes next.
            pipeline.drop({symbol})
            if pace.delay_s:
                n_events += 1
                heapq.heappush(events, (now + pace.delay_s, n_events, symbol, True))
                continue
        pipeline.finish(symbol, outcomes[symbol])
        if pipeline.is_stopped:
            pipeline.drop(set(waiting))
            waiting.clear()
    pipeline.end()
    look()
    return visited


def in_batches(
    scan: Scan,
    report: Callable[[Sequence[str]], Mapping[str, object] | OutcomeTable],
    *,
    late: int = 0,
    n_visits: int,
    batch_size: int,
    until: StopRule | None = None,
    look: Callable[[], None] = lambda: None,
) -> list[str]:
    """Evaluate whole batches, and report each when `late` further ones are out; see `evaluate`.

    Parameters
    ----------
    report : callable
        Returns what is reported of symbols.
    """
    visited: list[str] = []
    out: deque[tuple[str, ...]] = deque()
    while True:
        left = n_visits - len(visited)
        batch = scan.next_batch(min(batch_size, left)).symbols if left > 0 else ()
        if batch:
            visited.extend(batch)
            out.append(batch)
        if not out:
            return visited
        if not batch or len(out) > late:
            scan.report(report(out.popleft()))
            look()
            if until is not None and until.reason(scan) is not None:
                return visited
