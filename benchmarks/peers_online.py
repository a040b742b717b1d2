"""Three more learners for `benchmarks.peers`: river, Vowpal Wabbit, and MABWiser without contexts.

- river's `BayesianLinearRegression` is the linear model behind Thompson sampling; its
  `river.bandit.ThompsonSampling` knows no contexts. One joint draw of the weights from its
  posterior scores every symbol, which is its best reading: a draw for each symbol from
  `predict_one(with_dist=True)` explores 1,471 times as much and takes seconds a batch.
- Vowpal Wabbit learns each outcome as a contextual-bandit example of the action that was taken
  (`--cb_adf`). Its weights are read out after a batch and score all symbols at once: the same
  numbers as its own `predict`, without 1,471 lines of text a batch. It explores by the uniform
  quota in scans that are stopped early, as LightGBM does; in scans that run to their end every
  exploration costs.
- MABWiser's `ThompsonSampling` has an arm for each symbol and a Beta posterior in each, as most
  bandit libraries are used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.peers import Array, Index, standardised

PEERS = ("mabwiser ts", "river", "vowpalwabbit")


class River:
    """Linear Thompson sampling on river's Bayesian linear regression."""

    def __init__(self, seed: int, *, alpha: float = 0.01, beta: float = 20.0) -> None:
        from river.linear_model import BayesianLinearRegression

        self._model: Any = BayesianLinearRegression(alpha=alpha, beta=beta)
        self._rng = np.random.default_rng(seed)

    def score(self, X: Array, _symbols: Index) -> Array:
        """One joint draw of the weights for all rows."""
        Z = standardised(X)
        self._model._ensure_features(range(Z.shape[1]))
        self._model._ensure_m()
        d = Z.shape[1]
        covariance = self._model._ss_inv_arr[:d, :d]
        # Rank-one updates leave it symmetric up to rounding only.
        factor = np.linalg.cholesky((covariance + covariance.T) / 2.0)
        mean = self._model._m_arr[:d] if self._model._m_arr.size else np.zeros(d)
        return np.asarray(Z @ (mean + factor @ self._rng.standard_normal(d)))

    def update(self, X: Array, _symbols: Index, reward: Array) -> None:
        """One rank-one update for each outcome, as the library does it."""
        self._model.learn_many(pd.DataFrame(standardised(X)), pd.Series(reward))

    def end_scan(self) -> None:
        """Nothing is learned between scans."""


class VowpalWabbit:
    """A cost regressor on the features of an action, learned from taken actions."""

    def __init__(self, seed: int, *, cb_type: str = "mtr", extra: str = "--coin") -> None:
        from vowpalwabbit import Workspace

        self._vw: Any = Workspace(
            f"--cb_adf --cb_type {cb_type} --noconstant --quiet -b 18 --random_seed {seed} {extra}"
        )
        self._places: list[int] = []

    def score(self, X: Array, _symbols: Index) -> Array:
        """Predicted reward: the costs' weights, turned round."""
        Z = standardised(X)
        return -(Z @ self.weights(Z.shape[1]))

    def update(self, X: Array, _symbols: Index, reward: Array) -> None:
        """One example for each outcome; what was not chosen by chance has probability one."""
        for row, r in zip(standardised(X).tolist(), reward.tolist(), strict=True):
            self._vw.learn([f"0:{-r}:1.0 {self.line(row)}"])

    def end_scan(self) -> None:
        """Nothing is learned between scans."""

    def weights(self, d: int) -> NDArray[np.float64]:
        """Return the weights of d features, shape (d,)."""
        while len(self._places) < d:
            name = f"f{len(self._places)}"
            self._places.append(self._vw.hash_feature(name, self._vw.hash_space("x")))
        return np.array([self._vw.get_weight(place) for place in self._places[:d]])

    @staticmethod
    def line(row: list[float]) -> str:
        """Return an action in the library's text format."""
        return "|x " + " ".join(f"f{j}:{value:.6g}" for j, value in enumerate(row))


class MabWiserThompson:
    """Beta-Bernoulli Thompson sampling with an arm for each symbol, and no context.

    It learns once a scan: a symbol's outcome says nothing of the others, and none is scanned twice.
    """

    def __init__(self, seed: int, *, n_symbols: int) -> None:
        from mabwiser.mab import MAB, LearningPolicy

        self._mab = MAB(list(range(n_symbols)), LearningPolicy.ThompsonSampling(), seed=seed)
        self._is_fit = False
        self._waiting: list[tuple[Index, Array]] = []

    def score(self, _X: Array, symbols: Index) -> Array:
        """One draw for each arm."""
        expectations = self._mab.predict_expectations()
        return np.array([expectations[symbol] for symbol in symbols.tolist()])

    def update(self, _X: Array, symbols: Index, reward: Array) -> None:
        """Keep the outcomes until the scan ends."""
        self._waiting.append((symbols, reward))

    def end_scan(self) -> None:
        """Count successes and failures."""
        symbols, reward = map(np.concatenate, zip(*self._waiting, strict=True))
        learn = self._mab.partial_fit if self._is_fit else self._mab.fit
        learn(symbols.tolist(), reward.tolist())
        self._is_fit = True
        self._waiting = []
