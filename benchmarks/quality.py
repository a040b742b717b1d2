"""How much of what matters is found early: ``python -m benchmarks.quality``.

Every case replays the last 629 trading days of the market data (see `benchmarks._data`) through
the code that runs live, in batches of 50, and measures the scans after 60 of warm-up. Choices were
made on scans up to the end of 2018; 2019 alone is the held-out part. Learners start empty and
every order learns from its own visits only.

"without bars" is the ranker of a scanner that fetches inside its evaluation and hands no bars over;
"last rating" and "last hits" put first what the latest scan rated best, or found.
`benchmarks.handed_over` checks that bars that come with the results are as good as bars given.

Every (case, order) is kept on disk when it is done (`benchmarks._quality_cache`), so that a run
that was interrupted, or asked for less, goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks import _data, _quality_cache, _without, peers, peers_online
from scanner_adapter.replay import Configuration, Order, Ranked, ReplayLog, ReplayReport, replay
from scanner_adapter.replay.logs.scans import ReplayScan
from scanner_adapter.replay.orders import LastRating
from scanner_adapter.replay.report import OrderResult, Row
from scanner_adapter.run.stop_rules import RecallReached

BATCH_SIZE = 50
TARGET_RECALL, CONFIDENCE = 0.95, 0.9  # of the stop rule, whose promise is checked

# A cold start is measured from several days, or one lucky week would decide it.
N_STARTS, COLD_SCANS = 10, 20

UNTIL = f"until {TARGET_RECALL:.0%}"
BASELINES = ("random", "file order", "composite", "last rating", "oracle")
NO_BARS = "without bars"  # what a scanner that fetches inside its evaluation has at first
LAST_RESULT = ("last rating", "last hits")  # what its own loop could do without learning
DEFAULT_ORDERS = ("scanrank", "greedy", UNTIL, NO_BARS, *LAST_RESULT, "composite", "lightgbm")
ALL_ORDERS = ("scanrank", "greedy", UNTIL, NO_BARS, *BASELINES, "last hits", *peers.PEERS)


class LastHits(LastRating):
    """By the last result that this order itself has seen: hits, others, and what it never saw."""

    name = "last hits"

    def visit(self, scan: ReplayScan, n_visits: int) -> NDArray[np.intp]:
        """See `Order.visit`."""
        return super().visit(replace(scan, rating=scan.hits.astype(np.float64)), n_visits)


@dataclass(frozen=True)
class Case:
    """One line of the published table.

    Attributes
    ----------
    load : callable
        Gives the log.
    in_10, in_25 : float
        What is asked for; NaN = nothing.
    budget : float or None
        Share of the universe at which scans are stopped.
    same_day : bool
        Whether features see the bars of the scan's day.
    cold : bool
        Measure the first scans of an empty store instead of the later ones.
    """

    load: Callable[[], ReplayLog]
    in_10: float
    in_25: float
    budget: float | None = None
    same_day: bool = False
    cold: bool = False


CASES = {
    "full": Case(_data.ratings_log, 0.70, 0.91),
    "stop-25": Case(_data.ratings_log, 0.64, 0.86, budget=0.25),
    "stop-10": Case(_data.ratings_log, 0.60, math.nan, budget=0.10),
    "cold": Case(_data.ratings_log, math.nan, 0.88, cold=True),
    "breakout": Case(lambda: _data.rule_log("breakout"), 0.57, 0.81),
    "volume_surge": Case(lambda: _data.rule_log("volume_surge"), 0.43, 0.65),
    "reversal": Case(lambda: _data.rule_log("reversal"), 0.84, 0.975),
    "squeeze": Case(lambda: _data.rule_log("squeeze"), 0.89, 0.98),
    "same-day": Case(_data.ratings_log, 0.83, 0.98, same_day=True),
    # The other scanners' first scans: the mean of all five is asked for.
    **{
        f"cold-{name}": Case(partial(_data.rule_log, name), math.nan, math.nan, cold=True)
        for name in ("breakout", "volume_surge", "squeeze", "reversal")
    },
}


# Which time a scan knows its own day up to is part of a case's name: "full at 10:00", and with
# several, which take turns, "full at 10:00,15:00".
_AT = " at "


def case_of(name: str) -> Case:
    """Return the case of a name, of `CASES` or one of them with a time."""
    plain, _, times = name.partition(_AT)
    case = CASES[plain]
    if not times:
        return case
    # What was asked for is asked of bars of the day before.
    return replace(
        case, load=lambda: _data.known_at(case.load(), times), in_10=math.nan, in_25=math.nan
    )


def run_case(name: str, orders: Sequence[str], n_scans: int, to: str, seed: int) -> ReplayReport:
    """Replay one case under the named orders.

    Parameters
    ----------
    name : str
        See `case_of`.
    orders : sequence of str
        Out of `ALL_ORDERS`. The stop rule is left out where scans are stopped anyhow.
    n_scans : int
        Scans, warm-up included, that end with `to`; a cold case spreads its starts over them.
    to : str
        Last day.
    seed : int
    """
    case = case_of(name)
    wanted = _orders_of(name, orders)
    return replay_case(
        case, lambda log: [make_order(order, log, seed) for order in wanted], n_scans, to
    )


def run_part(name: str, order: str, n_scans: int, to: str, seed: int) -> tuple[float, float]:
    """Replay one case under one order and keep the result; return seconds and ms per scan.

    What was kept before takes no time.
    """
    path = _part(name, order, n_scans, to, seed)
    began = time.monotonic()
    report = _quality_cache.load(path)
    if report is None:
        report = run_case(name, [order], n_scans, to, seed)
        _quality_cache.save(path, report)
    return time.monotonic() - began, float(report.results[order].overhead_ms.mean())


def is_kept(name: str, order: str, n_scans: int, to: str, seed: int) -> bool:
    """Whether an earlier run has finished this part."""
    return _part(name, order, n_scans, to, seed).is_file()


def joined_case(name: str, orders: Sequence[str], n_scans: int, to: str, seed: int) -> ReplayReport:
    """Put the kept results of `orders` together."""
    parts = [_quality_cache.load(_part(name, order, n_scans, to, seed)) for order in orders]
    whole = [part for part in parts if part is not None]
    results = {order: result for part in whole for order, result in part.results.items()}
    return replace(whole[0], results=results)


def _part(name: str, order: str, n_scans: int, to: str, seed: int) -> Path:
    case = case_of(name)
    asked = {
        "case": name, "scans": n_scans, "to": to, "seed": seed, "batch": BATCH_SIZE,
        "budget": case.budget, "same_day": case.same_day, "cold": case.cold,
        "data": str(_data.data_folder()),
    }  # fmt: skip
    return _quality_cache.path_of(name, order, _quality_cache.key(order, asked=asked))


def _orders_of(name: str, orders: Sequence[str]) -> list[str]:
    """Leave out the stop rule where it has nothing to promise.

    It needs hits to count; a scan cut at a budget or an empty store cannot promise.
    """
    case = case_of(name)
    return [o for o in orders if o != UNTIL or (case.budget is None and not case.cold)]


def replay_case(
    case: Case, orders: Callable[[ReplayLog], list[str | Order]], n_scans: int, to: str
) -> ReplayReport:
    """Replay a case under what `orders` opens, anew for each period of a cold case."""
    log = case.load()
    days = log.days(None, to)[-n_scans:]
    dates = log.outcomes.dates
    periods = [(days[0], days[-1], _data.WARMUP)]
    if case.cold:
        starts = np.linspace(0, len(days) - COLD_SCANS, N_STARTS).astype(int)
        periods = [(days[i], days[i + COLD_SCANS - 1], 0) for i in starts]
    reports = [
        replay(
            log,
            from_=str(dates[first]),
            to=str(dates[last]),
            warmup=warmup,
            batch_size=BATCH_SIZE,
            budget=case.budget,
            same_day=case.same_day,
            orders=orders(log),
        )
        for first, last, warmup in periods
    ]
    return _joined(reports)


def make_order(name: str, log: ReplayLog, seed: int) -> str | Order:
    """Open one order, knowing nothing; baselines stay names."""
    rng = np.random.default_rng(seed)
    n_symbols = len(log.outcomes.symbols)
    settings = {"exploration": 0.0} if name == "greedy" else {}
    match name:
        case "scanrank" | "greedy":
            configuration = Configuration(seed=seed, settings=settings)
            ranker = configuration.open(log.rule, keeps_journal=False)
            return Ranked(ranker, name=name, batch_size=BATCH_SIZE)
        case "last hits":
            return LastHits(n_symbols)
        case "lightgbm":
            return peers.Peer(name, peers.LightGBM(seed), rng, random_share=0.02, loadings=False)
        case "bayesianbandits":
            return peers.Peer(name, peers.BayesianBandits(seed), rng)
        case "bayesianbandits hybrid":
            return peers.Peer(name, peers.BayesianBandits(seed, n_symbols=n_symbols), rng)
        case "mabwiser":
            return peers.Peer(name, peers.MabWiser(seed), rng)
        case "mabwiser ts":
            beta = peers_online.MabWiserThompson(seed, n_symbols=n_symbols)
            return peers.Peer(name, beta, rng)
        case "contextualbandits":
            return peers.Peer(name, peers.ContextualBandits(seed), rng)
        case "river":
            return peers.Peer(name, peers_online.River(seed), rng)
        case "vowpalwabbit":
            vw = peers_online.VowpalWabbit(seed)
            return peers.Peer(name, vw, rng, random_share=0.02, loadings=False)
    if name in _without.WITHOUT:
        return _without.open_order(name, log, seed, BATCH_SIZE)
    if name == UNTIL:
        ranker = Configuration(seed=seed).open(log.rule, keeps_journal=False)
        rule = RecallReached(TARGET_RECALL, CONFIDENCE)
        return Ranked(ranker, name=name, batch_size=BATCH_SIZE, until=rule)
    return name


def _joined(reports: Sequence[ReplayReport]) -> ReplayReport:
    """Several replays of one case as one report."""
    first = reports[0]
    if len(reports) == 1:
        return first
    results = {}
    for order in first.results:
        parts = [report.results[order] for report in reports]
        results[order] = OrderResult(
            metrics=tuple(m for part in parts for m in part.metrics),
            overhead_ms=np.concatenate([part.overhead_ms for part in parts]),
            scanned=np.concatenate([part.scanned for part in parts]),
            curves=np.concatenate([part.curves for part in parts]),
        )
    return replace(
        first, results=results, dates=np.concatenate([report.dates for report in reports])
    )


def stopping(report: ReplayReport) -> Row | None:
    """Did the stop rule keep its word? Share of scans that did, and what they scanned."""
    if UNTIL not in report.results:
        return None
    result = report.results[UNTIL]
    recall = result.final_recall
    known = ~np.isnan(recall)
    return {
        "kept": float((recall[known] >= TARGET_RECALL - 1e-9).mean()),
        "recall": float(recall[known].mean()),
        "scanned": float(result.scanned.mean()),
    }


def beginning(report: ReplayReport, order: str) -> Row:
    """What the first scans of a cold case found: the very first, and the second to the tenth."""
    metrics = np.array(report.results[order].metrics, object).reshape(-1, COLD_SCANS)
    found: Row = {}
    for part, its in (("first", metrics[:, :1]), ("2_to_10", metrics[:, 1:10])):
        for measure in ("recall_10", "recall_25"):
            found[f"{part}_{measure}"] = float(
                np.nanmean([getattr(each, measure) for each in its.ravel()])
            )
    ranks = [each.first_hit_rank for each in metrics[:, 0]]
    found["first_hit_rank"] = float(np.nanmedian(ranks))
    return found


def beginnings(name: str, report: ReplayReport) -> Table:
    """The first scans of a cold case for people."""
    shown = Table(
        title=f"{name} · {N_STARTS} starts from an empty store", title_justify="left", box=None,
        padding=(0, 2, 0, 0),
    )  # fmt: skip
    shown.add_column("order", no_wrap=True)
    for heading in ("first: 10 %", "25 %", "first hit at", "2 to 10: 10 %", "25 %"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for order in report.results:
        its = {key: float(str(value)) for key, value in beginning(report, order).items()}
        shown.add_row(
            order, _shown(its["first_recall_10"]), _shown(its["first_recall_25"]),
            f"{its['first_hit_rank']:.0f}", _shown(its["2_to_10_recall_10"]),
            _shown(its["2_to_10_recall_25"]),
        )  # fmt: skip
    return shown


def rows(name: str, report: ReplayReport) -> list[Row]:
    """The rows of one case for machines: whole period, held-out part, differences to scanrank."""
    found = []
    held_out = _held_out(report)
    for row in report.rows:
        order = str(row["order"])
        row = {"case": name, **row}
        row["target_10"] = _known(case_of(name).in_10)
        row["target_25"] = _known(case_of(name).in_25)
        if held_out is not None:
            row["held_out_scans"] = len(held_out.dates)
            row["held_out_10"] = _known(held_out.interval(order, "recall_10").mean)
            row["held_out_25"] = _known(held_out.interval(order, "recall_25").mean)
        if order != "scanrank" and "scanrank" in report.results:
            for measure in ("recall_10", "recall_25"):
                ahead = report.difference("scanrank", order, measure)
                row[f"scanrank_ahead_{measure}"] = _known(ahead.mean)
                row[f"scanrank_ahead_{measure}_low"] = _known(ahead.low)
                row[f"scanrank_ahead_{measure}_high"] = _known(ahead.high)
        if case_of(name).cold:
            row.update(beginning(report, order))
        if order == UNTIL:
            row.update({f"stop_{key}": value for key, value in (stopping(report) or {}).items()})
        found.append(row)
    return found


def table(name: str, report: ReplayReport) -> Table:
    """One case for people; 80 columns."""
    case, held_out = case_of(name), _held_out(report)
    shown = Table(
        title=f"{name} · {len(report.dates)} scans, {report.dates.min()} to {report.dates.max()}",
        title_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
    )
    shown.add_column("order", no_wrap=True)
    for heading in ("in 10 %", "in 25 %", "2019: 10 %", "25 %", "area", "ms"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for order, result in report.results.items():
        if order == UNTIL:
            continue
        late = [
            held_out.interval(order, measure).mean if held_out is not None else math.nan
            for measure in ("recall_10", "recall_25")
        ]
        shown.add_row(
            order,
            *(_with_error(report, order, measure) for measure in ("recall_10", "recall_25")),
            *(_shown(value) for value in late),
            _shown(report.interval(order, "area").mean),
            f"{result.overhead_ms.mean():.0f}",
        )
    shown.add_row("asked for", _shown(case.in_10), _shown(case.in_25), style="dim")
    stop = stopping(report)
    if stop is not None:
        shown.caption = (
            f"Stopping at recall {TARGET_RECALL:.0%} with {CONFIDENCE:.0%} confidence: "
            f"{stop['kept']:.0%} of scans ended at {TARGET_RECALL:.0%} or more (mean recall "
            f"{stop['recall']:.3f}) after {stop['scanned']:.0%} of the universe."
        )
        shown.caption_justify = "left"
    return shown


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases and print their tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument(
        "--orders",
        default=",".join(DEFAULT_ORDERS),
        help=f"'all', or some of: {', '.join(ALL_ORDERS)}".replace("%", "%%"),
    )
    parser.add_argument(
        "--known-at",
        metavar="TIME",
        nargs="+",
        help="scans know their own day up to this time (open, 10:00, close), one table a time; "
        "times joined by commas take turns",
    )
    parser.add_argument("--scans", type=int, default=_data.N_SCANS, help="warm-up included")
    parser.add_argument(
        "--to", help="last day; by default that of the data, or of the development part"
    )
    parser.add_argument(
        "--development", action="store_true", help=f"only scans up to {_data.DEVELOPMENT_END}"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="parts (case, order) at a time")
    parser.add_argument("--json", type=Path, help="write all rows to this file")
    parser.add_argument(
        "--kept", action="store_true", help="print what earlier runs have finished; run nothing"
    )
    chosen = parser.parse_args(arguments)
    orders = ALL_ORDERS if chosen.orders == "all" else tuple(chosen.orders.split(","))
    if unknown := [order for order in orders if order not in ALL_ORDERS]:
        parser.error(f"unknown order {unknown[0]!r}; known are {', '.join(ALL_ORDERS)}")
    if chosen.known_at:
        chosen.case = [f"{case}{_AT}{time}" for case in chosen.case for time in chosen.known_at]
    # One thread per process: the arrays are small, and two processes on two cores would fight.
    # Only processes that start afresh read this, hence "spawn" below.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _data.contexts()  # fill the disk cache once, before processes share it
    to = chosen.to or (_data.DEVELOPMENT_END if chosen.development else _data.PERIOD_END)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    all_rows: list[Row] = []
    with ProcessPoolExecutor(chosen.jobs, mp_context=get_context("spawn")) as pool:
        how = (chosen.scans, to, chosen.seed)
        wanted = {
            name: [
                order
                for order in _orders_of(name, orders)
                if not chosen.kept or is_kept(name, order, *how)
            ]
            for name in chosen.case
        }
        pending = {
            name: {order: pool.submit(run_part, name, order, *how) for order in its}
            for name, its in wanted.items()
        }
        failed: list[str] = []
        for name, parts in pending.items():
            done = []
            for order, future in parts.items():
                try:
                    seconds, overhead_ms = future.result()
                except Exception as error:
                    # A peer that breaks must not cost the hours of the others.
                    failed.append(f"{name}, {order}: {type(error).__name__}: {error}")
                    continue
                done.append(order)
                print(
                    f"{name}, {order}: {seconds:.0f} s, {overhead_ms:.0f} ms a scan",
                    file=sys.stderr,
                    flush=True,
                )
            if not done:
                continue
            report = joined_case(name, done, *how)
            all_rows += rows(name, report)
            console.print(table(name, report), "")
            if case_of(name).cold:
                console.print(beginnings(name, report), "")
            if chosen.json is not None:  # after each case: a long run that ends early keeps them
                chosen.json.write_text(json.dumps(all_rows, indent=2, allow_nan=False) + "\n")
    for name, its in wanted.items():
        if missing := [order for order in _orders_of(name, orders) if order not in its]:
            console.print(f"{name}: not run: {', '.join(missing)}")
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if failed else 0


def _held_out(report: ReplayReport) -> ReplayReport | None:
    rows_ = report.dates >= np.datetime64(_data.HELD_OUT_START)
    if not rows_.any() or rows_.all():
        return None
    results = {order: result.select(rows_) for order, result in report.results.items()}
    return replace(report, results=results, dates=report.dates[rows_])


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _shown(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _with_error(report: ReplayReport, order: str, measure: str) -> str:
    interval = report.interval(order, measure)
    if math.isnan(interval.mean):
        return "–"
    return f"{interval.mean:.3f} ±{(interval.high - interval.low) / 2:.3f}"


if __name__ == "__main__":
    raise SystemExit(main())
