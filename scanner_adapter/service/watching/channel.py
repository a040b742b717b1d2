"""One watched scan as a stream of events: looked at once, sent to all who listen.

    status         the scan as it stands; at the start of a stream, whenever it changes, and after
                   an outage of the store
    results        one per journal entry, in journal order; its `id` is the entry's position
    disconnected   the store does not answer
    closed         the scan has ended; nothing follows

An `id` is a position of the journal: it grows, and means the same to every server and after a
restart. Results are sent once each: those after the position that a client names. A status is a
state, of which only the latest counts.

A channel keeps the latest piece of the stream as bytes. A listener that is up to date is handed
just these; one that comes late, or is slow, is sent from the scan's log what it lacks, so that
nothing queues up for anybody.
"""

from __future__ import annotations

import asyncio
import logging
import time

from pydantic import BaseModel

from bandit.errors import StoreError
from bandit.stores.names import START, position_key
from scanner_adapter.service.metrics import Metrics
from scanner_adapter.service.schemas import ClosedEvent, DisconnectedEvent, Scan
from scanner_adapter.service.store_access import StoreAccess
from scanner_adapter.service.watching.scan_cache import CachedScan
from scanner_adapter.service.watching.scan_log import LoggedEntry, ScanResults

HEARTBEAT_S = 10.0  # of silence; proxies drop a connection after 30 to 60
AWAY_PAUSE_S = 0.5  # between looks while the store is away
MAX_ENTRIES = 100  # sent at once to one who lacks many: some milliseconds of the event loop
KEPT_EVENTS = 512  # journal entries whose bytes are kept for those who come back after a restart
CLOSING_S = 1.0  # how long the status "done" may follow the closing of a scan in the journal

log = logging.getLogger("scanrank.service")


class ScanEvents:
    """The events of one scan, for any number of listeners on one event loop."""

    def __init__(
        self, watched: CachedScan, access: StoreAccess, metrics: Metrics, poll_s: float
    ) -> None:
        self.watched = watched
        self.version = 0  # of `piece`
        self.piece = b""
        self.piece_first = 0  # entries sent before `piece`
        self.n_sent = 0  # entries sent with it
        self.is_over = False
        self._access, self._metrics, self._poll_s = access, metrics, poll_s
        self._news = asyncio.Event()
        self._disconnected = self._closed = b""
        self._seen = b""  # notes as last sent
        self._has_log = False
        self._sent_at = time.monotonic()
        self._close_seen: float | None = None
        self._events: dict[str, bytes] = {}
        self._task: asyncio.Task[None] | None = None

    # -- listening -------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to look, if nobody did."""
        if self._task is None:
            self.watched.n_users += 1
            self._task = asyncio.create_task(self._look_until_over())

    async def stop(self) -> None:
        """Look no more; listeners are woken and find the channel over."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            self.watched.n_users -= 1
        self._end()

    async def news(self, version: int) -> None:
        """Wait until there is a newer piece than `version`, or the channel is over."""
        while self.version == version and not self.is_over:
            await self._news.wait()

    def index_of(self, position: str | None) -> int | None:
        """Return how many entries a listener has that has read up to `position`; None: up to now.

        None while the log has not been read, because the store was away from the start.
        """
        if not self._has_log:
            return None
        return self.n_sent if position is None else self.watched.log.n_entries_up_to(position)

    def since(self, index: int | None) -> tuple[bytes, int | None, int]:
        """Return what a listener with `index` entries lacks.

        Returns
        -------
        piece, index, version
            The listener's new index and version; version -1: there is more, ask again.
        """
        if index is None:
            return self._disconnected, None, self.version
        end = max(index, min(self.n_sent, index + MAX_ENTRIES))
        piece = b"".join(map(self._event, self.watched.log.entries[index:end]))
        if end < self.n_sent:
            return piece, end, -1
        return piece + self._status_event() + self._disconnected + self._closed, end, self.version

    # -- looking ---------------------------------------------------------------------------------

    async def _look_until_over(self) -> None:
        while not self.is_over:
            pause = self._poll_s
            try:
                scan = await self.watched.look(with_log=True, max_age_s=self._poll_s / 2)
            except StoreError as err:
                self._tell_away(err)
                pause = AWAY_PAUSE_S
            except Exception:  # a defect must not leave listeners with a silent stream
                log.exception("watching scan %s failed", self.watched.scan_id)
                self._end()
                return
            else:
                self._send_news(scan)
            await asyncio.sleep(pause)

    def _send_news(self, scan: Scan | None) -> None:
        if scan is None:
            self._end()
            return
        log_ = self.watched.log
        if not self._has_log:
            self._has_log, self.n_sent = True, len(log_.entries)
        first, end = self.n_sent, len(log_.entries)
        is_new = self.watched.json != self._seen or bool(self._disconnected)
        self._disconnected = b""
        news = b"".join(map(self._event, log_.entries[first:end]))
        self.n_sent = end
        if is_new:
            self._seen = self.watched.json
            news += self._status_event()
        if self._is_closed(scan):
            at = scan.status.updated_at if scan.status is not None else log_.closed_at
            event = ClosedEvent(scan_id=scan.scan_id, at=at or time.time())
            self._closed = _event("closed", _json(event), end_position(log_))
            news += self._closed
            self.is_over = True
        self._observe(scan, first, end, is_new=is_new)
        self._publish(news, first, end)

    def _is_closed(self, scan: Scan) -> bool:
        """Whether all was sent: a scanner journals the closing just before its last status."""
        if not scan.is_closed:
            return False
        if scan.status is None or scan.status.state == "done":
            return True
        now = time.monotonic()
        self._close_seen = self._close_seen or now
        return now - self._close_seen > CLOSING_S

    def _position(self) -> str:
        """Position of the last entry that was sent."""
        return self.watched.log.entries[self.n_sent - 1].position if self.n_sent else START

    def _status_event(self) -> bytes:
        return _event("status", self._seen, self._position())

    def _tell_away(self, error: StoreError) -> None:
        news = b""
        if not self._disconnected:
            since = self._access.away_since or time.time()
            event = DisconnectedEvent(since=since, detail=str(error))
            news = self._disconnected = _event("disconnected", _json(event))
        self._publish(news, self.n_sent, self.n_sent)

    def _publish(self, news: bytes, first: int, end: int) -> None:
        now = time.monotonic()
        if not news:
            if now - self._sent_at < HEARTBEAT_S:
                return
            news = b":\n\n"
        self._sent_at = now
        self.piece, self.piece_first, self.n_sent = news, first, end
        self.version += 1
        self._wake()

    def _end(self) -> None:
        self.is_over = True
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _event(self, entry: LoggedEntry) -> bytes:
        event = self._events.get(entry.position)
        if event is None:
            data = _json(self.watched.log.event(entry, self.watched.hit_limit))
            event = self._events[entry.position] = _event("results", data, entry.position)
            if len(self._events) > KEPT_EVENTS:
                del self._events[next(iter(self._events))]
        return event

    def _observe(self, scan: Scan, first: int, end: int, *, is_new: bool) -> None:
        now = time.time()
        if is_new and scan.status is not None and scan.status.state == "scanning":
            self._metrics.event_delay.observe(max(0.0, now - scan.status.updated_at))
        for entry in self.watched.log.entries[first:end]:
            self._metrics.event_delay.observe(max(0.0, now - entry.key[0] / 1000))


def end_position(log_: ScanResults) -> str:
    """Return the position that marks the end of a scan: just behind its last entry."""
    milliseconds, sequence = position_key(log_.entries[-1].position if log_.entries else START)
    return f"{milliseconds}-{sequence + 1}"


def _json(event: BaseModel) -> bytes:
    return event.model_dump_json().encode()


def _event(name: str, data: bytes, position: str | None = None) -> bytes:
    # JSON has no line breaks outside of strings, and inside they are escaped: one data line.
    where = f"id: {position}\n" if position else ""
    return f"{where}event: {name}\ndata: ".encode() + data + b"\n\n"
