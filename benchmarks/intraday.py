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
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bandit.evaluation.intervals import bootstrap_interval
from bandit.rewards import Threshold
from benchmarks import _data
from features.inputs.tables import FIELDS
from features.similarity import Loadings
from scanner_adapter.replay import Configuration, Order, Ranked, ReplayScan
from scanner_adapter.replay.intraday import Spells, look
from scanner_adapter.replay.logs.scans import LoggedOutcomes
from scanner_adapter.replay.orders import InTurns

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
    places : array of int, shape (n,)
        Of the symbols among those of the market data.
    context : (names, array of shape (n, n_sub))
        The evening's sub-scores.
    hits : Spells
        By place in `symbols`.
    """

    opens: datetime
    symbols: tuple[str, ...]
    places: NDArray[np.intp]
    context: tuple[tuple[str, ...], NDArray[np.float32]]
    hits: Spells

    def scans(self) -> Sequence[ReplayScan]:
        """What a scanner would see at each scan."""
        n, hits = len(self.symbols), self.hits
        signal, no_loadings = np.full(n, -1, np.int8), Loadings((), np.empty((n, 0), np.float32))
        scans = []
        for scan in range(N_SCANS):
            is_hit = np.zeros(n, bool)
            is_hit[hits.who[(hits.since <= scan) & (scan < hits.until)]] = True
            rating = is_hit.astype(float)
            scans.append(
                ReplayScan(
                    self.opens + scan * EVERY, self.symbols, self.places, *self.context,
                    no_loadings, rating, is_hit, LoggedOutcomes(rating, signal, (), {}),
                )
            )  # fmt: skip
        return scans


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
    known = np.array([not name.startswith("historical.") for name in contexts.names])
    names = tuple(np.array(contexts.names)[known].tolist())
    context = names, np.asarray(contexts.sub_scores[row - 1, at][:, known])
    return Day(opens, tuple(symbols), at, context, Spells(np.concatenate(who), start, ends))


def play(day: Day, order: Order, budget: float) -> tuple[float, float]:
    """Return the share of the day's hits that were found, and the minutes that took in the mean."""
    is_seen = look(order, day.scans(), budget, len(_data.contexts().bars.symbols))
    minutes = np.arange(N_SCANS) * np.float64(EVERY / timedelta(minutes=1))
    waits = day.hits.minutes_to_found(is_seen[:, day.places], minutes)
    return float((~np.isnan(waits)).mean()), float(np.nanmean(waits))


def ranked(
    name: str, seed: int, hits_last: timedelta | None, settings: dict[str, float] | None = None
) -> Order:
    """The ranker, with or without knowing how long hits last."""
    ranker = Configuration(seed=seed, settings=settings or {}).open(Threshold(0.5))
    return Ranked(ranker, name=name, batch_size=10**6, further={"hits_last": hits_last})


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
        n_symbols = len(_data.contexts().bars.symbols)
        orders = (
            ranked("scanrank", chosen.seed, timedelta(minutes=half_life)),
            ranked("greedy", chosen.seed, None, {"exploration": 0.0, "random_share": 0.0}),
            InTurns(n_symbols, hits_first=True),
            InTurns(n_symbols),
        )
        results = {
            order.name: np.array([play(day, order, chosen.budget) for day in days])[
                chosen.warm_up :
            ]
            for order in orders
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
