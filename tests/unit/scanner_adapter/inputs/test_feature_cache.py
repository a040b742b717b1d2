"""Features of bars that were seen before are not computed again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features import Bars, Events
from scanner_adapter.inputs import context, feature_cache
from scanner_adapter.inputs.context import MarketFacts, market_facts

SYMBOLS = tuple(f"S{j:02d}" for j in range(30))


def bars() -> Bars:
    rng = np.random.default_rng(0)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (90, len(SYMBOLS))), axis=0))
    days = np.busday_offset("2018-06-04", np.arange(-89, 1), "backward")
    volume = np.full(close.shape, 1e6)
    return Bars(days, SYMBOLS, close.copy(), close * 1.01, close * 0.99, close, volume)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """Return what was computed, with empty caches."""
    calls: list[str] = []
    for name in ("factor_scores", "similarity_loadings"):
        plain = getattr(context, name)
        monkeypatch.setattr(
            context, name, lambda *a, _plain=plain, _name=name, **k: (
                calls.append(_name), _plain(*a, **k)
            )[1]
        )  # fmt: skip
    monkeypatch.setenv("SCANRANK_CACHE", str(tmp_path))
    monkeypatch.setattr(feature_cache, "_LEAST_ON_DISK", 10)
    feature_cache._kept.clear()
    yield calls
    feature_cache._kept.clear()


def assert_same(one: MarketFacts, other: MarketFacts) -> None:
    assert one.names == other.names
    assert one.loading_names == other.loading_names
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.loadings, other.loadings)


def test_the_same_bars_are_computed_once(computed: list[str]) -> None:
    first = market_facts(SYMBOLS, bars=bars())
    assert computed == ["factor_scores", "similarity_loadings"]
    assert_same(first, market_facts(SYMBOLS, bars=bars()))
    some = market_facts(SYMBOLS[5:9], bars=bars())
    np.testing.assert_array_equal(some.values, first.values[5:9])
    feature_cache._kept.clear()  # as in another process
    assert_same(first, market_facts(SYMBOLS, bars=bars()))
    assert len(computed) == 2


def test_other_inputs_are_computed_anew(computed: list[str]) -> None:
    market_facts(SYMBOLS, bars=bars())
    computed.clear()
    market_facts(SYMBOLS, bars=bars(), max_age=1)
    assert computed == ["factor_scores"]
    volume = bars().volume.copy()
    volume[-1, 3] *= 2
    news = pd.DataFrame({"symbol": ["S03"], "date": ["2018-06-04"], "count": [3]})
    for other in (
        {"bars": replace(bars(), volume=volume)},
        {"bars": bars().until("2018-06-01")},
        {"bars": bars(), "events": Events.from_frames(news=news)},
        {"bars": bars(), "sectors": {"S01": "Energy", "S02": "Energy"}},
    ):
        computed.clear()
        market_facts(SYMBOLS, **other)  # type: ignore[arg-type]
        assert computed == ["factor_scores", "similarity_loadings"]


def test_what_is_large_is_not_kept(
    computed: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(feature_cache, "_MOST_BYTES", 10)
    for _ in range(2):
        market_facts(SYMBOLS, bars=bars())
    assert len(computed) == 4
    assert not list(tmp_path.iterdir())
