"""What happens when a scanner changes its taste? ``python -m benchmarks.changes``.

Half-way through a history the scanner begins to want something else, and every scan stops after a
tenth of the universe, so that the learner sees only where its old belief sends it. Three kinds:

- *rule*: the hits of the technical rating become those of breakout;
- *threshold*: the best 20 % of the ratings become the best 2 %;
- *regime*: the best 5 % of the ratings become the worst 5 %.

Beside each learner stands one of the same settings that has known the new taste all along
(*as if never changed*). Printed: found in the stopped tenth before the change and in scans after
it, means over the starts, and the scan from which on the mean of the next five is at least 95 % of
the other's. All scans are of the time before 2019. The whole takes about a quarter of an hour of
one idle core.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bandit.rewards import Signal
from benchmarks import _data
from scanner_adapter.replay import Configuration, Ranked, ReplayLog, replay
from scanner_adapter.replay.logs.outcome_log import OutcomeLog

BATCH_SIZE = 50
BUDGET = 0.1
N_BEFORE, N_AFTER = 40, 40
BACK, OVER = 0.95, 5  # "back": this share of what would be found, as a mean over so many scans
PARTS = ((1, 3), (4, 6), (7, 10), (11, 20), (21, 40))  # scans after the change, both included

LEARNERS: dict[str, dict[str, float]] = {
    "default": {},
    "greedy": {"exploration": 0.0},
    "draws": {"exploration": 1.0},
    "wide draws": {"exploration": 2.0},
    "half-life 20 days": {"half_life_days": 20.0},
    "half-life 60 days": {"half_life_days": 60.0},
    "half-life 5 years": {"half_life_days": 1825.0},
    "random 5 %": {"random_share": 0.05},
}

Array = NDArray[np.float64]
Taste = Callable[[], tuple[Array, NDArray[np.bool_]]]


def _share(rating: Array, share: float) -> NDArray[np.bool_]:
    """Which ratings are of the best `share` of their day."""
    limit = np.full(len(rating), np.inf)
    rated = np.isfinite(rating).any(axis=1)
    limit[rated] = np.nanquantile(rating[rated], 1.0 - share, axis=1)
    return np.asarray(rating >= limit[:, None])


@lru_cache(maxsize=1)
def _rating() -> Array:
    return _data.rule_log("technical_rating").outcomes.rating


def _technical(share: float, sign: float = 1.0) -> Taste:
    return lambda: (sign * _rating(), _share(sign * _rating(), share))


def _breakout() -> tuple[Array, NDArray[np.bool_]]:
    outcomes = _data.rule_log("breakout").outcomes
    return outcomes.rating, outcomes.signal == 0


# The taste before and after.
KINDS: dict[str, tuple[Taste, Taste]] = {
    "rule": (_technical(0.05), _breakout),
    "threshold": (_technical(0.20), _technical(0.02)),
    "regime": (_technical(0.05), _technical(0.05, -1.0)),
}


def changed_log(kind: str, day: int | None) -> ReplayLog:
    """The log of a scanner that has the new taste from `day` on; None = it always had."""
    (old_rating, was_hit), (rating, is_hit) = (taste() for taste in KINDS[kind])
    known = _data.contexts()
    if day is not None:
        rating = np.concatenate([old_rating[:day], rating[day:]])
        is_hit = np.concatenate([was_hit[:day], is_hit[day:]])
    outcomes = OutcomeLog(
        known.bars.dates, known.bars.symbols, rating=rating,
        signal=np.where(is_hit & np.isfinite(rating), 0, -1).astype(np.int8), signal_names=("Buy",),
    )  # fmt: skip
    return ReplayLog(outcomes, known, Signal())


def found_by(log: ReplayLog, days: NDArray[np.intp], settings: dict[str, float]) -> Array:
    """Share of the hits that each of the stopped scans found, shape (n_scans,)."""
    ranker = Configuration(seed=1, settings=settings).open(log.rule, keeps_journal=False)
    report = replay(
        log,
        from_=str(log.dates[days[0]]),
        to=str(log.dates[days[-1]]),
        warmup=0,
        batch_size=BATCH_SIZE,
        budget=BUDGET,
        orders=[Ranked(ranker, name="learner", batch_size=BATCH_SIZE)],
    )
    return report.results["learner"].final_recall


def scans_until_back(found: Array, reference: Array) -> int | None:
    """Return the number of the scan after the change from which on all is as it would have been.

    Parameters
    ----------
    found, reference : ndarray, shape (n_starts, n_scans)
        After the change, and of the learner that has known the new taste all along.
    """
    window = np.ones(OVER) / OVER
    here, there = (
        np.convolve(np.nanmean(each, axis=0), window, "valid") for each in (found, reference)
    )
    back = np.flatnonzero(here >= BACK * there)
    return int(back[0]) + 1 if back.size else None


def measure(kind: str, names: Sequence[str], n_starts: int) -> dict[str, tuple[Array, Array]]:
    """Replay one kind of change; return found and reference by learner, shape (starts, scans)."""
    always = changed_log(kind, None)
    days = always.days(None, _data.DEVELOPMENT_END)
    n_scans = N_BEFORE + N_AFTER
    starts = np.linspace(len(days) - 400, len(days) - n_scans, n_starts).astype(int)
    results = {}
    for name in names:
        pairs = []
        for start in starts.tolist():
            its = days[start : start + n_scans]
            changed = changed_log(kind, int(its[N_BEFORE]))
            pairs.append([found_by(log, its, LEARNERS[name]) for log in (changed, always)])
        found, reference = np.array(pairs).transpose(1, 0, 2)
        results[name] = (found, reference)
        print(f"done: {kind}, {name}", file=sys.stderr, flush=True)
    return results


def table(kind: str, results: dict[str, tuple[Array, Array]]) -> Table:
    """One row for each learner."""
    shown = Table(title=f"{kind} changes", title_justify="left", box=None, padding=(0, 2, 0, 0))
    shown.add_column("learner", no_wrap=True)
    shown.add_column("before", justify="right")
    for first, last in PARTS:
        shown.add_column(f"scans {first}-{last}", justify="right", no_wrap=True)
    shown.add_column("as if never changed", justify="right")
    shown.add_column("back at scan", justify="right")
    for name, (found, reference) in results.items():
        after, never = found[:, N_BEFORE:], reference[:, N_BEFORE:]
        back = scans_until_back(after, never)
        shown.add_row(
            name, f"{np.nanmean(found[:, N_BEFORE - 10 : N_BEFORE]):.3f}",
            *(f"{np.nanmean(after[:, first - 1 : last]):.3f}" for first, last in PARTS),
            f"{np.nanmean(never):.3f}", "never" if back is None else str(back),
        )  # fmt: skip
    return shown


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay the changes and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.changes", description=__doc__)
    parser.add_argument("--kind", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--learner", nargs="+", choices=list(LEARNERS), default=list(LEARNERS))
    parser.add_argument("--starts", type=int, default=4)
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    for kind in chosen.kind:
        console.print(table(kind, measure(kind, chosen.learner, chosen.starts)))
        console.print()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
