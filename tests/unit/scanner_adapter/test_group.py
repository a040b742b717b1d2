"""Several rulesets on one fetch: one order serves all, each learns, each stops by its own rule."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandit.errors import InvalidInputError
from scanner_adapter import (
    HitsFound,
    InvalidOutcomeError,
    RankerGroup,
    RecallReached,
    Signal,
    SymbolBudget,
    SymbolRanker,
    Threshold,
)

SYMBOLS = [f"S{i:03d}" for i in range(400)]


def number(symbol: str) -> int:
    return int(symbol[1:])


def patterns(symbol: str) -> dict[str, object]:
    """Twenty hits of `late` stand at the end of the list, ten of `middle` in its middle."""
    n = number(symbol)
    return {"late": n >= 380, "middle": 1.0 if 200 <= n < 210 else 0.0}


def rankers(url: str = "memory://", **settings: Any) -> dict[str, SymbolRanker]:
    return {
        "late": SymbolRanker.open(url, ruleset="late", seed=1, rewards=Signal(), **settings),
        "middle": SymbolRanker.open(
            url, ruleset="middle", seed=2, rewards=Threshold(1.0), **settings
        ),
    }


def order_of(group: RankerGroup, batch: int = 20) -> list[str]:
    with group.start_scan(SYMBOLS) as scan:
        order: list[str] = []
        for each in scan.batches(batch):
            order += each.symbols
            assert ((each.propensity > 0.0) & (each.propensity <= 1.0)).all()
            scan.report({symbol: patterns(symbol) for symbol in each})
    assert sorted(order) == SYMBOLS
    return order


def late_and_middle(order: list[str]) -> tuple[float, float]:
    """Mean places of the hits of both."""
    place = {symbol: i for i, symbol in enumerate(order)}
    return (
        float(np.mean([place[s] for s in SYMBOLS[380:]])),
        float(np.mean([place[s] for s in SYMBOLS[200:210]])),
    )


def test_one_order_serves_all_and_each_learns_from_each_evaluation() -> None:
    both = rankers()
    group = RankerGroup(both)
    for _ in range(3):
        order = order_of(group)
    late, middle = late_and_middle(order)
    assert late < 60
    assert middle < 60
    assert [each.n_scans for each in both.values()] == [3, 3]
    own = [both[name].order(SYMBOLS) for name in both]
    assert set(own[0][:15]) <= set(SYMBOLS[380:])
    assert set(own[1][:8]) <= set(SYMBOLS[200:210])


def test_weights_say_whose_hits_come_first() -> None:
    for weights, first in (({"late": 9.0}, 0), ({"middle": 9.0}, 1)):
        group = RankerGroup(rankers(exploration=0.0, random_share=0.0), weights)
        for _ in range(3):
            order = order_of(group, batch=10)
        places = late_and_middle(order)
        assert places[first] < places[1 - first]
    group = RankerGroup(rankers(random_share=0.0), {"middle": 0.0})
    for _ in range(3):
        order = order_of(group)
    assert late_and_middle(order)[0] < 20
    assert group.rankers["middle"].n_scans == 3


@pytest.mark.parametrize("is_threaded", [False, True])
def test_each_ruleset_has_a_stop_rule_of_its_own(is_threaded: bool) -> None:
    group = RankerGroup(rankers())
    for _ in range(3):
        group.start_scan(SYMBOLS).run(patterns)
    asked: Counter[str] = Counter()

    def fn(symbol: str) -> dict[str, object]:
        asked[symbol] += 1
        return patterns(symbol)

    until = {"late": HitsFound(20), "middle": HitsFound(10)}
    with ThreadPoolExecutor(3) as pool:
        summaries = group.start_scan(SYMBOLS).run(
            fn, executor=pool if is_threaded else None, until=until, batch_size=10
        )
    assert max(asked.values()) == 1
    assert {name: each.n_hits for name, each in summaries.items()} == {"late": 20, "middle": 10}
    assert all("late: 20 high-value results" in (s.stopped or "") for s in summaries.values())
    assert len(asked) < 200
    assert all(0.0 < s.estimate.recall <= 1.0 for s in summaries.values() if s.estimate)
    both = group.start_scan(SYMBOLS).run(fn, until=RecallReached(0.5, 0.6))
    assert all(each.n_scanned == both["late"].n_scanned for each in both.values())


def test_a_budget_of_all_is_kept_to_the_symbol() -> None:
    group = RankerGroup(rankers())
    scan = group.start_scan(SYMBOLS)
    scan.run(patterns, until=SymbolBudget(25), batch_size=20)
    assert scan.n_scanned == 25
    assert repr(scan).startswith("GroupScan(25 of 400 symbols; high-value results: late ")
    # One ruleset without a rule goes on to the end.
    ended = group.start_scan(SYMBOLS).run(patterns, until={"late": SymbolBudget(25)})
    assert [each.n_scanned for each in ended.values()] == [400, 400]


def test_failures_are_those_of_all_and_are_offered_again() -> None:
    tries: Counter[str] = Counter()

    def fails_once(symbol: str) -> dict[str, object]:
        tries[symbol] += 1
        if number(symbol) % 10 == 0 and tries[symbol] == 1:
            raise OSError("busy")
        return patterns(symbol)

    summaries = RankerGroup(rankers()).start_scan(SYMBOLS).run(fails_once)
    assert all((s.n_scanned, s.n_errors) == (400, 0) for s in summaries.values())
    down = RankerGroup(rankers()).start_scan(SYMBOLS)
    seen: list[str] = []

    def goes_down(symbol: str) -> dict[str, object]:
        seen.append(symbol)
        if len(seen) > 60:
            raise OSError("429")
        return patterns(symbol)

    stopped = down.run(goes_down)
    assert all("errors in a row" in (each.stopped or "") for each in stopped.values())


def test_a_report_that_does_not_fit_changes_nothing() -> None:
    with RankerGroup(rankers()).start_scan(SYMBOLS) as scan:
        first, second = scan.next_batch(2).symbols
        bad: list[dict[str, object]] = [
            {first: 1.0},
            {first: {"other": 1.0}},
            {first: patterns(first), second: {"late": True, "middle": [1.5, 2.5]}},
        ]
        for rows in bad:
            with pytest.raises(InvalidOutcomeError):
                scan.report(rows)
            assert scan.n_scanned == 0
        scan.report({first: {"late": True}, second: patterns(second)})
        assert [each.n_scanned for each in scan.scans.values()] == [2, 1]


def test_groups_that_are_none() -> None:
    both = rankers()
    for bad, weights, message in (
        ({}, None, "at least one entry"),
        ([both["late"]], None, "expected a mapping of name to SymbolRanker"),
        (both, [1.0], r"weights is \[1\.0\]; expected a mapping"),
        ({"a": both["late"], "b": both["late"]}, None, "two names"),
        (both, {"early": 1.0}, "'early': no such ruleset"),
        (both, {"late": -1.0}, "late"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            RankerGroup(bad, weights)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="cannot be shared"):
        RankerGroup(both).start_scan(SYMBOLS, shared=True, scan_id="s")
    with pytest.raises(InvalidInputError, match="symbols is 'IBM'; expected a list"):
        RankerGroup(both).start_scan("IBM")
    with pytest.raises(InvalidInputError, match=r"until\['late'\] is 0\.9; expected a stop rule"):
        RankerGroup(both).start_scan(SYMBOLS).run(patterns, until={"late": 0.9})
    with pytest.raises(InvalidInputError, match="until names 'early'"):
        RankerGroup(both).start_scan(SYMBOLS).run(patterns, until={"early": HitsFound(1)})


def test_a_second_rulesets_report_of_what_another_scan_handed_out_is_taken() -> None:
    both = rankers()
    with both["late"].start_scan(SYMBOLS) as one, both["middle"].start_scan(SYMBOLS) as two:
        for batch in one.batches(40):
            one.report({symbol: patterns(symbol)["late"] for symbol in batch})
            two.report({symbol: patterns(symbol)["middle"] for symbol in batch})
        assert not two.next_batch(1)
    assert (one.summary.n_hits, two.summary.n_hits) == (20, 10)
    with both["late"].start_scan(SYMBOLS) as one, both["middle"].start_scan(SYMBOLS) as two:
        one.next_batch(5)
        free = next(s for s in SYMBOLS if one.is_free[SYMBOLS.index(s)])
        with pytest.raises(InvalidOutcomeError, match="was not handed out yet"):
            two.report({free: 1.0})


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_the_hits_of_a_scan_are_the_universe_of_the_next(kind: str, tmp_path: Path) -> None:
    url = "memory://" if kind == "memory" else f"sqlite://{tmp_path / 'a.db'}"
    with SymbolRanker.open(url, ruleset="late", seed=1, rewards=Signal()) as ranker:
        ranker.start_scan(SYMBOLS, scan_id="today").run(lambda s: patterns(s)["late"])
        assert sorted(ranker.hits("today")) == SYMBOLS[380:]
        with pytest.raises(InvalidInputError, match="'never' is not in the journal"):
            ranker.hits("never")
        top = SymbolRanker.open(ranker.store, ruleset="top", seed=1)
        top.start_scan(ranker.hits("today"), scan_id="piped").run(lambda s: float(number(s)))
        assert top.hits("piped") == ("S399",)
