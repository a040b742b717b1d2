"""One scan over Ray's worker processes, by the code that the guide shows: `pip install ray`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pages import blocks
from servers import Server, wait_until

from scanner_adapter import Scan, SymbolBudget, SymbolRanker
from scanner_adapter.run.stop_rules import StopRule

try:
    import ray
except ImportError:
    ray = None

# Ray is 240 MB and takes a minute to start its processes.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(ray is None, reason="ray is not installed"),
]

SYMBOLS = [f"S{n}" for n in range(60)]
GUIDE = Path(__file__).parents[3] / "docs" / "how-to" / "run-on-a-cluster.md"
LOST = "S9"  # whatever evaluates this symbol dies


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Two worker processes on this machine, with nothing else of Ray's around them."""
    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
        _temp_dir=str(tmp_path_factory.mktemp("ray")),
    )  # fmt: skip
    yield
    ray.shutdown()


def scanner_in(folder: Path) -> Callable[[str], dict[str, float]]:
    """A scanner that leaves a file for every evaluation that begins, and fails in its ways."""

    def scan_symbol(symbol: str) -> dict[str, float]:
        number = int(symbol[1:])
        is_first = not (folder / symbol).exists()
        (folder / symbol).touch()
        time.sleep(0.02)
        if symbol == LOST or (symbol == "S8" and is_first):
            os.kill(os.getpid(), signal.SIGKILL)
        if number % 10 == 5:
            raise LookupError(f"{symbol} has no bars")
        return {"rating": float(number * 37 % 60), "pid": float(os.getpid())}

    return scan_symbol


def opened(**inputs: Any) -> Scan:
    context = pd.DataFrame({"market.worth": [float(int(s[1:])) for s in SYMBOLS]}, SYMBOLS)
    ranker = SymbolRanker.open("memory://", ruleset="ray", seed=1)
    return ranker.start_scan(SYMBOLS, context=context, **inputs)


def as_the_guide_says(
    scan: Scan, scan_symbol: Callable[[str], object], until: StopRule | None = None
) -> None:
    """Run the guide's block on this scan, with this scanner."""
    (block,) = blocks(GUIDE.read_text(encoding="utf-8"), "python")
    code = block.code.replace("ThreadPoolExecutor(32)", "ThreadPoolExecutor(4)")
    code = code.replace("executor=pool)", "executor=pool, batch_size=10, until=until)")
    assert "until=until" in code
    namespace = {"scan": scan, "my_scanner": scan_symbol, "until": until}
    exec(compile(code, str(GUIDE), "exec"), namespace)  # noqa: S102


def test_outcomes_are_those_of_a_pool_of_threads(tmp_path: Path) -> None:
    """Six symbols fail by an exception; one whose worker dies once comes back by itself."""
    scan = opened()
    scan.queue.exclude([LOST])
    as_the_guide_says(scan, scanner_in(tmp_path))
    here = opened()
    here.queue.exclude([LOST])
    (tmp_path / "threads").mkdir()
    (tmp_path / "threads" / "S8").touch()  # it does not die here
    with ThreadPoolExecutor(4) as pool:
        here.run(scanner_in(tmp_path / "threads"), executor=pool, batch_size=10)
    assert len(scan.outcomes) == len(SYMBOLS) - 1
    for symbol, outcome in here.outcomes.items():
        there = scan.outcomes[symbol]
        assert there.error == outcome.error
        assert there.rating == outcome.rating or outcome.error is not None
    assert scan.summary.n_errors == 6
    assert scan.outcomes["S5"].error == "LookupError: S5 has no bars"
    processes = {outcome.columns["pid"] for outcome in scan.outcomes.values() if not outcome.error}
    assert len(processes) >= 2
    assert os.getpid() not in processes


def test_a_symbol_that_kills_every_worker_is_an_error_and_the_scan_goes_on(tmp_path: Path) -> None:
    scan = opened()
    as_the_guide_says(scan, scanner_in(tmp_path))
    assert (scan.summary.n_scanned, scan.summary.failure) == (len(SYMBOLS), None)
    error = scan.outcomes[LOST].error
    assert error is not None
    assert error.startswith("WorkerCrashedError")


def test_what_is_stopped_was_never_sent(tmp_path: Path) -> None:
    """Everything that was begun is reported, and the cluster goes on with nothing."""
    scan = opened()
    scan.queue.exclude([LOST, "S8"])
    as_the_guide_says(scan, scanner_in(tmp_path), SymbolBudget(20))
    assert scan.summary.stopped is not None
    assert 20 <= scan.summary.n_scanned < 40
    time.sleep(0.5)  # ten evaluations long
    assert {path.name for path in tmp_path.iterdir()} == set(scan.outcomes)


def test_an_evaluation_that_hangs_can_be_ended(tmp_path: Path) -> None:
    """By Ray's own means, as the guide says: the worker is free for the next symbol."""

    def hang(symbol: str) -> float:
        (tmp_path / symbol).write_text(str(os.getpid()))
        time.sleep(60 if symbol == "S3" else 0)
        return 1.0

    evaluate = ray.remote(hang)

    def on_ray(symbol: str) -> object:
        ref = evaluate.remote(symbol)
        try:
            return ray.get(ref, timeout=3)
        except ray.exceptions.GetTimeoutError:
            ray.cancel(ref, force=True)
            raise

    scan = opened()
    start = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        scan.run(on_ray, executor=pool)
    assert time.monotonic() - start < 30
    assert (scan.summary.n_scanned, scan.summary.n_errors) == (len(SYMBOLS), 1)
    assert str(scan.outcomes["S3"].error).startswith("GetTimeoutError")
    worker = Path("/proc", (tmp_path / "S3").read_text())
    wait_until(lambda: not worker.exists(), "the worker that hung to end")


def test_workers_as_tasks_share_a_scan(redis_server: Server, tmp_path: Path) -> None:
    """The other way of the guide, each worker with a ranker of its own: Ray only starts them."""
    url, symbols, there = redis_server.url, SYMBOLS, tmp_path

    @ray.remote(num_cpus=1)
    def be_worker(worker: str) -> tuple[int, list[str]]:
        mine: list[str] = []

        def scan_symbol(symbol: str) -> float:
            time.sleep(0.02)
            mine.append(symbol)
            return float(symbol[1:])

        # A process that starts late would find nothing left to scan.
        (there / worker).touch()
        while len(list(there.iterdir())) < 2:
            time.sleep(0.05)
        with SymbolRanker.open(url, ruleset="on-ray") as ranker, ThreadPoolExecutor(1) as pool:
            scan = ranker.start_scan(symbols, scan_id="monday", shared=True, worker=worker)
            return scan.run(scan_symbol, executor=pool, batch_size=5).n_scanned, mine

    printed = ray.get([be_worker.remote(name) for name in ("w1", "w2")])
    assert [n for n, _ in printed] == [len(SYMBOLS)] * 2, "each has heard of all outcomes"
    assert all(mine for _, mine in printed)
    assert sorted(symbol for _, mine in printed for symbol in mine) == sorted(SYMBOLS)
