"""The spool: what happens to reports while the store is away, on real servers and real files."""

from __future__ import annotations

import logging
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from servers import free_port, wait_until

from bandit.errors import StoreUnavailableError
from bandit.stores import Receipt, Store
from bandit.stores.entries import unseal
from bandit.stores.redis.store import RedisStore
from bandit.stores.spool.store import SpoolingStore, default_spool_directory


class Clock:
    """Seconds that pass only when asked."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def report(store: Store, *arms: str, ruleset: str = "rules", scan: str = "s1") -> Receipt:
    rewards = np.arange(len(arms), dtype=np.float32)
    return store.append_report(ruleset, scan, arms=arms, header={}, arrays={"reward": rewards})


def journaled(store: Store, ruleset: str = "rules") -> list[str]:
    return [arm for entry in store.read(ruleset) for arm in entry.arms]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(own_server: Callable[..., object]) -> object:
    return own_server()


@pytest.fixture
def store(server: object, tmp_path: Path, clock: Clock) -> Iterator[SpoolingStore]:
    opened = SpoolingStore(RedisStore(server.url), tmp_path / "spool", clock=clock)  # type: ignore[attr-defined]
    yield opened
    opened.close()


def test_reports_survive_an_outage_in_order(server, store, clock, caplog) -> None:  # type: ignore[no-untyped-def]
    report(store, "A")
    server.kill()
    with caplog.at_level(logging.WARNING, "bandit"):
        receipts = [report(store, arm) for arm in ("B", "C", "D")]
    assert all(receipt.is_spooled and receipt.accepted.all() for receipt in receipts)
    assert len(caplog.records) == 1, "one warning per outage"
    assert "does not answer" in caplog.text
    assert store.status.is_away
    assert store.status.n_spooled == 3

    server.start()
    clock.now += 60
    back = report(store, "E")
    assert not back.is_spooled
    assert journaled(store) == ["A", "B", "C", "D", "E"]
    assert store.status.n_replayed == 3
    assert str(store.status) == "back: 1 outages, 3 entries spooled, 3 sent later"


def test_no_attempt_before_the_pause_is_over(server, store, clock) -> None:  # type: ignore[no-untyped-def]
    """0.25 s after the first failure, 0.5 s after the second."""
    report(store, "A")
    server.kill()
    report(store, "B")
    server.start()
    clock.now += 0.2
    assert report(store, "C").is_spooled
    clock.now += 0.1
    assert not report(store, "D").is_spooled
    assert journaled(store) == ["A", "B", "C", "D"]


def test_the_next_open_sends_what_waits(server, store, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    server.kill()
    report(store, "A", "B")
    report(store, "C", ruleset="other")
    server.start()
    again = SpoolingStore(RedisStore(server.url), tmp_path / "spool")
    assert journaled(again) == ["A", "B"]
    assert journaled(again, "other") == ["C"]
    assert again.status.n_replayed == 2
    assert report(again, "B", "D").accepted.tolist() == [False, True]
    again.close()
    third = SpoolingStore(RedisStore(server.url), tmp_path / "spool")
    assert third.status.n_replayed == 0
    third.close()


def test_a_report_that_had_arrived_counts_once(server, store, clock, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Sent, acknowledgement lost, spooled, replayed: the journal has it once."""
    direct = RedisStore(server.url)
    report(direct, "A")
    server.kill()
    report(store, "A", "B")
    server.start()
    clock.now += 60
    assert store.flush()
    assert journaled(direct) == ["A", "B"]
    direct.close()


def test_an_entry_that_was_damaged_on_the_disk_is_set_aside(  # type: ignore[no-untyped-def]
    server, store, clock, tmp_path: Path, caplog
) -> None:
    server.kill()
    for arm in ("A", "B", "C"):
        report(store, arm)
    with sqlite3.connect(tmp_path / "spool" / "spool.db") as spool:
        spool.execute("update waiting set blob=substr(blob, 1, 60) where id=2")
    spool.close()
    server.start()
    clock.now += 60
    assert store.flush()
    assert journaled(store) == ["A", "C"]
    (aside,) = (tmp_path / "spool").glob("rules.*.refused")
    assert aside.stat().st_size == 60
    assert str(aside) in caplog.text


def test_a_spool_that_is_no_database_is_moved_away(server, tmp_path: Path, clock, caplog) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "spool.db").write_bytes(b"spl1garbage" * 500)
    store = SpoolingStore(RedisStore(server.url), tmp_path / "spool", clock=clock)
    server.kill()
    report(store, "A")
    server.start()
    clock.now += 60
    assert not report(store, "B").is_spooled
    assert journaled(store) == ["A", "B"]
    (aside,) = (tmp_path / "spool").glob("*.damaged")
    assert aside.read_bytes() == b"spl1garbage" * 500
    assert str(aside) in caplog.text
    store.close()


def test_beyond_its_limit_the_spool_stays_in_memory(server, tmp_path: Path, clock, caplog) -> None:  # type: ignore[no-untyped-def]
    store = SpoolingStore(RedisStore(server.url), tmp_path / "spool", max_bytes=80_000, clock=clock)
    server.kill()
    with caplog.at_level(logging.ERROR, "bandit"):
        for n in range(9):
            arrays = {"x": np.zeros((1, 4_000))}
            store.append_report("rules", "s1", arms=[f"A{n}"], header={}, arrays=arrays)
    assert "database or disk is full.): entries are kept in memory only" in caplog.text
    n_lost = store.status.n_lost
    assert 3 < n_lost < 7
    assert "are lost" in caplog.text
    server.start()
    clock.now += 60
    assert store.flush()
    assert journaled(store) == [f"A{n}" for n in range(9 - n_lost)]
    store.close()


def test_a_full_disk_is_said_once_and_loses_nothing_yet(tmp_path: Path) -> None:
    """RLIMIT_FSIZE makes write() fail like a full disk does; in a process of its own."""
    code = textwrap.dedent(
        """
        import logging, resource, signal, sys
        import numpy as np
        from bandit.errors import StoreUnavailableError
        from bandit.stores.sqlite.store import SqliteStore
        from bandit.stores.spool.store import SpoolingStore

        class Away(SqliteStore):
            is_away = True
            def append_sealed(self, ruleset, entry):
                if self.is_away:
                    raise StoreUnavailableError("store nowhere does not answer.")
                return super().append_sealed(ruleset, entry)

        logging.basicConfig(format="%(message)s", stream=sys.stdout)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        inner = Away()
        store = SpoolingStore(inner, sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        for n in range(8):
            store.append_report("r", "s", arms=[f"A{n}"], header={}, arrays={"x": np.zeros(1)})
        inner.is_away = False
        assert store.flush()
        print(sorted(arm for entry in inner.read("r") for arm in entry.arms), store.status)
        """
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert result.stdout.count("cannot be written") == 1
    assert "['A0', 'A1', 'A2', 'A3', 'A4', 'A5', 'A6', 'A7']" in result.stdout
    assert result.stdout.endswith("8 entries spooled, 8 sent later\n")  # and none lost
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_an_emptied_server_gets_back_what_we_still_have(server, store, clock, caplog) -> None:  # type: ignore[no-untyped-def]
    """Reports, then FLUSHALL as an empty restart would be; the next report brings all of them."""
    for arm in ("A", "B", "C"):
        report(store, arm)
    server.call("FLUSHALL")
    with caplog.at_level(logging.WARNING, "bandit"):
        receipt = report(store, "D")
    assert receipt.generation == store.generation("rules")
    assert sorted(journaled(store)) == ["A", "B", "C", "D"]
    assert store.status.n_resent == 3
    assert "had lost entries of rules; 3 were sent again" in caplog.text
    assert store.list_rulesets() == ["rules"]
    assert report(store, "E").generation == receipt.generation


def test_an_emptied_server_is_refilled_after_an_outage(server, store, clock) -> None:  # type: ignore[no-untyped-def]
    """Killed with its files gone: the spooled and the lost reports all come back."""
    report(store, "A")
    report(store, "B")
    server.kill()
    for path in (server.directory / "appendonlydir").iterdir():
        path.unlink()
    report(store, "C")
    server.start()
    clock.now += 60
    report(store, "D")
    assert sorted(journaled(store)) == ["A", "B", "C", "D"]


def test_a_server_that_goes_away_while_it_is_refilled(server, store, clock) -> None:  # type: ignore[no-untyped-def]
    """Emptied, and full after the first entry: what could not be sent again waits in the spool."""
    for arm in ("A", "B", "C"):
        report(store, arm)
    raw = store._store
    server.call("FLUSHALL")
    send, n_sent = raw.append_sealed, 0

    def full_after_two(ruleset, entry):  # type: ignore[no-untyped-def]
        nonlocal n_sent
        n_sent += 1
        if n_sent == 3:
            server.call("CONFIG", "SET", "maxmemory", 1)
        return send(ruleset, entry)

    raw.append_sealed = full_after_two
    report(store, "D")
    assert store.status.is_away
    assert journaled(store) == ["D", "A"]
    server.call("CONFIG", "SET", "maxmemory", 0)
    clock.now += 60
    assert store.flush()
    assert journaled(store) == ["D", "A", "B", "C"]


def test_an_entry_that_is_refused_for_good_is_set_aside(
    server, store, clock, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    """A foreign key stands in the way of one scan: its entry is kept, and the others go on."""
    server.kill()
    report(store, "A", scan="blocked")
    report(store, "B", scan="free")
    server.start()
    clock.now += 60
    server.call("SET", "scanrank:{rules}:scan:blocked:reported", "mine")
    assert store.flush()
    assert journaled(store) == ["B"]
    assert (store.status.n_set_aside, store.status.n_lost) == (1, 0)
    (aside,) = (tmp_path / "spool").glob("rules.*.refused")
    assert b'"blocked"' in aside.read_bytes()


def test_other_calls_say_that_the_store_is_away(server, store) -> None:  # type: ignore[no-untyped-def]
    server.kill()
    with pytest.raises(StoreUnavailableError, match="does not answer"):
        store.load_snapshot("rules")


def test_two_processes_may_share_a_spool(server, tmp_path: Path, clock) -> None:  # type: ignore[no-untyped-def]
    stores = [
        SpoolingStore(RedisStore(server.url), tmp_path / "spool", clock=clock) for _ in range(2)
    ]
    server.kill()
    for n in range(20):
        report(stores[n % 2], f"A{n}")
    server.start()
    clock.now += 60
    assert stores[0].flush()
    assert stores[1].flush()
    assert journaled(stores[0]) == [f"A{n}" for n in range(20)]
    for store in stores:
        store.close()


def test_what_no_file_takes_waits_in_memory(server, tmp_path: Path, clock, caplog) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "spool" / "spool.db").mkdir(parents=True)
    store = SpoolingStore(RedisStore(server.url), tmp_path / "spool", clock=clock)
    server.kill()
    report(store, "A")
    assert "entries are kept in memory only" in caplog.text
    server.start()
    clock.now += 60
    report(store, "B")
    assert journaled(store) == ["A", "B"]
    store.close()


def test_closing_says_what_was_kept_nowhere(server, tmp_path: Path, clock, caplog) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "spool" / "spool.db").mkdir(parents=True)
    store = SpoolingStore(RedisStore(server.url), tmp_path / "spool", clock=clock)
    server.kill()
    for arm in "AB":
        report(store, arm)
    assert store.status.n_lost == 0
    store.close()
    store.close()
    assert store.status.n_lost == 2
    assert caplog.text.count("the outcomes of 2 symbols are lost") == 1


def test_a_user_without_a_home_has_no_trouble_with_a_server(  # type: ignore[no-untyped-def]
    server, clock, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    for name in ("HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    store = SpoolingStore(RedisStore(server.url), clock=clock)
    assert "reports are kept in memory only: this user has no home directory" in caplog.text
    server.kill()
    report(store, "A")
    server.start()
    clock.now += 60
    report(store, "B")
    assert journaled(store) == ["A", "B"]
    store.close()


class TestTooLarge:
    @pytest.fixture
    def limited(self, server: Any, store: SpoolingStore) -> SpoolingStore:
        server.call("CONFIG", "SET", "proto-max-bulk-len", 2**20)
        return store

    def test_it_is_sent_in_pieces(self, limited: SpoolingStore) -> None:
        """5 MB of 100 rows, where the server takes 1 MB: eight pieces, in the order of the rows."""
        arms = [f"A{n}" for n in range(100)]
        wide = np.arange(100 * 6_000, dtype=np.float64).reshape(100, 6_000)
        receipt = limited.append_report("rules", "s1", arms=arms, header={}, arrays={"x": wide})
        assert receipt.accepted.all()
        assert not receipt.is_spooled
        assert journaled(limited) == arms
        rows = np.concatenate([entry.arrays["x"] for entry in limited.read("rules")])
        np.testing.assert_array_equal(rows, wide)
        assert str(limited.status) == "ok"

    def test_in_the_spool_it_is_in_nobodys_way(self, server, limited, clock) -> None:  # type: ignore[no-untyped-def]
        server.call("CONFIG", "SET", "appendonly", "yes")
        server.kill()
        arrays = {"x": np.zeros((10, 60_000))}
        arms = [f"A{n}" for n in range(10)]
        limited.append_report("rules", "s1", arms=arms, header={}, arrays=arrays)
        report(limited, "B")
        server.start()
        server.call("CONFIG", "SET", "proto-max-bulk-len", 2**20)
        clock.now += 60
        report(limited, "C")
        assert limited.flush()
        assert journaled(limited) == [*arms, "B", "C"]

    def test_a_single_row_that_is_too_large_is_set_aside(  # type: ignore[no-untyped-def]
        self, limited, tmp_path: Path, caplog
    ) -> None:
        arrays = {"x": np.zeros((1, 200_000))}
        limited.append_report("rules", "s1", arms=["A"], header={}, arrays=arrays)
        assert not report(limited, "B").is_spooled
        assert limited.status.n_set_aside == 1
        (aside,) = (tmp_path / "spool").glob("rules.*.refused")
        assert f"were moved to {aside}" in caplog.text
        assert unseal(aside.read_bytes(), where="the file").arms == ("A",)


def test_a_hung_server_holds_up_the_first_report_only(server, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """SIGSTOP: it accepts connections and answers nothing."""
    store = SpoolingStore(RedisStore(f"{server.url}?socket_timeout=1"), tmp_path / "spool")
    report(store, "A")
    server.process.send_signal(signal.SIGSTOP)
    try:
        waits = []
        for n in range(12):
            began = time.monotonic()
            assert report(store, f"B{n}").is_spooled
            with pytest.raises(StoreUnavailableError):
                list(store.read("rules"))
            waits.append(time.monotonic() - began)
            time.sleep(0.1)
        assert max(waits[1:]) < 1.0
        assert sum(waits[1:]) < 3.0
    finally:
        server.process.send_signal(signal.SIGCONT)
    wait_until(store.flush, "the server to answer again")
    assert journaled(store) == ["A", *(f"B{n}" for n in range(12))]
    store.close()


def test_a_server_has_one_spool_however_it_is_addressed(  # type: ignore[no-untyped-def]
    own_server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By host name, address, socket and option; another database of it has another one."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    port = free_port()
    server = own_server("--port", str(port))
    store = SpoolingStore(RedisStore(f"redis://127.0.0.1:{port}/0"))
    server.kill()
    report(store, "A")
    server.start()
    addresses = (f"redis://localhost:{port}", f"{server.url}?socket_timeout=3")
    for url in (f"redis://localhost:{port}/1", *addresses):
        other = SpoolingStore(RedisStore(url))
        assert journaled(other) == ([] if url.endswith("/1") else ["A"])
        other._store._call("FLUSHDB")  # what it is called is remembered by its address
        again = SpoolingStore(RedisStore(url))
        assert again._file.path == other._file.path
        for each in (again, other):
            each.close()
        if url.endswith("/1"):
            continue
        report(store, "A")
    store.close()


def test_default_directories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_spool_directory("sqlite:///a%20b/x.db") == Path("/a b/x.db-spool")
    one = default_spool_directory("redis://a:6379/0")
    assert one.parent == Path("/state/scanrank/spool")
    assert one != default_spool_directory("redis://b:6379/0")
