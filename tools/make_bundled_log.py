"""Make the log that comes with scanrank: ``python -m tools.make_bundled_log``.

Reads the market data that ``SCANRANK_DATA`` names (or ``../shared/data``), which stays outside of
this repository, and writes ``scanner_adapter/data``. What goes in is derived and rounded: no
price, no volume and no event can be read back from it. The choice of symbols follows the sources
that allow it: prices from a source under the Unlicense, sectors from one under the PDDL.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from bandit.rewards import TopShare
from benchmarks._data import data_folder
from features.inputs.bars import Bars
from features.similarity import Loadings
from scanner_adapter.replay.logs.bundled import NAME, bundled_log, write_log
from scanner_adapter.replay.logs.contexts import Contexts
from scanner_adapter.replay.logs.outcome_log import OutcomeLog
from scanner_adapter.replay.logs.recorded import RecordedLog, RecordedScan
from scanner_adapter.replay.logs.scans import ReplayLog

N_SCANS = 120  # the last trading days of the data
LOADINGS_EVERY = 20  # scans: they change slowly, and are most of what cannot be compressed
PRICES, SECTORS = "dieperdev/yfinance-stock-data", "datasets/s-and-p-500-companies"

# Numbers of the scanner's rows that are small whole scores, each with its unit.
COLUMN_UNITS = {
    "trend_score": 1.0,
    "momentum_score": 1.0,
    "volume_score": 1.0,
    "volatility_score": 1.0,
    "oscillator_score": 1.0,
    "breakout_score": 1.0,
}


def source_log() -> ReplayLog:
    """The whole log of the symbols that may be bundled."""
    folder = data_folder()
    table = pd.read_csv(folder / "sectors.csv")
    allowed = table[(table.price_source == PRICES) & (table.sector_source == SECTORS)]
    sectors: Mapping[str, str] = dict(zip(allowed.symbol, allowed.sector, strict=True))
    frame = pd.read_parquet(folder / "ohlcv.parquet")
    bars = Bars.from_frame(frame[frame.symbol.isin(list(sectors))])
    ratings = pd.read_parquet(folder / "scanner_ratings.parquet")
    ratings = ratings[ratings.symbol.isin(list(bars.symbols))]
    outcomes = OutcomeLog.from_frame(ratings, bars.dates, bars.symbols)
    contexts = Contexts.compute(bars, sectors=sectors, cached=False)
    return ReplayLog(outcomes, contexts, TopShare())


def recorded(log: ReplayLog) -> RecordedLog:
    """The last scans, each with what was known the evening before."""
    days = log.days()[-N_SCANS:]
    known = [
        j
        for j, name in enumerate(log.contexts.names)
        if not np.isnan(log.contexts.sub_scores[days - 1, :, j]).all()
    ]
    is_long = np.array([name.lower() == "long" for name in log.outcomes.signal_names] + [False])
    scans = []
    loadings: Loadings
    for number, (day, scan, regime) in enumerate(
        zip(days, log.scans(days), log.regimes(days), strict=True)
    ):
        if number % LOADINGS_EVERY == 0:
            loadings = log.contexts.loadings(int(day) - 1)
        signal = log.outcomes.signal[day, scan.places]
        scans.append(
            RecordedScan(
                now=scan.now,
                symbols=scan.symbols,
                sub_score_names=tuple(scan.sub_score_names[j] for j in known),
                sub_scores=scan.sub_scores[:, known],
                loadings=Loadings(loadings.names, loadings.values[scan.places]),
                rating=scan.rating,
                signal=np.where(is_long[signal], 0, -1).astype(np.int8),
                signal_names=("Long",),
                columns={
                    name: log.outcomes.columns[name][day, scan.places] for name in COLUMN_UNITS
                },
                regime=regime,
            )
        )
    return RecordedLog(tuple(scans), log.rule, log.sectors)


def main() -> None:
    """Make the file and say what is in it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    folder = Path(__file__).parents[1] / "scanner_adapter" / "data"
    parser.add_argument("--out", type=Path, default=folder / NAME)
    path = parser.parse_args().out
    write_log(recorded(source_log()), path, column_units=COLUMN_UNITS)
    log = bundled_log(path=path)
    print(
        f"{path}: {path.stat().st_size / 1e6:.2f} MB, {len(log.recorded)} scans of "
        f"{len(log.symbols)} symbols, {log.dates[0]} to {log.dates[-1]}, "
        f"{len(log.recorded[0].sub_score_names)} sub-scores"
    )


if __name__ == "__main__":
    main()
