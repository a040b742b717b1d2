"""One scan in progress: which arms remain, what today's reports said, what to hand out next.

1. `select(k)` draws the shared weights, today's pattern and the arms' own effects once,
   scores what remains, and takes the top k, a few of them uniformly at random;
2. the caller scans them and folds the report into the ranker (the shared posterior moves);
3. `observe(...)` lets today's pattern and the running limit learn from the same report.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from bandit.arm_effects import effect_posterior
from bandit.choice import Choice, inclusion_probability, round_stochastically, top_k
from bandit.pattern import ScanPattern
from bandit.recall import RecallEstimate
from bandit.rewards import RunningLimit

if TYPE_CHECKING:
    from bandit.ranker import Ranker

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# Monte-Carlo draws for the propensity of the sampled part: a standard error of at most 0.09.
_PROPENSITY_DRAWS = 32
# Only arms near the cut can be in or out; the draws are judged among this many times k of the
# best by mean score.
_CANDIDATES = 4
# Up to this many arms the scores are summed in float64, so that a cold start equals the
# composite's order exactly; beyond it memory matters more than the 8th digit.
_EXACT_UP_TO = 20_000


@dataclass(slots=True)
class Prediction:
    """Linear predictor and probability of some arms; arrays of shape (m,)."""

    logit: Array
    probability: Array


class OpenScan:
    """A scan in progress over a fixed universe; made by `Ranker.open_scan`.

    Notes
    -----
    Not thread safe. Arms are positions 0 .. n-1 in `arms`.
    """

    def __init__(
        self,
        ranker: Ranker,
        scan_id: str,
        arms: tuple[str, ...],
        context: NDArray[np.floating],
        loadings: NDArray[np.floating],
        blocks: tuple[str, ...],
        rng: np.random.Generator,
        residual: Array,
        information: Array,
    ) -> None:
        self.ranker = ranker
        self.scan_id = scan_id
        self.arms = arms
        self.position = {arm: i for i, arm in enumerate(arms)}
        self.context = context
        self.rng = rng
        n = len(arms)
        dtype = np.float64 if n <= _EXACT_UP_TO else np.float32
        self.features = ranker.expansion.transform(context, dtype)
        self.is_available = np.ones(n, bool)
        self.is_reported = np.zeros(n, bool)
        self.reward = np.full(n, np.nan)
        self.rating = np.full(n, np.nan)
        self.pattern = ScanPattern(loadings, blocks, ranker.pattern_strength)
        self.limit = RunningLimit(ranker.limit)
        self.effect_mean, self.effect_variance = effect_posterior(
            residual, information, ranker.effect_variance
        )
        self._n_features = self.features.shape[1]
        self._cache: tuple[object, object, Array] | None = None
        self._step_of = np.full(n, -1)
        self._expected_left: list[float] = []
        self.level = self._level()

    # -- choose ------------------------------------------------------------------------------

    def select(self, k: int, *, allowed: NDArray[np.bool_] | None = None) -> Choice:
        """Choose up to k of the arms that remain, best first; they remain no longer.

        Parameters
        ----------
        allowed : array of bool, shape (n,), optional
            Restricts the choice further (exclusions).
        """
        settings = self.ranker.settings
        free = self.is_available if allowed is None else self.is_available & allowed
        remaining = np.flatnonzero(free)
        k = min(k, remaining.size)
        if k == 0:
            nothing = np.empty(0)
            return Choice(nothing.astype(np.intp), nothing.astype(bool), nothing, nothing)
        n_random = min(k, round_stochastically(k * settings.random_share, self.rng))
        at_random = self.rng.choice(remaining.size, n_random, replace=False)
        is_drawn = np.zeros(remaining.size, bool)
        is_drawn[at_random] = True
        rest = np.flatnonzero(~is_drawn)
        mean = self._mean_scores()[remaining]
        self._note_expected_left()
        scores = self._draw_scores(remaining, mean, n_draws=1)[0]
        sampled = rest[top_k(scores[rest], k - n_random, self.rng)]
        picked = np.concatenate([sampled, at_random]).astype(np.intp)
        propensity, error = self._propensity(remaining, mean, picked, k)
        arms = remaining[picked]
        self.is_available[arms] = False
        is_random = np.arange(k) >= sampled.size
        return Choice(arms, is_random, propensity, error)

    def _exploration(self) -> float:
        # What is learned in the last batch serves no batch of this scan: the draws narrow with
        # the share of the universe that is left.
        return self.ranker.settings.exploration * float(np.sqrt(self.is_available.mean()))

    def _mean_scores(self) -> Array:
        """Expected linear predictor of every arm, shape (n,), computed once per belief."""
        ranker, pattern = self.ranker, self.pattern
        if self._cache is not None:
            shared_moments, pattern_moments, scores = self._cache
            if shared_moments is ranker.moments and pattern_moments is pattern.moments:
                return scores
        # Columns that other workers announced after this scan was opened stand at the end.
        weights = ranker.moments.mean[: self._n_features].astype(self.features.dtype)
        shared = self.features @ weights
        scores = np.asarray(
            shared + pattern.loadings @ pattern.moments.mean + self.effect_mean, np.float64
        )
        self._cache = (ranker.moments, pattern.moments, scores)
        return scores

    def _draw_scores(self, rows: Index, mean: Array, n_draws: int) -> Array:
        """Draw scores of `rows`, shape (n_draws, m)."""
        scale = self._exploration()
        if scale == 0.0:
            return np.broadcast_to(mean, (n_draws, mean.size))
        ranker, pattern = self.ranker, self.pattern
        weights = ranker.moments.draw(self.rng, n_draws, scale) - ranker.moments.mean
        weights = weights[:, : self._n_features]
        today = pattern.moments.draw(self.rng, n_draws, scale) - pattern.moments.mean
        scores = mean + weights @ self.features[rows].T + today @ pattern.loadings[rows].T
        if ranker.effect_variance > 0.0:
            own = self.rng.standard_normal(scores.shape)
            scores += scale * own * np.sqrt(self.effect_variance[rows])
        return np.asarray(scores)

    def _propensity(
        self, remaining: Index, mean: Array, picked: Index, k: int
    ) -> tuple[Array, Array]:
        share = self.ranker.settings.random_share
        by_quota = min(1.0, k * share / remaining.size)
        k_sampled = k - round(k * share)
        near = top_k(mean, min(mean.size, _CANDIDATES * k), self.rng)
        near = np.union1d(near, picked)
        draws = self._draw_scores(remaining[near], mean[near], _PROPENSITY_DRAWS)
        by_draw = inclusion_probability(draws, np.searchsorted(near, picked), k_sampled)
        error = np.sqrt(by_draw * (1.0 - by_draw) / _PROPENSITY_DRAWS)
        return by_quota + (1.0 - by_quota) * by_draw, (1.0 - by_quota) * error

    # -- learn -------------------------------------------------------------------------------

    def predict(self, rows: Index) -> Prediction:
        """Predict the rewards of `rows` (positions, shape (m,)) from everything known now."""
        logit = self._mean_scores()[rows] + self.level
        return Prediction(logit, expit(logit))

    def judge(self, rating: Array, is_signal: Array, probability: Array) -> Array:
        """Turn outcomes, predicted with `probability`, into rewards (m,); NaN = it cannot."""
        limit = self.limit.observe(rating, probability)
        return self.ranker.settings.rule.judge(rating, is_signal, limit)

    def observe(self, rows: Index, rating: Array, rewards: Array) -> None:
        """Let today's pattern learn from accepted rewards (NaN = the evaluation failed)."""
        self.is_available[rows] = False
        self.is_reported[rows] = True
        self.rating[rows] = rating
        self.reward[rows] = rewards
        self._step_of[rows] = len(self._expected_left)
        ok = rows[~np.isnan(rewards)]
        if ok.size:
            offset = self._mean_scores()[ok] + self.level
            offset -= self.pattern.loadings[ok] @ self.pattern.moments.mean
            self.pattern.learn(ok, self.reward[ok], offset)

    # -- what is left ------------------------------------------------------------------------

    @property
    def expected_scores(self) -> Array:
        """Expected linear predictor of every arm, shape (n,)."""
        return self._mean_scores() + self.level

    def estimate(self, confidence: float = 0.9) -> RecallEstimate:
        """Estimate the hits found and left, see `bandit.recall`."""
        left = np.flatnonzero(~self.is_reported)
        return self.ranker.recall.estimate(
            n_hits=self.n_hits,
            probability=self.predict(left).probability,
            confidence=confidence,
        )

    @property
    def n_hits(self) -> float:
        """Sum of the rewards so far, judged by today's limit as it stands now."""
        rule = self.ranker.settings.rule
        if rule.expected_share is None:
            return float(np.nansum(self.reward))
        return float(np.count_nonzero(self.rating >= self.limit.value()))

    def is_hit(self, arm: int) -> bool:
        """Whether a reported arm is a hit, by today's limit as it stands now."""
        if self.ranker.settings.rule.expected_share is None:
            return bool(self.reward[arm] >= 0.5)
        return bool(self.rating[arm] >= self.limit.value())

    def closing(self) -> dict[str, object]:
        """Return what the ranker learns from the scan as a whole: the header of its close entry."""
        left = np.flatnonzero(~self.is_reported)
        share = self.ranker.settings.rule.expected_share
        limit = self.limit.carried
        if share is not None:
            expected_left = float(self.predict(left).probability.sum())
            limit = self.limit.carry(share * len(self.arms) - expected_left)
        return {
            "limit": None if np.isnan(limit) else limit,
            "pattern": self.pattern.evidence() if self.is_reported.any() else {},
            "recall": self._recall_evidence(),
            "n_scanned": int(self.is_reported.sum()),
            "n_total": len(self.arms),
            "n_hits": self.n_hits,
        }

    def _note_expected_left(self) -> None:
        left = ~self.is_reported
        self._expected_left.append(float(expit(self._mean_scores()[left] + self.level).sum()))

    def _recall_evidence(self) -> list[list[float]]:
        """Return (expected, actual) hits left at some steps of a scan that ran to its end."""
        if not self.is_reported.all() or not self._expected_left:
            return []
        share = self.ranker.settings.rule.expected_share
        if share is None:
            hits = self.reward >= 0.5
        else:
            hits = self.rating >= np.nanquantile(self.rating, 1.0 - share)
        total = np.count_nonzero(hits)
        expected = np.array(self._expected_left)
        # Arms reported after step t was noted are those with a later step number.
        per_step = np.bincount(self._step_of[hits], minlength=expected.size + 1)
        actual = total - np.cumsum(per_step)[: expected.size]
        near_end = np.flatnonzero((expected > 0.01 * total) & (expected < 0.3 * total))
        return [[float(expected[t]), float(actual[t])] for t in near_end]

    def _level(self) -> float:
        # A top share is known in advance: the probabilities must add up to it.
        share = self.ranker.settings.rule.expected_share
        if share is None:
            return 0.0
        logit = self._mean_scores()
        level = 0.0
        for _ in range(50):
            p = expit(logit + level)
            slope = float((p * (1.0 - p)).sum())
            step = (share * p.size - float(p.sum())) / max(slope, 1e-9)
            level += float(np.clip(step, -1.0, 1.0))
            if abs(step) < 1e-6:
                break
        return level
