"""`Scan.run` and `Scan.arun`: any executor, failures kept apart, clean ends."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime

import numpy as np
import pytest

from bandit.errors import InvalidInputError
from bandit.stores import store_from_url
from scanner_adapter import (
    AnyOf,
    Outcome,
    Progress,
    SymbolBudget,
    SymbolRanker,
    TimeBudget,
)
from scanner_adapter.batch import Batch
from scanner_adapter.run.coroutines import run_scan_async
from scanner_adapter.run.executor import run_scan
from scanner_adapter.scan.scan import Scan

SYMBOLS = [f"S{i}" for i in range(230)]


def rating(symbol: str) -> float:
    """A rating that differs from symbol to symbol."""
    return (int(symbol[1:]) * 37 % 101) / 10


def open_ranker(seed: int = 1) -> SymbolRanker:
    return SymbolRanker.open("memory://", ruleset="t", seed=seed)


def handed_out(scan: Scan) -> list[tuple[str, ...]]:
    """Record the batches of a scan from here on."""
    batches: list[tuple[str, ...]] = []
    choose = scan.next_batch

    def next_batch(k: int = 50):  # type: ignore[no-untyped-def]
        batch = choose(k)
        batches.append(batch.symbols)
        return batch

    scan.next_batch = next_batch  # type: ignore[method-assign]
    return batches


@pytest.fixture
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor


@pytest.mark.parametrize("batch_size", [None, 7, 1000])
def test_every_symbol_is_evaluated_once(pool: Executor, batch_size: int | None) -> None:
    calls: list[str] = []
    summary = (
        open_ranker()
        .start_scan(SYMBOLS)
        .run(lambda s: calls.append(s) or rating(s), executor=pool, batch_size=batch_size)
    )
    assert sorted(calls) == sorted(SYMBOLS)
    assert summary.n_scanned == len(SYMBOLS)
    assert summary.stopped is None


def test_one_worker_gets_the_same_batches_on_any_executor() -> None:
    """In this thread, on a pool of one, with coroutines one at a time: two scans each."""
    seen = []
    for kind in ("none", "thread", "async"):
        ranker, batches = open_ranker(seed=5), []
        for day in (1, 2):  # the clock counts too: what was learned decays by it
            scan = ranker.start_scan(SYMBOLS, now=datetime(2020, 1, day, tzinfo=UTC))
            record = handed_out(scan)
            if kind == "async":

                async def evaluate(symbol: str) -> float:
                    await asyncio.sleep(0)
                    return rating(symbol)

                asyncio.run(scan.arun(evaluate, concurrency=1))
            elif kind == "thread":
                with ThreadPoolExecutor(1) as executor:
                    scan.run(rating, executor=executor)
            else:
                scan.run(rating)
            batches.append(record)
        seen.append(batches)
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][0] != seen[0][1]


def test_the_next_batch_is_chosen_while_the_last_one_runs(pool: Executor) -> None:
    """With results held back, more than the first batch is handed out before all are in."""
    release = threading.Event()
    started: list[str] = []

    def evaluate(symbol: str) -> float:
        started.append(symbol)
        if len(started) <= 4:  # four of eight threads wait
            assert release.wait(10)
        elif len(started) > 45:
            release.set()
        return rating(symbol)

    scan = open_ranker().start_scan(SYMBOLS)
    summary = scan.run(evaluate, executor=pool, batch_size=40)
    assert summary.n_scanned == len(SYMBOLS)
    assert summary.n_errors == 0


def test_failures_are_errors_and_not_rewards() -> None:
    def evaluate(symbol: str) -> object:
        if symbol == "S1":
            raise ValueError("no data")
        return {"S2": "text", "S3": None, "S4": float("nan")}.get(symbol, rating(symbol))

    scan = open_ranker().start_scan(SYMBOLS[:10])
    summary = scan.run(evaluate)
    errors = {symbol: o.error for symbol, o in scan.outcomes.items() if o.error}
    assert set(errors) == {"S1", "S2", "S3"}
    assert errors["S1"] == "ValueError: no data"
    assert summary.n_errors == 3
    assert summary.first_error in errors.values()


@pytest.mark.parametrize("workers", [1, 4])
def test_retries(workers: int) -> None:
    """Fails twice, succeeds at the third attempt: one retry is too few, two are enough."""
    lock = threading.Lock()

    def flaky_scanner():  # type: ignore[no-untyped-def]
        tries: dict[str, int] = {}

        def evaluate(symbol: str) -> float:
            with lock:
                tries[symbol] = tries.get(symbol, 0) + 1
            if tries[symbol] < 5:  # twice `retries + 1`: failed symbols are offered once more
                raise OSError("busy")
            return rating(symbol)

        return evaluate

    with ThreadPoolExecutor(workers) as executor:
        one = (
            open_ranker()
            .start_scan(SYMBOLS[:20])
            .run(flaky_scanner(), executor=executor, retries=1)
        )
        two = (
            open_ranker()
            .start_scan(SYMBOLS[:20])
            .run(flaky_scanner(), executor=executor, retries=2)
        )
    assert (one.n_errors, two.n_errors) == (20, 0)
    assert open_ranker().start_scan(SYMBOLS[:20]).run(flaky_scanner(), retries=2).n_errors == 0


def test_a_hanging_evaluation_is_given_up(pool: Executor) -> None:
    release = threading.Event()

    def evaluate(symbol: str) -> float:
        if symbol in ("S3", "S50"):
            release.wait(20)
        return rating(symbol)

    start = time.monotonic()
    scan = open_ranker().start_scan(SYMBOLS)
    summary = scan.run(evaluate, executor=pool, timeout_s=0.2)
    release.set()
    assert time.monotonic() - start < 10
    assert summary.n_scanned == len(SYMBOLS)
    assert summary.n_errors == 2
    assert scan.outcomes["S3"].error == "TimeoutError: no result within 0.2 s"


def test_a_scan_whose_workers_all_hang_stops() -> None:
    release = threading.Event()
    with ThreadPoolExecutor(2) as executor:
        summary = (
            open_ranker()
            .start_scan(SYMBOLS)
            .run(lambda _: release.wait(20), executor=executor, timeout_s=0.1)
        )
        release.set()
    assert summary.stopped == "all 2 workers are hung in evaluations that timed out"
    assert summary.n_errors == 2


def test_a_symbol_budget_is_kept_to_the_symbol(pool: Executor) -> None:
    calls: list[str] = []
    summary = (
        open_ranker()
        .start_scan(SYMBOLS)
        .run(
            lambda s: calls.append(s) or rating(s),
            executor=pool,
            until=AnyOf(SymbolBudget(60), TimeBudget(100)),
        )
    )
    assert summary.n_scanned == len(calls) == 60
    assert summary.stopped == "60 symbols scanned"


def test_a_time_budget_does_not_wait_for_the_report(pool: Executor) -> None:
    start = time.monotonic()
    summary = (
        open_ranker()
        .start_scan(SYMBOLS)
        .run(
            lambda s: time.sleep(0.05) or rating(s),
            executor=pool,
            batch_size=200,
            until=TimeBudget(0.3),
        )
    )
    assert time.monotonic() - start < 1.0  # the whole scan would take 1.4 s
    assert 0 < summary.n_scanned < len(SYMBOLS)
    assert "s spent" in (summary.stopped or "")


def test_an_executor_that_breaks_ends_the_scan_with_its_error(pool: Executor) -> None:
    scan = open_ranker().start_scan(SYMBOLS)
    results = []

    def on_result(symbol: str, outcome: Outcome) -> None:
        results.append(symbol)
        if len(results) == 60:
            pool.shutdown(wait=False)

    with pytest.raises(RuntimeError, match="shutdown"):
        scan.run(rating, executor=pool, on_result=on_result, batch_size=20)
    assert scan.summary.n_scanned >= 60
    assert scan.summary.store_status == "saved"


def test_prefetch_is_asked_for_each_batch_before_it_is_evaluated(pool: Executor) -> None:
    asked: dict[str, float] = {}
    late = []

    def fetch(symbols: tuple[str, ...]) -> None:
        asked.update(dict.fromkeys(symbols, time.monotonic()))

    def evaluate(symbol: str) -> float:
        if symbol not in asked:
            late.append(symbol)
        return rating(symbol)

    summary = (
        open_ranker()
        .start_scan(SYMBOLS)
        .run(evaluate, executor=pool, batch_size=30, prefetch=fetch)
    )
    assert summary.n_scanned == len(SYMBOLS)
    assert set(asked) == set(SYMBOLS)
    assert late == []


def test_a_prefetch_that_fails_is_logged_and_the_scan_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fetch(symbols: tuple[str, ...]) -> None:
        raise OSError("vendor away")

    summary = open_ranker().start_scan(SYMBOLS).run(rating, batch_size=100, prefetch=fetch)
    assert summary.n_scanned == len(SYMBOLS)
    assert "vendor away" in caplog.text


class BrokenModel:
    """A result that fails as soon as it is looked at."""

    def model_dump(self) -> dict[str, float]:
        raise RuntimeError("no such field")


@pytest.mark.parametrize("is_async", [False, True])
def test_a_result_that_raises_when_it_is_read_is_that_symbols_failure(is_async: bool) -> None:
    def scan_symbol(symbol: str) -> object:
        return BrokenModel() if symbol == SYMBOLS[3] else rating(symbol)

    async def scan_symbol_async(symbol: str) -> object:
        return scan_symbol(symbol)

    scan = open_ranker().start_scan(SYMBOLS)
    summary = asyncio.run(scan.arun(scan_symbol_async)) if is_async else scan.run(scan_symbol)
    assert summary.n_errors == 1
    failed = {symbol: o.error for symbol, o in scan.outcomes.items() if o.error is not None}
    assert failed == {SYMBOLS[3]: "RuntimeError: no such field"}


def test_progress_and_results_come_in_the_callers_thread(pool: Executor) -> None:
    seen: list[Progress] = []
    threads = set()
    open_ranker().start_scan(SYMBOLS).run(
        rating,
        executor=pool,
        batch_size=50,
        on_result=lambda *_: threads.add(threading.current_thread()),
        on_progress=seen.append,
    )
    assert threads == {threading.current_thread()}
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert seen[-1].stage == "done"
    assert seen[-1].done == seen[-1].total == len(SYMBOLS)
    assert seen[-1].details["eta_s"] == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"timeout_s": 1.0}, "needs an executor"),
        ({"retries": -1}, "retries is -1"),
    ],
)
def test_settings_that_do_not_fit(arguments: dict[str, float], message: str) -> None:
    scan = open_ranker().start_scan(SYMBOLS)
    with pytest.raises(InvalidInputError, match=message):
        scan.run(rating, **arguments)  # type: ignore[arg-type]


# -- coroutines ------------------------------------------------------------------------------


def test_coroutines_fail_time_out_and_are_tried_again() -> None:
    tries: dict[str, int] = {}

    async def evaluate(symbol: str) -> float:
        tries[symbol] = tries.get(symbol, 0) + 1
        if symbol == "S1":
            await asyncio.sleep(60)
        if symbol == "S2":
            raise ValueError("no data")
        if symbol == "S3" and tries[symbol] == 1:
            raise OSError("busy")
        return rating(symbol)

    scan = open_ranker().start_scan(SYMBOLS)
    summary = asyncio.run(scan.arun(evaluate, concurrency=20, timeout_s=0.1, retries=1))
    assert summary.n_scanned == len(SYMBOLS)
    assert {s for s, o in scan.outcomes.items() if o.error} == {"S1", "S2"}
    assert (tries["S1"], tries["S2"], tries["S3"], tries["S4"]) == (4, 4, 2, 1)


def test_no_more_coroutines_run_than_allowed() -> None:
    running = most = 0

    async def evaluate(symbol: str) -> float:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return rating(symbol)

    asyncio.run(open_ranker().start_scan(SYMBOLS).arun(evaluate, concurrency=7))
    assert most == 7


def test_cancelling_the_task_commits_what_was_learned() -> None:
    ranker = open_ranker()
    scan = ranker.start_scan(SYMBOLS)

    async def evaluate(symbol: str) -> float:
        await asyncio.sleep(0.01)
        return rating(symbol)

    async def main() -> None:
        task = asyncio.create_task(scan.arun(evaluate, concurrency=20, batch_size=20))
        await asyncio.sleep(0.06)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert 0 < scan.summary.n_scanned < len(SYMBOLS)
    assert ranker.learned.belief.n_reports == scan.summary.n_scanned


def test_a_coroutine_scan_stops_at_a_time_budget() -> None:
    async def evaluate(symbol: str) -> float:
        await asyncio.sleep(0.05)
        return rating(symbol)

    scan = open_ranker().start_scan(SYMBOLS)
    summary = asyncio.run(scan.arun(evaluate, concurrency=5, batch_size=100, until=TimeBudget(0.2)))
    assert 0 < summary.n_scanned < 40
    assert "s spent" in (summary.stopped or "")


def test_batches_of_an_event_loop() -> None:
    async def main() -> int:
        n = 0
        with open_ranker().start_scan(SYMBOLS) as scan:
            async for batch in scan.abatches(100):
                scan.report({symbol: rating(symbol) for symbol in batch})
                n += len(batch)
        return n

    assert asyncio.run(main()) == len(SYMBOLS)


class StoppedAmongOthers:
    """A shared scan whose operator's stop arrives with a batch, while others hold what is left."""

    awaits_others = True
    is_shared = True

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self.stop_asked: str | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._scan, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name in ("_scan", "stop_asked"):
            object.__setattr__(self, name, value)
        else:
            setattr(self._scan, name, value)

    def next_batch(self, k: int | None = None) -> Batch:
        if self._scan.n_batches == 0:
            return self._scan.next_batch(k)
        self.stop_asked = "stopped from outside: enough"
        return Batch(1, (), np.empty(0, bool), np.empty(0))

    def __enter__(self) -> StoppedAmongOthers:
        return self

    def __exit__(self, *error: object) -> None:
        self._scan.close()


@pytest.mark.parametrize("how", ["alone", "threads", "coroutines"])
def test_an_operators_stop_that_arrives_with_a_batch_ends_the_run(how: str, pool: Executor) -> None:
    async def evaluate(symbol: str) -> float:
        return rating(symbol)

    scan = open_ranker().start_scan(SYMBOLS)
    stopped = StoppedAmongOthers(scan)
    if how == "coroutines":
        asyncio.run(asyncio.wait_for(run_scan_async(stopped, evaluate, batch_size=10), 20.0))
    else:
        run_scan(stopped, rating, executor=pool if how == "threads" else None, batch_size=10)
    assert scan.summary.n_scanned == 10
    assert scan.summary.stopped == "stopped from outside: enough"


@pytest.mark.parametrize("how", ["alone", "threads", "coroutines"])
def test_a_run_beside_symbols_that_its_program_holds_ends(how: str, pool: Executor) -> None:
    """Handed out before the run began: nobody evaluates them, so nothing is waited for."""

    async def evaluate(symbol: str) -> float:
        return rating(symbol)

    store = store_from_url("memory://")
    ranker, other = (SymbolRanker.open(store, ruleset="t", seed=i) for i in range(2))
    held = other.start_scan(SYMBOLS, scan_id="s", shared=True)
    held.next_batch(20)
    scan = ranker.start_scan(SYMBOLS, scan_id="s", shared=True)
    scan.next_batch(10)
    if how == "coroutines":
        asyncio.run(asyncio.wait_for(scan.arun(evaluate, batch_size=50), 20.0))
    else:
        scan.run(rating, executor=pool if how == "threads" else None, batch_size=50)
    assert scan.summary.n_scanned == len(SYMBOLS) - 30
    held.close()


def dies(symbol: str) -> float:
    """Evaluate all but one symbol, which ends the process as a crash of a library does."""
    if symbol == "S7":
        os._exit(1)
    return 1.0


def test_a_pool_whose_process_dies_names_what_it_evaluated() -> None:
    ranker = SymbolRanker.open("memory://", ruleset="dies", seed=1)
    with ProcessPoolExecutor(1) as pool:
        scan = ranker.start_scan([f"S{i}" for i in range(10)])
        with pytest.raises(BrokenProcessPool, match="died while evaluating S7:"):
            scan.run(dies, executor=pool, batch_size=1)
    errors = [o.error for o in scan.outcomes.values() if o.error is not None]
    assert any("died while evaluating S7" in error for error in errors)


def test_on_hit_is_called_once_for_each_hit_and_for_all_of_them() -> None:
    """Under a top share the limit is known at the end; until then the best so far are hits."""
    printed: list[str] = []
    ranker = open_ranker()
    for _ in range(2):
        printed.clear()
        scan = ranker.start_scan(SYMBOLS)
        scan.run(rating, on_hit=lambda symbol, _: printed.append(symbol))
        hits = {symbol for symbol in SYMBOLS if scan.is_hit(symbol)}
        assert len(hits) == scan.n_hits > 0
        assert len(printed) == len(set(printed))
        assert hits <= set(printed)
    printed.clear()

    async def evaluate(symbol: str) -> float:
        return rating(symbol)

    scan = ranker.start_scan(SYMBOLS)
    asyncio.run(scan.arun(evaluate, on_hit=lambda symbol, _: printed.append(symbol)))
    assert {symbol for symbol in SYMBOLS if scan.is_hit(symbol)} <= set(printed)
