"""A scan's line to the outside: polite, tolerant, and never in the scan's way."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from servers import wait_until

from bandit.belief.belief import BeliefSettings
from bandit.errors import StoreUnavailableError
from bandit.stores.sqlite.store import SqliteStore
from scanner_adapter import Outcome, ResultFeed, SymbolRanker
from scanner_adapter.inputs.context import seed_weights
from scanner_adapter.live.control import with_exclusions, with_pins, with_stop
from scanner_adapter.live.status import LiveStatus

SYMBOLS = [f"S{i}" for i in range(200)]


class SharedStore(SqliteStore):
    """In this process, but distinguished from `memory://`, so that scans publish to it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self.delay_s = 0.0
        self.asked_by: list[str] = []

    @property
    def address(self) -> str:
        return "test://"

    def put_status(self, ruleset: str, scan_id: str, status: Any) -> None:
        self._answer()
        super().put_status(ruleset, scan_id, status)

    def get_control(self, ruleset: str, scan_id: str) -> dict[str, Any]:
        self._answer()
        return super().get_control(ruleset, scan_id)

    def _answer(self) -> None:
        self.asked_by.append(threading.current_thread().name)
        time.sleep(self.delay_s)
        if self.is_away:
            raise StoreUnavailableError("store test:// does not answer")


@pytest.fixture
def store() -> SharedStore:
    return SharedStore()


def ranker(store: SharedStore, **options: Any) -> SymbolRanker:
    settings = BeliefSettings(seed_weights=seed_weights(None), random_share=0.0, exploration=0.0)
    return SymbolRanker(store, ruleset="t", settings=settings, seed=1, **options)


def rate(symbol: str) -> float:
    return float(int(symbol[1:]) * 37 % 101)


def status_of(store: SharedStore, scan_id: str) -> LiveStatus:
    return LiveStatus.from_json(SqliteStore.get_status(store, "t", scan_id))


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("scanrank-live")]


def test_a_status_at_the_start_in_between_and_at_the_end(store: SharedStore) -> None:
    with ranker(store).start_scan(SYMBOLS, scan_id="s1") as scan:
        batch = scan.next_batch(50)
        first = status_of(store, "s1")
        assert (first.state, first.n_scanned, first.workers) == ("scanning", 0, None)
        assert len(first.next) == 20
        assert not threads()  # a pool of processes may still fork
        scan.report({s: rate(s) for s in batch})
        wait_until(lambda: status_of(store, "s1").n_scanned == 50, "a status after the report")
    last = status_of(store, "s1")
    assert (last.state, last.n_scanned, last.stopped) == (
        "done",
        50,
        "150 symbols were not scanned",
    )
    assert last.updated_at > first.updated_at
    assert not threads()


def test_at_most_four_times_a_second(store: SharedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    put = store.put_status
    monkeypatch.setattr(
        store, "put_status", lambda *note: (sent.append(time.monotonic()), put(*note))
    )
    with ranker(store).start_scan(SYMBOLS) as scan:
        began = time.monotonic()
        for batch in scan.batches(2):
            time.sleep(0.012)
            scan.report({s: rate(s) for s in batch})
        elapsed = time.monotonic() - began
    assert 3 <= len(sent) <= 4 * elapsed + 3  # the first two and the last come at once


def stop_soon(store: SharedStore, scan_id: str) -> threading.Thread:
    def stop() -> None:
        wait_until(lambda: bool(store.reported("t", scan_id)), "the first report")
        store.update_control("t", scan_id, with_stop("enough for today"))

    thread = threading.Thread(target=stop)
    thread.start()
    return thread


def by_batches(ranker: SymbolRanker, evaluate: Callable[[str], float]) -> Any:
    with ranker.start_scan(SYMBOLS, scan_id="s1") as scan:
        for batch in scan.batches(5):
            scan.report({s: evaluate(s) for s in batch})
        assert not scan.next_batch(5)
    return scan.summary


def by_run(ranker: SymbolRanker, evaluate: Callable[[str], float]) -> Any:
    return ranker.start_scan(SYMBOLS, scan_id="s1").run(evaluate, batch_size=5)


def by_arun(ranker: SymbolRanker, evaluate: Callable[[str], float]) -> Any:
    async def later(symbol: str) -> float:
        await asyncio.sleep(0.01)
        return evaluate(symbol)

    scan = ranker.start_scan(SYMBOLS, scan_id="s1")
    return asyncio.run(scan.arun(later, concurrency=2, batch_size=5))


def by_feed(ranker: SymbolRanker, evaluate: Callable[[str], float]) -> Any:
    with ResultFeed(ranker, batch_size=5) as feed:
        for symbol in feed.stream(SYMBOLS, scan_id="s1"):
            feed(symbol, evaluate(symbol))
    return feed.summary


@pytest.mark.parametrize("way", [by_batches, by_run, by_arun, by_feed])
def test_a_stop_from_outside_ends_every_kind_of_scan(way: Any, store: SharedStore) -> None:
    def evaluate(symbol: str) -> float:
        time.sleep(0.05)
        return rate(symbol)

    stopper = stop_soon(store, "s1")
    summary = way(ranker(store), evaluate)
    stopper.join()
    assert summary.stopped == "stopped from outside: enough for today"
    assert 0 < summary.n_scanned < len(SYMBOLS)
    status = status_of(store, "s1")
    assert (status.state, status.stopped) == ("done", summary.stopped)
    assert status.n_scanned == summary.n_scanned
    assert ranker(store).n_scans == 1  # what was found was learned


def test_a_stopped_scan_may_be_continued(store: SharedStore) -> None:
    """The old wish is taken back, so that a new one is heard."""
    with ranker(store).start_scan(SYMBOLS, scan_id="s1") as scan:
        scan.report({s: rate(s) for s in scan.next_batch(20)})
        store.update_control("t", "s1", with_stop("lunch"))
        wait_until(lambda: scan.stop_asked is not None, "the stop to be heard")
        assert not scan.next_batch(20)
    assert scan.summary.stopped == "stopped from outside: lunch"
    with ranker(store).start_scan(SYMBOLS, scan_id="s1") as again:
        assert len(again.next_batch(20)) == 20
        assert SqliteStore.get_control(store, "t", "s1")["stop"] is None
        assert again.status().n_scanned == 20
        store.update_control("t", "s1", with_stop("dinner"))
        again.listen()
        wait_until(lambda: again.stop_asked is not None, "the second stop to be heard")


def test_a_stop_after_the_last_batch_stops_nothing(store: SharedStore) -> None:
    with ranker(store).start_scan(SYMBOLS, scan_id="s1") as scan:
        batch = scan.next_batch(200)
        store.update_control("t", "s1", with_stop("late"))
        scan.report({s: rate(s) for s in batch})
        wait_until(lambda: scan.stop_asked is not None, "the stop to be heard")
        assert not scan.next_batch(200)
    assert scan.summary.stopped is None


def test_pins_exclusions_and_boosts_bend_the_next_batch(
    store: SharedStore, caplog: pytest.LogCaptureFixture
) -> None:
    market = np.linspace(99.0, 0.0, 200)[:, None]
    with ranker(store).start_scan(SYMBOLS, context=(("market.x",), market), scan_id="s1") as scan:
        assert list(scan.next_batch(2)) == ["S0", "S1"]
        scan.queue.pin(["S150"])  # by the scanner's own program
        store.update_control("t", "s1", with_pins(["S199", "S180", "WHO"]))
        store.update_control("t", "s1", with_exclusions(["S2", "S3"]))
        store.update_control("t", "s1", lambda note: {**note, "boost": {"S100": 20.0}})
        scan.listen()
        wait_until(lambda: "S100" in scan._operators.link.control.boost, "the requests to arrive")  # type: ignore[union-attr]
        assert list(scan.next_batch(4)) == ["S150", "S199", "S180", "S100"]
        assert caplog.text.count("such as 'WHO'") == 1
        assert scan.status().excluded == ("S2", "S3")
        # What is asked no longer is undone; the program's own requests are not touched.
        scan.queue.exclude(["S4"])
        store.put_control("t", "s1", {"exclude": ["S3"]})
        wait_until(lambda: scan._operators.link.control.exclude == ("S3",), "the change")  # type: ignore[union-attr]
        assert list(scan.next_batch(3)) == ["S2", "S5", "S6"]


def test_requests_that_cannot_be_read_leave_the_former_ones(
    store: SharedStore, caplog: pytest.LogCaptureFixture
) -> None:
    with ranker(store).start_scan(SYMBOLS, scan_id="s1") as scan:
        store.put_control("t", "s1", {"exclude": ["S0"]})
        scan.next_batch(1)
        scan.listen()
        store.put_control("t", "s1", {"exclude": 5})
        wait_until(lambda: "control.exclude is 5" in caplog.text, "a warning")
        time.sleep(0.6)
        assert caplog.text.count("control.exclude is 5") == 1
        assert scan.status().excluded == ("S0",)


def test_a_store_that_is_slow_or_away_costs_the_scan_nothing(
    store: SharedStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Each answer takes 0.4 s, then none comes: the scan's own thread never waits for one."""
    with (
        caplog.at_level(logging.INFO),
        ranker(store).start_scan(SYMBOLS, scan_id="s1") as scan,
    ):
        batch = scan.next_batch(5)
        store.delay_s = 0.4
        store.asked_by.clear()
        while batch:
            scan.report({s: rate(s) for s in batch})
            store.is_away = scan.n_scanned > 100
            batch = scan.next_batch(5)
        store.delay_s = 0.0
        wait_until(lambda: "not published" in caplog.text, "the failure to be noted")
        store.is_away = False
        # Tried again after half a second.
        wait_until(lambda: status_of(store, "s1").n_scanned == 200, "the store to be back")
        assert set(store.asked_by) == {"scanrank-live-s1"}
    assert scan.summary.n_scanned == 200
    assert status_of(store, "s1").state == "done"
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def test_a_scan_that_ends_while_the_store_is_away_does_not_wait(store: SharedStore) -> None:
    scan = ranker(store).start_scan(SYMBOLS, scan_id="s1")
    scan.report({s: rate(s) for s in scan.next_batch(5)})
    store.is_away = True
    wait_until(lambda: scan._operators.link._pause_s > 0.5, "the absence to be noticed")  # type: ignore[union-attr]
    store.delay_s = 3.0
    began = time.monotonic()
    scan.close()
    assert time.monotonic() - began < 1.0


def test_a_defect_in_the_view_is_said_once(
    store: SharedStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scan = ranker(store).start_scan(SYMBOLS, scan_id="s1")
    monkeypatch.setattr(scan._operators.view, "build", lambda *_a, **_k: 1 / 0)
    summary = scan.run(rate, batch_size=50)
    assert (summary.n_scanned, summary.failure) == (200, None)
    assert caplog.text.count("no longer publishes its status: division by zero") == 1


def test_a_forgotten_scan_ends_its_thread(store: SharedStore) -> None:
    scan = ranker(store).start_scan(SYMBOLS)
    scan.report({s: rate(s) for s in scan.next_batch(5)})
    assert threads()
    del scan
    gc.collect()
    wait_until(lambda: not threads(), "the thread to end")


def test_of_shared_workers_the_one_who_knows_more_is_heard(store: SharedStore) -> None:
    """Worker b, which has seen its own outcomes only, lets the status of a stand."""
    a, b = (
        ranker(store).start_scan(SYMBOLS, scan_id="s1", shared=True, worker=name) for name in "ab"
    )
    b.report({s: rate(s) for s in b.next_batch(10)})
    a.report({s: rate(s) for s in a.next_batch(50)})
    assert a.n_scanned > b.n_scanned
    wait_until(lambda: status_of(store, "s1").n_scanned == a.n_scanned, "the status of a")
    for _ in range(5):
        b._operators.link.publish()  # type: ignore[union-attr]
        time.sleep(0.1)
        assert status_of(store, "s1").n_scanned == a.n_scanned
    assert b.next_batch(5)
    a.close()  # b goes on with what it holds, so the scan is not done
    assert status_of(store, "s1").state == "scanning"
    b.close()
    assert status_of(store, "s1").state == "done"


def test_a_stop_reaches_every_worker_of_a_shared_scan(store: SharedStore) -> None:
    def work(name: str) -> None:
        scan = ranker(store).start_scan(SYMBOLS, scan_id="s1", shared=True, worker=name)
        scans.append(scan)
        scan.run(lambda s: time.sleep(0.1) or rate(s), batch_size=5)

    scans: list[Any] = []
    workers = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for worker in workers:
        worker.start()
    stop_soon(store, "s1").join()
    for worker in workers:
        worker.join()
    assert {scan.summary.stopped for scan in scans} == {"stopped from outside: enough for today"}
    assert status_of(store, "s1").state == "done"
    assert len(store.reported("t", "s1")) < 200


def test_a_store_inside_the_process_is_not_written_to() -> None:
    with SymbolRanker.open("memory://", ruleset="t").start_scan(SYMBOLS, scan_id="s1") as scan:
        scan.report({s: Outcome(1.0) for s in scan.next_batch(5)})
        assert not threads()
    assert scan._session.learned is not None
    assert scan._session.learned.store.get_status("t", "s1") == {}
