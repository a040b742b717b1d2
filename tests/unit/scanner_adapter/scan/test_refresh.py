"""Quotes at the start of a scan and in the course of it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bandit.errors import InvalidInputError
from bandit.rewards import Threshold
from bandit.stores.sqlite.store import SqliteStore
from features import Bars, InvalidQuotesError
from scanner_adapter import InvalidContextError, ScanStateError, SymbolRanker
from scanner_adapter.replay.journals.reproduce import replay_again

NOW = datetime(2018, 6, 5, 14, 0, tzinfo=UTC)  # 10:00 in New York
SYMBOLS = tuple(f"S{j:02d}" for j in range(40))


def bars() -> Bars:
    rng = np.random.default_rng(0)
    shape = (130, len(SYMBOLS))
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, shape), axis=0))
    high, low = close * 1.01, close * 0.99
    days = np.busday_offset("2018-06-04", np.arange(-129, 1), "backward")
    return Bars(days, SYMBOLS, close.copy(), high, low, close, np.full(shape, 1e6))


def quotes(winners: list[int], time: datetime = NOW) -> pd.DataFrame:
    """Quotes in which the winners rise by a tenth, and the others stand still."""
    last = bars().close[-1].copy()
    last[winners] *= 1.1
    return pd.DataFrame({"symbol": SYMBOLS, "time": time, "last": last, "volume": 140_000.0})


@pytest.fixture
def ranker() -> Iterator[SymbolRanker]:
    """Return a ranker that has learned that what rises today pays."""
    opened = SymbolRanker.open(
        SqliteStore(), ruleset="fresh", seed=1, rewards=Threshold(50), exploration=0.0
    )
    rng = np.random.default_rng(2)
    for _ in range(6):
        winners = rng.choice(len(SYMBOLS), 8, replace=False).tolist()
        with opened.start_scan(SYMBOLS, bars=bars(), quotes=quotes(winners), now=NOW) as scan:
            while batch := scan.next_batch(10):
                scan.report({s: 100.0 if SYMBOLS.index(s) in winners else 0.0 for s in batch})
    yield opened
    opened.close()


def first(scan: Any, k: int) -> set[int]:
    return {SYMBOLS.index(symbol) for symbol in scan.next_batch(k)}


def test_the_order_knows_what_the_market_does_now(ranker: SymbolRanker) -> None:
    rising = [3, 7, 11, 19, 23]
    with ranker.start_scan(SYMBOLS, bars=bars(), quotes=quotes(rising), now=NOW) as scan:
        assert len(first(scan, 6) & set(rising)) >= 4
    order = ranker.order(SYMBOLS, bars=bars(), quotes=quotes(rising), now=NOW)
    assert len({SYMBOLS.index(symbol) for symbol in order[:6]} & set(rising)) >= 4


def test_what_remains_is_ranked_anew(ranker: SymbolRanker) -> None:
    later = NOW + timedelta(minutes=30)
    rising = [1, 9, 14, 26, 33]
    with ranker.start_scan(SYMBOLS, bars=bars(), quotes=quotes([]), now=NOW) as scan:
        scanned = first(scan, 4)
        scan.report({SYMBOLS[place]: 0.0 for place in scanned})
        scan.refresh(quotes=quotes(rising, later), now=later)
        left = set(rising) - scanned
        assert len(first(scan, len(left) + 2) & left) >= len(left) - 1


def test_what_was_handed_out_is_learned_from_as_it_was_chosen(ranker: SymbolRanker) -> None:
    later = NOW + timedelta(minutes=30)
    with ranker.start_scan(SYMBOLS, bars=bars(), quotes=quotes([5]), now=NOW) as scan:
        open_scan = scan._session.open_scan
        assert open_scan is not None
        before = open_scan.context.copy()
        chosen = scan.next_batch(10)
        places = [SYMBOLS.index(symbol) for symbol in chosen]
        scan.refresh(quotes=quotes([6], later), now=later)
        np.testing.assert_array_equal(open_scan.context[places], before[places])
        others = np.delete(np.arange(len(SYMBOLS)), places)
        assert (open_scan.context[others] != before[others]).any(axis=1).all()
        # The composite's columns are those of the new sub-scores, and history stays.
        scan.report(dict.fromkeys(chosen, 1.0))
    entries = list(ranker.store.read("fresh"))
    report = [e for e in entries if e.kind == "report"][-1]
    np.testing.assert_allclose(report.arrays["context"], before[places], rtol=1e-6)
    assert report.header["is_refreshed"]
    verdict = replay_again(entries, rule=Threshold(50))[-1]
    assert verdict.is_same is None
    assert "changed during the scan" in verdict.reason


def test_a_refresh_with_the_same_quotes_changes_no_context(ranker: SymbolRanker) -> None:
    with ranker.start_scan(SYMBOLS, bars=bars(), quotes=quotes([5]), now=NOW) as scan:
        open_scan = scan._session.open_scan
        assert open_scan is not None
        before = open_scan.context.copy()
        scan.refresh(quotes=quotes([5]), now=NOW)
        np.testing.assert_array_equal(open_scan.context, before)


def test_bad_quotes_leave_the_scan_as_it_was(ranker: SymbolRanker) -> None:
    with ranker.start_scan(SYMBOLS, bars=bars(), now=NOW) as scan:
        with pytest.raises(InvalidQuotesError):
            scan.refresh(quotes=[1, 2], now=NOW)
        assert scan.next_batch(5)
        assert scan.failure is None
    with pytest.raises(ScanStateError):
        scan.refresh(quotes=quotes([1]), now=NOW)
    with pytest.raises(InvalidContextError, match="give bars"):
        ranker.start_scan(
            SYMBOLS, quotes=quotes([1]), now=NOW, context=(("market.a",), np.ones((40, 1)))
        )


def test_stale_quotes_are_said_and_the_bars_count(
    ranker: SymbolRanker, caplog: pytest.LogCaptureFixture
) -> None:
    old = quotes([5], NOW - timedelta(days=1))
    with caplog.at_level(logging.WARNING, "scanrank"):
        ranker.start_scan(SYMBOLS, bars=bars(), quotes=old, now=NOW).close()
    assert "40 of 40 quotes" in caplog.text
    assert "stale" in caplog.text
    assert "none are usable" in caplog.text


def test_mode_off_hears_no_quotes() -> None:
    ranker = SymbolRanker.open("memory://", ruleset="off", mode="off")
    with ranker.start_scan(SYMBOLS, bars=bars()) as scan:
        scan.refresh(quotes=quotes([1]), now=NOW)
        assert scan.next_batch(3).symbols == SYMBOLS[:3]


def test_a_run_asks_for_quotes_every_so_often(ranker: SymbolRanker) -> None:
    asked, is_asked = [], threading.Event()

    def fetch() -> pd.DataFrame | None:
        asked.append(len(asked))
        if len(asked) == 1:
            raise ConnectionError("vendor away")
        if len(asked) == 3:
            is_asked.set()
        return quotes([5], datetime.now(UTC)) if len(asked) == 2 else None

    def evaluate(symbol: str) -> float:
        assert is_asked.wait(30)
        return 1.0

    scan = ranker.start_scan(SYMBOLS, bars=bars())
    with ThreadPoolExecutor(2) as pool:
        summary = scan.run(evaluate, executor=pool, refresh=fetch, every_s=0.01)
    assert summary.n_scanned == len(SYMBOLS)
    assert len(asked) >= 3
    assert summary.failure is None


@pytest.mark.parametrize("wrong", [{"refresh": 3}, {"every_s": 0}, {"every_s": "1"}])
def test_what_cannot_be_asked_is_refused(ranker: SymbolRanker, wrong: dict[str, Any]) -> None:
    scan = ranker.start_scan(SYMBOLS, bars=bars())
    with pytest.raises(InvalidInputError, match="expected"):
        scan.run(float, **wrong)


def test_what_a_refresh_does_not_name_stays_as_it_was(
    ranker: SymbolRanker, caplog: pytest.LogCaptureFixture
) -> None:
    """Quotes outlast other refreshes and useless quotes; later refreshes keep what came before."""
    later = NOW + timedelta(minutes=30)
    with ranker.start_scan(SYMBOLS, bars=bars(), quotes=quotes([5]), now=NOW) as scan:
        open_scan = scan._session.open_scan
        assert open_scan is not None
        scan.refresh(quotes=dict.fromkeys(SYMBOLS, 60.0), now=later)
        by_quotes = open_scan.context.copy()
        scan.refresh(sectors=dict.fromkeys(SYMBOLS, "Energy"), now=later + timedelta(hours=1))
        np.testing.assert_array_equal(open_scan.context, by_quotes)
        with caplog.at_level(logging.WARNING, "scanrank"):
            scan.refresh(quotes=quotes([6], NOW - timedelta(days=1)), now=later)
            scan.refresh(quotes={"tickers": []}, now=later)
        np.testing.assert_array_equal(open_scan.context, by_quotes)
        assert caplog.text.count("none are usable; the order does without them") == 2
        longer = bars().until(np.datetime64("2018-06-01"))
        scan.refresh(bars=longer, now=later)
        by_bars = open_scan.context.copy()
        scan.refresh(quotes=dict.fromkeys(SYMBOLS, 60.0), now=later)
        np.testing.assert_array_equal(open_scan.context, by_bars)


def test_without_quotes_nothing_is_left_of_today(ranker: SymbolRanker) -> None:
    with ranker.start_scan(SYMBOLS, bars=bars(), now=NOW) as scan:
        assert scan._session.open_scan is not None
        evening = scan._session.open_scan.context.copy()
    with ranker.start_scan(SYMBOLS, bars=bars(), quotes=quotes([5]), now=NOW) as scan:
        open_scan = scan._session.open_scan
        assert open_scan is not None
        scan.refresh(quotes=None, now=NOW)
        done = open_scan.columns.index("market.session_done")
        assert np.isnan(open_scan.context[:, done]).all()
        facts = [k for k, name in enumerate(open_scan.columns) if name.startswith("technical.")]
        np.testing.assert_array_equal(open_scan.context[:, facts], evening[:, facts])


def test_a_coroutine_may_fetch_the_quotes(ranker: SymbolRanker) -> None:
    """In the loop of the run, where a session of the vendor's client lives."""
    loops: list[asyncio.AbstractEventLoop] = []
    is_fetched = asyncio.Event()

    async def fetch() -> None:
        loops.append(asyncio.get_running_loop())
        is_fetched.set()

    async def evaluate(_symbol: str) -> float:
        await asyncio.wait_for(is_fetched.wait(), 30)
        return 1.0

    async def whole() -> bool:
        scan = ranker.start_scan(SYMBOLS, bars=bars())
        await scan.arun(evaluate, refresh=fetch, every_s=0.01)
        return loops[0] is asyncio.get_running_loop()

    assert asyncio.run(whole())


def test_a_fetch_that_hangs_holds_nothing_up_and_is_said(
    ranker: SymbolRanker, caplog: pytest.LogCaptureFixture
) -> None:
    is_asked, may_return = threading.Event(), threading.Event()

    def fetch() -> None:
        is_asked.set()
        may_return.wait(30)

    def evaluate(_symbol: str) -> float:
        assert is_asked.wait(30)
        return 1.0

    with caplog.at_level(logging.WARNING, "scanrank"):
        summary = ranker.start_scan(SYMBOLS, bars=bars()).run(
            evaluate, refresh=fetch, every_s=0.0001
        )
    may_return.set()
    assert summary.n_scanned == len(SYMBOLS)
    assert "a fetch of quotes has not returned for" in caplog.text


@pytest.mark.parametrize("theirs", [True, False])
def test_a_worker_without_quotes_and_one_with_them_share_a_scan(
    ranker: SymbolRanker, theirs: bool
) -> None:
    """Whether a vendor answered decides no more than what each worker knows of today."""
    given: list[dict[str, Any]] = [{}, {"quotes": quotes([5])}]
    first_worker, second = (
        ranker.start_scan(
            SYMBOLS, bars=bars(), now=NOW, scan_id="s", shared=True, worker=f"w{number}", **more
        )
        for number, more in enumerate(given[::-1] if theirs else given)
    )
    assert first_worker.next_batch(5)
    assert second.next_batch(5)
    assert second.failure is None
