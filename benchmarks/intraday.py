"""Many scans a day: ``python -m benchmarks.intraday`` (about half an hour).

A day as a scanner with a vendor's limit sees it: a scan every five minutes looks at 2 % of the
universe, and hits come and go. The days are those of the market data. Each half hour the symbols
that moved most on the path of ``known_by.py`` become hits, at a random one of its scans, and stay
so for a random time of a given half-life; at any time 5 % of the universe are hits. A hit counts
as found at the first look while it lasts. The ranker knows the evening's sub-scores and what it has
looked at.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bandit.evaluation.intervals import bootstrap_interval
from bandit.rewards import Threshold
from benchmarks import _data
from features.inputs.tables import FIELDS
from scanner_adapter.settings import Settings
from scanner_adapter.symbol_ranker import SymbolRanker

EVERY = timedelta(minutes=5)
N_SCANS, PER_HALF_HOUR = 78, 6
SHARE_HITS = 0.05
TIMES = ("open", *(f"{h:02d}:{m:02d}" for h in range(10, 16) for m in (0, 30)), "close")


@dataclass(frozen=True)
class Day:
    """Which symbols are hits when.

    Attributes
    ----------
    opens : datetime
        UTC.
    symbols : tuple of str
    context : (names, array of shape (n, n_sub))
        The evening's sub-scores.
    who, since, until : array, shape (n_hits,)
        The symbol of each hit, and the scans from which on, and before which, it is one.
    """

    opens: datetime
    symbols: tuple[str, ...]
    context: tuple[tuple[str, ...], NDArray[np.float32]]
    who: NDArray[np.intp]
    since: NDArray[np.intp]
    until: NDArray[np.intp]

    def is_hit(self, scan: int) -> NDArray[np.bool_]:
        """Which symbols are hits at a scan, (n,)."""
        now = np.zeros(len(self.symbols), bool)
        now[self.who[(self.since <= scan) & (scan < self.until)]] = True
        return now


def make_day(row: int, half_life: float, seed: int) -> Day:
    """Make the day in a row of the market data; `half_life` of hits in minutes."""
    contexts = _data.contexts()
    bars = contexts.bars
    at = np.flatnonzero(bars.mask[row] & bars.mask[row - 1])
    symbols = [bars.symbols[j] for j in at.tolist()]
    fields = {name: getattr(bars, name)[row, at] for name in FIELDS}
    day = pd.DataFrame({"date": str(bars.dates[row]), "symbol": symbols} | fields)
    path = [_data.known_by().quotes(day, time, 1)["last"].to_numpy(float) for time in TIMES]
    move = np.abs(np.diff(np.log(np.array(path)), axis=0))
    rng = np.random.default_rng([seed, row])
    lasting = half_life / np.log(2.0) / (EVERY / timedelta(minutes=1))  # scans, in the mean
    n_new = SHARE_HITS * at.size * PER_HALF_HOUR / lasting
    who, since = [], []
    for half_hour, moved in enumerate(move):
        best = np.argsort(-moved)[: rng.poisson(n_new)]
        who.append(best)
        since.append(PER_HALF_HOUR * half_hour + rng.integers(0, PER_HALF_HOUR, best.size))
    start = np.concatenate(since)
    ends = start + 1 + np.floor(rng.exponential(lasting, start.size)).astype(np.intp)
    opens = datetime.fromisoformat(f"{bars.dates[row]}T14:30").replace(tzinfo=UTC)
    context = contexts.names, np.asarray(contexts.sub_scores[row - 1, at])
    return Day(opens, tuple(symbols), context, np.concatenate(who), start, ends)


Looks = Callable[[Day, int, int], NDArray[np.intp]]
"""Chooses the places to look at in a scan of a day: (day, scan, number of looks)."""


class Rule:
    """Orders that need no learning: by when a symbol was last looked at, last hits first."""

    def __init__(self, *, hits_first: bool) -> None:
        self._hits_first = hits_first
        self._looked: dict[str, int] = {}
        self._was_hit: dict[str, bool] = {}
        self._now = 0

    def __call__(self, day: Day, scan: int, k: int) -> NDArray[np.intp]:
        """See `Looks`."""
        self._now += 1
        looked = np.array([self._looked.get(symbol, 0) for symbol in day.symbols])
        hit = np.array([self._was_hit.get(symbol, False) for symbol in day.symbols])
        order = np.lexsort((looked, ~hit if self._hits_first else np.zeros(hit.size)))[:k]
        is_hit = day.is_hit(scan)
        for place in order.tolist():
            symbol = day.symbols[place]
            self._looked[symbol], self._was_hit[symbol] = self._now, bool(is_hit[place])
        return order


class Learned:
    """The ranker, with or without knowing how long hits last."""

    def __init__(self, seed: int, settings: Settings, hits_last: timedelta | None) -> None:
        self._ranker = SymbolRanker.open(
            "memory://", ruleset="day", rewards=Threshold(0.5), seed=seed, settings=settings
        )
        self._hits_last = hits_last

    def __call__(self, day: Day, scan: int, k: int) -> NDArray[np.intp]:
        """See `Looks`."""
        is_hit = day.is_hit(scan)
        names = [name for name in day.context[0] if not name.startswith("historical.")]
        at = [day.context[0].index(name) for name in names]
        place = {symbol: i for i, symbol in enumerate(day.symbols)}
        with self._ranker.start_scan(
            day.symbols, context=(names, day.context[1][:, at]), now=day.opens + scan * EVERY,
            hits_last=self._hits_last,
        ) as live:  # fmt: skip
            batch = live.next_batch(k)
            live.report({symbol: float(is_hit[place[symbol]]) for symbol in batch})
        return np.array([place[symbol] for symbol in batch])


def play(day: Day, looks: Looks, budget: float) -> tuple[float, float]:
    """Return the share of the day's hits that were found, and the minutes that took in the mean."""
    n = len(day.symbols)
    seen = np.zeros((N_SCANS, n), bool)
    for scan in range(N_SCANS):
        seen[scan, looks(day, scan, round(budget * n))] = True
    waits = []
    for who, since, until in zip(day.who, day.since, day.until, strict=True):
        found = np.flatnonzero(seen[since:until, who])
        waits.append(found[0] if found.size else np.nan)
    minutes = EVERY / timedelta(minutes=1) * np.array(waits, float)
    return float((~np.isnan(minutes)).mean()), float(np.nanmean(minutes))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.intraday", description=__doc__)
    parser.add_argument("--half-lives", type=float, nargs="+", default=[15.0, 60.0, 180.0])
    parser.add_argument("--budget", type=float, default=0.02, help="share looked at in each scan")
    parser.add_argument("--days", type=int, default=40, help="warm-up included")
    parser.add_argument("--warm-up", type=int, default=10)
    parser.add_argument("--to", default=_data.PERIOD_END, help="last day")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    dates = _data.contexts().bars.dates
    last = int(np.searchsorted(dates, np.datetime64(chosen.to), "right"))
    rows = range(last - chosen.days, last)
    for half_life in chosen.half_lives:
        days = [make_day(row, half_life, chosen.seed) for row in rows]
        orders: dict[str, Looks] = {
            "scanrank": Learned(chosen.seed, Settings(), timedelta(minutes=half_life)),
            "greedy": Learned(chosen.seed, Settings(exploration=0.0, random_share=0.0), None),
            "last hits first": Rule(hits_first=True),
            "round robin": Rule(hits_first=False),
        }
        results = {
            name: np.array([play(day, looks, chosen.budget) for day in days])[chosen.warm_up :]
            for name, looks in orders.items()
        }
        measured = len(days) - chosen.warm_up
        print(f"hits with a half-life of {half_life:g} minutes · {measured} days to {chosen.to}")
        print(
            f"{'order':20}{'found while it lasts':>22}{'minutes to that':>18}{'scanrank ahead':>26}"
        )
        for name, result in results.items():
            ahead = ""
            if name != "scanrank":
                gain = bootstrap_interval(
                    results["scanrank"][:, 0] - result[:, 0], np.random.default_rng(0)
                )
                ahead = f"{gain.mean:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
            found, minutes = result.mean(axis=0)
            print(f"{name:20}{found:22.3f}{minutes:18.1f}{ahead:>26}", flush=True)
        print()


if __name__ == "__main__":
    main()
