"""Event streams: the listeners of each channel, and the response that carries one to a client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from scanner_adapter.service.metrics import Metrics
from scanner_adapter.service.problems import TOO_MANY, ProblemError
from scanner_adapter.service.settings import ServiceSettings
from scanner_adapter.service.store_access import StoreAccess
from scanner_adapter.service.watching.channel import ScanEvents
from scanner_adapter.service.watching.scan_cache import ScanCache

log = logging.getLogger("scanrank.service")

RETRY_MS = 1000  # after which a browser connects again
SEND_S = 20.0  # a client that takes nothing for so long is dropped; it may come back


class Streams:
    """Channels that somebody listens to, one per scan."""

    def __init__(
        self, watched: ScanCache, access: StoreAccess, metrics: Metrics, settings: ServiceSettings
    ) -> None:
        self._watched, self._access, self._metrics = watched, access, metrics
        self._poll_s, self._max = settings.poll_s, settings.max_streams
        self._channels: dict[tuple[str, str], tuple[ScanEvents, int]] = {}
        self._n = 0

    def check_room(self) -> None:
        """Refuse a stream when as many are open as may be.

        Raises
        ------
        ProblemError
        """
        if self._n >= self._max:
            raise ProblemError(
                TOO_MANY,
                f"{self._n} event streams are open, the maximum is {self._max}; close some",
                {"Retry-After": "5"},
            )

    def enter(self, ruleset: str, scan_id: str) -> ScanEvents:
        """Return the channel of a scan for one more listener."""
        key = (ruleset, scan_id)
        kept = self._channels.get(key)
        if kept is None or kept[0].is_over:
            channel = ScanEvents(
                self._watched.get(ruleset, scan_id), self._access, self._metrics, self._poll_s
            )
            channel.start()
            kept = channel, 0
        self._channels[key] = kept[0], kept[1] + 1
        self._n += 1
        self._metrics.event_clients.set(self._n)
        return kept[0]

    async def leave(self, channel: ScanEvents) -> None:
        """One listener less; without any, nobody looks at the scan."""
        self._n -= 1
        self._metrics.event_clients.set(self._n)
        key = (channel.watched.ruleset, channel.watched.scan_id)
        kept = self._channels.get(key)
        if kept is None or kept[0] is not channel:  # it is over, and a newer one took its place
            await channel.stop()
        elif kept[1] > 1:
            self._channels[key] = channel, kept[1] - 1
        else:
            del self._channels[key]
            await channel.stop()

    async def close(self) -> None:
        """End every stream, as before a restart: clients come back with their last event's id."""
        for channel, _ in list(self._channels.values()):
            await channel.stop()


class EventStream(StreamingResponse):
    """The response: what the client lacks, then every piece as the channel publishes it.

    Parameters
    ----------
    position : str, optional
        Journal position up to which the client has everything; by default the present end.
    """

    media_type = "text/event-stream"

    def __init__(self, streams: Streams, ruleset: str, scan_id: str, position: str | None) -> None:
        self._streams, self._ruleset, self._scan_id = streams, ruleset, scan_id
        # Without the second one nginx would keep pieces back.
        super().__init__((), headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._position = position

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the client or the channel has had enough."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(SEND_S):
                await send(message)

        channel = self._streams.enter(self._ruleset, self._scan_id)
        self.body_iterator = _pieces(channel, self._position)
        try:
            await super().__call__(scope, receive, send_in_time)
        except (OSError, TimeoutError, ClientDisconnect):
            log.debug("a client of scan %s has disconnected", self._scan_id)
        finally:
            await self._streams.leave(channel)


async def _pieces(channel: ScanEvents, position: str | None) -> AsyncIterator[bytes]:
    yield f"retry: {RETRY_MS}\n\n".encode()
    version, index = -1, None
    await channel.news(0)  # the first look, unless it was long ago
    while channel.version and version != channel.version:
        if index is None:
            index = channel.index_of(position)
        if version == channel.version - 1 and index == channel.piece_first:
            piece, index, version = channel.piece, channel.n_sent, channel.version
        else:
            piece, index, version = channel.since(index)
        yield piece
        if version == channel.version:
            await channel.news(version)
