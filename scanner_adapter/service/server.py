"""Run the service: uvicorn, with bounds on what a connection may cost, and an end that ends.

uvicorn waits for open connections before it stops, and an event stream stays open for as long as
its scan: so the streams are ended first. Clients come back to the next server with the id of their
last event and miss nothing.
"""

from __future__ import annotations

import socket

import uvicorn
from fastapi import FastAPI

from scanner_adapter.service.app import create_app
from scanner_adapter.service.settings import ServiceSettings

HEADER_BYTES = 16 * 2**10  # of a request's line and headers
IDLE_S = 30  # after which a connection without a request is closed
CONNECTIONS = 1_000  # at once, event streams among them; more are answered 503
END_S = 5  # for requests under way when the server is told to stop


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the event streams, then wait for what else is under way."""
        app = self.config.app
        await app.state.service.streams.close()  # type: ignore[union-attr]
        await super().shutdown(sockets)


def make_server(settings: ServiceSettings, app: FastAPI) -> uvicorn.Server:
    """Return a server that listens as `settings` say once it runs."""
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        # No access log: /metrics counts requests, and a path may name what a desk looks at.
        access_log=False,
        log_config=None,
        server_header=False,
        # Whoever stands in front may write anything into X-Forwarded-For: we do not believe it.
        proxy_headers=False,
        ws="none",
        h11_max_incomplete_event_size=HEADER_BYTES,
        timeout_keep_alive=IDLE_S,
        limit_concurrency=max(CONNECTIONS, 2 * settings.max_streams),
        timeout_graceful_shutdown=END_S,
    )
    return _Server(config)


def serve(settings: ServiceSettings) -> None:
    """Listen until SIGTERM or Ctrl-C; an address in use ends the process with exit code 1."""
    make_server(settings, create_app(settings)).run()
