"""Today's pattern: a second weight vector over similarity, which starts at zero in each scan.

When semiconductors pay today, the remaining semiconductors should rise; when a cluster
disappoints, it should sink. The shared weights cannot say so (tomorrow it is another sector), so
a small Gaussian vector over loadings (sectors, components of trailing returns, a constant)
learns it from this scan's reports alone. How strong such patterns are is learned across scans
by empirical Bayes, one variance per block: where they do not exist, the vector stays at zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandit.belief.weights import Moments, WeightPosterior, laplace_step

Array = NDArray[np.float64]

# Prior standard deviation (in logits) of a block before anything was learned about it.
_INITIAL_VARIANCE = 0.05
# Share of each finished scan in the learned variance; about the last 30 scans count.
_LEARNING_RATE = 1.0 / 30.0
_VARIANCE_BOUNDS = (1e-6, 4.0)


@dataclass(slots=True)
class PatternStrength:
    """Learned variance of each block of loadings, across scans (block name -> logits^2)."""

    variance: dict[str, float]

    def of(self, blocks: tuple[str, ...]) -> Array:
        """Return the prior variance of each loading, shape (q,), given its block's name."""
        return np.array([self.variance.get(name, _INITIAL_VARIANCE) for name in blocks])

    def learn(self, evidence: dict[str, float]) -> None:
        """Move towards a finished scan's evidence (an EM step, spread over scans)."""
        for name, value in evidence.items():
            old = self.variance.get(name, _INITIAL_VARIANCE)
            new = old + _LEARNING_RATE * (value - old)
            self.variance[name] = float(np.clip(new, *_VARIANCE_BOUNDS))


class ScanPattern:
    """Posterior over today's weights on `loadings`.

    Parameters
    ----------
    loadings : array, shape (n_arms, q)
        Similarity loadings of the scan's arms; a constant column is added in front.
    blocks : tuple of str, length q
        Block name of each loading.
    strength : PatternStrength
        Learned variances, read once.
    """

    def __init__(
        self, loadings: NDArray[np.floating], blocks: tuple[str, ...], strength: PatternStrength
    ) -> None:
        # Column-major: times a vector it takes a third of the time, or less.
        self.loadings = np.ones((len(loadings), 1 + len(blocks)), np.float32, order="F")
        self.loadings[:, 1:] = loadings
        self.blocks = ("level", *blocks)
        variance = strength.of(self.blocks)
        self.posterior = WeightPosterior.from_prior(np.zeros(variance.size), variance)
        self.moments = Moments.of(self.posterior)

    def learn(self, rows: NDArray[np.intp], rewards: Array, offset: Array) -> None:
        """Learn from the rewards (k,) of `rows`, whose base linear predictor is `offset`."""
        X = self.loadings[rows].astype(np.float64)
        mean = self.moments.mean
        self.posterior, self.moments = laplace_step(self.posterior, mean, X, rewards, offset)

    def evidence(self) -> dict[str, float]:
        """Return each block's expected squared weight given this scan: the EM statistic."""
        second = self.moments.mean**2 + self.moments.variance()
        names = np.array(self.blocks)
        return {name: float(second[names == name].mean()) for name in dict.fromkeys(self.blocks)}
