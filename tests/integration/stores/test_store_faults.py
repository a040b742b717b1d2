"""Servers that die, hang, fill up, refuse or hold foreign things: one clear error, nothing lost."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import redis
from servers import Server

from bandit.errors import (
    BanditError,
    InvalidInputError,
    StoreRefusedError,
    StoreUnavailableError,
)
from bandit.stores import Receipt, Store, store_from_url
from bandit.stores.redis.store import RedisStore
from bandit.stores.spool.store import SpoolingStore


def report(store: Store, *arms: str, value: float = 0.0) -> Receipt:
    rewards = np.full(len(arms), value, dtype=np.float32)
    return store.append_report("rules", "s1", arms=arms, header={}, arrays={"reward": rewards})


def rewards(store: Store) -> dict[str, float]:
    """Every journaled arm's reward; fails if one occurs twice."""
    found: dict[str, float] = {}
    for entry in store.read("rules"):
        for arm, value in zip(entry.arms, entry.arrays["reward"], strict=True):
            assert arm not in found
            found[arm] = float(value)
    return found


# -- dying


@pytest.mark.parametrize("seed", range(3))
def test_every_acknowledged_report_survives_kills(
    own_server: Callable[..., Server],
    tmp_path: Path,
    seed: int,
) -> None:
    """SIGKILL at random moments while one process reports 400 arms; 5 % are reported twice.

    `benchmarks.faults` does the same 200 times with whole scans.
    """
    rng = random.Random(seed)
    server = own_server()
    store = SpoolingStore(RedisStore(server.url), tmp_path / "spool")
    stop = threading.Event()
    kills: list[float] = []

    def kill_and_restart() -> None:
        while not stop.wait(rng.uniform(0.0, 0.03)):
            kills.append(time.monotonic())
            server.kill()
            server.start()

    killer = threading.Thread(target=kill_and_restart)
    killer.start()
    sent = {}
    try:
        for n in range(400):
            report(store, f"A{n}", value=n)
            sent[f"A{n}"] = float(n)
            if rng.random() < 0.05:
                report(store, f"A{rng.randrange(n + 1)}", value=-1.0)
            time.sleep(0.001)
    finally:
        stop.set()
        killer.join()
    deadline = time.monotonic() + 20
    while not store.flush():
        assert time.monotonic() < deadline
    assert rewards(store) == sent
    assert store.status.n_lost == 0
    assert len(kills) >= 5
    store.close()


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match=r"store unix:///.*/none does not answer"):
        store_from_url(f"unix://{tmp_path}/none")
    with socket.socket() as listener:  # a port that is ours, and where nobody listens
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        with pytest.raises(StoreUnavailableError, match=f"redis://127.0.0.1:{port}/0 does not"):
            store_from_url(f"redis://:hidden@127.0.0.1:{port}/0")


# -- hanging: a proxy between the store and the server


class Proxy:
    """Passes bytes to a server until asked to cut replies, to swallow them or to slow down."""

    def __init__(self, path: Path, server: Server) -> None:
        self.path, self.server = path, server
        self.mode = "pass"  # "cut": half of a reply, then closed. "hole": nothing comes back
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                upstream = socket.socket(socket.AF_UNIX)
                upstream.connect(str(self.server.socket))
                self.sockets += [client, upstream]
                for source, target in ((client, upstream), (upstream, client)):
                    threading.Thread(
                        target=self._pump, args=(source, target, target is client), daemon=True
                    ).start()

    def _pump(self, source: socket.socket, target: socket.socket, is_reply: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if is_reply and self.mode == "hole":
                    continue
                if is_reply and self.mode == "slow":
                    time.sleep(0.1)
                if is_reply and self.mode == "cut":
                    target.sendall(data[: len(data) // 2])
                    break
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for end in (self.listener, *self.sockets):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@pytest.fixture
def proxy(own_server: Callable[..., Server], tmp_path: Path) -> Iterator[Proxy]:
    made = Proxy(tmp_path / "proxy.sock", own_server())
    yield made
    made.close()


def test_a_connection_cut_in_the_middle_of_a_reply(proxy: Proxy, tmp_path: Path) -> None:
    """Every reply is cut: the report has arrived, its receipt has not; it counts once."""
    store = SpoolingStore(RedisStore(f"unix://{proxy.path}"), tmp_path / "spool")
    report(store, "A", value=1)
    proxy.mode = "cut"
    assert report(store, "B", value=2).is_spooled
    proxy.mode = "pass"
    time.sleep(0.3)
    assert not report(store, "C", value=3).is_spooled
    assert rewards(store) == {"A": 1, "B": 2, "C": 3}
    store.close()


def test_a_cut_connection_is_opened_again_at_once(proxy: Proxy) -> None:
    store = RedisStore(f"unix://{proxy.path}")
    report(store, "A")
    for end in list(proxy.sockets):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    assert report(store, "B").accepted.all()
    store.close()


def test_a_black_hole_costs_one_timeout(proxy: Proxy, tmp_path: Path) -> None:
    """No reply at all: one report waits for the timeout, the next ones do not ask."""
    url = f"unix://{proxy.path}?socket_timeout=0.5"
    store = SpoolingStore(RedisStore(url), tmp_path / "spool")
    report(store, "A", value=1)
    proxy.mode = "hole"
    start = time.monotonic()
    for n in range(20):
        assert report(store, f"B{n}", value=2).is_spooled
    assert 0.5 <= time.monotonic() - start < 2.0
    assert "Timeout" in store.status.last_error
    proxy.mode = "pass"
    time.sleep(0.6)
    assert store.flush()
    assert rewards(store) == {"A": 1.0} | {f"B{n}": 2.0 for n in range(20)}
    assert store.status.n_outages == 1
    store.close()


def test_slow_replies_are_waited_for(proxy: Proxy, tmp_path: Path) -> None:
    store = SpoolingStore(RedisStore(f"unix://{proxy.path}"), tmp_path / "spool")
    proxy.mode = "slow"
    assert not report(store, "A").is_spooled
    assert str(store.status) == "ok"
    store.close()


# -- refusing


def test_out_of_memory(own_server: Callable[..., Server], tmp_path: Path) -> None:
    server = own_server()
    admin = redis.Redis.from_url(server.url)
    plain = RedisStore(server.url)
    store = SpoolingStore(plain, tmp_path / "spool")
    report(store, "A", value=1)
    admin.config_set("maxmemory", 1)
    with pytest.raises(StoreRefusedError, match="out of memory: raise `maxmemory`"):
        report(plain, "B", value=2)
    assert plain.reported("rules", "s1") == {"A"}, "a refused report leaves no trace"
    assert report(store, "B", value=2).is_spooled
    admin.config_set("maxmemory", 0)
    time.sleep(0.3)
    assert store.flush()
    assert rewards(store) == {"A": 1, "B": 2}
    admin.close()
    store.close()


def test_a_read_only_replica(own_server: Callable[..., Server], tmp_path: Path) -> None:
    server = own_server()
    admin = redis.Redis.from_url(server.url)
    plain = RedisStore(server.url)
    store = SpoolingStore(plain, tmp_path / "spool")
    report(store, "A", value=1)
    admin.execute_command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises((StoreRefusedError, StoreUnavailableError)):
        report(plain, "B", value=2)
    assert report(store, "B", value=2).is_spooled
    assert "read-only replica" in store.status.last_error
    admin.execute_command("REPLICAOF", "NO", "ONE")
    time.sleep(0.3)
    assert store.flush()
    assert rewards(store) == {"A": 1, "B": 2}
    admin.close()
    store.close()


@pytest.mark.parametrize("login", ["", ":wrong@", "me:wrong@", "nobody:x@"])
def test_a_wrong_password_is_said_without_repeating_it(
    own_server: Callable[..., Server],
    login: str,
) -> None:
    server = own_server("--requirepass", "right")
    with pytest.raises(StoreRefusedError, match=r"unix:///.* refuses: .*password") as caught:
        store_from_url(f"unix://{login}{server.socket}")
    assert "wrong@" not in str(caught.value)
    assert ":x@" not in str(caught.value)
    good = store_from_url(f"unix://:right@{server.socket}")
    assert "right" not in repr(good) + good.address
    good.close()


def test_a_password_set_in_mid_scan_sets_no_report_aside(
    own_server: Callable[..., Server], tmp_path: Path
) -> None:
    """A server refuses a long command of a stranger in words as if the command were too large."""
    server = own_server()
    store = SpoolingStore(RedisStore(server.url), tmp_path / "spool")
    admin = redis.Redis.from_url(server.url)
    report(store, "A")
    admin.config_set("requirepass", "new")
    admin.client_kill_filter(_type="normal", skipme=True)
    assert report(store, *(f"B{n}" for n in range(50))).is_spooled
    assert "wrong user or password, or none" in store.status.last_error
    assert store.status.n_set_aside == 0
    admin.config_set("requirepass", "")
    assert store.flush()
    assert len(rewards(store)) == 51
    store.close()


def test_a_user_with_rights_on_our_keys_only(own_server: Callable[..., Server]) -> None:
    """The rights that the documentation names are enough for everything."""
    server = own_server()
    admin = redis.Redis.from_url(server.url)
    admin.execute_command(
        *("ACL", "SETUSER", "scanner", "on", ">pw", "~scanrank:*", "+@all", "-@dangerous", "+info")
    )
    admin.execute_command("ACL", "SETUSER", "blind", "on", ">pw", "~other:*", "+@all")
    store = RedisStore(f"unix://scanner:pw@{server.socket}")
    report(store, "A")
    store.save_snapshot("rules", header={}, arrays={}, position="1-0", expected_version=0)
    assert store.stats("rules").n_entries == 1
    assert store.claim("rules", "s1", "w", ["B"], k=1, lease_s=1) == ["B"]
    store.drop_ruleset("rules")
    blind = RedisStore(f"unix://blind:pw@{server.socket}")
    with pytest.raises(StoreRefusedError, match=r"allow it the keys scanrank:\*"):
        report(blind, "A")
    admin.close()
    store.close()
    blind.close()


def test_a_bad_option_is_refused_without_repeating_the_url() -> None:
    with pytest.raises(InvalidInputError, match="options cannot be parsed") as caught:
        store_from_url("redis://me:secret@localhost:6379/0?socket_timeout=soon")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("odd", ["/", "?", "#", "@", "[", "%", ":", "/0?x=", "]"])
@pytest.mark.parametrize("scheme", ["redis", "rediss", "redis+sentinel", "redis+cluster", "sqlite"])
def test_no_part_of_a_password_is_ever_shown(
    scheme: str, odd: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it holds: it is escaped and used, or refused in words without it."""
    for login in (f"me:top{odd}hush", f":top{odd}hush", f"top{odd}hush"):
        url = f"{scheme}://{login}@127.0.0.1:1/0?socket_timeout=1"
        with pytest.raises(BanditError) as caught:
            store_from_url(url)
        error: BaseException | None = caught.value
        while error is not None and not error.__suppress_context__:
            assert "hush" not in str(error)
            assert "top" not in str(error).replace("stop", "")
            error = error.__cause__ or error.__context__
        assert "hush" not in caplog.text
