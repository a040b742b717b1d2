"""Today's pattern: a second weight vector over similarity, which starts at zero in each scan.

When semiconductors pay today, the remaining semiconductors should rise; when a cluster
disappoints, it should sink. The shared weights cannot say so (tomorrow it is another sector), so
a small Gaussian vector over loadings (sectors, components of trailing returns, a constant)
learns it from this scan's reports alone. How strong such patterns are is learned across scans
by empirical Bayes, one variance per block: where they do not exist, the vector stays at zero.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bandit.belief.weights import WeightPosterior, laplace_update

Array = NDArray[np.float64]

# Prior variance (in logits^2) of a block before anything was learned about it.
_INITIAL_VARIANCE = 0.05
# Share of each finished scan in the learned variance; about the last 30 scans count.
_LEARNING_RATE = 1.0 / 30.0
_VARIANCE_BOUNDS = (1e-6, 4.0)


def learned_variances(
    variances: Mapping[str, float], evidence: Mapping[str, float]
) -> dict[str, float]:
    """Return the variance of each block, moved towards a scan's evidence by a damped EM step.

    Parameters
    ----------
    variances : mapping of block to float
        As learned so far, in logits^2; blocks that never occurred are absent.
    evidence : mapping of block to float
        See `ScanPattern.evidence`.
    """
    learned = dict(variances)
    for block, value in evidence.items():
        old = learned.get(block, _INITIAL_VARIANCE)
        new = old + _LEARNING_RATE * (value - old)
        learned[block] = float(np.clip(new, *_VARIANCE_BOUNDS))
    return learned


class ScanPattern:
    """Posterior over today's weights on `loadings`.

    Parameters
    ----------
    loadings : array, shape (n_arms, q)
        Similarity loadings of the scan's arms; a constant column is added in front.
    blocks : tuple of str, length q
        Block name of each loading.
    variances : mapping of block to float
        Prior variance of the weights in each block, see `learned_variances`.
    """

    def __init__(
        self,
        loadings: NDArray[np.floating],
        blocks: tuple[str, ...],
        variances: Mapping[str, float],
    ) -> None:
        # Column-major: times a vector it takes a third of the time, or less.
        self.loadings = np.ones((len(loadings), 1 + len(blocks)), np.float32, order="F")
        self.loadings[:, 1:] = loadings
        self.blocks = ("level", *blocks)
        variance = [variances.get(block, _INITIAL_VARIANCE) for block in self.blocks]
        self.posterior = WeightPosterior.from_prior(np.zeros(len(variance)), variance)

    def learn(self, rows: NDArray[np.intp], rewards: Array, offset: Array) -> None:
        """Learn from the rewards (k,) of `rows`, whose base linear predictor is `offset`."""
        X = self.loadings[rows].astype(np.float64)
        self.posterior = laplace_update(self.posterior, X, rewards, offset=offset, most_moved=1.0)

    def evidence(self) -> dict[str, float]:
        """Return each block's expected squared weight given this scan: the EM statistic."""
        second = self.posterior.mean**2 + self.posterior.variance()
        names = np.array(self.blocks)
        return {name: float(second[names == name].mean()) for name in dict.fromkeys(self.blocks)}
