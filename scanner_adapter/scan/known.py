"""Read-only queries of a scan while it runs: results, hits, estimates and explanations."""

from __future__ import annotations

import html
import math
import threading
from collections.abc import Container, Iterable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bandit.belief.recall import RecallEstimate
from bandit.checks import as_count, as_number, as_texts
from bandit.choice.explain import Explanation, GroupWeight
from bandit.choice.queue import PriorityQueue
from scanner_adapter.errors import ScanStateError
from scanner_adapter.inputs.context import factor_of
from scanner_adapter.inputs.outcomes import Outcome
from scanner_adapter.ledger import ErrorStreak, Ledger
from scanner_adapter.live.operators import OperatorLine
from scanner_adapter.scan.result_check import ResultCheck
from scanner_adapter.scan.session import ScanSession
from scanner_adapter.scan.worker import WorkerLeases

_COLUMNS = ("rating", "signal", "hit", "place", "tier", "score", "propensity", "reason")
_SHOWN = 10  # rows shown in a notebook
_POINTS = 60  # points of the curve shown there


class KnownScan:
    """Read-only part of a `Scan`."""

    scan_id: str
    mode: str
    symbols: tuple[str, ...]
    _lock: threading.RLock
    _ledger: Ledger
    _session: ScanSession
    _check: ResultCheck
    _leases: WorkerLeases | None
    _is_ending: bool
    _operators: OperatorLine

    @property
    def coverage(self) -> str | None:
        """Coverage of the symbols by bars, in one line; None until features are computed."""
        return self._session.coverage[0]

    @property
    def awaits_features(self) -> bool:
        """Whether features are still being computed: batches are small and not ranked by them."""
        return self._session.awaits_features

    @property
    def failure(self) -> str | None:
        """Error in scanrank itself, after which the rest comes in the given order; else None."""
        return self._session.failure

    def estimate(self, confidence: float = 0.9) -> RecallEstimate:
        """Estimate recall: the share of all high-value symbols that was found.

        All its values are NaN while features are being computed and after a failure of scanrank
        itself, so that no stop rule triggers.

        Raises
        ------
        InvalidInputError
            For a `confidence` outside (0, 1).
        ScanStateError
            In mode off, which keeps no belief.
        """
        confidence = as_number(confidence, "confidence", "a number in (0, 1)", above=0.0, below=1.0)
        with self._lock:
            open_scan = self._session.current
            if open_scan is not None:
                return open_scan.estimate(confidence)
            if self.mode == "off":
                raise self._unranked("is no estimate")
            return RecallEstimate(math.nan, math.nan, math.nan, math.nan, math.nan, confidence)

    @property
    def n_scanned(self) -> int:
        """Number of symbols reported so far, including failures."""
        return self._ledger.n_reported

    @property
    def n_hits(self) -> float:
        """Number of high-value results so far; NaN if nothing judges them."""
        return self._session.n_hits

    @property
    def outcomes(self) -> Mapping[str, Outcome]:
        """Outcomes so far, in order of reporting."""
        with self._lock:
            return self._ledger.outcomes()

    @property
    def queue(self) -> PriorityQueue:
        """The waiting symbols by score, with the user's pins, exclusions and boosts.

        Pins, exclusions and boosts take effect in mode on; shadow keeps the given order.

        Raises
        ------
        ScanStateError
            In mode off and after a failure, when nothing ranks the symbols.
        """
        with self._lock:
            queue = self._session.queue
        if queue is None:
            raise self._unranked("is no queue")
        return queue

    def is_random(self, symbol: str) -> bool:
        """Whether the uniform quota drew the symbol.

        Raises
        ------
        InvalidInputError
            For a symbol that is not part of the scan.
        """
        return bool(self._ledger.is_random[self._ledger.place_of(symbol)])

    def is_hit(self, symbol: str) -> bool:
        """Whether the symbol's reported outcome is high-value, as judged now.

        Raises
        ------
        InvalidInputError
            For a symbol that is not part of the scan.
        """
        return bool(self._session.are_hits(np.array([self._ledger.place_of(symbol)]))[0])

    def are_hits(self, symbols: Iterable[str]) -> NDArray[np.bool_]:
        """Whether the reported outcomes of `symbols` are high-value, in their order.

        Raises
        ------
        InvalidInputError
            For a symbol that is not part of the scan.
        """
        names = as_texts(symbols)
        places = np.fromiter(map(self._ledger.place_of, names), np.intp, len(names))
        return self._session.are_hits(places)

    def propensity(self, symbol: str) -> float:
        """Probability that the symbol was in its batch, recorded then; NaN while it waits.

        Raises
        ------
        InvalidInputError
            For a symbol that is not part of the scan.
        """
        place = self._ledger.place_of(symbol)
        is_out = bool(self._ledger.is_handed_out[place])
        return float(self._ledger.propensity[place]) if is_out else math.nan

    def to_frame(self) -> pd.DataFrame:
        """Return a table with a row per symbol, best first, indexed by symbol.

        Columns: rating, signal, hit and place (in the order of reporting) of scanned symbols; tier
        and score (percentile, 0 to 100) of waiting ones; propensity of the batch; and reason: how
        the symbol was chosen, or the error of its evaluation.
        """
        with self._lock:
            outcomes, queue = self.outcomes, self._session.queue
            rows: dict[str, tuple[object, ...]] = {}
            # In mode off and after a failure, nothing judges them.
            is_judged = not math.isnan(self.n_hits)
            hits = self.are_hits(outcomes).tolist() if is_judged else [None] * len(outcomes)
            for place, (symbol, outcome) in enumerate(outcomes.items()):
                chosen = "random share" if self.is_random(symbol) else "ranked"
                rows[symbol] = (
                    outcome.rating, outcome.signal, hits[place], place + 1, None, math.nan,
                    self.propensity(symbol), outcome.error or chosen,
                )  # fmt: skip
            for waiting in () if queue is None else queue.peek(len(self.symbols)):
                reason = "pinned" if waiting.is_pinned else "waiting"
                rows[waiting.arm] = (
                    math.nan, None, None, None, waiting.tier, waiting.score, math.nan, reason,
                )  # fmt: skip
            for place, symbol in enumerate(self.symbols):
                is_out = bool(self._ledger.is_handed_out[place])
                reason = "being scanned" if is_out else "waiting" if queue is None else "excluded"
                chance = self.propensity(symbol)
                rows.setdefault(symbol, (math.nan, *[None] * 4, math.nan, chance, reason))
        table = pd.DataFrame.from_dict(rows, orient="index", columns=list(_COLUMNS))
        table = table.astype({"rating": float, "place": "Int64", "hit": "boolean"})
        return table.rename_axis("symbol").sort_values(
            ["hit", "rating", "score", "place"], ascending=[False, False, False, True],
            na_position="last",
        )  # fmt: skip

    def __repr__(self) -> str:
        found = "" if math.isnan(self.n_hits) else f", {self.n_hits:g} high-value"
        return (
            f"Scan({self.scan_id!r}, mode {self.mode}: {self.n_scanned} of {len(self.symbols)} "
            f"symbols{found})"
        )

    def _repr_html_(self) -> str:
        with self._lock:
            is_hit = self.are_hits(self.outcomes)
            estimate = "" if math.isnan(self.n_hits) else repr(self.estimate())
            best = self.to_frame().head(_SHOWN).astype(object)
            best = best.where(best.notna(), "")  # `na_rep` leaves <NA> and None
        found = np.concatenate([[0], np.cumsum(is_hit)])
        ends = np.unique(np.linspace(0, is_hit.size, _POINTS).astype(int))
        across, up = 200 / max(is_hit.size, 1), 58 / max(int(found[-1]), 1)
        points = " ".join(f"{across * end:.1f},{60 - up * found[end]:.1f}" for end in ends)
        return (
            f"<p><b>{html.escape(repr(self))}</b></p>"
            '<svg width="200" height="62" role="img" aria-label="high-value results found">'
            f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="2"/>'
            f"</svg><p>{html.escape(estimate)}</p>"
            f"{best.to_html(float_format=lambda value: f'{value:.4g}')}"
        )

    def explain(self, symbol: str) -> Explanation:
        """Explain a symbol's score: the contribution of each factor, prior and learned.

        Raises
        ------
        ScanStateError
            In mode off and after a failure, when nothing ranks the symbols.
        InvalidInputError
            For a symbol that is not part of the scan.
        """
        place = self._ledger.place_of(symbol)
        with self._lock:
            open_scan = self._session.open_scan
            if open_scan is None:
                raise self._unranked("are no explanations")
            return open_scan.explain(place, factor_of(open_scan.columns))

    def factor_weights(self, level: float = 0.9) -> dict[str, GroupWeight]:
        """Return each factor's weight over this scan's symbols: prior, learned, and its interval.

        Raises
        ------
        InvalidInputError
            For a `level` outside (0, 1).
        ScanStateError
            In mode off and after a failure, when nothing ranks the symbols.
        """
        level = as_number(level, "level", "a number in (0, 1)", above=0.0, below=1.0)
        with self._lock:
            open_scan = self._session.open_scan
            if open_scan is None:
                raise self._unranked("are no weights")
            return open_scan.group_weights(factor_of(open_scan.columns), level)

    def _unranked(self, what: str) -> ScanStateError:
        if self.failure is not None:
            return ScanStateError(f"there {what} after a failure of scanrank ({self.failure})")
        return ScanStateError(f"there {what} in mode off; use mode 'shadow' or 'on'")

    def hits_in_last(self, n: int) -> int:
        """Return the number of high-value results among the latest `n` reported symbols."""
        n = as_count(n, "n")
        with self._lock:
            return int(np.count_nonzero(self._session.are_hits(self._ledger.order[-n:])))

    def symbols_to_recall(self, target: float) -> int:
        """Return how many symbols to scan, best first, until the expected recall is `target`.

        0 if it is already reached; all that remain if nothing ranks them.
        """
        target = as_number(target, "target", "a recall in (0, 1]", above=0.0, most=1.0)
        with self._lock:
            return self._session.n_to_recall(target)

    @property
    def is_free(self) -> NDArray[np.bool_]:
        """Which symbols have not been handed out, shape (n,)."""
        return ~self._ledger.is_handed_out

    def expected(self, places: NDArray[np.intp]) -> tuple[NDArray[np.float64], float]:
        """Return the hit probabilities of `places` (k,), and the share of random symbols."""
        with self._lock:
            open_scan = self._session.open_scan
            if open_scan is None:
                return np.zeros(places.size), 0.0
            return open_scan.predict(places).probability, open_scan.belief.settings.random_share

    @property
    def universe(self) -> Container[str]:
        """The symbols of the scan, for membership tests."""
        return self._ledger.place

    @property
    def n_batches(self) -> int:
        """Number of batches handed out so far."""
        return self._ledger.n_batches

    @property
    def warning(self) -> str | None:
        """Warning about the results so far, or about the order; None if there is none."""
        return self._results_warning() or self._order_warning()

    def _order_warning(self) -> str | None:
        if self.fallback:
            return (
                f"ordered by {self.fallback}: the ranker's own order found fewer early hits in the "
                "latest scans; it takes over again once it has caught up"
            )
        if self.weights_say_nothing:
            return (
                "the weights are not meaningful: in the latest scans the order was not "
                "significantly better than a random one, so the features do not predict the results"
            )
        return None

    def _results_warning(self) -> str | None:
        ledger = self._ledger
        is_whole = ledger.n_reported == len(self.symbols) and not ledger.may_retry.any()
        is_over = self._is_ending or is_whole
        n_left = len(self.symbols) - ledger.n_reported
        if not is_over or not n_left or self._session.open_scan is None:
            return self._check.warning(is_over=is_over)
        hits_left = self._session.open_scan.estimate().hits_expected_remaining
        return self._check.warning(is_over=True, n_left=n_left, hits_left=hits_left)

    @property
    def fallback(self) -> str:
        """The order used instead of the ranker's own, such as "last rating first"; "" if none.

        See `bandit.belief.standing`.
        """
        return "" if self._session.current is None else self._session.current.fallback

    @property
    def weights_say_nothing(self) -> bool:
        """Whether the order of the latest scans was not significantly better than a random one.

        The results then do not depend on what is known about the symbols, and learned weights and
        their intervals are noise. False until four scans are known.
        """
        open_scan = self._session.current
        return open_scan is not None and open_scan.belief.standing.says_nothing

    @property
    def _known(self) -> str | None:
        """Coverage of the symbols by bars, if it is incomplete."""
        line, is_partial = self._session.coverage
        return line if is_partial else None

    @property
    def stop_asked(self) -> str | None:
        """Reason of an operator's request to stop; None if there is none."""
        return self._operators.stop_asked

    @property
    def is_shared(self) -> bool:
        """Whether other workers scan the same universe."""
        return self._leases is not None

    @property
    def awaits_others(self) -> bool:
        """Whether other workers hold remaining symbols, so that an empty batch is not the end."""
        return self._leases is not None and self._leases.waits_for_others

    @property
    def holds_some(self) -> bool:
        """Whether this worker of a shared scan has claimed symbols without an outcome."""
        return self._leases is not None and self._leases.holds_some

    @property
    def error_streak(self) -> ErrorStreak:
        """The run of errors of one kind that ends with the latest result."""
        with self._lock:
            return replace(self._ledger.streak)

    @property
    def last_good(self) -> str | None:
        """The latest symbol that was evaluated without an error."""
        return self._ledger.last_good

    @property
    def publishing_s(self) -> float:
        """Processor seconds spent on publishing the status, mostly in a thread of its own."""
        return self._operators.cost_s
