"""Run the service: uvicorn, with bounds on what a connection may cost, and an end that ends.

uvicorn waits for open connections before it stops, and an event stream stays open for as long as
its scan: so the streams are ended first. Clients come back to the next server with the id of their
last event and miss nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import shlex
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from bandit.errors import InvalidInputError
from scanner_adapter.service.app import create_app
from scanner_adapter.service.guard import connections as bounds
from scanner_adapter.service.guard.connections import CONNECTIONS, HEADER_BYTES, Connections
from scanner_adapter.service.settings import ServiceSettings

# The answer to a client that has to go, sent where no other answer is under way.
_GOODBYE = {
    408: b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    503: (
        b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\n"
        b"content-length: 0\r\n\r\n"
    ),
}


def bounded_protocol(connections: Connections) -> type[asyncio.Protocol]:
    """Return the class of a server's connections, which all count in `connections`.

    It is uvicorn's, with bounds on the time and the size of headers.
    """

    class BoundedProtocol(H11Protocol):
        """One connection."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.address = ""
            self.is_known = False
            self._is_let_in = False
            self._timer: asyncio.TimerHandle | None = None  # runs while headers are awaited
            self._served = self.app
            self.app = self._serve

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.address = self.client[0] if self.client else ""
            self._is_let_in = connections.opened(self)
            if self._is_let_in:
                self._await_headers(True)
            else:
                self._leave(503)

        def data_received(self, data: bytes) -> None:
            if self.transport.is_closing():
                return
            super().data_received(data)
            self._await_headers(self.cycle is None or self.cycle.response_complete)

        def connection_lost(self, exc: Exception | None) -> None:
            self._await_headers(False)
            if self._is_let_in:
                self._is_let_in = False
                connections.closed(self)
            super().connection_lost(exc)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self._is_let_in:
                connections.waits(self)

        def drop(self) -> None:
            """See `Connection`."""
            self.transport.abort()

        async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
            connections.asks(self)
            scope["scanrank.shown"] = lambda: connections.shown(self) if self._is_let_in else None
            served: ASGIApp = self._served
            await served(scope, receive, send)

        def _await_headers(self, is_due: bool) -> None:
            if is_due and self._timer is None:
                self._timer = self.loop.call_later(bounds.HEADERS_S, self._leave, 408)
            elif not is_due and self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _leave(self, status: int) -> None:
            if not self.transport.is_closing():
                self.transport.write(_GOODBYE[status])
                self.transport.close()

    return BoundedProtocol


IDLE_S = 30  # after which a connection without a request is closed
log = logging.getLogger("scanrank.service")

# Watching must not slow a scan: on a machine of two busy processors 200 streams cost a scan 4.5 %
# at the same priority, and nothing measurable at this one (`python -m benchmarks.service`).
NICENESS = 5
END_S = 5  # for requests under way when the server is to stop


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the event streams, then wait for what else is under way."""
        app = self.config.app
        await app.state.service.streams.close()  # type: ignore[union-attr]
        await super().shutdown(sockets)


def make_server(settings: ServiceSettings, app: FastAPI) -> uvicorn.Server:
    """Return a server that listens as `settings` say once it runs."""
    connections = Connections(
        max(CONNECTIONS, 2 * settings.max_streams), frozenset(settings.trusted_proxies)
    )
    config = uvicorn.Config(
        app,
        http=bounded_protocol(connections),
        host=settings.host,
        port=settings.port,
        # No access log: /metrics counts requests, and a path may name what a desk looks at.
        access_log=False,
        log_config=None,
        server_header=False,
        # Whoever stands in front may write anything into X-Forwarded-For: the guard believes the
        # proxies that the operator names.
        proxy_headers=False,
        ws="none",
        h11_max_incomplete_event_size=HEADER_BYTES,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=END_S,
    )
    return _Server(config)


def serve(settings: ServiceSettings) -> None:
    """Listen until SIGTERM or Ctrl-C, at a lower priority than scanners beside it.

    Raises
    ------
    InvalidInputError
        When the address cannot be listened on.
    """
    with _listening(settings.host, settings.port) as listener:
        for line in where_to_look(settings, listener.getsockname()[1]):
            log.info("%s", line)
        os.nice(NICENESS)
        make_server(settings, create_app(settings)).run([listener])


def where_to_look(settings: ServiceSettings, port: int) -> list[str]:
    """Return the lines that an operator needs next: the page's address, and a command.

    Examples
    --------
    >>> where_to_look(ServiceSettings(store="redis://desk/0"), 8765)[0]
    'live page: http://127.0.0.1:8765/'
    """
    host = settings.host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        if address.is_unspecified:
            host = socket.gethostname()
        elif address.version == 6:
            host = f"[{host}]"
    token = "" if settings.token is None else " (requires the token)"
    # Never with a password: what is between :// and the last @ stays out.
    scheme, separator, rest = settings.store.partition("://")
    store = f"{scheme}{separator}{rest.rpartition('@')[2]}"
    return [
        f"live page: http://{host}:{port}/{token}",
        f"in a terminal: scanrank watch --store {shlex.quote(store)}",
    ]


def _listening(host: str, port: int) -> socket.socket:
    # Bound here and not by uvicorn, whose way to say no is a log line and an exit code of its own.
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        family, kind, protocol, _, address = found[0]
        # With its protocol named: asyncio switches Nagle's algorithm off for TCP only, and an
        # answer of two packets would wait 40 ms for the receipt of the first.
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except BaseException:
            listener.close()
            raise
    except OSError as err:
        raise InvalidInputError(
            f"cannot listen on {host}, port {port}: {err.strerror or err}; give another --port or "
            "--host"
        ) from err
    return listener
