"""Are bars that come with the results as good as bars given? ``python -m benchmarks.handed_over``.

Two rankers scan the same days of each case of `benchmarks.quality`, and neither knows bars before
its first scan. One gets them inside the evaluation and hands them over with the results
(``Outcome(..., bars=frame)``), the other is given those of the same symbols before each later scan.
From the second scan on both must find as much, as early.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from bandit.evaluation.metrics import recall_at
from benchmarks import _data
from benchmarks.quality import BATCH_SIZE, CASES
from features.inputs.bars import Bars
from features.inputs.tables import FIELDS
from scanner_adapter import SymbolRanker
from scanner_adapter.replay import Configuration, ReplayLog
from scanner_adapter.replay.logs.scans import ReplayScan

SHARES = (0.10, 0.25)
CASES_OF_ITS_OWN = ("full", "breakout", "volume_surge", "reversal", "squeeze")  # a scanner each


def frames(bars: Bars, day: int, symbols: Sequence[str]) -> dict[str, pd.DataFrame]:
    """What a vendor gives of these symbols on the evening of a day: all their bars up to it."""
    place = {symbol: j for j, symbol in enumerate(bars.symbols)}
    found = {}
    for symbol in symbols:
        at = np.flatnonzero(bars.mask[: day + 1, place[symbol]])
        table = {field: getattr(bars, field)[at, place[symbol]] for field in FIELDS}
        found[symbol] = pd.DataFrame(table, index=pd.DatetimeIndex(bars.dates[at]))
    return found


def found_early(
    ranker: SymbolRanker, scan: ReplayScan, bars: Bars | None, hands_over: Mapping[str, object]
) -> list[float]:
    """Scan a day to its end; return the recall in each of `SHARES`."""
    place = {symbol: i for i, symbol in enumerate(scan.symbols)}
    order: list[int] = []
    with ranker.start_scan(scan.symbols, bars=bars, now=scan.now) as live:
        for batch in live.batches(BATCH_SIZE):
            places = [place[symbol] for symbol in batch]
            order += places
            live.report(
                {
                    symbol: replace(scan.outcomes[i], bars=hands_over.get(symbol))
                    for symbol, i in zip(batch, places, strict=True)
                }
            )
    return [recall_at(scan.hits[order], share) for share in SHARES]


def compared(log: ReplayLog, days: Sequence[int]) -> list[tuple[list[float], list[float]]]:
    """Return what both find in each scan: bars handed over, and bars given."""
    bars = log.contexts.bars
    one, two = (Configuration(seed=0).open(log.rule, keeps_journal=False) for _ in range(2))
    given: Bars | None = None
    found = []
    for day, scan in zip(days, log.scans(np.asarray(days, np.intp)), strict=True):
        fetched = frames(bars, day, scan.symbols)
        found.append((found_early(one, scan, None, fetched), found_early(two, scan, given, {})))
        given = Bars.from_frame(fetched)
    return found


def main() -> None:
    """Print what both find, scan by scan."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--case", nargs="+", choices=CASES, default=CASES_OF_ITS_OWN)
    parser.add_argument("--scans", type=int, default=3, help="of each case, the last of 2018")
    options = parser.parse_args()
    table = Table(title="Recall with bars handed over by results / with bars given")
    for name in ("case", "scan", *(f"first {share:.0%}" for share in SHARES)):
        table.add_column(name)
    apart = 0.0
    for name in options.case:
        log = CASES[name].load()
        days = log.days(None, _data.DEVELOPMENT_END)[-options.scans :].tolist()
        for number, (over, given) in enumerate(compared(log, days), start=1):
            shown = [f"{a:.3f} / {b:.3f}" for a, b in zip(over, given, strict=True)]
            table.add_row(name, str(number), *shown)
            apart = max(apart, *(abs(a - b) for a, b in zip(over, given, strict=True)))
    console = Console(highlight=False)
    console.print(table)
    console.print(f"The largest difference is {apart:.4f}.")


if __name__ == "__main__":
    main()
