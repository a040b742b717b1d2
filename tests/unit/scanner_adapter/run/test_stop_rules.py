"""Stop rules: each by itself, combined, and on unknown recall."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import pytest

from bandit.belief.recall import RecallEstimate
from bandit.errors import InvalidInputError
from scanner_adapter import (
    AllOf,
    AnyOf,
    DiminishingReturns,
    HitsFound,
    RecallReached,
    StopRule,
    SymbolBudget,
    SymbolRanker,
    Threshold,
    TimeBudget,
)
from scanner_adapter.run.stop_rules import recall_target, seconds_left, symbols_left


@dataclass
class FakeScan:
    """What the rules look at."""

    n_scanned: int = 100
    n_hits: float = 5.0
    recall_low: float = 0.9
    in_last: int = 2
    started: float = field(default_factory=lambda: time.monotonic() - 10.0)

    def estimate(self, confidence: float) -> RecallEstimate:
        return RecallEstimate(self.n_hits, 1.0, 0.95, self.recall_low, 1.0, confidence)

    def hits_in_last(self, _: int) -> int:
        return self.in_last


@pytest.mark.parametrize(
    ("rule", "no", "reason"),
    [
        (RecallReached(0.9), RecallReached(0.91), "reached the target recall of 90%"),
        (SymbolBudget(100), SymbolBudget(101), "100 symbols scanned"),
        (TimeBudget(9.0), TimeBudget(60.0), "10.0 s spent"),
        (HitsFound(5), HitsFound(6), "5 high-value results found"),
        (
            DiminishingReturns(50, min_hits=3),
            DiminishingReturns(50, min_hits=2),
            "the last 50 symbols brought 2 high-value results",
        ),
    ],
)
def test_each_rule_says_why(rule: StopRule, no: StopRule, reason: str) -> None:
    scan = FakeScan()
    assert reason in (rule.reason(scan) or "")  # type: ignore[arg-type]
    assert no.reason(scan) is None  # type: ignore[arg-type]


def test_rules_combine() -> None:
    yes, no, scan = SymbolBudget(100), SymbolBudget(200), FakeScan()
    assert AnyOf(no, yes).reason(scan) == "100 symbols scanned"  # type: ignore[arg-type]
    assert AnyOf(no, no).reason(scan) is None  # type: ignore[arg-type]
    assert AllOf(yes, no).reason(scan) is None  # type: ignore[arg-type]
    both = AllOf(yes, HitsFound(5)).reason(scan)  # type: ignore[arg-type]
    assert both == "100 symbols scanned; 5 high-value results found"
    nested = AnyOf(no, AllOf(yes, AnyOf(no, HitsFound(5)))).reason(scan)  # type: ignore[arg-type]
    assert nested == both


def test_what_is_unknown_stops_nothing() -> None:
    scan = FakeScan(n_hits=math.nan, recall_low=math.nan)
    for rule in (RecallReached(0.5), HitsFound(1), DiminishingReturns(10, 100)):
        assert rule.reason(scan) is None  # type: ignore[arg-type]


def test_nothing_stops_before_the_first_symbol() -> None:
    scan = FakeScan(n_scanned=0)
    for rule in (RecallReached(0.5), DiminishingReturns(10, 100), SymbolBudget(1)):
        assert rule.reason(scan) is None  # type: ignore[arg-type]


def test_budgets_inside_combinations() -> None:
    """The tighter of alternatives counts, the looser of joint conditions."""
    scan = FakeScan(n_scanned=40)
    some = AnyOf(SymbolBudget(100), SymbolBudget(60), RecallReached(0.8))
    assert symbols_left(some, 50) == 10  # type: ignore[arg-type]
    both = AllOf(SymbolBudget(100), SymbolBudget(60))
    assert symbols_left(both, 50) == 50  # type: ignore[arg-type]
    assert symbols_left(AllOf(SymbolBudget(60), HitsFound(9)), 50) == math.inf  # type: ignore[arg-type]
    assert seconds_left(AnyOf(TimeBudget(12), TimeBudget(99)), scan) == pytest.approx(2, abs=0.5)  # type: ignore[arg-type]
    assert symbols_left(None, 50) == seconds_left(None, scan) == math.inf  # type: ignore[arg-type]
    assert recall_target(some) == 0.8
    assert recall_target(both) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: RecallReached(0.0),
        lambda: RecallReached(0.9, confidence=1.0),
        lambda: SymbolBudget(0),
        lambda: TimeBudget(math.nan),
        lambda: HitsFound(-1),
        lambda: DiminishingReturns(0),
        lambda: AnyOf(),
        lambda: AllOf(),
    ],
)
def test_settings_that_make_no_sense(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidInputError):
        make()


def test_diminishing_returns_on_a_scan() -> None:
    """One symbol in ten pays among the first 100, none later: it stops at 100 + the window."""
    ranker = SymbolRanker.open("memory://", ruleset="t", mode="shadow", rewards=Threshold(1.0))
    symbols = [f"S{i}" for i in range(1000)]
    summary = ranker.start_scan(symbols).run(
        lambda s: float(int(s[1:]) < 100 and int(s[1:]) % 10 == 0),
        batch_size=25,
        until=DiminishingReturns(window=200),
    )
    assert summary.n_hits == 10
    assert summary.n_scanned == 300  # the last hit is S90; asked after every 25
    assert summary.stopped == "the last 200 symbols brought 0 high-value results"
