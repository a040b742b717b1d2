"""Scans every five minutes that each see a part."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from bandit.errors import InvalidInputError
from bandit.rewards import Threshold
from bandit.stores.sqlite.store import SqliteStore
from scanner_adapter import SymbolRanker
from scanner_adapter.replay.journals.reproduce import replay_again

SYMBOLS = tuple(f"S{j:02d}" for j in range(60))
START = datetime(2024, 3, 1, 14, 30, tzinfo=UTC)
CONTEXT = (("market.momentum_20",), np.linspace(10, 90, 60, dtype=np.float32)[:, None])


@pytest.fixture
def ranker() -> Any:
    with SymbolRanker.open(SqliteStore(), ruleset="day", rewards=Threshold(0.5), seed=1) as opened:
        yield opened


def look(ranker: SymbolRanker, number: int, k: int = 3, **how: Any) -> tuple[str, ...]:
    now = START + number * timedelta(minutes=5)
    with ranker.start_scan(SYMBOLS, context=CONTEXT, now=now, **how) as scan:
        batch = scan.next_batch(k)
        scan.report({symbol: float(SYMBOLS.index(symbol) > 55) for symbol in batch})
    return batch.symbols


def test_what_was_looked_at_just_now_is_not_looked_at_again(ranker: SymbolRanker) -> None:
    again = plain = 0
    before: set[str] = set()
    for number in range(30):
        seen = look(ranker, number, hits_last=timedelta(hours=1))
        again += len(before & set(seen))
        before = set(seen)
    for number in range(30, 60):
        seen = look(ranker, number)
        plain += len(before & set(seen))
        before = set(seen)
    assert plain > 30
    assert again < plain / 2


def test_every_symbol_is_seen_within_the_promised_time(ranker: SymbolRanker) -> None:
    """Three of sixty every five minutes: in two hours there is room for 72."""
    seen_at: dict[str, int] = {}
    for number in range(60):
        seen_at |= dict.fromkeys(look(ranker, number, seen_within=timedelta(hours=2)), number)
        if number >= 24:
            assert number - min(seen_at.get(symbol, -1) for symbol in SYMBOLS) <= 25
    # And what promises most is seen more often than that.
    assert seen_at["S59"] >= 55


def test_a_replay_knows_the_promises(ranker: SymbolRanker) -> None:
    for number in range(6):
        how = {"hits_last": timedelta(minutes=30), "seen_within": timedelta(hours=3)}
        now = START + number * timedelta(minutes=5)
        with ranker.start_scan(SYMBOLS, context=CONTEXT, now=now, **how) as scan:  # type: ignore[arg-type]
            for batch in scan.batches(7):
                scan.report({symbol: float(SYMBOLS.index(symbol) > 55) for symbol in batch})
    verdicts = replay_again(ranker.store.read("day"), rule=Threshold(0.5))
    assert [(each.is_same, each.reason) for each in verdicts] == [(True, "")] * 6


def test_due_symbols_give_way_to_requests(ranker: SymbolRanker) -> None:
    with ranker.start_scan(
        SYMBOLS, context=CONTEXT, now=START, seen_within=timedelta(hours=1)
    ) as scan:
        due = [SYMBOLS[place] for place in scan._session.open_scan.due]  # type: ignore[union-attr]
        assert len(due) == 3  # a twentieth of sixty
        scan.queue.exclude([due[0]])
        scan.queue.pin(["S59"])
        assert scan.next_batch(3).symbols == ("S59", *due[1:3])


@pytest.mark.parametrize("name", ["hits_last", "seen_within"])
def test_a_promise_of_no_time_is_refused(ranker: SymbolRanker, name: str) -> None:
    with pytest.raises(InvalidInputError, match=name):
        look(ranker, 0, **{name: timedelta(0)})
