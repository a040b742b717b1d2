"""Patterns: barriers by hand, and probabilities that come true on real bars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr

from benchmarks.calibration import (
    LEAST_CASES,
    fit_calibration,
    pattern_cases,
    plot_reliability,
    reliability,
)
from features import Bars, FeatureError
from features.measures.blocks import blocks
from features.measures.levels import nearest_levels
from features.measures.patterns import (
    CALIBRATION,
    HORIZON,
    completion_probability,
    pattern_barriers,
)


def bars_of(close: np.ndarray, spread: float = 0.5) -> Bars:
    column = np.asarray(close, dtype=float)[:, None]
    dates = np.datetime64("2019-01-01") + np.arange(len(column))
    return Bars(
        dates, ("A",), column, column + spread, column - spread, column, np.full(column.shape, 1e5)
    )


def barriers(close: np.ndarray) -> dict[str, float]:
    block = next(iter(blocks(bars_of(close), 1)))
    return {name: float(price[0, 0]) for name, price in pattern_barriers(block).items()}


def legs(*points: tuple[int, float]) -> np.ndarray:
    """Straight lines between (bar, price) points."""
    bars, prices = zip(*points, strict=True)
    return np.interp(np.arange(bars[-1] + 1), bars, prices)


def test_flag_after_a_steep_rise() -> None:
    """100 up to 112 in eight bars, then five bars of rest at 110: the barrier is 112.5."""
    found = barriers(legs((0, 100.0), (60, 100.0), (68, 112.0), (70, 110.0), (74, 110.0)))
    assert found["flag"] == pytest.approx(112.5)
    no_rise = barriers(legs((0, 100.0), (60, 100.0), (68, 101.0), (70, 100.5), (74, 100.5)))
    assert np.isnan(no_rise["flag"])


def test_double_bottom_has_its_neckline() -> None:
    """Two lows at 90 with a high of 100 between: the neckline is 100.5."""
    w = legs((0, 110.0), (60, 110.0), (70, 90.0), (80, 100.0), (90, 90.2), (97, 95.0))
    assert barriers(w)["double bottom"] == pytest.approx(100.5)
    uneven = legs((0, 110.0), (60, 110.0), (70, 90.0), (80, 100.0), (90, 80.0), (97, 85.0))
    assert np.isnan(barriers(uneven)["double bottom"])


def test_triangle_is_broken_above_its_falling_line() -> None:
    """Highs 110 and 106 twenty bars apart fall 0.2 a bar: 12 bars later the line is at 103.6."""
    t = legs((0, 100.0), (50, 100.0), (58, 110.0), (68, 96.0), (78, 106.0), (84, 99.0), (90, 101.0))
    assert barriers(t)["triangle"] == pytest.approx(110.5 - 0.2 * 32)
    rising = legs(
        (0, 100.0), (50, 100.0), (58, 104.0), (68, 96.0), (78, 110.0), (84, 99.0), (90, 101.0)
    )
    assert np.isnan(barriers(rising)["triangle"])


def test_range_is_always_there() -> None:
    assert barriers(legs((0, 50.0), (39, 60.0)))["range"] == 60.5


def test_levels_are_the_nearest_pivots() -> None:
    """Pivots at 110.5 and 95.5 (high and low); at 100 they are the levels on either side."""
    zigzag = legs((0, 60.0), (80, 110.0), (95, 96.0), (104, 100.0))
    block = next(iter(blocks(bars_of(zigzag), 1)))
    support, resistance = nearest_levels(block)
    assert support.item() == 95.5
    assert resistance.item() == 110.5
    rising = next(iter(blocks(bars_of(zigzag[:75]), 1)))
    assert [level.item() for level in nearest_levels(rising)] == [-np.inf, np.inf]
    young = next(iter(blocks(bars_of(zigzag[:40]), 1)))
    assert np.isnan(nearest_levels(young)).all()


def test_nearer_is_likelier_and_reached_is_likeliest() -> None:
    distance = np.linspace(0.0, 4.0, 50)
    for pattern in CALIBRATION:
        p = completion_probability(pattern, distance)
        assert np.all(np.diff(p) < 0)
        assert 0 < p[-1] < 0.05 < 0.5 < p[0] < 1


def test_probabilities_come_true_out_of_sample(market_data: Path) -> None:
    """Issue 4, point 3: within 5 points in every decile, on years after those of the fit."""
    bars = Bars.read(market_data / "ohlcv.parquet")
    table = reliability(bars, from_="2018-01-01", to="2020-01-10")
    judged = table[table["cases"] >= LEAST_CASES]
    assert set(judged["pattern"]) == set(CALIBRATION)
    assert len(judged) == 40
    assert judged["difference"].abs().max() <= 5.0
    assert plot_reliability(table).axes[0].get_xlabel().startswith("predicted")


def test_cases_need_the_days_after_them() -> None:
    rng = np.random.default_rng(0)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, 400)))
    bars = bars_of(close)
    cases = pattern_cases(bars, from_="2019-01-01", to="2030-01-01")
    assert cases["range"].date.max() == bars.dates[-HORIZON - 1]
    # By hand for the last case: did one of the ten closes after it pass the highest of 20 highs?
    row = len(close) - HORIZON - 1
    expected = close[row + 1 :].max() > (close[row - 19 : row + 1] + 0.5).max()
    assert cases["range"].completed[-1] == expected
    with pytest.raises(FeatureError, match="days after it"):
        pattern_cases(bars, from_="2020-02-03", to="2030-01-01")


def test_fit_recovers_a_random_walk() -> None:
    """On 40 driftless walks the fitted range probability at distance 0 and 1 is near the one
    counted there, mirrored cases included."""
    rng = np.random.default_rng(1)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.015, (700, 40)), axis=0))
    dates = np.datetime64("2015-01-01") + np.arange(700)
    bars = Bars(
        dates,
        tuple(f"S{j}" for j in range(40)),
        close,
        close * 1.005,
        close * 0.995,
        close,
        np.ones_like(close),
    )
    constant, near, far = fit_calibration(bars, from_="2015-06-01", to="2016-10-01")["range"]
    cases = pattern_cases(bars, from_="2015-06-01", to="2016-10-01")["range"]
    for low, high in ((0.1, 0.3), (0.6, 0.8), (1.0, 1.5)):
        part = (cases.distance > low) & (cases.distance < high)
        x = cases.distance[part]
        said = ndtr(constant + near * np.sqrt(x) + far * x).mean()
        # 0.06: the cases of a symbol overlap, so that a few hundred are independent at most
        assert abs(said - cases.completed[part].mean()) < 0.06
