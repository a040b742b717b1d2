"""Modes off, shadow and on, rollouts, and the circuit breaker."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import numpy as np
import pytest

from bandit.errors import InvalidInputError, StoreUnavailableError
from scanner_adapter import SymbolRanker, compare
from scanner_adapter.options import MODE_VARIABLE, choose_mode
from scanner_adapter.scan.scan import Scan

SYMBOLS = [f"S{i}" for i in range(200)]


def rating(symbol: str) -> float:
    return float(int(symbol[1:]) * 37 % 101)


def open_ranker(**settings: object) -> SymbolRanker:
    return SymbolRanker.open("memory://", ruleset="t", seed=1, **settings)  # type: ignore[arg-type]


def visit(scan: Scan, k: int = 20) -> list[str]:
    """Scan everything; return the order."""
    order: list[str] = []
    with scan:
        for batch in scan.batches(k):
            scan.report({symbol: rating(symbol) for symbol in batch})
            order += batch.symbols
    return order


@pytest.mark.parametrize("mode", ["off", "shadow"])
def test_off_and_shadow_keep_the_order(mode: str) -> None:
    ranker = open_ranker(mode=mode)
    for _ in range(3):
        assert visit(ranker.start_scan(SYMBOLS)) == SYMBOLS
    assert list(ranker.order(SYMBOLS)) == SYMBOLS
    assert ranker.n_scans == (0 if mode == "off" else 3)


def test_off_costs_nothing_measurable() -> None:
    """Handing out 5,277 symbols and taking their outcomes: under 100 ms, 0.02 ms a symbol."""
    ranker, symbols = open_ranker(mode="off"), [f"S{i}" for i in range(5277)]
    start = time.perf_counter()
    visit(ranker.start_scan(symbols), 50)
    assert time.perf_counter() - start < 0.5  # a slow machine with other work to do


def test_switching_modes_between_scans_loses_nothing() -> None:
    """What shadow learned orders the next scan: the best rated of the last scan come first."""
    ranker = open_ranker(mode="shadow")
    visit(ranker.start_scan(SYMBOLS))
    ranker.mode = "off"
    visit(ranker.start_scan(SYMBOLS))
    ranker.mode = "on"
    order = visit(ranker.start_scan(SYMBOLS))
    best = sorted(SYMBOLS, key=rating)[-10:]
    assert ranker.n_scans == 2
    assert sum(symbol in best for symbol in order[:40]) >= 8


def test_the_environment_beats_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    ranker = open_ranker(mode="on", rollout=1.0)
    monkeypatch.setenv(MODE_VARIABLE, "off")
    assert ranker.start_scan(SYMBOLS).mode == "off"
    monkeypatch.setenv(MODE_VARIABLE, "fast")
    with pytest.raises(InvalidInputError, match=r"SCANRANK_MODE is 'fast'.*'on', 'shadow', 'off'"):
        ranker.start_scan(SYMBOLS)
    monkeypatch.delenv(MODE_VARIABLE)
    assert ranker.start_scan(SYMBOLS).mode == "on"


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="rollout is 2"):
        open_ranker(rollout=2.0)
    ranker = open_ranker()
    with pytest.raises(InvalidInputError, match="mode is 'fast'"):
        ranker.mode = "fast"  # type: ignore[assignment]


def test_a_rollout_prioritises_its_share_of_scans() -> None:
    """1,000 draws with p = 0.3: 300 give or take 4.6 standard deviations of 14.5."""
    rng = np.random.default_rng(0)
    drawn = [choose_mode("on", 0.3, rng).mode for _ in range(1000)]
    assert 233 < drawn.count("on") < 367
    assert drawn.count("shadow") == 1000 - drawn.count("on")
    assert choose_mode("shadow", 1.0, rng).mode == "shadow"


def test_the_lift_of_a_rollout_by_hand() -> None:
    """Constant ratings: the ten best come early in every prioritised scan once they are known.

    The control group finds in its first 20 symbols (a tenth) what stands there by chance.
    """
    ranker = open_ranker(rollout=0.5)
    by_mode: dict[str, list[int]] = {"on": [], "shadow": []}
    for _ in range(12):
        scan = ranker.start_scan(SYMBOLS)
        order = visit(scan)
        hits = [symbol for symbol in order if scan.is_hit(symbol)]
        by_mode[scan.mode].append(sum(symbol in hits for symbol in order[:20]))
    comparison = compare(ranker.store, "t")
    assert comparison == ranker.compare() == scan.summary.comparison
    assert comparison.is_randomised
    assert comparison.prioritised.n == len(by_mode["on"])
    assert comparison.prioritised.mean == pytest.approx(np.mean(by_mode["on"]))
    assert comparison.control.mean == pytest.approx(np.mean(by_mode["shadow"]))
    assert comparison.lift == pytest.approx(np.mean(by_mode["on"]) / np.mean(by_mode["shadow"]))
    assert comparison.lift_low > 1.0
    assert comparison.lift_low <= comparison.lift <= comparison.lift_high
    assert comparison.shadow.mean > 0.0  # what the control scans would have found, had they been on
    assert "scans were randomly assigned (rollout 0.5)" in str(comparison)
    assert "in shadow, scanrank's order would have found" in str(comparison)


def test_without_a_rollout_the_comparison_says_that_it_is_none() -> None:
    ranker = open_ranker(mode="shadow")
    visit(ranker.start_scan(SYMBOLS))
    ranker.mode = "on"
    scan = ranker.start_scan(SYMBOLS)
    visit(scan)
    assert scan.summary.comparison is None
    comparison = ranker.compare()
    assert not comparison.is_randomised
    assert (comparison.prioritised.n, comparison.control.n) == (1, 1)


# -- the circuit breaker ---------------------------------------------------------------------


def break_choice(scan: Scan) -> None:
    def fail(*_: object, **__: object) -> None:
        raise FloatingPointError("a defect of ours")

    scan.queue._scan.select = fail  # type: ignore[method-assign]


def break_learning(scan: Scan) -> None:
    def fail(*_: object, **__: object) -> None:
        raise np.linalg.LinAlgError("a defect of ours")

    scan._session.learned.append = fail  # type: ignore[method-assign, union-attr]


@pytest.mark.parametrize("break_", [break_choice, break_learning])
def test_a_defect_of_ours_leaves_the_given_order(
    break_: Callable[[Scan], None], caplog: pytest.LogCaptureFixture
) -> None:
    ranker = open_ranker()
    scan, order = ranker.start_scan(SYMBOLS), []
    with scan:
        first = scan.next_batch(20)
        order += first.symbols
        break_(scan)
        scan.report({symbol: rating(symbol) for symbol in first})
        for batch in scan.batches(20):
            order += batch.symbols
            scan.report({symbol: rating(symbol) for symbol in batch})
            assert not scan.estimate().recall >= 0.0  # unknown: no stop rule holds
    assert sorted(order) == sorted(SYMBOLS)
    assert order[20:] == [symbol for symbol in SYMBOLS if symbol not in first.symbols]
    assert "a defect of ours" in (scan.summary.failure or "")
    assert scan.summary.n_scanned == len(SYMBOLS)
    warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(warnings) == 1


def test_a_defect_at_the_start_leaves_the_given_order(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect of ours")

    monkeypatch.setattr("scanner_adapter.scan.opened.scan_context", fail)
    ranker = open_ranker()
    scan = ranker.start_scan(SYMBOLS)
    assert visit(scan) == SYMBOLS
    assert list(ranker.order(SYMBOLS)) == SYMBOLS
    assert scan.summary.failure == "ZeroDivisionError: a defect of ours"
    assert len(caplog.records) == 2


def test_a_snapshot_that_cannot_be_written_does_not_raise(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailableError("gone.")

    ranker = open_ranker()
    monkeypatch.setattr(ranker.store, "save_snapshot", fail)
    scan = ranker.start_scan(SYMBOLS)
    visit(scan)
    assert scan.summary.store_status == "not saved: gone."
    assert "gone." in caplog.text
