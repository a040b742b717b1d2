"""What operators ask of a running scan: stop, pin, exclude."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends

from scanner_adapter.live import control
from scanner_adapter.service.context import Asked
from scanner_adapter.service.notes import control_of, once
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


class _Steering:
    """One scan, and the idempotency key of a request to steer it."""

    def __init__(
        self, service: Asked, ruleset: RulesetName, scan: ScanId, key: IdempotencyKey = None
    ) -> None:
        self._service, self._ruleset, self._scan_id, self._key = service, ruleset, scan, key

    async def ask(self, change: control.Change) -> control.ScanControl:
        """Change the control note, once; return what is asked of the scan now."""
        service, ruleset, scan_id = self._service, self._ruleset, self._scan_id
        watched, scan = await service.watched.known(ruleset, scan_id, max_age_s=0.0)
        if scan.is_closed:
            raise ProblemError(CLOSED, f"scan {scan_id!r} has ended and takes no requests")
        one_change = once(self._key, lambda note: _small(change(note)))
        control = await service.access.call(
            lambda store: control_of(store.update_control(ruleset, scan_id, one_change))
        )
        watched.forget()
        return control


Steering = Annotated[_Steering, Depends()]


@router.post("/stop", status_code=202, summary="Stop the scan cleanly")
async def stop_scan(scan: Steering, request: StopRequest | None = None) -> control.ScanControl:
    """Ask the scan to end after the batches that are under way; the first reason given stands."""
    return await scan.ask(control.with_stop((request or StopRequest()).reason, at=time.time()))


@router.put("/pins/{symbol:path}", status_code=202, summary="Scan this symbol first")
async def pin(scan: Steering, symbol: SymbolName) -> control.ScanControl:
    """Pin a symbol; one that was scanned already, or is not in the scan, changes nothing."""
    return await scan.ask(control.with_pins([symbol]))


@router.delete("/pins/{symbol:path}", status_code=202, summary="Unpin a symbol")
async def unpin(scan: Steering, symbol: SymbolName) -> control.ScanControl:
    """End a pin."""
    return await scan.ask(control.without_pins([symbol]))


@router.put("/exclusions/{symbol:path}", status_code=202, summary="Do not scan this symbol")
async def exclude(scan: Steering, symbol: SymbolName) -> control.ScanControl:
    """Exclude a symbol from this scan."""
    return await scan.ask(control.with_exclusions([symbol]))


@router.delete("/exclusions/{symbol:path}", status_code=202, summary="Undo an exclusion")
async def include(scan: Steering, symbol: SymbolName) -> control.ScanControl:
    """End an exclusion."""
    return await scan.ask(control.without_exclusions([symbol]))


def _small(note: dict[str, object]) -> dict[str, object]:
    for part, word in (("pin", "pinned"), ("exclude", "excluded")):
        names = note.get(part)
        if isinstance(names, list) and len(names) > MAX_NAMES:
            raise ProblemError(INVALID, f"{MAX_NAMES} symbols are {word} already; remove one first")
    return note
