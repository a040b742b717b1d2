"""The simulated market: reproducible, valid as bars, and with the habits of a real one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features.inputs.bars import Bars
from scanner_adapter.demo.simulator import REPORT_EVERY, SimulatedMarket, simulate


@pytest.fixture(scope="module")
def market() -> SimulatedMarket:
    return simulate(n_symbols=300, n_days=400, seed=7)


@pytest.fixture(scope="module")
def log_returns(market: SimulatedMarket) -> pd.DataFrame:
    close = market.bars.pivot(index="date", columns="symbol", values="close")
    return np.log(close).diff().iloc[1:]


def test_the_seed_decides_everything() -> None:
    one, same, other = (simulate(n_symbols=5, n_days=80, seed=s) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(one.bars, same.bars)
    pd.testing.assert_frame_equal(one.earnings, same.earnings)
    assert one.sectors == same.sectors
    assert not np.array_equal(one.bars["close"], other.bars["close"])


def test_the_bars_are_accepted_as_they_are(market: SimulatedMarket) -> None:
    bars = Bars.from_frame(market.bars)
    assert bars.close.shape == (400, 300)
    assert set(market.sectors) == set(bars.symbols)
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    assert (bars.volume > 0).all()


def test_returns_have_fat_tails_and_their_size_clusters(log_returns: pd.DataFrame) -> None:
    """Normal returns would have an excess kurtosis of 0 and no memory in their size.

    With 300 symbols of 399 days the median autocorrelation has a standard error under 0.01.
    """
    assert log_returns.kurt().median() > 1.5
    size = log_returns.abs()
    assert size.apply(lambda column: column.autocorr(1)).median() > 0.05
    assert size.apply(lambda column: column.autocorr(5)).median() > 0.03
    assert abs(log_returns.apply(lambda column: column.autocorr(1)).median()) < 0.05
    assert 0.01 < log_returns.std().median() < 0.03


def test_volume_rises_with_the_size_of_returns_and_wanders(
    market: SimulatedMarket, log_returns: pd.DataFrame
) -> None:
    volume = np.log(market.bars.pivot(index="date", columns="symbol", values="volume")).iloc[1:]
    assert volume.corrwith(log_returns.abs()).median() > 0.25
    assert volume.apply(lambda column: column.autocorr(1)).median() > 0.4


def test_a_sector_moves_together(market: SimulatedMarket, log_returns: pd.DataFrame) -> None:
    correlation = log_returns.corr().to_numpy(copy=True)
    np.fill_diagonal(correlation, np.nan)
    sector = np.array([market.sectors[symbol] for symbol in log_returns.columns])
    is_same = sector[:, None] == sector
    assert np.nanmean(correlation[is_same]) > np.nanmean(correlation[~is_same]) + 0.03


def test_prices_jump_with_the_surprise_on_the_day_that_may_know_it(
    market: SimulatedMarket, log_returns: pd.DataFrame
) -> None:
    """A `pre` release moves its own day, a `post` release the next one, and not the day itself."""
    dates = log_returns.index
    reactions: dict[str, list[float]] = {"pre": [], "post": [], "post, too early": []}
    signs: list[float] = []
    for release in market.earnings.itertuples():
        day = dates.searchsorted(release.date)
        if not 1 <= day < len(dates) - 1:
            continue
        own = log_returns[release.symbol]
        moved = own.iloc[day + (release.release_time == "post")]
        reactions[release.release_time].append(abs(moved))
        if release.release_time == "post":
            reactions["post, too early"].append(abs(own.iloc[day]))
        signs.append(np.sign(moved) * np.sign(release.surprise))
    usual = log_returns.abs().stack().median()
    assert np.median(reactions["pre"]) > 1.5 * usual
    assert np.median(reactions["post"]) > 1.5 * usual
    assert np.median(reactions["post, too early"]) < 1.3 * usual
    assert np.mean(signs) > 0.3


def test_a_company_reports_every_quarter(market: SimulatedMarket) -> None:
    counts = market.earnings.groupby("symbol").size()
    assert len(counts) == 300
    assert counts.between(400 // REPORT_EVERY, 400 // REPORT_EVERY + 1).all()
    assert market.earnings["release_time"].isin(["pre", "post"]).all()


@pytest.mark.parametrize(("n_symbols", "n_days"), [(0, 10), (10, 1)])
def test_an_empty_market_is_refused(n_symbols: int, n_days: int) -> None:
    with pytest.raises(ValueError, match=f"got n_symbols={n_symbols}, n_days={n_days}"):
        simulate(n_symbols=n_symbols, n_days=n_days)
