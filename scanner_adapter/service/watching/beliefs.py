"""What was learned, per ruleset: snapshot and journal folded here as a scanner folds them.

Loaded when somebody asks, with the settings that the snapshot notes, and then kept in step by
journal position; a new snapshot is a new load, so that changed settings are followed. Everything
here runs in threads of `StoreAccess`.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bandit.belief.belief import Belief, BeliefSettings
from bandit.choice.explain import Explanation, GroupWeight
from bandit.choice.open_scan import OpenScan
from bandit.errors import JournalChangedError
from bandit.stores import Entry, RulesetStats, Store
from bandit.stores.names import position_key
from scanner_adapter.blas_threads import one_blas_thread
from scanner_adapter.inputs.context import CROSSED, factor_of, seed_weights
from scanner_adapter.service.notes import past
from scanner_adapter.state.comparison import Comparison, ScanLog
from scanner_adapter.state.fold import settings_from_fingerprint
from scanner_adapter.state.learned_state import LearnedState

T = TypeVar("T")

MAX_KEPT = 8  # rulesets; 5,000 symbols take about 2 MB each
MIN_AGE_S = 1.0  # a watched belief is brought up to date at most so often
CONFIDENCE = 0.9  # of the intervals of weights
RECENT_ENTRIES = 200  # reports whose contexts represent the universe when factors are weighed
WEIGHED = 1_000  # symbols of them, as in `bandit.choice.open_scan`


class FoldedBelief:
    """One ruleset's belief, up to journal `position`; lent to one thread at a time."""

    def __init__(self, store: Store, ruleset: str, stats: RulesetStats) -> None:
        self.ruleset = ruleset
        self.version = stats.snapshot_version
        self._recent: deque[Entry] = deque(maxlen=RECENT_ENTRIES)
        self._learned = LearnedState(store, ruleset, _settings(store, ruleset))
        self._refreshed = time.monotonic()
        self._weights: tuple[str, dict[str, GroupWeight]] | None = None
        self._remember_latest(store)

    @property
    def belief(self) -> Belief:
        """The belief itself."""
        return self._learned.belief

    @property
    def position(self) -> str:
        """Journal position up to which it was folded."""
        return self._learned.position

    def fits(self, stats: RulesetStats) -> bool:
        """Whether it is still a prefix of what is stored."""
        is_ahead = position_key(self.position) > position_key(stats.last_position)
        return stats.snapshot_version == self.version and not is_ahead

    def catch_up(self) -> None:
        """Fold what was journaled since the last time, unless that was just now."""
        if time.monotonic() - self._refreshed > MIN_AGE_S:
            with one_blas_thread():
                try:
                    self._learned.catch_up(self._remember)
                except JournalChangedError:
                    self._learned.load()
            self._refreshed = time.monotonic()

    def weights(self) -> dict[str, GroupWeight]:
        """Return each factor's weight over the latest reported symbols; {} without any."""
        if self._weights is None or self._weights[0] != self.position:
            self._weights = self.position, self._weigh()
        return self._weights[1]

    def explain(self, entry: Entry, row: int) -> Explanation:
        """Say what makes the score of a reported symbol, by the belief of now.

        On its journaled context; `probability` says nothing here, because the level of a whole
        universe is not known.
        """
        context = np.asarray(entry.arrays["context"], np.float64)[row : row + 1]
        with one_blas_thread():
            scan = self._scan_of(entry, [entry.arms[row]], context)
            return scan.explain(0, factor_of(self.belief.columns))

    def _weigh(self) -> dict[str, GroupWeight]:
        columns = self.belief.columns
        rows: dict[str, np.ndarray] = {}
        for entry in self._recent:
            context = np.asarray(entry.arrays["context"], np.float64)
            if tuple(entry.header["columns"]) == columns:
                last = entry
                rows |= dict(zip(entry.arms, context, strict=True))
        if not rows:
            return {}
        arms = list(rows)[:: 1 + len(rows) // WEIGHED]
        with one_blas_thread():
            scan = self._scan_of(last, arms, np.array([rows[arm] for arm in arms]))
            return scan.group_weights(factor_of(columns), CONFIDENCE)

    def _scan_of(self, entry: Entry, arms: list[str], context: NDArray[np.float64]) -> OpenScan:
        """Open a scan over `arms` by the belief of now, with what the scan of `entry` teaches."""
        belief, columns = self.belief.with_provisional(entry.scan_id), entry.header["columns"]
        return OpenScan(belief, "explain", arms, context, columns, rng=np.random.default_rng(0))

    def _remember(self, entry: Entry) -> None:
        if entry.kind == "report":
            self._recent.append(entry)

    def _remember_latest(self, store: Store) -> None:
        """Read reports of the newest scan that has some."""
        for info in store.list_scans(self.ruleset, 5):
            if info.n_reported:
                first = store.read(self.ruleset, after=past(info.started), limit=RECENT_ENTRIES)
                for entry in first:
                    self._remember(entry)
                return


class Beliefs:
    """Beliefs asked for lately."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, FoldedBelief] = OrderedDict()
        self._loading: dict[str, threading.Lock] = {}
        self._compared: OrderedDict[str, ScanLog] = OrderedDict()
        self._comparing = threading.Lock()

    def comparison(self, store: Store, ruleset: str, stats: RulesetStats) -> Comparison:
        """Compare prioritised and control scans; each journal entry is read once.

        Raises
        ------
        StoreError
        """
        with self._comparing:
            log = self._compared.pop(ruleset, None)
            if log is None or position_key(log.position) > position_key(stats.last_position):
                log = ScanLog(store, ruleset)
            log.catch_up()
            _keep(self._compared, ruleset, log)
            return log.comparison()

    @contextmanager
    def of(self, store: Store, ruleset: str, stats: RulesetStats) -> Iterator[FoldedBelief]:
        """Lend the belief of a ruleset, brought up to date, to one thread at a time.

        Raises
        ------
        StoreError
            When it cannot be loaded.
        """
        with self._lock:
            loading = self._loading.setdefault(ruleset, threading.Lock())
        with loading:
            belief = self._kept.get(ruleset)
            if belief is None or not belief.fits(stats):
                with one_blas_thread():
                    belief = FoldedBelief(store, ruleset, stats)
            belief.catch_up()
            with self._lock:
                _keep(self._kept, ruleset, belief)
            yield belief


def _settings(store: Store, ruleset: str) -> BeliefSettings:
    """Return settings that fold this ruleset as its scanners do; the defaults before a snapshot."""
    snapshot = store.load_snapshot(ruleset)
    if snapshot is None or "settings" not in snapshot.header:
        return BeliefSettings(seed_weights=seed_weights(None), crossed=CROSSED)
    return settings_from_fingerprint(snapshot.header["settings"])


def _keep(kept: OrderedDict[str, T], ruleset: str, value: T) -> None:
    """Remember what was used last, and forget what was used longest ago."""
    kept[ruleset] = value
    kept.move_to_end(ruleset)
    if len(kept) > MAX_KEPT:
        kept.popitem(last=False)
