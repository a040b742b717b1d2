"""Replay a log under several orders and measure each: what would scanrank have done here?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.checks import as_count, as_number, refusal
from bandit.errors import InvalidInputError
from bandit.evaluation.metrics import ScanMetrics, first_places, recall_curve, scan_metrics
from bandit.rewards import HitIf, RewardRule, Signal, Threshold, TopShare
from scanner_adapter.replay.logs.known_at import KnownAtLog
from scanner_adapter.replay.logs.scans import Log
from scanner_adapter.replay.orders import (
    Composite,
    FileOrder,
    LastRating,
    Oracle,
    Order,
    Random,
)
from scanner_adapter.replay.pace import Pace
from scanner_adapter.replay.ranked import Configuration, Ranked, Recorder
from scanner_adapter.replay.report import OrderResult, ReplayReport

BASELINES = ("random", "file order", "composite", "last rating", "oracle")
ORDERS = ("scanrank", *BASELINES)

# Shares of the universe at which curves are kept; in whole percent, so that 0.29 * 100 is 29.
_GRID = np.arange(101) / 100


def replay(
    log: Log,
    *,
    configuration: Configuration | None = None,
    from_: date | str | None = None,
    to: date | str | None = None,
    batch_size: int = 50,
    budget: float | None = None,
    warmup: int = 60,
    same_day: bool = False,
    orders: Iterable[str | Order] = ORDERS,
    pace: Pace | None = None,
    watch: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ReplayReport:
    """Replay the scans of a log in order of time under each order.

    Every order sees the same scans, learns only from what it visits itself, and starts knowing
    nothing.

    Parameters
    ----------
    log : ReplayLog
    configuration : Configuration, optional
        The ranker behind the order "scanrank".
    from_, to : date, optional
        First and last scan; default all that the log has.
    batch_size : int
        Symbols per batch.
    budget : float, optional
        Share of the universe at which each scan is stopped; default complete scans.
    warmup : int
        Scans at the beginning that are learned from and not measured.
    same_day : bool
        Whether features may see the bars of the scan's own day; by default they end the trading
        day before.
    orders : iterable of str or Order
        Names out of `ORDERS`, or orders of your own.
    pace : Pace, optional
        Several workers and late results, for the order "scanrank"; other orders learn nothing
        within a scan, so that it makes no difference to them.
    watch : bool
        Whether to note the order "scanrank"'s weights and recall estimates (`report.watch`).
    progress : callable, optional
        Called with (scans done, scans in all).

    Raises
    ------
    InvalidInputError
        For settings outside their range, unknown or repeated orders, or a period with no scan
        left to measure.
    """
    days = log.days(from_, to)
    _check(batch_size, budget, warmup, len(days))
    notes = Recorder() if watch else None
    contenders = _open(orders, log, configuration or Configuration(), batch_size, pace, notes)
    hit_places: list[NDArray[np.intp]] = []
    sizes: list[int] = []
    measured: dict[str, list[Any]] = {order.name: [] for order in contenders}
    n_fallback = Counter[str]()
    for number, scan in enumerate(log.scans(days, same_day=same_day)):
        n = len(scan.symbols)
        n_visits = n if budget is None else max(first_places(budget, n), 1)
        if number >= warmup:
            hit_places.append(scan.places[scan.hits])
            sizes.append(n)
        for order in contenders:
            start = perf_counter()
            visited = order.visit(scan, n_visits)
            elapsed = perf_counter() - start
            _check_visits(order, visited, n_visits)
            if number >= warmup:
                measured[order.name].append(_measured(scan.hits, visited, elapsed))
                n_fallback[order.name] += bool(getattr(order, "fell_back", False))
        if progress is not None:
            progress(number + 1, len(days))
    results = {}
    for name, scans in measured.items():
        metrics, ms, scanned, curves, ranks = zip(*scans, strict=True)
        results[name] = OrderResult(
            metrics, np.array(ms), np.array(scanned), np.array(curves, np.float32), ranks,
            n_fallback[name],
        )  # fmt: skip
    return ReplayReport(
        results=results,
        dates=log.dates[days[warmup:]],
        conditions={
            "symbols": len(log.symbols),
            "warmup": warmup,
            "batch_size": batch_size,
            "budget": budget,
            "bars": _known_of(log, same_day=same_day),
            "hit": describe(log.rule),
            "pace": str(pace) if pace is not None and str(pace) else None,
            "left_out": "; ".join(log.left_out) or None,
        },
        hit_places=tuple(hit_places),
        sizes=tuple(sizes),
        regimes=log.regimes(days[warmup:], same_day=same_day),
        symbols=log.symbols,
        sectors=log.sectors,
        watch=notes,
    )


def _known_of(log: Log, *, same_day: bool) -> str:
    if isinstance(log, KnownAtLog):
        return f"day-old bars and quotes of {', '.join(log.times)}"
    return "same-day bars" if same_day else "day-old bars"


def describe(rule: RewardRule) -> str:
    """Return a description of a hit rule in words."""
    match rule:
        case TopShare(share=share):
            return f"one of the day's top {100 * share:.4g}% by rating"
        case Threshold(minimum=minimum):
            return f"a rating of {minimum:.15g} or more"
        case Signal(words=words):
            return f"a signal ({', '.join(words)})" if words else "a signal"
        case HitIf(name=name):
            return f"what {name} says"
        case _:
            return f"a reward of at least 0.5 by {type(rule).__name__}"


def _measured(
    hits: NDArray[np.bool_], visited: NDArray[np.intp], seconds: float
) -> tuple[ScanMetrics, float, float, NDArray[np.float64], NDArray[np.float32]]:
    """Return what an `OrderResult` holds of one scan, in the order of its fields."""
    n, n_hits = len(hits), int(hits.sum())
    metrics = scan_metrics(hits[visited], n_universe=n, n_hits=n_hits)
    curve = recall_curve(hits[visited], n_universe=n, n_hits=n_hits)
    # A stopped scan's curve stays where it was.
    curve = curve[np.minimum((_GRID * n).astype(np.intp), len(visited))]
    rank = np.full(n, np.nan, np.float32)
    rank[visited] = np.arange(1, len(visited) + 1) / n
    return metrics, 1000.0 * seconds, len(visited) / n, curve, rank[hits]


def _open(
    orders: Iterable[str | Order],
    log: Log,
    configuration: Configuration,
    batch_size: int,
    pace: Pace | None,
    watch: Recorder | None,
) -> list[Order]:
    make: dict[str, Callable[[], Order]] = {
        "scanrank": lambda: Ranked(
            configuration.open(log.rule, keeps_journal=False),
            name=configuration.name,
            batch_size=batch_size,
            pace=pace,
            watch=watch,
        ),
        "random": lambda: Random(np.random.default_rng(configuration.seed)),
        "file order": FileOrder,
        "composite": Composite,
        "last rating": lambda: LastRating(len(log.symbols)),
        "oracle": Oracle,
    }
    if isinstance(orders, str):
        raise refusal(orders, "orders", f"a list, such as [{orders!r}]")
    opened: list[Order] = []
    for order in orders:
        if order not in make if isinstance(order, str) else not hasattr(order, "visit"):
            raise refusal(order, "order", f"one of {', '.join(make)}, or an Order")
        opened.append(make[order]() if isinstance(order, str) else order)
    names = [order.name for order in opened]
    if not names or len(set(names)) < len(names):
        raise InvalidInputError(f"orders are {names}; expected at least one, each name once")
    return opened


def _check(batch_size: int, budget: float | None, warmup: int, n_scans: int) -> None:
    as_count(batch_size, "batch_size")
    if budget is not None:
        as_number(
            budget, "budget", "a share of the universe in (0, 1], such as 0.25", above=0.0, most=1.0
        )
    as_count(warmup, "warmup", least=0)
    if warmup >= n_scans:
        raise InvalidInputError(
            f"{n_scans} scans leave none to measure after a warm-up of {warmup}; use a longer "
            "period or a shorter warm-up"
        )


def _check_visits(order: Order, visited: NDArray[np.intp], n_visits: int) -> None:
    # A repeated symbol would make an order look better than it is.
    if len(np.unique(visited)) != len(visited) or not 0 < len(visited) <= n_visits:
        raise RuntimeError(
            f"order {order.name!r} visited {len(np.unique(visited))} different symbols in "
            f"{len(visited)} visits; expected each once, and 1 to {n_visits} visits"
        )
