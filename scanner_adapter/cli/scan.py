"""`scanrank scan`: one prioritised scan of a file of bars, shown as a table or as JSON."""

from __future__ import annotations

import json
import math
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from bandit.errors import InvalidInputError
from bandit.rewards import Signal, TopShare, rule_from_text
from features.inputs.bars import Bars
from scanner_adapter.cli.options import names_of, reading
from scanner_adapter.cli.output.live_display import shown
from scanner_adapter.cli.output.results import (
    STDOUT,
    Finding,
    as_json,
    json_lines,
    show,
    write_csv,
)
from scanner_adapter.inputs.bars import BarsBySymbol, scannable
from scanner_adapter.inputs.events import read_events
from scanner_adapter.inputs.outcomes import Outcome
from scanner_adapter.jsonio import check_target, finite_or_none
from scanner_adapter.live.notify import Notifier
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
    """The arguments of the command, as they were given; see its help."""

    bars: Path
    scanner: str
    as_of: str
    events: list[Path] | None
    store: str
    ruleset: str | None
    hit: str | None
    until_recall: float | None
    max_symbols: int | None
    workers: int
    settings: Path | None
    scan_id: str | None
    symbols: str | None
    pin: str | None
    exclude: str | None
    jsonl: Path | None
    csv: Path | None
    notify: list[str] | None
    page: str | None
    skip_bad_rows: bool
    tz: str | None
    as_json: bool


def run_scan(request: ScanRequest) -> int:
    """Run a scan, report every batch to the ranker, print the results, and return the exit code.

    All arguments are checked before the store is opened, so that an invalid call leaves nothing
    behind.
    """
    rule = None if request.hit is None else rule_from_text(request.hit)
    until = _until(request)
    how = reading(request.skip_bad_rows, request.tz)
    pinned = names_of(request.pin) or ()
    is_piped = request.jsonl == STDOUT
    if is_piped and request.as_json:
        raise InvalidInputError("--jsonl - and --json both print; give --jsonl a file")
    for option, file in (
        ("--jsonl ", None if is_piped else request.jsonl),
        ("--csv ", request.csv),
    ):
        if file is not None:
            check_target(file, option)
    settings = Settings.of(request.settings)
    scanner = scanner_from_name(request.scanner)
    events = read_events(request.events or (), **how)
    every = Bars.read(request.bars, **how)
    as_of = None if request.as_of == LAST else request.as_of
    bars, notes = scannable(every, as_of, datetime.now(UTC))
    bars, left_out = _asked_for(request, pinned, bars)
    for note in (*notes, *left_out):
        print(note, file=sys.stderr)
    # One scanner, one model: its name is the ruleset's unless another is given. A built-in scanner
    # says itself what is high-value; of another one only ratings are known.
    ruleset = request.ruleset or request.scanner.replace(":", ".")
    day = str(bars.dates[-1])
    notifier = Notifier(request.notify, f"{ruleset} {day}") if request.notify else None
    ranker = SymbolRanker.open(
        request.store,
        ruleset=ruleset,
        rewards=rule or (Signal() if request.scanner in SCANNERS else TopShare()),
        settings=settings,
    )
    # With one worker in this thread, so that Ctrl-C ends the evaluation that it meets.
    threads = ThreadPoolExecutor(request.workers) if request.workers > 1 else nullcontext()
    by_symbol, is_interrupted = BarsBySymbol(bars), False
    with ranker, threads as executor, json_lines(request.jsonl) as write_line:
        if not ranker.n_scans:
            print(
                f"first scan of {ruleset}: nothing has been learned yet, so it must scan most "
                "symbols before it can stop; the next scan starts from these results",
                file=sys.stderr,
            )
        scan = ranker.start_scan(
            bars.symbols, bars=bars, events=events, as_of=bars.dates[-1], now=_evening(bars),
            scan_id=request.scan_id,
        )  # fmt: skip
        if pinned:
            scan.queue.pin(pinned)
        try:
            with shown(scan) as count:

                def on_result(symbol: str, outcome: Outcome) -> None:
                    count(symbol, outcome)
                    if write_line is not None:
                        write_line(symbol, outcome)

                def on_hit(symbol: str, outcome: Outcome) -> None:
                    if notifier is not None:
                        notifier.add(_hit_line(scan, symbol, outcome))

                scan.run(
                    lambda symbol: scanner(symbol, by_symbol[symbol]),
                    executor=executor,
                    until=until,
                    on_result=on_result,
                    on_hit=on_hit,
                )
        except KeyboardInterrupt:
            # What was found until now was reported and learned, and is printed all the same.
            is_interrupted = True
        findings = _findings(scan)
        if request.csv is not None:
            write_csv(request.csv, findings)
        if notifier is not None:
            notifier.close(_last_line(scan, ruleset, request.page))
    summary = replace(scan.summary, stopped=INTERRUPTED) if is_interrupted else scan.summary
    if request.as_json:
        content = as_json(request.scanner, day, findings, summary)
        print(json.dumps(content, indent=2, allow_nan=False))
    else:
        show(request.scanner, day, findings, summary, stderr=is_piped)
    if is_interrupted:
        return EXIT_INTERRUPTED
    is_failed = 0 < summary.n_scanned == summary.n_errors
    return EXIT_ALL_FAILED if is_failed else 0


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM, which `systemctl stop` and `docker stop` send, end a scan as Ctrl-C does.

    What was found is reported and printed; then the process ends by the signal all the same.
    """
    met: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        met.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if met:
            sys.stdout.flush()
            signal.raise_signal(signal.SIGTERM)


def _until(request: ScanRequest) -> StopRule | None:
    rules: list[StopRule] = []
    if request.max_symbols is not None:
        rules.append(SymbolBudget(request.max_symbols))
    if request.until_recall is not None:
        rules.append(RecallReached(request.until_recall))
    return AnyOf(*rules) if rules else None


def _findings(scan: Scan) -> list[Finding]:
    outcomes = scan.outcomes
    is_judged = not math.isnan(scan.n_hits)
    are_hits = scan.are_hits(outcomes).tolist() if is_judged else [None] * len(outcomes)
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


def _asked_for(request: ScanRequest, pinned: Sequence[str], bars: Bars) -> tuple[Bars, list[str]]:
    """Return the bars of the symbols to scan, and which of those named have none."""
    known, excluded = set(bars.symbols), names_of(request.exclude) or ()
    for name in pinned:
        if name not in known or name in excluded:
            raise InvalidInputError(f"--pin {name}: not among the symbols to scan")
    asked = names_of(request.symbols) or bars.symbols
    names = [name for name in asked if name in known and name not in excluded]
    missing = [name for name in (*asked, *excluded) if name not in known]
    if not names:
        met = f" ({missing[0]} is neither a file nor a symbol with recent bars)" if missing else ""
        raise InvalidInputError(f"no symbol is left to scan{met}; see --symbols and --exclude")
    notes = [f"left out for lack of recent bars: {', '.join(missing[:10])}"] if missing else []
    if len(missing) > 10:
        notes[0] += f" and {len(missing) - 10} more"
    return (bars if len(names) == len(bars.symbols) else bars.select(names)), notes


def _hit_line(scan: Scan, symbol: str, outcome: Outcome) -> str:
    parts = [f"{symbol}: rating {outcome.rating:.4g}"]
    if outcome.signal:
        parts.append(f"signal {outcome.signal}")
    if scan.mode != "off" and scan.failure is None:
        parts.append(repr(scan.explain(symbol)))
    return "; ".join(parts)


def _last_line(scan: Scan, ruleset: str, page: str | None) -> str:
    summary = scan.summary
    found = "" if math.isnan(summary.n_hits) else f"{summary.n_hits:.0f} high-value in "
    line = f"{found}{summary.n_scanned:,} of {summary.n_symbols:,} symbols"
    return f"{line}; {page.rstrip('/')}/#{ruleset}/{scan.scan_id}" if page else line


def _evening(bars: Bars) -> datetime:
    """The end of the last day, UTC: what is unfinished was set aside, the scan comes after it."""
    return datetime.fromisoformat(f"{bars.dates[-1]}T23:59").replace(tzinfo=UTC)
