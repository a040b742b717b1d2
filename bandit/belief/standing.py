"""Compare the ranker's order, scan by scan, with orders that need no learning.

A finished scan shows how many hits its first tenth found, and how many the first tenth of other
orders would have found: the last rating first, the last hits first, a random one. When the
ranker's own order was clearly worse in several scans in a row, the better one replaces it until
the own order would have found as much again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Orders that the ranker must not do worse than.
RIVALS = ("last rating first", "last hits first")
# The own order is replaced after so many scans in a row, in which it found fewer hits by at least
# this share.
_IN_A_ROW = 4
_LEAST_SHARE = 0.03
# Standard errors by which a rival must be ahead. Hits are counts, whose variance is the count. With
# 2 errors, two rivals compared after every scan, noise alone would often replace the own order.
_SURE = 3.0
# Factor by which earlier scans weigh less with each new one, in the comparison with a random order.
_KEPT = 0.9
_LEAST_SCANS = 4


@dataclass(frozen=True, slots=True)
class Judged:
    """Hits in the first tenth of one scan, by order; weighted estimates where it was stopped.

    Parameters
    ----------
    own, random : float
        By the ranker's order, and expected by a random one.
    rivals : tuple of float
        By each of `RIVALS`.
    variance : float
        Of the difference between the own order and a rival.
    """

    own: float
    random: float
    rivals: tuple[float, ...]
    variance: float

    def to_json(self) -> list[float]:
        """Return plain numbers, for a header."""
        return [self.own, self.random, self.variance, *self.rivals]

    @classmethod
    def from_json(cls, numbers: Sequence[float]) -> Judged:
        """Read what `to_json` returned."""
        own, random, variance, *rivals = (float(number) for number in numbers)
        return cls(own, random, tuple(rivals), variance)


@dataclass(frozen=True, slots=True)
class Standing:
    """The latest scans, and the order that replaces the ranker's own.

    Parameters
    ----------
    recent : tuple of Judged
        Scans since the order changed last, oldest first.
    fallback : str
        One of `RIVALS`; empty = the ranker's own order is used.
    own, random, variance, n : float
        Hits by the own order and a random one, the variance of their difference and the number of
        scans, decayed.
    """

    recent: tuple[Judged, ...] = ()
    fallback: str = ""
    own: float = 0.0
    random: float = 0.0
    variance: float = 0.0
    n: float = 0.0

    def learn(self, judged: Judged) -> Standing:
        """Return the standing after one more scan."""
        recent = (*self.recent, judged)[-_IN_A_ROW:]
        fallback = self._fallback_after(recent)
        return Standing(
            recent if fallback == self.fallback else (),
            fallback,
            _KEPT * self.own + judged.own,
            _KEPT * self.random + judged.random,
            _KEPT**2 * self.variance + judged.own + judged.random,
            _KEPT * self.n + 1.0,
        )

    def _fallback_after(self, recent: tuple[Judged, ...]) -> str:
        if len(recent) < _IN_A_ROW:
            return self.fallback
        behind = [[scan.rivals[i] - scan.own for scan in recent] for i in range(len(RIVALS))]
        if self.fallback:
            return self.fallback if sum(behind[RIVALS.index(self.fallback)]) > 0.0 else ""
        error = math.sqrt(sum(scan.variance for scan in recent))
        n_hits = sum(scan.random for scan in recent) / 0.1  # the first tenth of a random order
        worst = max(range(len(RIVALS)), key=lambda i: sum(behind[i]))
        total = sum(behind[worst])
        is_worse = min(behind[worst]) > 0.0 and total > max(_SURE * error, _LEAST_SHARE * n_hits)
        return RIVALS[worst] if is_worse else ""

    @property
    def says_nothing(self) -> bool:
        """Whether several scans do not show that the order is better than a random one."""
        if self.n < _LEAST_SCANS * 0.85:  # decayed
            return False
        return self.own - self.random <= 2.0 * math.sqrt(self.variance)

    def to_json(self) -> dict[str, Any]:
        """Return the standing as JSON."""
        return {
            "recent": [each.to_json() for each in self.recent],
            "fallback": self.fallback,
            "totals": [self.own, self.random, self.variance, self.n],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Standing:
        """Read what `to_json` returned."""
        recent = tuple(Judged.from_json(each) for each in content["recent"])
        return cls(recent, str(content["fallback"]), *(float(x) for x in content["totals"]))
