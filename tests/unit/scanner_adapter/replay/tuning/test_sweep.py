"""Sweeps: the figures of single replays, in any number of processes, and what goes to workers."""

from __future__ import annotations

import builtins
import pickle
from typing import Any

import joblib
import numpy as np
import pytest
from sweep_log import small_log

from bandit.errors import InvalidInputError
from scanner_adapter.replay import Configuration, ReplayLog, ReplayReport, bundled_log, replay
from scanner_adapter.replay.tuning.sweep import SharedLog, in_parallel, n_bytes, sweep

CONFIGURATIONS = [
    Configuration("default"),
    Configuration("small batches", settings={"batch_size": 5}),
    Configuration("greedy", seed=3, settings={"exploration": 0.0, "products": False}),
]

PERIOD: dict[str, Any] = {"from_": "2022-05-02", "warmup": 3}  # of a log that ends on 2022-05-20


@pytest.fixture(scope="module")
def log() -> ReplayLog:
    return small_log()


def results(report: ReplayReport) -> dict[str, list[Any]]:
    """All that must not depend on where a replay ran; its speed may."""
    return {
        name: [result.metrics, result.scanned.tolist(), result.curves.tolist()]
        for name, result in report.results.items()
    }


@pytest.fixture(scope="module")
def alone(log: ReplayLog) -> ReplayReport:
    """In this process, without workers."""
    return sweep(log, CONFIGURATIONS, n_jobs=1, **PERIOD)


class TestFigures:
    def test_each_configuration_has_the_figures_of_its_own_replay(
        self, log: ReplayLog, alone: ReplayReport
    ) -> None:
        for configuration, k in zip(CONFIGURATIONS, (50, 5, 50), strict=True):
            single = replay(
                log, configuration=configuration, orders=("scanrank",), batch_size=k, **PERIOD
            )
            assert results(single)[configuration.name] == results(alone)[configuration.name]
        assert alone.conditions["batch_size"] == "5 to 50"
        assert (alone.dates == single.dates).all()

    def test_two_processes_give_the_same_figures(self, log: ReplayLog, alone: ReplayReport) -> None:
        printed: list[tuple[int, int]] = []
        with joblib.parallel_config(backend="loky"):
            report = sweep(
                log, CONFIGURATIONS, n_jobs=2, progress=lambda *at: printed.append(at), **PERIOD
            )
        assert results(report) == results(alone)
        assert printed == [(1, 3), (2, 3), (3, 3)]

    def test_differences_are_paired(self, alone: ReplayReport) -> None:
        difference = alone.difference("small batches", "greedy", "recall_25")
        by_scan = alone.results["small batches"].values("recall_25") - alone.results[
            "greedy"
        ].values("recall_25")
        assert difference.n == len(alone.dates)
        assert difference.mean == pytest.approx(by_scan.mean())
        assert difference.low <= difference.mean <= difference.high

    def test_a_given_batch_size_beats_the_configurations(self, log: ReplayLog) -> None:
        report = sweep(log, CONFIGURATIONS[:2], batch_size=10, **PERIOD)
        first, second = results(report).values()
        assert first == second
        assert report.conditions["batch_size"] == 10


def base_kinds(shared: SharedLog) -> tuple[bool, bool]:
    """Whether a worker's sub-scores and ratings lie in files that are mapped into its memory."""

    def is_mapped(array: Any) -> bool:
        while array is not None:
            if isinstance(array, np.memmap):
                return True
            array = getattr(array, "base", None)
        return False

    log: Any = shared.log
    return is_mapped(log.contexts.sub_scores), is_mapped(log.outcomes.rating)


class TestTheLogOnItsWay:
    def test_large_arrays_are_mapped_and_not_copied(self, log: ReplayLog) -> None:
        assert log.contexts.sub_scores.nbytes > 10_000 < log.outcomes.rating.nbytes
        assert list(in_parallel(base_kinds, SharedLog(log), [(), ()], n_jobs=2)) == [
            (True, True),
            (True, True),
        ]

    def test_its_size_is_that_of_its_arrays(self, log: ReplayLog) -> None:
        """So that dask sends it once to each worker."""
        bars = log.contexts.bars
        arrays = [
            getattr(bars, name) for name in ("open", "high", "low", "close", "volume", "dates")
        ]
        least = sum(array.nbytes for array in (*arrays, log.contexts.sub_scores))
        assert least < n_bytes(log) < len(pickle.dumps(log)) * 1.5
        assert SharedLog(log).__sizeof__() > least
        assert n_bytes(bundled_log()) > 120 * 397 * 33 * 4  # the sub-scores of the recorded scans


class TestRefusals:
    @pytest.mark.parametrize("names", [[], ["a", "a"]])
    def test_every_configuration_needs_a_name_of_its_own(
        self, log: ReplayLog, names: list[str]
    ) -> None:
        with pytest.raises(InvalidInputError, match="each with a unique name"):
            sweep(log, [Configuration(name) for name in names])

    def test_what_replay_refuses_is_refused_in_workers_too(self, log: ReplayLog) -> None:
        with pytest.raises(
            InvalidInputError, match="scans leave none to measure after a warm-up of 999"
        ):
            sweep(log, CONFIGURATIONS, n_jobs=2, warmup=999)

    def test_without_joblib_the_extra_is_named(
        self, log: ReplayLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = builtins.__import__

        def missing(name: str, *rest: Any, **further: Any) -> Any:
            if name == "joblib":
                raise ImportError(name)
            return real(name, *rest, **further)

        monkeypatch.setattr(builtins, "__import__", missing)
        with pytest.raises(ImportError, match=r"pip install 'scanrank\[tune\]'"):
            sweep(log, CONFIGURATIONS)
