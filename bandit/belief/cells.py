"""Step effects: one weight for each cell of a column, and of two columns together.

Scanners count points: so many for a volume of twice the usual, so many for a price above its
mean. Such steps, and steps that count together, are what the smooth features of `expansion` cannot
follow and what trees are good at. Here every column falls into `SINGLE` cells and every pair of
crossed columns into `PAIR` x `PAIR`; an arm lies in one cell of each, and the sum of their weights
is added to its linear predictor. The weights learn from what the rest of the belief did not
predict. They are Gaussian and, unlike the shared weights, independent of each other: thousands of
them cost a few milliseconds a scan. They learn when a scan ends, as everything does: judged in
mid-scan by its own predictions, so flexible a model would confirm what it already believes.

The sum has a learned weight of its own (its *trust*, 0 at first). Where scores hold no steps,
thousands of weights are mostly noise, and a sum that does not predict is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from bandit.belief.weights import WeightPosterior, laplace_update
from bandit.errors import IncompatibleStateError

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# Cells of a column alone, and of each of two columns together; one more for unknown.
SINGLE, PAIR = 16, 8
# Prior variance of a cell's weight, in logits^2: an arm lies in about a hundred cells, so that
# steps may move it by about a logit.
_VARIANCE = 0.02
# Prior variance of the trust, whose prior mean is 0.
_TRUST_VARIANCE = 1.0
# Arms per learning step.
_STEP = 50
# Newton's method for the level of a scan ends after so many steps, or with one of this size.
_MOST_NEWTON_STEPS, _SMALL_STEP = 50, 1e-6
# Arms per chunk: intermediate arrays of this size fit into the processor's cache.
_CHUNK = 4_096


class CellLayout:
    """Which cells an arm lies in. A new column only appends cells.

    Parameters
    ----------
    columns : sequence of str
    n_plain : int
        The first columns, which get no cells: they are sums of others.
    crossed : sequence of str
        Columns that also have cells in pairs.

    Examples
    --------
    >>> import numpy as np
    >>> layout = CellLayout(["a", "b"], crossed=["a", "b"])
    >>> layout.n_cells == 2 * (SINGLE + 1) + (PAIR + 1) ** 2
    True
    >>> layout.cells_of(np.array([[0.0, 100.0], [50.0, np.nan]]))
    array([[  0,  32,  97],
           [  8,  33, 110]])
    """

    def __init__(
        self, columns: Sequence[str], *, n_plain: int = 0, crossed: Sequence[str] = ()
    ) -> None:
        singles: list[int] = []  # first cell
        pairs: list[tuple[int, int, int]] = []  # places in `met` of a column and an earlier one
        met: list[int] = []
        n_cells = 0
        for column, name in enumerate(columns[n_plain:], n_plain):
            singles.append(n_cells)
            n_cells += SINGLE + 1
            if name in crossed:
                for place in range(len(met)):
                    pairs.append((len(met), place, n_cells))
                    n_cells += (PAIR + 1) ** 2
                met.append(column)
        self.n_cells = n_cells
        self._n_plain = n_plain
        self._first = np.array(singles, np.intp)
        self._met = np.array(met, np.intp)
        self._left, self._right, self._first_pair = np.array(pairs, np.intp).reshape(-1, 3).T
        # Column of each of an arm's cells; those of two columns count for the later one.
        self.column_of: Index = np.concatenate(
            [np.arange(n_plain, len(columns)), self._met[self._left]]
        )

    def cells_of(self, context: NDArray[np.floating]) -> Index:
        """Return the cells that arms lie in, shape (n, n_cells_each), for a context (n, c)."""
        # The journal keeps float32: an arm must lie in the same cell there.
        x = context.astype(np.float32, copy=False) * np.float32(SINGLE / 100)
        np.clip(x, 0, SINGLE - 1, out=x)
        x[np.isnan(x)] = SINGLE
        single = x.astype(np.intp)
        pair = single[:, self._met] * PAIR // SINGLE
        cells = np.empty((len(x), self.column_of.size), np.intp)
        np.add(single[:, self._n_plain :], self._first, out=cells[:, : self._first.size])
        corner = pair[:, self._left] * (PAIR + 1)
        corner += pair[:, self._right]
        np.add(corner, self._first_pair, out=cells[:, self._first.size :])
        return cells


@dataclass(frozen=True, slots=True)
class CellWeights:
    """Independent Gaussian weights of cells, and the trust in their sum; never changed in place.

    Parameters
    ----------
    precision, shift : array, shape (n_cells,)
        What data added to each weight's prior precision, and to precision times mean.
    trust : WeightPosterior
        Posterior of the one weight that multiplies the sum of an arm's cells.

    References
    ----------
    Graepel, Candela, Borchert, Herbrich (2010), Web-Scale Bayesian Click-Through Rate Prediction
    for Sponsored Search Advertising in Microsoft's Bing Search Engine: factorised Gaussian weights
    of binned inputs, here with a logistic likelihood and one step for a batch.
    """

    precision: Array
    shift: Array
    trust: WeightPosterior

    @classmethod
    def empty(cls, n_cells: int) -> CellWeights:
        """Start with no data."""
        trust = WeightPosterior.from_prior([0.0], [_TRUST_VARIANCE])
        return cls(np.zeros(n_cells), np.zeros(n_cells), trust)

    def restored(
        self,
        precision: NDArray[np.floating],
        shift: NDArray[np.floating],
        trust: Sequence[float],
    ) -> CellWeights:
        """Return stored weights of the same layout; `trust` is its precision and shift.

        Raises
        ------
        IncompatibleStateError
            When the number of cells differs.
        """
        if not precision.shape == shift.shape == self.precision.shape:
            raise IncompatibleStateError(
                f"the stored state has {precision.size} cells, the settings need "
                f"{self.precision.size}: they cross other columns; use the former setting, or "
                "another ruleset name"
            )
        of_trust, shift_of_trust = np.array(trust, np.float64).reshape(2, 1)
        restored = replace(self.trust, data_precision=of_trust[None], data_shift=shift_of_trust)
        return CellWeights(np.array(precision, np.float64), np.array(shift, np.float64), restored)

    @property
    def mean(self) -> Array:
        """Mean of each weight, shape (n_cells,), before trust."""
        return self.shift / (1.0 / _VARIANCE + self.precision)

    @property
    def worth(self) -> Array:
        """What each cell adds to a linear predictor, shape (n_cells,): trust times mean.

        A sum that predicts the opposite is left out.
        """
        return max(0.0, float(self.trust.mean[0])) * self.mean

    def grow(self, n_cells: int) -> CellWeights:
        """Append cells of new columns."""
        extra = (0, n_cells - self.precision.size)
        return replace(
            self, precision=np.pad(self.precision, extra), shift=np.pad(self.shift, extra)
        )

    def decay(self, factor: float) -> CellWeights:
        """Forget a share of the data, as `WeightPosterior.decay` does."""
        return CellWeights(factor * self.precision, factor * self.shift, self.trust.decay(factor))

    def learn(self, cells: Index, rewards: Array, offset: Array) -> CellWeights:
        """Learn from a finished scan what the rest of the belief did not predict.

        Parameters
        ----------
        cells : array of int, shape (n, m)
            From `CellLayout.cells_of`.
        rewards : array, shape (n,)
        offset : array, shape (n,)
            Linear predictor of everything but the cells when the arms were chosen.

        Notes
        -----
        Trust is updated first, from what the weights predicted before the scan. Then the weights
        learn as if their sum were fully trusted, or they would never learn anything, some fifty
        arms of all ranks at a time.
        """
        total = sums(self.mean, cells)
        trust = laplace_update(self.trust, total[:, None], rewards, offset=offset)
        learned = replace(self, trust=trust)
        n_steps = -(-rewards.size // _STEP)
        for first in range(n_steps):
            rows = slice(first, None, n_steps)
            learned = learned._step(cells[rows], rewards[rows], offset[rows])
        return learned

    def _step(self, cells: Index, rewards: Array, offset: Array) -> CellWeights:
        """Learn from some arms at once.

        The cells of an arm share what it teaches as if it came alone: with s the sum of their
        variances and v = p (1 - p), its residual counts 1 / (1 + v s) of itself. That is exact for
        a single arm to first order; arms are added up.
        """
        mean, n, m = self.mean, self.precision.size, cells.shape[1]
        p = expit(offset + sums(mean, cells))
        spread = sums(1.0 / (1.0 / _VARIANCE + self.precision), cells)
        share = 1.0 / (1.0 + p * (1.0 - p) * spread)
        places = cells.ravel()
        pull = np.bincount(places, np.repeat((rewards - p) * share, m), minlength=n)
        curvature = np.bincount(places, np.repeat(p * (1.0 - p) * share, m), minlength=n)
        # precision' mean' = precision' mean + pull
        return replace(
            self,
            precision=self.precision + curvature,
            shift=self.shift + curvature * mean + pull,
        )


def sums(values: Array, cells: Index) -> Array:
    """Return the sum of the values of each arm's cells (n, m), shape (n,)."""
    # As a product, in two thirds of the time of `values[cells].sum(axis=1)`.
    return np.asarray(values.take(cells) @ np.ones(cells.shape[1]))


def level_of(logit: Array, rewards: Array, precision: float = 1.0) -> float:
    """Return the offset that all arms of a scan have in common, given linear predictors (n,).

    Without it, every cell would learn the level of a day on which everything moves. A priori the
    level is N(0, 1 / precision); with precision 0 the probabilities add up to the rewards.
    """
    level = 0.0
    for _ in range(_MOST_NEWTON_STEPS):
        p = expit(logit + level)
        gradient = float((rewards - p).sum()) - precision * level
        step = gradient / max(precision + float((p * (1.0 - p)).sum()), 1e-9)
        # The log posterior is concave, and ascends along steps of at most a logit.
        level += min(max(step, -1.0), 1.0)
        if abs(step) < _SMALL_STEP:
            break
    return level


def correction(worth: Array, layout: CellLayout, context: NDArray[np.floating]) -> Array:
    """Return the sum of cell values `worth` (n_cells,) for each arm of a context (n, c)."""
    total = np.zeros(context.shape[0])
    if worth.any():
        for start in range(0, total.size, _CHUNK):
            rows = slice(start, start + _CHUNK)
            total[rows] = sums(worth, layout.cells_of(context[rows]))
    return total


def contributions(
    worth: Array, layout: CellLayout, context: NDArray[np.floating], groups: Sequence[str]
) -> dict[str, Array]:
    """Return `correction` by group of columns (`groups` names each column's), each (n,)."""
    added = worth[layout.cells_of(context)]
    names = np.array(groups)[layout.column_of]
    return {group: added[:, names == group].sum(axis=1) for group in dict.fromkeys(groups)}
