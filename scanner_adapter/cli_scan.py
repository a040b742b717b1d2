"""`scanrank scan`: one prioritised scan of a file of bars, shown as a table or as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bandit.rewards import RewardRule, Signal, TopShare
from features.bars import Bars
from scanner_adapter.bars_input import BarsBySymbol, bars_on
from scanner_adapter.outcomes import Outcome
from scanner_adapter.ranker import SymbolRanker
from scanner_adapter.scan import Batch, Scan, ScanSummary
from scanner_adapter.scanners import SCANNERS, scanner_from_name
from scanner_adapter.stop_rules import RecallReached

BATCH_SIZE = 50
# Rows of the table for people; `--json` has them all.
N_SHOWN = 20


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


@dataclass(frozen=True)
class Finding:
    """One evaluated symbol; `place` is 1 for the first one, `is_random` the uniform quota."""

    place: int
    symbol: str
    is_random: bool
    is_hit: bool
    rating: float | None
    signal: str | None
    alpha: float | None
    error: str | None


def run_scan(request: ScanRequest, *, as_json: bool) -> None:
    """Scan, report every batch to the ranker, and print what was found.

    Whatever can be refused is refused before the store is opened, so that a bad call leaves
    nothing behind.
    """
    until = None if request.until_recall is None else RecallReached(request.until_recall)
    scanner = scanner_from_name(request.scanner)
    bars = bars_on(Bars.read(request.bars), request.as_of)
    by_symbol = BarsBySymbol(bars)

    def evaluate(symbol: str) -> Outcome:
        try:
            return Outcome.of(scanner(symbol, by_symbol[symbol]), symbol=symbol)
        except Exception as error:
            # A scanner may fail in any way; the failure is this symbol's outcome, not the scan's.
            return Outcome.failed(error)

    # One scanner, one model: its name is the ruleset's unless another is given. A built-in scanner
    # says itself what is high-value; of another one only ratings are known.
    ranker = SymbolRanker.open(
        request.store,
        ruleset=request.ruleset or request.scanner.replace(":", "."),
        rewards=request.rule or (Signal() if request.scanner in SCANNERS else TopShare()),
    )
    with ranker, ThreadPoolExecutor(request.workers) as executor, _bar(len(bars.symbols)) as bar:
        with ranker.start_scan(bars.symbols, bars=bars, now=_evening(bars)) as scan:
            is_random: dict[str, bool] = {}
            while batch := _next_batch(scan, request.max_symbols):
                scan.report(dict(zip(batch, executor.map(evaluate, batch), strict=True)))
                is_random |= dict(zip(batch, batch.is_random.tolist(), strict=True))
                bar(scan)
                if until is not None and (reason := until.reason(scan)):
                    scan.stopped = reason
                    break
        findings = [
            _finding(place, symbol, outcome, is_random[symbol], scan.is_hit(symbol))
            for place, (symbol, outcome) in enumerate(scan.outcomes.items(), 1)
        ]
    if as_json:
        print(
            json.dumps(_as_json(request, bars, findings, scan.summary), indent=2, allow_nan=False)
        )
    else:
        _print(request, bars, findings, scan.summary)


def _next_batch(scan: Scan, max_symbols: int | None) -> Batch | None:
    """Ask for a batch that keeps to the limit; None when the limit is reached."""
    n_left = BATCH_SIZE if max_symbols is None else max_symbols - scan.n_scanned
    if n_left <= 0:
        scan.stopped = f"the limit of {max_symbols} symbols is reached"
        return None
    return scan.next_batch(min(BATCH_SIZE, n_left))


def _evening(bars: Bars) -> datetime:
    """The end of the last day, UTC: bars are daily, so the scan comes after its day."""
    return datetime.fromisoformat(f"{bars.dates[-1]}T23:59").replace(tzinfo=UTC)


def _finding(place: int, symbol: str, outcome: Outcome, is_random: bool, is_hit: bool) -> Finding:
    return Finding(
        place=place,
        symbol=symbol,
        is_random=is_random,
        is_hit=is_hit,
        rating=_known(outcome.rating),
        signal=outcome.signal,
        alpha=_known(outcome.alpha),
        error=outcome.error,
    )


def _known(value: float | None) -> float | None:
    """Return None for an unknown number: JSON has no NaN."""
    return None if value is None or math.isnan(value) else value


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


def _as_json(
    request: ScanRequest, bars: Bars, findings: list[Finding], summary: ScanSummary
) -> dict[str, object]:
    estimate = summary.estimate
    return {
        "as_of": str(bars.dates[-1]),
        "scanner": request.scanner,
        "n_symbols": summary.n_symbols,
        "n_scanned": summary.n_scanned,
        "n_hits": summary.n_hits,
        "n_errors": summary.n_errors,
        "stopped": summary.stopped,
        "recall": None if estimate is None else _known(estimate.recall),
        "recall_low": None if estimate is None else _known(estimate.recall_low),
        "recall_high": None if estimate is None else _known(estimate.recall_high),
        "seconds": round(summary.seconds, 3),
        "overhead_ms": round(1000 * summary.overhead_s, 1),
        "scans_learned": summary.n_scans_learned,
        "store": summary.store_status,
        "results": [asdict(finding) for finding in findings],
    }


def _print(request: ScanRequest, bars: Bars, findings: list[Finding], summary: ScanSummary) -> None:
    console = Console(highlight=False)
    rated = [finding for finding in findings if finding.error is None]
    rated.sort(key=lambda f: (not f.is_hit, math.inf if f.rating is None else -f.rating))
    table = Table(
        title=f"{request.scanner} on {bars.dates[-1]}: the best {min(N_SHOWN, len(rated))} "
        f"of {summary.n_scanned:,} scanned",
        title_justify="left",
        min_width=60,
    )
    table.add_column("symbol")
    for heading in ("rating", "alpha"):
        table.add_column(heading, justify="right")
    table.add_column("signal")
    table.add_column("scanned as", justify="right")
    for finding in rated[:N_SHOWN]:
        table.add_row(
            finding.symbol,
            *("-" if x is None else f"{x:,.2f}" for x in (finding.rating, finding.alpha)),
            finding.signal or "-",
            f"no. {finding.place:,}",
            style="bold" if finding.is_hit else "",
        )
    console.print(table)
    for line in _closing_lines(findings, summary):
        console.print(line, markup=False)


def _closing_lines(findings: list[Finding], summary: ScanSummary) -> Iterator[str]:
    yield (
        f"{summary.n_hits:.0f} high-value results in {summary.n_scanned:,} of "
        f"{summary.n_symbols:,} symbols"
        + (f"; stopped early: {summary.stopped}" if summary.stopped else "")
    )
    if summary.stopped and summary.estimate is not None:
        e = summary.estimate
        yield (
            f"estimated share found: {e.recall:.0%}, between {e.recall_low:.0%} and "
            f"{e.recall_high:.0%}"
        )
    failed = [finding for finding in findings if finding.error is not None]
    if failed:
        yield f"{len(failed)} symbols failed, the first: {failed[0].symbol}: {failed[0].error}"
    yield (
        f"{summary.seconds:.2f} s, of which ranking, learning and storing "
        f"{1000 * summary.overhead_s:.0f} ms; learned from {summary.n_scans_learned} scans; "
        f"{summary.store_status}"
    )
