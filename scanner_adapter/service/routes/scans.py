"""Routes of scans: list, detail, queue, results, and the explanation of a symbol."""

from __future__ import annotations

import csv
import io
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from bandit.stores import Store
from scanner_adapter.jsonio import as_cell
from scanner_adapter.live.status import NextUp, Reason
from scanner_adapter.service.context import Asked
from scanner_adapter.service.notes import past, read_scans
from scanner_adapter.service.problems import NOT_FOUND, ProblemError
from scanner_adapter.service.routes.names import RulesetName, ScanId, SymbolName, refusals
from scanner_adapter.service.routes.rulesets import known_stats
from scanner_adapter.service.schemas import (
    Queue,
    Result,
    Results,
    Scan,
    Scans,
    SymbolInScan,
)
from scanner_adapter.service.watching.beliefs import Beliefs
from scanner_adapter.service.watching.scan_cache import CachedScan

router = APIRouter(prefix="/api/v1/rulesets/{ruleset}/scans", tags=["scans"], responses=refusals())

_CSV: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}}}}
}


@router.get("", summary="The latest scans, newest first")
async def list_scans(
    service: Asked,
    ruleset: RulesetName,
    limit: Annotated[int, Query(ge=1, le=100, description="Maximum number.")] = 20,
) -> Scans:
    """List scans; the store remembers those of the last 30 days."""

    def read(store: Store) -> Scans:
        known_stats(store, ruleset)
        return Scans(scans=read_scans(store, ruleset, limit))

    return await service.access.call(read)


@router.get("/{scan}", response_model=Scan, summary="A scan: its status and the requests to it")
async def show_scan(service: Asked, ruleset: RulesetName, scan: ScanId) -> Response:
    """Show a scan as its scanner last published it, and what operators ask of it."""
    # The bytes are made once per change, however many ask.
    watched, _ = await service.watched.known(ruleset, scan)
    return Response(watched.json, media_type="application/json")


@router.get("/{scan}/queue", summary="The queue: tiers, and the best symbols with reasons")
async def show_queue(service: Asked, ruleset: RulesetName, scan: ScanId) -> Queue:
    """Show what waits, as last published; empty where the scanner publishes nothing."""
    _, found = await service.watched.known(ruleset, scan)
    if found.status is None:
        pinned, excluded = found.control.pin, found.control.exclude
        return Queue(updated_at=None, tiers={}, next=(), pinned=pinned, excluded=excluded)
    return Queue(**{name: getattr(found.status, name) for name in Queue.model_fields})


@router.get("/{scan}/results", summary="Results from the journal, newest first")
async def show_results(
    service: Asked,
    ruleset: RulesetName,
    scan: ScanId,
    after: Annotated[
        str | None,
        Query(
            pattern=r"^[0-9]{1,20}-[0-9]{1,20}\.[0-9]{1,9}$",
            description="The `next` of the previous page.",
            examples=["1795370580250-0.49"],
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="Maximum number.")] = 50,
    hits_only: Annotated[bool, Query(description="Only high-value results.")] = False,
) -> Results:
    """Page through what was found."""
    watched, _ = await service.watched.known(ruleset, scan, with_log=True)

    def page(_: Store) -> Results:  # in a thread: 100,000 rows are looked through for few hits
        return watched.log.page(after, limit, hits_only=hits_only, hit_limit=watched.hit_limit)

    return await service.access.call_slow(page)


@router.get(
    "/{scan}/results.csv", response_class=Response, responses=_CSV,
    summary="All results as CSV, in the order of scanning",
)  # fmt: skip
async def download_results(service: Asked, ruleset: RulesetName, scan: ScanId) -> Response:
    """Write every result of a scan as a table for spreadsheets."""
    watched, _ = await service.watched.known(ruleset, scan, with_log=True)

    def table(_: Store) -> str:
        text, log, limit = io.StringIO(), watched.log, watched.hit_limit
        rows = csv.DictWriter(text, list(Result.model_fields), lineterminator="\n")
        rows.writeheader()
        every = log.page(None, len(log) + 1, hits_only=False, hit_limit=limit).results
        for result in reversed(every):
            rows.writerow(result.model_dump() | {"symbol": as_cell(result.symbol)})
        return text.getvalue()

    return Response(await service.access.call_slow(table), media_type="text/csv; charset=utf-8")


@router.get(
    "/{scan}/symbols/{symbol:path}",
    summary="Explanation of a symbol: factors, rating, rank, probability",
)
async def explain_symbol(
    service: Asked, ruleset: RulesetName, scan: ScanId, symbol: SymbolName
) -> SymbolInScan:
    """Explain a scanned symbol from the journal, or a waiting one among the best published."""
    watched, found = await service.watched.known(ruleset, scan, with_log=True)
    row = watched.log.row_of(symbol)
    if row is not None:
        return await service.access.call_slow(
            lambda store: _explain_scanned(store, service.beliefs, watched, row)
        )
    for waiting in found.status.next if found.status is not None else ():
        if waiting.symbol == symbol:
            return _explain_waiting(waiting)
    raise ProblemError(
        NOT_FOUND,
        f"symbol {symbol!r} was not scanned in scan {scan!r}"
        + (
            ""
            if found.is_closed
            else " and is not among the best in the queue; pin it to scan it next"
        ),
    )


# Null, where neither the journal nor the scanner's status says anything.
_UNKNOWN = dict.fromkeys(SymbolInScan.model_fields)


def _explain_waiting(waiting: NextUp) -> SymbolInScan:
    return SymbolInScan.model_validate({**_UNKNOWN, **vars(waiting), "state": "waiting"})


def _explain_scanned(store: Store, beliefs: Beliefs, watched: CachedScan, row: int) -> SymbolInScan:
    log = watched.log
    logged = log.entry_of(row)
    result = log.result(row, logged, watched.hit_limit)
    reasons: dict[str, Reason] = {}
    # The context is not kept in memory: it is read again from the one entry that has it.
    entry = next(iter(store.read(log.ruleset, after=past(logged.position), limit=1)), None)
    if entry is not None and entry.position == logged.position and result.symbol in entry.arms:
        with beliefs.of(store, log.ruleset, known_stats(store, log.ruleset)) as belief:
            why = belief.explain(entry, entry.arms.index(result.symbol))
        reasons = {name: Reason(part.prior, part.learned) for name, part in why.groups.items()}
    known = result.model_dump(exclude={"is_signal", "position"})
    return SymbolInScan.model_validate(
        {**_UNKNOWN, **known, "state": "scanned", "is_pinned": False, "reasons": reasons}
    )
