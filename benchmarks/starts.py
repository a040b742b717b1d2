"""Does a learner that starts from nothing ever run away? ``python -m benchmarks.starts``.

Many first months instead of one: from an empty store, starts spread over the history x seeds x
scanners, in five markets. A run is 30 scans through the code that runs live; what counts is the
mean of scans 4 to 30 of the hits found in the first tenth, against "last rating first", which
anybody could do. One start and one seed hide a learner that runs away in one of seven runs.

The whole (20 starts x 10 seeds x 16 market and scanner pairs, 96,000 scans) takes about three hours
of one idle core; ``--starts``, ``--seeds``, ``--market`` and ``--scanner`` take a part of it.
Returns 1 if a run falls behind.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bandit.rewards import TopShare
from benchmarks import _data
from benchmarks._data import RATING
from features.inputs.bars import Bars
from features.inputs.events import Events
from scanner_adapter.demo.simulator import simulate
from scanner_adapter.replay import Configuration, Order, Ranked, replay
from scanner_adapter.replay.logs.bundled import bundled_log
from scanner_adapter.replay.logs.contexts import Contexts
from scanner_adapter.replay.logs.scans import Log
from scanner_adapter.replay.orders import LastRating

BATCH_SIZE = 50
N_SCANS, SKIPPED = 30, 3  # of a run, and those at its beginning that do not count
ALLOWED = 0.03  # of recall in the first tenth, below last rating first

SCANNERS = (RATING, "breakout", "volume_surge", "reversal", "squeeze")
MARKETS = ("main", "bundled", "made-up", "300", "5000")
# Scans at the end of each history over which starts are spread; before them there is history for
# the features. 5,000 symbols have fewer, to fit into memory.
SPREAD = {"main": _data.N_SCANS, "bundled": 120, "made-up": 130, "300": _data.N_SCANS, "5000": 60}
_HISTORY = 270


@dataclass(frozen=True)
class Run:
    """One run: found in the first tenth by the learner, and by last rating first.

    A start whose scans had no hits gives no run.
    """

    market: str
    scanner: str
    start: str
    seed: int
    found: float
    last_rating: float

    @property
    def ahead(self) -> float:
        """Recall in the first tenth, over that of last rating first."""
        return self.found - self.last_rating


def scanners_of(market: str) -> tuple[str, ...]:
    """The scanners whose results a market has."""
    return (RATING,) if market == "bundled" else SCANNERS


@lru_cache(maxsize=1)
def _contexts(market: str) -> Contexts:
    if market in ("main", "300"):
        known = _data.contexts()
        if market == "main":
            return known
        few = np.sort(np.random.default_rng(0).permutation(len(known.bars.symbols))[:300])
        return replace(
            known,
            bars=known.bars.select([known.bars.symbols[place] for place in few]),
            sub_scores=known.sub_scores[:, few],
            cache=None,
        )
    n_symbols = 5_000 if market == "5000" else 1_000
    made = simulate(n_symbols, _HISTORY + SPREAD[market])
    events = Events.from_frames(earnings=made.earnings)
    return Contexts.compute(Bars.from_frame(made.bars), events=events, sectors=made.sectors)


@lru_cache(maxsize=1)
def log_of(market: str, scanner: str) -> Log:
    """The log of one scanner in one market."""
    if market == "bundled":
        return bundled_log()
    if market == "main" and scanner == RATING:
        return _data.ratings_log()
    name = "technical_rating" if scanner == RATING else scanner
    log = _data.rule_log(name, _contexts(market))
    return replace(log, rule=TopShare()) if scanner == RATING else log


def open_learner(log: Log, seed: int) -> Order:
    """Open scanrank, knowing nothing."""
    ranker = Configuration(seed=seed).open(log.rule, keeps_journal=False)
    return Ranked(ranker, name=f"seed {seed}", batch_size=BATCH_SIZE)


def run_start(
    log: Log,
    first: int,
    seeds: Sequence[int],
    *,
    n_scans: int = N_SCANS,
    learner: Callable[[Log, int], Order] = open_learner,
) -> dict[int, tuple[float, float]]:
    """Replay from one start with several seeds.

    Parameters
    ----------
    first : int
        Row of the first scan in ``log.days()``.

    Returns
    -------
    dict of seed to (found by the learner, found by last rating first)
        Means of the first tenth; empty where no scan that counts had a hit.
    """
    days = log.days()[first : first + n_scans]
    orders = [learner(log, seed) for seed in seeds]
    report = replay(
        log,
        from_=str(log.dates[days[0]]),
        to=str(log.dates[days[-1]]),
        warmup=SKIPPED,
        batch_size=BATCH_SIZE,
        orders=[*orders, LastRating(len(log.symbols))],
    )
    means = {
        name: float(np.nanmean(found))
        for name, result in report.results.items()
        if not np.isnan(found := [each.recall_10 for each in result.metrics]).all()
    }
    if LastRating.name not in means:
        return {}
    last = means[LastRating.name]
    return {seed: (means[order.name], last) for seed, order in zip(seeds, orders, strict=True)}


def starts_of(log: Log, n_starts: int, spread: int, n_scans: int) -> list[int]:
    """Rows in ``log.days()`` of starts, evenly over the last `spread` scans."""
    n_days = len(log.days())
    earliest, latest = max(n_days - spread, 0), n_days - n_scans
    if latest < earliest:
        raise SystemExit(f"the log has {n_days} scans; a run takes {n_scans}")
    return [int(row) for row in np.unique(np.linspace(earliest, latest, n_starts).astype(int))]


def runs_of(
    market: str, scanner: str, n_starts: int, seeds: Sequence[int], n_scans: int
) -> list[Run]:
    """Every run of one scanner in one market."""
    log = log_of(market, scanner)
    days = log.days()
    return [
        Run(market, scanner, str(log.dates[days[first]]), seed, *found)
        for first in starts_of(log, n_starts, SPREAD[market], n_scans)
        for seed, found in run_start(log, first, seeds, n_scans=n_scans).items()
    ]


def behind(runs: Sequence[Run]) -> list[Run]:
    """The runs that fall behind last rating first by more than is allowed, worst first."""
    return sorted((run for run in runs if run.ahead < -ALLOWED), key=lambda run: run.ahead)


def table(runs: Sequence[Run]) -> Table:
    """One row for each scanner in each market."""
    shown = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("market", "scanner"):
        shown.add_column(name, no_wrap=True)
    for name in ("runs", "in 10 %", "last rating", "ahead", "worst", "behind"):
        shown.add_column(name, justify="right", no_wrap=True)
    for market, scanner in dict.fromkeys((run.market, run.scanner) for run in runs):
        its = [run for run in runs if (run.market, run.scanner) == (market, scanner)]
        ahead = 100.0 * np.array([run.ahead for run in its])
        shown.add_row(
            market, scanner, str(len(its)),
            f"{np.mean([run.found for run in its]):.3f}",
            f"{np.mean([run.last_rating for run in its]):.3f}",
            f"{ahead.mean():+.1f}", f"{ahead.min():+.1f}", str(len(behind(its))),
        )  # fmt: skip
    return shown


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the starts and print how many runs fall behind."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.starts", description=__doc__)
    parser.add_argument("--market", nargs="+", choices=MARKETS, default=list(MARKETS))
    parser.add_argument("--scanner", nargs="+", choices=SCANNERS, default=list(SCANNERS))
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--scans", type=int, default=N_SCANS, help="of a run")
    parser.add_argument("--jobs", type=int, default=1, help="scanners at a time")
    parser.add_argument("--json", type=Path, help="write every run to this file")
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read by the processes below
    pairs = [(m, s) for m in chosen.market for s in scanners_of(m) if s in chosen.scanner]
    runs: list[Run] = []
    with ProcessPoolExecutor(chosen.jobs, mp_context=get_context("spawn")) as pool:
        pending = {
            (market, scanner): pool.submit(
                runs_of, market, scanner, chosen.starts, range(chosen.seeds), chosen.scans
            )
            for market, scanner in pairs
        }
        for pair, future in pending.items():
            runs += future.result()
            print(f"done: {' '.join(pair)}", file=sys.stderr, flush=True)
            if chosen.json is not None:
                rows = [asdict(run) for run in runs]
                chosen.json.write_text(json.dumps(rows, indent=2, allow_nan=False) + "\n")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    console.print(table(runs))
    late = behind(runs)
    console.print(
        f"{len(late)} of {len(runs)} runs find {100 * ALLOWED:.0f} points less in the first tenth "
        f"than last rating first (scans {SKIPPED + 1} to {chosen.scans})"
    )
    for run in late[:5]:
        console.print(
            f"  {100 * run.ahead:+.1f} points: {run.market}, {run.scanner}, from {run.start}, "
            f"seed {run.seed}"
        )
    return 1 if late else 0


if __name__ == "__main__":
    raise SystemExit(main())
