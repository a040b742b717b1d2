"""How many hits are left: an estimate of recall that learns how far it can be trusted.

The model's probabilities over what was not scanned add up to the hits expected there. How far
off that sum tends to be (its bias and its spread beyond chance) is learned from scans that ran to
the end, where the truth is known at every step, and from the uniform quota of those that did not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, pdtr

Array = NDArray[np.float64]

# Share of the evidence that each finished scan replaces: about the last 50 scans count.
_FORGET = 0.98
# Before any scan has finished: unbiased, and a spread of half the expected number.
_PRIOR_HITS = 5.0
_PRIOR_SPREAD = 0.25


@dataclass(frozen=True, slots=True)
class RecallEstimate:
    """What a scan has found and what is left.

    Parameters
    ----------
    hits_found : float
        High-value outcomes so far.
    hits_expected_remaining : float
        Expected number among what was not scanned.
    recall, recall_low, recall_high : float
        Share of all hits that was found, and its interval.
    confidence : float
        `recall_low` is reached by the true recall with this probability, and `recall_high`
        likewise not exceeded.
    remaining_low, remaining_high : float
        The same bounds as a number of high-value outcomes that were not found; NaN = not known.
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
            return f"{self.hits_found:g} high-value found; how many are left is not known"
        return (
            f"{self.hits_found:g} high-value found, about {self.hits_expected_remaining:.0f} left: "
            f"recall {self.recall:.0%}, each bound with {self.confidence:.0%}: "
            f"{self.recall_low:.0%} to {self.recall_high:.0%}"
        )


@dataclass(slots=True)
class RecallModel:
    """Learned bias and spread of the number of hits expected in what remains.

    Notes
    -----
    Given an expected number m, the true number is taken as negative binomial with mean b m and
    variance b m + v (b m)^2; b and v are ratios of decayed moments over finished scans.
    """

    actual: float = _PRIOR_HITS
    expected: float = _PRIOR_HITS
    excess: float = _PRIOR_SPREAD * _PRIOR_HITS
    weight: float = _PRIOR_HITS

    @property
    def bias(self) -> float:
        """True over expected number of remaining hits."""
        return self.actual / self.expected

    @property
    def spread(self) -> float:
        """v: squared coefficient of variation beyond counting noise."""
        return max(self.excess / self.weight, 0.0)

    def learn(self, evidence: Sequence[Sequence[float]]) -> None:
        """Learn from a finished scan.

        Parameters
        ----------
        evidence : sequence of (expected, actual)
            Number of remaining hits expected, and found later, at some steps of the scan.
        """
        if not evidence:
            return
        expected, actual = np.asarray(evidence, np.float64).T
        self.actual = _FORGET * self.actual + float(actual.mean())
        self.expected = _FORGET * self.expected + float(expected.mean())
        mean = self.bias * expected
        # In the negative binomial, E[(A - m)^2 - m] = v m^2.
        self.excess = _FORGET * self.excess + float(((actual - mean) ** 2 - mean).mean())
        self.weight = _FORGET * self.weight + float((mean**2).mean())

    def quantile(self, expected: float, level: float, at_most: float = math.inf) -> float:
        """Number of remaining hits not exceeded with probability `level`.

        Beyond `at_most`, the number of arms that remain, it is not told apart.
        """
        mean = self.bias * expected
        if mean <= 0.0:
            return 0.0
        # The smallest number whose distribution function reaches the level; 12 standard
        # deviations up there is nothing left of it.
        deviation = np.sqrt(mean + self.spread * mean**2)
        numbers = np.arange(int(min(mean + 12.0 * deviation, at_most)) + 2)
        if self.spread < 1e-6:
            reached = pdtr(numbers, mean)
        else:
            size = 1.0 / self.spread
            reached = betainc(size, numbers + 1.0, size / (size + mean))
        return float(np.searchsorted(reached, level))

    def estimate(
        self,
        *,
        n_hits: float,
        probability: Array,
        confidence: float,
    ) -> RecallEstimate:
        """Estimate recall from the hits so far and the probabilities of what remains."""
        expected = float(probability.sum())
        n = probability.size
        most = self.quantile(expected, confidence, n)
        fewest = self.quantile(expected, 1.0 - confidence, n)
        left = min(self.bias * expected, float(probability.size))
        # A mean can lie outside a quantile of so few: the interval holds the estimate.
        fewest = min(fewest, left)
        most = min(max(most, left), float(probability.size))
        found = n_hits
        return RecallEstimate(
            hits_found=found,
            hits_expected_remaining=left,
            recall=_share(found, left),
            recall_low=_share(found, most),
            recall_high=_share(found, fewest),
            confidence=confidence,
            remaining_low=fewest,
            remaining_high=most,
        )


def _share(found: float, left: float) -> float:
    # With nothing found and nothing left to find, nothing was missed.
    return 1.0 if found + left <= 0.0 else found / (found + left)
