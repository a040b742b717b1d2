"""Run the service: uvicorn, with bounds on what a connection may cost, and an end that ends.

uvicorn waits for open connections before it stops, and an event stream stays open for as long as
its scan: so the streams are ended first. Clients come back to the next server with the id of their
last event and miss nothing.
"""

from __future__ import annotations

import logging
import socket

import uvicorn

from scanner_adapter.service.app import create_app
from scanner_adapter.service.settings import ServiceSettings

HEADER_BYTES = 16 * 2**10  # of a request's line and headers
IDLE_S = 30  # after which a connection without a request is closed
CONNECTIONS = 1_000  # at once, event streams among them; more are answered 503
END_S = 5  # for requests under way when the server is told to stop

log = logging.getLogger("scanrank.service")


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the event streams, then wait for what else is under way."""
        app = self.config.app
        await app.state.service.streams.close()  # type: ignore[union-attr]
        await super().shutdown(sockets)


def serve(settings: ServiceSettings) -> None:
    """Listen until SIGTERM or Ctrl-C.

    Raises
    ------
    InvalidInputError
        From the settings, before anything listens. An address in use ends the process with 1.
    """
    config = uvicorn.Config(
        create_app(settings),
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
    _Server(config).run()
