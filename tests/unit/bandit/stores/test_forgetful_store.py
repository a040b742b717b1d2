"""The store of replays: it says what was reported in a scan under way, and keeps nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from bandit.errors import InvalidInputError
from bandit.stores.forgetful import ForgetfulStore
from bandit.stores.sqlite.store import SqliteStore
from scanner_adapter.symbol_ranker import SymbolRanker

SYMBOLS = [f"S{i:02}" for i in range(30)]
CONTEXT = (["market.x"], np.linspace(0.0, 100.0, 30)[:, None])


def scan_twice(store: SqliteStore) -> tuple[list[tuple[str, ...]], SymbolRanker]:
    ranker = SymbolRanker.open(store, ruleset="r", seed=3)
    batches = []
    for day in (4, 5):
        now = datetime(2026, 3, day, tzinfo=UTC)
        with ranker.start_scan(SYMBOLS, context=CONTEXT, now=now) as scan:
            while batch := scan.next_batch(7):
                batches.append(batch.symbols)
                scan.report({symbol: float(symbol[1:]) for symbol in batch})
    return batches, ranker


def test_scans_go_as_on_a_store_that_keeps_everything() -> None:
    """The same batches, and the same belief bit for bit."""
    (batches, one), (batches_, other) = scan_twice(SqliteStore()), scan_twice(ForgetfulStore())
    assert batches == batches_
    arrays, arrays_ = (each.learned.belief.state()[1] for each in (one, other))
    for name in ("data_precision", "data_shift", "cell_shift", "track_values"):
        assert arrays[name].tobytes() == arrays_[name].tobytes()


def test_nothing_is_kept() -> None:
    store = ForgetfulStore()
    _, ranker = scan_twice(store)
    stats = store.stats("r")
    assert (stats.n_entries, stats.journal_bytes, stats.snapshot_bytes, stats.n_scans) == (0,) * 4
    assert store.load_snapshot("r") is None
    assert not store.reported("r", "any")
    assert ranker.n_scans == 2


def test_within_a_scan_the_first_outcome_counts() -> None:
    store = ForgetfulStore()
    for expected in ([True, True], [False, True]):
        arms = ["A", "B"] if expected[0] else ["B", "C"]
        receipt = store.append_report("r", "s", arms=arms, header={}, arrays={})
        assert receipt.accepted.tolist() == expected


def test_whoever_asks_for_the_journal_is_reported() -> None:
    """Silence would pass for an empty journal, and a second ranker would learn nothing from it."""
    store = ForgetfulStore()
    scan_twice(store)
    assert not list(store.read("r", after=store.stats("r").last_position))
    with pytest.raises(InvalidInputError, match="was not kept; open the ranker with a memory://"):
        store.read("r")
    with pytest.raises(InvalidInputError, match="was not kept"):
        SymbolRanker.open(store, ruleset="r")
