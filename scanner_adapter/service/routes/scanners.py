"""Scanners that may be started over HTTP, and the scans that were."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from scanner_adapter.service.context import Asked
from scanner_adapter.service.routes.names import IdempotencyKey, ScannerName, refusals
from scanner_adapter.service.schemas import ScannerBrief, ScannerRun, Scanners

router = APIRouter(prefix="/api/v1/scanners", tags=["scanners"], responses=refusals(409))


@router.get("", summary="Scanners that can be started, and the scans that were")
async def list_scanners(service: Asked) -> Scanners:
    """List the configured scanners, and the runs that this server started."""
    settings = service.settings
    return Scanners(
        scanners=[
            ScannerBrief(name=name, ruleset=each.ruleset, scanner=each.scanner)
            for name, each in settings.scanners.items()
        ],
        runs=service.launcher.runs,
        max_running=settings.max_running,
    )


@router.post("/{name}/scans", status_code=202, summary="Start a scan")
async def start_scan(
    service: Asked, response: Response, name: ScannerName, key: IdempotencyKey = None
) -> ScannerRun:
    """Start a configured scanner; every parameter comes from the operator's file."""
    run = await service.launcher.start(name, key)
    response.headers["Location"] = f"/api/v1/rulesets/{run.ruleset}/scans/{run.scan_id}"
    return run
