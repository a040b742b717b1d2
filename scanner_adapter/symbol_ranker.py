"""`SymbolRanker`, the main entry point: open it on a store, then start scans with it."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from bandit.checks import as_count, as_flag, as_kind, as_number
from bandit.errors import InvalidInputError
from bandit.stores import Store, store_from_url
from bandit.stores.names import check_name
from scanner_adapter.batch import day_of, time_of
from scanner_adapter.blas_threads import one_blas_thread
from scanner_adapter.errors import CALLERS_ERRORS, InvalidContextError
from scanner_adapter.known_ranker import KnownRanker
from scanner_adapter.options import (
    MODES,
    Mode,
    ModeChoice,
    as_store,
    check_mode,
    check_options,
    check_rollout,
    choose_mode,
    clean_universe,
    refuse_misaligned,
    with_spool,
)

# Imported when the first scan starts: scipy and the features take as long to import as numpy and
# pandas together, and many programs import this class long before they scan.
if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from bandit.belief.belief import BeliefSettings
    from bandit.rewards import RewardRule
    from features.inputs.bars import Bars
    from features.inputs.events import Events
    from features.similarity import Loadings
    from scanner_adapter.inputs.context import MarketFacts, ScanInputs
    from scanner_adapter.inputs.outcomes import RowMap
    from scanner_adapter.scan.early import EarlyBatches
    from scanner_adapter.scan.opened import Opened
    from scanner_adapter.scan.scan import Scan
    from scanner_adapter.settings import Settings
    from scanner_adapter.state.provenance import Provenance

__all__ = ["MODES", "Mode", "SymbolRanker"]

log = logging.getLogger("scanrank")


class SymbolRanker(KnownRanker):
    """Learns which symbols are worth scanning first, and orders scans. Created with `open`.

    Examples
    --------
    >>> ranker = SymbolRanker.open("memory://", ruleset="demo", seed=1)
    >>> with ranker.start_scan(["AAPL", "MSFT", "IBM"]) as scan:
    ...     while batch := scan.next_batch(2):
    ...         scan.report({symbol: float(len(symbol)) for symbol in batch})
    >>> scan.summary.n_scanned
    3
    """

    def __init__(
        self,
        store: Store,
        *,
        ruleset: str,
        settings: BeliefSettings,
        mode: Mode = "on",
        rollout: float | None = None,
        row_map: RowMap | None = None,
        seed: int | None = None,
        batch_size: int = 50,
        similarity: bool = True,
    ) -> None:
        check_options(ruleset, mode=mode, rollout=rollout, row_map=row_map, seed=seed)
        self._mode = check_mode(mode)
        self.rollout = check_rollout(rollout)
        self.store = as_store(store, "store")
        self.ruleset = ruleset
        self.row_map = row_map
        self.batch_size = as_count(batch_size, "batch_size")
        self.similarity = as_flag(similarity, "similarity")
        self._lock = threading.RLock()
        self._rng = np.random.default_rng(seed)
        import scanner_adapter.scan.scan  # noqa: F401  the first scan need not wait for it
        from bandit.belief.belief import BeliefSettings
        from scanner_adapter.state.comparison import ScanLog
        from scanner_adapter.state.learned_state import LearnedState

        as_kind(settings, "settings", BeliefSettings, "BeliefSettings")
        self._scans = ScanLog(store, ruleset)
        self.learned = LearnedState(store, ruleset, settings)

    @classmethod
    def open(
        cls,
        url: str | Store = "embedded://",
        *,
        ruleset: str,
        rewards: RewardRule | None = None,
        weights: Mapping[str, float] | None = None,
        mode: Mode = "on",
        rollout: float | None = None,
        row_map: RowMap | None = None,
        seed: int | None = None,
        settings: Settings | str | Path | None = None,
        **further: Any,
    ) -> SymbolRanker:
        """Open the learned state of `ruleset`, or start a new one.

        Parameters
        ----------
        url : str or Store
            Store URL, see `bandit.stores.store_from_url`. A store object is used as it is; wrap it
            in `bandit.stores.spool` if reports should wait on disk during an outage. The ranker
            closes the store.
        ruleset : str
            Name of the scanner configuration. Each ruleset has its own learned state.
        rewards : RewardRule, optional
            What counts as high-value; by default the best 5 % of a scan's ratings.
        weights : mapping of factor to weight, optional
            Prior weights; by default historical 0.40, market 0.30, fundamental 0.20, technical
            0.10.
        mode : "on", "shadow" or "off"
            "on" prioritises, "shadow" keeps the given order but learns, "off" does neither. The
            environment variable SCANRANK_MODE takes precedence.
        rollout : float, optional
            Share of scans to prioritise, in [0, 1]. The others keep the given order and learn;
            they are the control group of `compare`.
        row_map : RowMap, optional
            Names of rating, signal and alpha in the scanner's rows, where they are not the usual
            ones.
        seed : int, optional
            Makes the batches reproducible.
        settings : Settings or path, optional
            Settings, or a file written by `scanrank tune`; see `scanner_adapter.settings`.
        **further
            Individual fields of `Settings`; they take precedence over `settings`.

        Raises
        ------
        InvalidInputError, InvalidContextError
            For invalid settings.
        StoreError
            When the store cannot be reached or read. After opening, a store outage never stops a
            scan: reports wait on disk, see `bandit.stores.spool.store`.
        """
        from scanner_adapter.settings import Settings

        known = [each.name for each in fields(Settings)]
        unknown = sorted(set(further) - set(known))
        if unknown:
            raise InvalidInputError(
                f"setting {unknown[0]!r} is unknown; known settings: {', '.join(sorted(known))}"
            )
        if weights is not None:
            further["weights"] = weights
        chosen = replace(Settings.of(settings), **further)
        # Checked before the store is opened, which may create a file.
        check_options(ruleset, mode=mode, rollout=rollout, row_map=row_map, seed=seed)
        belief = chosen.ranker_settings(rewards)
        store = with_spool(store_from_url(url)) if isinstance(url, str) else as_store(url, "url")
        try:
            return cls(
                store, ruleset=ruleset, settings=belief, mode=mode,
                rollout=rollout, row_map=row_map, seed=seed, batch_size=chosen.batch_size,
                similarity=chosen.similarity,
            )  # fmt: skip
        except BaseException:
            store.close()
            raise

    @property
    def mode(self) -> Mode:
        """Mode of future scans; changing it between scans loses no learned state."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = check_mode(mode)

    @one_blas_thread()
    def start_scan(
        self,
        symbols: Sequence[str],
        *,
        bars: Bars | pd.DataFrame | None = None,
        quotes: object | None = None,
        events: Events | None = None,
        as_of: object | None = None,
        sectors: Mapping[str, str] | None = None,
        context: pd.DataFrame | tuple[Sequence[str], NDArray[np.floating]] | None = None,
        loadings: Loadings | None = None,
        max_age: int = 3,
        now: datetime | None = None,
        scan_id: str | None = None,
        shared: bool = False,
        worker: str | None = None,
        lease_s: float = 60.0,
        overlap: bool = True,
        hits_last: timedelta | None = None,
        seen_within: timedelta | None = None,
        origin: Provenance | None = None,
    ) -> Scan:
        """Start a scan over `symbols`, or resume or join one by its `scan_id`.

        Parameters
        ----------
        symbols : sequence of str
            The universe, in the scanner's own order. Repeated, blank and missing symbols are
            dropped, and their number is logged.
        bars : Bars or DataFrame, optional
            Daily market history; by default the bars that came with earlier results
            (`Outcome.bars`). Without bars, symbols are ordered by their track record and by the
            scanner's own numbers only.
        quotes : Quotes, or what `features.inputs.quotes.Quotes.read` takes, optional
            Current last prices and volumes of the whole market, as vendors return them in one
            call. They add today to the history in `bars`; see also `Scan.refresh`.
        events : Events, optional
            Earnings, rating changes and news.
        as_of : date, optional
            Last day of `bars` to use; by default the latest day, not after `now`, on which at
            least half of the symbols have a bar. Bars of an unfinished session are ignored. A day
            before that of an earlier scan logs a warning: the track record knows the future.
        sectors : mapping of symbol to sector, optional
        context : DataFrame or (names, array), optional
            Precomputed sub-scores, shape (n, n_features), instead of `bars`.
        loadings : Loadings, optional
            Precomputed similarity loadings.
        max_age : int
            Maximum age of a symbol's last bar, in trading days of its own.
        now : datetime, optional
            Time of the scan, with a timezone; by default the current time.
        scan_id : str, optional
            By default a new one. The id of an interrupted scan resumes it: reported symbols count
            and are not handed out again. To resume or join a scan, its reward rule, settings,
            symbols (in the same order) and sub-scores are required; its mode stays the same.
        shared : bool
            Whether other workers scan the same universe under the same `scan_id` at the same
            time. Each batch is then claimed in the store, and every worker learns from all
            reports.
        worker : str, optional
            This worker's name in a shared scan, by default a new one. A worker that restarts under
            its old name gets its claims back at once.
        lease_s : float
            In a shared scan, seconds after which the claims of a dead worker expire. A running
            worker renews its leases, however long an evaluation takes.
        overlap : bool
            In a universe of more than 1,000 symbols: whether small batches, at most one symbol per
            worker, are handed out while bars are read and features computed. They hold random
            symbols and those with the best history. Which batch is the first with features then
            depends on timing; the journal records it. The scan waits with False, exploration 0 or
            a given `scan_id`. Invalid bars raise when the features are needed.
        hits_last : timedelta, optional
            Half-life of a hit, for many scans a day that each cover a part of the universe. A
            symbol that was just scanned cannot yield anything new; its chance recovers with time.
        seen_within : timedelta, optional
            Period in which every symbol is to be scanned at least once, by the clock, nights
            included. Overdue symbols come first, as few per scan as an even pace allows. It holds
            as long as the scans have capacity for it.
        origin : Provenance, optional
            Mode and random state of a journaled scan, to reproduce its choices.

        Raises
        ------
        InvalidInputError, InvalidContextError, InvalidBarsError
            For an empty universe, or inputs that are invalid, or do not match each other or the
            scan to join. Nothing is stored.
        """
        from scanner_adapter.inputs.context import as_read
        from scanner_adapter.scan.abandoned import close_abandoned_scans, opened_by
        from scanner_adapter.scan.early import WAITS_UP_TO, EarlyBatches
        from scanner_adapter.scan.opened import (
            Ages,
            Opened,
            history_of,
            log_coverage,
            mode_of,
            open_from_facts,
        )
        from scanner_adapter.scan.scan import Scan
        from scanner_adapter.scan.worker import WorkerLeases

        started, began = time.monotonic(), time.thread_time()
        names, dropped = clean_universe(symbols)
        refuse_misaligned(dropped, context, loadings)
        if not names:
            raise InvalidInputError("the universe is empty; give at least one symbol")
        scan_time = time_of(now)
        as_flag(shared, "shared")
        as_flag(overlap, "overlap")
        ages = Ages.of(hits_last, seen_within)
        as_number(lease_s, "lease_s", "at least 1 second", least=1.0)
        for kind, name in (("scan_id", scan_id), ("worker", worker)):
            if name is not None:
                check_name(kind, name)
        if origin is not None:
            from scanner_adapter.state.provenance import Provenance

            as_kind(origin, "origin", Provenance, "a Provenance")
        # Not from the seeded generator: a second process with the same seed would get the same
        # id, and the journal keeps only the first outcome of a (scan, symbol).
        known_id, scan_id = scan_id, scan_id or uuid.uuid4().hex
        if shared and known_id is None:
            raise InvalidInputError("a shared scan needs a scan_id; give every worker the same one")
        with self._lock:
            # Seeded with the id, every worker draws the same mode, also after a restart.
            rng = self._rng if known_id is None else np.random.default_rng(list(known_id.encode()))
            if origin is None:
                choice = choose_mode(self.mode, self.rollout, rng)
            else:
                choice = ModeChoice(origin.mode)
            opened = None
            if known_id is not None and choice.mode != "off":
                opened = self.learned.opening_of(scan_id)
                if opened is not None and origin is None:
                    choice = mode_of(opened, scan_id, choice)
            opening: Opened | EarlyBatches | None = None
            failure, leases, reread = None, None, None
            if shared and choice.mode == "off":
                raise InvalidContextError(
                    "a shared scan needs mode 'on' or 'shadow': in mode off there is no journal "
                    "for its workers to share"
                )
            if shared:
                name = worker or uuid.uuid4().hex
                leases = WorkerLeases(self.store, self.ruleset, scan_id, name, lease_s)
            if choice.mode != "off":
                inputs: ScanInputs = {
                    "bars": bars, "quotes": quotes, "events": events, "as_of": as_of,
                    "sectors": sectors, "context": context, "loadings": loadings,
                    "max_age": max_age,
                }  # fmt: skip

                def read() -> MarketFacts:
                    inputs.update(as_read(inputs, now))  # once, also for refreshes
                    return self._facts(names, now, **inputs)

                def open_with(facts: MarketFacts, n_before: int) -> Opened:
                    return open_from_facts(
                        self.learned, scan_id, names, facts, scan_time, rng=scan_rng, mode=choice,
                        n_before=n_before, ages=ages, opened=opened, dropped=dropped,
                        logs_coverage=bars is not None,
                        by=opened_by(is_shared=shared, lease_s=lease_s),
                    )  # fmt: skip

                try:
                    self.learned.refresh()
                    inputs.update(self._with_kept_bars(inputs, scan_time))
                    reread = partial(self._reread_facts, names, inputs)
                    close_abandoned_scans(self.learned, scan_id)
                    scan_rng = self._rng.spawn(1)[0] if origin is None else origin.rng()
                    n_before = None if origin is None else origin.before_features
                    may_overlap = (
                        overlap and known_id is None and ages == Ages()
                        and inputs["bars"] is not None
                        and len(names) > WAITS_UP_TO and self.learned.settings.exploration > 0.0
                    )  # fmt: skip
                    if n_before or (may_overlap and n_before is None):
                        belief = self.learned.belief
                        opening = EarlyBatches(
                            read, open_with, rng=scan_rng, n_batches=n_before,
                            history=history_of(belief, belief.track.view(names, now=scan_time)),
                            random_share=belief.settings.random_share * belief.coverage.quota,
                        )  # fmt: skip
                    else:
                        opening = open_with(read(), 0)
                except CALLERS_ERRORS:
                    raise
                except Exception as error:
                    failure = error
            has_features = choice.mode != "off" and failure is None  # they log the coverage
            coverage = (dropped, False) if has_features else log_coverage(None, dropped)
            scan = Scan(
                scan_id=scan_id, mode=choice, symbols=names,
                learned=None if choice.mode == "off" else self.learned, opened=opening,
                scan_time=scan_time, started=started, overhead_s=time.thread_time() - began,
                lock=self._lock, row_map=self.row_map, rule=self.learned.settings.rule,
                failure=failure, compare=self.compare, leases=leases, batch_size=self.batch_size,
                bars=self.kept_bars, reread_facts=reread, coverage=coverage,
            )  # fmt: skip
            if known_id is not None and isinstance(opening, Opened):
                scan.read_back()
            return scan

    @one_blas_thread()
    def order(
        self, symbols: Sequence[str], *, now: datetime | None = None, **inputs: Unpack[ScanInputs]
    ) -> tuple[str, ...]:
        """Return `symbols`, the most promising first, for loops that only need an order.

        Nothing is learned or stored; if scanrank itself fails, the given order is returned. Takes
        `now`, `bars`, `quotes`, `events`, `as_of`, `sectors`, `context`, `loadings` and `max_age`
        as `start_scan` does, and raises the same errors.
        """
        from scanner_adapter.scan.opened import open_from_facts

        names, dropped = clean_universe(symbols)
        refuse_misaligned(dropped, inputs.get("context"), inputs.get("loadings"))
        scan_time = time_of(now)
        with self._lock:
            if not names or choose_mode(self.mode, self.rollout, self._rng).mode != "on":
                return names
            try:
                facts = self._facts(names, now, **self._with_kept_bars(inputs, scan_time))
                open_scan = open_from_facts(
                    self.learned, "order", names, facts, scan_time, dropped=dropped,
                    rng=self._rng.spawn(1)[0], logs_coverage=inputs.get("bars") is not None,
                ).open_scan  # fmt: skip
                chosen = []
                while (choice := open_scan.select(self.batch_size)).arms.size:
                    chosen.append(choice.arms)
            except CALLERS_ERRORS:
                raise
            except Exception as error:
                log.warning("scanrank failed (%s); the given order is used", error, exc_info=error)
                return names
            return tuple(names[place] for place in np.concatenate(chosen))

    def spawn_rng(self) -> np.random.Generator:
        """Return a new generator, spawned from the ranker's seed."""
        with self._lock:
            return self._rng.spawn(1)[0]

    def prioritized(self, symbols: Sequence[str], **inputs: Unpack[ScanInputs]) -> Iterator[str]:
        """Iterate over `order(symbols, ...)`, a drop-in for a loop over symbols."""
        return iter(self.order(symbols, **inputs))

    def _with_kept_bars(self, inputs: ScanInputs, scan_time: float) -> ScanInputs:
        """Return the inputs, with bars from earlier results where none are given."""
        from features.inputs.days import as_day

        if any(inputs.get(name) is not None for name in ("bars", "context")):
            return inputs
        day = np.datetime64(day_of(scan_time))
        if inputs.get("as_of") is not None:
            day = min(day, as_day(inputs["as_of"]))
        bars = self.kept_bars.known_by(day)
        return inputs if bars is None else {**inputs, "bars": bars, "as_of": None}

    def _facts(
        self, names: tuple[str, ...], now: datetime | None, **inputs: Unpack[ScanInputs]
    ) -> MarketFacts:
        """Return market facts, without sub-scores that have never had a value.

        If no events are given, a tenth of the columns would always be unknown.
        """
        from scanner_adapter.inputs.context import market_facts

        facts = market_facts(names, now=now, **inputs)
        if not self.similarity:
            facts = replace(facts, loadings=facts.loadings[:, :0], loading_names=())
        met = set(self.learned.belief.columns)
        is_unknown = np.isnan(facts.values[0])  # the first symbol nearly always decides
        is_unknown[is_unknown] = np.isnan(facts.values[:, is_unknown]).all(axis=0)
        met.update(name for name, gone in zip(facts.names, is_unknown, strict=True) if not gone)
        return facts.only(met)

    def _reread_facts(
        self, names: tuple[str, ...], given: ScanInputs, now: datetime | None,
        **inputs: Unpack[ScanInputs],
    ) -> MarketFacts:  # fmt: skip
        """Return market facts with some inputs replaced from now on; by quotes if any is usable."""
        from scanner_adapter.inputs.context import as_read

        earlier, inputs = given.get("quotes"), as_read({**given, **inputs}, now)
        facts = self._facts(names, now, **inputs)
        if inputs.get("quotes") is not None and earlier is not None and not facts.has_today:
            inputs["quotes"] = earlier
            facts = self._facts(names, now, **inputs)
        given.update(inputs if facts.has_today else {**inputs, "quotes": None})
        return facts

    def close(self) -> None:
        """Release the store."""
        self.store.close()

    def __enter__(self) -> SymbolRanker:
        """Return the ranker itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release the store."""
        self.close()
