"""The spool: what happens to reports while the store is away, on real servers and real files."""

from __future__ import annotations

import logging
import os
import resource
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bandit.errors import StoreUnavailableError
from bandit.stores import Receipt, Store
from bandit.stores.redis.store import RedisStore
from bandit.stores.spool import SpoolingStore, default_spool_directory
from bandit.stores.sqlite import SqliteStore


class Clock:
    """Seconds that pass only when told."""

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


@pytest.mark.parametrize("n_cut", [1, 7, 20, 100])
def test_a_torn_tail_costs_only_the_torn_entry(
    server, store, clock, tmp_path: Path, n_cut: int
) -> None:  # type: ignore[no-untyped-def]
    server.kill()
    report(store, "A")
    report(store, "B")
    path = tmp_path / "spool" / "rules.spool"
    os.truncate(path, path.stat().st_size - n_cut)
    report(store, "C")  # written after the torn frame
    server.start()
    clock.now += 60
    assert store.flush()
    assert journaled(store) == ["A", "C"]


def test_a_flipped_bit_costs_only_its_entry(server, store, clock, tmp_path: Path, caplog) -> None:  # type: ignore[no-untyped-def]
    server.kill()
    for arm in ("A", "B", "C"):
        report(store, arm)
    path = tmp_path / "spool" / "rules.spool"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    server.start()
    clock.now += 60
    with caplog.at_level(logging.WARNING, "bandit"):
        assert store.flush()
    assert journaled(store) == ["A", "C"]
    assert "rules.spool at byte" in caplog.text


def test_beyond_its_limit_the_spool_stays_in_memory(server, tmp_path: Path, clock, caplog) -> None:  # type: ignore[no-untyped-def]
    store = SpoolingStore(RedisStore(server.url), tmp_path / "spool", max_bytes=700, clock=clock)
    server.kill()
    with caplog.at_level(logging.ERROR, "bandit"):
        for n in range(9):
            report(store, f"A{n}")
    assert "at its limit of 700 bytes: entries are kept in memory only" in caplog.text
    n_lost = store.status.n_lost
    assert 0 < n_lost < 4
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
        from bandit.stores.sqlite import SqliteStore
        from bandit.stores.spool import SpoolingStore

        class Away(SqliteStore):
            is_away = True
            def append_sealed(self, ruleset, entry):
                if self.is_away:
                    raise StoreUnavailableError("store nowhere does not answer.")
                return super().append_sealed(ruleset, entry)

        logging.basicConfig(format="%(message)s", stream=sys.stdout)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        inner = Away()
        store = SpoolingStore(inner, sys.argv[1])
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
    assert "lost" not in result.stdout
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_an_emptied_server_gets_back_what_we_still_have(store, clock, caplog) -> None:  # type: ignore[no-untyped-def]
    """Reports, then FLUSHALL as an empty restart would be; the next report brings all of them."""
    for arm in ("A", "B", "C"):
        report(store, arm)
    store._store._call("FLUSHALL")
    with caplog.at_level(logging.WARNING, "bandit"):
        receipt = report(store, "D")
    assert receipt.has_lost_entries
    assert sorted(journaled(store)) == ["A", "B", "C", "D"]
    assert store.status.n_resent == 3
    assert "had lost entries of rules: 3 were sent again" in caplog.text
    assert store.list_rulesets() == ["rules"]
    assert not report(store, "E").has_lost_entries


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


def test_a_server_that_goes_away_while_it_is_refilled(store, clock) -> None:  # type: ignore[no-untyped-def]
    """Emptied, and full after the first entry: what could not be sent again waits in the spool."""
    for arm in ("A", "B", "C"):
        report(store, arm)
    raw = store._store
    raw._call("FLUSHALL")
    send, n_sent = raw.append_sealed, 0

    def full_after_two(ruleset, entry):  # type: ignore[no-untyped-def]
        nonlocal n_sent
        n_sent += 1
        if n_sent == 3:
            raw._call("CONFIG", "SET", "maxmemory", 1)
        return send(ruleset, entry)

    raw.append_sealed = full_after_two
    report(store, "D")
    assert store.status.is_away
    assert journaled(store) == ["D", "A"]
    raw._call("CONFIG", "SET", "maxmemory", 0)
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
    store._store._call("SET", "scanrank:{rules}:scan:blocked:reported", "mine")
    assert store.flush()
    assert journaled(store) == ["B"]
    assert store.status.n_lost == 1
    aside = (tmp_path / "spool" / "rules.refused").read_bytes()
    assert b'"blocked"' in aside


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


def test_a_foreign_file_in_the_directory_is_left_alone(tmp_path: Path, caplog) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "not a ruleset.spool").write_bytes(b"x")
    with caplog.at_level(logging.WARNING, "bandit"):
        SpoolingStore(SqliteStore(), tmp_path).close()
    assert "is no spool of ours" in caplog.text
    assert (tmp_path / "not a ruleset.spool").read_bytes() == b"x"


def test_default_directories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_spool_directory("sqlite:///a%20b/x.db") == Path("/a b/x.db-spool")
    one = default_spool_directory("redis://a:6379/0")
    assert one.parent == Path("/state/scanrank/spool")
    assert one != default_spool_directory("redis://b:6379/0")
