"""`SymbolRanker`: the door to everything. Open it on a store, start scans on it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bandit.checks import as_arms
from bandit.errors import InvalidInputError
from bandit.open_scan import OpenScan
from bandit.ranker import RankerSettings
from bandit.rewards import RewardRule, TopShare
from bandit.stores import Store, store_from_url
from features.bars import Bars
from features.events import Events
from features.similarity import Loadings
from scanner_adapter.blas_threads import one_blas_thread
from scanner_adapter.context import CROSSED, MarketFacts, market_facts, scan_context, seed_weights
from scanner_adapter.errors import InvalidContextError
from scanner_adapter.learned_state import LearnedState
from scanner_adapter.scan import SECONDS_PER_DAY, Scan

Mode = Literal["on", "shadow", "off"]
MODES: tuple[Mode, ...] = ("on", "shadow", "off")
# A one-shot order mixes its random symbols in as a scan in batches of this size would.
_ORDER_BATCH = 50


class SymbolRanker:
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
        settings: RankerSettings,
        mode: Mode = "on",
        seed: int | None = None,
    ) -> None:
        if mode not in MODES:
            raise InvalidContextError(f"mode {mode!r} is unknown; known are {', '.join(MODES)}")
        self.store = store
        self.ruleset = ruleset
        self.mode: Mode = mode
        self._rng = np.random.default_rng(seed)
        self.learned = LearnedState(store, ruleset, settings)

    @classmethod
    def open(
        cls,
        url: str = "embedded://",
        *,
        ruleset: str,
        rewards: RewardRule | None = None,
        weights: Mapping[str, float] | None = None,
        mode: Mode = "on",
        seed: int | None = None,
        **settings: Any,
    ) -> SymbolRanker:
        """Open what was learned for `ruleset`, or start with nothing.

        Parameters
        ----------
        url : str
            Address of the store, see `bandit.stores.store_from_url`.
        ruleset : str
            Name of the scanner configuration; each is learned for itself.
        rewards : RewardRule, optional
            What counts as high-value; by default the best 5 % of ratings of a scan.
        weights : mapping of factor to weight, optional
            Where learning starts: historical 0.40, market 0.30, fundamental 0.20, technical 0.10.
        mode : "on", "shadow" or "off"
            on prioritises; shadow keeps the given order but learns; off does neither.
        seed : int, optional
            Makes the batches reproducible.
        **settings
            Further fields of `bandit.ranker.RankerSettings`.

        Raises
        ------
        InvalidInputError, InvalidContextError
            For settings that do not fit.
        StoreError
            When the store cannot be reached or read.
        """
        known = {"half_life_days", "fast_days", "slow_days", "exploration", "random_share"}
        unknown = sorted(set(settings) - known)
        if unknown:
            raise InvalidInputError(
                f"setting {unknown[0]!r} is unknown; known are {', '.join(sorted(known))}"
            )
        ranker_settings = RankerSettings(
            seed_weights=seed_weights(weights),
            rule=rewards or TopShare(),
            crossed=CROSSED,
            **settings,
        )
        store = store_from_url(url)
        try:
            return cls(store, ruleset=ruleset, settings=ranker_settings, mode=mode, seed=seed)
        except BaseException:
            store.close()
            raise

    @property
    def n_scans(self) -> int:
        """Finished scans behind the belief."""
        return self.learned.ranker.n_scans

    @one_blas_thread()
    def start_scan(
        self,
        symbols: Sequence[str],
        *,
        bars: Bars | pd.DataFrame | None = None,
        events: Events | None = None,
        as_of: object | None = None,
        sectors: Mapping[str, str] | None = None,
        context: pd.DataFrame | tuple[Sequence[str], NDArray[np.floating]] | None = None,
        loadings: Loadings | None = None,
        now: datetime | None = None,
        scan_id: str | None = None,
    ) -> Scan:
        """Start a scan over `symbols`.

        Parameters
        ----------
        symbols : sequence of str
            The universe, in the scanner's own order.
        bars : Bars or DataFrame, optional
            Market history; without it only the track record orders the symbols.
        events : Events, optional
            Earnings, rating changes and news.
        as_of : date, optional
            Last day of `bars` that may be seen; by default their last day.
        sectors : mapping of symbol to sector, optional
        context : DataFrame or (names, array), optional
            Ready-made sub-scores instead of `bars`.
        loadings : Loadings, optional
            Ready-made similarity loadings.
        now : datetime, optional
            When the scan runs, with its timezone; by default the clock.
        scan_id : str, optional
            By default a new one.

        Raises
        ------
        InvalidInputError, InvalidContextError, InvalidBarsError
            For an empty universe, repeated symbols, or inputs that do not fit; nothing is stored.
        """
        started = time.monotonic()
        names = as_arms(list(symbols))
        if not names:
            raise InvalidInputError("the universe is empty; give at least one symbol")
        time_now = datetime.now(UTC) if now is None else now
        if time_now.tzinfo is None:
            raise InvalidContextError(
                f"now is {time_now} without a timezone; give it one, best UTC"
            )
        scan_time = time_now.timestamp() / SECONDS_PER_DAY
        # Never from the seeded generator: a second process with the same seed would meet the
        # first one's scan in the journal, where the first outcome of a (scan, symbol) wins.
        scan_id = scan_id or uuid.uuid4().hex
        if self.mode == "off":
            return Scan(
                scan_id=scan_id, mode="off", symbols=names, learned=None, live=None,
                context_names=(), scan_time=scan_time, started=started,
            )  # fmt: skip
        facts = market_facts(
            names, bars=bars, events=events, as_of=as_of, sectors=sectors,
            context=context, loadings=loadings,
        )  # fmt: skip
        self.learned.catch_up()
        live = self._open(scan_id, names, facts, scan_time, announce=True)
        return Scan(
            scan_id=scan_id, mode=self.mode, symbols=names, learned=self.learned, live=live,
            context_names=self.learned.ranker.columns, scan_time=scan_time, started=started,
        )  # fmt: skip

    @one_blas_thread()
    def order(self, symbols: Sequence[str], **inputs: Any) -> tuple[str, ...]:
        """Return `symbols` in order of promise, for loops that only want an order.

        Nothing is learned or stored. Takes `bars`, `events`, `as_of`, `sectors`, `context`,
        `loadings` as `start_scan` does.
        """
        names = as_arms(list(symbols))
        if not names or self.mode != "on":
            return names
        facts = market_facts(names, **inputs)
        live = self._open("order", names, facts, time.time() / SECONDS_PER_DAY, announce=False)
        chosen = []
        while (choice := live.select(_ORDER_BATCH)).arms.size:
            chosen.append(choice.arms)
        return tuple(names[place] for place in np.concatenate(chosen))

    def prioritized(self, symbols: Sequence[str], **inputs: Any) -> Iterator[str]:
        """Iterate over `order(symbols, ...)`: the drop-in for a loop over symbols."""
        return iter(self.order(symbols, **inputs))

    def _open(
        self, scan_id: str, names: tuple[str, ...], facts: MarketFacts, scan_time: float, *,
        announce: bool,
    ) -> OpenScan:  # fmt: skip
        view = self.learned.ranker.view(names, now=scan_time, groups=facts.groups)
        columns, values = scan_context(self.learned.ranker, facts, view)
        if announce:
            header = {
                "scan_time": scan_time,
                "mode": self.mode,
                "n_symbols": len(names),
                "columns": list(columns),
            }
            self.learned.event(scan_id, "open", header)
        return self.learned.ranker.open_scan(
            scan_id, names, values, columns, rng=self._rng.spawn(1)[0], now=scan_time,
            loadings=facts.loadings, blocks=facts.blocks, view=view,
        )  # fmt: skip

    def close(self) -> None:
        """Release the store."""
        self.store.close()

    def __enter__(self) -> SymbolRanker:
        """Return the ranker itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Release the store."""
        self.close()
