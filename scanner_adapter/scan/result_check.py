"""`ResultCheck`: warns once if most of a scan's results cannot be read or learned from."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from bandit.evaluation.payoff import no_gain
from bandit.rewards import HitIf, RewardRule, Signal, Threshold, rule_text
from scanner_adapter.inputs.advice import judging_any_shape, judging_by, where_to_find
from scanner_adapter.inputs.outcome_table import OutcomeTable
from scanner_adapter.inputs.outcomes import needs_rating
from scanner_adapter.inputs.values import meaning
from scanner_adapter.live.status import MAX_WARNING

# Results after which a scan is checked; a smaller scan is checked when it ends.
FIRST = 50
# Ratings without a hit after which a warning is due.
_ENOUGH_RATINGS = 100
_MAX_SIGNALS = 3


class ResultCheck:
    """Checks the results of one scan as they are reported.

    Parameters
    ----------
    rule : RewardRule
        What counts as high-value.
    knows_hits : bool
        Whether an earlier scan had a high-value result. A scan without one is then plausible, and
        so is a scan that begins with many.

    Attributes
    ----------
    n, n_judged : int
        Number of results, and of those among them that the rule can judge.

    Notes
    -----
    Not thread-safe: used under the scan's lock.
    """

    def __init__(self, rule: RewardRule, knows_hits: bool = False) -> None:
        self._rule = rule
        self._knows_hits = knows_hits
        self._by_rating = needs_rating(rule)
        self._by_signal = isinstance(rule, HitIf | Signal)  # neither: a rule of the user
        self._has_words = isinstance(rule, Signal) and rule.words is not None
        self._unknown: Counter[str] = Counter()  # unknown signals among the first results
        self._n_failed = self._n_failed_first = 0
        self._first_error = ""
        self._lowest, self._highest = math.inf, -math.inf
        self.n = self.n_judged = self._n_hits = 0

    def observe(self, table: OutcomeTable, *, n_again: int = 0) -> None:
        """Count the new results of a report; `n_again` of them replace errors."""
        self.n -= n_again
        self._n_failed -= n_again
        failed = np.flatnonzero(table.is_failed)
        if failed.size and not self._first_error:
            row = int(failed[0])
            self._first_error = f"{table.symbols[row]}: {table.outcome(row).error}"
        n_first = max(FIRST - self.n, 0)
        self._n_failed += failed.size
        self._n_failed_first += int(np.count_nonzero(failed < n_first))
        if self._by_signal:
            for row in range(min(n_first, len(table.symbols))):
                outcome = table.outcome(row)
                # Numbers, truth values and the user's own function need no known word.
                is_read = outcome.is_hit is not None and not self._has_words
                if outcome.signal is not None and not is_read and meaning(outcome.signal) is None:
                    self._unknown[outcome.signal] += 1
        judged = self._judged(table)
        self.n += len(table.symbols)
        self.n_judged += judged.size
        if self._by_signal:
            self._n_hits += int(np.count_nonzero(judged > 0.0))
        elif isinstance(self._rule, Threshold):
            self._n_hits += int(np.count_nonzero(judged >= self._rule.minimum))
        if judged.size:
            self._lowest = min(self._lowest, float(judged.min()))
            self._highest = max(self._highest, float(judged.max()))

    def _judged(self, table: OutcomeTable) -> NDArray[np.float64]:
        """Return the known values that the rule judges; for a rule of the user, its rewards."""
        if self._by_rating:
            values = table.rating
        elif self._by_signal:
            values = table.is_signal
        else:
            values = self._rule.judge(table.rating, table.is_signal, math.nan)
        return values[~np.isnan(values) & ~table.is_failed]

    def warning(self, *, is_over: bool, n_left: int = 0, hits_left: float = 0.0) -> str | None:
        """Return what is wrong with the results so far, with an example and a fix; None if nothing.

        Parameters
        ----------
        is_over : bool
            Whether no more results will come. Few results, and results without a hit, are judged
            only then.
        n_left, hits_left : int, float
            Symbols not scanned, and expected hits among them. A good order makes hits too common
            among the results of a stopped scan.
        """
        if self.n == 0 or (self.n < FIRST and not is_over):
            return None
        text = self._errors() or self._unjudged() or self._unknown_signals() or self._alike(is_over)
        if text is None and is_over:
            text = self._scale_mismatch() or self._no_gain(n_left, hits_left)
        return None if text is None else text[:MAX_WARNING]

    def _errors(self) -> str | None:
        first = min(self.n, FIRST)
        if self._n_failed == self.n:
            return (
                f"all {self.n} results are errors, so nothing is learned from them; "
                f"{self._first_error}"
            )
        if 2 * self._n_failed_first > first:
            return (
                f"{self._n_failed_first} of the first {first} results are errors, so nothing is "
                f"learned from them; {self._first_error}"
            )
        return None

    def _unjudged(self) -> str | None:
        if self.n_judged:
            return None
        n, what = self.n - self._n_failed, rule_text(self._rule)
        if self._by_rating:
            return (
                f"none of {n} results has a rating, which {what} needs, so nothing is learned: "
                f"{where_to_find('rating')}, or judge signals with "
                f"{judging_by('Signal()', 'signal')}"
            )
        if not self._by_signal:
            return f"none of {n} results can be judged by {what}: nothing is learned"
        return (
            f"none of {n} results says whether it is a signal, which {what} needs, so nothing is "
            f"learned: {where_to_find('signal')}, or judge ratings with "
            f"{judging_by('TopShare(0.05)', 'top:0.05')}"
        )

    def _unknown_signals(self) -> str | None:
        if self._highest > 0.0 or not self._unknown:
            return None
        common = self._unknown.most_common(_MAX_SIGNALS)
        word = common[-1][0]  # signals are rare
        met = ", ".join(f"{word!r} ({n} times)" for word, n in common)
        return (
            f"no signal of the first {min(self.n, FIRST)} results was recognised, got {met}: all "
            "count as no signal. Define the words that mean a signal: "
            f"{judging_by(f'Signal(words=({word!r},))', f'signal:{word}')}"
        )

    def _alike(self, is_over: bool) -> str | None:
        """Results without a hit are reported only at the end: most scanners signal rarely."""
        if self.n_judged < FIRST or self._lowest != self._highest:
            return None
        is_no = self._highest == 0.0
        is_below = isinstance(self._rule, Threshold) and self._highest < self._rule.minimum
        is_learned = self._by_signal and self._knows_hits  # a good order may begin with hits only
        if is_below or is_learned or (is_no and not is_over):
            return None
        value = f"{'rating' if self._by_rating else 'reward'} {self._highest:g}"
        if self._by_signal:
            value = "no signal" if is_no else "a signal"
        return (
            f"all {self.n_judged} results are equal ({value}), so no order can be learned. If the "
            f"scanner returns more, {where_to_find('rating', 'signal')}, or {judging_any_shape()}"
        )

    def _no_gain(self, n_left: int, hits_left: float) -> str | None:
        if self.n_judged < FIRST or not self._n_hits:
            return None
        return no_gain((self._n_hits + hits_left) / (self.n_judged + n_left))

    def _scale_mismatch(self) -> str | None:
        # An earlier prioritiser compared ratings that end at 26 with 70, and never learned.
        rule = self._rule
        if not isinstance(rule, Threshold) or self.n_judged < _ENOUGH_RATINGS:
            return None
        if self._knows_hits or self._highest >= rule.minimum:
            return None
        return (
            f"none of {self.n_judged} ratings reached the threshold {rule.minimum:g}, the highest "
            f"was {self._highest:g}: is the threshold on the scanner's own scale? Without "
            f"high-value results nothing is learned; {judging_by('TopShare(0.05)', 'top:0.05')} "
            "adapts to the scale of the ratings"
        )
