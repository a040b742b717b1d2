"""Sub-scores against TA-Lib and by hand; factor scores, tiers, tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import talib
from scipy.special import ndtr

from features import (
    DEFAULT_WEIGHTS,
    FACTORS,
    HISTORICAL,
    SUB_SCORES,
    Bars,
    FeatureError,
    combine,
    factor_scores,
    historical_sub_scores,
    similarity_loadings,
    sub_score_panel,
)
from features.measures.candles import PATTERNS


def walk(n_days: int = 300, n_symbols: int = 30, seed: int = 0) -> Bars:
    rng = np.random.default_rng(seed)
    shape = (n_days, n_symbols)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, shape), axis=0))
    open_ = close * np.exp(rng.normal(0, 0.008, shape))
    high = np.maximum(open_, close) * (1 + np.abs(rng.normal(0, 0.006, shape)))
    low = np.minimum(open_, close) * (1 - np.abs(rng.normal(0, 0.006, shape)))
    volume = np.round(np.exp(rng.normal(12, 0.5, shape)))
    dates = np.datetime64("2018-01-01") + np.arange(n_days)
    symbols = tuple(f"S{j:02d}" for j in range(n_symbols))
    return Bars(dates, symbols, open_, high, low, close, volume)


def column(bars: Bars, name: str) -> np.ndarray:
    panel = sub_score_panel(bars)
    return panel.values[:, :, panel.names.index(name)]


def test_indicators_are_those_of_talib() -> None:
    bars = walk()
    j = 4
    high, low, close = (
        np.ascontiguousarray(getattr(bars, f)[:, j]) for f in ("high", "low", "close")
    )
    atr = talib.ATR(high, low, close, 14)
    by_talib = {
        "technical.rsi": (talib.RSI(close, 14) - 51.0) / 12.0,
        "technical.macd": talib.MACD(close)[2] / (0.25 * atr),
        "technical.trend_long": (talib.EMA(close, 50) - talib.EMA(close, 200)) / (4.0 * atr),
    }
    for name, z in by_talib.items():
        expected = (100.0 * ndtr(z)).astype(np.float32)
        assert column(bars, name)[:, j].tobytes() == expected.tobytes(), name


def test_candles_in_one_row_equal_candles_one_by_one() -> None:
    """The series of a block stand in one row for speed; each gives what it gives alone."""
    bars = walk(n_symbols=6)
    found = column(bars, "technical.candles")
    for j in range(6):
        prices = [
            np.ascontiguousarray(getattr(bars, f)[:, j]) for f in ("open", "high", "low", "close")
        ]
        signs = sum(getattr(talib, name)(*prices) for name in PATTERNS) / 100.0
        balance = signs[2:] + 0.6 * signs[1:-1] + 0.3 * signs[:-2]
        known = ~np.isnan(found[2:, j])
        assert known[30:].all()
        np.testing.assert_allclose(found[2:, j][known], 100 * ndtr(balance[known]), atol=1e-4)


def test_volume_surge_is_not_hidden_by_an_earlier_spike() -> None:
    """A day of ten times the usual volume scores nearly the same after another such day."""
    bars = walk(n_symbols=2)
    volume = bars.volume.copy()
    volume[:, 0] = volume[:, 1]
    volume[-1] *= 10
    volume[-8, 0] *= 30  # an earlier spike in the first symbol only
    spiked = Bars(bars.dates, bars.symbols, bars.open, bars.high, bars.low, bars.close, volume)
    surge = column(spiked, "market.volume_surge")[-1]
    assert surge[1] > 99
    assert surge[0] > 99


def test_a_breakout_is_above() -> None:
    """Close above the 20 highs before: high_20 counts ATRs above."""
    bars = walk()
    close, high = bars.close.copy(), bars.high.copy()
    close[-3:, 0] = high[-23:-3, 0].max() * 1.10
    high[-3:, 0] = close[-3:, 0] * 1.001
    low = np.minimum(bars.low, close)
    raised = Bars(bars.dates, bars.symbols, bars.open, high, low, close, bars.volume)
    assert column(raised, "market.high_20")[-3, 0] > 90


def test_relative_strength_is_against_the_median_symbol() -> None:
    """A gain of everything alike is no strength, and 19 symbols are no market."""
    bars = walk()
    trend = np.exp(0.01 * np.arange(300.0))[:, None]
    prices = [getattr(bars, f) * trend for f in ("open", "high", "low", "close")]
    lifted = Bars(bars.dates, bars.symbols, *prices, bars.volume)
    a, b = column(bars, "market.relative_strength"), column(lifted, "market.relative_strength")
    assert np.sign(a[-1] - 50).tolist() == np.sign(b[-1] - 50).tolist()
    few = bars.select(bars.symbols[:19])
    assert np.isnan(column(few, "market.relative_strength")).all()


def test_panel_names_are_the_sub_scores() -> None:
    panel = sub_score_panel(walk(40, 3))
    named = [name for factor in FACTORS[1:] for name in SUB_SCORES[factor]]
    assert sorted(panel.names) == sorted(named)
    assert SUB_SCORES["historical"] == HISTORICAL
    assert all(name.startswith(f"{factor}.") for factor in FACTORS for name in SUB_SCORES[factor])


def test_combine_by_hand() -> None:
    """Market (80 + 60) / 2 = 70, the others unknown = 50: 0.3 * 70 + 0.7 * 50 = 56."""
    values = np.array([[80.0, 60.0, np.nan], [np.nan, np.nan, 20.0]])
    scores, composite = combine(values, ["market.a", "market.b", "technical.c"])
    assert scores.tolist() == [[50.0, 70.0, 50.0, 50.0], [50.0, 50.0, 50.0, 20.0]]
    assert composite == pytest.approx([56.0, 47.0])
    _, only = combine(values, ["market.a", "market.b", "technical.c"], {"market": 3.0})
    assert only == pytest.approx([70.0, 50.0])
    assert sum(DEFAULT_WEIGHTS.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("weights", [{"luck": 1.0}, {"market": -1.0}, {"market": 0.0}])
def test_bad_weights_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(FeatureError):
        combine(np.full((1, 1), 50.0), ["market.a"], weights)
    with pytest.raises(FeatureError, match="expected factors"):
        combine(np.full((1, 1), 50.0), ["mood.a"])


def record(n: int, **changed: object) -> dict[str, object]:
    usual = {
        "last_reward": 1.0,
        "last_age_days": 8.0,
        "fast_mean": 0.6,
        "slow_mean": 0.3,
        "n_scans": 4.0,
        "n_hits": 3.8,
    }
    return {key: np.full(n, changed.get(key, value)) for key, value in usual.items()}


def test_historical_by_hand() -> None:
    """Last reward 1 after a half-life: 50 + 100 * 0.5 / 2 = 75. Rate (3.8 + 0.2) / (4 + 4) = 0.5,
    odds 1 against the usual 1 / 19: 100 * 19 / 20 = 95. Four scans: 100 * 4 / 8 = 50."""
    scores = historical_sub_scores(record(1))
    assert scores[0] == pytest.approx([75.0, 60.0, 30.0, 95.0, 50.0])
    assert scores.dtype == np.float32
    assert np.isnan(historical_sub_scores(record(1, last_reward=np.nan))).all()
    with pytest.raises(FeatureError, match="lacks n_hits"):
        historical_sub_scores({k: v for k, v in record(1).items() if k != "n_hits"})


def test_factor_scores_table_tiers_and_explanations() -> None:
    bars = walk()
    scores = factor_scores(bars, as_of="2019-12-31", track_record=record(30))
    assert scores.date == bars.dates[-1]
    assert scores.scores.shape == (30, 4)
    assert list(scores.sub_scores.columns[:5]) == list(HISTORICAL)
    tiers = scores.tiers
    assert tiers.value_counts().to_dict() == {"high": 9, "medium": 10, "low": 11}
    assert scores.composite[tiers == "high"].min() > scores.composite[tiers == "medium"].max()
    table = scores.table
    assert table["composite"].is_monotonic_decreasing
    printed = scores.explain("S03")
    assert printed.loc["historical.last", "score"] == 75.0
    assert printed.loc["historical.last", "percentile"] == 50.0  # all alike
    column = scores.sub_scores["technical.rsi"]
    best = column.idxmax()
    assert scores.explain(str(best)).loc["technical.rsi", "percentile"] > 98
    assert printed.loc["fundamental.surprise"].isna()[["score", "percentile"]].all()
    with pytest.raises(FeatureError, match="symbol is 'GOOG'"):
        scores.explain("GOOG")
    html = scores._repr_html_()
    assert str(table.index[0]) in html
    assert "30 symbols" in html
    assert str(table.index[0]) in repr(scores)


def test_track_record_of_another_universe_is_refused() -> None:
    with pytest.raises(FeatureError, match="has 7 symbols; expected 30"):
        factor_scores(walk(), as_of="2019-12-31", track_record=record(7))


def test_weights_change_the_composite_only() -> None:
    bars = walk()
    usual = factor_scores(bars, as_of=bars.dates[-1])
    technical = factor_scores(bars, as_of=bars.dates[-1], weights={"technical": 1.0})
    pd.testing.assert_frame_equal(usual.scores, technical.scores)
    assert technical.composite.to_numpy() == pytest.approx(usual.scores["technical"].to_numpy())


def test_similarity_finds_sectors_and_keeps_its_signs() -> None:
    """Two groups that move together: a component separates them, today as tomorrow."""
    rng = np.random.default_rng(3)
    n_days, n = 300, 60
    group = np.repeat([1.0, -1.0], n // 2)
    common = rng.standard_t(4, n_days)[:, None] * 0.012 * group
    close = 50 * np.exp(np.cumsum(common + rng.normal(0, 0.008, (n_days, n)), axis=0))
    dates = np.datetime64("2018-01-01") + np.arange(n_days)
    symbols = tuple(f"S{j:02d}" for j in range(n))
    bars = Bars(dates, symbols, close, close, close, close, np.ones_like(close))
    sectors = {s: "tech" if j < 30 else "energy" for j, s in enumerate(symbols)}
    sectors |= {"S00": "alone"}
    last = None
    for day in bars.dates[-20:]:
        loadings = similarity_loadings(bars, as_of=day, sectors=sectors, n_components=4)
        assert loadings.names[:3] == ("sector.energy", "sector.tech", "component.1")
        assert np.mean(loadings.values**2, axis=0) == pytest.approx(1.0, abs=1e-5)
        first = loadings.values[:, 2]
        assert abs(np.corrcoef(first, group)[0, 1]) > 0.95
        if last is not None:
            assert np.corrcoef(first, last)[0, 1] > 0.95
        last = first
    industries = {s: "chips" if j < 6 else "other" for j, s in enumerate(symbols)}
    both = similarity_loadings(
        bars, as_of=bars.dates[-1], sectors=sectors, industries=industries, n_components=1
    )
    assert both.names[2:] == ("industry.chips", "industry.other", "component.1")
    future = similarity_loadings(bars, as_of=bars.dates[-2], n_components=4)
    alone = similarity_loadings(bars.until(bars.dates[-2]), as_of=bars.dates[-2], n_components=4)
    assert future.values.tobytes() == alone.values.tobytes()


def test_similarity_of_what_never_moved_is_zero() -> None:
    bars = walk(60, 8)
    close = bars.close.copy()
    close[:, 2] = 10.0
    close[:50, 3] = np.nan
    still = Bars(bars.dates, bars.symbols, *([close] * 4), bars.volume)
    loadings = similarity_loadings(still, as_of="2030-01-01")
    assert np.all(loadings.values[[2, 3]] == 0)
    assert np.isfinite(loadings.values).all()
    one_day = similarity_loadings(still, as_of=still.dates[0])
    assert one_day.values.shape == (8, 0)


def test_components_do_not_turn_from_day_to_day(market_data: Path) -> None:
    """Thirty trading days inside a quarter of real bars: each component stays the same one."""
    bars = Bars.read(market_data / "ohlcv.parquet")
    inside = (bars.dates >= np.datetime64("2018-02-01")) & (
        bars.dates < np.datetime64("2018-03-15")
    )
    last = None
    for day in bars.dates[inside]:
        values = similarity_loadings(bars, as_of=day).values
        if last is not None:
            same = [np.corrcoef(values[:, k], last[:, k])[0, 1] for k in range(10)]
            assert min(same) > 0.3
        last = values
