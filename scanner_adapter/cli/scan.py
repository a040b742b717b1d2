"""`scanrank scan`: one prioritised scan of a file of bars, shown as a table or as JSON."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from bandit.rewards import RewardRule, Signal, TopShare
from features.inputs.bars import Bars
from features.inputs.tables import Reading
from scanner_adapter.cli.live_display import shown
from scanner_adapter.cli.scan_table import Finding, as_json, show
from scanner_adapter.inputs.bars import BarsBySymbol, scannable
from scanner_adapter.inputs.events import read_events
from scanner_adapter.jsonio import finite_or_none
from scanner_adapter.run.stop_rules import AnyOf, RecallReached, StopRule, SymbolBudget
from scanner_adapter.scan.scan import Scan
from scanner_adapter.scanners.registry import SCANNERS, scanner_from_name
from scanner_adapter.settings import Settings
from scanner_adapter.symbol_ranker import SymbolRanker

INTERRUPTED = "interrupted"
EXIT_INTERRUPTED = 130  # what a shell expects of a command that was ended by Ctrl-C
EXIT_ALL_FAILED = 3  # every evaluation failed: nothing was found, and nothing learned

LAST = "last"  # for `as_of`: the last day of the bars


@dataclass(frozen=True)
class ScanRequest:
    """What was asked for; see the command's help."""

    bars: Path
    scanner: str
    as_of: str
    events: tuple[Path, ...]
    store: str
    ruleset: str | None
    rule: RewardRule | None
    until_recall: float | None
    max_symbols: int | None
    workers: int
    settings: Path | None = None
    scan_id: str | None = None
    reading: Reading = field(default_factory=Reading)


def run_scan(request: ScanRequest, *, is_json: bool) -> int:
    """Scan, report every batch to the ranker, and print what was found; returns the exit code.

    Whatever can be refused is refused before the store is opened, so that a bad call leaves
    nothing behind.
    """
    until = _until(request)
    settings = Settings.of(request.settings)
    scanner = scanner_from_name(request.scanner)
    events = read_events(request.events, **request.reading)
    every = Bars.read(request.bars, **request.reading)
    as_of = None if request.as_of == LAST else request.as_of
    bars, notes = scannable(every, as_of, datetime.now(UTC))
    for note in notes:
        print(note, file=sys.stderr)
    # One scanner, one model: its name is the ruleset's unless another is given. A built-in scanner
    # says itself what is high-value; of another one only ratings are known.
    ranker = SymbolRanker.open(
        request.store,
        ruleset=request.ruleset or request.scanner.replace(":", "."),
        rewards=request.rule or (Signal() if request.scanner in SCANNERS else TopShare()),
        settings=settings,
    )
    # With one worker in this thread, so that Ctrl-C ends the evaluation that it meets.
    threads = ThreadPoolExecutor(request.workers) if request.workers > 1 else nullcontext()
    by_symbol, is_interrupted = BarsBySymbol(bars), False
    with ranker, threads as executor:
        scan = ranker.start_scan(
            bars.symbols, bars=bars, events=events, as_of=bars.dates[-1], now=_evening(bars),
            scan_id=request.scan_id,
        )  # fmt: skip
        try:
            with shown(scan) as on_result:
                scan.run(
                    lambda symbol: scanner(symbol, by_symbol[symbol]),
                    executor=executor,
                    until=until,
                    on_result=on_result,
                )
        except KeyboardInterrupt:
            # What was found until now was reported and learned, and is printed all the same.
            is_interrupted = True
        findings = _findings(scan)
    summary = replace(scan.summary, stopped=INTERRUPTED) if is_interrupted else scan.summary
    day = str(bars.dates[-1])
    if is_json:
        print(
            json.dumps(as_json(request.scanner, day, findings, summary), indent=2, allow_nan=False)
        )
    else:
        show(request.scanner, day, findings, summary)
    if is_interrupted:
        return EXIT_INTERRUPTED
    is_failed = 0 < summary.n_scanned == summary.n_errors
    return EXIT_ALL_FAILED if is_failed else 0


def _until(request: ScanRequest) -> StopRule | None:
    rules: list[StopRule] = []
    if request.max_symbols is not None:
        rules.append(SymbolBudget(request.max_symbols))
    if request.until_recall is not None:
        rules.append(RecallReached(request.until_recall))
    return AnyOf(*rules) if rules else None


def _findings(scan: Scan) -> list[Finding]:
    outcomes = scan.outcomes
    are_hits = scan.are_hits(outcomes).tolist()
    return [
        Finding(
            place=place,
            symbol=symbol,
            is_random=scan.is_random(symbol),
            is_hit=is_hit,
            rating=finite_or_none(outcome.rating),
            signal=outcome.signal,
            alpha=finite_or_none(outcome.alpha),
            error=outcome.error,
        )
        for place, ((symbol, outcome), is_hit) in enumerate(
            zip(outcomes.items(), are_hits, strict=True), 1
        )
    ]


def _evening(bars: Bars) -> datetime:
    """The end of the last day, UTC: what is unfinished was set aside, the scan comes after it."""
    return datetime.fromisoformat(f"{bars.dates[-1]}T23:59").replace(tzinfo=UTC)
