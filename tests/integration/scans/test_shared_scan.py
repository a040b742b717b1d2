"""Scans that go on after an interruption, and scans that several workers share."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import numpy as np
import pytest
from servers import Server
from shared_scans import CONTEXT, NOW, SYMBOLS, N, ranker_on, rating, reports, work

from bandit.errors import CorruptStateError, InvalidInputError
from bandit.stores import Store, store_from_url
from scanner_adapter import SymbolRanker, TimeBudget
from scanner_adapter.errors import InvalidContextError
from scanner_adapter.state.check import Fold, check


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    url = "memory://"
    if request.param == "redis":
        server: Server = request.getfixturevalue("redis_server")
        url = server.url
    store = store_from_url(url)
    store.drop_ruleset("rules")
    yield store
    store.close()


# -- resuming


def interrupted(ranker: SymbolRanker, n_batches: int, **options: object) -> list[str]:
    """Scan some batches and never close, as a killed process does; returns what was reported."""
    scan = ranker.start_scan(SYMBOLS, context=CONTEXT, now=NOW, scan_id="s1", **options)  # type: ignore[arg-type]
    for _ in range(n_batches):
        scan.report({symbol: rating(symbol) for symbol in scan.next_batch(20)})
    scan.next_batch(20)  # handed out, never reported
    return list(scan.outcomes)


def test_an_interrupted_scan_goes_on_by_its_id(store: Store) -> None:
    with ranker_on(store, seed=1) as ranker:
        done = interrupted(ranker, 4)
    with ranker_on(store, seed=2) as ranker:
        scan = ranker.start_scan(SYMBOLS, context=CONTEXT, now=NOW, scan_id="s1")
        assert scan.n_scanned == 80
        assert list(scan.outcomes) == done
        assert scan.outcomes[done[0]].rating == rating(done[0])
        with scan:
            rest = []
            while batch := scan.next_batch(20):
                rest += batch.symbols
                scan.report({symbol: rating(symbol) for symbol in batch})
    assert sorted(rest + done) == sorted(SYMBOLS), "each once, none left out"
    assert scan.summary.n_scanned == N
    assert scan.summary.n_hits == sum(scan.is_hit(symbol) for symbol in SYMBOLS) > 5
    assert reports(store) == dict.fromkeys(SYMBOLS, 1)
    assert [info.is_closed for info in store.list_scans("rules")] == [True]
    assert check(store, "rules").fold is Fold.EQUAL


def test_today_has_learned_what_the_interrupted_scan_reported(store: Store) -> None:
    """The one that goes on knows the same outcomes of today as the one that was interrupted."""
    with ranker_on(store, seed=1) as ranker:
        first = ranker.start_scan(SYMBOLS, context=CONTEXT, now=NOW, scan_id="s1")
        for _ in range(5):
            first.report({symbol: rating(symbol) for symbol in first.next_batch(20)})
    with ranker_on(store, seed=1) as ranker:
        second = ranker.start_scan(SYMBOLS, context=CONTEXT, now=NOW, scan_id="s1")
    mine, its = first._session.open_scan, second._session.open_scan
    assert mine is not None
    assert its is not None
    assert its.limit.value() == pytest.approx(mine.limit.value(), rel=1e-6)
    assert its.n_hits == mine.n_hits > 0
    np.testing.assert_array_equal(its.is_reported, mine.is_reported)
    np.testing.assert_array_equal(its.is_available, mine.is_available)
    # Set against a belief that knows the first half already, today's pattern is another one.
    assert np.abs(its.pattern.posterior.mean).max() > 0.01


def test_what_failed_is_offered_again_when_a_scan_goes_on(store: Store) -> None:
    with ranker_on(store, seed=1) as ranker:
        scan = ranker.start_scan(SYMBOLS, context=CONTEXT, now=NOW, scan_id="s1")
        first = scan.next_batch(10)
        scan.report({symbol: ValueError("no data") for symbol in first})
    with ranker_on(store, seed=1) as ranker:
        scan = ranker.start_scan(SYMBOLS, context=CONTEXT, now=NOW, scan_id="s1")
        summary = scan.run(lambda symbol: {"rating": float(len(symbol))})
        assert (summary.n_scanned, summary.n_errors) == (N, 0)
        assert set(first.symbols) <= set(scan.outcomes)
        assert ranker.n_scans == 1


def test_what_failed_to_the_end_is_offered_again_when_a_scan_is_opened_once_more(
    store: Store,
) -> None:
    def fails_today(symbol: str) -> dict[str, float]:
        if symbol in SYMBOLS[:10]:
            raise ValueError("no data")
        return {"rating": float(len(symbol))}

    with ranker_on(store, seed=1) as ranker:
        scan = ranker.start_scan(SYMBOLS, context=CONTEXT, now=NOW, scan_id="s1")
        assert scan.run(fails_today).n_errors == 10
    with ranker_on(store, seed=1) as ranker:
        scan = ranker.start_scan(SYMBOLS, context=CONTEXT, now=NOW, scan_id="s1")
        assert scan.summary.n_errors == 10
        assert scan.summary.first_error == "the evaluation failed, according to the journal"
        summary = scan.run(lambda symbol: {"rating": float(len(symbol))})
        assert (summary.n_scanned, summary.n_errors) == (N, 0)


def test_a_scan_that_was_complete_has_nothing_left(store: Store) -> None:
    with ranker_on(store, seed=1) as ranker:
        for expected in (N, 0):
            handed_out = 0
            with ranker.start_scan(SYMBOLS, context=CONTEXT, now=NOW, scan_id="s1") as scan:
                for batch in scan.batches(50):
                    handed_out += len(batch)
                    scan.report({symbol: rating(symbol) for symbol in batch})
            assert handed_out == expected
            assert scan.summary.n_scanned == N
        assert ranker.n_scans == 1


# -- sharing


def test_workers_share_a_scan_without_scanning_twice(store: Store) -> None:
    scanned: dict[str, list[str]] = {name: [] for name in ("w1", "w2", "w3")}
    with ThreadPoolExecutor(3) as pool:
        rankers = list(pool.map(lambda name: work(store, name, scanned[name]), scanned))
    assert Counter(chain(*scanned.values())) == dict.fromkeys(SYMBOLS, 1)
    assert min(map(len, scanned.values())) > N / 6, "all of them worked"
    assert reports(store) == dict.fromkeys(SYMBOLS, 1)
    assert [info.is_closed for info in store.list_scans("rules")] == [True]
    assert check(store, "rules").fold is Fold.EQUAL
    for ranker in rankers:
        ranker.learned.refresh()
    states = [ranker.learned.belief.state()[1] for ranker in rankers]
    for name, array in states[0].items():
        assert all(state[name].tobytes() == array.tobytes() for state in states), name


def test_a_dead_workers_symbols_come_back_after_their_lease(store: Store) -> None:
    with ranker_on(store, seed=1) as ranker:
        dead = ranker.start_scan(
            SYMBOLS, context=CONTEXT, now=NOW, scan_id="s1", shared=True, worker="dead", lease_s=1.0
        )
        held = dead.next_batch(40).symbols
        share = dead._leases
        assert share is not None
        share._is_over.set()  # no heartbeat any more, as after SIGKILL
        start = time.monotonic()
        scanned: list[str] = []
        work(store, "w2", scanned, pause_s=0.0)
        assert time.monotonic() - start >= 0.8, "the lease had to run out first"
    assert Counter(scanned) == dict.fromkeys(SYMBOLS, 1)
    assert set(held) <= set(scanned[-40:]) | set(scanned)
    assert not set(held) & set(scanned[:200]), "while the lease ran, others came first"


def test_a_slow_worker_keeps_its_symbols_by_heartbeat(store: Store) -> None:
    with ranker_on(store, seed=1) as slow, ranker_on(store, seed=2) as quick:
        options = {"context": CONTEXT, "now": NOW, "scan_id": "s1", "shared": True, "lease_s": 1.0}
        first = slow.start_scan(SYMBOLS, worker="slow", **options)  # type: ignore[arg-type]
        mine = first.next_batch(30).symbols
        time.sleep(2.0)
        second = quick.start_scan(SYMBOLS, worker="quick", **options)  # type: ignore[arg-type]
        theirs = second.next_batch(N).symbols
        assert not set(mine) & set(theirs)
        assert len(theirs) == N - 30
        assert second.next_batch(10).symbols == (), "its own outcomes come first"
        assert second.awaits_others
        second.report({symbol: rating(symbol) for symbol in theirs})
        first.report({symbol: rating(symbol) for symbol in mine})
        assert second.next_batch(10).symbols == ()
        assert second.n_scanned == N
        assert first.close().store_status in ("saved", "saved by another worker")
        second.close()


def test_one_worker_learns_from_the_other_within_a_batch(store: Store) -> None:
    with ranker_on(store, seed=1) as one, ranker_on(store, seed=1) as two:
        options = {"context": CONTEXT, "now": NOW, "scan_id": "s1", "shared": True}
        mine, theirs = one.start_scan(SYMBOLS, **options), two.start_scan(SYMBOLS, **options)  # type: ignore[arg-type]
        batch = mine.next_batch(60)
        mine.report({symbol: rating(symbol) for symbol in batch})
        assert theirs.n_scanned == 0
        theirs.next_batch(5)
        assert theirs.n_scanned == 60
        assert two.learned.position == one.learned.position
        for name, array in one.learned.belief.state()[1].items():
            assert two.learned.belief.state()[1][name].tobytes() == array.tobytes()
        mine.close()
        theirs.close()


def test_the_first_outcome_stands_when_a_lease_ran_out(store: Store) -> None:
    with ranker_on(store, seed=1) as one, ranker_on(store, seed=2) as two:
        options = {"context": CONTEXT, "now": NOW, "scan_id": "s1", "shared": True, "lease_s": 1.0}
        late = one.start_scan(SYMBOLS, **options)  # type: ignore[arg-type]
        symbols = late.next_batch(10).symbols
        share = late._leases
        assert share is not None
        share._is_over.set()
        time.sleep(1.2)
        second = two.start_scan(SYMBOLS, **options)  # type: ignore[arg-type]
        got = second.next_batch(N).symbols
        assert set(symbols) <= set(got)
        second.report(dict.fromkeys(got, 1.0))
        late.report(dict.fromkeys(symbols, 2.0))
        assert {late.outcomes[symbol].rating for symbol in symbols} == {1.0}
        assert late.n_scanned == N
        second.close()
        late.close()
    assert reports(store) == dict.fromkeys(SYMBOLS, 1)


@pytest.mark.parametrize("mode", ["on", "shadow"])
def test_pools_share_a_scan_too(store: Store, mode: str) -> None:
    """Two processes' worth of `run`, each over its own threads, as operators use it."""
    scanned: list[str] = []
    lock = threading.Lock()

    def evaluate(symbol: str) -> float:
        time.sleep(0.001)
        with lock:
            scanned.append(symbol)
        return rating(symbol)

    def run(worker: str) -> int:
        with ranker_on(store, seed=1, mode=mode) as ranker, ThreadPoolExecutor(3) as pool:
            scan = ranker.start_scan(
                SYMBOLS, context=CONTEXT, now=NOW, scan_id="s1", shared=True, worker=worker
            )
            return scan.run(evaluate, executor=pool).n_scanned

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, ["a", "b"])) == [N, N]
    assert Counter(scanned) == dict.fromkeys(SYMBOLS, 1)
    assert check(store, "rules").fold is Fold.EQUAL


def test_a_worker_that_leaves_gives_its_symbols_back_and_the_last_one_closes(store: Store) -> None:
    with ranker_on(store, seed=1) as one, ranker_on(store, seed=2) as two:
        options = {"context": CONTEXT, "now": NOW, "scan_id": "s1", "shared": True, "lease_s": 60.0}
        leaver = one.start_scan(SYMBOLS, **options)  # type: ignore[arg-type]
        stayer = two.start_scan(SYMBOLS, **options)  # type: ignore[arg-type]
        stays = stayer.next_batch(10).symbols
        leaves = leaver.next_batch(10).symbols
        assert leaver.close().store_status == "saved; other workers continue the scan"
        stayer.report({symbol: rating(symbol) for symbol in stays})
        rest = []
        while batch := stayer.next_batch(100):
            rest += batch.symbols
            stayer.report({symbol: rating(symbol) for symbol in batch})
        assert set(leaves) <= set(rest)
        assert stayer.close().store_status == "saved"
    assert [info.is_closed for info in store.list_scans("rules")] == [True]


def test_what_does_not_fit_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with ranker_on(store) as ranker:
        with pytest.raises(InvalidInputError, match="needs a scan_id"):
            ranker.start_scan(SYMBOLS, shared=True)
        with pytest.raises(InvalidInputError, match="at least 1 second"):
            ranker.start_scan(SYMBOLS, scan_id="s1", shared=True, lease_s=0.5)
        with pytest.raises(InvalidInputError, match="worker 'a b'"):
            ranker.start_scan(SYMBOLS, scan_id="s1", shared=True, worker="a b")
        monkeypatch.setenv("SCANRANK_MODE", "off")
        with pytest.raises(InvalidContextError, match="needs mode 'on' or 'shadow'"):
            ranker.start_scan(SYMBOLS, scan_id="s1", shared=True)


def test_claims_wait_for_a_store_that_restarts(
    own_server: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    server = own_server()
    store = store_from_url(server.url)
    with ranker_on(store, seed=1) as ranker:
        scan = ranker.start_scan(SYMBOLS, context=CONTEXT, now=NOW, scan_id="s1", shared=True)
        first = scan.next_batch(20).symbols
        scan.report({symbol: rating(symbol) for symbol in first})
        server.kill()
        restart = threading.Timer(1.0, server.start)
        restart.start()
        second = scan.next_batch(20).symbols
        assert len(second) == 20
        assert "continues without claims" not in caplog.text
        scan.report({symbol: rating(symbol) for symbol in second})
        scan.close()
    restart.join()  # before the server is stopped: it waits for an answer
    store.close()


def test_nobody_waits_for_others_while_the_store_is_away(
    own_server: Callable[..., Server],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("scanner_adapter.scan.worker._PATIENCE_S", 0.0)
    server = own_server()
    with ranker_on(store_from_url(server.url), seed=1) as other:
        held = other.start_scan(
            SYMBOLS, context=CONTEXT, now=NOW, scan_id="s1", shared=True, lease_s=600
        ).next_batch(20)
        with SymbolRanker.open(server.url, ruleset="rules", seed=2) as ranker:
            scan = ranker.start_scan(
                SYMBOLS, context=CONTEXT, now=NOW, scan_id="s1", shared=True, lease_s=1.0
            )
            scan.report({symbol: rating(symbol) for symbol in scan.next_batch(20)})
            server.kill()
            while batch := scan.next_batch(20):
                scan.report({symbol: rating(symbol) for symbol in batch})
            assert scan.n_scanned == N
            assert {*held.symbols} <= {*scan.outcomes}
            scan.close()
            assert caplog.text.count("The scan continues with the local state") == 1
            server.start()
    with SymbolRanker.open(server.url, ruleset="rules") as ranker:  # what was spooled is sent
        assert reports(ranker.store) == dict.fromkeys(SYMBOLS, 1)


def test_a_worker_that_cannot_read_what_others_report_still_ends(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: object) -> bool:
        raise CorruptStateError("the snapshot is damaged.")

    scanned: list[str] = []
    with ranker_on(store, seed=1) as ranker:
        scan = ranker.start_scan(SYMBOLS, context=CONTEXT, now=NOW, scan_id="s1", shared=True)
        ranker.learned.refresh = refuse  # type: ignore[method-assign]
        others = threading.Thread(target=work, args=(store, "other", scanned))
        others.start()
        mine = []
        while batch := scan.next_batch(15):
            mine += batch.symbols
            scan.report({symbol: rating(symbol) for symbol in batch})
        others.join()
        scan.close()
    assert sorted([*mine, *scanned]) == sorted(SYMBOLS)
    assert reports(store) == dict.fromkeys(SYMBOLS, 1)
    assert caplog.text.count("the snapshot is damaged. Until then") == 1


def test_an_interrupt_while_symbols_are_claimed_leaves_none_leased(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would keep the scan open for all workers until the leases expire."""

    def claim(*args: Any, **kwargs: Any) -> list[str]:
        claimed(*args, **kwargs)
        raise KeyboardInterrupt

    with ranker_on(store, seed=1) as ranker:
        scan = ranker.start_scan(SYMBOLS, context=CONTEXT, now=NOW, scan_id="s1", shared=True)
        with pytest.raises(KeyboardInterrupt), scan:  # noqa: PT012
            batch = scan.next_batch(20)
            scan.report({symbol: rating(symbol) for symbol in batch})
            claimed = ranker.store.claim
            monkeypatch.setattr(ranker.store, "claim", claim)
            scan.next_batch(20)
    assert store.claims("rules", "s1") == {}
    assert [info.is_closed for info in store.list_scans("rules")] == [True]
    assert reports(store) == dict.fromkeys(batch.symbols, 1)


def test_coroutines_wait_for_other_workers_without_holding_up_their_loop(store: Store) -> None:
    """Else one Ctrl-C, which cancels the task, is noticed when the other workers have finished."""

    async def evaluate(symbol: str) -> float:
        return rating(symbol)

    async def main(is_cancelled: bool) -> None:
        task = asyncio.create_task(scan.arun(evaluate))
        while scan.n_scanned < N - len(batch):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert not task.done()
        if is_cancelled:
            task.cancel()
        else:
            held.report({symbol: rating(symbol) for symbol in batch})
        await task

    with ranker_on(store, seed=1) as slow, ranker_on(store, seed=2) as ranker:
        inputs = {"context": CONTEXT, "now": NOW, "scan_id": "s1", "shared": True}
        held = slow.start_scan(SYMBOLS, **inputs)
        batch = held.next_batch(20)
        scan = ranker.start_scan(SYMBOLS, **inputs)
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(main(is_cancelled=True))
        assert scan.summary.n_scanned == N - len(batch)
        scan = ranker.start_scan(SYMBOLS, **inputs)
        asyncio.run(main(is_cancelled=False))
        assert scan.summary.n_scanned == N
        held.close()
    assert reports(store) == dict.fromkeys(SYMBOLS, 1)


@pytest.mark.parametrize("n_workers", [None, 2])
def test_a_time_budget_ends_the_wait_for_other_workers(store: Store, n_workers: int | None) -> None:
    """The other worker holds its symbols for minutes; all else has been scanned by then."""
    with ranker_on(store, seed=1) as slow, ranker_on(store, seed=2) as ranker:
        inputs = {"context": CONTEXT, "now": NOW, "scan_id": "s1", "shared": True}
        held = slow.start_scan(SYMBOLS, **inputs)
        batch = held.next_batch(20)
        scan = ranker.start_scan(SYMBOLS, **inputs)
        pool = ThreadPoolExecutor(n_workers) if n_workers else None
        summary = scan.run(rating, executor=pool, until=TimeBudget(1.5))
        assert "s spent" in (summary.stopped or "")
        assert summary.n_scanned == N - len(batch)
        assert set(store.claims("rules", "s1")) == set(batch.symbols)
        held.close()
