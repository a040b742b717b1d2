"""Reports that say little, until they are worth an update of the shared weights.

An update costs the same whatever its rewards say, and most batches of a scan come after the hits:
fifty arms of which hardly one was promising, and none was one. Such reports wait until together
they were surprising enough. They are part of the state; what is learned at last is what would have
been learned one by one, to the error of one Laplace step instead of several small ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Rewards off their predictions, in all, that are worth an update: about one unexpected hit.
ENOUGH = 1.0
# So many arms are learned from at once at most.
MOST_ARMS = 1_000


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits to be learned; never changed in place.

    Parameters
    ----------
    parts : tuple of (context, reward)
        Arrays of shapes (k, n_columns) and (k,), one pair for each report.
    surprise : float
        Sum of their |reward - prediction|.
    """

    parts: tuple[tuple[NDArray[np.floating], Array], ...] = ()
    surprise: float = 0.0

    def add(self, context: NDArray[np.floating], reward: Array, probability: Array) -> Backlog:
        """Let a report wait, whose rewards (k,) were predicted with `probability` (k,)."""
        surprise = self.surprise + float(np.abs(reward - probability).sum())
        return Backlog((*self.parts, (context, reward)), surprise)

    @property
    def is_due(self) -> bool:
        """Whether it is worth an update."""
        return self.surprise >= ENOUGH or sum(r.size for _, r in self.parts) >= MOST_ARMS

    def joined(self) -> tuple[NDArray[np.floating], Array]:
        """Return all reports as one; there must be some."""
        context, reward = zip(*self.parts, strict=True)
        return np.concatenate(context), np.concatenate(reward)
