"""What the routes of one server share."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from bandit.stores import Store
from scanner_adapter.service.guard.rate_limit import RateLimit
from scanner_adapter.service.guard.sessions import Sessions
from scanner_adapter.service.launcher import Launcher
from scanner_adapter.service.metrics import Metrics
from scanner_adapter.service.settings import ServiceSettings
from scanner_adapter.service.store_access import StoreAccess
from scanner_adapter.service.watching.beliefs import Beliefs
from scanner_adapter.service.watching.scan_cache import ScanCache
from scanner_adapter.service.watching.streams import Streams


class Service:
    """The parts of one server; making them asks nothing of the store."""

    def __init__(self, settings: ServiceSettings, store: Store | None = None) -> None:
        self.settings = settings
        self.access = StoreAccess(settings.store, store)
        self.metrics = Metrics(self.access)
        self.sessions = Sessions(settings.token, read_token=settings.read_token)
        self.rate = RateLimit(settings.requests_per_s)
        self.watched = ScanCache(self.access)
        self.streams = Streams(self.watched, self.access, self.metrics, settings)
        self.beliefs = Beliefs()
        self.launcher = Launcher(settings, self.access, self.metrics)

    async def close(self) -> None:
        """End the streams and release the store; scans that were started go on."""
        await self.streams.close()
        self.access.close()


async def _service(request: Request) -> Service:  # a plain function would run in a thread
    service: Service = request.app.state.service
    return service


Asked = Annotated[Service, Depends(_service)]
