"""Several rulesets in one scan: one order serves them all, and each learns from its own results.

Scanners look for many patterns in the same download. Scanned one after the other, each ruleset
would fetch everything again; here one evaluation of a symbol reports to all.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import Any, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from bandit.belief.recall import RecallEstimate
from bandit.checks import as_count, as_kind, as_number, as_texts, refusal
from bandit.choice.draw import Choice, draw_at_random, mixed, top_k
from bandit.errors import InvalidInputError
from scanner_adapter.batch import Batch, ScanSummary
from scanner_adapter.errors import InvalidOutcomeError
from scanner_adapter.inputs.context import ScanInputs, ScanOptions
from scanner_adapter.inputs.outcomes import Outcome
from scanner_adapter.ledger import ErrorStreak
from scanner_adapter.run.executor import run_scan
from scanner_adapter.run.stop_rules import AllOf, StopRule, check_stop_rule
from scanner_adapter.scan.scan import Scan
from scanner_adapter.symbol_ranker import SymbolRanker


class RankerGroup:
    """Rankers of several rulesets that look at the same symbols.

    Parameters
    ----------
    rankers : mapping of name to SymbolRanker
        The names are those under which results are reported.
    weights : mapping of name to float, optional
        Value of a hit of each ruleset relative to the others; 1 where not given, 0 = the ruleset
        learns but does not count in the order.

    Raises
    ------
    InvalidInputError
        For no ranker, two of one ruleset in one store, or weights that do not fit.

    Examples
    --------
    >>> rankers = {name: SymbolRanker.open("memory://", ruleset=name) for name in ("up", "down")}
    >>> with RankerGroup(rankers).start_scan(["AAPL", "MSFT", "IBM"]) as scan:
    ...     for batch in scan.batches(2):
    ...         scan.report({symbol: {"up": 1.0, "down": 0.0} for symbol in batch})
    >>> {name: summary.n_scanned for name, summary in scan.summaries.items()}
    {'up': 3, 'down': 3}
    """

    def __init__(
        self, rankers: Mapping[str, SymbolRanker], weights: Mapping[str, float] | None = None
    ) -> None:
        expected = "a mapping of name to SymbolRanker with at least one entry"
        as_kind(rankers, "rankers", Mapping, expected)
        if not rankers or not all(isinstance(each, SymbolRanker) for each in rankers.values()):
            raise refusal(rankers, "rankers", expected)
        as_kind(weights, "weights", Mapping | None, "a mapping of name to number, or None")
        if len({id(each) for each in rankers.values()}) < len(rankers):
            raise InvalidInputError("a ranker has two names; expected one ranker per ruleset")
        unknown = set(weights or {}) - set(rankers)
        if unknown:
            raise InvalidInputError(
                f"weight of {min(unknown)!r}: no such ruleset; known rulesets: {', '.join(rankers)}"
            )
        self.rankers = dict(rankers)
        self.weights = {
            name: as_number((weights or {}).get(name, 1.0), f"weights[{name!r}]", least=0.0)
            for name in rankers
        }

    def __repr__(self) -> str:
        return f"RankerGroup({', '.join(self.rankers)})"

    def start_scan(self, symbols: Sequence[str], **inputs: Unpack[ScanOptions]) -> GroupScan:
        """Start a scan of each ruleset over the same `symbols`, under one `scan_id`.

        Parameters
        ----------
        symbols : sequence of str
        **inputs
            As for `SymbolRanker.start_scan`; a group's scan cannot be shared with other processes.
        """
        if inputs.get("shared"):
            raise InvalidInputError(
                "a group scan cannot be shared; give each process its own part of the symbols"
            )
        inputs.setdefault("scan_id", uuid.uuid4().hex)
        names = as_texts(symbols)
        scans: dict[str, Scan] = {}
        try:
            for name, ranker in self.rankers.items():
                scans[name] = ranker.start_scan(names, **inputs)
        except BaseException:
            for scan in scans.values():
                scan.close()
            raise
        return GroupScan(scans, self.weights, next(iter(self.rankers.values())).spawn_rng())


class GroupScan:
    """A scan of several rulesets at once; made by `RankerGroup.start_scan`, a context manager.

    Parameters
    ----------
    scans : mapping of name to Scan
        Each with its own estimate, outcomes and summary.
    weights : mapping of name to float
    rng : Generator
        For the random symbols and ties.

    Notes
    -----
    Not thread-safe; `run` calls it from one thread.
    """

    mode = "off"  # of all together, for which there is no recall
    # A group's scan is of one process, and begins with its features.
    is_shared = False
    awaits_others = False
    holds_some = False
    awaits_features = False

    def __init__(
        self, scans: Mapping[str, Scan], weights: Mapping[str, float], rng: np.random.Generator
    ) -> None:
        self.scans = dict(scans)
        self.weights = dict(weights)
        self._first = next(iter(self.scans.values()))
        self._read: dict[str, dict[str, Outcome]] = {}
        self._rules: dict[str, StopRule] = {}
        self.stopped: str | None = None
        self.batch_size = self._first.batch_size
        self.symbols = self._first.symbols
        self.started = self._first.started
        self._rng = rng

    def __repr__(self) -> str:
        hits = ", ".join(f"{name} {scan.n_hits:g}" for name, scan in self.scans.items())
        return (
            f"GroupScan({self.n_scanned} of {len(self.symbols)} symbols; high-value results: "
            f"{hits})"
        )

    # -- the loop ----------------------------------------------------------------------------

    def next_batch(self, k: int | None = None) -> Batch:
        """Choose up to `k` symbols whose results are worth most to all rulesets together.

        Symbols are ordered by the weighted sum of their probabilities of a hit, over the rulesets
        that prioritise (mode on) and have not stopped. The share of random symbols is the largest
        of theirs.
        """
        k = self.batch_size if k is None else as_count(k, "k")
        if self.stop_asked is not None:
            return Batch(self._first.n_batches, (), np.empty(0, bool), np.empty(0))
        choice = self._choose(k)
        if choice.arms.size == 0:
            again = [scan.retry_failed(k) for scan in self.scans.values()]
            symbols = tuple(dict.fromkeys(chain.from_iterable(again)))[:k]
            n = len(symbols)
            return Batch(self._first.n_batches, symbols, np.zeros(n, bool), np.ones(n))
        for scan in self.scans.values():
            scan.admit(choice)
        symbols = tuple(self.symbols[place] for place in choice.arms.tolist())
        return Batch(self._first.n_batches, symbols, choice.is_random, choice.propensity)

    def _choose(self, k: int) -> Choice:
        is_free = np.logical_and.reduce([scan.is_free for scan in self.scans.values()])
        free = np.flatnonzero(is_free)
        k = min(k, free.size)
        counting = {
            name: scan for name, scan in self.scans.items()
            if scan.mode == "on" and self.weights[name] > 0.0 and self._goes_on(name)
        }  # fmt: skip
        value = np.zeros(free.size)
        shares = [0.0]
        for name, scan in counting.items():
            probability, share = scan.expected(free)
            value += self.weights[name] * probability
            shares.append(share)
        if k == 0 or not counting:  # nothing ranks: the given order
            return Choice.certain(free[:k])
        quota = k * max(shares)
        at_random = draw_at_random(free, k, quota, self._rng)
        best = free[top_k(value, k, self._rng)]
        return mixed(best, at_random, n_free=free.size, quota=quota)

    def _goes_on(self, name: str) -> bool:
        rule = self._rules.get(name)
        return rule is None or rule.reason(self.scans[name]) is None

    def batches(self, k: int | None = None) -> Iterator[Batch]:
        """Iterate over batches until everything was handed out."""
        while batch := self.next_batch(k):
            yield batch

    def report(self, rows: Mapping[str, object]) -> None:
        """Report what one evaluation of each symbol gave to every ruleset.

        Parameters
        ----------
        rows : mapping of symbol to result
            A result is a mapping of ruleset's name to what `Outcome.of` reads, or an exception:
            the evaluation failed for all. A ruleset that is missing says nothing of the symbol.

        Raises
        ------
        InvalidOutcomeError
            For a result that is no such mapping, or names no ruleset of the group; nothing of the
            report is used.
        """
        parts: dict[str, dict[str, object]] = {name: {} for name in self.scans}
        for symbol, result in rows.items():
            for name, value in self._by_ruleset(symbol, result).items():
                parts[name][symbol] = value
        for name, part in parts.items():  # all are readable before one is reported
            parts[name] = {s: self.scans[name].read(s, value) for s, value in part.items()}
        for name, part in parts.items():
            if part:
                self.scans[name].report(part)
        for symbol in rows:
            self._read.pop(symbol, None)

    def _by_ruleset(self, symbol: str, result: object) -> Mapping[str, object]:
        if symbol in self._read:
            return self._read[symbol]
        is_failed = isinstance(result, Outcome) and result.error is not None
        if is_failed or isinstance(result, BaseException):
            return dict.fromkeys(self.scans, result)
        if not isinstance(result, Mapping) or not set(result) <= set(self.scans) or not result:
            raise InvalidOutcomeError(
                f"result of {symbol} is {result!r}; expected a mapping of ruleset to result, with "
                f"some of {', '.join(map(repr, self.scans))}"
            )
        return result

    def run(
        self,
        fn: Callable[[str], object],
        *,
        executor: Executor | None = None,
        until: StopRule | Mapping[str, StopRule] | None = None,
        **how: Any,
    ) -> dict[str, ScanSummary]:
        """Scan with `fn`, whose result is as `report` takes it; closes the scan.

        Parameters
        ----------
        until : StopRule, or mapping of ruleset to StopRule
            One rule for all, asked of each ruleset; or each its own. A ruleset whose rule holds
            counts no more in the order, and still learns; the scan stops when all rules hold.
        **how
            As for `Scan.run`.

        Returns
        -------
        summaries : dict of name to ScanSummary
        """
        if isinstance(until, Mapping):
            unknown = set(until) - set(self.scans)
            if unknown:
                raise InvalidInputError(
                    f"until names {min(unknown)!r}; known rulesets are {', '.join(self.scans)}"
                )
            self._rules = dict(until)
        elif until is not None:
            self._rules = dict.fromkeys(self.scans, until)
        for name, each in self._rules.items():
            check_stop_rule(each, f"until[{name!r}]" if isinstance(until, Mapping) else "until")
        # A ruleset without a rule goes on, and so does the scan.
        rule = _AllStopped(self) if self._rules.keys() == self.scans.keys() else None
        run_scan(self, fn, executor=executor, until=rule, **how)
        return self.summaries

    def refresh(self, *, now: datetime | None = None, **inputs: Unpack[ScanInputs]) -> None:
        """Rank what remains by what the market shows now, for each ruleset; see `Scan.refresh`."""
        for scan in self.scans.values():
            scan.refresh(now=now, **inputs)

    # -- what is known -----------------------------------------------------------------------

    @property
    def summaries(self) -> dict[str, ScanSummary]:
        """What the scan did for each ruleset; complete once it has ended."""
        return {name: scan.summary for name, scan in self.scans.items()}

    @property
    def summary(self) -> ScanSummary:
        """What it did for all rulesets together: all hits, without an estimate of recall."""
        one = self._first.summary
        n_hits = math.fsum(scan.n_hits for scan in self.scans.values())
        return replace(one, mode="group", n_hits=n_hits, estimate=None, overhead_s=self.overhead_s)

    @property
    def universe(self) -> Container[str]:
        """The symbols of the scan, for asking whether one is among them."""
        return self._first.universe

    @property
    def n_scanned(self) -> int:
        """Symbols reported so far to any ruleset."""
        return max(scan.n_scanned for scan in self.scans.values())

    @property
    def n_hits(self) -> float:
        """High-value results of all rulesets so far."""
        return math.fsum(scan.n_hits for scan in self.scans.values())

    @property
    def outcomes(self) -> Mapping[str, Outcome]:
        """Outcomes of the first ruleset so far, in order of reporting."""
        return self._first.outcomes

    def are_hits(self, symbols: Iterable[str]) -> NDArray[np.bool_]:
        """Whether `symbols` are high-value to at least one ruleset, shape (n_symbols,)."""
        names = as_texts(symbols)
        hits = [scan.are_hits(names) for scan in self.scans.values()]
        return np.asarray(np.any(hits, axis=0), np.bool_)

    @property
    def overhead_s(self) -> float:
        """Processor seconds in scanrank."""
        return math.fsum(scan.overhead_s for scan in self.scans.values())

    def estimate(self, confidence: float = 0.9) -> RecallEstimate:
        """Return the estimate of the ruleset that has found the least."""
        estimates = [scan.estimate(confidence) for scan in self.scans.values()]
        return min(estimates, key=lambda each: (not math.isnan(each.recall), each.recall))

    def hits_in_last(self, n: int) -> int:
        """High-value results of all rulesets among the latest `n` symbols."""
        return sum(scan.hits_in_last(n) for scan in self.scans.values())

    def symbols_to_recall(self, target: float) -> int:
        """Symbols until the ruleset that needs most has its recall."""
        return max(scan.symbols_to_recall(target) for scan in self.scans.values())

    # -- what a run asks ---------------------------------------------------------------------

    @property
    def stop_asked(self) -> str | None:
        """Why an operator wants the scan of one ruleset, and so of all, to end."""
        return next((s.stop_asked for s in self.scans.values() if s.stop_asked), None)

    @property
    def error_streak(self) -> ErrorStreak:
        """The latest results of the first ruleset, as far as all are errors of one kind."""
        return self._first.error_streak

    @property
    def last_good(self) -> str | None:
        """The latest symbol whose evaluation worked."""
        return self._first.last_good

    def record_retry(self, error: str | None) -> None:
        """Note what a further try of `last_good` gave."""
        for scan in self.scans.values():
            scan.record_retry(error)

    def read(self, symbol: str, result: object) -> Outcome:
        """Read the result of one evaluation for every ruleset, as `report` does.

        Returns
        -------
        outcome : Outcome
            Failed if all rulesets' are; its rating is the number of rulesets that signal.
        """
        read = {
            name: self.scans[name].read(symbol, value)
            for name, value in self._by_ruleset(symbol, result).items()
        }
        self._read[symbol] = read
        failed = [outcome for outcome in read.values() if outcome.error is not None]
        if len(failed) == len(read):
            return failed[0]
        return Outcome(rating=float(sum(outcome.is_signal == 1.0 for outcome in read.values())))

    def listen(self) -> None:
        """Poll for operators' requests between batches."""
        for scan in self.scans.values():
            scan.listen()

    def show(
        self,
        *,
        workers: int,
        target: float | None,
        is_enough: Callable[[], bool] | None = None,  # noqa: ARG002
    ) -> None:
        """Publish with each status how many evaluate at a time; a group waits for no others."""
        for scan in self.scans.values():
            scan.show(workers=workers, target=target)

    def close(self) -> dict[str, ScanSummary]:
        """End the scan of each ruleset."""
        self.__exit__(None, None, None)
        return self.summaries

    def __enter__(self) -> Self:
        """Return the scan itself."""
        return self

    def __exit__(self, *raised: Any) -> None:
        """Close the scan; what was reported is kept even when the loop raised."""
        scans = ExitStack()  # closes each, whatever closing another one raises
        for scan in self.scans.values():
            scan.stopped = scan.stopped or self.stopped
            scans.push(scan)
        scans.__exit__(*raised)


class _AllStopped(AllOf):
    """Stops when the rule of every ruleset holds, each asked of its own scan."""

    def __init__(self, group: GroupScan) -> None:
        super().__init__(*group._rules.values())
        self._group = group

    def reason(self, scan: object) -> str | None:  # noqa: ARG002
        """See `StopRule`."""
        reasons = []
        for name, rule in self._group._rules.items():
            why = rule.reason(self._group.scans[name])
            if why is None:
                return None
            reasons.append(f"{name}: {why}")
        return "; ".join(reasons)
