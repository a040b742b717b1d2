"""What a running scan publishes, put together so that it costs the scan next to nothing.

Counters are read each time. What takes longer (hits with their curve and the estimate, tiers and
the best waiting, the factors' weights) is kept in parts, and a part is computed anew only once its
last computation has become a small share of the time that has passed since: with a million symbols
the tiers are a few minutes old, with five thousand two seconds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bandit.choice.open_scan import OpenScan
from bandit.choice.queue import PriorityQueue
from bandit.rewards import Threshold, TopShare
from scanner_adapter.inputs.context import factor_of
from scanner_adapter.jsonio import finite_or_none, to_json
from scanner_adapter.ledger import Ledger
from scanner_adapter.live.status import (
    FORMAT,
    MAX_HITS,
    MAX_NAMES,
    MAX_NEXT,
    MAX_POINTS,
    MAX_TEXT,
    MAX_WARNING,
    LiveEstimate,
    LiveHit,
    LiveWeight,
    NextUp,
    Reason,
    TierCount,
)
from scanner_adapter.run.protocol import DEFAULT_TARGET

# Of the interval of what is left; a bound of `RecallEstimate` is one-sided, hence the half.
CONFIDENCE = 0.95
_BOUND = 0.5 + CONFIDENCE / 2

# Shares of the scan's time that the parts may take, of one processor.
_SHARES = {
    "results": 0.0012, "queue": 0.0006, "control": 0.0002, "weights": 0.0002,
}  # fmt: skip
# A first computation can take ten times what later ones do, and shows an empty scan: nobody should
# wait longer than this for the second and the later ones, as long as a part stays below this share.
_SECOND_WAIT_S = 1.0
_LONGEST_WAIT_S = 5.0
_MOST_SHARE = 0.005
# What the last view of a scan may cost whatever the scan took, in seconds a part.
_LAST_S = 0.02

Part = dict[str, Any]


class StatusBuilder:
    """The view of one scan from outside.

    Parameters
    ----------
    ledger : Ledger
        What was reported; read, never written.

    Attributes
    ----------
    fixed : dict
        Fields of the status that stay as they are.
    workers : int or None
        Evaluations at a time, where that is known.
    target : float
        Recall that is aimed at.

    Notes
    -----
    Not thread-safe: called under the scan's lock.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.fixed: dict[str, Any] = {}
        self.workers: int | None = None
        self.target = DEFAULT_TARGET
        self._ledger = ledger
        self._n_seen = 0
        self._parts = {name: _Throttled(share) for name, share in _SHARES.items()}

    def show_control(self) -> None:
        """Say that an operator's request has changed the queue, which is shown at once."""
        self._touch()
        self._parts["control"].hurry()

    def _touch(self) -> None:
        for part in self._parts.values():
            part.is_stale = True

    def build(
        self,
        open_scan: OpenScan | None,
        queue: PriorityQueue | None,
        to_recall: Callable[[float], int],
        *,
        state: str,
        stopped: str | None,
        failure: str | None,
        warning: str | None,
    ) -> dict[str, Any]:
        """Return the status note of this moment, see `LiveStatus`.

        Parameters
        ----------
        open_scan, queue
            None where nothing ranks the symbols (any more).
        to_recall : callable
            Symbols still to be scanned until a recall is expected.
        state : "scanning" or "done"
            At the end every part is computed anew that is not expensive.
        stopped, failure, warning : str or None
        """
        now, ledger = time.monotonic(), self._ledger
        if ledger.n_reported != self._n_seen:
            self._n_seen = ledger.n_reported
            self._touch()
        parts: dict[str, Callable[[], Part]] = {}
        if open_scan is not None and queue is not None:
            parts = {
                # One part: a recall of 0 % beside hits found since would contradict them.
                "results": lambda: self._hits(open_scan) | self._estimate(open_scan, to_recall),
                "queue": lambda: self._queue(open_scan, queue),
                "control": lambda: _control(queue),
                "weights": lambda: _weights(open_scan),
            }
        elapsed = time.time() - ledger.opened_at
        rate = ledger.n_here / elapsed if elapsed > 0 and ledger.n_here else None
        note: dict[str, Any] = {
            "format": FORMAT,
            **self.fixed,
            "state": state,
            "stopped": _cut(stopped),
            "failure": _cut(failure),
            "warning": None if warning is None else warning[:MAX_WARNING],
            "started_at": round(ledger.opened_at, 3),
            "updated_at": round(time.time(), 3),
            "workers": self.workers,
            "n_symbols": len(ledger.symbols),
            "n_scanned": ledger.n_reported,
            "n_errors": ledger.n_errors,
            "rate_per_s": rate,
            "target_recall": self.target,
            # Where nothing ranks the symbols, or no part was computed yet.
            **dict.fromkeys(("n_hits", "hits_low", "hits_high", "eta_s", "hit_limit", "estimate")),
            **{name: {} for name in ("tiers", "weights")},
            **{name: [] for name in ("next", "newest_hits", "curve", "pinned", "excluded")},
        }
        for name, compute in parts.items():
            note |= self._parts[name].value(compute, now, is_last=state == "done")
        share = None if open_scan is None else open_scan.belief.settings.rule.expected_share
        if share is not None and state != "done" and 0 < ledger.n_reported < len(ledger.symbols):
            # Final is the best share of all; how much of it was met already is not known yet.
            n_best = share * len(ledger.symbols)
            found = note["n_hits"] or 0.0
            note["hits_low"] = min(found, float(round(share * ledger.n_reported)))
            note["hits_high"] = max(found, float(round(min(n_best, ledger.n_reported))))
        n_to_go = note.pop("n_to_go", None)
        if rate and n_to_go is not None:
            note["eta_s"] = max(n_to_go - ledger.n_reported, 0) / rate
        return note

    # -- parts -------------------------------------------------------------------------------

    def _hits(self, open_scan: OpenScan) -> Part:
        order = self._ledger.order
        is_hit = open_scan.are_hits(order)
        found = np.cumsum(is_hit)
        points = np.unique(np.linspace(0, max(order.size - 1, 0), MAX_POINTS).astype(np.intp))
        return {
            "n_hits": finite_or_none(open_scan.n_hits),
            "hit_limit": _limit(open_scan),
            "newest_hits": [self._hit(at) for at in np.flatnonzero(is_hit)[: -MAX_HITS - 1 : -1]],
            "curve": [[int(at) + 1, float(found[at])] for at in points[: order.size]],
        }

    def _hit(self, at: np.intp) -> LiveHit:
        ledger = self._ledger
        place = int(ledger.order[at])
        outcome = ledger.outcome(place)
        return LiveHit(
            symbol=ledger.symbols[place],
            rating=finite_or_none(outcome.rating),
            signal=_cut(outcome.signal),
            rank=int(at) + 1,
            at=round(float(ledger.at[at]), 3),
            is_random=bool(ledger.is_random[place]),
        )

    def _estimate(self, open_scan: OpenScan, to_recall: Callable[[float], int]) -> Part:
        estimate = open_scan.estimate(_BOUND)
        if not self._ledger.n_reported or math.isnan(estimate.recall):  # nothing, or errors alone
            return {"estimate": None}
        recall, low, high, left, left_low, left_high = map(_short, (
            estimate.recall, estimate.recall_low, estimate.recall_high,
            estimate.hits_expected_remaining, estimate.remaining_low, estimate.remaining_high,
        ))  # fmt: skip
        found = estimate.hits_found
        return {
            "n_to_go": self._ledger.n_reported + to_recall(self.target),
            "estimate": LiveEstimate(
                recall, low, high, found, left, left_low, left_high, CONFIDENCE
            ),
        }

    def _queue(self, open_scan: OpenScan, queue: PriorityQueue) -> Part:
        view = queue.overview(MAX_NEXT)
        places = self._ledger.places(waiting.arm for waiting in view.best)
        reasons = open_scan.explain_all(places, factor_of(open_scan.columns)) if places.size else []
        return {
            "tiers": {tier: TierCount(*counts) for tier, counts in view.counts.items()},
            "next": [
                NextUp(
                    symbol=waiting.arm,
                    score=_short(waiting.score),
                    tier=waiting.tier,
                    probability=_short(why.probability),
                    is_pinned=waiting.is_pinned,
                    reasons={
                        factor: Reason(_short(part.prior), _short(part.learned))
                        for factor, part in why.groups.items()
                    },
                    today=_short(why.today),
                    constant=_short(why.constant),
                )
                for waiting, why in zip(view.best, reasons, strict=True)
            ],
        }


class _Throttled:
    """A part of the view, computed anew once it has paid off."""

    def __init__(self, share: float) -> None:
        self.is_stale = True
        self._share = share
        self._cost_s = 0.0
        self._longest_s = _SECOND_WAIT_S
        self._due = -math.inf
        self._value: Part = {}

    def hurry(self) -> None:
        """Let the next value be computed anew whatever the last one took."""
        self._due = -math.inf

    def value(self, compute: Callable[[], Part], now: float, *, is_last: bool) -> Part:
        is_due = now >= self._due or (is_last and self._cost_s <= _LAST_S)
        if self.is_stale and is_due:
            # Processor time, not the clock: waiting for the interpreter costs the scan nothing.
            began = time.thread_time()
            self._value = to_json(compute())
            cost = self._cost_s = time.thread_time() - began
            self._due = now + min(cost / self._share, max(self._longest_s, cost / _MOST_SHARE))
            self._longest_s = _LONGEST_WAIT_S
            self.is_stale = False
        return self._value


def _limit(open_scan: OpenScan) -> float | None:
    match open_scan.belief.settings.rule:
        case Threshold(minimum=minimum):
            return minimum
        case TopShare():
            return open_scan.hit_limit
    return None


def _control(queue: PriorityQueue) -> Part:
    return {"pinned": queue.pinned[:MAX_NAMES], "excluded": queue.excluded[:MAX_NAMES]}


def _weights(open_scan: OpenScan) -> Part:
    weights = open_scan.group_weights(factor_of(open_scan.columns))
    return {
        "weights": {
            factor: LiveWeight(*(_short(x) for x in (w.prior, w.learned, w.low, w.high)))
            for factor, w in weights.items()
            if not math.isnan(w.learned)
        }
    }


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:MAX_TEXT]


def _short(value: float) -> float:
    """Five digits: as many as a screen shows, in a third of the bytes."""
    return float(f"{value:.5g}")
