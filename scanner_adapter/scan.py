"""A scan in progress, as the scanner sees it: ask for a batch, scan it, report it.

1. `next_batch(k)`  the ranker draws and hands out the k most promising symbols that remain,
                    a few of them at random;
2. the scanner evaluates them, in whatever way it does;
3. `report(rows)`   the outcomes become rewards and are journaled in the store; the belief and
                    today's pattern move before the next batch;
4. leaving the `with` block closes the scan: what it taught as a whole is learned, and the
   belief is snapshotted. Stopping early is normal.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bandit.open_scan import OpenScan
from bandit.recall import RecallEstimate
from bandit.stores import Entry
from scanner_adapter.blas_threads import one_blas_thread
from scanner_adapter.errors import InvalidOutcomeError, ScanStateError
from scanner_adapter.learned_state import LearnedState
from scanner_adapter.outcomes import Outcome
from scanner_adapter.stop_rules import StopRule

if TYPE_CHECKING:
    from scanner_adapter.execution import OnProgress, OnResult, ScanFunction

SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Symbols handed out together, best first; the random ones stand last.

    Parameters
    ----------
    batch_id : int
        1, 2, ... within the scan.
    symbols : tuple of str, length k
    is_random : array of bool, shape (k,)
        Drawn by the uniform quota.
    propensity : array, shape (k,)
        Probability of being in this batch, known when it was chosen.
    """

    batch_id: int
    symbols: tuple[str, ...]
    is_random: NDArray[np.bool_]
    propensity: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of symbols; an empty batch is false and means the end."""
        return len(self.symbols)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the symbols."""
        return iter(self.symbols)


@dataclass(frozen=True, slots=True)
class ScanSummary:
    """What a scan did.

    Parameters
    ----------
    scan_id, mode : str
    n_symbols, n_scanned, n_errors : int
        Size of the universe, symbols reported, and failed ones among them.
    n_hits : float
        High-value results found.
    estimate : RecallEstimate or None
        Recall at the end; None in mode off.
    seconds, overhead_s : float
        Since the scan was started, and the part of it spent in scanrank.
    stopped : str or None
        Why it stopped early, None when everything was scanned.
    n_scans_learned : int
        Finished scans behind the belief, this one included.
    store_status : str
        "saved", or what happened to the store.
    """

    scan_id: str
    mode: str
    n_symbols: int
    n_scanned: int
    n_errors: int
    n_hits: float
    estimate: RecallEstimate | None
    seconds: float
    overhead_s: float
    stopped: str | None
    n_scans_learned: int
    store_status: str


class Scan:
    """One scan; made by `SymbolRanker.start_scan`, used as a context manager.

    Notes
    -----
    Not thread safe: one thread asks and reports. `run` spreads the evaluations over an executor.
    """

    def __init__(
        self,
        *,
        scan_id: str,
        mode: str,
        symbols: tuple[str, ...],
        learned: LearnedState | None,
        live: OpenScan | None,
        context_names: tuple[str, ...],
        scan_time: float,
        started: float,
    ) -> None:
        self.scan_id = scan_id
        self.mode = mode
        self.symbols = symbols
        self.started = started
        self.scan_time = scan_time
        self.overhead_s = time.monotonic() - started
        self.stopped: str | None = None
        self._learned = learned
        self._live = live
        self._context_names = context_names
        self._place = {symbol: i for i, symbol in enumerate(symbols)}
        self._handed_out = np.zeros(len(symbols), bool)
        self._choice: dict[int, tuple[float, bool]] = {}
        self._reported: dict[str, Outcome] = {}
        self._next = 0
        self._n_batches = 0
        self._summary: ScanSummary | None = None

    # -- the loop ----------------------------------------------------------------------------

    def next_batch(self, k: int = 50) -> Batch:
        """Choose up to `k` symbols to scan next; an empty (false) batch means the end.

        Raises
        ------
        ScanStateError
            After the scan has ended.
        """
        self._check_open("ask for a batch")
        if k < 1:
            raise ScanStateError(f"batch of {k} symbols; ask for at least one")
        with self._timed():
            if self._live is not None and self.mode == "on":
                choice = self._live.select(k)
                places, is_random, propensity = choice.arms, choice.is_random, choice.propensity
            else:
                places = np.flatnonzero(~self._handed_out)[:k]
                is_random = np.zeros(places.size, bool)
                propensity = np.ones(places.size)
            self._handed_out[places] = True
            for place, drawn, chance in zip(places, is_random, propensity, strict=True):
                self._choice[int(place)] = (float(chance), bool(drawn))
            self._n_batches += 1
            symbols = tuple(self.symbols[place] for place in places)
        return Batch(self._n_batches, symbols, is_random, propensity)

    def batches(self, k: int = 50) -> Iterator[Batch]:
        """Iterate over batches until everything was handed out."""
        while batch := self.next_batch(k):
            yield batch

    def report(self, rows: Mapping[str, object] | pd.DataFrame) -> None:
        """Report the outcomes of symbols that were handed out.

        Parameters
        ----------
        rows : mapping of symbol to outcome, or DataFrame
            An outcome is whatever `Outcome.of` reads: a number, a row, an exception. A DataFrame
            has a column `symbol`, or the symbols as index.

        Raises
        ------
        InvalidOutcomeError
            For an outcome that cannot be read, or a symbol that is not part of the scan or was
            not handed out; nothing of the report is used.
        ScanStateError
            After the scan has ended.

        Notes
        -----
        The first outcome of a symbol counts; reporting it again changes nothing.
        """
        self._check_open("report outcomes")
        with self._timed():
            outcomes = self._read(rows)
            new = {symbol: o for symbol, o in outcomes.items() if symbol not in self._reported}
            if self._live is not None and self._learned is not None and new:
                self._learn(self._learned, self._live, new)
            self._reported.update(new)

    def estimate(self, confidence: float = 0.9) -> RecallEstimate:
        """Estimate the share of the high-value results that was found.

        Raises
        ------
        ScanStateError
            In mode off, which keeps no belief.
        """
        if self._live is None:
            raise ScanStateError("mode off estimates nothing; use mode 'shadow' or 'on'")
        return self._live.estimate(confidence)

    def run(
        self,
        fn: ScanFunction,
        *,
        executor: Executor | None = None,
        batch_size: int = 50,
        until: StopRule | None = None,
        on_result: OnResult | None = None,
        on_progress: OnProgress | None = None,
    ) -> ScanSummary:
        """Scan everything with `fn`, or until a stop rule says so; closes the scan.

        See `scanner_adapter.execution.run_scan`.
        """
        from scanner_adapter.execution import run_scan

        return run_scan(
            self,
            fn,
            executor=executor,
            batch_size=batch_size,
            until=until,
            on_result=on_result,
            on_progress=on_progress,
        )

    # -- what is known -----------------------------------------------------------------------

    @property
    def n_scanned(self) -> int:
        """Symbols reported so far, failures included."""
        return len(self._reported)

    @property
    def n_hits(self) -> float:
        """High-value results so far."""
        return self._live.n_hits if self._live is not None else float("nan")

    @property
    def outcomes(self) -> Mapping[str, Outcome]:
        """Outcomes so far, in order of reporting."""
        return dict(self._reported)

    def is_hit(self, symbol: str) -> bool:
        """Whether the symbol's reported outcome is high-value, as far as is known now."""
        if self._live is None:
            return False
        return bool(self._live.is_hit(self._place[symbol]))

    @property
    def summary(self) -> ScanSummary:
        """What the scan did; complete once it has ended."""
        return self._summary or self._summarise("scan is still open")

    # -- ending ------------------------------------------------------------------------------

    def close(self) -> ScanSummary:
        """End the scan: learn what it taught as a whole and snapshot the belief."""
        if self._summary is None:
            status = "nothing to save"
            with self._timed():
                if self._learned is not None and self._live is not None:
                    header = {"scan_time": self.scan_time, **self._live.closing()}
                    self._learned.event(self.scan_id, "close", header, self._on_entry)
                    status = "saved" if self._learned.snapshot() else "saved by another worker"
            self._summary = self._summarise(status)
        return self._summary

    def __enter__(self) -> Scan:
        """Return the scan itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the scan; what was reported is kept even when the loop raised."""
        if error is not None and self.stopped is None:
            self.stopped = f"{type(error).__name__}: {error}"
        self.close()

    # -- inside ------------------------------------------------------------------------------

    def _learn(self, learned: LearnedState, live: OpenScan, new: Mapping[str, Outcome]) -> None:
        places = np.array([self._place[symbol] for symbol in new], np.intp)
        rating = np.array([o.rating for o in new.values()])
        is_signal = np.array([o.is_signal for o in new.values()])
        failed = np.array([o.error is not None for o in new.values()])
        rating[failed] = np.nan
        probability = live.predict(places).probability
        rewards = live.judge(rating, is_signal, probability)
        rewards[failed] = np.nan
        names, rows = _numeric_rows(list(new.values()))
        chosen = [self._choice[int(place)] for place in places]
        header = {
            "scan_time": self.scan_time,
            "reported_at": time.time(),
            "mode": self.mode,
            "batch": self._n_batches,
            "columns": list(self._context_names),
            "row_columns": list(names),
        }
        arrays: dict[str, NDArray[Any]] = {
            "context": live.context[places].astype(np.float32),
            "reward": rewards.astype(np.float32),
            "rating": rating.astype(np.float32),
            "probability": probability.astype(np.float32),
            "propensity": np.array([chance for chance, _ in chosen], np.float32),
            "is_random": np.array([drawn for _, drawn in chosen], np.uint8),
            "rows": rows.astype(np.float32),
        }
        learned.report(self.scan_id, tuple(new), header, arrays, self._on_entry)

    def _on_entry(self, entry: Entry) -> None:
        """Let the scan learn from an entry of its own, by this worker or another."""
        live = self._live
        if live is None or entry.kind != "report" or entry.scan_id != self.scan_id:
            return
        known = [i for i, arm in enumerate(entry.arms) if arm in self._place]
        places = np.array([self._place[entry.arms[i]] for i in known], np.intp)
        self._handed_out[places] = True
        live.observe(
            places,
            np.asarray(entry.arrays["rating"], np.float64)[known],
            np.asarray(entry.arrays["reward"], np.float64)[known],
        )

    def _read(self, rows: Mapping[str, object] | pd.DataFrame) -> dict[str, Outcome]:
        if isinstance(rows, pd.DataFrame):
            frame = rows.set_index("symbol") if "symbol" in rows.columns else rows
            pairs: Sequence[tuple[Any, Any]] = list(
                zip(frame.index, frame.to_dict("records"), strict=True)
            )
        else:
            pairs = list(rows.items())
        outcomes = {}
        for symbol, value in pairs:
            place = self._place.get(symbol)
            if place is None:
                raise InvalidOutcomeError(
                    f"symbol {symbol!r} is not part of this scan of {len(self.symbols)} symbols; "
                    "report only what a batch handed out"
                )
            if not self._handed_out[place]:
                raise InvalidOutcomeError(
                    f"symbol {symbol!r} was not handed out yet; report only what a batch handed out"
                )
            outcomes[symbol] = Outcome.of(value, symbol=symbol)
        return outcomes

    def _summarise(self, status: str) -> ScanSummary:
        n_errors = sum(o.error is not None for o in self._reported.values())
        left = len(self.symbols) - len(self._reported)
        return ScanSummary(
            scan_id=self.scan_id,
            mode=self.mode,
            n_symbols=len(self.symbols),
            n_scanned=len(self._reported),
            n_errors=n_errors,
            n_hits=self.n_hits,
            estimate=self._live.estimate() if self._live is not None else None,
            seconds=time.monotonic() - self.started,
            overhead_s=self.overhead_s,
            stopped=self.stopped or (f"{left} symbols were not scanned" if left else None),
            n_scans_learned=self._learned.ranker.n_scans if self._learned is not None else 0,
            store_status=status,
        )

    def _check_open(self, action: str) -> None:
        if self._summary is not None:
            raise ScanStateError(
                f"scan {self.scan_id} has ended; cannot {action}. Start a new scan"
            )

    @contextmanager
    def _timed(self) -> Iterator[None]:
        start = time.monotonic()
        try:
            with one_blas_thread():
                yield
        finally:
            self.overhead_s += time.monotonic() - start


def _numeric_rows(outcomes: Sequence[Outcome]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return names and values (k, n_columns) of everything numeric that the outcomes carry."""
    names = dict.fromkeys(
        name
        for o in outcomes
        for name in ("rating", *(("alpha",) if o.alpha is not None else ()), *o.columns)
    )
    table = np.full((len(outcomes), len(names)), np.nan)
    place = {name: j for j, name in enumerate(names)}
    for i, o in enumerate(outcomes):
        if o.error is not None:
            continue
        table[i, place["rating"]] = o.rating
        if o.alpha is not None:
            table[i, place["alpha"]] = o.alpha
        for name, value in o.columns.items():
            table[i, place[name]] = value
    return tuple(names), table
