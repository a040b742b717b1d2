"""Scans that were recorded with everything they knew: the bundled log, or complete journals.

No bars are needed to replay them, because each scan brings its own sub-scores and loadings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bandit.errors import InvalidInputError
from bandit.rewards import RewardRule, final_hits, rule_text
from features.similarity import Loadings
from scanner_adapter.inputs.outcomes import Outcome
from scanner_adapter.replay.logs.outcome_log import high_value, rows_between
from scanner_adapter.replay.logs.regimes import UNKNOWN, Regime
from scanner_adapter.replay.logs.scans import LoggedOutcomes, ReplayScan


@dataclass(frozen=True)
class RecordedScan:
    """One complete scan as it was recorded; arrays over its n symbols.

    Attributes
    ----------
    now : datetime
        UTC.
    symbols : tuple of str, length n
        In file order.
    sub_score_names : tuple of str, length n_sub
    sub_scores : ndarray of float32, shape (n, n_sub)
    loadings : Loadings
    rating : ndarray of float64, shape (n,)
        NaN where the evaluation failed or gave none.
    signal : ndarray of int8, shape (n,)
        Place in `signal_names`; -1 = no signal.
    signal_names : tuple of str
    columns : mapping of str to ndarray of float32, shape (n,)
        Further numbers of the scanner's rows.
    regime : Regime
    read_outcomes : callable, optional
        Returns the outcomes, length n, where arrays cannot say which numbers each one had.
    as_of : str, optional
        Day that the scan was given, as "2024-05-02": an evening's scan is the next day's in UTC.
    """

    now: datetime
    symbols: tuple[str, ...]
    sub_score_names: tuple[str, ...]
    sub_scores: NDArray[np.float32]
    loadings: Loadings
    rating: NDArray[np.float64]
    signal: NDArray[np.int8]
    signal_names: tuple[str, ...] = ()
    columns: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    regime: Regime = UNKNOWN
    read_outcomes: Callable[[], tuple[Outcome, ...]] | None = None
    as_of: str | None = None

    def __repr__(self) -> str:
        return f"RecordedScan({self.now:%Y-%m-%d %H:%M}, {len(self.symbols)} symbols)"

    def outcomes(self, rule: RewardRule) -> Sequence[Outcome]:
        """What the live scanner reported, length n, its signals read as `rule` has them."""
        if self.read_outcomes is not None:
            return self.read_outcomes()
        return LoggedOutcomes(self.rating, self.signal, self.signal_names, self.columns, rule)


@dataclass(frozen=True)
class RecordedLog:
    """Recorded scans in order of time; see `scanner_adapter.replay.logs.scans.Log`.

    Attributes
    ----------
    recorded : tuple of RecordedScan
    rule : RewardRule
        What counts as a hit.
    sectors : mapping of symbol to sector
    left_out : tuple of str
        See `Log.left_out`.
    """

    recorded: tuple[RecordedScan, ...]
    rule: RewardRule
    sectors: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.recorded:
            raise InvalidInputError("no complete scan was recorded; expected at least one")
        times = [scan.now for scan in self.recorded]
        if times != sorted(times):
            raise InvalidInputError("recorded scans are not in time order; sort them by `now`")

    def __repr__(self) -> str:
        return (
            f"RecordedLog({len(self.recorded)} scans of {len(self.symbols)} symbols, "
            f"{self.dates[0]} to {self.dates[-1]}, hits {rule_text(self.rule)})"
        )

    @cached_property
    def dates(self) -> NDArray[np.datetime64]:
        """See `Log.dates`; one row per scan."""
        return np.array([scan.as_of or scan.now.date() for scan in self.recorded], "datetime64[D]")

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """See `Log.symbols`."""
        return tuple(dict.fromkeys(symbol for scan in self.recorded for symbol in scan.symbols))

    def days(
        self, from_: date | str | None = None, to: date | str | None = None
    ) -> NDArray[np.intp]:
        """See `Log.days`."""
        return rows_between(self.dates, np.ones(len(self.recorded), bool), from_, to)

    def regimes(self, days: NDArray[np.intp], *, same_day: bool = False) -> tuple[Regime, ...]:
        """See `Log.regimes`."""
        self._refuse(same_day)
        return tuple(self.recorded[day].regime for day in days)

    def scans(self, days: NDArray[np.intp], *, same_day: bool = False) -> Iterator[ReplayScan]:
        """See `Log.scans`.

        Raises
        ------
        InvalidInputError
            For `same_day`: what a recorded scan knew is part of it.
        """
        self._refuse(same_day)
        place = {symbol: i for i, symbol in enumerate(self.symbols)}
        for day in days:
            scan = self.recorded[day]
            is_signal = high_value(scan.signal, scan.signal_names, self.rule)
            yield ReplayScan(
                now=scan.now,
                symbols=scan.symbols,
                places=np.array([place[symbol] for symbol in scan.symbols], np.intp),
                sub_score_names=scan.sub_score_names,
                sub_scores=scan.sub_scores,
                loadings=scan.loadings,
                rating=scan.rating,
                hits=final_hits(self.rule, scan.rating, is_signal),
                outcomes=scan.outcomes(self.rule),
            )

    def _refuse(self, same_day: bool) -> None:
        if same_day:
            raise InvalidInputError(
                "recorded scans include their own data, so bars of the same day cannot be added; "
                "replay bars and ratings for that (--bars and --ratings)"
            )
