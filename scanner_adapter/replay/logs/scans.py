"""One logged scan at a time: its universe, what was known before it, and what it would find."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bandit.errors import InvalidInputError
from bandit.rewards import HitIf, RewardRule, TopShare, rule_text
from features.inputs.bars import Bars
from features.inputs.events import Events
from features.inputs.sessions import Session
from features.inputs.tables import OnBad
from features.similarity import Loadings
from scanner_adapter.errors import InvalidOutcomeError
from scanner_adapter.inputs.outcome_table import OutcomeTable
from scanner_adapter.inputs.outcomes import Outcome
from scanner_adapter.replay.logs.contexts import Contexts
from scanner_adapter.replay.logs.outcome_log import (
    OutcomeLog,
    high_value,
    logged_signal,
    read_ratings,
)
from scanner_adapter.replay.logs.regimes import Regime, market_regimes


class LoggedOutcomes(Sequence[Outcome]):
    """Outcomes that stand in columns already, as in a log; each is made when it is asked for.

    A replay reports every symbol of every scan: as columns, they go into the belief and the
    journal without an object for each.

    Parameters
    ----------
    rating : array of float64, shape (n,)
    signal : array of int8, shape (n,)
        Place in `signal_names`; -1 = no signal.
    signal_names : sequence of str
    columns : mapping of str to array, shape (n,)
        Further numbers of the scanner's rows.
    rule : RewardRule, optional
        What counts as a hit: its words for a signal.
    """

    def __init__(
        self,
        rating: NDArray[np.float64],
        signal: NDArray[np.int8],
        signal_names: Sequence[str],
        columns: Mapping[str, NDArray[np.floating]],
        rule: RewardRule | None = None,
    ) -> None:
        if np.isinf(rating).any():
            raise InvalidOutcomeError(
                f"rating {rating[np.isinf(rating)][0]} at place {int(np.isinf(rating).argmax())} "
                "of the log; expected finite numbers, NaN = none"
            )
        self._rating, self._signal = rating.astype(np.float64), signal
        self._read = [*(logged_signal(name, rule) for name in signal_names), Outcome(0.0)]
        self._is_failed = np.isnan(rating) & (signal < 0)
        is_high = high_value(signal, signal_names, rule)
        self._is_signal = np.where(self._is_failed, np.nan, is_high)
        self._columns = tuple(columns)
        self._rows = np.column_stack([np.empty((len(rating), 0)), *columns.values()])
        whole = {"rating": rating, **columns}
        self._names = tuple(whole)
        self._values = np.column_stack([*whole.values()]).astype(np.float64)
        self._values[self._is_failed] = np.nan
        self._values[np.isinf(self._values)] = np.nan  # as `OutcomeTable.of` reads them

    def __len__(self) -> int:
        """Return n."""
        return len(self._rating)

    @overload
    def __getitem__(self, at: int) -> Outcome: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Outcome]: ...
    def __getitem__(self, at: int | slice) -> Outcome | Sequence[Outcome]:
        """Make the outcome at a place."""
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        if self._is_failed[at]:
            return Outcome.failed("the log has neither rating nor signal")
        columns = dict(zip(self._columns, self._rows[at].tolist(), strict=True))
        read: Outcome = self._read[int(self._signal[at])]
        return replace(read, rating=float(self._rating[at]), columns=columns)

    def table(self, symbols: Sequence[str], places: NDArray[np.intp]) -> OutcomeTable:
        """Return the outcomes at `places` (k,), which are those of `symbols`, as a report."""
        is_failed, names = self._is_failed[places], self._names
        values = self._values[places]
        if is_failed.all():  # then nobody carries a column
            names, values = names[:1], values[:, :1]
        return OutcomeTable(
            tuple(symbols), self._rating[places], self._is_signal[places], is_failed, names, values,
            lambda row: self[int(places[row])],
        )  # fmt: skip


# Scans run after the close of their day; only differences between scans matter to the ranker.
_SCAN_TIME = time(21, 0, tzinfo=UTC)


@dataclass(frozen=True)
class ReplayScan:
    """One scan of the log.

    Attributes
    ----------
    now : datetime
        When the scan runs, UTC.
    symbols : tuple of str, length n
        The universe: every symbol that the scanner rated on that day, in file order.
    places : ndarray of int, shape (n,)
        Place of each symbol in the log.
    sub_score_names : tuple of str, length n_sub
    sub_scores : ndarray of float32, shape (n, n_sub)
        Known before the scan.
    loadings : Loadings
        Similarity loadings of `symbols`, known before the scan.
    rating : ndarray of float64, shape (n,)
        Known of a symbol only once it was visited; so are `hits` and `outcomes`.
    hits : ndarray of bool, shape (n,)
    outcomes : sequence of Outcome, length n
        What the live scanner would have reported.
    """

    now: datetime
    symbols: tuple[str, ...]
    places: NDArray[np.intp]
    sub_score_names: tuple[str, ...]
    sub_scores: NDArray[np.float32]
    loadings: Loadings
    rating: NDArray[np.float64]
    hits: NDArray[np.bool_]
    outcomes: Sequence[Outcome]

    def __repr__(self) -> str:
        n_hits = np.count_nonzero(self.hits)
        return f"ReplayScan({self.now:%Y-%m-%d %H:%M}, {len(self.symbols)} symbols, {n_hits} hits)"

    def evaluate(self, symbol: str) -> Outcome:
        """What the scanner said of a symbol: the log in the place of a scanner."""
        return self.outcomes[self.symbols.index(symbol)]

    def report(self, places: NDArray[np.intp]) -> OutcomeTable:
        """What the scanner reported of the symbols at `places` (k,) in the universe."""
        symbols = [self.symbols[place] for place in places.tolist()]
        if isinstance(self.outcomes, LoggedOutcomes):
            return self.outcomes.table(symbols, places)
        outcomes = [self.outcomes[place] for place in places.tolist()]
        return OutcomeTable.of(dict(zip(symbols, outcomes, strict=True)))

    def inputs(self) -> dict[str, Any]:
        """What `SymbolRanker.start_scan` takes beside the symbols."""
        return {
            "context": (self.sub_score_names, self.sub_scores),
            "loadings": self.loadings,
            "now": self.now,
        }


class Log(Protocol):
    """Complete scans that can be replayed: what `replay` needs of a log."""

    @property
    def rule(self) -> RewardRule:
        """What counts as a hit."""

    @property
    def dates(self) -> NDArray[np.datetime64]:
        """Day of each row of the log, shape (n_rows,)."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every symbol of the log; `ReplayScan.places` are places in it."""

    @property
    def sectors(self) -> Mapping[str, str]:
        """Sector of each symbol, where it is known."""

    @property
    def left_out(self) -> tuple[str, ...]:
        """What the log has and no order can be judged exactly on, a sentence each."""

    def days(
        self, from_: date | str | None = None, to: date | str | None = None
    ) -> NDArray[np.intp]:
        """Rows that are complete scans, from `from_` to `to`, both included."""

    def scans(self, days: NDArray[np.intp], *, same_day: bool = False) -> Iterator[ReplayScan]:
        """Yield the scans of these rows."""

    def regimes(self, days: NDArray[np.intp], *, same_day: bool = False) -> tuple[Regime, ...]:
        """Return the market's regime before each of these scans, as it was known then."""


@dataclass(frozen=True)
class ReplayLog:
    """A scanner's ratings with the contexts that the bars give: complete scans, one a day.

    Attributes
    ----------
    outcomes : OutcomeLog
    contexts : Contexts
    rule : RewardRule
        What counts as a hit.

    Raises
    ------
    InvalidInputError
        For `HitIf`, which judges what the scanner returned: the log has only what was kept of it.
    """

    outcomes: OutcomeLog
    contexts: Contexts
    rule: RewardRule

    def __post_init__(self) -> None:
        if isinstance(self.rule, HitIf):
            raise InvalidInputError(
                f"rule is {self.rule!r}, which judges what the scanner returned, and a log of "
                "ratings has only what was kept of it; write the verdict into a column signal "
                "(True or False) and use Signal()"
            )

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self.dates)} days of {len(self.symbols)} symbols, "
            f"{self.dates[0]} to {self.dates[-1]}, hits {rule_text(self.rule)})"
        )

    @classmethod
    def read(
        cls,
        bars: str | Path | pd.DataFrame,
        ratings: str | Path | pd.DataFrame,
        *,
        rule: RewardRule | None = None,
        events: Events | None = None,
        sectors: Mapping[str, str] | None = None,
        cached: bool = True,
        on_bad: OnBad = "raise",
        tz: str | None = None,
        is_timed: bool = False,
    ) -> ReplayLog:
        """Read bars and a scanner's ratings: `.parquet` or `.csv` files, or frames.

        Parameters
        ----------
        bars, ratings : path or DataFrame
            See `features.inputs.bars.Bars.from_frame` and `OutcomeLog.from_frame`.
        rule : RewardRule, optional
            Default `TopShare(0.05)`.
        events, sectors, cached
            See `Contexts.compute`.
        on_bad, tz
            See `Bars.from_frame`.
        is_timed : bool
            Whether each time of day in the ratings is a scan; see `OutcomeLog.from_frame`.
        """
        if isinstance(bars, pd.DataFrame):
            known = Bars.from_frame(bars, on_bad=on_bad, tz=tz)
        else:
            known = Bars.read(bars, on_bad=on_bad, tz=tz)
        logged = ratings if isinstance(ratings, pd.DataFrame) else read_ratings(ratings)
        outcomes = OutcomeLog.from_frame(
            logged, known.dates, known.symbols, on_bad=on_bad, is_timed=is_timed,
            tz=tz or Session.of_days(known.dates, known.mask).tz if is_timed else tz,
        )  # fmt: skip
        contexts = Contexts.compute(known, events=events, sectors=sectors, cached=cached)
        return cls(outcomes, contexts, rule or TopShare())

    @property
    def dates(self) -> NDArray[np.datetime64]:
        """See `Log.dates`: the trading days of the bars."""
        return self.outcomes.dates

    @property
    def symbols(self) -> tuple[str, ...]:
        """See `Log.symbols`."""
        return self.outcomes.symbols

    @property
    def sectors(self) -> Mapping[str, str]:
        """See `Log.sectors`."""
        return self.contexts.sectors

    @property
    def left_out(self) -> tuple[str, ...]:
        """See `Log.left_out`: days whose scans were stopped."""
        return self.outcomes.left_out

    def regimes(self, days: NDArray[np.intp], *, same_day: bool = False) -> tuple[Regime, ...]:
        """See `Log.regimes`; judged by the bars of all symbols."""
        known = market_regimes(self.contexts.bars)
        return tuple(known[int(day) - (not same_day)] for day in days)

    def days(
        self, from_: date | str | None = None, to: date | str | None = None
    ) -> NDArray[np.intp]:
        """Rows of the days with complete scans from `from_` to `to`, both included.

        The first day of the bars is left out: nothing was known before it.

        Raises
        ------
        InvalidInputError
            If there is no such day, or the rows are times of day.
        """
        if not np.array_equal(self.outcomes.dates, self.contexts.bars.dates):
            raise InvalidInputError(
                "the rows of this log are not the days of its bars; `scanrank replay --every` "
                "replays several scans a day. For one a day, read it without is_timed"
            )
        return self.outcomes.days(from_, to)

    def scans(self, days: NDArray[np.intp], *, same_day: bool = False) -> Iterator[ReplayScan]:
        """Yield the scans of these days.

        Parameters
        ----------
        days : ndarray of int
            From `days`.
        same_day : bool
            Whether the context may use the bars of the scan's own day; by default it ends with
            the trading day before.
        """
        for day in days:
            yield self.scan(int(day), int(day) - (not same_day))

    def scan(self, day: int, known: int, loadings: Loadings | None = None) -> ReplayScan:
        """Return the scan of one row of the outcomes; `known`: row of the bars that it knows.

        `loadings` of that row need not be read again where they are given.
        """
        log, contexts = self.outcomes, self.contexts
        places = np.flatnonzero(~np.isnan(log.rating[day]))
        rating = log.rating[day, places]
        loadings = contexts.loadings(known) if loadings is None else loadings
        columns = {name: values[day, places] for name, values in log.columns.items()}
        return ReplayScan(
            now=datetime.combine(log.dates[day].item(), _SCAN_TIME),
            symbols=tuple(log.symbols[place] for place in places),
            places=places,
            sub_score_names=contexts.names,
            sub_scores=contexts.sub_scores[known, places],
            loadings=Loadings(loadings.names, loadings.values[places]),
            rating=rating,
            hits=log.hits(self.rule, day, places),
            outcomes=LoggedOutcomes(
                rating, log.signal[day, places], log.signal_names, columns, self.rule
            ),
        )
