"""The context of a scan: what is known of each symbol before it is scanned, as named columns.

Its columns are four factor scores (whose weights the learner starts from), the sub-scores behind
them, and the scanner's own last row of each symbol. Market facts come from `features`, history from
the track record that the ranker keeps; here they are joined.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import compress
from typing import TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bandit.belief.belief import Belief
from bandit.belief.track_record import TrackView
from bandit.checks import as_kind, as_number, as_texts, refusal
from bandit.choice.scores import EXACT_UP_TO
from features.factors import DEFAULT_WEIGHTS, FACTORS, combine, factor_scores
from features.inputs.bars import Bars
from features.inputs.days import as_day
from features.inputs.events import Events
from features.measures.historical import HISTORICAL, historical_sub_scores
from features.similarity import Loadings, similarity_loadings
from features.today import TODAY
from scanner_adapter.errors import InvalidContextError
from scanner_adapter.inputs.coverage import Coverage, bar_ages, coverage_of, seen_bars
from scanner_adapter.inputs.feature_cache import Columns, kept, key_of
from scanner_adapter.inputs.loadings import half_precision
from scanner_adapter.inputs.quotes import read_quotes, todays_scores

log = logging.getLogger("scanrank")

# Columns worth more together than apart, such as a new high on high volume: what breaks out, how
# far it ran, how stretched it is, and what the scanner said last.
CROSSED = (
    "market.high_20",
    "market.high_250",
    "market.momentum_20",
    "market.volatility_level",
    "market.volume_surge",
    "technical.convergence",
    "technical.gap_20_50",
    "technical.gap_50",
    "technical.macd",
    "technical.rsi",
    "row.rating",
)
FACTOR_COLUMNS = tuple(f"factor.{name}" for name in FACTORS)
# Trading days of its own by which a symbol's last bar may be late: a long weekend, a slow vendor.
MAX_AGE = 3
# Symbols processed at a time: with a million rows of 50 columns of 8 bytes, each intermediate array
# would take 400 MB.
_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class MarketFacts:
    """Market facts of each symbol of a scan, without its history.

    Parameters
    ----------
    names : tuple of str
        Sub-scores, each `factor.measurement`.
    values : array, shape (n_symbols, n_sub)
        0 to 100, NaN = unknown.
    loadings : array, shape (n_symbols, q)
        Similarity loadings.
    loading_names : tuple of str, length q
        Each `block.name`, such as `sector.Energy`.
    as_of : str or None
        Last day of bars that was used; None for a ready-made context.
    coverage : Coverage or None
        How many symbols the bars cover; None without bars.
    """

    names: tuple[str, ...]
    values: NDArray[np.float32]
    loadings: NDArray[np.float32]
    loading_names: tuple[str, ...]
    as_of: str | None = None
    coverage: Coverage | None = None

    @property
    def blocks(self) -> tuple[str, ...]:
        """Block of each loading: the part of its name before the dot."""
        return tuple(name.partition(".")[0] for name in self.loading_names)

    @property
    def groups(self) -> NDArray[np.intp] | None:
        """Sector number of each symbol, -1 = none; None where no sectors are known."""
        at = [i for i, block in enumerate(self.blocks) if block == "sector"]
        if not at:
            return None
        sectors = self.loadings[:, at] > 0
        return np.where(sectors.any(axis=1), sectors.argmax(axis=1), -1)

    def only(self, names: Container[str]) -> MarketFacts:
        """Return these facts with only those sub-scores that are among `names`."""
        kept = [name in names for name in self.names]
        if all(kept):
            return self
        return replace(
            self, names=tuple(compress(self.names, kept)), values=self.values[:, np.array(kept)]
        )

    @property
    def has_today(self) -> bool:
        """Whether any quote went into the facts."""
        return TODAY[0] in self.names

    def joining(self, theirs: Container[str]) -> MarketFacts:
        """Return these facts with today's columns where `theirs` has them: quotes come and go."""
        kept = self.only([name for name in self.names if name not in TODAY or name in theirs])
        lost = [name for name in TODAY if name in theirs and name not in self.names]
        unknown = np.full((len(kept.values), len(lost)), np.nan, np.float32)
        return replace(
            kept, names=(*kept.names, *lost), values=np.concatenate([kept.values, unknown], axis=1)
        )


class ScanInputs(TypedDict, total=False):
    """What a scan may be given about its symbols; see `market_facts` for each keyword."""

    bars: Bars | pd.DataFrame | None
    quotes: object | None
    events: Events | None
    as_of: object | None
    sectors: Mapping[str, str] | None
    context: pd.DataFrame | tuple[Sequence[str], NDArray[np.floating]] | None
    loadings: Loadings | None
    max_age: int


class ScanOptions(ScanInputs, total=False):
    """Every keyword of `SymbolRanker.start_scan`, for code that hands them on."""

    now: datetime | None
    scan_id: str | None
    shared: bool
    worker: str | None
    lease_s: float
    overlap: bool
    hits_last: timedelta | None
    seen_within: timedelta | None


def market_facts(
    symbols: Sequence[str],
    *,
    bars: Bars | pd.DataFrame | None = None,
    quotes: object | None = None,
    events: Events | None = None,
    as_of: object | None = None,
    sectors: Mapping[str, str] | None = None,
    context: pd.DataFrame | tuple[Sequence[str], NDArray[np.floating]] | None = None,
    loadings: Loadings | None = None,
    max_age: int = MAX_AGE,
    now: datetime | None = None,
) -> MarketFacts:
    """Bring bars, or ready-made sub-scores, into the order of `symbols`.

    Parameters
    ----------
    bars : Bars or DataFrame, optional
        Days after `as_of` are not read. Symbols without bars are unknown.
    quotes : Quotes, or what `Quotes.read` takes, optional
        The present state of the market, in addition to `bars`: today's bar is made from it. Quotes
        that are stale, or of a closed market, are left out, counted and logged.
    as_of : date, optional
        Last day that may be seen; by default the latest one, not after the clock, on which at
        least half of the symbols have a bar. Bars of unfinished sessions are set aside.
        With quotes, the day before that of the session.
    context : DataFrame indexed by symbol, or (names, array in the order of `symbols`), optional
        Ready-made sub-scores instead of bars.
    loadings : Loadings, optional
        Ready-made similarity loadings in the order of `symbols`.
    max_age : int
        A symbol's own last bar counts if it is at most so many of its own trading days old.
    now : datetime, optional
        When the scan runs, with its timezone; by default the clock.

    Raises
    ------
    InvalidContextError
        When both bars and context are given, or shapes do not fit.
    InvalidBarsError
        From `features`, for bars that cannot be used.
    InvalidQuotesError
        For quotes in a shape that cannot be read.
    """
    if bars is not None and context is not None:
        raise InvalidContextError("give either bars or context, not both")
    if quotes is not None and bars is None:
        raise InvalidContextError(
            "quotes only update bars; also give bars=... of the previous days"
        )
    if events is not None:
        as_kind(events, "events", Events, "Events, such as Events.from_frames(earnings=frame)")
    if sectors is not None:
        as_kind(sectors, "sectors", Mapping, "a mapping of symbol to sector")
    if loadings is not None:
        as_kind(loadings, "loadings", Loadings, "Loadings")
    day = None if as_of is None else as_day(as_of)
    as_number(max_age, "max_age", "0 or more trading days", least=0)
    n = len(symbols)
    names: tuple[str, ...] = ()
    coverage: Coverage | None = None
    seen: str | None = None
    values = np.empty((n, 0), np.float32)
    if context is not None:
        names, values = _ready_made(symbols, context)
    elif bars is not None:
        given = bars if isinstance(bars, Bars) else Bars.from_frame(bars)
        past, notes = seen_bars(given, day, datetime.now(UTC) if now is None else now)
        day = past.dates[-1]
        place = {symbol: i for i, symbol in enumerate(past.symbols)}
        at = np.array([place.get(symbol, -1) for symbol in symbols], np.intp)
        coverage = coverage_of(symbols, past, at, bar_ages(past)[1], max_age, notes)
        today = None if quotes is None else todays_scores(symbols, past, quotes, now, events)
        key = key_of(past, events, sectors)
        if today is None:
            names, of_bars = kept(
                f"{key}-scores-{max_age:g}", lambda: _market_scores(past, events, max_age)
            )
            values, seen = _take(of_bars, at), str(day)
        else:
            names, values, seen = today.names, _take(today.values, at), str(today.day)
            day = past.dates[past.dates < today.day][-1]
        if loadings is None:
            known = kept(f"{key}-loadings-{day}", lambda: _loadings(past, day, sectors))
            loadings = Loadings(known[0], np.nan_to_num(_take(known[1], at)))
    if loadings is None:
        loadings = Loadings((), np.empty((n, 0), np.float32))
    if loadings.values.shape != (n, len(loadings.names)):
        raise InvalidContextError(
            f"loadings have shape {loadings.values.shape}, expected ({n}, {len(loadings.names)}): "
            "one row per symbol of the scan, in its order"
        )
    return MarketFacts(
        names, values, half_precision(loadings.values), loadings.names, seen, coverage
    )


def as_read(inputs: ScanInputs, now: datetime | None) -> ScanInputs:
    """Return inputs with `Bars` and `Quotes`, read once for a scan and all its refreshes.

    Prices without a time keep that of the call.
    """
    bars, quotes = inputs.get("bars"), inputs.get("quotes")
    if bars is None:
        return inputs
    bars = bars if isinstance(bars, Bars) else Bars.from_frame(bars)
    if quotes is not None:
        quotes = read_quotes(quotes, bars, datetime.now(UTC) if now is None else now)
    return {**inputs, "bars": bars, "quotes": quotes}


def scan_context(
    ranker: Belief, facts: MarketFacts, view: TrackView
) -> tuple[tuple[str, ...], NDArray[np.floating]]:
    """Return names and values (n_symbols, n_columns) of the whole context of a scan.

    The values are float64, and float32 beyond `scores.EXACT_UP_TO` symbols, where memory
    matters more than the 8th digit.
    """
    history = historical_sub_scores(
        {
            "last_reward": view.last_reward,
            "last_age_days": view.age_days,
            "fast_mean": view.fast_mean,
            "slow_mean": view.slow_mean,
            "n_scans": view.n_scans,
            "n_hits": view.n_hits,
        }
    )
    row_names = (f"row.{name}" for name in ranker.track.columns)
    names = (*FACTOR_COLUMNS, *HISTORICAL, *facts.names, *row_names)
    n = len(history)
    values = np.empty((n, len(names)), np.float64 if n <= EXACT_UP_TO else np.float32)
    start = len(FACTOR_COLUMNS)
    for part in (history, facts.values, view.row_percentiles()):
        values[:, start : start + part.shape[1]] = part
        start += part.shape[1]
    _score_factors(values, names)
    return names, values


def _score_factors(context: NDArray[np.floating], columns: Sequence[str]) -> None:
    """Put the factor scores into a context (n_symbols, n_columns), made from its sub-scores."""
    place = {name: k for k, name in enumerate(columns)}
    factors = [place[name] for name in FACTOR_COLUMNS]
    sub_scores = [k for name, k in place.items() if name.partition(".")[0] in FACTORS]
    names = [columns[k] for k in sub_scores]
    for start in range(0, len(context), _CHUNK):
        part = context[start : start + _CHUNK]
        part[:, factors], _ = combine(part[:, sub_scores], names)


def factor_of(columns: Sequence[str]) -> tuple[str, ...]:
    """Return the factor of each context column; the scanner's own rows are history.

    Examples
    --------
    >>> factor_of(["factor.market", "technical.rsi", "row.rating"])
    ('market', 'technical', 'historical')
    """
    parts = (name.split(".", 1) for name in columns)
    return tuple({"factor": rest, "row": "historical"}.get(first, first) for first, rest in parts)


def seed_weights(weights: Mapping[str, float] | None) -> dict[str, float]:
    """Return the ranker's seed weights for factor weights, `DEFAULT_WEIGHTS` where not given.

    Raises
    ------
    InvalidContextError
        For an unknown factor, a negative weight, or weights that are all zero.
    """
    given = dict(DEFAULT_WEIGHTS)
    if weights is not None:
        given = dict(as_kind(weights, "weights", Mapping, "a mapping of factor to weight"))
    unknown = [name for name in given if name not in FACTORS]
    if unknown:
        raise InvalidContextError(
            f"factor {unknown[0]!r} is unknown; expected one of {', '.join(FACTORS)}"
        )
    for name, value in given.items():
        as_number(value, f"the weight of {name}", "a number, 0 or more", least=0.0)
    total = sum(given.values())
    if total <= 0.0:
        raise InvalidContextError("all factor weights are zero; at least one must be positive")
    return {f"factor.{name}": given.get(name, 0.0) / total for name in FACTORS}


def renewed_context(
    columns: Sequence[str], context: NDArray[np.floating], facts: MarketFacts
) -> NDArray[np.floating]:
    """Return a scan's context (n_symbols, n_columns) with newer market facts in it.

    History and the scanner's own rows stay; facts that are none of the columns are left out, and
    columns that are none of the facts are unknown.
    """
    renewed = context.copy()
    place = {name: k for k, name in enumerate(columns)}
    renewed[:, [k for name, k in place.items() if _is_fact(name)]] = np.nan
    known = [name in place for name in facts.names]
    renewed[:, [place[name] for name in compress(facts.names, known)]] = facts.values[:, known]
    _score_factors(renewed, columns)
    return renewed


def _is_fact(column: str) -> bool:
    return column.partition(".")[0] in FACTORS and column not in HISTORICAL


def _market_scores(past: Bars, events: Events | None, max_age: int) -> Columns:
    scores = factor_scores(past, as_of=past.dates[-1], events=events, max_age=max_age)
    is_market = np.array([not name.startswith("historical.") for name in scores.names])
    return tuple(compress(scores.names, is_market)), scores.values[:, is_market]


def _loadings(past: Bars, day: object, sectors: Mapping[str, str] | None) -> Columns:
    loadings = similarity_loadings(past, as_of=day, sectors=sectors)
    return loadings.names, loadings.values


def _ready_made(
    symbols: Sequence[str], context: pd.DataFrame | tuple[Sequence[str], NDArray[np.floating]]
) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    if isinstance(context, pd.DataFrame):
        names = tuple(str(name) for name in context.columns)
        missing = [symbol for symbol in symbols if symbol not in context.index]
        if missing:
            raise InvalidContextError(
                f"context has no row for {missing[0]!r} ({len(missing)} missing); "
                "index it by symbol"
            )
        if not context.index.is_unique:
            twice = context.index[context.index.duplicated()][0]
            raise InvalidContextError(
                f"context has two rows for {twice!r}; expected one per symbol"
            )
        given: object = context.loc[list(symbols)]
    else:
        if not isinstance(context, tuple | list) or len(context) != 2:
            raise refusal(context, "context", "a data frame indexed by symbol, or (names, array)")
        names = as_texts(context[0], "the names of context", "market.momentum_20")
        given = context[1]
    try:
        values = np.asarray(given, np.float32)
    except (TypeError, ValueError) as err:
        raise InvalidContextError(f"context contains values that are not numbers: {err}") from err
    if values.shape != (len(symbols), len(names)):
        raise InvalidContextError(
            f"context has shape {values.shape}, expected ({len(symbols)}, {len(names)})"
        )
    unknown = [name for name in names if name.partition(".")[0] not in FACTORS]
    if unknown:
        raise InvalidContextError(
            f"context column {unknown[0]!r} has no factor; name it <factor>.<measurement> with one "
            f"of {', '.join(FACTORS)}"
        )
    history = [name for name in names if name in HISTORICAL]
    if history:
        raise InvalidContextError(
            f"context column {history[0]!r} is computed by scanrank itself; drop it"
        )
    for start in range(0, len(values), _CHUNK):
        part = values[start : start + _CHUNK]
        with np.errstate(invalid="ignore"):
            bad = (part < 0) | (part > 100)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise InvalidContextError(
                f"{names[column]} of {symbols[start + row]!r} is {part[row, column]}; sub-scores "
                "run from 0 to 100, NaN = unknown"
            )
    return names, values


def _take(values: NDArray[np.floating], at: NDArray[np.intp]) -> NDArray[np.float32]:
    taken = np.full((at.size, values.shape[1]), np.nan, np.float32)
    taken[at >= 0] = values[at[at >= 0]]
    return taken
