"""The same store behind TLS, behind Sentinel with a failover, and on a cluster of three."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import redis
from servers import Server, free_port, redis_binary, wait_until

from bandit.errors import InvalidInputError, StoreUnavailableError
from bandit.stores import Receipt, Store, store_from_url
from bandit.stores.redis.store import RedisStore
from bandit.stores.spool.store import SpoolingStore


def report(store: Store, *arms: str, ruleset: str = "rules") -> Receipt:
    return store.append_report(
        ruleset, "s1", arms=arms, header={}, arrays={"reward": np.zeros(len(arms))}
    )


def arms(store: Store, ruleset: str = "rules") -> list[str]:
    return [arm for entry in store.read(ruleset) for arm in entry.arms]


# -- TLS


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", key, "-out", certificate, "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return key, certificate


def test_tls_with_a_certificate_of_ones_own(
    own_server: Callable[..., Server], certificate: tuple[Path, Path]
) -> None:
    key, cert = map(str, certificate)
    port = free_port()
    own_server(
        *("--tls-port", str(port), "--tls-cert-file", cert, "--tls-key-file", key),
        *("--tls-ca-cert-file", cert, "--tls-auth-clients", "no", "--requirepass", "pw"),
    )
    store = store_from_url(f"rediss://:pw@127.0.0.1:{port}/0?ssl_ca_certs={cert}")
    assert report(store, "A").accepted.all()
    assert store.address == f"rediss://127.0.0.1:{port}/0"
    store.close()
    with pytest.raises(StoreUnavailableError, match="certificate"):
        store_from_url(f"rediss://:pw@127.0.0.1:{port}/0")


# -- Sentinel


@pytest.fixture
def sentinel(own_server: Callable[..., Server], tmp_path: Path) -> Iterator[tuple[int, Server]]:
    """A primary, a replica and one sentinel that needs nobody's vote."""
    ports = [free_port() for _ in range(3)]
    primary = own_server("--port", str(ports[0]), "--repl-diskless-sync-delay", "0")
    replica = own_server("--port", str(ports[1]), "--replicaof", "127.0.0.1", str(ports[0]))
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"port {ports[2]}\ndir {tmp_path}\nlogfile sentinel.log\n"
        f"sentinel monitor main 127.0.0.1 {ports[0]} 1\n"
        "sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 2000\n"
    )
    process = subprocess.Popen([redis_binary(), str(config), "--sentinel"])
    link = redis.Redis.from_url(replica.url)
    wait_until(lambda: link.info("replication")["master_link_status"] == "up", "the replica")
    watcher = redis.Redis(port=ports[2], protocol=2, socket_timeout=2)

    def knows_replica() -> bool:
        try:
            return len(watcher.sentinel_slaves("main")) == 1
        except redis.ConnectionError:
            return False

    wait_until(knows_replica, "the sentinel to see the replica", timeout_s=20)
    yield ports[2], primary
    watcher.close()
    link.close()
    process.kill()
    process.wait()


def test_a_failover_loses_nothing(sentinel: tuple[int, Server], tmp_path: Path) -> None:
    """The primary is killed between reports; the replica takes over, and all reports are there."""
    port, primary = sentinel
    url = f"redis+sentinel://127.0.0.1:{port}/main/0"
    store = SpoolingStore(RedisStore(url), tmp_path / "spool")
    assert store.address == url
    for n in range(20):
        report(store, f"A{n}")
    primary.kill()
    for n in range(20, 40):
        report(store, f"A{n}")
    assert store.status.is_away
    wait_until(store.flush, "the replica to take over", timeout_s=20)
    report(store, "last")
    assert sorted(arms(store)) == sorted([f"A{n}" for n in range(40)] + ["last"])
    store.close()


def test_a_sentinel_url_needs_a_service() -> None:
    with pytest.raises(InvalidInputError, match=r"port\]/service"):
        store_from_url("redis+sentinel://:secret@localhost:26379")


# -- cluster


def test_everything_works_on_a_cluster(redis_cluster: str) -> None:
    """Rulesets land on several nodes; a script whose keys do not share one would fail."""
    store = store_from_url(redis_cluster)
    for ruleset in store.list_rulesets():  # of other tests
        store.drop_ruleset(ruleset)
    rulesets = [f"rules{n}" for n in range(8)]
    for ruleset in rulesets:
        store.append_event(ruleset, "s1", "open", header={}, arrays={})
        position = report(store, "A", "B", ruleset=ruleset).position or ""
        assert report(store, "B", "C", ruleset=ruleset).accepted.tolist() == [False, True]
        for version in range(2):
            assert store.save_snapshot(
                ruleset,
                header={},
                arrays={"w": np.zeros(2_000_000)},
                position=position,
                expected_version=version,
            )
        assert store.claim(ruleset, "s1", "w", ["A", "D"], k=2, lease_s=9) == ["D"]
        assert store.renew(ruleset, "s1", "w", ["D"], lease_s=9) == ["D"]
        store.release(ruleset, "s1", "w", ["D"])
        store.put_control(ruleset, "s1", {"stop": True})
    for ruleset in rulesets:
        assert arms(store, ruleset) == ["A", "B", "C"]
        snapshot = store.load_snapshot(ruleset)
        assert snapshot is not None
        assert snapshot.version == 2
        assert store.get_control(ruleset, "s1") == {"stop": True}
        assert store.trim(ruleset, max_entries=0) == 2
        assert store.stats(ruleset).snapshot_bytes > 16_000_000
        assert store.list_scans(ruleset)[0].n_reported == 3
        assert list(store.problems(ruleset)) == []
        assert not store.sync(ruleset)
    assert store.list_rulesets() == rulesets
    for ruleset in rulesets:
        store.drop_ruleset(ruleset)
    assert store.list_rulesets() == []
    store.close()


def test_a_cluster_with_nobody_there() -> None:
    start = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=r"redis\+cluster://127.0.0.1"):
        store_from_url(f"redis+cluster://127.0.0.1:{free_port()}")
    assert time.monotonic() - start < 10
