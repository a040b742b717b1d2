"""Refusals and failures as answers: RFC 9457 `application/problem+json`, one clear sentence each.

Every kind has a stable name (`/problems/<kind>`), by which `/metrics` counts it too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.types import Scope

from bandit.errors import StoreError, StoreRefusedError, StoreUnavailableError
from scanner_adapter.service.schemas import Problem

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: its name, its status code, and its title."""

    name: str
    status: int
    title: str


MALFORMED = Kind("malformed", 400, "The request cannot be read")
UNAUTHORISED = Kind("unauthorised", 401, "A token is required")
WRONG_ORIGIN = Kind("wrong-origin", 403, "Another site sent this request")
READ_ONLY = Kind("read-only", 403, "The token is read-only")
NOT_FOUND = Kind("not-found", 404, "Not found")
METHOD = Kind("method", 405, "Method not allowed")
TIMEOUT = Kind("slow-body", 408, "The body arrived too slowly")
REPLAYED = Kind("replayed", 409, "This request was sent before")
CLOSED = Kind("closed", 409, "The scan has ended")
OVERSIZE = Kind("oversize", 413, "The body is too large")
WRONG_HOST = Kind("wrong-host", 421, "The Host header names another server")
INVALID = Kind("invalid", 422, "A value was refused")
LARGE_HEADERS = Kind("large-headers", 431, "The headers are too large")
TOO_FAST = Kind("too-fast", 429, "Too many requests")
TOO_MANY = Kind("too-many", 429, "A limit was reached")
DEFECT = Kind("defect", 500, "A bug in scanrank")
STORE_AWAY = Kind("store-away", 503, "The store does not answer")
STORE_REFUSES = Kind("store-refuses", 503, "The store refuses")
STORE_UNREADABLE = Kind("store-unreadable", 503, "Stored data cannot be read")


class ProblemError(Exception):
    """Raised by a route to refuse; becomes a problem answer."""

    def __init__(self, kind: Kind, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.headers = kind, detail, dict(headers or {})


def problem_response(error: ProblemError, scope: Scope) -> Response:
    """Return the answer to a request, whose body is a `Problem`; `/metrics` counts its kind."""
    scope["scanrank.refusal"] = error.kind.name
    problem = problem_of(error.kind, error.detail).model_dump()
    body = json.dumps(problem, ensure_ascii=False).encode("utf-8", "replace")
    return Response(body, error.kind.status, error.headers, MEDIA_TYPE)


def problem_of(kind: Kind, detail: str) -> Problem:
    """Return the body of an answer of this kind."""
    name = f"/problems/{kind.name}"
    return Problem(type=name, title=kind.title, status=kind.status, detail=detail)


def of_store(error: StoreError) -> ProblemError:
    """Return the problem that a store's error is to a caller."""
    kinds = {StoreUnavailableError: STORE_AWAY, StoreRefusedError: STORE_REFUSES}
    kind = next((k for e, k in kinds.items() if isinstance(error, e)), STORE_UNREADABLE)
    return ProblemError(kind, str(error), {"Retry-After": "1"})


def declare_problems(openapi: dict[str, Any]) -> dict[str, Any]:
    """Put problems under their own media type in an OpenAPI description.

    FastAPI describes every model as `application/json`. Doing it again changes nothing.
    """
    for methods in openapi["paths"].values():
        for operation in methods.values():
            for answer in operation["responses"].values():
                content = answer.get("content", {})
                if MEDIA_TYPE in content and "application/json" in content:
                    content[MEDIA_TYPE] |= content.pop("application/json")
    return openapi
