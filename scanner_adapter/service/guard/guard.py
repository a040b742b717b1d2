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

import asyncio
import math
import re
from ipaddress import ip_address
from typing import NoReturn

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scanner_adapter.service import problems
from scanner_adapter.service.guard.connections import HEADER_BYTES, PER_ADDRESS, Crowd
from scanner_adapter.service.guard.rate_limit import RateLimit
from scanner_adapter.service.guard.sessions import Right, Sessions
from scanner_adapter.service.problems import ProblemError, problem_response

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
            _check_size_and_path(scope)
            self._check_host(headers)
            self._check_origin(scope, headers)
            right = self._sessions.right_of(headers)
            self._check_rate(address, is_known=right is not None)
            if right is not None and "scanrank.shown" in scope:  # not in tests without a server
                scope["scanrank.shown"]()
            elif right is None and is_proxied:
                is_entered = self._enter(address)
            self._check_right(scope, headers, right)
            receive = await read_body(headers, receive)
            await self._app(scope, receive, send)
        except ProblemError as err:
            await problem_response(err, scope)(scope, receive, send)
        finally:
            if is_entered:
                self._crowd.leave(address)

    def _enter(self, address: str) -> bool:
        if not self._crowd.enter(address):
            text = f"{PER_ADDRESS} requests of {address[:60]} are in progress; wait for responses"
            raise ProblemError(problems.TOO_MANY, text, {"Retry-After": "1"})
        return True

    def _check_host(self, headers: Headers) -> None:
        given = headers.getlist("host")
        if len(given) != 1:
            raise ProblemError(problems.MALFORMED, f"{len(given)} Host headers; expected one")
        if host_name(given[0]) not in self._host_names:
            raise ProblemError(
                problems.WRONG_HOST,
                f"Host {given[0][:80]!r} is not a name of this server; if it should be, start the "
                "server with --allow-host",
            )

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        origin, ours = headers.get("origin"), headers["host"].lower()
        if origin is not None and origin.lower() not in (f"http://{ours}", f"https://{ours}"):
            raise ProblemError(
                problems.WRONG_ORIGIN,
                f"Origin {origin[:80]!r} is not this server ({ours[:80]}); browsers may only send "
                "requests from this server's own page",
            )
        site = headers.get("sec-fetch-site", "none")
        is_link = scope["method"] in ("GET", "HEAD") and scope["path"] in _NAVIGABLE
        if site not in ("none", "same-origin") and not is_link:
            text = f"the request came from another site (Sec-Fetch-Site {site[:20]!r})"
            raise ProblemError(problems.WRONG_ORIGIN, text)

    def _check_rate(self, address: str, *, is_known: bool) -> None:
        wait = self._rate.wait_s(address, is_known=is_known)
        if wait > 0.0:
            raise _wait(f"try again in {wait:.2f} s", wait)

    def _check_right(self, scope: Scope, headers: Headers, right: Right | None) -> None:
        path = scope["path"]
        if path in _OPEN_PATHS or path.startswith(_OPEN_FOLDERS):
            return
        if right is None:
            if self._sessions.shown_token(headers) is not None:
                refuse_guess(self._rate, address_of(scope))
            text = "send the header Authorization: Bearer TOKEN, or log in on the page"
            raise ProblemError(problems.UNAUTHORISED, text, {"WWW-Authenticate": "Bearer"})
        if right == "read" and scope["method"] not in ("GET", "HEAD"):
            text = "this token or session is read-only; log in with the other token"
            raise ProblemError(problems.READ_ONLY, text)


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


def _check_size_and_path(scope: Scope) -> None:
    size = len(scope.get("raw_path") or b"") + len(scope.get("query_string", b""))
    size += sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    if size > HEADER_BYTES:
        text = f"{size} bytes of headers; at most {HEADER_BYTES} are accepted"
        raise ProblemError(problems.LARGE_HEADERS, text, {"Connection": "close"})
    if _CONTROL.search(scope["path"]):
        text = f"path {scope['path'][:80]!r} has control characters"
        raise ProblemError(problems.MALFORMED, text)


def refuse_guess(rate: RateLimit, address: str) -> NoReturn:
    """Refuse a wrong token; repeated guesses are delayed longer and longer.

    Raises
    ------
    ProblemError
    """
    pause = rate.pause_s(address)
    if pause > 0.0:
        text = f"too many wrong tokens; the next attempt is checked in {pause:.0f} s"
        raise _wait(text, pause)
    rate.failed(address)
    text = "the token is not valid for this server"
    raise ProblemError(problems.UNAUTHORISED, text, {"WWW-Authenticate": "Bearer"})


def _wait(text: str, seconds: float) -> ProblemError:
    return ProblemError(problems.TOO_FAST, text, {"Retry-After": str(math.ceil(seconds))})


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


# Our largest body is a reason of 200 characters.
MAX_BYTES = 64 * 2**10
READ_S = 10.0


async def read_body(headers: Headers, receive: Receive) -> Receive:
    """Return a `receive` that gives the whole body at once, then what the server says.

    Read before a route runs, so that no route waits for a client, and a body without
    Content-Length (chunked) is counted as it comes.

    Raises
    ------
    ProblemError
        For a body that is too large, does not come in time, or breaks off.
    """
    length = headers.get("content-length")
    if length is None and "transfer-encoding" not in headers:
        return receive
    if length is not None:
        if not (length.isascii() and length.isdecimal()):
            raise ProblemError(
                problems.MALFORMED, f"Content-Length {length[:20]!r} is not a number"
            )
        if len(length) > 9 or int(length) > MAX_BYTES:
            raise _too_large(f"{length[:20]} bytes")
    try:
        async with asyncio.timeout(READ_S):
            body = await _read(receive)
    except TimeoutError:
        raise ProblemError(
            problems.TIMEOUT, f"the body did not arrive within {READ_S:.0f} s"
        ) from None
    is_given = False

    async def receive_read() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_read


async def _read(receive: Receive) -> bytes:
    parts, size, is_more = [], 0, True
    while is_more:
        message = await receive()
        if message["type"] != "http.request":
            raise ProblemError(problems.MALFORMED, "the body was incomplete")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BYTES:
            raise _too_large(f"more than {MAX_BYTES} bytes")
        is_more = message.get("more_body", False)
    return b"".join(parts)


def _too_large(met: str) -> ProblemError:
    # The rest stays unread: the connection cannot be used again.
    text = f"the body has {met}; at most {MAX_BYTES} are accepted"
    return ProblemError(problems.OVERSIZE, text, {"Connection": "close"})
