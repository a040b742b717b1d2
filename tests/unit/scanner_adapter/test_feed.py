"""`ResultFeed`: scanners that own their loop, from any thread, whatever their results are."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import random
import threading
import time
import tracemalloc
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

from bandit.belief.belief import BeliefSettings
from bandit.stores import Receipt
from bandit.stores.entries import Sealed
from bandit.stores.sqlite.store import SqliteStore
from scanner_adapter import (
    InvalidOutcomeError,
    ResultFeed,
    ScanStateError,
    SymbolRanker,
    Threshold,
)
from scanner_adapter.inputs.context import seed_weights
from scanner_adapter.integrations.callbacks import run_ordered

SYMBOLS = [f"S{i}" for i in range(1000)]


def open_ranker(**settings: object) -> SymbolRanker:
    return SymbolRanker.open("memory://", ruleset="t", seed=1, **settings)  # type: ignore[arg-type]


def test_two_hundred_threads_a_tenth_raising_a_hundredth_hanging() -> None:
    """Every symbol that came back is in the journal exactly once; those that hang are unknown."""
    ranker = open_ranker()
    feed = ResultFeed(ranker)
    order = feed.order(SYMBOLS)
    assert sorted(order) == sorted(SYMBOLS)
    release = threading.Event()
    hanging, raising = set(random.Random(1).sample(SYMBOLS, 110)), set()
    for symbol in sorted(hanging)[10:]:
        hanging.discard(symbol)
        raising.add(symbol)

    def scan_one(symbol: str) -> None:
        if symbol in hanging:
            release.wait(60)
            return
        try:
            if symbol in raising:
                raise ValueError("no data")
            feed(symbol, {"rating": float(symbol[1:])})
        except ValueError as error:
            feed(symbol, error)

    with ThreadPoolExecutor(200) as pool:
        running = [pool.submit(scan_one, symbol) for symbol in order]
        for future, symbol in zip(running, order, strict=True):
            if symbol not in hanging:
                future.result(timeout=30)
        summary = feed.close()
        release.set()
    assert summary is not None
    assert summary.n_scanned == 990
    assert summary.n_errors == 100
    assert not feed.problems
    journaled = [
        arm for entry in ranker.store.read("t") if entry.kind == "report" for arm in entry.arms
    ]
    # What failed is not journaled in a scan that did not end: it is offered again when resumed.
    assert len(journaled) == len(set(journaled)) == 890
    assert not set(journaled) & raising
    assert not set(journaled) & hanging


class ForgetfulStore(SqliteStore):
    """Takes everything and keeps nothing, so that what grows is not the journal."""

    n_entries = 0

    def append_sealed(self, ruleset: str, entry: Sealed) -> Receipt:  # noqa: ARG002
        before, self.n_entries = self.n_entries, self.n_entries + 1
        accepted = np.ones(len(entry.members), bool)
        return Receipt(f"{before + 1}-0", f"{before}-0", accepted)


@pytest.mark.slow
def test_memory_stays_flat_over_a_hundred_scans() -> None:
    """Growth from the 40th to the 100th scan is less than what one scan holds: none of 60 stays."""
    store = ForgetfulStore()
    feed = ResultFeed(SymbolRanker(store, ruleset="t", settings=BeliefSettings(seed_weights(None))))
    sizes = []
    tracemalloc.start()
    for _ in range(100):
        for symbol in feed.order(SYMBOLS[:60]):
            feed(symbol, {"rating": float(symbol[1:]), "close": 2.0})
        within = tracemalloc.get_traced_memory()[0]
        feed.close()
        gc.collect()
        sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert store.n_entries == 100 * (1 + 2 + 1)
    assert sizes[-1] - sizes[40] < within - sizes[-1]


def test_a_stream_profits_from_earlier_results() -> None:
    """Read lazily, the second scan's later batches are chosen after the earlier reports."""
    feed = ResultFeed(open_ranker(), batch_size=10)
    reports_seen = []
    for n, symbol in enumerate(feed.stream(SYMBOLS[:50])):
        if n % 10 == 0:
            reports_seen.append(feed._scan.n_scanned)  # type: ignore[union-attr]
        feed(symbol, 1.0)
    assert reports_seen == [0, 10, 20, 30, 40]
    summary = feed.close()
    assert summary is not None
    assert summary.n_scanned == 50


def test_a_stream_is_shared_by_threads_without_losing_or_doubling() -> None:
    feed = ResultFeed(open_ranker(), batch_size=7)
    stream, taken = feed.stream(SYMBOLS), []

    def work() -> None:
        for symbol in stream:
            taken.append(symbol)
            feed(symbol, float(len(taken)))

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    summary = feed.close()
    assert sorted(taken) == sorted(SYMBOLS)
    assert summary is not None
    assert summary.n_scanned == len(SYMBOLS)


def test_nothing_is_raised_into_the_scanner(caplog: pytest.LogCaptureFixture) -> None:
    feed = ResultFeed(open_ranker(), batch_size=2)
    feed("S1", 1.0)
    feed.order(["S1", "S2", "S3"])
    feed("OTHER", 1.0)
    feed("S1", "a text")
    feed("S2", {"rating": 3.0})
    feed("S2", {"rating": 4.0})
    summary = feed.close()
    feed("S3", 1.0)
    feed("S3", 1.0)
    assert summary is not None
    assert (summary.n_scanned, summary.n_errors) == (2, 1)
    assert dict(feed.problems) == {
        "a result arrived while no scan was open": 3,
        "a result arrived for a symbol that is not part of the scan": 1,
        "a result could not be read": 1,
        "a second result arrived for a symbol; the first one counts": 1,
    }
    assert len(caplog.records) == 4  # one per kind


def test_the_next_order_closes_the_scan_before_it() -> None:
    ranker = open_ranker()
    feed = ResultFeed(ranker)
    for _ in range(3):
        for symbol in feed.order(SYMBOLS[:60]):
            feed(symbol, 1.0)
    feed.close()
    assert ranker.n_scans == 3


@pytest.mark.parametrize("is_lazy", [False, True])
def test_a_list_and_callback_scanner_in_one_call(is_lazy: bool) -> None:
    def scanner(symbols, on_result):  # type: ignore[no-untyped-def]
        with ThreadPoolExecutor(4) as pool:
            for symbol in symbols:
                pool.submit(on_result, {"ticker": symbol, "score": len(symbol)})

    ranker = open_ranker()
    summary = run_ordered(ranker, scanner, SYMBOLS, symbol_key="ticker", is_lazy=is_lazy)
    assert summary.n_scanned == len(SYMBOLS)
    assert summary.n_errors == 0


def test_a_row_without_its_symbol_says_so() -> None:
    def scanner(symbols, on_result):  # type: ignore[no-untyped-def]
        on_result({"score": 1.0})

    with pytest.raises(InvalidOutcomeError, match="no 'symbol'"):
        run_ordered(open_ranker(), scanner, SYMBOLS[:5])


# -- loops that take everything ahead --------------------------------------------------------

MANY = [f"S{i}" for i in range(600)]
LAST_HITS = 60  # the hits stand at the end of the list


def slow_rating(symbol: str) -> tuple[str, float]:
    time.sleep(0.0005)
    return symbol, float(int(symbol[1:]) >= len(MANY) - LAST_HITS)


def fails_once(symbol: str) -> float:
    TRIES[symbol] = TRIES.get(symbol, 0) + 1
    if TRIES[symbol] == 1 and int(symbol[1:]) % 10 == 0:
        raise OSError("busy")
    return float(symbol[1:])


TRIES: dict[str, int] = {}


def hungry(name: str, feed: ResultFeed) -> Iterable[tuple[str, float]]:
    """The loops that people write, over the iterator that a feed gives them."""
    symbols = feed.stream(MANY)
    if name == "threads' map":
        with ThreadPoolExecutor(2) as pool:
            yield from pool.map(slow_rating, symbols)
    elif name == "imap with a chunksize":
        with multiprocessing.Pool(2) as processes:
            yield from processes.imap_unordered(slow_rating, symbols, chunksize=300)
    elif name == "a list first":
        yield from map(slow_rating, list(symbols))


@pytest.mark.parametrize("name", ["threads' map", "imap with a chunksize", "a list first"])
def test_a_loop_that_takes_everything_ahead_is_reported_so_once(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "scanrank"), ResultFeed(open_ranker()) as feed:
        for symbol, result in hungry(name, feed):
            feed(symbol, result)
    printed = [
        r.getMessage() for r in caplog.records if "taken before the first result" in r.message
    ]
    assert len(printed) == 1
    assert printed[0].startswith("61 of 600 symbols were taken")
    assert "feed.map(fn, executor, symbols)" in printed[0]


def test_loops_that_take_symbols_as_they_go_are_not(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "scanrank"):
        with ResultFeed(open_ranker()) as feed:
            for symbol, result in map(slow_rating, feed.stream(MANY)):
                feed(symbol, result)
        with ResultFeed(open_ranker()) as feed:
            for symbol in feed.order(MANY):
                feed(*slow_rating(symbol))
        with ResultFeed(open_ranker()) as feed, ThreadPoolExecutor(16) as pool:
            assert len(dict(feed.map(slow_rating, pool, MANY[:40]))) == 40
    assert not caplog.records


@pytest.mark.parametrize("kind", ["threads", "processes", "pool"])
def test_map_hands_out_as_many_as_there_are_workers(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    kinds = {
        "threads": ThreadPoolExecutor, "processes": ProcessPoolExecutor,
        "pool": multiprocessing.Pool,
    }  # fmt: skip
    ranker = SymbolRanker.open("memory://", ruleset="m", seed=1, rewards=Threshold(1.0))
    with caplog.at_level(logging.WARNING, "scanrank"):
        for _ in range(2):
            with kinds[kind](2) as pool, ResultFeed(ranker, batch_size=20) as feed:
                seen = list(feed.map(slow_rating, pool, MANY))
    assert sorted(symbol for symbol, _ in seen) == sorted(MANY)
    early = [value for _, value in seen[:150]]
    assert sum(map(float, early)) >= 0.8 * LAST_HITS  # type: ignore[arg-type]
    assert feed.summary is not None
    assert (feed.summary.n_scanned, feed.summary.n_hits) == (600, LAST_HITS)
    assert not [r for r in caplog.records if "were taken before the first result" in r.getMessage()]


def test_map_offers_failed_symbols_again_and_yields_their_errors() -> None:
    TRIES.clear()
    with ThreadPoolExecutor(3) as pool, ResultFeed(open_ranker()) as feed:
        feed.stream(MANY[:100])
        results = list(feed.map(fails_once, pool))
    errors = [symbol for symbol, result in results if isinstance(result, OSError)]
    assert len(errors) == 10
    assert len(results) == 110
    assert feed.summary is not None
    assert (feed.summary.n_scanned, feed.summary.n_errors) == (100, 0)
    assert not feed.problems


def test_a_map_that_is_left_keeps_what_was_under_way() -> None:
    with ThreadPoolExecutor(2) as pool, ResultFeed(open_ranker()) as feed:
        results = feed.map(slow_rating, pool, MANY)
        for _, _ in zip(range(10), results, strict=False):
            pass
        results.close()  # type: ignore[attr-defined]
    assert feed.summary is not None
    assert 10 <= feed.summary.n_scanned <= 14


def test_a_map_of_nothing_says_so() -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(ScanStateError, match="has no symbols"):
        ResultFeed(open_ranker()).map(slow_rating, pool)


def test_overhead_counts_processor_time_and_no_waiting_for_the_interpreter() -> None:
    """Two threads that never sleep hold the interpreter: most of the time is waiting for it."""

    def overhead(n_busy: int) -> tuple[float, float]:
        is_over = threading.Event()

        def spin() -> None:
            while not is_over.is_set():
                pass

        busy = [threading.Thread(target=spin) for _ in range(n_busy)]
        for thread in busy:
            thread.start()
        try:
            ranker = SymbolRanker.open("memory://", ruleset="o", seed=1)
            summary = ranker.start_scan(MANY).run(lambda symbol: float(symbol[1:]), batch_size=30)
        finally:
            is_over.set()
            for thread in busy:
                thread.join()
        return summary.overhead_s, summary.seconds

    spent, lasted = overhead(2)
    assert spent < 0.3 * lasted
    assert overhead(0)[0] > 0.0
