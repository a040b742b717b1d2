"""What every request passes before a route sees it, cheapest check first.

0. path      no control characters: a router's `$` would drop a line break at its end
   headers   at most 16 KiB with the line of the request
1. host      the Host header names this server: another site's name that was made to resolve to
             127.0.0.1 (DNS rebinding) does not
2. origin    a browser says which site a request comes from: only our own may ask
3. rate      so many requests a second from one address; who shows a token or a session has a
             share of its own, which nobody else can use up
4. token     on everything but the page itself, the log-in and the health of the process; one may
             be for reading only
5. body      small, and there in time

Why the page is open: it holds nothing but the form that asks for the token.
"""

from __future__ import annotations

import math
import re
from ipaddress import ip_address
from typing import NoReturn
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from scanner_adapter.service.guard.body_limit import read_body
from scanner_adapter.service.guard.connections import HEADER_BYTES, PER_ADDRESS, Crowd
from scanner_adapter.service.guard.rate_limit import RateLimit
from scanner_adapter.service.guard.sessions import Right, Sessions
from scanner_adapter.service.problems import (
    LARGE_HEADERS,
    MALFORMED,
    READ_ONLY,
    TOO_FAST,
    TOO_MANY,
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
        trusted_proxies: frozenset[str] = frozenset(),
    ) -> None:
        self._app, self._host_names, self._sessions = app, host_names, sessions
        self._rate, self._trusted, self._crowd = rate, trusted_proxies, Crowd()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with the problem."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there is no websocket here
            return
        headers = Headers(scope=scope)
        is_proxied = address_of(scope) in self._trusted
        if is_proxied:
            _believe_proxy(scope, headers, self._trusted)
        address, is_entered = address_of(scope), False
        try:
            _check_size(scope)
            _check_path(scope)
            self._check_host(headers)
            self._check_origin(scope, headers)
            right = self._sessions.right_of(headers)
            self._check_rate(address, is_known=right is not None)
            if right is not None:
                scope.get("scanrank.shown", _nobody)()
            elif is_proxied:
                is_entered = self._enter(address)
            self._check_right(scope, headers, right)
            receive = await read_body(headers, receive)
            await self._app(scope, receive, send)
        except ProblemError as err:
            response: Response = problem_response(err.kind, err.detail, err.headers)
            scope["scanrank.refusal"] = err.kind.name
            await response(scope, receive, send)
        finally:
            if is_entered:
                self._crowd.leave(address)

    def _enter(self, address: str) -> bool:
        if not self._crowd.enter(address):
            raise ProblemError(
                TOO_MANY,
                f"{PER_ADDRESS} requests of {address[:60]} are under way; wait for their answers",
                {"Retry-After": "1"},
            )
        return True

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

    def _check_rate(self, address: str, *, is_known: bool) -> None:
        wait = self._rate.wait_s(address, is_known=is_known)
        if wait > 0.0:
            raise ProblemError(
                TOO_FAST, f"try again in {wait:.2f} s", {"Retry-After": str(math.ceil(wait))}
            )

    def _check_right(self, scope: Scope, headers: Headers, right: Right | None) -> None:
        path = scope["path"]
        if path in _OPEN_PATHS or path.startswith(_OPEN_FOLDERS):
            return
        if right is None:
            shown, address = self._sessions.shown_token(headers), address_of(scope)
            if shown is not None:
                refuse_guess(self._rate, address)
            raise ProblemError(
                UNAUTHORISED,
                "send the header Authorization: Bearer TOKEN, or log in on the page",
                {"WWW-Authenticate": "Bearer"},
            )
        if right == "read" and scope["method"] not in ("GET", "HEAD"):
            raise ProblemError(
                READ_ONLY, "this token or session may read and not steer; log in with the other one"
            )


def _nobody() -> None:
    """Take note of a known client where no connection counts: in tests."""


def _believe_proxy(scope: Scope, headers: Headers, trusted: frozenset[str]) -> None:
    """Let the client be the one that a trusted proxy names: the last address not trusted itself."""
    said = ",".join(headers.getlist("x-forwarded-for")).split(",")
    for address in map(str.strip, reversed(said)):
        try:
            ip_address(address)
        except ValueError:
            return
        if address not in trusted:
            scope["client"] = (address, 0)
            return


def _check_size(scope: Scope) -> None:
    size = len(scope.get("raw_path") or b"") + len(scope.get("query_string", b""))
    size += sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    if size > HEADER_BYTES:
        raise ProblemError(
            LARGE_HEADERS,
            f"{size} bytes of headers; at most {HEADER_BYTES} are read",
            {"Connection": "close"},
        )


def _check_path(scope: Scope) -> None:
    if _CONTROL.search(scope["path"]):
        raise ProblemError(MALFORMED, f"path {scope['path'][:80]!r} has control characters")


def refuse_guess(rate: RateLimit, address: str) -> NoReturn:
    """Refuse a token that is not ours; who guesses often waits longer and longer.

    Raises
    ------
    ProblemError
    """
    pause = rate.pause_s(address)
    if pause > 0.0:
        raise ProblemError(
            TOO_FAST,
            f"too many wrong tokens; the next wrong one is looked at in {pause:.0f} s",
            {"Retry-After": str(math.ceil(pause))},
        )
    rate.failed(address)
    raise ProblemError(
        UNAUTHORISED, "the token is not one of this server", {"WWW-Authenticate": "Bearer"}
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
