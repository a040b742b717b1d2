"""The context of a scan: names, places and refusals, before anything is learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from bandit.errors import InvalidInputError
from features.similarity import Loadings
from scanner_adapter.demo.simulator import simulate
from scanner_adapter.errors import InvalidContextError
from scanner_adapter.inputs.context import market_facts, seed_weights
from scanner_adapter.symbol_ranker import SymbolRanker

SYMBOLS = ("B", "A", "C")


class TestWeights:
    def test_by_default_40_30_20_10(self) -> None:
        assert seed_weights(None) == pytest.approx(
            {
                "factor.historical": 0.4,
                "factor.market": 0.3,
                "factor.fundamental": 0.2,
                "factor.technical": 0.1,
            }
        )

    def test_they_are_scaled_to_one_and_absent_ones_are_zero(self) -> None:
        weights = seed_weights({"market": 3.0, "technical": 1.0})
        assert list(weights.values()) == [0.0, 0.75, 0.0, 0.25]

    @pytest.mark.parametrize(
        ("weights", "message"),
        [
            ({"luck": 1.0}, "factor 'luck' is unknown; expected one of"),
            ({"market": -1.0}, "weight of market is -1.0; expected a number, 0 or more"),
            ({"market": float("nan")}, "weight of market is nan"),
            ({"market": 0.0}, "all factor weights are zero"),
        ],
    )
    def test_others_are_refused(self, weights: dict[str, float], message: str) -> None:
        with pytest.raises((InvalidContextError, InvalidInputError), match=message):
            seed_weights(weights)


class TestReadyMade:
    def test_a_frame_is_brought_into_the_order_of_the_symbols(self) -> None:
        frame = pd.DataFrame({"market.x": [1.0, 2.0, 3.0]}, index=["A", "B", "C"])
        facts = market_facts(SYMBOLS, context=frame)
        assert facts.names == ("market.x",)
        np.testing.assert_array_equal(facts.values[:, 0], [2.0, 1.0, 3.0])

    @pytest.mark.parametrize(
        ("context", "message"),
        [
            (pd.DataFrame({"market.x": [1.0]}, index=["A"]), r"no row for 'B' \(2 missing\)"),
            ((["market.x"], np.zeros((2, 1))), r"shape \(2, 1\), expected \(3, 1\)"),
            ((["mood.x"], np.zeros((3, 1))), "'mood.x' has no factor"),
            ((["historical.last"], np.zeros((3, 1))), "computed by scanrank itself; drop it"),
            ((["market.x"], np.array([[1.0], [100.5], [1.0]])), r"market.x of 'A' is 100\.5"),
            ((["market.x"], np.array([[1.0], [1.0], [np.inf]])), "market.x of 'C' is inf"),
        ],
    )
    def test_what_does_not_fit_is_named(self, context: Any, message: str) -> None:
        with pytest.raises(InvalidContextError, match=message):
            market_facts(SYMBOLS, context=context)

    def test_bars_and_a_context_together_are_refused(self) -> None:
        with pytest.raises(InvalidContextError, match="either bars or context"):
            market_facts(SYMBOLS, bars=object(), context=(["market.x"], np.zeros((3, 1))))

    def test_loadings_of_another_universe_are_refused(self) -> None:
        with pytest.raises(InvalidContextError, match=r"loadings have shape \(2, 1\), expected"):
            market_facts(
                SYMBOLS, loadings=Loadings(("sector.Energy",), np.zeros((2, 1), np.float32))
            )

    def test_groups_are_the_sectors(self) -> None:
        values = np.array([[0.0, 1.0, 0.3], [0.0, 0.0, 0.1], [1.0, 0.0, 0.2]], np.float32)
        loadings = Loadings(("sector.Energy", "sector.Tech", "pc.1"), values)
        facts = market_facts(SYMBOLS, loadings=loadings)
        assert facts.blocks == ("sector", "sector", "pc")
        assert facts.groups is not None
        np.testing.assert_array_equal(facts.groups, [1, -1, 0])
        assert market_facts(SYMBOLS).groups is None


def test_symbols_without_bars_are_unknown_and_the_future_is_not_read() -> None:
    """The facts of a day do not change when later days are added, nor for a symbol without any."""
    market = simulate(n_symbols=12, n_days=90, seed=1)
    frame = market.bars
    day = np.sort(pd.to_datetime(frame["date"]).unique())[-5]
    symbols = ("NOBARS", *sorted(frame["symbol"].unique())[::-1])
    early = market_facts(symbols, bars=frame[pd.to_datetime(frame["date"]) <= day])
    late = market_facts(symbols, bars=frame, as_of=day)
    assert early.names == late.names
    np.testing.assert_array_equal(early.values, late.values)
    assert np.isnan(late.values[0]).all()
    assert not late.loadings[0].any()
    assert not np.isnan(late.values[1:]).all(axis=1).any()


class TestUnknownSubScores:
    """What nobody has had yet is no column: it would be unknown for ever, and cost as much."""

    NAMES = ("market.a", "fundamental.b")

    def scan(self, ranker: SymbolRanker, values: np.ndarray) -> tuple[str, ...]:
        with ranker.start_scan(SYMBOLS, context=(self.NAMES, values)) as scan:
            scan.report(dict.fromkeys(scan.next_batch(3), 1.0))
        return tuple(name for name in ranker.learned.belief.columns if name in self.NAMES)

    def test_they_are_left_out_until_somebody_has_one_and_stay_then(self) -> None:
        ranker = SymbolRanker.open("memory://", ruleset="r", seed=0)
        nobody = np.array([[10.0, np.nan], [20.0, np.nan], [30.0, np.nan]])
        assert self.scan(ranker, nobody) == ("market.a",)
        last = nobody.copy()
        last[2, 1] = 70.0
        assert self.scan(ranker, last) == self.NAMES
        assert self.scan(ranker, nobody) == self.NAMES

    def test_the_factors_stay_four(self) -> None:
        ranker = SymbolRanker.open("memory://", ruleset="r", seed=0)
        self.scan(ranker, np.full((3, 2), np.nan))
        assert [name for name in ranker.learned.belief.columns if name.startswith("factor.")] == [
            "factor.historical", "factor.market", "factor.fundamental", "factor.technical"
        ]  # fmt: skip

    def test_only_keeps_names_and_values_together(self) -> None:
        facts = market_facts(SYMBOLS, context=(self.NAMES, np.array([[1, 2], [3, 4], [5, 6]])))
        some = facts.only({"fundamental.b", "other"})
        assert some.names == ("fundamental.b",)
        np.testing.assert_array_equal(some.values, [[2], [4], [6]])
        assert facts.only(self.NAMES) is facts
