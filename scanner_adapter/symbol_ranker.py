"""`SymbolRanker`: the door to everything. Open it on a store, start scans on it."""

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
    as_bars,
    as_store,
    check_mode,
    check_options,
    check_rollout,
    choose_mode,
    clean_universe,
    refuse_misaligned,
    with_spool,
)

# What a scan needs is imported when the first one opens: scipy and the features take as long to
# import as numpy and pandas together, and many a program imports this class long before.
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
    """Learns which symbols of one scanner pay, and orders its scans. Make it with `open`.

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
        import scanner_adapter.scan.scan  # noqa: F401  so that the first scan starts at once
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
        """Open what was learned for `ruleset`, or start with nothing.

        Parameters
        ----------
        url : str or Store
            Address of the store, see `bandit.stores.store_from_url`. Or a store, used as it is: to
            let reports wait on disk, wrap it in `bandit.stores.spool`. The ranker
            closes it.
        ruleset : str
            Name of the scanner configuration; each is learned for itself.
        rewards : RewardRule, optional
            What counts as high-value; by default the best 5 % of ratings of a scan.
        weights : mapping of factor to weight, optional
            Where learning starts: historical 0.40, market 0.30, fundamental 0.20, technical 0.10.
        mode : "on", "shadow" or "off"
            on prioritises; shadow keeps the given order but learns; off does neither. The
            environment variable SCANRANK_MODE beats it.
        rollout : float, optional
            Share of scans that are prioritised; the others keep the given order and learn, as
            the control group that `compare` measures against.
        row_map : RowMap, optional
            Where the scanner's rows keep rating, signal and alpha, if not under the usual names.
        seed : int, optional
            Makes the batches reproducible.
        settings : Settings or path, optional
            What `scanrank tune` wrote, see `scanner_adapter.settings`; default settings if None.
        **further
            Single fields of `Settings`; they beat those of `settings`.

        Raises
        ------
        InvalidInputError, InvalidContextError
            For settings that do not fit.
        StoreError
            When the store cannot be reached or read. Once open, a store that goes away never
            stops a scan: reports wait on disk, see `bandit.stores.spool.store`.
        """
        from scanner_adapter.settings import Settings

        known = [each.name for each in fields(Settings)]
        unknown = sorted(set(further) - set(known))
        if unknown:
            raise InvalidInputError(
                f"setting {unknown[0]!r} is unknown; known are {', '.join(sorted(known))}"
            )
        if weights is not None:
            further["weights"] = weights
        chosen = replace(Settings.of(settings), **further)
        # Before a store is opened, which may make a file.
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
        """Mode of the scans to come; setting it between scans loses nothing."""
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
        """Start a scan over `symbols`; with bars of many of them, features come a moment later.

        Parameters
        ----------
        symbols : sequence of str
            The universe, in the scanner's own order. Repeated, blank and missing symbols are
            dropped, counted and said.
        bars : Bars or DataFrame, optional
            Market history; by default the bars that came with earlier results (`Outcome.bars`).
            Without any, only the track record and the scanner's own numbers order the symbols.
        quotes : Quotes, or what `features.inputs.quotes.Quotes.read` takes, optional
            What the whole market shows just now, beside `bars`: last prices and volume so far, as
            vendors give them in one call. The order then knows today too; see also
            `Scan.refresh`.
        events : Events, optional
            Earnings, rating changes and news.
        as_of : date, optional
            Last day of `bars` that may be seen; by default the latest one, not after `now`, on
            which at least half of the symbols have a bar. Bars of a session that goes on are set
            aside. A day before that of an earlier scan of the ruleset is warned of: the track
            record knows what came later.
        sectors : mapping of symbol to sector, optional
        context : DataFrame or (names, array), optional
            Ready-made sub-scores instead of `bars`.
        loadings : Loadings, optional
            Ready-made similarity loadings.
        max_age : int
            Own trading days by which a symbol's last bar may be late, and still counts.
        now : datetime, optional
            When the scan runs, with its timezone; by default the clock.
        scan_id : str, optional
            By default a new one. The id of an interrupted scan continues it: what was reported
            counts, and is not handed out again. Who continues or joins a scan must have its reward
            rule, settings, symbols in their order and sub-scores; its mode is that of the opening.
        shared : bool
            Whether other workers scan the same universe under the same `scan_id` at the same
            time. Each batch is then claimed in the store, and every worker learns from all
            reports.
        worker : str, optional
            This worker's name in a shared scan, by default a new one. One that restarts under its
            old name has its symbols back at once.
        lease_s : float
            In a shared scan, after how long the symbols of a worker that died are scanned by
            others. A worker that lives keeps its own, however long it takes.
        overlap : bool
            Whether batches may be handed out while bars are read and features are computed, in
            a universe of more than 1,000 symbols: random ones and history's best, at most one
            a worker. Which batch is the first with features then depends on timing; the journal
            says. False waits, as do exploration 0 and a given `scan_id`. What is wrong with the
            bars is raised when their features are due.
        hits_last : timedelta, optional
            For many scans a day that each see a part: the half-life of a hit. A symbol that was
            looked at just now can bring nothing new, and its chance grows back with the time.
        seen_within : timedelta, optional
            Every symbol is looked at once in this time, by the clock, nights included: those
            whose time is up come first in each scan, as few as an even pace allows. Kept as long
            as scans have room for them.
        origin : Provenance, optional
            Mode and random numbers of a scan in a journal, to make its choices again.

        Raises
        ------
        InvalidInputError, InvalidContextError, InvalidBarsError
            For an empty universe, or inputs that do not fit, be it to each other
            or to the scan that is joined; nothing is stored.
        """
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
        # Never from the seeded generator: a second process with the same seed would meet the
        # first one's scan in the journal, where the first outcome of a (scan, symbol) wins.
        known_id, scan_id = scan_id, scan_id or uuid.uuid4().hex
        if shared and known_id is None:
            raise InvalidInputError(
                "a shared scan needs the scan_id under which its workers meet; give all the same"
            )
        with self._lock:
            # By a known id the mode is drawn alike in every worker, and after a restart.
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
                    "a shared scan needs mode 'on' or 'shadow': in mode off there is no journal in "
                    "which its workers could meet"
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
                    inputs["bars"] = as_bars(inputs["bars"])  # once for all refreshes too
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
            coverage: tuple[str | None, bool] = (dropped, False)
            if choice.mode == "off" or failure is not None:
                coverage = log_coverage(None, dropped)
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
        """Return `symbols` in order of promise, for loops that only want an order.

        Nothing is learned or stored. Takes `bars`, `quotes`, `events`, `as_of`, `sectors`,
        `context`, `loadings` and `now` as `start_scan` does.
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
                log.warning("scanrank failed (%s); the given order stands", error, exc_info=error)
                return names
            return tuple(names[place] for place in np.concatenate(chosen))

    def spawn_rng(self) -> np.random.Generator:
        """Return further random numbers from the ranker's seed."""
        with self._lock:
            return self._rng.spawn(1)[0]

    def prioritized(self, symbols: Sequence[str], **inputs: Unpack[ScanInputs]) -> Iterator[str]:
        """Iterate over `order(symbols, ...)`: the drop-in for a loop over symbols."""
        return iter(self.order(symbols, **inputs))

    def _with_kept_bars(self, inputs: ScanInputs, scan_time: float) -> ScanInputs:
        """Return inputs with the bars that earlier results brought, where none are given."""
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
        """Return market facts without the sub-scores that nobody has had yet.

        Where no events are given, a tenth of the columns would be unknown for ever.
        """
        from scanner_adapter.inputs.context import market_facts

        facts = market_facts(names, now=now, **inputs)
        if not self.similarity:
            facts = replace(facts, loadings=facts.loadings[:, :0], loading_names=())
        met = set(self.learned.belief.columns)
        is_unknown = np.isnan(facts.values[0])  # nearly always, the first symbol decides
        is_unknown[is_unknown] = np.isnan(facts.values[:, is_unknown]).all(axis=0)
        met.update(name for name, gone in zip(facts.names, is_unknown, strict=True) if not gone)
        return facts.only(met)

    def _reread_facts(
        self, names: tuple[str, ...], given: ScanInputs, now: datetime | None,
        **inputs: Unpack[ScanInputs],
    ) -> MarketFacts:  # fmt: skip
        """Return market facts with some inputs replaced; quotes of before are not used again."""
        merged: ScanInputs = {**given, "quotes": None, **inputs}
        return self._facts(names, now, **merged)

    def close(self) -> None:
        """Release the store."""
        self.store.close()

    def __enter__(self) -> SymbolRanker:
        """Return the ranker itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release the store."""
        self.close()
