"""The four factors: sub-scores of a whole universe, for one day or for all days at once.

Read this first. `sub_score_panel` makes one causal pass over the bars: block after block of
symbols, each measured by `market`, `technical` and `gaps` over the symbol's own bars, then put on
its calendar days, together with `fundamental`, and mapped to 0..100. `factor_scores` is the same
pass for the last day only, which reads the same numbers in the same order and therefore gives
the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from features.checks import as_kind, refusal
from features.errors import FeatureError
from features.inputs.bars import Bars
from features.inputs.calendars import Calendars, Market, last_bars
from features.inputs.days import as_day
from features.inputs.events import Events
from features.measures.blocks import blocks
from features.measures.fundamental import FUNDAMENTAL, earnings_reaction, fundamental_measures
from features.measures.gaps import gap_measures
from features.measures.historical import HISTORICAL, historical_sub_scores
from features.measures.market import market_measures
from features.measures.technical import technical_measures
from features.scores import DEFAULT_WEIGHTS, FACTORS, FactorScores, combine

__all__ = [
    "DEFAULT_WEIGHTS",
    "FACTORS",
    "PANEL_NAMES",
    "SUB_SCORES",
    "FactorScores",
    "Panel",
    "combine",
    "factor_scores",
    "sub_score_panel",
]

SUB_SCORES: dict[str, tuple[str, ...]] = {
    "historical": HISTORICAL,
    "market": (
        "market.volume_surge",
        "market.volume_ready",
        "market.volume_regime",
        "market.surge_age",
        "market.liquidity",
        "market.move_today",
        "market.momentum_20",
        "market.relative_strength",
        "market.high_20",
        "market.high_250",
        "market.range_width",
        "market.volatility_level",
        "market.volatility_expansion",
        "market.volatility_regime",
        "market.range_today",
        "market.leaving_5",
        "market.leaving_20",
        "market.staying_5",
        "market.staying_20",
        "market.staying_high",
    ),
    "fundamental": FUNDAMENTAL,
    "technical": (
        "technical.rsi",
        "technical.macd",
        "technical.trend_long",
        "technical.convergence",
        "technical.squeeze",
        "technical.support",
        "technical.resistance",
        "technical.candles",
        "technical.pattern_completion",
        "technical.gap_20",
        "technical.gap_50",
        "technical.gap_20_50",
    ),
}

# The columns of a panel: all sub-scores that bars and events give.
PANEL_NAMES: tuple[str, ...] = tuple(
    name for factor in FACTORS if factor != "historical" for name in SUB_SCORES[factor]
)
_POSITION = {name: k for k, name in enumerate(PANEL_NAMES)}


@dataclass(frozen=True, slots=True)
class Panel:
    """Sub-scores of all days, as each day's evening knew them.

    Parameters
    ----------
    values : ndarray of float32, shape (n_days, n_symbols, n_sub)
        0 to 100, NaN = unknown.
    names : tuple of str, length n_sub
    dates : ndarray of datetime64[D], shape (n_days,)
    symbols : tuple of str, length n_symbols
    """

    values: NDArray[np.float32]
    names: tuple[str, ...]
    dates: NDArray[np.datetime64]
    symbols: tuple[str, ...]


def sub_score_panel(
    bars: Bars,
    events: Events | None = None,
    *,
    dates: ArrayLike | None = None,
    market: Market | None = None,
) -> Panel:
    """Return the market, fundamental and technical sub-scores of every day in one pass.

    Row d equals, bit for bit, what `bars.until(d)` alone would give: no value depends on a later
    bar or event.

    Parameters
    ----------
    bars : Bars
    events : Events, optional
    dates : array of datetime64[D], optional
        The days wanted, each a day of `bars`; all of them by default.
    market : Market, optional
        Level of the whole market, where the bars are a piece of it; by default that of the bars.

    Raises
    ------
    FeatureError
        If a wanted day is no day of the bars.
    """
    as_kind(bars, "bars", Bars, "Bars, such as Bars.from_frame(frame)")
    if events is not None:
        as_kind(events, "events", Events, "Events, such as Events.from_frames(earnings=frame)")
    if market is not None:
        as_kind(market, "market", Market, "a Market")
        if market.levels.shape[1] != len(bars.dates) or len(market.groups) != len(bars.symbols):
            raise FeatureError(
                f"market is of {market.levels.shape[1]} days and {len(market.groups)} symbols; "
                f"expected {len(bars.dates)} and {len(bars.symbols)}"
            )
    wanted = bars.dates if dates is None else _as_days(dates)
    rows = np.searchsorted(bars.dates, wanted)
    inside = rows < len(bars.dates)
    if not len(wanted) or not (inside & (bars.dates[np.where(inside, rows, 0)] == wanted)).all():
        raise FeatureError(
            f"dates must be days of the bars ({bars.dates[0]} .. {bars.dates[-1]}), at least one"
        )
    n_days = len(bars.dates) - int(rows.min())
    values = np.empty((n_days, len(bars.symbols), len(PANEL_NAMES)), dtype=np.float32)
    days = bars.dates[-n_days:]
    reaction = None
    if events is not None and events.earnings is not None:
        reaction = earnings_reaction(bars, events.earnings)
    with np.errstate(divide="ignore", invalid="ignore"):  # 0/0 and log(0) mean unknown below
        for block in blocks(bars, n_days, market):
            part = values[:, block.columns]
            for measures in (market_measures, technical_measures, gap_measures):
                for name, z in measures(block).items():
                    part[:, :, _POSITION[name]] = _score(block.to_days(z))
            symbols = bars.symbols[block.columns]
            for name, z in fundamental_measures(events, symbols, days, reaction).items():
                part[:, :, _POSITION[name]] = _score(z)
    if n_days != len(rows):
        values = values[rows - (len(bars.dates) - n_days)]
    return Panel(values, PANEL_NAMES, wanted, bars.symbols)


def _as_days(dates: ArrayLike) -> NDArray[np.datetime64]:
    try:
        days: NDArray[np.datetime64] = np.asarray(dates, dtype="datetime64[D]")
    except (TypeError, ValueError, OverflowError) as err:
        raise refusal(dates, "dates", "an array of days") from err
    if days.ndim != 1:
        raise refusal(dates, "dates", "an array of days")
    return days


def _score(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map z-values to 0..100 smoothly: 50 is typical, ranks and NaN are kept."""
    return 100.0 * np.asarray(ndtr(z), dtype=np.float64)


def last_scores(
    bars: Bars, events: Events | None, market: Market, max_age: int = 0
) -> NDArray[np.float32]:
    """Return the sub-scores on the last day, (n_symbols, n_sub), of `PANEL_NAMES`.

    A symbol without a bar on it has those of its own last bar, if that is at most `max_age` of its
    own trading days old; what is not from bars is of the last day either way.
    """
    late = np.empty(0, np.intp)
    rows = late
    if max_age and not bars.mask[-1].all():
        row, age = last_bars(bars.mask, market.groups, market.own)
        late = np.flatnonzero((age > 0) & (age <= max_age))
        rows = row[late]
    wanted = np.unique([*rows, len(bars.dates) - 1])
    panel = sub_score_panel(bars, events, dates=bars.dates[wanted], market=market)
    today: NDArray[np.float32] = panel.values[-1]
    if len(late):
        is_from_bars = [not name.startswith("fundamental.") for name in PANEL_NAMES]
        own = panel.values[np.searchsorted(wanted, rows), late]
        today[late] = np.where(is_from_bars, own, today[late])
    return today


def factor_scores(
    bars: Bars,
    *,
    as_of: object,
    events: Events | None = None,
    track_record: Mapping[str, ArrayLike] | None = None,
    weights: Mapping[str, float] | None = None,
    max_age: int = 0,
) -> FactorScores:
    """Return the factor scores of the universe on the last trading day up to `as_of`.

    Parameters
    ----------
    bars : Bars
        Days after `as_of` are not read.
    as_of : date, datetime64 or ISO text
    events : Events, optional
    track_record : mapping, optional
        See `historical.historical_sub_scores`; arrays in the order of `bars.symbols`.
    weights : mapping of factor to weight, optional
        `DEFAULT_WEIGHTS` by default.
    max_age : int
        A symbol without a bar on the last day has the scores of its own last bar, if that is at
        most so many of its own trading days old.

    Raises
    ------
    InvalidBarsError
        If there is no bar up to `as_of`.
    FeatureError
        If the track record lacks a key or has another number of symbols, or weights are refused.
    """
    as_kind(bars, "bars", Bars, "Bars, such as Bars.from_frame(frame)")
    past = bars.until(as_day(as_of))
    market = Calendars.of(past.symbols, past.dates, past.mask).market(past.close)
    today = last_scores(past, events, market, max_age)
    n = len(past.symbols)
    if track_record is None:
        history = np.full((n, len(HISTORICAL)), np.nan, dtype=np.float32)
    else:
        history = historical_sub_scores(track_record)
        if len(history) != n:
            raise FeatureError(f"the track record has {len(history)} symbols; expected {n}")
    names = (*HISTORICAL, *PANEL_NAMES)
    values = np.concatenate([history, today], axis=1)
    scores, composite = combine(values, names, weights)
    return FactorScores(past.symbols, names, values, scores, composite, past.dates[-1])
