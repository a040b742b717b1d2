"""One logged scan at a time: its universe, what was known before it, and what it would find."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bandit.errors import InvalidInputError
from bandit.rewards import RewardRule, TopShare
from features.bars import Bars
from features.similarity import Loadings
from scanner_adapter.outcomes import Outcome
from scanner_adapter.replay.contexts import Contexts, EventFrames
from scanner_adapter.replay.outcome_log import OutcomeLog

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
    outcomes : tuple of Outcome, length n
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
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True)
class ReplayLog:
    """A complete log of scans with the contexts they had.

    Attributes
    ----------
    outcomes : OutcomeLog
    contexts : Contexts
    rule : RewardRule
        What counts as a hit.
    """

    outcomes: OutcomeLog
    contexts: Contexts
    rule: RewardRule

    @classmethod
    def read(
        cls,
        bars: str | Path,
        ratings: str | Path,
        *,
        rule: RewardRule | None = None,
        events: EventFrames | None = None,
        sectors: Mapping[str, str] | None = None,
        cached: bool = True,
    ) -> ReplayLog:
        """Read bars and a scanner's ratings, `.parquet` or `.csv`.

        Parameters
        ----------
        bars, ratings : path
            See `features.bars.Bars.read` and `OutcomeLog.from_frame`.
        rule : RewardRule, optional
            Default `TopShare(0.05)`.
        events, sectors, cached
            See `Contexts.compute`.
        """
        known = Bars.read(bars)
        outcomes = OutcomeLog.read(ratings, known.dates, known.symbols)
        contexts = Contexts.compute(known, events=events, sectors=sectors, cached=cached)
        return cls(outcomes, contexts, rule or TopShare())

    def days(
        self, from_: date | str | None = None, to: date | str | None = None
    ) -> NDArray[np.intp]:
        """Rows of the days with outcomes from `from_` to `to`, both included.

        The first day of the bars is left out: nothing was known before it.

        Raises
        ------
        InvalidInputError
            If there is no such day.
        """
        dates = self.outcomes.dates
        rated = ~np.isnan(self.outcomes.rating).all(axis=1) & (np.arange(len(dates)) > 0)
        if not rated.any():
            raise InvalidInputError("no day has ratings and a day of bars before it")
        first, last = dates[rated][[0, -1]]
        start, end = _day(from_, first), _day(to, last)
        days = np.flatnonzero(rated & (dates >= start) & (dates <= end))
        if not days.size:
            raise InvalidInputError(
                f"no scan from {start} to {end}; the log has scans from {first} to {last}"
            )
        return days

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
            yield self._scan(int(day), int(day) - (not same_day))

    def _scan(self, day: int, known: int) -> ReplayScan:
        log, contexts = self.outcomes, self.contexts
        places = np.flatnonzero(~np.isnan(log.rating[day]))
        rating = log.rating[day, places]
        loadings = contexts.loadings(known)
        signals = [*log.signal_names, None]
        names = tuple(log.columns)
        rows = np.empty((len(places), len(names)))
        for j, name in enumerate(names):
            rows[:, j] = log.columns[name][day, places]
        return ReplayScan(
            now=datetime.combine(log.dates[day].item(), _SCAN_TIME),
            symbols=tuple(log.symbols[place] for place in places),
            places=places,
            sub_score_names=contexts.names,
            sub_scores=contexts.sub_scores[known, places],
            loadings=Loadings(loadings.names, loadings.values[places]),
            rating=rating,
            hits=log.hits(self.rule, day, places),
            outcomes=tuple(
                Outcome(
                    rating=value, signal=signals[code], columns=dict(zip(names, row, strict=True))
                )
                for value, code, row in zip(
                    rating.tolist(), log.signal[day, places].tolist(), rows.tolist(), strict=True
                )
            ),
        )


def _day(given: date | str | None, default: np.datetime64) -> np.datetime64:
    if given is None:
        return default
    try:
        return np.datetime64(pd.Timestamp(given), "D")
    except ValueError as err:
        raise InvalidInputError(f"{given!r} is no date; expected one such as 2019-12-31") from err
