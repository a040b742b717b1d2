"""What the service says was learned is what the scanner believes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest

from bandit.rewards import TopShare
from bandit.stores import Store
from scanner_adapter import SymbolRanker
from scanner_adapter.scan.scan import Scan
from scanner_adapter.service.notes import past
from scanner_adapter.service.watching import beliefs as module
from scanner_adapter.service.watching.beliefs import Beliefs, FoldedBelief

SYMBOLS = [f"S{n}" for n in range(60)]
COLUMNS = ("market.a", "technical.b")


@pytest.fixture
def ranker(monkeypatch: pytest.MonkeyPatch) -> Iterator[SymbolRanker]:
    monkeypatch.setattr(module, "MIN_AGE_S", 0.0)
    with SymbolRanker.open(
        "memory://", ruleset="demo", rewards=TopShare(0.2), seed=1, half_life_days=30.0
    ) as ranker:
        yield ranker


def start(ranker: SymbolRanker, n_batches: int) -> Scan:
    """A scan whose ratings follow its first column, some batches on."""
    values = np.random.default_rng(3).uniform(0, 100, (60, 2)).astype(np.float32)
    scan = ranker.start_scan(SYMBOLS, context=(COLUMNS, values))
    for _ in range(n_batches):
        batch = scan.next_batch(10)
        scan.report({symbol: float(values[SYMBOLS.index(symbol), 0]) for symbol in batch})
    return scan


def belief_of(beliefs: Beliefs, store: Store) -> FoldedBelief:
    with beliefs.of(store, "demo", store.stats("demo")) as belief:
        return belief


def same(folded: FoldedBelief, ranker: SymbolRanker) -> None:
    mine, theirs = folded.belief.state(), ranker.learned.belief.state()
    assert mine[0] == theirs[0]
    for name, array in theirs[1].items():
        np.testing.assert_array_equal(mine[1][name], array, err_msg=name)
    assert folded.position == ranker.learned.position


def test_it_follows_the_journal_and_every_snapshot(ranker: SymbolRanker) -> None:
    """With the scanner's own half-life (from the first snapshot on), bit for bit."""
    beliefs = Beliefs()
    scan = start(ranker, 6)
    belief_of(beliefs, ranker.store)  # before any snapshot: with the default settings
    scan.close()
    first = belief_of(beliefs, ranker.store)
    same(first, ranker)
    scan = start(ranker, 2)
    second = belief_of(beliefs, ranker.store)
    assert second is first  # caught up, not loaded anew
    same(second, ranker)
    scan.close()
    third = belief_of(beliefs, ranker.store)
    assert third is not second
    same(third, ranker)


def test_a_ruleset_that_was_dropped_and_begun_again_is_loaded_anew(ranker: SymbolRanker) -> None:
    beliefs = Beliefs()
    start(ranker, 6).close()
    assert belief_of(beliefs, ranker.store).belief.n_reports == 60
    ranker.store.drop_ruleset("demo")
    stats = ranker.store.stats("demo")
    assert not belief_of(beliefs, ranker.store).belief.n_reports
    assert stats.n_entries == 0


def test_an_explanation_is_the_scans_own(ranker: SymbolRanker) -> None:
    start(ranker, 6).close()
    scan = start(ranker, 3)
    belief = belief_of(Beliefs(), ranker.store)
    entries = [
        entry for entry in ranker.store.read("demo")
        if entry.kind == "report" and entry.scan_id == scan.scan_id
    ]  # fmt: skip
    for entry in entries:
        again = next(iter(ranker.store.read("demo", after=past(entry.position), limit=1)))
        assert again.position == entry.position
        for row, symbol in enumerate(entry.arms):
            mine, theirs = belief.explain(again, row), scan.explain(symbol)
            for factor, part in theirs.groups.items():
                # The journal keeps contexts in 32 bits: 7 digits of some hundred weights' sum.
                assert mine.groups[factor].prior == pytest.approx(part.prior, abs=1e-3)
                assert mine.groups[factor].learned == pytest.approx(part.learned, abs=1e-3)


def test_weights_are_shares_with_intervals(ranker: SymbolRanker) -> None:
    start(ranker, 6).close()
    mine = belief_of(Beliefs(), ranker.store).weights()
    theirs = start(ranker, 0).factor_weights(module.CONFIDENCE)
    assert mine.keys() == theirs.keys()
    assert sum(weight.learned for weight in mine.values()) == pytest.approx(1.0)
    for weight in mine.values():
        assert weight.low <= weight.learned <= weight.high or np.isnan(weight.learned)


def test_it_is_brought_up_to_date_at_most_once_a_second(
    ranker: SymbolRanker, monkeypatch: pytest.MonkeyPatch
) -> None:
    beliefs = Beliefs()
    start(ranker, 1)
    belief_of(beliefs, ranker.store)
    monkeypatch.setattr(module, "MIN_AGE_S", 60.0)
    before = time.monotonic()
    start(ranker, 1)
    stale = belief_of(beliefs, ranker.store)
    assert stale.belief.n_reports == 10
    assert time.monotonic() - before < 60.0
