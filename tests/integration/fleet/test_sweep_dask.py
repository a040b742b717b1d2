"""Sweeps and searches on a real dask cluster of processes: the figures of one process."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import joblib
import pytest
from sweep_log import small_log

from scanner_adapter.replay import Configuration, ReplayLog
from scanner_adapter.replay.tuning.sweep import SharedLog, in_parallel, sweep
from scanner_adapter.replay.tuning.tune import tune

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def log() -> ReplayLog:
    return small_log()


@pytest.fixture(scope="module")
def client() -> Iterator[object]:
    """Two worker processes of one thread each."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
            silence_logs=logging.ERROR,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):  # fmt: skip
        yield client


def place_of(shared: SharedLog, _: int) -> tuple[str, int]:
    """Which worker this is, and where its copy of the log lies in memory."""
    return distributed.get_worker().address, id(shared.log)


def test_a_cluster_gives_the_figures_of_one_process(log: ReplayLog, client: object) -> None:
    configurations = [
        Configuration(f"{days:g} days", settings={"half_life_days": days, "batch_size": 10})
        for days in (10.0, 40.0, 160.0)
    ]
    alone = sweep(log, configurations, n_jobs=1, from_="2022-05-02", warmup=3)
    with joblib.parallel_config(backend="dask"):
        spread = sweep(log, configurations, from_="2022-05-02", warmup=3)
    assert spread.results.keys() == alone.results.keys()
    for name, result in alone.results.items():
        assert spread.results[name].metrics == result.metrics
        assert (spread.results[name].curves == result.curves).all()
    assert spread.difference("10 days", "160 days") == alone.difference("10 days", "160 days")


def test_a_worker_gets_the_log_not_once_a_task(log: ReplayLog, client: object) -> None:
    """Once is the rule; a busy dask may move a task, and fetch the log for it once more."""
    with joblib.parallel_config(backend="dask"):
        places = list(in_parallel(place_of, SharedLog(log), [(i,) for i in range(12)], n_jobs=-1))
    assert len(set(places)) <= 2 * len({worker for worker, _ in places})


def test_a_search_on_a_cluster_finds_what_two_processes_find(
    log: ReplayLog, client: object
) -> None:
    def found(**how: int) -> tuple[object, float, int]:
        result = tune(log, trials=4, warmup=5, batch_size=10, **how)
        return result.found, result.train_gain, result.n_pruned

    with joblib.parallel_config(backend="dask"):
        on_cluster = found()
    assert on_cluster == found(n_jobs=2)
