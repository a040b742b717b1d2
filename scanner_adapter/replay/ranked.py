"""The live code, replayed: the same calls that a scanner makes, with the log as the scanner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.choice.explain import GroupWeight
from bandit.rewards import RewardRule
from bandit.stores.forgetful import ForgetfulStore
from bandit.stores.sqlite.store import SqliteStore
from scanner_adapter.replay.logs.scans import ReplayScan
from scanner_adapter.replay.pace import Pace, evaluate, in_batches
from scanner_adapter.run.stop_rules import StopRule
from scanner_adapter.scan.scan import Scan
from scanner_adapter.symbol_ranker import SymbolRanker

# Shares of the universe after which the recall estimate is compared with the truth.
CHECKED_AT = (0.05, 0.10, 0.15, 0.25, 0.50)
CONFIDENCE = 0.9
# Weights move slowly, and computing them takes some milliseconds.
WEIGHTS_EVERY = 5


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison of the recall estimate with the truth.

    Attributes
    ----------
    scan : int
        Number of the scan in the replay, from 0.
    scanned : float
        Share of the universe that was scanned.
    estimated, low, high : float
        Estimated recall, and its bounds at 90 % confidence each.
    true : float
        True recall; hits are those of the whole scan, as the report counts them.
    """

    scan: int
    scanned: float
    estimated: float
    low: float
    high: float
    true: float


@dataclass
class Recorder:
    """Records weights and recall estimates of one order in a replay; choices are unaffected.

    Attributes
    ----------
    weights : list of (int, mapping of factor to GroupWeight)
        After every fifth scan, by its number.
    checks : list of Check
    """

    weights: list[tuple[int, dict[str, GroupWeight]]] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    _n_scans: int = 0
    _due: list[float] = field(default_factory=list)

    def start(self) -> None:
        """Prepare for a new scan."""
        self._due = list(CHECKED_AT)

    def look(self, live: Scan, scan: ReplayScan) -> None:
        """Compare the recall estimate with the truth, if one is due after this report."""
        n = len(scan.symbols)
        if not self._due or live.n_scanned < self._due[0] * n:
            return
        while self._due and live.n_scanned >= self._due[0] * n:
            self._due.pop(0)
        total = np.count_nonzero(scan.hits)
        if not total:
            return
        reported = live.outcomes.keys()
        found = sum(
            symbol in reported
            for symbol, hit in zip(scan.symbols, scan.hits.tolist(), strict=True)
            if hit
        )
        estimate = live.estimate(CONFIDENCE)
        self.checks.append(
            Check(
                self._n_scans, live.n_scanned / n,
                estimate.recall, estimate.recall_low, estimate.recall_high, found / total,
            )
        )  # fmt: skip

    def end(self, live: Scan) -> None:
        """Record the weights after every fifth scan."""
        if self._n_scans % WEIGHTS_EVERY == 0:
            self.weights.append((self._n_scans, live.factor_weights()))
        self._n_scans += 1


@dataclass(frozen=True)
class Configuration:
    """How the ranker under test is opened.

    Attributes
    ----------
    name : str
        Its name in reports.
    seed : int
        Same seed, same log: same batches, bit for bit.
    settings : mapping
        Further keyword arguments of `SymbolRanker.open`.
    """

    name: str = "scanrank"
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)

    def open(self, rule: RewardRule, *, keeps_journal: bool = True) -> SymbolRanker:
        """Open an empty ranker in memory.

        Without its journal, ruleset "replay" of the ranker's store, two years of scans of 1,500
        symbols take 300 MB less.
        """
        store = SqliteStore() if keeps_journal else ForgetfulStore()
        return SymbolRanker.open(
            store, ruleset="replay", seed=self.seed, rewards=rule, **self.settings
        )


class Ranked:
    """An order produced by `SymbolRanker`, batch by batch.

    Parameters
    ----------
    ranker : SymbolRanker
    name : str
    batch_size : int
        Symbols per batch; the last batch of a stopped scan is cut to fit.
    until : StopRule, optional
        Checked after every report, as in `Scan.run`.
    pace : Pace, optional
        Simulates several workers and late results; by default, all earlier results are known when a
        batch is chosen.
    watch : Recorder, optional
        Records weights and recall estimates.
    further : mapping, optional
        What `start_scan` takes beside what the log knows, such as `hits_last`.
    """

    def __init__(
        self,
        ranker: SymbolRanker,
        *,
        name: str = "scanrank",
        batch_size: int = 50,
        until: StopRule | None = None,
        pace: Pace | None = None,
        watch: Recorder | None = None,
        further: Mapping[str, Any] | None = None,
    ) -> None:
        self.ranker = ranker
        self.name = name
        self.batch_size = batch_size
        self.until = until
        self.pace = None if pace == Pace() else pace
        self.watch = watch
        self.further = further or {}
        self.fell_back = False  # in the latest scan, another order stood in for the ranker's own
        self._lengths = np.random.default_rng(0)  # of evaluations, whatever the ranker's seed

    def visit(self, scan: ReplayScan, n_visits: int) -> NDArray[np.intp]:
        """See `Order.visit`."""
        place = {symbol: i for i, symbol in enumerate(scan.symbols)}
        if self.watch is not None:
            self.watch.start()

        def places_of(symbols: Sequence[str]) -> NDArray[np.intp]:
            return np.array([place[symbol] for symbol in symbols], np.intp)

        with self.ranker.start_scan(scan.symbols, **scan.inputs(), **self.further) as live:
            how: dict[str, Any] = {
                "n_visits": n_visits, "batch_size": self.batch_size, "until": self.until,
                "look": partial(self._look, live, scan),
            }  # fmt: skip
            if self.pace is None:
                # As columns, without an object for each outcome.
                visited = in_batches(live, lambda symbols: scan.report(places_of(symbols)), **how)
            else:
                outcomes = dict(zip(scan.symbols, scan.outcomes, strict=True))
                visited = evaluate(live, outcomes, self.pace, rng=self._lengths, **how)
            if self.until is None and len(visited) < n_visits:
                n_lost = n_visits - len(visited)
                raise RuntimeError(f"{self.name} lost {n_lost} symbols of the scan {scan.now}")
            self.fell_back = bool(live.fallback)
            if self.watch is not None:
                self.watch.end(live)
        return places_of(visited)

    def _look(self, live: Scan, scan: ReplayScan) -> None:
        if self.watch is not None:
            self.watch.look(live, scan)
