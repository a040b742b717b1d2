"""What a replay found: one row per order, for people at 80 columns and for machines as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from bandit.errors import InvalidInputError
from bandit.evaluation.intervals import (
    Interval,
    PairedDifference,
    bootstrap_interval,
    paired_difference,
)
from bandit.evaluation.metrics import ScanMetrics
from bandit.evaluation.payoff import no_gain
from scanner_adapter.jsonio import finite_or_none
from scanner_adapter.replay.logs.outcome_log import rows_between
from scanner_adapter.replay.logs.regimes import Regime
from scanner_adapter.replay.ranked import Recorder
from scanner_adapter.tables import plain_table

T = TypeVar("T")
Row = dict[str, str | int | float | None]

# Scans resampled together: a trading week, over which easy and hard markets persist.
BLOCK = 5
_MEASURES = ("recall_5", "recall_10", "recall_25", "area", "wss_95", "first_hit_rank")
_FURTHER = ("average_time_to_discovery", "ndcg")


@dataclass(frozen=True)
class OrderResult:
    """One order's measures, scan by scan; arrays over the scans after the warm-up.

    Attributes
    ----------
    metrics : tuple of ScanMetrics, length n_scans
    overhead_ms : ndarray of float, shape (n_scans,)
        Time spent on choosing and learning in each scan, in milliseconds.
    scanned : ndarray of float, shape (n_scans,)
        Share of the universe that was visited before the scan ended or was stopped.
    curves : ndarray of float32, shape (n_scans, 101)
        Recall after 0, 1, ... 100 % of the universe; NaN for a scan without hits.
    ranks : tuple of ndarray of float32, length n_scans
        Share of the universe that was scanned when each hit was found, in the order of
        `ReplayReport.hit_places`; NaN = never.
    n_fallback : int
        Measured scans in which another order stood in for the ranker's own, which had fallen
        behind; see `bandit.belief.standing`.
    """

    metrics: tuple[ScanMetrics, ...]
    overhead_ms: NDArray[np.float64]
    scanned: NDArray[np.float64]
    curves: NDArray[np.float32]
    ranks: tuple[NDArray[np.float32], ...] = ()
    n_fallback: int = 0

    def __repr__(self) -> str:
        return f"OrderResult({len(self.metrics)} scans)"

    @property
    def curve(self) -> NDArray[np.float64]:
        """Mean recall curve over the scans that had hits, shape (101,)."""
        known = ~np.isnan(self.curves[:, 0])
        if not known.any():
            return np.full(self.curves.shape[1], math.nan)
        return np.asarray(self.curves[known].mean(axis=0, dtype=np.float64))

    @property
    def final_recall(self) -> NDArray[np.float64]:
        """Recall when each scan ended, shape (n_scans,); below 1 only if it was stopped early."""
        return self.curves[:, -1].astype(np.float64)

    def select(self, rows: NDArray[np.bool_]) -> OrderResult:
        """The same result over some of the scans."""
        return OrderResult(
            tuple(m for m, keep in zip(self.metrics, rows, strict=True) if keep),
            self.overhead_ms[rows],
            self.scanned[rows],
            self.curves[rows],
            _kept(self.ranks, rows),
        )

    def values(self, measure: str) -> NDArray[np.float64]:
        """One measure of all scans, shape (n_scans,); NaN where a scan does not determine it."""
        if measure not in ScanMetrics.names():
            raise InvalidInputError(
                f"measure is {measure!r}; expected one of {', '.join(ScanMetrics.names())}"
            )
        return np.array([getattr(metrics, measure) for metrics in self.metrics])


@dataclass(frozen=True)
class ReplayReport:
    """The results of all orders on the same scans.

    Attributes
    ----------
    results : mapping of str to OrderResult
        By order, in the order of the table.
    dates : ndarray of datetime64[D], shape (n_scans,)
        Days of the measured scans.
    conditions : mapping of str to value
        What was replayed and how: symbols, warmup, batch_size, budget, bars, hit, pace,
        left_out.
    hit_places : tuple of ndarray of int, length n_scans
        Places in `symbols` of each scan's hits.
    sizes : tuple of int, length n_scans
        Symbols in each scan's universe.
    regimes : tuple of Regime, length n_scans
        The market before each scan.
    symbols : tuple of str
    sectors : mapping of symbol to sector
    watch : Recorder or None
        What was noted of the ranker, if asked for.
    """

    results: Mapping[str, OrderResult]
    dates: NDArray[np.datetime64]
    conditions: Mapping[str, str | int | float | None]
    hit_places: tuple[NDArray[np.intp], ...] = ()
    sizes: tuple[int, ...] = ()
    regimes: tuple[Regime, ...] = ()
    symbols: tuple[str, ...] = ()
    sectors: Mapping[str, str] = field(default_factory=dict)
    watch: Recorder | None = None

    def between(
        self, from_: date | str | None = None, to: date | str | None = None
    ) -> ReplayReport:
        """The same replay, measured on the scans of a period only (both days included).

        What was learned before the period stays learned: this is how a held-out year is judged.

        Raises
        ------
        InvalidInputError
            If there is no such scan.
        """
        every = np.ones(len(self.dates), bool)
        kept = rows_between(self.dates, every, from_, to)
        return self.select(np.isin(np.arange(every.size), kept))

    def select(self, rows: NDArray[np.bool_]) -> ReplayReport:
        """The same replay, measured on some of its scans; `rows` has shape (n_scans,)."""
        return replace(
            self,
            results={order: result.select(rows) for order, result in self.results.items()},
            dates=self.dates[rows],
            hit_places=_kept(self.hit_places, rows),
            sizes=_kept(self.sizes, rows),
            regimes=_kept(self.regimes, rows),
        )

    def interval(self, order: str, measure: str) -> Interval:
        """Mean of a measure over scans with its 95 % bootstrap interval.

        NaN for a measure that needs more of the order (the first hit, work saved, time to
        discovery) if any scan was stopped before it could be known: the mean over the scans that
        got there would flatter.
        """
        values = self._result(order).values(measure)
        hitless = np.isnan(self._result(order).values("area"))
        if np.isnan(values[~hitless]).any():
            values = np.full(len(values), math.nan)
        return bootstrap_interval(values, np.random.default_rng(0), block=BLOCK)

    def difference(self, a: str, b: str, measure: str = "recall_10") -> PairedDifference:
        """By how much order `a` is above order `b`, scan by scan, and how sure that is."""
        first, second = (self._result(order).values(measure) for order in (a, b))
        return paired_difference(first, second, np.random.default_rng(0), block=BLOCK)

    @property
    def rows(self) -> list[Row]:
        """Rows by order: means with intervals (``*_low``, ``*_high``), scans, overhead."""
        rows: list[Row] = []
        for order, result in self.results.items():
            row: Row = {"order": order}
            for measure in (*_MEASURES, *_FURTHER):
                row |= interval_fields(measure, self.interval(order, measure))
            row["scans"] = len(result.metrics)
            row["overhead_ms_per_scan"] = finite_or_none(float(result.overhead_ms.mean()))
            rows.append(row)
        return rows

    def to_json(self) -> str:
        """The rows as a JSON list; a value that is not known is null."""
        return json.dumps(self.rows, indent=2, allow_nan=False)

    def table(self) -> Table:
        """The table for people; 80 columns suffice. ``±`` is half the 95 % interval."""
        table = plain_table(
            f"Share of hits found early, mean of {len(self.dates)} scans, {self.dates[0]} to "
            f"{self.dates[-1]}",
            ("order",),
            ("in 5%", "in 10%", "in 25%", "area", "WSS@95", "1st hit", "ms"),
            self.caption(),
        )
        for order, result in self.results.items():
            five, ten, quarter, area, saved, first = (
                self.interval(order, measure) for measure in _MEASURES
            )
            table.add_row(
                order,
                _shown(five.mean),
                _with_error(ten),
                _with_error(quarter),
                _shown(area.mean),
                _shown(saved.mean),
                _shown(first.mean, ".1f"),
                _shown(float(result.overhead_ms.mean()), ".1f"),
            )
        return table

    def caption(self) -> str:
        """The conditions of the replay in a sentence or two."""
        c = self.conditions
        budget = (
            "complete scans"
            if c["budget"] is None
            else f"stopped at {100 * float(c['budget']):.4g}% of the symbols"
        )
        return (
            f"{c['symbols']} symbols, {budget}, batches of {c['batch_size']}, "
            f"{str(c['pace']) + ', ' if c.get('pace') else ''}{c['bars']}, "
            f"{c['warmup']} scans of warm-up. A hit is {c['hit']}. ms: time for choosing and "
            "learning per scan." + (f" Left out: {c['left_out']}." if c.get("left_out") else "")
        )

    @property
    def no_gain(self) -> str | None:
        """Why no order can pay on this log, in a sentence; None where one can."""
        if not self.sizes:
            return None
        share = sum(places.size for places in self.hit_places) / sum(self.sizes)
        # Scans stopped before the first tenth ends cannot differ in what is found in it.
        is_whole = float(self.conditions.get("budget") or 1.0) >= 0.10
        is_judged = is_whole and {"scanrank", "random"} <= self.results.keys()
        return no_gain(share, self.difference("scanrank", "random") if is_judged else None)

    def __repr__(self) -> str:
        tenth = ", ".join(
            f"{order} {_shown(self.interval(order, 'recall_10').mean)}" for order in self.results
        )
        return (
            f"ReplayReport({len(self.dates)} scans, {self.dates[0]} to {self.dates[-1]}; share of "
            f"hits in the first 10%: {tenth})"
        )

    def _repr_mimebundle_(
        self, include: Sequence[str], exclude: Sequence[str], **further: object
    ) -> dict[str, str]:
        """Show the table in a notebook."""
        return self.table()._repr_mimebundle_(include, exclude, **further)

    def _result(self, order: str) -> OrderResult:
        if order not in self.results:
            known = ", ".join(self.results)
            raise InvalidInputError(f"order is {order!r}; this report has {known}")
        return self.results[order]


def interval_fields(name: str, interval: Interval) -> Row:
    """Return a mean and the ends of its interval as JSON takes them; NaN becomes null."""
    mean, low, high = map(finite_or_none, (interval.mean, interval.low, interval.high))
    return {name: mean, f"{name}_low": low, f"{name}_high": high}


def resampled_counts(n: int, n_resamples: int) -> NDArray[np.intp]:
    """How often each of `n` scans is drawn by each circular block resample, (n_resamples, n).

    Counts, so that whatever is known of the scans is summed by one product of matrices, without a
    copy of it for each resample.
    """
    block = min(BLOCK, n)
    starts = np.random.default_rng(0).integers(0, n, (n_resamples, -(-n // block)))
    picked = ((starts[:, :, None] + np.arange(block)) % n).reshape(n_resamples, -1)[:, :n]
    return np.stack([np.bincount(row, minlength=n) for row in picked])


def _kept(values: tuple[T, ...], rows: NDArray[np.bool_]) -> tuple[T, ...]:
    """Those of `values`, one a scan or none at all, whose row is chosen."""
    return tuple(v for v, keep in zip(values, rows, strict=True) if keep) if values else ()


def _shown(value: float, form: str = ".3f") -> str:
    return "–" if math.isnan(value) else format(value, form)


def _with_error(interval: Interval) -> str:
    if math.isnan(interval.mean):
        return "–"
    return f"{interval.mean:.3f} ±{(interval.high - interval.low) / 2:.3f}"
