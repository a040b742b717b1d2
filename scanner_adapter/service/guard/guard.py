"""What every request passes before a route sees it, cheapest check first.

0. path      no control characters: a router's `$` would drop a line break at its end
1. host      the Host header names this server: another site's name that was made to resolve to
             127.0.0.1 (DNS rebinding) does not
2. origin    a browser says which site a request comes from: only our own may ask
3. rate      so many requests a second from one address
4. token     on everything but the page itself, the log-in and the health of the process
5. body      small, and there in time

Why the page is open: it holds nothing but the form that asks for the token.
"""

from __future__ import annotations

import math
import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from scanner_adapter.service.guard.body_limit import read_body
from scanner_adapter.service.guard.rate_limit import RateLimit
from scanner_adapter.service.guard.sessions import Sessions
from scanner_adapter.service.problems import (
    MALFORMED,
    TOO_FAST,
    UNAUTHORISED,
    WRONG_HOST,
    WRONG_ORIGIN,
    ProblemError,
    problem_response,
)

_CONTROL = re.compile("[\x00-\x1f\x7f]")
_OPEN_PATHS = ("/", "/login", "/logout", "/health", "/ready")
_OPEN_FOLDERS = ("/static/",)
_NAVIGABLE = ("/",)  # another site may link to it


class Guard:
    """ASGI middleware that refuses what may not pass."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        host_names: frozenset[str],
        sessions: Sessions,
        rate: RateLimit,
    ) -> None:
        self._app, self._host_names, self._sessions = app, host_names, sessions
        self._rate = rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with the problem."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there is no websocket here
            return
        headers = Headers(scope=scope)
        try:
            _check_path(scope)
            self._check_host(headers)
            self._check_origin(scope, headers)
            self._check_rate(scope)
            self._check_token(scope, headers)
            receive = await read_body(headers, receive)
        except ProblemError as err:
            response: Response = problem_response(err.kind, err.detail, err.headers)
            scope["scanrank.refusal"] = err.kind.name
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check_host(self, headers: Headers) -> None:
        given = headers.getlist("host")
        if len(given) != 1:
            raise ProblemError(MALFORMED, f"{len(given)} Host headers; expected one")
        name = host_name(given[0])
        if name not in self._host_names:
            raise ProblemError(
                WRONG_HOST,
                f"Host {given[0][:80]!r} is not a name of this server; if it is, start it with "
                "--allow-host",
            )

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is not None:
            site = urlsplit_or_none(origin)
            ours = headers["host"].lower()
            if site is None or site[0] not in ("http", "https") or site[1] != ours:
                raise ProblemError(
                    WRONG_ORIGIN,
                    f"Origin {origin[:80]!r} is not this server ({ours[:80]}); only its own page "
                    "may ask from a browser",
                )
        site_kind = headers.get("sec-fetch-site", "none")
        if site_kind not in ("none", "same-origin") and not (
            scope["method"] in ("GET", "HEAD") and scope["path"] in _NAVIGABLE
        ):
            raise ProblemError(
                WRONG_ORIGIN, f"a page of another site asked (Sec-Fetch-Site {site_kind[:20]!r})"
            )

    def _check_rate(self, scope: Scope) -> None:
        wait = self._rate.wait_s(address_of(scope))
        if wait > 0.0:
            raise ProblemError(
                TOO_FAST, f"try again in {wait:.2f} s", {"Retry-After": str(math.ceil(wait))}
            )

    def _check_token(self, scope: Scope, headers: Headers) -> None:
        path = scope["path"]
        if not self._sessions.needs_token or path in _OPEN_PATHS:
            return
        if path.startswith(_OPEN_FOLDERS) or self._sessions.has_session(headers):
            return
        shown, address = self._sessions.shown_token(headers), address_of(scope)
        if shown is not None:
            check_pause(self._rate, address)
            if self._sessions.is_token(shown):
                return
            self._rate.failed(address)
        raise ProblemError(
            UNAUTHORISED,
            "the token is not the one of this server"
            if shown is not None
            else "send the header Authorization: Bearer TOKEN, or log in on the page",
            {"WWW-Authenticate": "Bearer"},
        )


def _check_path(scope: Scope) -> None:
    if _CONTROL.search(scope["path"]):
        raise ProblemError(MALFORMED, f"path {scope['path'][:80]!r} has control characters")


def check_pause(rate: RateLimit, address: str) -> None:
    """Refuse an address that guessed too often.

    Raises
    ------
    ProblemError
    """
    pause = rate.pause_s(address)
    if pause > 0.0:
        raise ProblemError(
            TOO_FAST,
            f"too many wrong tokens; the next is looked at in {pause:.0f} s",
            {"Retry-After": str(math.ceil(pause))},
        )


def address_of(scope: Scope) -> str:
    """Return the client's address; "" on a socket without one."""
    return str(scope["client"][0]) if scope.get("client") else ""


def host_name(host: str) -> str:
    """Return the name of a Host header, in lower case, without the port and brackets.

    Examples
    --------
    >>> host_name("LocalHost:8765"), host_name("[::1]:8765"), host_name("::1")
    ('localhost', '::1', '::1')
    """
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def urlsplit_or_none(url: str) -> tuple[str, str] | None:
    """Return scheme and host with port of an origin, None for what is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return (parts.scheme, parts.netloc.lower()) if parts.netloc else None
