"""The shared market data that the benchmarks replay, and the splits they are judged on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bandit.rewards import Signal, TopShare
from features.inputs.bars import Bars
from features.inputs.quotes import Quotes
from features.inputs.tables import FIELDS, read_table
from scanner_adapter.inputs.events import read_events
from scanner_adapter.replay.logs.contexts import Contexts
from scanner_adapter.replay.logs.known_at import KnownAtLog
from scanner_adapter.replay.logs.outcome_log import OutcomeLog
from scanner_adapter.replay.logs.scans import ReplayLog
from scanner_adapter.scanners.rules import RULES, Series

N_SCANS = 629  # the last trading days of the data, as in the published comparison
WARMUP = 60  # scans learned from before the first is measured
DEVELOPMENT_END = "2018-12-31"  # choices are made on scans up to here
HELD_OUT_START = "2019-01-01"  # and judged from here on
PERIOD_END = "2020-12-31"  # after the last day of the data
RATING = "ratings"  # the public scanner; the others are built-in rules


class MissingDataError(FileNotFoundError):
    """The market data is not where it was looked for."""


def data_folder() -> Path:
    """Folder of the market data: ``SCANRANK_DATA``, or ``shared/data`` beside the repository."""
    own = os.environ.get("SCANRANK_DATA")
    folder = Path(own) if own else Path(__file__).parents[2] / "shared" / "data"
    if not (folder / "ohlcv.parquet").is_file():
        raise MissingDataError(
            f"no ohlcv.parquet in {folder}; set SCANRANK_DATA to the folder with the market data"
        )
    return folder


@lru_cache(maxsize=1)
def contexts() -> Contexts:
    """Sub-scores of the market data, with all event tables and sectors."""
    folder = data_folder()
    sectors = read_table(folder / "sectors.csv").dropna(subset="sector")
    return Contexts.compute(
        Bars.read(folder / "ohlcv.parquet"),
        events=read_events(
            [folder / f"{name}.parquet" for name in ("earnings", "ratings", "news_counts")]
        ),
        sectors=dict(zip(sectors["symbol"], sectors["sector"], strict=True)),
    )


@dataclass(frozen=True)
class KnownBy:
    """Quotes of `known_by.py`, which lies beside the data and is used as it is."""

    seed: int = 1

    def __call__(self, bars: Bars, row: int, now: datetime) -> Quotes:
        """See `scanner_adapter.replay.logs.known_at.QuotesOf`."""
        at = np.flatnonzero(bars.mask[row])
        fields = {name: getattr(bars, name)[row, at] for name in FIELDS}
        symbols = [bars.symbols[j] for j in at.tolist()]
        day = pd.DataFrame({"date": str(bars.dates[row]), "symbol": symbols} | fields)
        clock = now.astimezone(ZoneInfo("America/New_York")).strftime("%H:%M")
        return Quotes.read(known_by().quotes(day, clock, self.seed))


@lru_cache(maxsize=1)
def known_by() -> ModuleType:
    """The module `known_by.py` of the folder ``checks`` beside the data."""
    path = data_folder().parent / "checks" / "known_by.py"
    if not path.is_file():
        raise MissingDataError(f"no {path}, which makes quotes of daily bars")
    spec = spec_from_file_location("known_by", path)
    if spec is None or spec.loader is None:
        raise MissingDataError(f"{path} cannot be imported")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def known_at(log: ReplayLog, times: str) -> KnownAtLog:
    """The same log, whose scans know their own day up to some time, see `known_by.py`."""
    return KnownAtLog.of(log, times, quotes_of=KnownBy())


def ratings_log() -> ReplayLog:
    """The public scanner's ratings; a hit is one of the day's top 5 %."""
    bars = contexts().bars
    outcomes = OutcomeLog.read(data_folder() / "scanner_ratings.parquet", bars.dates, bars.symbols)
    return ReplayLog(outcomes, contexts(), TopShare(0.05))


def log_of(scanner: str) -> ReplayLog:
    """The log of a scanner by its name: "ratings", or a built-in rule."""
    return ratings_log() if scanner == RATING else rule_log(scanner)


def rule_log(name: str, known: Contexts | None = None) -> ReplayLog:
    """A built-in scanner run over all days and symbols; a hit is its signal.

    As live, its rows carry alpha and the rule's own columns beside the rating. The market is that
    of `known`, the shared data by default.
    """
    known = known or contexts()
    rule, bars = RULES[name], known.bars
    shape = bars.close.shape
    table: dict[str, NDArray[np.float32]] = {}
    # A loop over symbols, because the rules skip the days on which a symbol has no bar.
    for j in range(shape[1]):
        days = np.flatnonzero(bars.mask[:, j])
        if len(days) < rule.min_bars:
            continue
        series = Series(*(getattr(bars, field)[days, j] for field in FIELDS))
        usable = slice(rule.min_bars - 1, None)
        for column, values in rule.columns(series).items():
            table.setdefault(column, np.full(shape, np.nan, np.float32))
            table[column][days[usable], j] = values[usable]
    is_hit = table.pop("is_hit") == 1.0
    outcomes = OutcomeLog(
        bars.dates,
        bars.symbols,
        rating=table.pop("rating").astype(np.float64),
        signal=np.where(is_hit, 0, -1).astype(np.int8),
        signal_names=("Buy",),
        columns=table,
    )
    return ReplayLog(outcomes, known, Signal())
