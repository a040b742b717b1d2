"""Real server processes for tests, and waiting for them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from benchmarks._server import server_binary

N_SLOTS = 16_384  # of a Redis Cluster


class Server:
    """A real redis-server (or Valkey) that a test starts, kills and starts again."""

    def __init__(self, binary: str, directory: Path, *settings: str) -> None:
        self.binary, self.directory, self.settings = binary, directory, settings
        self.socket = directory / "redis.sock"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> Server:
        command = [
            *(self.binary, "--port", "0", "--unixsocket", "redis.sock", "--dir", "."),
            # "no": written at once and never waiting for an fsync, so that SIGKILL takes nothing.
            *("--save", "", "--appendonly", "yes", "--appendfsync", "no"),
            *("--logfile", "redis.log", *self.settings),
        ]
        self.process = subprocess.Popen(
            command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        try:
            wait_until(self._answers, f"{self.binary} in {self.directory} to answer")
        except BaseException:
            self.kill()
            raise
        return self

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                # -NOAUTH is an answer too; -LOADING is none yet.
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
            except OSError:
                return False

    def call(self, *words: object) -> Any:
        """Send one command to it, as an operator with `redis-cli` would."""
        with redis.Redis.from_url(self.url) as client:
            return client.execute_command(*words)  # type: ignore[no-untyped-call]

    def kill(self) -> None:
        """SIGKILL, as a power cut of the process would be."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(10)
            self.process = None
            self.socket.unlink(missing_ok=True)


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
    """Poll until `condition` holds; fail the test with `what` if it never does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout_s} s for {what}")
        time.sleep(0.005)


@contextmanager
def count_round_trips() -> Iterator[Counter[str]]:
    """Count what redis-py sends at once, by server: while it waits for an answer it sends nothing.

    A connection's first sends are a greeting: ask the store something before.
    """
    sent: Counter[str] = Counter()
    send = redis.connection.AbstractConnection.send_packed_command

    def counted(connection: Any, *args: Any, **kwargs: Any) -> Any:
        sent[str(getattr(connection, "path", None) or connection.port)] += 1
        return send(connection, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redis.connection.AbstractConnection, "send_packed_command", counted)
        yield sent


def redis_binary() -> str:
    """Return the path of a server; skip the test, or fail it in CI, if there is none."""
    try:
        return server_binary()
    except FileNotFoundError as err:
        if os.environ.get("SCANRANK_REQUIRE_SERVERS") == "1":
            pytest.fail(str(err))
        pytest.skip(str(err))


def free_port() -> int:
    """Return a port that was free just now, with room for a cluster's second port above it."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < 55_000:
            return port


def start_cluster(directories: list[Path]) -> tuple[list[Server], int]:
    """Start one master per directory on loopback, the slots shared evenly; servers and a port."""
    n = len(directories)
    ports = [free_port() for _ in directories]
    servers: list[Server] = []
    clients: list[redis.Redis] = []
    try:
        for number, (directory, port) in enumerate(zip(directories, ports, strict=True)):
            settings = ("--port", str(port), "--cluster-enabled", "yes")
            servers.append(Server(redis_binary(), directory, *settings).start())
            clients.append(redis.Redis.from_url(servers[-1].url))
            first, last = N_SLOTS * number // n, N_SLOTS * (number + 1) // n - 1
            clients[-1].execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            clients[-1].execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for port in ports[1:]:
            clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port)

        def is_ready() -> bool:
            infos = [bytes(client.execute_command("CLUSTER", "INFO")) for client in clients]
            size = b"cluster_size:%d" % n
            return all(b"state:ok" in info and size in info for info in infos)

        wait_until(is_ready, f"a cluster of {n}", timeout_s=30)
    except BaseException:
        for server in servers:
            server.kill()
        raise
    finally:
        for client in clients:
            client.close()
    return servers, ports[0]
