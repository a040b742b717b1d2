"""What the routes of one server share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from bandit.stores import Store
from scanner_adapter.service.guard.rate_limit import RateLimit
from scanner_adapter.service.guard.sessions import Sessions
from scanner_adapter.service.launching.launcher import Launcher
from scanner_adapter.service.metrics import Metrics
from scanner_adapter.service.settings import ServiceSettings
from scanner_adapter.service.store_access import StoreAccess
from scanner_adapter.service.watching.beliefs import Beliefs
from scanner_adapter.service.watching.scan_cache import ScanCache
from scanner_adapter.service.watching.streams import Streams


@dataclass(frozen=True)
class Service:
    """The parts of one server."""

    settings: ServiceSettings
    access: StoreAccess
    metrics: Metrics
    sessions: Sessions
    rate: RateLimit
    watched: ScanCache
    streams: Streams
    beliefs: Beliefs
    launcher: Launcher

    @classmethod
    def of(cls, settings: ServiceSettings, store: Store | None = None) -> Service:
        """Put the parts together; nothing is asked of the store yet."""
        access = StoreAccess(settings.store, store)
        metrics = Metrics(access)
        watched = ScanCache(access)
        return cls(
            settings=settings,
            access=access,
            metrics=metrics,
            sessions=Sessions(settings.token, read_token=settings.read_token),
            rate=RateLimit(settings.requests_per_s),
            watched=watched,
            streams=Streams(
                watched, access, metrics,
                poll_s=settings.poll_s, max_streams=settings.max_streams,
            ),
            beliefs=Beliefs(),
            launcher=Launcher(settings, access, metrics),
        )  # fmt: skip

    async def close(self) -> None:
        """End the streams and release the store; scans that were started go on."""
        await self.streams.close()
        self.access.close()


async def _service(request: Request) -> Service:  # a plain function would run in a thread
    service: Service = request.app.state.service
    return service


Asked = Annotated[Service, Depends(_service)]
