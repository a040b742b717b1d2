"""The live stream of a scan."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from bandit.errors import StoreError
from bandit.stores.names import position_key
from scanner_adapter.service.context import Asked
from scanner_adapter.service.routes.names import (
    POSITION_PATTERN,
    Position,
    RulesetName,
    ScanId,
    refusals,
)
from scanner_adapter.service.watching.channel import end_position
from scanner_adapter.service.watching.scan_cache import no_scan
from scanner_adapter.service.watching.streams import EventStream

router = APIRouter(prefix="/api/v1/rulesets/{ruleset}/scans", tags=["scans"], responses=refusals())

_EXAMPLE = (
    "retry: 1000\n\n"
    "id: 1795370580250-0\nevent: status\n"
    'data: {"ruleset":"breakout","scan_id":"0f3cc4a1","started_at":1795370570.0,"n_scanned":50, ...'
    "\n\n"
)
_EVENT = {
    "type": "object",
    "description": "One event of the stream.",
    "required": ["event", "data"],
    "properties": {
        "id": {"type": "string", "pattern": POSITION_PATTERN},
        "event": {"enum": ["status", "results", "disconnected", "closed"]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "description": "Scan, ResultsEvent, DisconnectedEvent or ClosedEvent as JSON.",
        },
    },
}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: status, results, disconnected, closed.",
        "content": {"text/event-stream": {"schema": _EVENT, "example": _EXAMPLE}},
    },
    204: {"description": "The scan has ended and everything was sent: do not reconnect."},
}


@router.get(
    "/{scan}/events",
    response_class=Response,
    responses=_STREAM,
    summary="Live events of a scan (server-sent events)",
)
async def stream_events(
    service: Asked,
    ruleset: RulesetName,
    scan: ScanId,
    after: Annotated[
        Position | None,
        Query(
            pattern=POSITION_PATTERN,
            description="Send the results after this journal position; default: from now on.",
            examples=["1795370580250-0"],
        ),
    ] = None,
    last_event_id: Annotated[
        Position | None,
        Header(
            alias="Last-Event-ID",
            pattern=POSITION_PATTERN,
            description="Sent by a browser that reconnects; overrides `after`.",
            examples=["1795370580250-0"],
        ),
    ] = None,
) -> Response:
    """Stream a scan's status and results; each result is sent once, even across restarts."""
    service.streams.check_room()
    watched = service.watched.get(ruleset, scan)
    try:
        found = await watched.look(with_log=True)
    except StoreError:
        # The stream says that the store is away, and goes on when it is back: a browser would
        # not come back by itself after a 503.
        found = watched.scan
    else:
        if found is None:
            raise no_scan(ruleset, scan)
    if found is not None and found.is_closed and last_event_id is not None:
        end = end_position(watched.log)
        if position_key(last_event_id) >= position_key(end):
            return Response(status_code=204)
    return EventStream(service.streams, ruleset, scan, last_event_id or after)
