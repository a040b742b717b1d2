"""One client that holds a thousand lines shuts nobody out: silent, slow, or behind a proxy."""

from __future__ import annotations

import http.client
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from serving import Serving

from bandit.stores import store_from_url
from scanner_adapter.service.guard import connections

TOKEN = "0123456789abcdefghijklmnopqrstuv"  # noqa: S105
FLOOD = 1_010


@pytest.fixture(autouse=True)
def _many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def serving(**settings: object) -> Iterator[Serving]:
    store = store_from_url("memory://")
    server = Serving(store, **settings).start()
    try:
        yield server
    finally:
        server.stop()
        store.close()


@contextmanager
def lines_to(port: int, n: int, said: bytes = b"") -> Iterator[list[socket.socket]]:
    with ExitStack() as opened:
        lines = []
        for _ in range(n):
            line = opened.enter_context(socket.create_connection(("127.0.0.1", port), 5))
            if said:
                with suppress(OSError):
                    line.sendall(said)
            lines.append(line)
        yield lines


def ask_quickly(server: Serving, path: str = "/health", **headers: str) -> tuple[int, float]:
    start = time.monotonic()
    status = server.get(path, **headers)[0]
    return status, time.monotonic() - start


def is_open(line: socket.socket) -> bool:
    line.setblocking(False)
    try:
        return line.recv(4096) != b"" and is_open(line)
    except BlockingIOError:
        return True
    except OSError:
        return False


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize("said", [b"", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: "])
def test_a_thousand_silent_or_half_asked_lines_shut_nobody_out(
    token: str | None, said: bytes
) -> None:
    with serving(token=token) as server, lines_to(server.port, FLOOD, said) as lines:
        for _ in range(20):
            status, seconds = ask_quickly(server)
            assert status == 200
            assert seconds < 10.0
        assert sum(map(is_open, lines)) <= connections.PER_ADDRESS


def test_a_byte_a_second_does_not_hold_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADERS_S", 2.0)
    said = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: "
    with serving(token=TOKEN) as server, lines_to(server.port, FLOOD, said) as lines:
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(1.0):
                for line in lines:
                    with suppress(OSError):
                        line.send(b"a")

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            until = time.monotonic() + 5.0
            while time.monotonic() < until:
                status, seconds = ask_quickly(server)
                assert status == 200
                assert seconds < 10.0
            assert not any(map(is_open, lines)), "2 s for the headers are over"
        finally:
            stop.set()
            dripping.join()


def test_two_hundred_lines_of_a_trusted_proxy_are_all_served() -> None:
    proxied = serving(token=TOKEN, trusted_proxies=("127.0.0.1",))
    with proxied as server, lines_to(server.port, 200) as lines:
        time.sleep(0.2)
        assert all(map(is_open, lines)), "they stand for many clients"
        for n, line in enumerate(lines):
            line.setblocking(True)
            line.settimeout(5)
            line.sendall(
                b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For: 10.0.0.%d\r\n\r\n"
                % (n % 250)
            )
        for line in lines:
            assert line.recv(4096).startswith(b"HTTP/1.1 200")


def test_one_client_of_a_trusted_proxy_does_not_take_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """200 logins of one address whose bodies never come, and another client beside them."""
    monkeypatch.setattr("scanner_adapter.service.guard.guard.READ_S", 3.0)
    said = (
        b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For: 10.0.0.1\r\n"
        b"Content-Type: application/json\r\nContent-Length: 50\r\n\r\n"
    )
    proxied = serving(token=TOKEN, trusted_proxies=("127.0.0.1",))
    with proxied as server, lines_to(server.port, 200, said) as lines:
        time.sleep(0.5)
        refused = 0
        for line in lines:
            line.setblocking(False)
            with suppress(BlockingIOError):
                refused += line.recv(4096).startswith(b"HTTP/1.1 429")
        assert refused == 200 - connections.PER_ADDRESS
        status, seconds = ask_quickly(server, **{"X-Forwarded-For": "10.0.0.2"})
        assert (status, seconds < 10.0) == (200, True)


def test_an_address_is_believed_from_a_trusted_proxy_only() -> None:
    """5 wrong tokens of one client: another one behind the same proxy is answered as before."""
    for trusted, expected in (("127.0.0.1",), 401), ((), 429):
        with serving(token=TOKEN, trusted_proxies=trusted) as server:
            for _ in range(6):
                server.get("/metrics", Authorization="Bearer x", **{"X-Forwarded-For": "10.0.0.1"})
            other = {"Authorization": "Bearer x", "X-Forwarded-For": "10.0.0.2"}
            assert server.get("/metrics", **other)[0] == expected


def test_headers_beyond_16_kib_are_refused_whole_or_in_pieces() -> None:
    with serving() as server:
        line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        line.request("GET", "/health", headers={"X-A": "a" * 40_000})
        assert line.getresponse().status in (400, 431)
        line.close()
        line.request("GET", "/health", headers={"X-A": "a" * 14_000})
        assert line.getresponse().status == 200
        line.close()


def test_a_line_that_asked_may_rest_and_ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADERS_S", 0.5)
    with serving() as server:
        line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        for _ in range(2):
            line.request("GET", "/health")
            assert line.getresponse().read()
            time.sleep(0.8)
        line.close()
