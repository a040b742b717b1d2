"""Event streams over a real server and a real store: once each, in order, whatever happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import redis
from servers import Server, wait_until
from serving import (
    Event,
    EventClient,
    Serving,
    close_scan,
    open_scan,
    report,
    serving,
    status_note,
)

from bandit.stores import Store, store_from_url

EVENTS = "/api/v1/rulesets/demo/scans/s1/events"


@pytest.fixture
def server(own_server: Callable[..., Server]) -> Server:
    return own_server()


@pytest.fixture
def store(server: Server) -> Iterator[Store]:
    store = store_from_url(server.url)
    open_scan(store)
    store.put_status("demo", "s1", status_note())
    yield store
    store.close()


@pytest.fixture
def listen() -> Iterator[Callable[..., EventClient]]:
    """Return a function that makes a client of a stream, not connected yet."""
    clients: list[EventClient] = []

    def make(http: Serving, path: str = EVENTS) -> EventClient:
        clients.append(EventClient(http, path))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


Listen = Callable[..., EventClient]


def symbols(events: list[Event]) -> list[str]:
    return [hit["symbol"] for event in events if event.name == "results"
            for hit in event.data["hits"]]  # fmt: skip


def test_a_stream_tells_status_then_each_result_once_then_closed(
    server: Server, store: Store, listen: Listen
) -> None:
    report(store, ["OLD"])
    with serving(server.url) as http:
        client = listen(http).connect()
        first = client.until("status")
        assert [event.name for event in first] == ["status"]  # from now on: OLD is not printed
        assert first[0].data["status"]["n_symbols"] == 100
        for n in range(5):
            report(store, [f"A{n}", f"B{n}"])
        close_scan(store)
        rest = list(client.events())
        assert symbols(rest) == [f"{letter}{n}" for n in range(5) for letter in "AB"]
        assert [event.name for event in rest].count("closed") == 1
        assert rest[-1].name == "closed"
        assert rest[-2].data["status"]["state"] == "done"
        # A browser comes again after every end; 204 tells it not to.
        assert client.connect().status == 204


def test_ids_grow_and_mean_the_same_to_another_server(
    server: Server, store: Store, listen: Listen
) -> None:
    with serving(server.url) as one, serving(server.url) as other:
        client = listen(one).connect()
        client.until("status")
        positions = [report(store, [f"S{n}"]) for n in range(4)]
        printed = [event for _ in range(4) for event in client.until("results")]
        results = [event for event in printed if event.name == "results"]
        assert [event.id for event in results] == positions
        again = listen(other)
        again.last_id = positions[1]
        assert symbols(again.connect().until("status")) == ["S2", "S3"]
        from_start = listen(other, f"{EVENTS}?after=0-0").connect()
        assert symbols(from_start.until("status")) == ["S0", "S1", "S2", "S3"]


def test_a_restart_of_the_server_loses_and_repeats_nothing(
    server: Server, store: Store, listen: Listen
) -> None:
    """100 results reported one by one while the server is stopped and started twice."""
    printed: list[Event] = []
    done = threading.Event()

    def scan() -> None:
        for n in range(100):
            report(store, [f"S{n}"])
            store.put_status("demo", "s1", status_note(n_scanned=n + 1))
            time.sleep(0.01)
        close_scan(store)
        done.set()

    http = Serving(server.url).start()
    client = listen(http, f"{EVENTS}?after=0-0")
    scanner = threading.Thread(target=scan)
    scanner.start()
    try:
        for _ in range(2):
            printed.extend(event for _ in range(3) for event in client.connect().until("results"))
            http.stop()
            printed.extend(client.events())  # what was under way when it ended
            http.start()
        printed.extend(client.connect().events())
    finally:
        http.stop()
        scanner.join()
    assert symbols(printed) == [f"S{n}" for n in range(100)]
    assert printed[-1].name == "closed"
    ids = [tuple(map(int, event.id.split("-"))) for event in printed if event.id]
    assert ids == sorted(ids)


def test_a_store_that_refuses_is_not_up_and_logged_once(
    server: Server, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(server.url) as http:
        assert b"scanrank_store_up 1.0" in http.get("/metrics")[2]
        with redis.Redis.from_url(server.url) as admin:
            admin.config_set("requirepass", "new")
            admin.client_kill_filter(_type="normal", skipme=True)
        for _ in range(3):
            assert b"scanrank_store_up 0.0" in http.get("/metrics")[2]
        assert b"/problems/store-refuses" in http.get("/ready")[2]
    assert caplog.text.count("wrong user or password, or none") == 1


def test_a_store_that_goes_away_is_reported_and_the_stream_recovers(
    server: Server, store: Store, listen: Listen
) -> None:
    with serving(server.url) as http:
        client = listen(http).connect()
        client.until("status")
        report(store, ["BEFORE"])
        assert symbols(client.until("results")) == ["BEFORE"]
        assert http.get("/ready")[0] == 200
        killed = time.time()
        server.kill()
        away = client.until("disconnected")[-1]
        assert killed - 1 <= away.data["since"] <= time.time()
        assert http.get("/ready")[0] == 503
        status, headers, body = http.get("/api/v1/rulesets/demo/scans/s1/queue")
        assert (status, headers["content-type"]) == (503, "application/problem+json")
        assert b"/problems/store-away" in body
        assert b"scanrank_store_up 0.0" in http.get("/metrics")[2]
        # Somebody who comes now gets an error, and does not lose the stream for good.
        late = listen(http).connect()
        assert late.until("disconnected")[-1].data["since"] == away.data["since"]
        server.start()
        back = client.until("status")
        assert [event.name for event in back] == ["status"]
        assert [event.name for event in late.until("status")] == ["status"]
        report(store, ["AFTER"])
        assert symbols(client.until("results")) == symbols(late.until("results")) == ["AFTER"]
        assert http.get("/ready")[0] == 200
        assert b"scanrank_store_outages_total 1.0" in http.get("/metrics")[2]


def test_a_server_that_starts_before_its_store_waits_for_it(
    own_server: Callable[..., Server],
) -> None:
    redis = own_server()
    redis.kill()
    with serving(redis.url) as http:
        assert http.get("/health")[0] == 200
        assert http.get("/ready")[0] == 503
        redis.start()
        wait_until(lambda: http.get("/ready")[0] == 200, "the service to find its store")


def test_one_look_serves_all_who_watch(server: Server, store: Store, listen: Listen) -> None:
    """50 streams ask the store no more often than one does: 3 questions a look."""
    with serving(server.url, poll_s=0.05) as http:
        clients = [listen(http).connect() for _ in range(50)]
        for client in clients:
            client.until("status")
        assert b"scanrank_event_clients 50.0" in http.get("/metrics")[2]
        before = _commands(server)
        time.sleep(1.0)
        assert _commands(server) - before < 3 * 25
        report(store, ["A"])
        assert all(symbols(client.until("results")) == ["A"] for client in clients)
        for client in clients:
            client.close()
        wait_until(
            lambda: b"scanrank_event_clients 0.0" in http.get("/metrics")[2], "streams to be left"
        )
        before = _commands(server)
        time.sleep(0.3)
        assert _commands(server) - before <= 2  # nobody watches: nobody asks


def test_streams_are_bounded(server: Server, store: Store, listen: Listen) -> None:
    with serving(server.url, max_streams=2) as http:
        clients = [listen(http).connect() for _ in range(3)]
        assert [client.status for client in clients] == [200, 200, 429]
        clients[0].close()
        wait_until(
            lambda: b"scanrank_event_clients 1.0" in http.get("/metrics")[2], "room for one more"
        )
        assert clients[2].connect().status == 200


def test_a_client_that_reads_late_gets_all(server: Server, store: Store, listen: Listen) -> None:
    """3,000 results wait for a client that reads nothing meanwhile; what it holds up is bounded."""
    with serving(server.url) as http:
        client = listen(http).connect()
        client.until("status")
        for n in range(60):
            report(store, [f"S{n}.{i}" for i in range(50)])
            store.put_status("demo", "s1", status_note(n_scanned=50 * n))
        time.sleep(0.3)
        close_scan(store)
        assert symbols(list(client.events())) == [f"S{n}.{i}" for n in range(60) for i in range(50)]


def test_unknown_scans_and_foreign_ids_are_refused(server: Server, store: Store) -> None:
    with serving(server.url) as http:
        assert http.get(EVENTS.replace("s1", "s9"))[0] == 404
        assert http.get(EVENTS, Last_Event_ID="yesterday")[0] == 422
        assert http.get(f"{EVENTS}?after=-1")[0] == 422


def test_an_interrupted_scan_ends_no_stream_and_its_status_stays(
    server: Server, store: Store, listen: Listen
) -> None:
    with serving(server.url) as http:
        client = listen(http).connect()
        client.until("status")
        store.put_status("demo", "s1", {"not": "ours"})
        assert client.until("status")[-1].data["status"] is None
        store.put_status("demo", "s1", status_note(n_scanned=77))
        assert client.until("status")[-1].data["n_scanned"] == 77


def _commands(server: Server) -> int:
    """Commands that the redis-server was given since it started."""
    import redis

    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        return int(client.info("stats")["total_commands_processed"])
