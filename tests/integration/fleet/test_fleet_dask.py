"""Several hosts on one scan: workers as tasks of a dask cluster, which meet in the store only."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from servers import Server

from bandit.stores import store_from_url
from features import features_in_pieces
from scanner_adapter import SymbolRanker, TimeBudget
from scanner_adapter.demo.simulator import simulate
from scanner_adapter.inputs.context import market_facts
from scanner_adapter.state.check import Fold, check

distributed = pytest.importorskip("distributed")
dask = pytest.importorskip("dask")

N = 400
SYMBOLS = [f"S{n}" for n in range(N)]

# dask's own shutdown leaves sockets to the garbage collector now and then.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def rating(symbol: str) -> float:
    return float(np.random.default_rng(int(symbol[1:])).uniform(0, 100))


def scan_symbol(symbol: str) -> float:
    """The user's scanner: 5 ms a symbol; importable by name, as for any process."""
    time.sleep(0.005)
    return rating(symbol)


def be_worker(url: str, worker: str, cost_s: float = 0.005, stay_s: float = 60.0) -> dict[str, Any]:
    """One task per worker: the ten lines of the README, with `shared=True`."""
    mine: list[str] = []

    def evaluate(symbol: str) -> float:
        time.sleep(cost_s)
        mine.append(symbol)
        return rating(symbol)

    context = pd.DataFrame({"market.worth": [rating(s) for s in SYMBOLS]}, SYMBOLS)
    with SymbolRanker.open(url, ruleset="fleet") as ranker, ThreadPoolExecutor(1) as pool:
        scan = ranker.start_scan(
            SYMBOLS, context=context, scan_id="monday", shared=True, worker=worker, lease_s=2.0
        )
        summary = scan.run(evaluate, executor=pool, batch_size=10, until=TimeBudget(stay_s))
    return {
        "worker": worker, "mine": mine, "pid": os.getpid(), "n": summary.n_scanned,
        "failure": summary.failure,
    }  # fmt: skip


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two worker processes on this machine."""
    # The workers import this module by its name: where it lies, they look too.
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parents[1])])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = path + (os.pathsep + before if before else "")
    try:
        with (
            # Its profiler asks for all threads' frames, which can wait for itself for ever while
            # garbage is collected (CPython issue 106883).
            dask.config.set({"distributed.worker.profile.enabled": False}),
            distributed.LocalCluster(
                n_workers=2,
                threads_per_worker=2,
                processes=True,
                dashboard_address=None,
                silence_logs=logging.ERROR,
            ) as cluster,
            distributed.Client(cluster) as opened,
        ):
            yield opened
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


@pytest.fixture
def url(redis_server: Server) -> Iterator[str]:
    store = store_from_url(redis_server.url)
    store.drop_ruleset("fleet")
    yield redis_server.url
    store.drop_ruleset("fleet")
    store.close()


def journaled(url: str) -> Counter[str]:
    store = store_from_url(url)
    try:
        assert check(store, "fleet").fold is Fold.EQUAL
        return Counter(arm for entry in store.read("fleet") for arm in entry.arms)
    finally:
        store.close()


def test_workers_on_a_cluster_share_a_scan(client: Any, url: str) -> None:
    hosts = list(client.scheduler_info()["workers"])
    printed = client.gather(
        [client.submit(be_worker, url, f"w{n}", pure=False, workers=hosts[n % 2]) for n in range(4)]
    )
    assert [one["failure"] for one in printed] == [None] * 4
    assert len({one["pid"] for one in printed}) == 2, "in both processes"
    assert {one["n"] for one in printed} == {N}, "each has heard of all outcomes"
    assert Counter(s for one in printed for s in one["mine"]) == dict.fromkeys(SYMBOLS, 1)
    assert min(len(one["mine"]) for one in printed) > N / 10
    assert journaled(url) == dict.fromkeys(SYMBOLS, 1)


def test_workers_join_and_leave_in_the_middle(client: Any, url: str) -> None:
    """One leaves after two seconds, one joins after one; nothing is lost or scanned twice."""
    early = client.submit(be_worker, url, "early", 0.02, stay_s=2.0, pure=False)
    time.sleep(1.0)
    late = client.submit(be_worker, url, "late", 0.005, pure=False)
    printed = client.gather([early, late])
    assert printed[0]["n"] < N == printed[1]["n"], "it left before the end"
    assert Counter(s for one in printed for s in one["mine"]) == dict.fromkeys(SYMBOLS, 1)
    assert journaled(url) == dict.fromkeys(SYMBOLS, 1)


def test_one_scan_over_the_executor_of_a_cluster(client: Any, url: str) -> None:
    """The other way: one ranker here, evaluations there; at most its lead waits in the cluster."""
    with SymbolRanker.open(url, ruleset="fleet") as ranker:
        scan = ranker.start_scan(SYMBOLS)
        summary = scan.run(scan_symbol, executor=client.get_executor(), workers=4, batch_size=20)
    assert summary.failure is None
    assert (summary.n_scanned, summary.n_errors) == (N, 0)
    assert journaled(url) == dict.fromkeys(SYMBOLS, 1)


def test_features_in_pieces_on_the_workers_of_a_cluster(client: Any, tmp_path: Path) -> None:
    """Each worker reads its pieces; what they find is what one process finds of all bars."""
    bars = simulate(n_symbols=120, n_days=80, seed=1).bars
    names = bars["symbol"].unique()
    paths = [tmp_path / f"{k}.parquet" for k in range(4)]
    for k, path in enumerate(paths):
        bars[bars["symbol"].isin(names[k::4])].to_parquet(path)
    found = features_in_pieces(
        paths, tmp_path / "found.npy", executor=client.get_executor(), workers=2
    )
    whole = market_facts(found.symbols, bars=bars)
    assert len(found.symbols) == 120
    assert found.values.tobytes() == whole.values.tobytes()
    facts = market_facts(found.symbols, context=found.context, loadings=found.loadings)
    assert facts.loading_names == whole.loading_names
