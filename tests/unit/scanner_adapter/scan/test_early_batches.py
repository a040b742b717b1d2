"""Batches that are handed out while features are still computed."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from bandit.rewards import TopShare
from bandit.stores.sqlite.store import SqliteStore
from features import Bars, InvalidBarsError
from scanner_adapter import SymbolRanker
from scanner_adapter.inputs import context
from scanner_adapter.replay.journals.reproduce import replay_again
from scanner_adapter.run.stop_rules import RecallReached
from scanner_adapter.scan.early import EarlyBatches

N = 60
SYMBOLS = tuple(f"S{j:02d}" for j in range(N))
START = datetime(2018, 6, 5, 22, 0, tzinfo=UTC)
RATING = dict(zip(SYMBOLS, np.random.default_rng(5).permutation(N).astype(float), strict=True))


def bars() -> Bars:
    rng = np.random.default_rng(0)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (130, N)), axis=0))
    days = np.busday_offset("2018-06-04", np.arange(-129, 1), "backward")
    volume = np.full(close.shape, 1e6)
    return Bars(days, SYMBOLS, close.copy(), close * 1.01, close * 0.99, close, volume)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let no universe wait, and features of scans come when this is set."""
    monkeypatch.setattr("scanner_adapter.scan.early.WAITS_UP_TO", 10)
    opened, read = threading.Event(), context.market_facts

    def wait(*args: Any, **kwargs: Any) -> Any:
        assert opened.wait(30)
        return read(*args, **kwargs)

    monkeypatch.setattr(context, "market_facts", wait)
    yield opened
    opened.set()  # a thread that still waits


@pytest.fixture
def ranker() -> Iterator[SymbolRanker]:
    with SymbolRanker.open(
        SqliteStore(), ruleset="early", rewards=TopShare(0.1), seed=1, random_share=0.1
    ) as opened:
        yield opened


def start(ranker: SymbolRanker, day: int = 0, **inputs: Any) -> Any:
    return ranker.start_scan(
        SYMBOLS, **{"bars": bars(), "now": START + timedelta(days=day), **inputs}
    )


def rated(symbols: Any) -> dict[str, float]:
    return {symbol: RATING[symbol] for symbol in symbols}


def finish(scan: Any) -> None:
    for batch in scan.batches(7):
        scan.report(rated(batch))
    scan.close()


def until(is_true: Callable[[], bool]) -> None:
    for _ in range(3000):
        if is_true():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came true")


def let_in(scan: Any, gate: threading.Event) -> None:
    """Let the features be computed, and wait until they are there."""
    gate.set()
    until(lambda: scan._session._early is None or scan._session._early._facts.done())


def test_the_first_scan_draws_at_random_until_features_are_there(
    ranker: SymbolRanker, gate: threading.Event
) -> None:
    scan = start(ranker)
    scan.show(workers=4, target=None)
    first = scan.next_batch(50)
    assert len(first) == 4
    assert first.is_random.all()
    assert first.propensity == pytest.approx(4 / N)
    scan.report(rated(first))
    assert scan.awaits_features
    assert math.isnan(scan.estimate().recall)
    assert math.isnan(scan.n_hits)
    let_in(scan, gate)
    batch = scan.next_batch(20)
    assert not scan.awaits_features
    assert len(batch) == 20
    assert not set(batch) & set(first)
    assert scan.n_hits == pytest.approx(sum(scan.is_hit(symbol) for symbol in first))
    opened, report = list(ranker.store.read("early"))
    assert opened.header["before_features"] == 1
    assert report.arms == first.symbols
    # With all that is known of them now.
    assert np.isfinite(report.arrays["context"]).mean() > 0.5
    finish(scan)


def test_later_scans_begin_with_what_was_best_before(
    ranker: SymbolRanker, gate: threading.Event
) -> None:
    gate.set()
    finish(start(ranker, overlap=False))
    gate.clear()
    scan = start(ranker, 1)
    scan.show(workers=10, target=None)
    best = sorted(RATING, key=lambda symbol: -RATING[symbol])
    batch = scan.next_batch(50)
    assert (
        list(batch.symbols[: 10 - batch.is_random.sum()])
        == [symbol for symbol in best if symbol not in batch.symbols[10 - batch.is_random.sum() :]][
            : 10 - batch.is_random.sum()
        ]
    )
    gate.set()
    finish(scan)


@pytest.mark.parametrize("mode", ["on", "shadow"])
def test_a_replay_lets_features_in_at_the_same_batch(
    ranker: SymbolRanker, gate: threading.Event, mode: Any
) -> None:
    ranker.mode = mode
    for day, n_before in enumerate((3, 1, 5, 0)):
        gate.clear()
        scan = start(ranker, day)
        handed_out: list[str] = []
        for number in range(n_before):
            handed_out += scan.next_batch(2)
            if number % 2:  # reports lag behind
                scan.report(rated(handed_out))
        let_in(scan, gate)
        if handed_out:
            scan.report(rated(handed_out))
        finish(scan)
    verdicts = replay_again(ranker.store.read("early"), rule=TopShare(0.1))
    assert [(each.is_same, each.reason) for each in verdicts] == [(True, "")] * 4
    opened = [e.header["before_features"] for e in ranker.store.read("early") if e.kind == "open"]
    assert opened == [3, 1, 5, 0]


@pytest.mark.parametrize("exploration", [0.0, 1.0])
def test_waiting_gives_the_composite_order(gate: threading.Event, exploration: float) -> None:
    gate.set()
    with SymbolRanker.open(
        SqliteStore(), ruleset="early", exploration=exploration, random_share=0.0, seed=1
    ) as ranker, start(ranker, overlap=exploration == 0.0) as scan:  # fmt: skip
        assert not scan.awaits_features
        batch = scan.next_batch(N)
        if exploration == 0.0:
            composite = scan._session.open_scan.context[:, :4] @ [0.4, 0.3, 0.2, 0.1]
            places = [SYMBOLS.index(symbol) for symbol in batch]
            assert (np.diff(composite[places]) <= 1e-9).all()


def test_bars_that_cannot_be_used_are_said_when_they_are_due(
    ranker: SymbolRanker, gate: threading.Event
) -> None:
    scan = start(ranker, as_of="1999-01-01")
    first = scan.next_batch(3)
    scan.report(rated(first))
    let_in(scan, gate)
    with pytest.raises(InvalidBarsError):
        scan.next_batch(3)
    assert scan.next_batch(3).symbols == tuple(s for s in SYMBOLS if s not in first.symbols)[:3]
    assert "InvalidBarsError" in scan.close().failure


def test_closing_learns_what_came_before_the_features(
    ranker: SymbolRanker, gate: threading.Event
) -> None:
    with start(ranker) as scan:
        scan.report(rated(scan.next_batch(4)))
        scan.report({symbol: ValueError("none") for symbol in scan.next_batch(1)})
        gate.set()
    assert scan.summary.store_status == "saved"
    kinds = [(e.kind, len(e.arms)) for e in ranker.store.read("early")]
    n = min(os.cpu_count() or 1, 4)
    assert kinds == [("open", 0), ("report", n), ("close", 0)]
    assert ranker.n_scans == 1


@pytest.mark.parametrize("name", ["_facts.result", "_learn"])
def test_an_interrupt_while_features_enter_loses_nothing(
    name: str, ranker: SymbolRanker, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C comes while they are waited for, or when what came before them is learned."""
    with pytest.raises(KeyboardInterrupt), start(ranker) as scan:  # noqa: PT012
        batch = scan.next_batch(4)
        scan.report(rated(batch))
        let_in(scan, gate)
        place = scan._session._early._facts if name == "_facts.result" else scan._session
        with monkeypatch.context() as patch:
            patch.setattr(place, name.removeprefix("_facts."), Mock(side_effect=KeyboardInterrupt))
            scan.next_batch(4)
    assert scan.summary.store_status == "saved"
    entries = list(ranker.store.read("early"))
    assert [entry.kind for entry in entries] == ["open", "report", "close"]
    assert set(entries[1].arms) == set(batch)


def test_features_that_take_long_are_waited_for(
    gate: threading.Event, ranker: SymbolRanker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is reported without them is not journaled: that may not go on for minutes."""
    monkeypatch.setattr("scanner_adapter.scan.early.LONGEST_S", 0.0)
    with ranker.start_scan(SYMBOLS, bars=bars(), now=START) as scan:
        threading.Timer(0.2, gate.set).start()
        batch = scan.next_batch(4)
        assert gate.is_set()
        assert not scan.awaits_features
        scan.report({symbol: RATING[symbol] for symbol in batch})
        kinds = [entry.kind for entry in ranker.store.read(ranker.ruleset)]
        assert kinds == ["open", "report"]


def test_what_the_user_asks_waits_for_the_features(
    ranker: SymbolRanker, gate: threading.Event
) -> None:
    with start(ranker) as scan:
        threading.Timer(0.05, gate.set).start()
        scan.queue.pin(["S07"])
        assert scan.next_batch(5).symbols[0] == "S07"
        assert not scan.awaits_features


def test_a_run_has_one_symbol_a_worker_until_features_are_there(
    ranker: SymbolRanker, gate: threading.Event
) -> None:
    running = threading.Semaphore(0)
    asked: list[str] = []

    def evaluate(symbol: str) -> float:
        asked.append(symbol)
        running.release()
        assert gate.wait(30)
        return RATING[symbol]

    def open_gate() -> None:
        for _ in range(3):
            running.acquire()
        assert not running.acquire(timeout=0.1)
        n_asked.append(scan._ledger.is_handed_out.sum())
        gate.set()

    n_asked: list[int] = []
    scan = start(ranker)
    opener = threading.Thread(target=open_gate)
    opener.start()
    with ThreadPoolExecutor(3) as executor:
        summary = scan.run(evaluate, executor=executor, until=RecallReached(0.99))
    opener.join()
    assert n_asked == [3]
    assert summary.failure is None
    assert summary.n_scanned > 10


def test_workers_have_something_to_do_while_features_enter(
    ranker: SymbolRanker, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers begin ten evaluations of 20 ms in 100 ms; were two queued, they would wait."""
    began: list[float] = []
    entering: list[float] = []
    opens = EarlyBatches.open

    def slowly(early: EarlyBatches, n_batches: int) -> Any:
        entering.append(time.monotonic())
        time.sleep(0.1)
        entering.append(time.monotonic())
        return opens(early, n_batches)

    def evaluate(symbol: str) -> float:
        began.append(time.monotonic())
        time.sleep(0.02)
        if len(began) == 12:
            gate.set()
        return RATING[symbol]

    monkeypatch.setattr(EarlyBatches, "open", slowly)
    with ThreadPoolExecutor(2) as pool:
        summary = start(ranker).run(evaluate, executor=pool)
    assert summary.n_scanned == N
    start_s, end_s = entering
    assert sum(start_s + 0.03 < at < end_s for at in began) >= 3
