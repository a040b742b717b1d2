"""Other learners on the same scans: LightGBM, bayesianbandits, MABWiser, contextualbandits.

river and Vowpal Wabbit are in `benchmarks.peers_online`.

Every peer is fed what scanrank is fed, by the same code: factor scores, the day's sub-scores, the
historical sub-scores of what the peer itself has seen, percentiles of the scanner's own last rows,
and the similarity loadings (not LightGBM, which finds 0.7 points more without them). Where a peer
has a choice, it gets its better side: rewards are the true hits, while scanrank has to estimate
the limit of a top share as it scans; settings were chosen on scans up to 2018 (`python -m
benchmarks.peer_settings`).

How each library's idea of an arm meets a scan, in which every symbol has a context of its own:

- LightGBM is no bandit: it is refit every 15 scans and ranks greedily, with a random quota where
  scans are stopped early.
- bayesianbandits takes a design matrix over (context, arm): one shared Bayesian logistic model
  ("shared"), or the same with an intercept for each symbol ("hybrid").
- MABWiser and contextualbandits give all arms of a round the same context and each arm a model of
  its own. "Scan it" is therefore one arm, and every symbol is a round; that is the reading in which
  they learn from 50 outcomes at once, and by far their best one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, hstack

from bandit.belief.belief import Belief, BeliefSettings
from bandit.choice.draw import round_stochastically
from scanner_adapter.inputs.context import MarketFacts, scan_context, seed_weights
from scanner_adapter.replay.logs.scans import ReplayScan
from scanner_adapter.replay.orders import Composite

Array = NDArray[np.float64]
Index = NDArray[np.intp]

REFIT_EVERY = 15  # scans, for LightGBM
FIRST_REFITS = (1, 2, 4, 8)  # earlier ones while there is little to learn from
MEMORY = 90  # scans of outcomes that LightGBM is fit on


class Model(Protocol):
    """What a peer has to offer: scores for what remains, and learning from a batch."""

    def score(self, X: Array, symbols: Index, /) -> Array:
        """Draw or predict a score for each row, shape (n,)."""

    def update(self, X: Array, symbols: Index, reward: Array, /) -> None:
        """Learn from one batch of outcomes."""

    def end_scan(self) -> None:
        """Learn what is only learned between scans."""


class Peer:
    """A foreign model as a replay order.

    Parameters
    ----------
    name : str
    model : Model
    rng : numpy.random.Generator
    batch_size : int
    random_share : float
        Uniform quota of each batch in scans that are stopped early.
    loadings : bool
        Whether the similarity loadings are part of the context.
    """

    def __init__(
        self,
        name: str,
        model: Model,
        rng: np.random.Generator,
        *,
        batch_size: int = 50,
        random_share: float = 0.0,
        loadings: bool = True,
    ) -> None:
        self.name = name
        self._model = model
        self._rng = rng
        self._batch_size = batch_size
        self._random_share = random_share
        self._loadings = loadings
        # Only its track record is used: what the peer itself has seen.
        self._memory = Belief(BeliefSettings(seed_weights=seed_weights(None)))
        self._n_scans = 0

    def visit(self, scan: ReplayScan, n_visits: int) -> Index:
        """See `Order.visit`."""
        now = scan.now.timestamp() / 86_400  # days since the epoch, as the track record counts
        row_names, rows = _rows(scan)
        X = self._context(scan, now, row_names)
        if self._n_scans == 0:  # no peer has a prior: all begin with the composite's order
            first = Composite().visit(scan, n_visits)
        is_stopped = n_visits < len(scan.symbols)
        visited = np.empty(0, np.intp)
        left = np.arange(len(scan.symbols))
        while len(visited) < n_visits:
            k = min(self._batch_size, n_visits - len(visited))
            if self._n_scans == 0:
                batch = first[len(visited) : len(visited) + k]
            else:
                batch = left[self._choose(X[left], scan.places[left], k, is_stopped)]
            reward = scan.hits[batch].astype(np.float64)
            self._model.update(X[batch], scan.places[batch], reward)
            self._memory.track.update(
                [scan.symbols[i] for i in batch],
                now=now,
                rewards=reward,
                columns=row_names,
                rows=rows[batch],
            )
            visited = np.concatenate([visited, batch])
            left = np.setdiff1d(left, batch, assume_unique=True)
        self._model.end_scan()
        self._n_scans += 1
        return visited

    def _choose(self, X: Array, symbols: Index, k: int, is_stopped: bool) -> Index:
        """Rows of X that make the next batch."""
        score = self._model.score(X, symbols)
        if is_stopped:
            n_random = round_stochastically(k * self._random_share, self._rng)
            score[self._rng.choice(len(X), n_random, replace=False)] = np.inf
        return np.argsort(-score, kind="stable")[:k]

    def _context(self, scan: ReplayScan, now: float, row_names: Sequence[str]) -> Array:
        n = len(scan.symbols)
        facts = MarketFacts(scan.sub_score_names, scan.sub_scores, np.empty((n, 0), np.float32), ())
        _, values = scan_context(
            self._memory, facts, self._memory.track.view(scan.symbols, now=now)
        )
        if not self._memory.track.columns:  # before the first report, so that the width is constant
            values = np.column_stack([values, np.full((n, len(row_names)), np.nan)])
        if not self._loadings:
            return np.asarray(values, np.float64)
        return np.column_stack([values, 50.0 + 25.0 * scan.loadings.values]).astype(np.float64)


def _rows(scan: ReplayScan) -> tuple[tuple[str, ...], Array]:
    """The rating and the numeric columns of the scanner's rows: names, and (n, n_names)."""
    names = tuple(scan.outcomes[0].columns)
    values = [[outcome.rating, *outcome.columns.values()] for outcome in scan.outcomes]
    return ("rating", *names), np.array(values)


def standardised(X: Array) -> Array:
    """Context around 0 with an intercept, unknown being neutral: linear peers need both."""
    return np.column_stack([np.ones(len(X)), np.nan_to_num((X - 50.0) / 25.0)])


class LightGBM:
    """Gradient boosting on all outcomes of the last scans, refit every `REFIT_EVERY`."""

    def __init__(
        self,
        seed: int,
        *,
        num_leaves: int = 15,
        learning_rate: float = 0.05,
        num_boost_round: int = 150,
    ) -> None:
        self._parameters = {
            "objective": "binary",
            "learning_rate": learning_rate,
            "num_leaves": num_leaves,
            "min_data_in_leaf": 100,
            "feature_fraction": 0.5,
            "lambda_l2": 10.0,
            "seed": seed,
            "deterministic": True,
            "num_threads": 1,
            "verbosity": -1,
        }
        self._n_rounds = num_boost_round
        self._scans: deque[tuple[Array, Array]] = deque(maxlen=MEMORY)
        self._open: list[tuple[Array, Array]] = []
        self._booster: Any = None
        self._predicted: dict[int, float] = {}
        self._n_scans = 0

    def score(self, X: Array, symbols: Index) -> Array:
        """Predicted probability; nothing changes it within a scan, so it is computed once."""
        if not self._open:
            self._predicted = dict(zip(symbols.tolist(), self._booster.predict(X), strict=True))
        return np.array([self._predicted[symbol] for symbol in symbols.tolist()])

    def update(self, X: Array, _symbols: Index, reward: Array) -> None:
        """Keep the rows for the next refit."""
        self._open.append((X.astype(np.float32), reward))

    def end_scan(self) -> None:
        """Refit where it is due."""
        import lightgbm

        rows, rewards = zip(*self._open, strict=True)
        self._scans.append((np.concatenate(rows), np.concatenate(rewards)))
        self._open = []
        self._n_scans += 1
        if self._n_scans not in FIRST_REFITS and self._n_scans % REFIT_EVERY:
            return
        X = np.concatenate([x for x, _ in self._scans])
        y = np.concatenate([r for _, r in self._scans])
        self._booster = lightgbm.train(
            self._parameters, lightgbm.Dataset(X, y), num_boost_round=self._n_rounds
        )


class BayesianBandits:
    """A Bayesian logistic model shared by all arms, with or without an intercept per symbol.

    The design matrix is what `FunctionArmFeaturizer` would build; the learner is driven directly,
    because the agent's own update takes one arm at a time and would refactorise 50 times a batch.
    The hybrid's 1,500 intercepts cost seconds a step, so it learns once per scan.
    """

    def __init__(self, seed: int, *, n_symbols: int = 0, alpha: float = 1.0) -> None:
        import bayesianbandits as bb

        self._n_symbols = n_symbols
        self._learner = bb.BayesianGLM(
            alpha=alpha,
            link="logit",
            approximator=bb.LaplaceApproximator(n_iter=25),
            sparse=n_symbols > 0,
            random_state=seed,
        )
        self._waiting: list[tuple[Array, Index, Array]] = []
        self._scores: Array = np.empty(0)

    def score(self, X: Array, symbols: Index) -> Array:
        """One joint draw of the weights for all rows: Thompson sampling."""
        return np.asarray(self._learner.sample(self._design(X, symbols), size=1)).ravel()

    def update(self, X: Array, symbols: Index, reward: Array) -> None:
        """One Laplace step per batch; the hybrid keeps the batch until the scan ends."""
        if self._n_symbols:
            self._waiting.append((X, symbols, reward))
        else:
            self._learner.partial_fit(self._design(X, symbols), reward)

    def end_scan(self) -> None:
        """The hybrid learns all batches of the scan."""
        if self._waiting:
            X, symbols, reward = map(np.concatenate, zip(*self._waiting, strict=True))
            self._learner.partial_fit(self._design(X, symbols), reward)
            self._waiting = []

    def _design(self, X: Array, symbols: Index) -> Array | csc_array:
        shared = standardised(X)
        if not self._n_symbols:
            return shared
        own = csc_array(
            (np.ones(len(X)), (np.arange(len(X)), symbols)), shape=(len(X), self._n_symbols)
        )
        return hstack([csc_array(shared), own], format="csc")


class MabWiser:
    """LinTS of MABWiser with one trained arm, "scan"; each symbol is a round."""

    def __init__(self, seed: int, *, alpha: float = 0.01) -> None:
        from mabwiser.mab import MAB, LearningPolicy

        self._mab = MAB(["scan", "skip"], LearningPolicy.LinTS(alpha=alpha), seed=seed)
        self._is_fit = False

    def score(self, X: Array, _symbols: Index) -> Array:
        """Expectations under weights drawn for each row anew, as the library does."""
        expectations = self._mab.predict_expectations(standardised(X))
        rows = expectations if isinstance(expectations, list) else [expectations]
        return np.array([row["scan"] for row in rows])

    def update(self, X: Array, _symbols: Index, reward: Array) -> None:
        """One ridge update per batch."""
        learn = self._mab.partial_fit if self._is_fit else self._mab.fit
        learn(["scan"] * len(X), reward, standardised(X))
        self._is_fit = True

    def end_scan(self) -> None:
        """Nothing is learned between scans."""


class ContextualBandits:
    """LinTS of contextualbandits, drawing from each prediction's interval."""

    def __init__(self, seed: int, *, v_sq: float = 0.01) -> None:
        from contextualbandits.online import LinTS

        self._policy = LinTS(
            2, v_sq=v_sq, sample_from="ci", fit_intercept=False, random_state=seed + 1, njobs=1
        )

    def score(self, X: Array, _symbols: Index) -> Array:
        """Scores of choice 0, "scan"."""
        return np.array(self._policy.decision_function(standardised(X))[:, 0])

    def update(self, X: Array, _symbols: Index, reward: Array) -> None:
        """One update per batch."""
        self._policy.partial_fit(standardised(X), np.zeros(len(X), np.intp), reward)

    def end_scan(self) -> None:
        """Nothing is learned between scans."""


PEERS = (
    "lightgbm",
    "bayesianbandits",
    "bayesianbandits hybrid",
    "mabwiser",
    "mabwiser ts",
    "contextualbandits",
    "river",
    "vowpalwabbit",
)
