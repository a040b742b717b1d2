"""How many hits are left: an estimate of recall that learns how far it can be trusted.

The model's probabilities over what was not scanned add up to the hits expected there. How far
off that sum tends to be (its bias and its spread beyond chance) is learned from finished scans:
what was expected at some step against what was found after it, less what is still expected in the
part that was left out. A conformal layer then moves the level of each bound to where past truths
really fell, whatever the form of the distribution (Dawid 1984; Vovk et al. 2005).

`Coverage` learns how much of their universe scans leave unseen: that is what exploring and random
symbols are good for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, pdtr

from bandit.errors import InvalidInputError

Array = NDArray[np.float64]

# Share of the evidence that each finished scan replaces: about the last 50 scans count.
_FORGET = 0.98
# Before any scan has finished: no bias, and a spread of half the expected number.
_PRIOR_HITS = 5.0
_PRIOR_SPREAD = 0.25
# Bins of where true numbers fell in their predicted distributions, and the weight, in scans, of the
# prior that they fall uniformly.
_BINS, _PRIOR_PLACES = 40, 10.0
# Numbers in the state of a model.
N_STATE = 4 + _BINS
# No bound uses a level beyond this: the bins hold too few scans to say anything so far out.
_HIGHEST = 0.995
# Factor by which older scans weigh less with each new one: about the last 20 count.
_KEEP = 0.95
# The whole random quota is drawn where scans leave at least the first share of their universe
# unseen, the second part of it where they leave nothing unseen.
_MUCH_UNSEEN, _LEAST_QUOTA = 0.05, 0.25


@dataclass(frozen=True, slots=True)
class RecallEstimate:
    """Estimate of the hits that a scan has found and of those that remain.

    Parameters
    ----------
    hits_found : float
        High-value outcomes so far.
    hits_expected_remaining : float
        Expected number among the symbols not scanned.
    recall, recall_low, recall_high : float
        Share of all hits found so far, and its bounds.
    confidence : float
        Probability that the true recall is at least `recall_low`; likewise that it is at most
        `recall_high`.
    remaining_low, remaining_high : float
        The same bounds as a number of remaining high-value outcomes; NaN = unknown.
    """

    hits_found: float
    hits_expected_remaining: float
    recall: float
    recall_low: float
    recall_high: float
    confidence: float
    remaining_low: float = np.nan
    remaining_high: float = np.nan

    def __repr__(self) -> str:
        if np.isnan(self.recall):
            found = "" if np.isnan(self.hits_found) else f"{self.hits_found:g} high-value found; "
            return f"{found}number remaining unknown"
        return (
            f"{self.hits_found:g} high-value found, about {self.hits_expected_remaining:.0f} left: "
            f"recall {self.recall:.0%}, each bound with {self.confidence:.0%}: "
            f"{self.recall_low:.0%} to {self.recall_high:.0%}"
        )


@dataclass(frozen=True, slots=True)
class RecallModel:
    """Learned bias and spread of the hits expected in what remains; never changed in place.

    Parameters
    ----------
    actual, expected, excess, weight : float
        Decayed sums over finished scans, whose ratios are bias and spread.
    places : tuple of float, length 40
        Decayed counts of where truths fell in the distributions predicted for them, by their value
        of the distribution function; even where the distributions are right.

    Notes
    -----
    Given an expected number m, the true number is taken as negative binomial with mean b m and
    variance b m + v (b m)^2; b and v are ratios of decayed moments over finished scans.
    """

    actual: float = _PRIOR_HITS
    expected: float = _PRIOR_HITS
    excess: float = _PRIOR_SPREAD * _PRIOR_HITS
    weight: float = _PRIOR_HITS
    places: tuple[float, ...] = (_PRIOR_PLACES / _BINS,) * _BINS

    @classmethod
    def restored(cls, state: Sequence[float]) -> RecallModel:
        """Rebuild a model from what `state` returned."""
        actual, expected, excess, weight, *places = state
        return cls(actual, expected, excess, weight, tuple(places))

    def state(self) -> list[float]:
        """Return all that was learned, as numbers."""
        return [self.actual, self.expected, self.excess, self.weight, *self.places]

    @property
    def bias(self) -> float:
        """True over expected number of remaining hits."""
        return self.actual / self.expected

    @property
    def spread(self) -> float:
        """v: squared coefficient of variation beyond counting noise."""
        return max(self.excess / self.weight, 0.0)

    def learn(self, evidence: Sequence[Sequence[float]]) -> RecallModel:
        """Return the model after one more finished scan.

        Parameters
        ----------
        evidence : sequence of (expected, actual)
            Number of hits expected at some steps of the scan, and found later, among what was
            scanned after them.
        """
        if not evidence:
            return self
        expected, actual = np.asarray(evidence, np.float64).T
        # By the model before this scan; in the middle of the distribution function's step.
        place = (self._reached(actual, expected) + self._reached(actual - 1.0, expected)) / 2.0
        counts = np.bincount(np.minimum(place * _BINS, _BINS - 1).astype(np.intp), minlength=_BINS)
        all_actual = _FORGET * self.actual + float(actual.mean())
        all_expected = _FORGET * self.expected + float(expected.mean())
        mean = all_actual / all_expected * expected
        # In the negative binomial, E[(A - m)^2 - m] = v m^2.
        return RecallModel(
            all_actual,
            all_expected,
            _FORGET * self.excess + float(((actual - mean) ** 2 - mean).mean()),
            _FORGET * self.weight + float((mean**2).mean()),
            tuple((_FORGET * np.array(self.places) + counts / actual.size).tolist()),
        )

    def level(self, confidence: float) -> float:
        """Level of the distribution below which truths fell with probability `confidence`.

        Examples
        --------
        >>> model = RecallModel()
        >>> round(model.level(0.9), 12)
        0.9
        """
        below = np.concatenate([[0.0], np.cumsum(self.places)])
        level = np.interp(confidence * below[-1], below, np.linspace(0.0, 1.0, below.size))
        return float(np.clip(level, 1.0 - _HIGHEST, _HIGHEST))

    def quantile(self, expected: float, level: float, at_most: float = math.inf) -> float:
        """Number of remaining hits not exceeded with probability `level`.

        Numbers above `at_most`, the arms that remain, are not considered.
        """
        mean = self.bias * expected
        if mean <= 0.0:
            return 0.0
        # The smallest number whose distribution function reaches the level; 12 standard
        # deviations up there is nothing left of it.
        deviation = np.sqrt(mean + self.spread * mean**2)
        numbers = np.arange(int(min(mean + 12.0 * deviation, at_most)) + 2)
        reached = self._reached(numbers.astype(np.float64), np.full(numbers.size, expected))
        return float(np.searchsorted(reached, level))

    def _reached(self, number: Array, expected: Array) -> Array:
        """Probability of at most `number` remaining hits where so many are expected, (m,)."""
        mean, counted = self.bias * expected, np.maximum(number, 0.0)
        if self.spread < 1e-6:
            reached = pdtr(counted, mean)
        else:
            size = 1.0 / self.spread
            reached = betainc(size, counted + 1.0, size / (size + mean))
        return np.where(number < 0.0, 0.0, reached)

    def estimate(
        self,
        *,
        n_hits: float,
        probability: Array,
        confidence: float,
    ) -> RecallEstimate:
        """Estimate recall from the hits so far and the probabilities of what remains."""
        expected, n = float(probability.sum()), float(probability.size)
        most = self.quantile(expected, self.level(confidence), n)
        fewest = self.quantile(expected, self.level(1.0 - confidence), n)
        left = min(self.bias * expected, n)
        # The mean of few hits can lie outside these quantiles; the interval must contain it.
        fewest = min(fewest, left)
        most = min(max(most, left), n)
        return RecallEstimate(
            hits_found=n_hits,
            hits_expected_remaining=left,
            recall=_share(n_hits, left),
            recall_low=_share(n_hits, most),
            recall_high=_share(n_hits, fewest),
            confidence=confidence,
            remaining_low=fewest,
            remaining_high=most,
        )


def _share(found: float, left: float) -> float:
    # Nothing found and nothing left: nothing was missed.
    return 1.0 if found + left <= 0.0 else found / (found + left)


@dataclass(frozen=True, slots=True)
class Coverage:
    """Running mean of the share of the universe that a scan leaves out; never changed in place.

    Parameters
    ----------
    left_out, weight : float
        Sum of the shares of past scans, and their number; the older, the less.

    Notes
    -----
    Exploring pays by what it finds out about symbols that would not have been seen. Where scans
    run to their end, everything is seen in any order, and exploring only delays good symbols.
    """

    left_out: float = 0.0
    weight: float = 0.0

    def learn(self, n_scanned: int, n_total: int) -> Coverage:
        """Return the mean after one more finished scan.

        Raises
        ------
        InvalidInputError
            When more symbols were scanned than the universe has.
        """
        if not 0 <= n_scanned <= n_total:
            raise InvalidInputError(f"{n_scanned} of {n_total} symbols scanned; expected 0 to all")
        left_out = _KEEP * self.left_out + 1.0 - n_scanned / n_total
        return Coverage(left_out, _KEEP * self.weight + 1.0)

    @property
    def expected_left_out(self) -> float:
        """Share of the universe that the next scan is expected to leave out; at first all of it.

        Examples
        --------
        >>> coverage = Coverage()
        >>> coverage.expected_left_out
        1.0
        >>> coverage.learn(25, 100).expected_left_out
        0.875
        """
        # As if one scan that saw nothing had come before: a prior that explores.
        return (1.0 + self.left_out) / (1.0 + self.weight)

    @property
    def quota(self) -> float:
        """Part of the random quota to draw: all where scans stop, a quarter where they do not.

        In scans that run to their end, random symbols reveal nothing that would stay unknown, and
        delay good ones. A few remain, for the scan that will be stopped.

        Examples
        --------
        >>> coverage = Coverage()
        >>> coverage.quota
        1.0
        >>> coverage.learn(100, 100).quota
        0.25
        >>> coverage.learn(100, 100).learn(60, 100).quota
        1.0
        """
        if self.weight == 0.0:
            return 1.0
        return min(max(self.left_out / self.weight / _MUCH_UNSEEN, _LEAST_QUOTA), 1.0)
