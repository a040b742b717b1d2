"""Whatever is given in place of an argument: one clear error of ours, and nothing has changed.

`CALLS` lists every public function, method and class with arguments, each with arguments that fit
and, per argument, the odd values that fit as well. Every other odd value must be refused.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
import logging
import math
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import features
import scanner_adapter
from bandit.belief.belief import BeliefSettings
from bandit.errors import BanditError
from bandit.stores import store_from_url
from features.errors import FeatureError
from scanner_adapter import (
    AllOf,
    AnyOf,
    DiminishingReturns,
    HitIf,
    HitsFound,
    Outcome,
    RecallReached,
    ResultFeed,
    RowMap,
    Scan,
    Signal,
    SymbolBudget,
    SymbolRanker,
    Threshold,
    TimeBudget,
    TooManyErrors,
    TopShare,
    compare,
    five_arguments,
    log_progress,
    rich_progress,
)
from scanner_adapter.errors import AdapterError
from scanner_adapter.inputs.context import seed_weights
from scanner_adapter.live.control import (
    with_exclusions,
    with_pins,
    with_stop,
    without_exclusions,
    without_pins,
)
from scanner_adapter.settings import Settings

OURS = (BanditError, AdapterError, FeatureError)
# Exported and made here, not by users; what they are given is checked where it comes from.
NOT_CALLED = {
    "Batch",
    "Comparison",
    "Progress",
    "ScanSummary",
    "Scan",
    "Panel",
    "Loadings",
    "FactorScores",
    "FactorReport",
    "StoredFeatures",
    "RewardRule",
    "StopRule",
    # Called by `run` and by a group, with what a scan handed out; see `RunnableScan`.
    "Scan.admit",
    "Scan.retry_failed",
    "Scan.record_retry",
    # Every argument goes to `SymbolRanker` and `Scan`, which check it.
    "GroupScan",
    "GroupScan.are_hits",
    "GroupScan.batches",
    "GroupScan.estimate",
    "GroupScan.hits_in_last",
    "GroupScan.next_batch",
    "GroupScan.read",
    "GroupScan.refresh",
    "GroupScan.report",
    "GroupScan.run",
    "GroupScan.show",
    "GroupScan.symbols_to_recall",
    "GroupScan.record_retry",
    "RankerGroup",
    "RankerGroup.start_scan",
    "ResultFeed.map",
    # Called with what `Quotes.read` made.
    "Quotes",
    "Quotes.at",
    "Quotes.take",
    "Session.begin",
    "Session.of_days",
    "Session.time_done",
    "Session.trades_on",
    "Session.volume_done",
    "Session.wall",
}
# No file lies there, or what fits is too long for a table.
NEVER_FITS = {"SymbolRanker.hits", "Settings.read", "Bars.read", "historical_sub_scores"}
SYMBOLS = ("CAT", "C", "A", "T")


class Odd:
    def __init__(self, *_: object) -> None:
        pass

    """A value of a class that nobody expects."""

    def __repr__(self) -> str:
        return "<Odd>"


ODD: dict[str, Any] = {
    "None": None,
    "True": True,
    "text": "CAT",
    "empty text": "",
    "control character": "A\nB",
    "long text": "x" * 100,
    "bytes": b"CAT",
    "fraction": 0.9,
    "zero": 0,
    "negative": -3,
    "many": 10**400,
    "nan": math.nan,
    "infinity": math.inf,
    "list of text": ["CAT"],
    "twice": ["CAT", "CAT"],
    "strangers": ["NVDA"],
    "list of numbers": [1, 2],
    "empty list": [],
    "mapping": {"CAT": "x"},
    "mapping of numbers": {5: 1.0},
    "object": Odd(),
    "class": Odd,
    "naive": dt.datetime(2024, 1, 2),
    "date": dt.date(2024, 1, 2),
    "path": Path("/nowhere/x"),
    "frame": pd.DataFrame({"CAT": ["x"]}),
    "array": np.zeros((2, 2)),
}


def frame_of_bars(n_days: int = 30) -> pd.DataFrame:
    days = pd.bdate_range("2024-01-01", periods=n_days)
    rng = np.random.default_rng(0)
    frames = [
        pd.DataFrame(
            {
                "date": days, "symbol": symbol, "open": 10.0, "high": 12.0, "low": 9.0,
                "close": 10.0 + rng.uniform(0, 1, n_days), "volume": 100.0,
            }
        )
        for symbol in SYMBOLS
    ]  # fmt: skip
    return pd.concat(frames)


FRAME = frame_of_bars()
BARS = features.Bars.from_frame(FRAME)
PANEL = features.sub_score_panel(BARS)
NOW = dt.datetime(2024, 3, 4, tzinfo=dt.UTC)
QUOTES = [{"symbol": "A", "time": "2024-03-01T10:00", "last": 10.5}]


class World:
    """A ranker in the middle of a scan."""

    def __init__(self) -> None:
        self.ranker = SymbolRanker.open("memory://", ruleset="t", seed=1)
        self.scan: Scan = self.ranker.start_scan(SYMBOLS)
        self.scan.next_batch(1)

    def state(self) -> object:
        scan = self.scan
        return (
            len(list(self.ranker.store.read("t"))), scan.n_scanned, scan.n_batches, scan.stopped,
            scan.queue.pinned, scan.queue.excluded, scan.queue.is_steered, len(scan.queue),
            self.ranker.mode, self.ranker.rollout, scan.summary.store_status,
        )  # fmt: skip


def _run(world: World, **given: Any) -> object:
    with ThreadPoolExecutor(1) as pool:
        if isinstance(given["executor"], str) and given["executor"] == "a pool":
            given["executor"] = pool
        return world.scan.run(**given)


def quiet(*_: object) -> None:
    """Take whatever a callback is printed."""


async def rated(symbol: str) -> float:
    return 1.0


def use(value: Any) -> Any:
    """Go through what is handed out bit by bit."""
    return list(value)


@dataclass
class Call:
    """A public call: how it is made, arguments that fit, and odd ones that fit too."""

    name: str
    make: Callable[..., object]  # takes the world and the arguments
    fitting: Mapping[str, Any]

    def __str__(self) -> str:
        return self.name


def queue(method: str) -> Callable[..., object]:
    return lambda world, **given: getattr(world.scan.queue, method)(**given)


def scan(method: str) -> Callable[..., object]:
    return lambda world, **given: getattr(world.scan, method)(**given)


def make(what: Callable[..., object]) -> Callable[..., object]:
    return lambda _world, **given: what(**given)


def _open(world: World, **given: Any) -> object:
    with SymbolRanker.open(**given) as ranker:
        return ranker.mode


CONTEXT = (["market.x"], np.full((4, 1), 50.0))

CALLS = [
    # -- the ranker
    Call(
        "SymbolRanker.open",
        _open,
        {
            "url": "memory://",
            "ruleset": "t",
            "rewards": TopShare(0.1),
            "weights": {"market": 1.0},
            "mode": "on",
            "rollout": 0.5,
            "row_map": RowMap(rating="x"),
            "seed": 1,
            "settings": Settings(),
            "half_life_days": 10.0,
            "fast_days": 1.0,
            "slow_days": 9.0,
            "exploration": 0.1,
            "random_share": 0.1,
            "batch_size": 10,
            "products": False,
            "similarity": False,
        },
    ),
    Call(
        "SymbolRanker",
        make(SymbolRanker),
        {
            "store": store_from_url("memory://"),
            "ruleset": "t",
            "settings": BeliefSettings(),
            "mode": "on",
            "rollout": None,
            "row_map": None,
            "seed": None,
            "batch_size": 5,
            "similarity": True,
        },
    ),
    Call("SymbolRanker.to_frame", lambda world, now: world.ranker.to_frame(now=now), {"now": NOW}),
    Call("SymbolRanker.hits", lambda world, scan_id: world.ranker.hits(scan_id), {"scan_id": "x"}),
    Call(
        "SymbolRanker.mode", lambda world, mode: setattr(world.ranker, "mode", mode), {"mode": "on"}
    ),
    Call(
        "SymbolRanker.start_scan",
        lambda world, **given: world.ranker.start_scan(**given),
        {
            "symbols": SYMBOLS,
            "bars": BARS,
            "events": features.Events(),
            "as_of": "2024-01-30",
            "sectors": {"CAT": "x"},
            "loadings": None,
            "now": NOW,
            "scan_id": "s",
            "shared": False,
            "worker": "w",
            "lease_s": 5.0,
            "overlap": True,
            "hits_last": dt.timedelta(hours=1),
            "seen_within": dt.timedelta(days=1),
            "origin": None,
        },
    ),
    Call(
        "SymbolRanker.start_scan (context)",
        lambda world, **given: world.ranker.start_scan(SYMBOLS, **given),
        {"context": CONTEXT},
    ),
    Call(
        "SymbolRanker.order",
        lambda world, **given: world.ranker.order(**given),
        {"symbols": SYMBOLS, "now": NOW, "bars": BARS, "as_of": "2024-01-30"},
    ),
    Call(
        "SymbolRanker.prioritized",
        lambda world, **given: use(world.ranker.prioritized(**given)),
        {"symbols": SYMBOLS, "now": NOW},
    ),
    Call("compare", make(compare), {"store": store_from_url("memory://"), "ruleset": "t"}),
    # -- a scan
    Call("Scan.next_batch", scan("next_batch"), {"k": 2}),
    Call("Scan.batches", lambda world, k: next(world.scan.batches(k)), {"k": 2}),
    Call("Scan.abatches", lambda world, k: asyncio.run(anext(world.scan.abatches(k))), {"k": 2}),
    Call("Scan.read", scan("read"), {"symbol": "A", "result": "buy"}),
    Call("Scan.report", scan("report"), {"rows": {}}),
    Call("Scan.refresh", scan("refresh"), {"now": NOW, "bars": BARS, "quotes": QUOTES}),
    Call("Scan.estimate", scan("estimate"), {"confidence": 0.9}),
    Call(
        "Scan.run",
        _run,
        {
            "fn": len,
            "executor": "a pool",
            "batch_size": 2,
            "until": SymbolBudget(1),
            "on_result": quiet,
            "on_hit": quiet,
            "on_progress": quiet,
            "workers": 1,
            "timeout_s": 5.0,
            "retries": 0,
            "prefetch": quiet,
            "refresh": None,
            "every_s": 60.0,
        },
    ),
    Call(
        "Scan.arun",
        lambda world, **given: asyncio.run(world.scan.arun(**given)),
        {
            "fn": rated,
            "concurrency": 2,
            "batch_size": 2,
            "until": None,
            "on_result": None,
            "on_hit": None,
            "on_progress": None,
            "timeout_s": None,
            "retries": 0,
        },
    ),
    Call("Scan.show", scan("show"), {"workers": 2, "target": 0.9}),
    Call("Scan.is_random", scan("is_random"), {"symbol": "A"}),
    Call("Scan.propensity", scan("propensity"), {"symbol": "A"}),
    Call("Scan.is_hit", scan("is_hit"), {"symbol": "A"}),
    Call("Scan.are_hits", scan("are_hits"), {"symbols": ["A"]}),
    Call("Scan.explain", scan("explain"), {"symbol": "A"}),
    Call("Scan.factor_weights", scan("factor_weights"), {"level": 0.9}),
    Call("Scan.hits_in_last", scan("hits_in_last"), {"n": 3}),
    Call("Scan.symbols_to_recall", scan("symbols_to_recall"), {"target": 0.9}),
    # -- its queue
    Call("PriorityQueue.pin", queue("pin"), {"arms": ["A"]}),
    Call("PriorityQueue.unpin", queue("unpin"), {"arms": ["A"]}),
    Call("PriorityQueue.exclude", queue("exclude"), {"arms": ["A"]}),
    Call("PriorityQueue.include", queue("include"), {"arms": ["A"]}),
    Call("PriorityQueue.boost", queue("boost"), {"log_odds": {"A": 1.0}}),
    Call("PriorityQueue.peek", queue("peek"), {"k": 2}),
    Call("PriorityQueue.overview", queue("overview"), {"k": 2}),
    # -- what operators ask
    Call("with_pins", make(with_pins), {"symbols": ["A"]}),
    Call("without_pins", make(without_pins), {"symbols": ["A"]}),
    Call("with_exclusions", make(with_exclusions), {"symbols": ["A"]}),
    Call("without_exclusions", make(without_exclusions), {"symbols": ["A"]}),
    Call("with_stop", make(with_stop), {"reason": "enough", "at": 5.0}),
    # -- feeds, stop rules, progress, rewards, settings
    Call(
        "ResultFeed",
        lambda world, **given: ResultFeed(**{"ranker": world.ranker, **given}),
        {"ranker": SymbolRanker.open("memory://", ruleset="t"), "batch_size": 5},
    ),
    Call(
        "ResultFeed.order",
        lambda world, **given: ResultFeed(world.ranker).order(**given),
        {"symbols": SYMBOLS},
    ),
    Call(
        "ResultFeed.stream",
        lambda world, **given: use(ResultFeed(world.ranker).stream(**given)),
        {"symbols": SYMBOLS},
    ),
    Call("RecallReached", make(RecallReached), {"target": 0.9, "confidence": 0.8}),
    Call("SymbolBudget", make(SymbolBudget), {"n": 5}),
    Call("TooManyErrors", make(TooManyErrors), {"in_a_row": 5, "longest_pause_s": 3.0}),
    Call("TimeBudget", make(TimeBudget), {"seconds": 5.0}),
    Call("HitsFound", make(HitsFound), {"n": 5}),
    Call("DiminishingReturns", make(DiminishingReturns), {"window": 5, "min_hits": 1}),
    Call("AnyOf", make(lambda rule: AnyOf(TimeBudget(1), rule)), {"rule": SymbolBudget(1)}),
    Call("AllOf", make(lambda rule: AllOf(rule)), {"rule": SymbolBudget(1)}),
    Call("five_arguments", make(five_arguments), {"callback": quiet}),
    Call("log_progress", make(log_progress), {"logger": logging.getLogger(), "every_s": 1.0}),
    Call(
        "rich_progress", make(lambda console: rich_progress(console).__enter__()), {"console": None}
    ),
    Call("TopShare", make(TopShare), {"share": 0.1}),
    Call("Signal", make(Signal), {"words": ("BUY",), "none_is_no": True}),
    Call("HitIf", make(HitIf), {"is_hit": quiet, "name": "x"}),
    Call("Threshold", make(Threshold), {"minimum": 5.0}),
    Call(
        "RowMap",
        make(RowMap),
        {"rating": "x", "signal": "y", "alpha": "z", "columns": ("c",)},
    ),
    Call(
        "Outcome",
        make(Outcome),
        {"rating": 1.0, "signal": "Long", "alpha": 1.0, "columns": {"x": 1.0}, "error": None},
    ),
    Call(
        "Outcome.of",
        make(Outcome.of),
        {"value": "high", "symbol": "A", "row_map": None, "rule": None},
    ),
    Call("Outcome.failed", make(Outcome.failed), {"error": "x"}),
    Call("seed_weights", make(seed_weights), {"weights": {"market": 1.0}}),
    Call("Settings.read", make(Settings.read), {"path": "/nowhere/x.toml"}),
    Call(
        "BeliefSettings",
        make(BeliefSettings),
        {
            "seed_weights": {},
            "rule": TopShare(),
            "crossed": (),
            "half_life_days": 1.0,
            "fast_days": 1.0,
            "slow_days": 1.0,
            "exploration": 1.0,
            "random_share": 0.0,
        },
    ),
    Call("store_from_url", make(store_from_url), {"url": "memory://"}),
    # -- features
    Call(
        "Bars",
        make(features.Bars),
        {
            "dates": BARS.dates,
            "symbols": BARS.symbols,
            "open": BARS.open,
            "high": BARS.high,
            "low": BARS.low,
            "close": BARS.close,
            "volume": BARS.volume,
        },
    ),
    Call("Bars.from_frame", make(features.Bars.from_frame), {"frame": FRAME, "symbol": None}),
    Call("Bars.read", make(features.Bars.read), {"path": "/nowhere/x.csv"}),
    Call("Bars.until", make(BARS.until), {"as_of": "2024-01-30"}),
    Call("Bars.select", make(BARS.select), {"symbols": ["A"]}),
    Call(
        "Bars.append",
        make(BARS.until("2024-01-15").append),
        {"new": FRAME[FRAME["date"] > "2024-01-20"]},
    ),
    Call("Quotes.read", make(features.Quotes.read), {"quotes": QUOTES, "time": NOW}),
    Call(
        "Session",
        make(features.Session),
        {"tz": "Asia/Tokyo", "opens": "09:00", "closes": "15:30", "profile": (0.5, 1.0)},
    ),
    Call("Events", make(features.Events), {"earnings": None, "ratings": None, "news": None}),
    Call(
        "Events.from_frames",
        make(features.Events.from_frames),
        {"earnings": None, "ratings": None, "news": None},
    ),
    Call("Events.select", make(features.Events().select), {"symbols": ["A"]}),
    Call(
        "combine",
        make(features.combine),
        {"sub_scores": np.full((2, 1), 5.0), "names": ["market.x"], "weights": None},
    ),
    Call("daily_bars", make(features.daily_bars), {"frame": FRAME, "symbol": None}),
    Call(
        "factor_report",
        make(features.factor_report),
        {"panel": PANEL, "hits": np.ones(PANEL.values.shape[:2], bool), "day_old": True, "seed": 0},
    ),
    Call(
        "factor_scores",
        make(features.factor_scores),
        {
            "bars": BARS,
            "as_of": "2024-01-30",
            "events": None,
            "track_record": None,
            "weights": None,
        },
    ),
    Call(
        "FactorScores.explain",
        make(features.factor_scores(BARS, as_of="2024-01-30").explain),
        {"symbol": "A"},
    ),
    Call("historical_sub_scores", make(features.historical_sub_scores), {"track_record": {}}),
    Call(
        "similarity_loadings",
        make(features.similarity_loadings),
        {
            "bars": BARS,
            "as_of": "2024-01-30",
            "sectors": None,
            "industries": None,
            "n_components": 2,
            "window": 20,
        },
    ),
    Call(
        "sub_score_panel",
        make(features.sub_score_panel),
        {"bars": BARS, "events": None, "dates": None, "market": None},
    ),
    Call(
        "features_in_pieces",
        make(features.features_in_pieces),
        {
            "pieces": [BARS],
            "path": "x.npy",
            "symbols": ["A"],
            "events": None,
            "as_of": None,
            "sectors": None,
            "executor": None,
            "workers": None,
        },
    ),
]

# The odd values that an argument takes all the same, as they have a meaning there.
ACCEPTED: dict[str, dict[str, str]] = {
    "SymbolRanker.open": {
        "ruleset": "text",
        "rewards": "None",
        "weights": "None",
        "rollout": "None, fraction, zero",
        "row_map": "None",
        "seed": "None, zero, many",
        "settings": "None",
        "half_life_days": "fraction",
        "fast_days": "fraction",
        "exploration": "fraction, zero",
        "random_share": "fraction, zero",
        "batch_size": "many",
        "products": "True",
        "similarity": "True",
    },
    "SymbolRanker": {
        "ruleset": "text",
        "rollout": "None, fraction, zero",
        "row_map": "None",
        "seed": "None, zero, many",
        "batch_size": "many",
        "similarity": "True",
    },
    "SymbolRanker.start_scan": {
        "symbols": "list of text, twice, strangers, mapping",
        "bars": "None",
        "events": "None",
        "as_of": "None, naive, date",
        "sectors": "None, mapping, mapping of numbers",
        "loadings": "None",
        "now": "None",
        "scan_id": "None, text",
        "shared": "True",
        "overlap": "True",
        "hits_last": "None",
        "seen_within": "None",
        "worker": "None, text",
        "origin": "None",
    },
    "SymbolRanker.start_scan (context)": {
        "context": "None",
    },
    "SymbolRanker.order": {
        "symbols": "list of text, twice, strangers, empty list, mapping",
        "now": "None",
        "bars": "None",
        "as_of": "None, naive, date",
    },
    "SymbolRanker.prioritized": {
        "symbols": "list of text, twice, strangers, empty list, mapping",
        "now": "None",
    },
    "compare": {
        "ruleset": "text",
    },
    "Scan.next_batch": {
        "k": "None, many",
    },
    "Scan.batches": {
        "k": "None, many",
    },
    "Scan.abatches": {
        "k": "None, many",
    },
    "Scan.read": {
        "symbol": "text, control character, long text",
        "result": "None, True, empty text, fraction, zero, negative, nan, list of text, twice, "
        "strangers, empty list, mapping, mapping of numbers, frame",
    },
    "Scan.refresh": {"now": "None", "quotes": "None, mapping of numbers"},
    "Quotes.read": {"time": "None", "quotes": "mapping of numbers"},
    "Scan.estimate": {
        "confidence": "fraction",
    },
    "Scan.run": {
        "fn": "class",
        "batch_size": "None, many",
        "until": "None",
        "on_result": "None, class",
        "on_hit": "None, class",
        "on_progress": "None, class",
        "workers": "None, many",
        "timeout_s": "None, fraction",
        "retries": "zero, many",
        "prefetch": "None, class",
        "refresh": "None, class",
        "every_s": "fraction",
    },
    "Scan.arun": {
        "fn": "class",
        "concurrency": "many",
        "batch_size": "None, many",
        "until": "None",
        "on_result": "None, class",
        "on_hit": "None, class",
        "on_progress": "None, class",
        "timeout_s": "None, fraction",
        "retries": "zero, many",
    },
    "Scan.show": {
        "workers": "many",
        "target": "None, fraction",
    },
    "Scan.is_random": {
        "symbol": "text",
    },
    "Scan.propensity": {
        "symbol": "text",
    },
    "TooManyErrors": {
        "in_a_row": "many",
        "longest_pause_s": "fraction, zero",
    },
    "SymbolRanker.to_frame": {
        "now": "None",
    },
    "Scan.is_hit": {
        "symbol": "text",
    },
    "Scan.are_hits": {
        "symbols": "list of text, twice, empty list, mapping",
    },
    "Scan.explain": {
        "symbol": "text",
    },
    "Scan.factor_weights": {
        "level": "fraction",
    },
    "Scan.hits_in_last": {
        "n": "many",
    },
    "Scan.symbols_to_recall": {
        "target": "fraction",
    },
    "PriorityQueue.pin": {
        "arms": "list of text, twice, empty list, mapping",
    },
    "PriorityQueue.unpin": {
        "arms": "list of text, twice, empty list, mapping",
    },
    "PriorityQueue.exclude": {
        "arms": "list of text, twice, empty list, mapping",
    },
    "PriorityQueue.include": {
        "arms": "list of text, twice, empty list, mapping",
    },
    "PriorityQueue.peek": {
        "k": "None, zero, many",
    },
    "PriorityQueue.overview": {
        "k": "zero, many",
    },
    "with_pins": {
        "symbols": "list of text, twice, strangers, empty list, mapping",
    },
    "without_pins": {
        "symbols": "list of text, twice, strangers, empty list, mapping",
    },
    "with_exclusions": {
        "symbols": "list of text, twice, strangers, empty list, mapping",
    },
    "without_exclusions": {
        "symbols": "list of text, twice, strangers, empty list, mapping",
    },
    "with_stop": {
        "reason": "text, control character, long text",
        "at": "None, fraction, zero, negative",
    },
    "ResultFeed": {
        "batch_size": "many",
    },
    "ResultFeed.order": {
        "symbols": "list of text, twice, strangers, mapping",
    },
    "ResultFeed.stream": {
        "symbols": "list of text, twice, strangers, mapping",
    },
    "RecallReached": {
        "target": "fraction",
        "confidence": "fraction",
    },
    "SymbolBudget": {
        "n": "many",
    },
    "TimeBudget": {
        "seconds": "fraction",
    },
    "HitsFound": {
        "n": "many",
    },
    "DiminishingReturns": {
        "window": "many",
        "min_hits": "many",
    },
    "HitIf": {"is_hit": "class", "name": "text, empty text, control character, long text"},
    "Signal": {"words": "None, list of text, twice, strangers, mapping", "none_is_no": "True"},
    "five_arguments": {
        "callback": "class",
    },
    "log_progress": {
        "logger": "None",
        "every_s": "fraction, zero",
    },
    "rich_progress": {
        "console": "None",
    },
    "TopShare": {
        "share": "fraction",
    },
    "Threshold": {
        "minimum": "fraction, zero, negative",
    },
    "RowMap": {
        "rating": "None, text, control character, long text",
        "signal": "None, text, control character, long text",
        "alpha": "None, text, control character, long text",
        "columns": "None, list of text, twice, strangers, empty list, mapping",
    },
    "Outcome": {
        "rating": "fraction, zero, negative, many, nan, infinity",
        "signal": "None, text, empty text, control character, long text",
        "alpha": "None, fraction, zero, negative, many, nan, infinity",
        "columns": "mapping of numbers",
        "error": "None, text, empty text, control character, long text",
    },
    "Outcome.of": {
        "value": "None, True, text, empty text, control character, long text, fraction, zero, "
        "negative, nan, list of text, twice, strangers, empty list, mapping, "
        "mapping of numbers, frame",
        "symbol": "text, control character, long text",
        "row_map": "None",
        "rule": "None",
    },
    "Outcome.failed": {
        "error": "text, empty text, control character, long text",
    },
    "seed_weights": {
        "weights": "None",
    },
    "BeliefSettings": {
        "crossed": "list of text, twice, strangers, empty list, mapping",
        "half_life_days": "fraction",
        "fast_days": "fraction",
        "slow_days": "fraction",
        "exploration": "fraction, zero",
        "random_share": "fraction, zero",
    },
    "Bars.from_frame": {
        "symbol": "None, text, control character, long text",
    },
    "Bars.until": {
        "as_of": "naive, date",
    },
    "Bars.select": {
        "symbols": "list of text, mapping",
    },
    "Events": {
        "earnings": "None",
        "ratings": "None",
        "news": "None",
    },
    "Events.from_frames": {
        "earnings": "None",
        "ratings": "None",
        "news": "None",
    },
    "Events.select": {
        "symbols": "list of text, twice, strangers, empty list, mapping",
    },
    "combine": {
        "weights": "None",
    },
    "daily_bars": {
        "symbol": "None, text, control character, long text",
    },
    "factor_report": {
        "day_old": "True",
        "seed": "zero, many",
    },
    "factor_scores": {
        "as_of": "naive, date",
        "events": "None",
        "track_record": "None",
        "weights": "None",
    },
    "FactorScores.explain": {
        "symbol": "text",
    },
    "similarity_loadings": {
        "as_of": "naive, date",
        "sectors": "None, mapping, mapping of numbers",
        "industries": "None, mapping, mapping of numbers",
        "n_components": "zero, many",
        "window": "many",
    },
    "sub_score_panel": {
        "events": "None",
        "dates": "None",
        "market": "None",
    },
    "features_in_pieces": {
        "path": "text, long text",
        "symbols": "None, list of text, strangers, mapping",
        "events": "None",
        "as_of": "None, naive, date",
        "sectors": "None, mapping, mapping of numbers",
        "executor": "None",
        "workers": "None, many",
    },
}


def covered() -> set[str]:
    return {call.name.partition(" ")[0] for call in CALLS}


def public_calls() -> set[str]:
    """Everything exported that takes arguments of a user."""
    found = set()
    for package in (features, scanner_adapter):
        for name in package.__all__:
            thing = getattr(package, name)
            if isinstance(thing, type) and not issubclass(thing, BaseException):
                methods = [
                    f"{name}.{key}" for key, value in vars(thing).items()
                    if not key.startswith("_") and key not in ("reason", "judge")
                    and callable(getattr(thing, key))
                    and len(inspect.signature(getattr(value, "__func__", value)).parameters) > 1
                ]  # fmt: skip
                found |= {name, *methods}
            elif callable(thing) and not isinstance(thing, type):
                found.add(name)
    return found


def test_every_public_call_is_here() -> None:
    assert public_calls() - covered() - NOT_CALLED == set()
    assert public_calls() >= NOT_CALLED, "a name that is exempt and gone"


@pytest.mark.parametrize(
    ("call", "argument"),
    [pytest.param(c, a, id=f"{c.name}-{a}") for c in CALLS for a in c.fitting],
)
def test_what_does_not_fit_is_one_clear_error(
    call: Call, argument: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    accepted = ACCEPTED.get(call.name, {}).get(argument, "").split(", ")
    world = World()
    for kind, value in ODD.items():
        if kind in accepted:
            continue
        before = world.state()
        with pytest.raises(OURS) as caught:  # noqa: PT012  (says which value was taken)
            call.make(world, **{**call.fitting, argument: value})
            pytest.fail(f"{argument}={value!r} ({kind}) was taken")
        assert world.state() == before, kind
        message = str(caught.value)
        assert message, kind
        assert "\n" not in message, kind
        assert len(message) < 400, kind
        assert not re.search(r"\barms?\b", message), message


@pytest.mark.parametrize("call", [call for call in CALLS if call.name not in NEVER_FITS], ids=str)
def test_what_fits_is_taken(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    call.make(World(), **call.fitting)
    for argument, kinds in ACCEPTED.get(call.name, {}).items():
        for kind in kinds.split(", "):
            call.make(World(), **{**call.fitting, argument: ODD[kind]})


def test_the_letters_of_a_text_are_no_symbols() -> None:
    """Each of them is part of the scan, so that nothing but the type of the argument is wrong."""
    world = World()
    for ask in (world.scan.queue.pin, world.scan.queue.exclude, world.scan.are_hits):
        with pytest.raises(OURS, match=r"symbols is 'CAT'; expected a list of strings"):
            ask("CAT")
    with pytest.raises(OURS, match=r"symbols is 'CAT'; expected a list of strings"):
        world.ranker.start_scan("CAT")
