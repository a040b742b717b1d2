"""A server of a benchmark's own, on a unix socket in a temporary directory."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bandit.errors import StoreError
from bandit.stores import store_from_url


class Server:
    """A server process (redis-server, else the embedded store's), to be killed and restarted."""

    def __init__(self, directory: Path) -> None:
        from bandit.stores.embedded import server_binary

        self.binary = shutil.which("redis-server") or str(server_binary())
        self.directory = directory
        self.url = f"unix://{directory}/s"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id while it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603
            [
                *(self.binary, "--port", "0", "--unixsocket", "s", "--dir", ".", "--save", ""),
                *("--appendonly", "yes", "--logfile", "log"),
            ],
            cwd=self.directory,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with suppress(StoreError):
                store_from_url(self.url).close()
                return
            time.sleep(0.01)
        raise SystemExit(f"{self.binary} did not answer within 10 s")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def own_server() -> Iterator[Server]:
    """Start a server for a `with` block."""
    with tempfile.TemporaryDirectory(prefix="scanrank-bench-") as directory:
        server = Server(Path(directory))
        server.start()
        try:
            yield server
        finally:
            server.kill()
