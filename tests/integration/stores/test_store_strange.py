"""Strange contents under our keys: refused by name, never run, never half used, repairable."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import redis
from servers import Server, redis_binary

from bandit.errors import CorruptStateError, IncompatibleStateError
from bandit.stores import Problem, Receipt, Store
from bandit.stores.codec import encode
from bandit.stores.redis.store import RedisStore


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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of these tests' own: they empty it."""
    started = Server(redis_binary(), tmp_path_factory.mktemp("redis")).start()
    yield started
    started.kill()


@pytest.fixture
def raw(server: Server) -> Iterator[redis.Redis]:
    """The server, emptied, for putting strange things into it."""
    client = redis.Redis.from_url(server.url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def store(server: Server) -> Iterator[RedisStore]:
    opened = RedisStore(server.url)
    yield opened
    opened.close()


def test_a_foreign_journal_is_named(raw: redis.Redis, store: RedisStore) -> None:
    raw.set("scanrank:{rules}:journal", "mine")
    with pytest.raises(CorruptStateError, match=r"scanrank:\{rules\}:journal: a string where"):
        report(store, "A")
    assert raw.get("scanrank:{rules}:journal") == b"mine"
    assert not raw.exists("scanrank:{rules}:scan:s1:reported")


@pytest.mark.parametrize("what", ["meta", "scans", "scan:s1:reported"])
def test_any_foreign_key_stops_a_report_before_it_writes(
    raw: redis.Redis,
    store: RedisStore,
    what: str,
) -> None:
    key = f"scanrank:{{rules}}:{what}"
    raw.set(key, "mine")
    with pytest.raises(CorruptStateError, match=what):
        report(store, "A")
    assert not raw.exists("scanrank:{rules}:journal")


def test_foreign_keys_elsewhere_are_named(raw: redis.Redis, store: RedisStore) -> None:
    for what in ("snapshot", "scan:s1:claims"):
        raw.set(f"scanrank:{{rules}}:{what}", "mine")
    raw.lpush("scanrank:{rules}:scan:s1:control", "mine")
    with pytest.raises(CorruptStateError, match=":snapshot: a string"):
        store.load_snapshot("rules")
    with pytest.raises(CorruptStateError, match=":claims: a string"):
        store.claim("rules", "s1", "w", ["A"], k=1, lease_s=1)
    with pytest.raises(CorruptStateError, match=":control: a list"):
        store.get_control("rules", "s1")
    raw.delete("scanrank:{rules}:scan:s1:control")
    raw.set("scanrank:{rules}:scan:s1:control", "[" * 100_000)
    with pytest.raises(CorruptStateError, match=":control: it is not a scanrank note"):
        store.get_control("rules", "s1")
    raw.set("scanrank:{rules}:scan:s1:control", "[1]")
    with pytest.raises(CorruptStateError, match=":control: it is not a JSON object"):
        store.get_control("rules", "s1")


def strange_entries() -> list[dict[str, bytes]]:
    newer = encode({"entry": 2}, {})
    return [{"x": b"y"}, {"b": b"short"}, {"b": newer}, {"b": b"scrk" + bytes(100)}]


@pytest.mark.parametrize("index", range(4))
def test_a_strange_entry_is_refused_by_its_position_and_repaired(
    raw: redis.Redis,
    store: RedisStore,
    index: int,
) -> None:
    report(store, "A", value=1)
    fields = strange_entries()[index]
    position = raw.xadd("scanrank:{rules}:journal", fields).decode()  # type: ignore[arg-type]
    report(store, "B", value=2)
    with pytest.raises((CorruptStateError, IncompatibleStateError), match=f"entry {position}"):
        list(store.read("rules"))
    (problem,) = store.problems("rules")
    assert problem.place == f"journal {position}"
    assert store.repair("rules", problem) == fields.get("b", b"")
    assert list(store.problems("rules")) == []
    assert rewards(store) == {"A": 1, "B": 2}


def test_a_damaged_snapshot_is_refused_and_repaired(raw: redis.Redis, store: RedisStore) -> None:
    arrays = {"w": np.arange(100.0)}
    store.save_snapshot("rules", header={}, arrays=arrays, position="5-0", expected_version=0)
    (piece,) = raw.keys("scanrank:{rules}:snapshot:*")
    raw.setrange(piece, 300, b"\xff")
    with pytest.raises(CorruptStateError, match=r"scanrank:\{rules\}:snapshot: its checksum"):
        store.load_snapshot("rules")
    (problem,) = store.problems("rules")
    assert problem.place == "snapshot"
    assert len(store.repair("rules", problem)) > 800
    assert store.load_snapshot("rules") is None
    assert raw.keys("scanrank:{rules}:snapshot*") == []


def test_a_missing_piece_and_strange_fields_of_a_snapshot(
    raw: redis.Redis,
    store: RedisStore,
) -> None:
    store.save_snapshot("rules", header={}, arrays={}, position="5-0", expected_version=0)
    (piece,) = raw.keys("scanrank:{rules}:snapshot:*")
    raw.delete(piece)
    with pytest.raises(CorruptStateError, match="a piece of it is missing"):
        store.load_snapshot("rules")
    for field, value in (("pieces", "99999999999"), ("id", "../../x"), ("version", "x")):
        before = raw.hget("scanrank:{rules}:snapshot", field)
        raw.hset("scanrank:{rules}:snapshot", field, value)
        with pytest.raises(CorruptStateError, match=r"unexpected fields"):
            store.load_snapshot("rules")
        raw.hset("scanrank:{rules}:snapshot", field, before)  # type: ignore[arg-type]
    raw.hset("scanrank:{rules}:snapshot", "version", "x")
    assert store.repair("rules", Problem("snapshot", "")) == b""
    assert store.save_snapshot("rules", header={}, arrays={}, position="6-0", expected_version=0)


def test_a_snapshot_of_another_version_than_its_hash_says(
    raw: redis.Redis,
    store: RedisStore,
) -> None:
    store.save_snapshot("rules", header={}, arrays={}, position="5-0", expected_version=0)
    raw.hset("scanrank:{rules}:snapshot", "position", "9-0")
    with pytest.raises(CorruptStateError, match="have different versions"):
        store.load_snapshot("rules")


def test_a_snapshot_replaced_while_it_is_read(store: RedisStore) -> None:
    """Readers and a writer at once: each reader gets some whole snapshot, never a mixture."""
    done = threading.Event()
    seen: list[int] = []

    def read() -> None:
        other = RedisStore(f"unix://{store.address.removeprefix('unix://')}")
        while not done.is_set():
            snapshot = other.load_snapshot("rules")
            assert snapshot is not None
            assert set(snapshot.arrays["w"].tolist()) == {float(snapshot.version)}
            seen.append(snapshot.version)
        other.close()

    def save(version: int) -> None:
        assert store.save_snapshot(
            "rules",
            header={},
            arrays={"w": np.full(2_500_000, float(version))},  # three pieces
            position="5-0",
            expected_version=version - 1,
        )

    store.drop_ruleset("rules")
    save(1)
    reader = threading.Thread(target=read)
    reader.start()
    for version in range(2, 8):
        save(version)
    done.set()
    reader.join()
    assert seen
    assert seen == sorted(seen)
    store.drop_ruleset("rules")


def test_an_interrupted_upload_disappears(raw: redis.Redis, store: RedisStore) -> None:
    """Pieces carry an expiry until they are committed; committed ones do not."""
    store.save_snapshot("rules", header={}, arrays={}, position="5-0", expected_version=0)
    (piece,) = raw.keys("scanrank:{rules}:snapshot:*")
    assert raw.ttl(piece) == -1


def test_scans_are_forgotten_after_thirty_days(raw: redis.Redis, store: RedisStore) -> None:
    report(store, "A")
    store.append_event("rules", "s1", "open", header={}, arrays={})
    store.claim("rules", "s1", "w", ["B"], k=1, lease_s=1)
    store.put_control("rules", "s1", {"stop": True})
    for what in ("reported", "events", "claims", "control"):
        ttl = raw.ttl(f"scanrank:{{rules}}:scan:s1:{what}")
        assert 30 * 86_400 - 60 < ttl <= 30 * 86_400
    assert raw.ttl("scanrank:{rules}:journal") == -1


def test_every_key_is_in_the_rulesets_slot(raw: redis.Redis, store: RedisStore) -> None:
    report(store, "A")
    store.append_event("rules", "s1", "open", header={}, arrays={})
    store.claim("rules", "s1", "w", ["B"], k=1, lease_s=1)
    store.put_control("rules", "s1", {})
    store.save_snapshot("rules", header={}, arrays={}, position="5-0", expected_version=0)
    keys = {key.decode() for key in raw.keys("*")}
    assert all(key.startswith("scanrank:{rules}:") for key in keys - {"scanrank:rulesets"})
    store.drop_ruleset("rules")
    assert raw.keys("*") == []


def test_sync_waits_for_the_disk_where_the_server_can(store: RedisStore) -> None:
    """Valkey has WAITAOF; Redis 7.0 does not and says so."""
    version = store._call("INFO", "server")["redis_version"]
    assert store.sync("rules") is (tuple(map(int, version.split(".")[:2])) >= (7, 2))
