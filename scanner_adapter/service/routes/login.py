"""A token for a session cookie, so that a browser needs no token in a URL."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from scanner_adapter.service.context import Asked
from scanner_adapter.service.guard.guard import address_of, refuse_guess
from scanner_adapter.service.guard.sessions import COOKIE, SESSION_S
from scanner_adapter.service.routes.names import refusals
from scanner_adapter.service.schemas import LoginRequest

router = APIRouter(tags=["session"], responses=refusals())


@router.post("/login", status_code=204, summary="Exchange the token for a session cookie")
async def log_in(service: Asked, request: Request, body: LoginRequest) -> Response:
    """Set a cookie that only this site's pages send and no script reads, for 12 hours."""
    response = Response(status_code=204)
    sessions = service.sessions
    if not sessions.needs_token:
        return response
    address = address_of(request.scope)
    right = sessions.right_of_token(body.token)
    if right is None:
        refuse_guess(service.rate, address)
    service.rate.succeeded(address)
    response.set_cookie(
        COOKIE, sessions.new_session(right), max_age=SESSION_S, path="/", httponly=True,
        samesite="strict", secure=_is_https(request),
    )  # fmt: skip
    return response


@router.post("/logout", status_code=204, summary="Delete the session cookie")
async def log_out(request: Request) -> Response:
    """Delete the cookie in this browser."""
    response = Response(status_code=204)
    response.delete_cookie(
        COOKIE, path="/", httponly=True, samesite="strict", secure=_is_https(request)
    )
    return response


def _is_https(request: Request) -> bool:
    # Behind a proxy that ends TLS the connection is plain, and the browser's Origin is not.
    origin = request.headers.get("origin", "")
    return request.url.scheme == "https" or origin.startswith("https://")
