"""Why this one, and what was learned, asked of a running scan."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from unittest.mock import Mock

import numpy as np
import pytest

from bandit.choice.open_scan import OpenScan
from bandit.errors import InvalidInputError
from scanner_adapter import ScanStateError, SymbolRanker, Threshold

SYMBOLS = tuple(f"S{i:03d}" for i in range(120))
NAMES = ("market.a", "market.b", "technical.c", "fundamental.d")


def context(seed: int) -> tuple[tuple[str, ...], np.ndarray]:
    return NAMES, np.random.default_rng(seed).uniform(0.0, 100.0, (len(SYMBOLS), len(NAMES)))


def test_an_explanation_adds_up_and_weights_move_towards_what_pays() -> None:
    """Ratings follow technical.c alone; its factor starts at 0.10 and history at 0.40."""
    ranker = SymbolRanker.open("memory://", ruleset="explained", seed=3)
    for day in range(8):
        names, values = context(day)
        rating = dict(zip(SYMBOLS, values[:, 2], strict=True))
        now = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day)
        with ranker.start_scan(SYMBOLS, context=(names, values), now=now) as scan:
            for batch in scan.batches(20):
                scan.report({symbol: float(rating[symbol]) for symbol in batch})
    weights = scan.factor_weights()
    assert sum(w.learned for w in weights.values()) == pytest.approx(1.0)
    assert weights["technical"].learned > 2 * weights["technical"].prior
    assert weights["technical"].low > weights["technical"].prior
    best, worst = max(rating, key=rating.__getitem__), min(rating, key=rating.__getitem__)
    why = scan.explain(best)
    assert set(why.groups) == {"historical", "market", "fundamental", "technical"}
    assert why.groups["technical"].learned > scan.explain(worst).groups["technical"].learned
    assert why.probability > scan.explain(worst).probability
    total = why.constant + why.today + sum(part.learned for part in why.groups.values())
    assert total == pytest.approx(np.log(why.probability / (1.0 - why.probability)), abs=1e-6)
    # Scores are kept in single precision: some units in the last place of 5.
    assert why.constant == pytest.approx(scan.explain(worst).constant, abs=1e-5)


def test_a_failure_is_not_called_mode_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenScan, "select", Mock(side_effect=ZeroDivisionError("odd")))
    scan = SymbolRanker.open("memory://", ruleset="explained").start_scan(SYMBOLS)
    assert scan.next_batch(3).symbols == tuple(SYMBOLS[:3])
    for ask in (lambda: scan.queue, lambda: scan.explain(SYMBOLS[0]), scan.factor_weights):
        with pytest.raises(ScanStateError, match=r"after a failure .*ZeroDivisionError: odd"):
            ask()


def test_mode_off_and_strangers_are_reported_so() -> None:
    off = SymbolRanker.open("memory://", ruleset="explained", mode="off").start_scan(SYMBOLS)
    with pytest.raises(ScanStateError, match="there are no explanations in mode off"):
        off.explain("S000")
    with pytest.raises(ScanStateError, match="there are no weights in mode off"):
        off.factor_weights()
    on = SymbolRanker.open("memory://", ruleset="explained").start_scan(SYMBOLS)
    with pytest.raises(InvalidInputError, match="'XYZ' is not part of this scan of 120 symbols"):
        on.explain("XYZ")


def test_a_threshold_on_another_scale_is_pointed_out(caplog: pytest.LogCaptureFixture) -> None:
    """The trap: ratings that end at 26, compared with 70, teach nothing for ever."""
    ranker = SymbolRanker.open("memory://", ruleset="scale", rewards=Threshold(70.0))
    with ranker.start_scan(SYMBOLS) as scan:
        for batch in scan.batches(60):
            scan.report({symbol: 20.0 + len(symbol) for symbol in batch})
    assert "none of 120 ratings reached the threshold 70, the highest was 24" in caplog.text


def test_an_order_is_asked_for_at_a_time() -> None:
    """The record of ten days ago counts more than that of ten years ago, and both stay orders."""
    ranker = SymbolRanker.open(
        "memory://", ruleset="when", rewards=Threshold(1.0), exploration=0.0, random_share=0.0
    )
    then = datetime(2015, 1, 5, tzinfo=UTC)
    for day in range(5):
        with ranker.start_scan(SYMBOLS, now=then + timedelta(days=day)) as scan:
            for batch in scan.batches(60):
                scan.report({symbol: float(symbol in SYMBOLS[-5:]) for symbol in batch})
    soon = ranker.order(SYMBOLS, now=then + timedelta(days=10))
    assert set(soon[:5]) == set(SYMBOLS[-5:])
    assert sorted(ranker.order(SYMBOLS)) == sorted(SYMBOLS)
    with pytest.raises(InvalidInputError, match="without a timezone"):
        ranker.order(SYMBOLS, now=datetime(2015, 1, 5))
