"""`ResultFeed`: scanners that own their loop, from any thread, whatever their results are."""

from __future__ import annotations

import gc
import random
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bandit.belief.belief import BeliefSettings
from bandit.stores import Receipt
from bandit.stores.entries import Sealed
from bandit.stores.sqlite import SqliteStore
from scanner_adapter import InvalidOutcomeError, ResultFeed, SymbolRanker
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


def test_memory_stays_flat_over_a_hundred_scans() -> None:
    """Growth from the 40th to the 100th scan is less than a third of what one scan holds."""
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
    assert sizes[-1] - sizes[40] < (within - sizes[-1]) / 3


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
        "a result came while no scan was open": 3,
        "a result came for a symbol that is not part of the scan": 1,
        "a result could not be read": 1,
        "a second result came for a symbol; the first one counts": 1,
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
