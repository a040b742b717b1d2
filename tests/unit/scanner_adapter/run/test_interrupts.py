"""An interrupt at any moment of a scan: no result is lost, and the scan is saved once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bandit.belief.track_record import TrackRecord
from bandit.stores.sqlite.store import SqliteStore
from scanner_adapter import Outcome, RankerGroup, SymbolRanker
from scanner_adapter.live.operators import OperatorLine
from scanner_adapter.run import executor as executor_module
from scanner_adapter.scan import scan as scan_module
from scanner_adapter.scan.scan import Scan
from scanner_adapter.state.check import Fold, check

SYMBOLS = [f"S{i}" for i in range(230)]


def rating(symbol: str) -> float:
    """A rating that differs from symbol to symbol."""
    return (int(symbol[1:]) * 37 % 101) / 10


def open_ranker(ruleset: str = "t") -> SymbolRanker:
    return SymbolRanker.open("memory://", ruleset=ruleset, seed=1)


def journaled(ranker: SymbolRanker) -> Counter[str]:
    """How often each symbol stands in the journal, and how often a scan was closed ("close")."""
    entries = list(ranker.store.read(ranker.ruleset))
    return Counter([arm for entry in entries for arm in entry.arms]) + Counter(
        entry.kind for entry in entries if entry.kind == "close"
    )


def interrupted(call: Callable[..., Any], at: int, *, is_done: bool = True) -> Callable[..., Any]:
    """Return `call`, whose `at`-th use ends in Ctrl-C: after its work, or before it."""
    n = 0

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal n
        n += 1
        if n == at and not is_done:
            raise KeyboardInterrupt
        result = call(*args, **kwargs)
        if n == at:
            raise KeyboardInterrupt
        return result

    return wrapped


@pytest.mark.parametrize("workers", [None, 4])
def test_an_interrupt_commits_and_comes_through(workers: int | None) -> None:
    """Ctrl-C in the middle: what was finished is learned, the scan is closed, nothing hangs."""
    ranker = open_ranker()
    scan = ranker.start_scan(SYMBOLS)

    def on_result(symbol: str, outcome: Outcome) -> None:
        if len(results) == 70:
            raise KeyboardInterrupt
        results.append(symbol)

    results: list[str] = []
    executor = ThreadPoolExecutor(workers) if workers else None
    with pytest.raises(KeyboardInterrupt):
        scan.run(rating, executor=executor, on_result=on_result)
    assert scan.summary.n_scanned >= 71
    assert scan.summary.n_scanned < len(SYMBOLS)
    assert scan.summary.store_status == "saved"
    assert ranker.learned.belief.n_reports == scan.summary.n_scanned
    if executor is not None:
        executor.shutdown()


class InterruptedFuture(Future[object]):
    """A future for which nobody ever calls back: the interrupt comes before that is arranged."""

    def add_done_callback(self, fn: Callable[[Future[object]], object]) -> None:  # noqa: ARG002
        raise KeyboardInterrupt


class InterruptedPool(ThreadPoolExecutor):
    """Threads whose user presses Ctrl-C when the 60th symbol has just been handed over."""

    n_submitted = 0

    def submit(self, fn: Callable[..., object], /, *args: object) -> Future[object]:  # type: ignore[override]
        self.n_submitted += 1
        future = super().submit(fn, *args)
        if self.n_submitted == 60:
            late = InterruptedFuture()
            late.set_running_or_notify_cancel()
            future.add_done_callback(lambda done: late.set_result(done.result()))
            return late
        return future


def test_an_interrupt_while_a_symbol_is_handed_over_neither_hangs_nor_loses_it() -> None:
    """Its result never comes through the queue, so the end must not wait for it there."""
    scan = open_ranker().start_scan(SYMBOLS)
    handed_over: list[str] = []

    def slow(symbol: str) -> float:
        handed_over.append(symbol)
        time.sleep(0.002)
        return rating(symbol)

    with InterruptedPool(2) as pool, pytest.raises(KeyboardInterrupt):
        scan.run(slow, executor=pool)
    assert scan.summary.store_status == "saved"
    assert set(scan.outcomes) == set(handed_over)


def ignore(symbol: str, outcome: Outcome) -> None:
    """Take a result."""


class Run:
    """A run on four threads that ends in Ctrl-C, and which evaluations returned."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ranker = open_ranker()
        self.scan = self.ranker.start_scan(SYMBOLS)
        self.returned: list[str] = []
        self.patch = monkeypatch

    def evaluate(self, symbol: str) -> float:
        time.sleep(0.001)
        self.returned.append(symbol)
        return rating(symbol)

    def check(self, **how: Any) -> None:
        """Run; everything that returned is journaled once, and the scan was closed once."""
        with ThreadPoolExecutor(4) as pool, pytest.raises(KeyboardInterrupt):
            self.scan.run(self.evaluate, executor=pool, **how)
        self.patch.undo()
        assert self.scan.summary.store_status == "saved"
        assert journaled(self.ranker) == Counter([*self.returned, "close"])
        assert check(self.ranker.store, "t").fold is Fold.EQUAL


@pytest.mark.parametrize("is_done", [False, True])
def test_an_interrupt_while_a_batch_is_reported_loses_none_of_it(
    is_done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(monkeypatch)
    monkeypatch.setattr(run.scan, "report", interrupted(run.scan.report, 2, is_done=is_done))
    run.check()


@pytest.mark.parametrize("is_done", [False, True])
def test_an_interrupt_beside_the_journal_counts_each_outcome_once(
    is_done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, store = Run(monkeypatch), SqliteStore
    append = interrupted(store.append_sealed, 2, is_done=is_done)
    monkeypatch.setattr(store, "append_sealed", append)
    run.check()


@pytest.mark.parametrize("name", ["finish", "forget"])
def test_an_interrupt_while_a_result_is_taken_does_not_lose_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(monkeypatch)
    kind = executor_module.Pipeline if name == "finish" else executor_module.Evaluations
    monkeypatch.setattr(kind, name, interrupted(getattr(kind, name), 60, is_done=False))
    run.check()


def test_a_second_interrupt_keeps_what_has_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the wait for the evaluations under way, which takes as long as they do."""
    run = Run(monkeypatch)
    monkeypatch.setattr(executor_module, "wait", interrupted(executor_module.wait, 1))
    run.check(on_result=interrupted(ignore, 70))


@pytest.mark.parametrize("is_done", [False, True])
def test_an_interrupt_while_the_scan_is_saved_lets_it_be_saved(
    is_done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(monkeypatch)
    save = interrupted(scan_module.save_scan, 1, is_done=is_done)
    monkeypatch.setattr(scan_module, "save_scan", save)
    run.check()


def test_an_interrupt_before_the_last_status_ends_the_thread_that_publishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = interrupted(OperatorLine.close, 1, is_done=False)
    monkeypatch.setattr(OperatorLine, "close", close)
    with SymbolRanker.open(f"sqlite://{tmp_path / 'scanrank.db'}", ruleset="t") as ranker:
        scan = ranker.start_scan(SYMBOLS)
        with pytest.raises(KeyboardInterrupt):
            scan.run(rating)
        assert ranker.store.get_status("t", scan.scan_id)["state"] == "done"


def test_an_interrupt_in_the_middle_of_learning_leaves_no_half_belief(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The track record learns in place: what is folded again must begin from the snapshot."""
    run = Run(monkeypatch)
    monkeypatch.setattr(TrackRecord, "update", interrupted(TrackRecord.update, 1))
    run.check()


def test_all_scans_of_a_group_are_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    rankers = {name: open_ranker(name) for name in ("a", "b")}
    scan = RankerGroup(rankers).start_scan(SYMBOLS)
    close = interrupted(interrupted(Scan.close, 1, is_done=False), 2, is_done=False)
    monkeypatch.setattr(Scan, "close", close)  # twice, so that the first to close stays open
    with pytest.raises(KeyboardInterrupt), scan:  # noqa: PT012
        batch = scan.next_batch(30)
        scan.report({symbol: {"a": rating(symbol), "b": 1.0} for symbol in batch})
    closed = {name: journaled(ranker)["close"] for name, ranker in rankers.items()}
    assert sorted(closed.values()) == [0, 1]


@pytest.mark.parametrize("n_cancels", [1, 2])
def test_coroutines_that_returned_together_are_all_kept(n_cancels: int) -> None:
    """The first one's callback raises, and one evaluation takes its time to end."""
    ranker = open_ranker()
    scan = ranker.start_scan(SYMBOLS)
    returned: list[str] = []

    async def evaluate(symbol: str) -> float:
        n_started.append(symbol)
        if len(n_started) == 4:  # takes its time to be cancelled
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.05)
        while len(n_started) < 4:
            await asyncio.sleep(0)
        returned.append(symbol)
        return rating(symbol)

    async def main() -> None:
        task = asyncio.create_task(scan.arun(evaluate, concurrency=4, on_result=refuse))
        for _ in range(n_cancels - 1):
            await asyncio.sleep(0.02)
            task.cancel()
        await task

    def refuse(symbol: str, outcome: Outcome) -> None:
        raise ValueError(symbol)

    n_started: list[str] = []
    with pytest.raises(ValueError if n_cancels == 1 else asyncio.CancelledError):
        asyncio.run(main())
    assert len(returned) >= 3
    assert journaled(ranker) == Counter([*returned, "close"])


def test_an_interrupted_transaction_does_not_stay_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else all that follows is written into it, and nothing of that is ever committed."""
    store = SqliteStore(tmp_path / "scanrank.db")
    errors = type(store._db._errors)
    # What Python calls first once SQLite has begun.
    monkeypatch.setattr(errors, "__exit__", interrupted(errors.__exit__, 1))
    with pytest.raises(KeyboardInterrupt), store._db.writing():
        raise AssertionError("it was interrupted before")
    monkeypatch.undo()
    store.put_status("t", "scan", {"n": 1})
    assert SqliteStore(tmp_path / "scanrank.db").get_status("t", "scan") == {"n": 1}
