"""Reports of a scan under way, until they are worth an update of the shared weights.

An update has two parts. The mean goes where it is likeliest given everything reported; that is
cheap, and decides the order of the scan. The precision grows by what was reported; that costs as
much as all the rest, and one scan of hundreds hardly changes it. So reports wait for both: until
together they were surprising enough to move the mean, and until they are many enough, beside what
was learned before, to count in the precision. They are part of the state.

Most batches of a scan come after the hits: fifty arms of which hardly one was promising, and none
was one. They wait longest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Rewards off their predictions, in all, that are worth moving the mean: about one unexpected hit.
ENOUGH = 1.0
# Rewards, as a share of all that were learned from, that are worth a new precision.
MOST_SHARE = 0.05
# So many arms wait at most.
MOST_ARMS = 1_000


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits; never changed in place.

    Parameters
    ----------
    parts : tuple of (context, reward, counts)
        Arrays of shapes (k, n_columns), (k,) and (k,), for each report; see `thinning`.
    surprise : float
        Sum of |reward - prediction| of what was reported since the mean moved.
    features : array, shape (n_known, d), optional
        Of the first arms, whose rewards the mean knows.
    """

    parts: tuple[tuple[NDArray[np.floating], Array, Array], ...] = ()
    surprise: float = 0.0
    features: Array | None = None

    def add(
        self, context: NDArray[np.floating], reward: Array, counts: Array, surprise: float
    ) -> Backlog:
        """Let a report wait."""
        parts = (*self.parts, (context, reward, counts))
        return replace(self, parts=parts, surprise=self.surprise + surprise)

    @property
    def n_arms(self) -> int:
        """How many wait."""
        return sum(reward.size for _, reward, _ in self.parts)

    @property
    def n_known(self) -> int:
        """How many of them the mean knows: the first."""
        return 0 if self.features is None else len(self.features)

    @property
    def is_due(self) -> bool:
        """Whether the mean is to move."""
        return self.surprise >= ENOUGH or self.n_arms >= MOST_ARMS

    def is_much(self, n_observed: float) -> bool:
        """Whether the precision is to know it, beside `n_observed` rewards learned from before."""
        n = sum(float(counts.sum()) for _, _, counts in self.parts)
        return n > MOST_SHARE * n_observed or self.n_arms >= MOST_ARMS

    def joined(self) -> tuple[NDArray[np.floating], Array, Array]:
        """Return all reports as one; there must be some."""
        context, reward, counts = zip(*self.parts, strict=True)
        return np.concatenate(context), np.concatenate(reward), np.concatenate(counts)

    def learned(self, features: Array) -> Backlog:
        """Return what waits for the precision alone, now that the mean knows everything."""
        return Backlog((self.joined(),), 0.0, features)
