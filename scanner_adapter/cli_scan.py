"""`scanrank scan`: one prioritised scan of a file of bars, shown as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bandit.rewards import RewardRule, Signal, TopShare
from features.bars import Bars
from scanner_adapter.bars_input import BarsBySymbol, bars_on
from scanner_adapter.outcomes import Outcome
from scanner_adapter.ranker import SymbolRanker
from scanner_adapter.scan import Batch, Scan
from scanner_adapter.scan_report import Finding, as_json, known, show
from scanner_adapter.scanners import SCANNERS, Scanner, scanner_from_name
from scanner_adapter.settings import Settings
from scanner_adapter.stop_rules import RecallReached, StopRule

INTERRUPTED = "interrupted"


LAST = "last"  # for `as_of`: the last day of the bars


@dataclass(frozen=True)
class ScanRequest:
    """What was asked for; see the command's help."""

    bars: Path
    scanner: str
    as_of: str
    store: str
    ruleset: str | None
    rule: RewardRule | None
    until_recall: float | None
    max_symbols: int | None
    workers: int
    settings: Path | None = None
    scan_id: str | None = None


def run_scan(request: ScanRequest, *, is_json: bool) -> bool:
    """Scan, report every batch to the ranker, and print what was found; False after Ctrl-C.

    Whatever can be refused is refused before the store is opened, so that a bad call leaves
    nothing behind.
    """
    until = None if request.until_recall is None else RecallReached(request.until_recall)
    settings = Settings.of(request.settings)
    scanner = scanner_from_name(request.scanner)
    every = Bars.read(request.bars)
    bars = bars_on(every, str(every.dates[-1]) if request.as_of == LAST else request.as_of)
    # One scanner, one model: its name is the ruleset's unless another is given. A built-in scanner
    # says itself what is high-value; of another one only ratings are known.
    ranker = SymbolRanker.open(
        request.store,
        ruleset=request.ruleset or request.scanner.replace(":", "."),
        rewards=request.rule or (Signal() if request.scanner in SCANNERS else TopShare()),
        settings=settings,
    )
    with ranker, ThreadPoolExecutor(request.workers) as executor, _bar(len(bars.symbols)) as bar:
        visit = _Visit(_outcomes_of(scanner, bars), executor, until, request.max_symbols, bar)
        with ranker.start_scan(
            bars.symbols, bars=bars, now=_evening(bars), scan_id=request.scan_id
        ) as scan:
            visit.all(scan)
        findings = visit.findings(scan)
    day = str(bars.dates[-1])
    if is_json:
        print(
            json.dumps(
                as_json(request.scanner, day, findings, scan.summary), indent=2, allow_nan=False
            )
        )
    else:
        show(request.scanner, day, findings, scan.summary)
    return scan.stopped != INTERRUPTED


def _outcomes_of(scanner: Scanner, bars: Bars) -> Callable[[str], Outcome]:
    by_symbol = BarsBySymbol(bars)

    def evaluate(symbol: str) -> Outcome:
        try:
            return Outcome.of(scanner(symbol, by_symbol[symbol]), symbol=symbol)
        except Exception as error:
            # A scanner may fail in any way; the failure is this symbol's outcome, not the scan's.
            return Outcome.failed(error)

    return evaluate


@dataclass
class _Visit:
    """Goes through a scan batch by batch until it is complete, stopped or interrupted."""

    evaluate: Callable[[str], Outcome]
    executor: Executor
    until: StopRule | None
    max_symbols: int | None
    show: Callable[[Scan], None]
    is_random: dict[str, bool] = field(default_factory=dict)

    def all(self, scan: Scan) -> None:
        while scan.stopped is None and (batch := scan.next_batch(self._room(scan))):
            scan.report(self._batch(scan, batch))
            self.is_random |= dict(zip(batch, batch.is_random.tolist(), strict=True))
            self.show(scan)
            if scan.stopped is None and scan.n_scanned == self.max_symbols:
                scan.stopped = f"the limit of {self.max_symbols} symbols is reached"
            if scan.stopped is None and self.until is not None:
                scan.stopped = self.until.reason(scan)

    def _room(self, scan: Scan) -> int:
        """Size of the next batch: the limit is kept exactly."""
        if self.max_symbols is None:
            return scan.batch_size
        return min(scan.batch_size, self.max_symbols - scan.n_scanned)

    def _batch(self, scan: Scan, batch: Batch) -> dict[str, Outcome]:
        outcomes: dict[str, Outcome] = {}
        try:
            results = self.executor.map(self.evaluate, batch)
            for symbol, outcome in zip(batch, results, strict=True):
                outcomes[symbol] = outcome
        except KeyboardInterrupt:
            # What was found until now is reported, learned and printed all the same.
            scan.stopped = INTERRUPTED
        return outcomes

    def findings(self, scan: Scan) -> list[Finding]:
        return [
            Finding(
                place=place,
                symbol=symbol,
                is_random=self.is_random.get(symbol, False),  # reported before an interruption
                is_hit=scan.is_hit(symbol),
                rating=known(outcome.rating),
                signal=outcome.signal,
                alpha=known(outcome.alpha),
                error=outcome.error,
            )
            for place, (symbol, outcome) in enumerate(scan.outcomes.items(), 1)
        ]


def _evening(bars: Bars) -> datetime:
    """The end of the last day, UTC: bars are daily, so the scan comes after its day."""
    return datetime.fromisoformat(f"{bars.dates[-1]}T23:59").replace(tzinfo=UTC)


@contextmanager
def _bar(n_symbols: int) -> Iterator[Callable[[Scan], None]]:
    """A progress bar on the error stream, so that the output stays clean for a pipe."""
    errors = Console(stderr=True)
    with Progress(
        TextColumn("scanning"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[found]}"),
        TimeElapsedColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    ) as progress:
        task = progress.add_task("", total=n_symbols, found="")
        yield lambda scan: progress.update(
            task, completed=scan.n_scanned, found=f"{scan.n_hits:.0f} found"
        )
