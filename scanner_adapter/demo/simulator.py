"""A simulated stock market, for demonstrations and tests without real bars.

Like real markets, it has features that make a scanner's results predictable: persistent market
regimes, sectors that move together, volatility clusters with fat tails, volume that rises with the
size of returns, bursts of attention that fade over days, and earnings releases with jumps in the
direction of the surprise and a drift afterwards. It has no listings or delistings, splits or
errors. Figures measured on it say nothing about real data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bandit.rewards import TopShare
from features.inputs.bars import Bars
from scanner_adapter.replay import ReplayLog
from scanner_adapter.replay.logs.contexts import Contexts
from scanner_adapter.replay.logs.outcome_log import OutcomeLog
from scanner_adapter.scanners.registry import rule_hits

Array = NDArray[np.float64]

SECTORS = (
    "Communication Services",
    "Consumer Discretionary",
    "Consumer Staples",
    "Energy",
    "Financials",
    "Health Care",
    "Industrials",
    "Information Technology",
    "Materials",
    "Real Estate",
    "Utilities",
)
# Regimes of the market: calm, choppy, falling. Daily drift and deviation, and the chance to stay
# for another day.
REGIME_DRIFT = np.array([0.0012, 0.0006, -0.0012])
REGIME_DEVIATION = np.array([0.005, 0.008, 0.014])
REGIME_STAY = np.array([0.985, 0.97, 0.95])
# Trading days between two reports of one company: a quarter.
REPORT_EVERY = 63
# GARCH(1, 1) of what a symbol does on its own: weight of yesterday's squared shock and of
# yesterday's variance.
SHOCK_WEIGHT, VARIANCE_WEIGHT = 0.08, 0.89
# Share of a burst of attention that is left on the next day: half of it fades in three days.
ATTENTION_KEPT = 0.8


@dataclass(frozen=True)
class SimulatedMarket:
    """One simulated market.

    Attributes
    ----------
    bars : DataFrame, n_days * n_symbols rows
        Columns date, symbol, open, high, low, close, volume; sorted by symbol and date.
    earnings : DataFrame
        Columns symbol, date, eps_estimate, eps_actual, surprise, surprise_pct, release_time ("pre"
        or "post"). A `post` release moves the price on the next trading day.
    sectors : dict of str to str
        The sector of each symbol.
    """

    bars: pd.DataFrame
    earnings: pd.DataFrame
    sectors: dict[str, str]


@dataclass(frozen=True)
class _Reports:
    """Which prices react on which day, to which standardised surprise; (n_days, n_symbols)."""

    is_reaction: NDArray[np.bool_]
    surprise: Array
    frame: pd.DataFrame


def simulate(
    n_symbols: int = 1000, n_days: int = 400, seed: int = 7, start: str = "2022-01-03"
) -> SimulatedMarket:
    """Simulate daily bars, earnings releases and sectors; the same arguments give the same market.

    Parameters
    ----------
    n_symbols, n_days : int
        At least 1 symbol and 2 days.
    seed : int
        Of the random generator.
    start : str
        First trading day; trading days are Monday to Friday.

    Raises
    ------
    ValueError
        With fewer symbols or days than that.

    Examples
    --------
    >>> market = simulate(n_symbols=3, n_days=5)
    >>> market.bars.groupby("symbol", observed=True).size().to_dict()
    {'SIM0000': 5, 'SIM0001': 5, 'SIM0002': 5}
    """
    if n_symbols < 1 or n_days < 2:
        raise ValueError(
            f"expected at least 1 symbol and 2 days, got n_symbols={n_symbols}, n_days={n_days}"
        )
    rng = np.random.default_rng(seed)
    dates = np.busday_offset(np.datetime64(start, "D"), np.arange(n_days), roll="forward")
    symbols = np.array([f"SIM{i:04d}" for i in range(n_symbols)])
    sector = rng.integers(len(SECTORS), size=n_symbols)

    reports = _reports(rng, dates, symbols)
    common, stress = _common_returns(rng, n_days, n_symbols, sector)
    own, deviation, attention = _own_returns(rng, reports, stress, sector)
    frame = _bars(rng, common + own, deviation, attention, reports.is_reaction)
    return SimulatedMarket(
        bars=pd.DataFrame(
            {
                "date": np.tile(dates.astype("datetime64[s]"), n_symbols),
                "symbol": pd.Categorical.from_codes(
                    np.repeat(np.arange(n_symbols), n_days), symbols.tolist()
                ),
            }
            # Row order is symbol by symbol, so the (n_days, n_symbols) arrays are read column by
            # column.
            | {name: values.ravel(order="F") for name, values in frame.items()}
        ),
        earnings=reports.frame,
        sectors={str(symbol): SECTORS[s] for symbol, s in zip(symbols, sector, strict=True)},
    )


def _reports(
    rng: np.random.Generator, dates: NDArray[np.datetime64], symbols: NDArray[np.str_]
) -> _Reports:
    n_days, n_symbols = len(dates), len(symbols)
    first = rng.integers(REPORT_EVERY, size=n_symbols)
    is_release = (np.arange(n_days)[:, None] - first) % REPORT_EVERY == 0  # (n_days, n_symbols)
    is_release &= np.arange(n_days)[:, None] >= first
    is_post = rng.random(n_symbols) < 0.5
    day, symbol = np.nonzero(is_release)
    standardised = rng.standard_t(4, size=len(day))

    reaction_day = day + is_post[symbol]
    inside = reaction_day < n_days
    is_reaction = np.zeros((n_days, n_symbols), bool)
    surprise = np.zeros((n_days, n_symbols))
    is_reaction[reaction_day[inside], symbol[inside]] = True
    surprise[reaction_day[inside], symbol[inside]] = standardised[inside]

    estimate = np.round(rng.lognormal(-0.3, 0.7, size=len(day)), 2)
    actual = np.round(estimate + 0.08 * estimate * standardised, 2)
    frame = pd.DataFrame(
        {
            "symbol": symbols[symbol],
            "date": dates[day].astype("datetime64[s]"),
            "eps_estimate": estimate,
            "eps_actual": actual,
            "surprise": actual - estimate,
            "surprise_pct": np.where(
                estimate >= 0.01, 100.0 * (actual - estimate) / np.maximum(estimate, 0.01), np.nan
            ),
            "release_time": np.where(is_post[symbol], "post", "pre"),
        }
    ).sort_values(["symbol", "date"], ignore_index=True)
    return _Reports(is_reaction, surprise, frame)


def _common_returns(
    rng: np.random.Generator, n_days: int, n_symbols: int, sector: NDArray[np.int64]
) -> tuple[Array, Array]:
    """Return what market and sectors do to each symbol (n_days, n_symbols), and the stress.

    Stress, (n_days,), is the regime's deviation over the mean of the regimes.
    """
    regime = np.zeros(n_days, np.int64)
    leaves, to = rng.random(n_days), rng.integers(1, 3, size=n_days)
    for day in range(1, n_days):
        stays = leaves[day] < REGIME_STAY[regime[day - 1]]
        regime[day] = regime[day - 1] if stays else (regime[day - 1] + to[day]) % 3
    shocks = rng.standard_t(5, size=n_days) / np.sqrt(5 / 3)  # unit variance
    market = REGIME_DRIFT[regime] + REGIME_DEVIATION[regime] * shocks

    # Sectors drift for weeks (an AR(1) of slow memory): money rotates, and what paid yesterday pays
    # again today.
    rotation = np.zeros((n_days, len(SECTORS)))
    pushes = 0.0006 * rng.standard_normal((n_days, len(SECTORS)))
    for day in range(1, n_days):
        rotation[day] = 0.95 * rotation[day - 1] + pushes[day]
    stress = REGIME_DEVIATION[regime] / REGIME_DEVIATION.mean()
    of_sector = rotation + 0.006 * np.sqrt(stress)[:, None] * rng.standard_normal(
        (n_days, len(SECTORS))
    )

    beta = np.clip(rng.normal(1.0, 0.35, n_symbols), 0.2, 2.2)
    return beta * market[:, None] + rng.uniform(0.5, 1.3, n_symbols) * of_sector[:, sector], stress


def _own_returns(
    rng: np.random.Generator, reports: _Reports, stress: Array, sector: NDArray[np.int64]
) -> tuple[Array, Array, Array]:
    """Return each symbol's own part, its deviation and its attention, all (n_days, n_symbols)."""
    n_days, n_symbols = reports.surprise.shape
    usual = np.clip(rng.lognormal(np.log(0.015), 0.4, n_symbols), 0.006, 0.05)
    shocks = rng.standard_t(5, size=(n_days, n_symbols)) / np.sqrt(5 / 3)
    starts = rng.random((n_days, n_symbols)) < 0.008
    # Now and then the news is about a whole sector: half of its symbols get a burst on the same
    # day.
    sector_news = rng.random((n_days, len(SECTORS))) < 0.01
    starts |= sector_news[:, sector] & (rng.random((n_days, n_symbols)) < 0.5)
    direction = np.where(rng.random((n_days, n_symbols)) < 0.55, 1.0, -1.0)
    bursts = np.where(starts, rng.exponential(1.0, (n_days, n_symbols)) + 0.4, 0.0)
    bursts += np.where(reports.is_reaction, 1.3 + 0.3 * np.abs(reports.surprise), 0.0)
    push = np.where(reports.is_reaction, np.sign(reports.surprise), direction) * np.sqrt(bursts)

    own = np.empty((n_days, n_symbols))
    deviation = np.empty_like(own)
    attention = np.empty_like(own)
    variance, shock = usual**2, np.zeros(n_symbols)
    attended, drift = np.zeros(n_symbols), np.zeros(n_symbols)
    for day in range(n_days):
        attended = ATTENTION_KEPT * attended + bursts[day]
        drift = 0.9 * drift + 0.12 * push[day]
        floor = (1.0 - SHOCK_WEIGHT - VARIANCE_WEIGHT) * usual**2
        variance = floor + SHOCK_WEIGHT * shock**2 + VARIANCE_WEIGHT * variance
        shock = np.sqrt(variance) * shocks[day]
        lively = np.sqrt(stress[day]) * (1.0 + 0.35 * attended)
        deviation[day] = np.sqrt(variance) * lively
        own[day] = shock * lively + usual * drift
        attention[day] = attended
    jump = 1.2 * reports.surprise + 0.8 * rng.standard_normal((n_days, n_symbols))
    return own + np.where(reports.is_reaction, usual * jump, 0.0), deviation, attention


def _bars(
    rng: np.random.Generator,
    returns: Array,
    deviation: Array,
    attention: Array,
    is_reaction: NDArray[np.bool_],
) -> dict[str, NDArray[np.float64] | NDArray[np.int64]]:
    """Turn log returns into open, high, low, close and volume, all (n_days, n_symbols)."""
    n_days, n_symbols = returns.shape
    close = np.exp(rng.normal(np.log(45.0), 0.8, n_symbols) + np.cumsum(returns, axis=0))
    # A report moves the price before the open; on other days a third of the move is overnight.
    overnight = np.where(is_reaction, 0.85, 0.3) * returns
    overnight += 0.4 * deviation * rng.standard_normal(returns.shape)
    opened = close * np.exp(overnight - returns)
    # Within the day the log price is a Brownian bridge from open to close: its maximum has a closed
    # form (the reflection principle), and so has its minimum; they are drawn independently of each
    # other.
    inside, spread = returns - overnight, 1.1 * deviation
    above, below = -np.log1p(-rng.random((2, n_days, n_symbols)))  # two standard exponentials
    high = opened * np.exp(0.5 * (inside + np.sqrt(inside**2 + 2.0 * spread**2 * above)))
    low = opened * np.exp(0.5 * (inside - np.sqrt(inside**2 + 2.0 * spread**2 * below)))

    # A symbol's usual volume wanders: an AR(1) of two weeks' memory, on top of attention and moves.
    mood = np.zeros(returns.shape)
    pushes = 0.12 * rng.standard_normal(returns.shape)
    for day in range(1, n_days):
        mood[day] = 0.93 * mood[day - 1] + pushes[day]
    noise = 0.18 * rng.standard_normal(returns.shape)
    surprise_in_price = np.abs(returns) / np.maximum(deviation / (1.0 + 0.35 * attention), 1e-6)
    log_volume = rng.normal(np.log(8e5), 1.1, n_symbols) + mood + noise + 0.45 * attention
    log_volume += 0.2 * np.minimum(surprise_in_price, 6.0)
    return {
        "open": opened,
        "high": np.maximum(high, np.maximum(opened, close)),
        "low": np.minimum(low, np.minimum(opened, close)),
        "close": close,
        "volume": np.exp(log_volume).astype(np.int64),
    }


def simulated_log(n_symbols: int = 300, n_days: int = 400, *, share: float = 0.05) -> ReplayLog:
    """Return scans of a made-up market by the built-in technical rating; deterministic.

    Parameters
    ----------
    share : float
        The day's top share by rating that is a hit.
    """
    market = simulate(n_symbols=n_symbols, n_days=n_days, seed=3)
    bars = Bars.from_frame(market.bars)
    _, rating = rule_hits("technical_rating", bars)
    outcomes = OutcomeLog(bars.dates, bars.symbols, rating, np.full(rating.shape, -1, np.int8))
    contexts = Contexts.compute(bars, sectors=market.sectors, cached=False)
    return ReplayLog(outcomes, contexts, TopShare(share))
