"""The processes of a live scan: a service and a scanner, as an operator would start them."""

from __future__ import annotations

import http.client
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from servers import wait_until

SCANNER = Path(__file__).with_name("scanner.py")
START_S = 30.0  # importing pandas and FastAPI takes seconds on a busy machine


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServeProcess:
    """`scanrank serve`, on a port of its own that stays the same over restarts."""

    def __init__(self, store: str, folder: Path, *options: str) -> None:
        self.store, self.options = store, options
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"serve-{self.port}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> ServeProcess:
        """Start it; `wait` says when it answers."""
        command = [sys.executable, "-m", "scanrank", "serve", "--store", self.store]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port), *self.options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        return self

    def wait(self) -> ServeProcess:
        wait_until(self._answers, f"the service at {self.url}; see {self.log}", START_S)
        return self

    def _answers(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            pytest.fail(f"the service ended at once:\n{self.log.read_text()[-2000:]}")
        try:
            return bool(self.read("/health"))
        except OSError:
            return False

    def read(self, path: str) -> str:
        """Return what it answers to a GET."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def stop(self) -> None:
        """End it as an operator does (SIGTERM); it must end although streams are open."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(15)
            self.process = None


class ScannerProcess:
    """A scanner process that scans as instructed; see scanner.py."""

    def __init__(self, store: str, ruleset: str, scan_id: str, n: int) -> None:
        self.ruleset, self.scan_id = ruleset, scan_id
        self.process = subprocess.Popen(
            [sys.executable, str(SCANNER), store, ruleset, scan_id, str(n)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    @property
    def address(self) -> str:
        """What the page has behind the # for this scan."""
        return f"#{self.ruleset}/{self.scan_id}"

    def answer(self, timeout_s: float = START_S) -> str:
        """Return its next line."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], timeout_s)
        if not ready:
            pytest.fail(f"the scanner said nothing for {timeout_s} s")
        return self.process.stdout.readline().strip()

    def scan(self, n_batches: int) -> int:
        """Let it scan so many batches; returns the number of symbols scanned so far."""
        self.send(str(n_batches))
        return int(self.answer())

    def wait_until_heard(self, symbol: str) -> None:
        """Wait until a wish for `symbol` has arrived; scanners look several times a second."""

        def is_heard() -> bool:
            self.send("requests")
            return symbol in self.answer()

        wait_until(is_heard, f"the scanner to hear of {symbol}", START_S)

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")

    def end(self) -> str:
        """Close the scan and return why it stopped, "None" where everything was scanned."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        why = self.answer()
        self.process.wait(10)
        return why

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
