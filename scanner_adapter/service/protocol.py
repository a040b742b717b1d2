"""uvicorn's HTTP connection with bounds: on the time and the size of headers, and on the number."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from scanner_adapter.service.guard.connections import Connections, HeaderTimer

# Told to a client that is asked to go, where its line is free for an answer.
_GOODBYE = {
    408: b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    503: (
        b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\n"
        b"content-length: 0\r\n\r\n"
    ),
}


def bounded_protocol(connections: Connections) -> type[asyncio.Protocol]:
    """Return the class of a server's connections, which all count in `connections`."""

    class BoundedProtocol(H11Protocol):
        """One connection."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.address = ""
            self.is_known = False
            self._is_let_in = False
            self._timer = HeaderTimer(self.loop, self._too_slow)
            self._served = self.app
            self.app = self._serve

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.address = self.client[0] if self.client else ""
            self._is_let_in = connections.opened(self)
            if self._is_let_in:
                self._timer.start()
            else:
                self._leave(503)

        def data_received(self, data: bytes) -> None:
            if self.transport.is_closing():
                return
            super().data_received(data)
            is_busy = self.cycle is not None and not self.cycle.response_complete
            if is_busy:
                self._timer.stop()
            else:
                self._timer.start()

        def connection_lost(self, exc: Exception | None) -> None:
            self._timer.stop()
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

        def _too_slow(self) -> None:
            self._leave(408)

        def _leave(self, status: int) -> None:
            if not self.transport.is_closing():
                self.transport.write(_GOODBYE[status])
                self.transport.close()

    return BoundedProtocol
