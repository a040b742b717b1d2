"""Health, readiness and metrics of the server itself."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from bandit.errors import StoreError
from bandit.stores import RulesetStats, Store
from scanner_adapter.service.context import Asked
from scanner_adapter.service.metrics import CONTENT_TYPE
from scanner_adapter.service.routes.names import refusals
from scanner_adapter.service.schemas import Health, Ready

router = APIRouter(tags=["operations"], responses=refusals())

MAX_RULESETS = 100  # whose sizes are reported: each is six lines of every scrape
_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}}
}


@router.get("/health", summary="Whether the process is alive")
async def health() -> Health:
    """Say that the process answers; asks nothing of the store."""
    return Health(status="ok")


@router.get("/ready", summary="Whether the store answers")
async def ready(service: Asked) -> Ready:
    """Ask the store one small question; 503 while it does not answer.

    What its operator should change is said, such as a server that drops keys when it is full.
    """
    await service.access.call(lambda store: store.get_control("ready", "probe"))
    warnings = await service.access.call(lambda store: store.warnings())
    return Ready(status="ready", warnings=warnings)


@router.get("/metrics", response_class=Response, responses=_TEXT, summary="Prometheus metrics")
async def metrics(service: Asked) -> Response:
    """Tell the counters; those of rulesets are missing while the store gives none."""
    try:
        rulesets = await service.access.call(_sizes)
    except StoreError:
        rulesets = None  # `scanrank_store_up` says so
    return Response(service.metrics.text(rulesets), media_type=CONTENT_TYPE)


def _sizes(store: Store) -> list[tuple[str, RulesetStats]]:
    names = store.list_rulesets()[:MAX_RULESETS]
    return list(zip(names, store.stats_of(names), strict=True))
