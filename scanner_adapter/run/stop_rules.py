"""When to stop a scan: small rules that compose, each saying why it stopped."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from bandit.checks import as_count, as_number, refusal
from bandit.errors import InvalidInputError
from scanner_adapter.run.protocol import ScanView


class StopRule(Protocol):
    """Asked after every report; combine rules with `AnyOf` and `AllOf`."""

    def reason(self, scan: ScanView) -> str | None:
        """Return why the scan should stop now, None to go on."""


@dataclass(frozen=True, slots=True)
class RecallReached:
    """Stop when at least `target` of all hits was found, with the given confidence.

    Parameters
    ----------
    target : float
        Recall in (0, 1].
    confidence : float
        Share of scans in which the promise is to hold, in [0.5, 1).
    """

    target: float
    confidence: float = 0.9

    def __post_init__(self) -> None:
        as_number(self.target, "target", "a recall in (0, 1]", above=0.0, most=1.0)
        as_number(self.confidence, "confidence", "a number in [0.5, 1)", least=0.5, below=1.0)

    def reason(self, scan: ScanView) -> str | None:
        """See `StopRule`."""
        if scan.n_scanned == 0:
            return None
        estimate = scan.estimate(self.confidence)
        # Written so that an unknown recall (NaN) never stops a scan.
        if not estimate.recall_low >= self.target:
            return None
        # Without the estimate itself: the end of the scan has a later one, and two would confuse.
        return (
            f"reached the target recall of {self.target:.0%} with {self.confidence:.0%} confidence"
        )


@dataclass(frozen=True, slots=True)
class SymbolBudget:
    """Stop after `n` symbols; `run` hands out no more than that."""

    n: int

    def __post_init__(self) -> None:
        as_count(self.n, "n")

    def reason(self, scan: ScanView) -> str | None:
        """See `StopRule`."""
        return f"{scan.n_scanned} symbols scanned" if scan.n_scanned >= self.n else None


@dataclass(frozen=True, slots=True)
class TimeBudget:
    """Stop `seconds` after the scan was started; `run` does not wait for the next report."""

    seconds: float

    def __post_init__(self) -> None:
        as_number(self.seconds, "seconds", "a positive number of seconds", above=0.0)

    def reason(self, scan: ScanView) -> str | None:
        """See `StopRule`."""
        elapsed = time.monotonic() - scan.started
        return f"{elapsed:.1f} s spent" if elapsed >= self.seconds else None


@dataclass(frozen=True, slots=True)
class HitsFound:
    """Stop when `n` high-value results were found."""

    n: int

    def __post_init__(self) -> None:
        as_count(self.n, "n")

    def reason(self, scan: ScanView) -> str | None:
        """See `StopRule`."""
        return f"{scan.n_hits:.0f} high-value results found" if scan.n_hits >= self.n else None


@dataclass(frozen=True, slots=True)
class DiminishingReturns:
    """Stop when the last `window` symbols brought fewer than `min_hits` high-value results."""

    window: int = 300
    min_hits: int = 1

    def __post_init__(self) -> None:
        as_count(self.window, "window")
        as_count(self.min_hits, "min_hits")

    def reason(self, scan: ScanView) -> str | None:
        """See `StopRule`."""
        # Without a judge of hits there are none to miss: that is no reason to stop.
        if scan.n_scanned < self.window or math.isnan(scan.n_hits):
            return None
        found = scan.hits_in_last(self.window)
        if found >= self.min_hits:
            return None
        return f"the last {self.window} symbols brought {found} high-value results"


@dataclass(frozen=True, slots=True)
class TooManyErrors:
    """Stop when the data vendor no longer answers; on by default in `run` and `arun`.

    That is when many evaluations in a row end in one kind of error, and a symbol that worked before
    fails too, so that delisted symbols at the end of a scan stop nothing: `run` and `arun` evaluate
    the latest symbol that worked again. Where none has worked in this scan, and in a loop of one's
    own, half of the failed symbols must have worked in earlier scans. Symbols that failed are
    offered again when the scan is resumed by its `scan_id`.

    Parameters
    ----------
    in_a_row : int
        Errors of one kind without a result in between. Results that cannot be read do not count.
    longest_pause_s : float
        Where an error says when to ask again (429 with Retry-After, the rate-limit errors of
        yfinance and ccxt), `run` and `arun` wait at most this long and try that symbol once more.
        0 = never.
    """

    in_a_row: int = 20
    longest_pause_s: float = 120.0

    def __post_init__(self) -> None:
        as_count(self.in_a_row, "in_a_row")
        as_number(self.longest_pause_s, "longest_pause_s", "0 or more seconds", least=0.0)

    def reason(self, scan: ScanView) -> str | None:
        """See `StopRule`."""
        streak = scan.error_streak
        if streak.n < self.in_a_row:
            return None
        if streak.is_confirmed:
            why = "and a symbol that had succeeded failed too"
        elif 2 * streak.n_worked_before >= streak.n:
            why = f"{streak.n_worked_before} of them for symbols that succeeded in earlier scans"
        else:
            return None
        return f"{streak.n} errors in a row, {why}; the latest: {streak.example}"


class _Several:
    """Rules that decide together."""

    def __init__(self, *rules: StopRule) -> None:
        if not rules:
            raise InvalidInputError("no stop rule given; give at least one")
        for place, rule in enumerate(rules):
            check_stop_rule(rule, f"rules[{place}]")
        self.rules = rules

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.rules))})"


class AnyOf(_Several):
    """Stop as soon as one of the rules says so.

    Examples
    --------
    >>> AnyOf(RecallReached(0.95), TimeBudget(60))
    AnyOf(RecallReached(target=0.95, confidence=0.9), TimeBudget(seconds=60))
    """

    def reason(self, scan: ScanView) -> str | None:
        """Return the first reason that a rule gives."""
        return next((why for rule in self.rules if (why := rule.reason(scan))), None)


class AllOf(_Several):
    """Stop when every one of the rules says so at the same time."""

    def reason(self, scan: ScanView) -> str | None:
        """Return all the reasons, once each rule gives one."""
        reasons = [rule.reason(scan) for rule in self.rules]
        known = [why for why in reasons if why]
        return "; ".join(known) if len(known) == len(reasons) else None


def check_stop_rule(rule: object, name: str) -> None:
    """Refuse anything but a stop rule.

    Raises
    ------
    InvalidInputError
    """
    # A class has the method too, and needs the numbers.
    if isinstance(rule, type) or not callable(getattr(rule, "reason", None)):
        raise refusal(rule, name, "a stop rule such as RecallReached(0.95) or TimeBudget(60)")


def stop_rule_from_text(text: str) -> StopRule:
    """Return the rule that a command line names.

    Raises
    ------
    InvalidInputError
        For text that names no rule; the message lists the rules.

    Examples
    --------
    >>> stop_rule_from_text("recall:0.95,0.8")
    RecallReached(target=0.95, confidence=0.8)
    >>> stop_rule_from_text("quiet:300")
    DiminishingReturns(window=300, min_hits=1)
    """
    name, _, rest = text.partition(":")
    try:
        match name, rest.split(","):
            case "recall", [target]:
                return RecallReached(float(target))
            case "recall", [target, confidence]:
                return RecallReached(float(target), float(confidence))
            case "symbols", [n]:
                return SymbolBudget(int(n))
            case "hits", [n]:
                return HitsFound(int(n))
            case "quiet", [window]:
                return DiminishingReturns(int(window))
    except InvalidInputError as err:
        raise InvalidInputError(f"stop rule {text!r}: {err}") from err
    except ValueError:  # no number: refused below
        pass
    raise InvalidInputError(
        f"stop rule {text!r} is unknown; expected recall:0.95, recall:0.95,0.8 (confidence), "
        "symbols:500, hits:20 or quiet:300"
    )


def symbols_left(rule: StopRule | None, n_handed_out: int) -> float:
    """Return how many more symbols may be handed out before a symbol budget is spent."""
    match rule:
        case SymbolBudget(n=n):
            return n - n_handed_out
        case AnyOf():
            return min(symbols_left(part, n_handed_out) for part in rule.rules)
        case AllOf():
            return max(symbols_left(part, n_handed_out) for part in rule.rules)
    return math.inf


def seconds_left(rule: StopRule | None, scan: ScanView) -> float:
    """Return the seconds until a time budget is spent, when a rule is asked before a report."""
    match rule:
        case TimeBudget(seconds=seconds):
            return scan.started + seconds - time.monotonic()
        case AnyOf():
            return min(seconds_left(part, scan) for part in rule.rules)
        case AllOf():
            return max(seconds_left(part, scan) for part in rule.rules)
    return math.inf


def error_rule(rule: StopRule | None, default: TooManyErrors | None) -> TooManyErrors | None:
    """Return the rule about errors within `rule`, else the default one."""
    return next((each for each in _single(rule) if isinstance(each, TooManyErrors)), default)


def recall_target(rule: StopRule | None) -> float | None:
    """Return the recall that a rule aims at, None if it aims at none."""
    return next((each.target for each in _single(rule) if isinstance(each, RecallReached)), None)


def _single(rule: StopRule | None) -> Iterator[StopRule | None]:
    """Yield the rule itself, or the single ones that it is made of."""
    if isinstance(rule, AnyOf | AllOf):
        for part in rule.rules:
            yield from _single(part)
    else:
        yield rule


# The default of `run` and `arun`.
DEFAULT_ERRORS = TooManyErrors()
