"""Gaps to averages and leaving returns: as defined, and what tomorrow makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.features import fit_gaps
from features import Bars
from features.measures.blocks import Block, blocks
from features.measures.gaps import CENTRE_AND_SPREAD, gap_measures, raw_gaps


def block_of(close: np.ndarray, m: int = 1) -> Block:
    """Bars of one symbol whose high is 1 % above its close; the last `m` rows wanted."""
    column = np.asarray(close, dtype=float)[:, None]
    dates = np.datetime64("2019-01-01") + np.arange(len(column))
    prices = (column, 1.01 * column, 0.99 * column, column)
    return next(iter(blocks(Bars(dates, ("A",), *prices, np.full(column.shape, 1e5)), m)))


def walk(n: int = 90, seed: int = 0) -> np.ndarray:
    return 40.0 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.001, 0.02, n)))


def test_gaps_are_what_they_say() -> None:
    close = walk()
    r = np.diff(np.log(close))
    v, last = r[-20:].std(), np.log(close[-1])
    sma_20, sma_50 = np.log(close[-20:].mean()), np.log(close[-50:].mean())
    expected = {
        "technical.gap_20": last - sma_20,
        "technical.gap_50": last - sma_50,
        "technical.gap_20_50": sma_20 - sma_50,
        "market.leaving_5": r[-5],
        "market.leaving_20": r[-20],
        "market.staying_5": last - np.log(close[-5]),
        "market.staying_20": last - np.log(close[-20]),
        "market.staying_high": last - np.log(1.01 * close[-19:].max()),
    }
    found = raw_gaps(block_of(close))
    assert set(found) == set(CENTRE_AND_SPREAD)
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value / v, abs=1e-9), name
    for name, z in gap_measures(block_of(close)).items():
        centre, spread = CENTRE_AND_SPREAD[name]
        assert z.item() == pytest.approx((expected[name] / v - centre) / spread, abs=1e-9)


@pytest.mark.parametrize("window", [5, 20])
def test_tomorrow_keeps_what_stays_and_loses_what_leaves(window: int) -> None:
    """Today's move over the window = leaving + staying; tomorrow's = staying + the new return."""
    close = walk(seed=1)
    today, r = raw_gaps(block_of(close[:-1])), np.diff(np.log(close))
    v = r[-21:-1].std()
    leaving, staying = (today[f"market.{part}_{window}"].item() for part in ("leaving", "staying"))
    assert v * (leaving + staying) == pytest.approx(r[-1 - window : -1].sum())
    assert v * staying + r[-1] == pytest.approx(r[-window:].sum())


def test_what_never_moved_or_is_too_young_is_unknown() -> None:
    still = gap_measures(block_of(np.full(90, 10.0)))
    assert all(np.isnan(z).all() for z in still.values())
    young = gap_measures(block_of(walk(30)))
    unknown = {name for name, z in young.items() if np.isnan(z).all()}
    assert unknown == {"technical.gap_50", "technical.gap_20_50"}


def test_constants_are_those_that_the_command_prints(
    market_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCANRANK_DATA", str(market_data))
    for name, pair in fit_gaps().items():
        assert pair == pytest.approx(CENTRE_AND_SPREAD[name], abs=0.005), name
