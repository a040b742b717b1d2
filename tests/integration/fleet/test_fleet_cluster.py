"""A shared scan on a Redis Cluster of three masters; its contract: `tests/contract`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pytest
from redis import RedisCluster
from shared_scans import SYMBOLS, reports, work

from bandit.stores import store_from_url
from bandit.stores.redis.store import RedisStore
from scanner_adapter.state.check import Fold, check


@pytest.fixture
def store(redis_cluster: str) -> Iterator[RedisStore]:
    opened = store_from_url(redis_cluster)
    assert isinstance(opened, RedisStore)
    yield opened
    opened.close()


def test_rulesets_land_on_all_three_masters(store: RedisStore, redis_cluster: str) -> None:
    names = [f"rules{n}" for n in range(12)]
    for name in names:
        store.append_event(name, "s1", "open", header={}, arrays={})
    with RedisCluster.from_url(redis_cluster.replace("+cluster", "")) as client:
        keys = [f"scanrank:{{{name}}}:journal" for name in names]
        assert len({client.get_node_from_key(key).port for key in keys}) == 3
    assert set(names) <= set(store.list_rulesets())
    for name in names:
        store.drop_ruleset(name)


def test_a_shared_scan_on_a_cluster(store: RedisStore) -> None:
    store.drop_ruleset("rules")
    scanned: dict[str, list[str]] = {name: [] for name in ("w1", "w2", "w3")}
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda name: work(store, name, scanned[name]), scanned))
    assert Counter(chain(*scanned.values())) == dict.fromkeys(SYMBOLS, 1)
    assert reports(store) == dict.fromkeys(SYMBOLS, 1)
    assert check(store, "rules").fold is Fold.EQUAL
    store.drop_ruleset("rules")
