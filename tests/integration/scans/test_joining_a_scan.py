"""Who joins a scan, as a worker or to continue it, must rest on the same, or is refused."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from shared_scans import CONTEXT, NOW, SYMBOLS, N, ranker_on, rating, reports

from bandit.rewards import Signal, Threshold, TopShare
from bandit.stores import Store, store_from_url
from scanner_adapter import SymbolRanker
from scanner_adapter.errors import InvalidContextError, ScanStateError
from scanner_adapter.replay import Configuration, bundled_log, replay
from scanner_adapter.replay.journals.journal_scan import journal_scans, recorded_log
from scanner_adapter.scan.scan import Scan


@pytest.fixture
def store() -> Iterator[Store]:
    opened = store_from_url("memory://")
    yield opened
    opened.close()


def open_with(store: Store, **settings: Any) -> SymbolRanker:
    return SymbolRanker.open(store, ruleset="rules", seed=1, **settings)


def start(ranker: SymbolRanker, *, shared: bool = True, **options: Any) -> Scan:
    given = {"symbols": SYMBOLS, "context": CONTEXT, "now": NOW, "scan_id": "s1", **options}
    return ranker.start_scan(given.pop("symbols"), shared=shared, **given)


OTHER_RULERS: Mapping[str, tuple[dict[str, Any], str]] = {
    "rule": ({"rewards": Threshold(70.0)}, "rule = top:0.05 there and rating:70 here"),
    "share": ({"rewards": TopShare(0.1)}, "rule = top:0.05 there and top:0.1 here"),
    "signal": ({"rewards": Signal()}, "rule = "),
    "weights": ({"weights": {"market": 1.0}}, "seed_weights = "),
    "half-life": ({"half_life_days": 30.0}, "half_life_days = 120.0 there and 30.0 here"),
    "products": ({"products": False}, "crossed = "),
}
OTHER_SCANS: Mapping[str, tuple[dict[str, Any], str]] = {
    "order": (
        {"symbols": SYMBOLS[::-1], "context": CONTEXT[::-1]}, "the same symbols in a different",
    ),
    "fewer": ({"symbols": SYMBOLS[:-1], "context": CONTEXT[:-1]}, "300 symbols there and 299"),
    "others": (
        {"symbols": [*SYMBOLS[:-1], "X"], "context": CONTEXT.rename({SYMBOLS[-1]: "X"})},
        "different symbols, 300 in both",
    ),
    "column less": ({"context": CONTEXT[["market.worth"]]}, "technical.noise there but not here"),
    "column more": ({"context": CONTEXT.assign(**{"market.x": 1.0})}, "market.x here but not"),
}  # fmt: skip


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", [*OTHER_RULERS, *OTHER_SCANS])
def test_a_scan_of_two_kinds_is_refused_and_nothing_is_stored(
    store: Store, name: str, shared: bool
) -> None:
    settings, message = OTHER_RULERS.get(name, ({}, ""))
    inputs, message = OTHER_SCANS.get(name, ({}, message))
    scan = start(open_with(store), shared=shared)
    scan.report(dict.fromkeys(scan.next_batch(10), 1.0))
    before = list(store.read("rules"))
    other = open_with(store, **settings)
    with pytest.raises(InvalidContextError, match=f"scan s1 was opened with .*{message}"):
        start(other, shared=shared, **inputs)
    assert [entry.position for entry in store.read("rules")] == [e.position for e in before]
    assert store.claims("rules", "s1").keys() <= set(SYMBOLS)


def test_what_changes_choices_only_may_differ(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Exploration and random share, and columns that nobody knows; each propensity is logged."""
    start(open_with(store))
    unknown = CONTEXT.assign(**{"fundamental.news": np.nan})
    with caplog.at_level(logging.WARNING, "scanrank"):
        scan = start(open_with(store, exploration=0.0, random_share=0.3), context=unknown)
    assert scan.failure is None
    assert not caplog.messages


def test_other_facts_are_said(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    start(open_with(store))
    with caplog.at_level(logging.WARNING, "scanrank"):
        start(open_with(store), context=CONTEXT * 0.5)
    assert "scan s1 was opened with different data" in caplog.text


def test_a_scan_has_one_mode(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    start(open_with(store, mode="shadow"))
    with caplog.at_level(logging.WARNING, "scanrank"):
        scan = start(open_with(store, mode="on"))
    assert scan.mode == "shadow"
    assert "opened in mode shadow and continues in it" in caplog.text


def test_another_rule_on_the_ruleset_is_said(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with open_with(store).start_scan(SYMBOLS[:20], now=NOW) as scan:
        scan.report({symbol: rating(symbol) for symbol in scan.next_batch(20)})
    with caplog.at_level(logging.WARNING, "scanrank"):
        open_with(store, rewards=Threshold(3.0))
    assert "continues with rule = rating:3 instead of top:0.05" in (caplog.text)


@pytest.mark.parametrize("holds", [True, False])
def test_two_processes_under_one_name_share_a_batch_at_most(store: Store, holds: bool) -> None:
    """The later one takes the name over, and the earlier one gets an error when it asks again.

    The claims of the later one, or by its reports where it holds nothing just now.
    """
    evaluated: list[str] = []

    def scan_a_batch(scan: Scan, *, is_reported: bool = True) -> bool:
        batch = scan.next_batch(20)
        evaluated.extend(batch.symbols)
        if is_reported:
            scan.report({symbol: rating(symbol) for symbol in batch})
        return bool(batch)

    with ranker_on(store, seed=1) as one, ranker_on(store, seed=1) as two:
        first = start(one, worker="left")
        scan_a_batch(first)
        scan_a_batch(first, is_reported=False)
        second = start(two, worker="left")
        scan_a_batch(second, is_reported=not holds)
        with pytest.raises(ScanStateError, match="another process has joined scan s1 as worker"):
            first.next_batch(20)
        first.close()
        if holds:
            second.report({symbol: rating(symbol) for symbol in evaluated[-20:]})
        while scan_a_batch(second):
            pass
        assert second.close().n_scanned == N
    assert sum(n > 1 for n in Counter(evaluated).values()) <= 20
    assert reports(store) == dict.fromkeys(SYMBOLS, 1)


def test_one_bad_scan_does_not_block_the_replay_of_a_journal() -> None:
    """A scan with two symbols in one place is named and left out; the others are replayed."""
    log = bundled_log()
    ranker = Configuration(seed=2).open(log.rule)
    report = replay(log, to="2019-07-30", warmup=1, orders=("scanrank",))
    assert report.results
    for scan in log.scans(log.days()[:4]):
        with ranker.start_scan(scan.symbols, **scan.inputs()) as live:
            while batch := live.next_batch(200):
                live.report({symbol: scan.evaluate(symbol) for symbol in batch})
    entries = list(ranker.store.read("replay"))
    scans = journal_scans(entries)
    broken = next(entry for entry in entries if entry.kind == "report")
    place = broken.arrays["place"].copy()
    place[1] = place[0]
    entries[entries.index(broken)] = type(broken)(
        broken.position, broken.kind, broken.scan_id, broken.header,
        {**broken.arrays, "place": place}, broken.arms,
    )  # fmt: skip
    found = recorded_log(journal_scans(entries))
    assert len(found.recorded) == len(scans) - 1
    assert found.left_out[0].startswith(f"scan {broken.scan_id} has ")
    assert "a different order" in found.left_out[0]
    again = replay(found, warmup=1, orders=("scanrank", "random"))
    assert broken.scan_id in again.caption()
    assert pd.notna(again.results["scanrank"].values("recall_10")).all()
