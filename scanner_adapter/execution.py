"""Run a whole scan over any executor: choose, evaluate, report, until a stop rule says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scanner_adapter.errors import InvalidOutcomeError
from scanner_adapter.outcomes import Outcome
from scanner_adapter.stop_rules import StopRule

if TYPE_CHECKING:
    from scanner_adapter.scan import Scan, ScanSummary

ScanFunction = Callable[[str], object]
OnResult = Callable[[str, Outcome], None]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a scan is: symbols done of total, and the hits found."""

    done: int
    total: int
    n_hits: float


OnProgress = Callable[[Progress], None]


def run_scan(
    scan: Scan,
    fn: ScanFunction,
    *,
    executor: Executor | None,
    batch_size: int,
    until: StopRule | None,
    on_result: OnResult | None,
    on_progress: OnProgress | None,
) -> ScanSummary:
    """Scan symbols with `fn` in the ranker's order and close the scan.

    Parameters
    ----------
    fn : callable
        Takes a symbol, returns anything `Outcome.of` reads. What it raises, or returns that
        cannot be read, is recorded as that symbol's error; the scan goes on.
    executor : Executor, optional
        Evaluates a batch's symbols in parallel; by default one after the other.
    until : StopRule, optional
        Asked after every batch.
    on_result : callable, optional
        Called with (symbol, outcome) as results arrive.
    on_progress : callable, optional
        Called with a `Progress` after every batch.
    """
    with scan:
        while batch := scan.next_batch(batch_size):
            outcomes: dict[str, Outcome] = {}
            if executor is None:
                results: Iterator[Outcome] = (_evaluate(fn, symbol) for symbol in batch)
            else:
                results = executor.map(_evaluate, [fn] * len(batch), batch.symbols)
            for symbol, outcome in zip(batch.symbols, results, strict=True):
                outcomes[symbol] = outcome
                if on_result is not None:
                    on_result(symbol, outcome)
            scan.report(outcomes)
            if on_progress is not None:
                on_progress(Progress(scan.n_scanned, len(scan.symbols), scan.n_hits))
            reason = until.reason(scan) if until is not None else None
            if reason is not None:
                scan.stopped = reason
                break
    return scan.summary


def _evaluate(fn: ScanFunction, symbol: str) -> Outcome:
    try:
        return Outcome.of(fn(symbol), symbol=symbol)
    except InvalidOutcomeError as error:
        return Outcome.failed(error)
    except Exception as error:
        # A scanner may fail in any way for one symbol; the failure is that symbol's outcome.
        return Outcome.failed(error)
