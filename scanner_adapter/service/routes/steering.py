"""What operators ask of a running scan: stop, pin, exclude."""

from __future__ import annotations

import time

from fastapi import APIRouter

from bandit.stores import Store
from scanner_adapter.live.control import (
    Change,
    ScanControl,
    with_exclusions,
    with_pins,
    with_stop,
    without_exclusions,
    without_pins,
)
from scanner_adapter.service.context import Asked, Service
from scanner_adapter.service.notes import control_of
from scanner_adapter.service.once import once
from scanner_adapter.service.problems import CLOSED, INVALID, ProblemError
from scanner_adapter.service.routes.names import (
    IdempotencyKey,
    RulesetName,
    ScanId,
    SymbolName,
    refusals,
)
from scanner_adapter.service.schemas import StopRequest

router = APIRouter(
    prefix="/api/v1/rulesets/{ruleset}/scans/{scan}", tags=["steering"], responses=refusals(409)
)

MAX_NAMES = 200  # pinned or excluded over HTTP: the note that scanners poll stays small


@router.post("/stop", status_code=202, summary="End the scan politely")
async def stop_scan(
    service: Asked,
    ruleset: RulesetName,
    scan: ScanId,
    request: StopRequest | None = None,
    key: IdempotencyKey = None,
) -> ScanControl:
    """Ask the scan to end after the batches that are under way; the first reason given stands."""
    reason = (request or StopRequest()).reason
    return await _ask(service, ruleset, scan, key, with_stop(reason, at=time.time()))


@router.put("/pins/{symbol:path}", status_code=202, summary="Scan this symbol first")
async def pin(
    service: Asked, ruleset: RulesetName, scan: ScanId, symbol: SymbolName,
    key: IdempotencyKey = None,
) -> ScanControl:  # fmt: skip
    """Pin a symbol; one that was scanned already, or is not in the scan, changes nothing."""
    return await _ask(service, ruleset, scan, key, with_pins([symbol]))


@router.delete("/pins/{symbol:path}", status_code=202, summary="Give it back its own place")
async def unpin(
    service: Asked, ruleset: RulesetName, scan: ScanId, symbol: SymbolName,
    key: IdempotencyKey = None,
) -> ScanControl:  # fmt: skip
    """End a pin."""
    return await _ask(service, ruleset, scan, key, without_pins([symbol]))


@router.put("/exclusions/{symbol:path}", status_code=202, summary="Do not scan this symbol")
async def exclude(
    service: Asked, ruleset: RulesetName, scan: ScanId, symbol: SymbolName,
    key: IdempotencyKey = None,
) -> ScanControl:  # fmt: skip
    """Exclude a symbol from this scan."""
    return await _ask(service, ruleset, scan, key, with_exclusions([symbol]))


@router.delete("/exclusions/{symbol:path}", status_code=202, summary="Let it be scanned again")
async def include(
    service: Asked, ruleset: RulesetName, scan: ScanId, symbol: SymbolName,
    key: IdempotencyKey = None,
) -> ScanControl:  # fmt: skip
    """End an exclusion."""
    return await _ask(service, ruleset, scan, key, without_exclusions([symbol]))


async def _ask(
    service: Service, ruleset: str, scan_id: str, key: str | None, change: Change
) -> ScanControl:
    watched, scan = await service.watched.known(ruleset, scan_id, max_age_s=0.0)
    if scan.is_closed:
        raise ProblemError(CLOSED, f"scan {scan_id!r} has ended; nothing can be asked of it")

    def update(store: Store) -> ScanControl:
        note = store.update_control(ruleset, scan_id, once(key, lambda n: _small(change(n))))
        return control_of(note)

    control = await service.access.call(update)
    watched.forget()
    return control


def _small(note: dict[str, object]) -> dict[str, object]:
    for part, word in (("pin", "pinned"), ("exclude", "excluded")):
        names = note.get(part)
        if isinstance(names, list) and len(names) > MAX_NAMES:
            raise ProblemError(
                INVALID, f"{MAX_NAMES} symbols are {word} already; end one of these first"
            )
    return note
