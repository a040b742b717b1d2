"""A real HTTP server for tests, a client that reads its events, and scans to look at."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from servers import wait_until

from bandit.stores import Store
from scanner_adapter.live.status import LiveEstimate, LiveHit, LiveStatus, NextUp, Reason, TierCount
from scanner_adapter.service.app import create_app
from scanner_adapter.service.server import make_server
from scanner_adapter.service.settings import ServiceSettings


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Serving:
    """The service on a port of its own, in a thread; stopped and started again at will."""

    def __init__(self, store: str | Store, **settings: Any) -> None:
        self.port = free_port()
        self._store = None if isinstance(store, str) else store
        self._settings = ServiceSettings(
            store=store if isinstance(store, str) else store.address,
            port=self.port,
            **{"requests_per_s": 1e6, "poll_s": 0.02, **settings},
        )
        self._thread: threading.Thread | None = None

    def start(self) -> Serving:
        self.server = make_server(self._settings, create_app(self._settings, self._store))
        self._thread = threading.Thread(target=lambda: asyncio.run(self.server.serve()))
        self._thread.start()
        wait_until(lambda: self.server.started, "the service to listen")
        return self

    def stop(self) -> None:
        if self._thread is not None:
            self.server.should_exit = True
            self._thread.join(10)
            assert not self._thread.is_alive(), "the service did not end"
            self._thread = None

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        return self.ask("GET", path, **headers)

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return response.status, found, response.read()
        finally:
            connection.close()


@dataclass(frozen=True)
class Event:
    name: str
    id: str
    data: Any


class EventClient:
    """Reads a stream as a browser does: keeps the last id, and gives it when it comes again."""

    def __init__(self, serving: Serving, path: str, **headers: str) -> None:
        self._serving, self._path, self._headers = serving, path, headers
        self.last_id = ""
        self.status = 0
        self._connection: http.client.HTTPConnection | None = None

    def connect(self) -> EventClient:
        self.close()
        headers = {name.replace("_", "-"): value for name, value in self._headers.items()}
        if self.last_id:
            headers["Last-Event-ID"] = self.last_id
        self._connection = http.client.HTTPConnection("127.0.0.1", self._serving.port, timeout=10)
        self._connection.request("GET", self._path, headers=headers)
        self._response = self._connection.getresponse()
        self.status = self._response.status
        return self

    def events(self) -> Iterator[Event]:
        """Yield events until the stream ends."""
        name, data = "", ""
        while line := self._response.readline():
            text = line.decode().rstrip("\n")
            field, _, value = text.partition(": ")
            if field == "id":
                self.last_id = value
            elif field == "event":
                name = value
            elif field == "data":
                data = value
            elif not text and name:
                yield Event(name, self.last_id, json.loads(data))
                name, data = "", ""

    def until(self, name: str) -> list[Event]:
        """Return what comes up to and including the next event of this name."""
        found = []
        for event in self.events():
            found.append(event)
            if event.name == name:
                return found
        raise AssertionError(f"the stream ended without {name}: {[e.name for e in found]}")

    def close(self) -> None:
        if self._connection is not None:
            self._response.close()
            self._connection.close()
            self._connection = None


@contextmanager
def serving(store: str | Store, **settings: Any) -> Iterator[Serving]:
    server = Serving(store, **settings).start()
    try:
        yield server
    finally:
        server.stop()


def status_note(scan_id: str = "s1", ruleset: str = "demo", **changes: Any) -> dict[str, Any]:
    """Return a status note as a scanner writes it."""
    now = time.time()
    waiting = NextUp(
        symbol="NVDA", score=99.0, tier="high", probability=0.4, is_pinned=False,
        reasons={"market": Reason(0.1, 0.3)}, today=0.0, constant=-3.0,
    )  # fmt: skip
    fields: dict[str, Any] = {
        "scan_id": scan_id, "ruleset": ruleset, "mode": "on", "state": "scanning",
        "stopped": None, "started_at": now - 10, "updated_at": now, "scan_time": now,
        "workers": 2, "n_symbols": 100, "n_scanned": 10, "n_errors": 0, "n_hits": 2.0,
        "rate_per_s": 1.0, "target_recall": 0.95, "eta_s": None, "hit_rule": "top:0.05",
        "hit_limit": None,
        "estimate": LiveEstimate(0.5, 0.3, 0.8, 2.0, 2.0, 0.0, 5.0, 0.95),
        "tiers": {"high": TierCount(28, 2), "medium": TierCount(30, 0), "low": TierCount(38, 2)},
        "next": (waiting,), "newest_hits": (LiveHit("AMD", 9.5, "Buy", 3, now, False),),
        "curve": ((5, 1.0), (10, 2.0)),
    }  # fmt: skip
    return LiveStatus(**{**fields, **changes}).to_json()


def report(
    store: Store,
    symbols: list[str],
    ruleset: str = "demo",
    scan_id: str = "s1",
    reward: float = 1.0,
) -> str:
    """Journal a report as a scan does; return its position."""
    k = len(symbols)
    receipt = store.append_report(
        ruleset, scan_id, arms=symbols,
        header={
            "scan_time": 20_000.0, "reported_at": time.time(), "mode": "on", "batch": 1,
            "columns": ["factor.historical", "factor.market"], "row_columns": ["rating"],
            "session": "x",
        },
        arrays={
            "context": np.full((k, 2), 50.0, np.float32),
            "reward": np.full(k, reward, np.float32),
            "rating": np.arange(k, dtype=np.float64),
            "probability": np.full(k, 0.05, np.float32),
            "propensity": np.ones(k, np.float32),
            "is_signal": np.zeros(k, np.float32),
            "is_random": np.zeros(k, np.uint8),
            "rows": np.zeros((k, 1), np.float32),
        },
    )  # fmt: skip
    return receipt.position or receipt.previous


def open_scan(store: Store, ruleset: str = "demo", scan_id: str = "s1") -> None:
    header = {
        "scan_time": 20_000.0, "mode": "on", "n_symbols": 100,
        "columns": ["factor.historical", "factor.market"],
    }  # fmt: skip
    store.append_event(ruleset, scan_id, "open", header=header, arrays={})


def close_scan(store: Store, ruleset: str = "demo", scan_id: str = "s1") -> None:
    store.append_event(
        ruleset, scan_id, "close", arrays={},
        header={"scan_time": 20_000.0, "limit": None, "pattern": {}, "recall": []},
    )  # fmt: skip
    store.put_status(ruleset, scan_id, status_note(scan_id, ruleset, state="done"))
