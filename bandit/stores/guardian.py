"""Runs one embedded server and stops it when its last user is gone. A script, stdlib only.

Started by `bandit.stores.embedded` as ``python -I -S guardian.py DIRECTORY SERVER_BINARY``, it goes
to the background and does two things at once, both by waiting in the kernel at no cost:

- it waits for an exclusive lock on ``users``. Every user holds a shared lock on that file, which
  the kernel releases however a user ends, SIGKILL included. Once the lock is ours nobody is left
  (and nobody can join before we are done): the server is stopped.
- it waits for the server to end by itself, and then goes too.

Files in the directory: ``users`` (see above), ``guardian`` (locked by the one guardian), ``server``
(locked as long as the server process lives: it inherits the lock, so that it outlives a killed
guardian and no second server can open the same append-only file).

Exit status of the foreground half: 0 started, 3 another guardian is there, 4 a server without a
guardian was there and did not stop.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

STOP_TIMEOUT_S = 10.0  # for the server's last fsync; then it is killed

SETTINGS = (
    "--port", "0",  # no TCP: only who may open the socket gets in
    "--unixsocket", "server.sock",  # relative: the path's length is limited to some 107 bytes
    "--unixsocketperm", "700",
    "--dir", ".",
    "--daemonize", "no",
    "--databases", "1",
    "--appendonly", "yes",
    "--appendfsync", "everysec",
    "--save", "",  # the append-only file is the only copy; no second one at random times
    "--maxmemory-policy", "noeviction",
    "--logfile", "server.log",
    "--loglevel", "notice",
)  # fmt: skip


def try_lock(name: str) -> int | None:
    """Return a descriptor that holds the file's exclusive lock, None if another holds it."""
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def ask_to_stop() -> None:
    """Send SHUTDOWN through the socket; whether it worked shows in the ``server`` lock."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(2.0)
        try:
            connection.connect("server.sock")
            connection.sendall(b"*1\r\n$8\r\nSHUTDOWN\r\n")
            connection.recv(64)
        except OSError:
            return  # gone already, or hung: the caller looks at the lock


def main(directory: str, binary: str) -> int:
    """Start the server of a directory, and guard it from the background."""
    os.umask(0o077)
    os.chdir(directory)
    if try_lock("guardian") is None:
        return 3
    server_lock = try_lock("server")
    if server_lock is None:  # its guardian was killed; replace it, we could not wait for it
        ask_to_stop()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while (server_lock := try_lock("server")) is None:
            if time.monotonic() > deadline:
                return 4
            time.sleep(0.01)
    if os.fork():
        return 0
    os.setsid()  # Ctrl-C in the user's terminal is not for us
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # whoever reads our starter's output must see its end
        os.dup2(null, standard)
    with Path("server.log").open("ab") as log:  # what it says before it has read its settings
        server = subprocess.Popen(  # noqa: S603
            [binary, *SETTINGS],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(server_lock,),
        )
    os.close(server_lock)
    threading.Thread(target=stop_when_unused, args=(server,), daemon=True).start()
    server.wait()
    return 0


def stop_when_unused(server: subprocess.Popen[bytes]) -> None:
    """Wait until no user is left, then stop the server."""
    users = os.open("users", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(users, fcntl.LOCK_EX)
    server.send_signal(signal.SIGTERM)  # it writes its file to disk and leaves
    try:
        server.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
