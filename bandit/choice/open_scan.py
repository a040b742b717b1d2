"""One scan in progress: which arms remain, what today's reports said, what to hand out next.

1. `select(k)` draws the shared weights, today's pattern and the arms' own effects once,
   scores what remains, and takes the top k, a few of them uniformly at random;
2. the caller scans them and folds the report into the ranker (the shared posterior moves);
3. `observe(...)` lets today's pattern and the running limit learn from the same report.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from bandit.belief import cells
from bandit.belief.arm_effects import effect_posterior
from bandit.belief.backlog import ENOUGH
from bandit.belief.belief import Belief
from bandit.belief.pattern import ScanPattern
from bandit.belief.recall import RecallEstimate
from bandit.belief.track_record import TrackView
from bandit.belief.weights import Moments
from bandit.checks import as_arms
from bandit.choice.draw import Choice, round_stochastically, sample, top_k
from bandit.choice.explain import (
    Contribution,
    Explanation,
    GroupWeight,
    contributions,
    group_weights,
)
from bandit.choice.propensity import batch_propensity
from bandit.choice.scores import DENSE_UP_TO, ArmScores, BoundedScores, DenseScores
from bandit.errors import InvalidInputError
from bandit.rewards import RunningLimit

Array = NDArray[np.float64]
Index = NDArray[np.intp]
# Moments of the shared weights and of today's pattern: the same objects while nothing is learned.
_Belief = tuple[Moments | None, Moments | None]

# Up to this many arms the hits expected in what is left are noted before every batch.
_NOTE_ALL_UP_TO = 1_000

# A draw's spread over arms is at most this share of the spread of the mean scores, judged on so
# many arms.
_MOST_NOISE = 0.3
_PROBE = 256
# A draw that lies so many times below that share vouches for others from the same precision: they
# are sums of hundreds of draws, and narrow in the course of a scan.
_FAR_FROM_NOISE = 3.0
# Batches that are ranked at once while nothing is learned.
_AHEAD = 4
# Arms over which learned weights of groups are judged.
_WEIGHED = 1_000


@dataclass(frozen=True, slots=True)
class Prediction:
    """Linear predictor and probability of some arms; arrays of shape (m,)."""

    logit: Array
    probability: Array


class OpenScan:
    """A scan in progress over a fixed universe; made by `open`.

    Notes
    -----
    Not thread safe. Arms are positions 0 .. n-1 in `arms`.
    """

    def __init__(
        self,
        ranker: Belief,
        scan_id: str,
        arms: tuple[str, ...],
        context: NDArray[np.floating],
        loadings: NDArray[np.floating],
        blocks: tuple[str, ...],
        rng: np.random.Generator,
        residual: Array,
        information: Array,
        dense_up_to: int = DENSE_UP_TO,
    ) -> None:
        self.ranker = ranker
        self.scan_id = scan_id
        self.arms = arms
        self.rng = rng
        n = len(arms)
        self.expansion = ranker.expansion
        self._is_dense = n <= dense_up_to
        self.is_available = np.ones(n, bool)
        self.is_reported = np.zeros(n, bool)
        self._has_failed = False
        self.reward = np.full(n, np.nan)
        self.rating = np.full(n, np.nan)
        self.pattern = ScanPattern(loadings, blocks, ranker.pattern_strength)
        self._unlearned: list[Index] = []
        self._surprise = 0.0
        share = ranker.settings.rule.expected_share
        self.limit = RunningLimit(ranker.limit, math.inf if share is None else share * n)
        self.effect_mean, self.effect_variance = effect_posterior(
            residual, information, ranker.effect_variance
        )
        self._effect_sd = np.sqrt(self.effect_variance)
        self._layout, self._worth = ranker.layout, ranker.cells.worth
        self._n_left = n
        self._n_selects = 0
        self._step_of = np.full(n, -1)
        self._predicted = np.full(n, np.nan)
        self._expected_left: list[float] = []
        self._noted = np.empty(0, np.float32)  # probability of every arm
        self._see(context)

    @classmethod
    def open(
        cls,
        ranker: Belief,
        scan_id: str,
        arms: Sequence[str],
        context: NDArray[np.floating],
        columns: Sequence[str],
        *,
        rng: np.random.Generator,
        now: float,
        loadings: NDArray[np.floating] | None = None,
        blocks: Sequence[str] = (),
        view: TrackView | None = None,
    ) -> OpenScan:
        """Open a scan over `arms` on a belief, which stays as it is.

        Parameters
        ----------
        context : array, shape (n_arms, n_columns)
            Sub-scores in [0, 100], NaN = unknown, named by `columns`.
        now : float
            Time of the scan, days since the epoch (UTC).
        loadings, blocks : array (n_arms, q) and q names, optional
            Similarity loadings for learning inside the scan, and each one's block.
        view : TrackView, optional
            The arms' track records, when the caller has them already.

        Raises
        ------
        InvalidInputError
            For an empty universe, repeated arms, or shapes that do not fit.
        """
        arms_ = as_arms(arms)
        if not arms_:
            raise InvalidInputError("the universe is empty; give at least one arm")
        aligned = ranker.align(np.asarray(context), columns, len(arms_))
        if loadings is None:
            loadings = np.zeros((len(arms_), 0), np.float32)
        if loadings.shape != (len(arms_), len(blocks)):
            raise InvalidInputError(
                f"loadings have shape {loadings.shape}, expected ({len(arms_)}, {len(blocks)}): "
                "one row per arm, one block name per column"
            )
        if not np.isfinite(loadings).all():
            row, column = np.argwhere(~np.isfinite(loadings))[0]
            raise InvalidInputError(
                f"loadings[{row}, {column}] is {loadings[row, column]}; expected finite numbers, "
                "0 = unknown"
            )
        view = view or ranker.track.view(arms_, now=now)
        return cls(
            ranker,
            scan_id,
            arms_,
            aligned,
            loadings,
            tuple(blocks),
            rng,
            view.residual,
            view.information,
        )

    def renew(self, context: NDArray[np.floating]) -> None:
        """Go on with another context, shape (n, n_columns), of the arms that remain.

        Arms that were chosen keep the context that they were chosen by: from it they are learned.
        """
        if context.shape != self.context.shape:
            raise InvalidInputError(
                f"context has shape {context.shape}, expected {self.context.shape}"
            )
        remains = self.is_available[:, None]
        self._see(np.where(remains, context, self.context).astype(self.context.dtype, copy=False))

    def _see(self, context: NDArray[np.floating]) -> None:
        """Take a context, and forget what was made from the one before."""
        self.context = context
        ranker, n = self.ranker, len(self.arms)
        self.scores: ArmScores = (
            DenseScores(context, ranker.expansion)
            if self._is_dense
            else BoundedScores(context, ranker.expansion, ranker.moments)
        )
        # What stands as long as the context does.
        fixed = self.effect_mean + cells.correction(self._worth, self._layout, context)
        self._fixed = fixed.astype(np.float32)
        probe = np.linspace(0, n - 1, min(n, _PROBE)).astype(np.intp)
        features = self.scores.features(probe)
        self._probe = features - features.mean(axis=0)
        self._quiet: Array | None = None  # precision whose draws are far from drowning anything
        self._drawn_of: _Belief = (None, None)
        self._ahead = np.empty(0, np.intp)  # best first, by the last draw
        self._noted_of: _Belief = (None, None)
        self._asked: tuple[Index, _Belief, Prediction] | None = None
        self.level = self._level()

    # -- choose ------------------------------------------------------------------------------

    def select(
        self,
        k: int,
        *,
        allowed: NDArray[np.bool_] | None = None,
        boost: Array | None = None,
    ) -> Choice:
        """Choose up to k of the arms that remain, best first; they remain no longer.

        Parameters
        ----------
        allowed : array of bool, shape (n,), optional
            Restricts the choice further (exclusions).
        boost : array, shape (n,), optional
            Log odds added to the scores of this choice; what is believed stays as it is.
        """
        share = self.ranker.settings.random_share
        is_free = self.is_available if allowed is None else self.is_available & allowed
        free = is_free.nonzero()[0]
        k = min(k, free.size)
        if k == 0:
            return Choice(free[:0], np.empty(0, bool), np.empty(0))
        self._note_expected_left()
        n_random = min(k, round_stochastically(k * share, self.rng))
        at_random = free[sample(free.size, n_random, self.rng)]
        best = self._best(is_free, k, boost)
        # Behind the k best every rank has the same chance: that of the quota.
        place, drawn = np.nonzero(best == at_random[:, None])
        rank = np.full(k, k)
        rank[k - n_random + place] = drawn
        ranks = np.delete(np.arange(k), drawn) if drawn.size else np.arange(k)
        rank[: k - n_random] = ranks = ranks[: k - n_random]
        arms = np.concatenate([best[ranks], at_random])
        self._predicted[arms] = self.predict(arms).probability
        propensity = batch_propensity(rank, n_remaining=free.size, k=k, quota=k * share)
        self.take(arms)
        return Choice(arms, np.arange(k) >= k - n_random, propensity)

    def take(self, rows: Index) -> None:
        """Let arms remain no longer, as if they had been chosen."""
        self._n_left -= int(np.count_nonzero(self.is_available[rows]))
        self.is_available[rows] = False

    def put_back(self, rows: Index) -> None:
        """Let arms that were chosen, but will not be scanned here, remain again."""
        rows = rows[~self.is_reported[rows]]
        self._n_left += int(np.count_nonzero(~self.is_available[rows]))
        self.is_available[rows] = True
        self._ahead = self._ahead[:0]

    def _best(self, is_free: NDArray[np.bool_], k: int, boost: Array | None) -> Index:
        """Return the k best free arms by one draw of everything unknown, best first.

        Where nothing was learned since the last draw it serves again, as for one larger batch.
        """
        is_known = _is_same(self._belief, self._drawn_of)
        self._drawn_of = self._belief
        if boost is not None or is_free is not self.is_available:  # a user's wishes
            self._ahead = self._ahead[:0]
            return self._draw(is_free, k, boost)
        ahead = self._ahead[is_free[self._ahead]] if is_known else self._ahead[:0]
        if ahead.size < k:
            ahead = self._draw(is_free, min(k * _AHEAD, self._n_left) if is_known else k, None)
        self._ahead = ahead  # those that the quota leaves behind, too
        return ahead[:k]

    def _draw(self, is_free: NDArray[np.bool_], k: int, boost: Array | None) -> Index:
        ranker, pattern, rng = self.ranker, self.pattern, self.rng
        # Draws narrow with what they can be good for: with the share that scans leave unseen, and
        # with what is left of this one, since its last batch serves no other of it.
        left = float(np.sqrt(self._n_left / len(self.arms)))
        scale = ranker.settings.exploration * ranker.coverage.expected_left_out * left
        today = pattern.moments.draw(rng, 1, scale)[0].astype(np.float32)
        extra = pattern.loadings @ today + self._fixed
        if ranker.effect_variance > 0.0:
            noise = rng.standard_normal(extra.size, np.float32)
            extra += np.float32(scale) * noise * self._effect_sd
        if boost is not None:
            extra = extra + boost
        mean = ranker.moments.mean
        deviation = ranker.moments.draw(rng, 1, scale)[0] - mean
        weights = mean + deviation * self._signal_bound(mean, deviation)
        rows = self.scores.contenders(is_free, k, ranker.moments, weights, scale, extra)
        return rows[top_k(self.scores.linear(rows, weights) + extra[rows], k, rng)]

    @property
    def _belief(self) -> _Belief:
        return self.ranker.moments, self.pattern.moments

    def _signal_bound(self, mean: Array, deviation: Array) -> float:
        """Return the factor, at most 1, that keeps a draw from drowning what is believed.

        While little was learned, a draw of two hundred weights moves the scores by more than the
        seed weights do, and the first scans would follow it rather than them.
        """
        if self._quiet is self.ranker.moments.cholesky:
            return 1.0
        d = self._probe.shape[1]
        signal, noise = (self._probe @ w[:d].astype(np.float32) for w in (mean, deviation))
        ratio = _MOST_NOISE * math.sqrt(float(signal @ signal) / max(float(noise @ noise), 1e-30))
        if ratio > _FAR_FROM_NOISE:
            self._quiet = self.ranker.moments.cholesky
        return min(1.0, ratio)

    def _means(self) -> Array:
        """Expected linear predictor of every arm, shape (n,)."""
        shared = self.scores.means(self.ranker.moments)
        return np.asarray(shared + self._today() + self._fixed + self.level, np.float64)

    def _today(self) -> NDArray[np.float32]:
        """What today's pattern adds to every arm, shape (n,)."""
        return self.pattern.loadings @ self.pattern.moments.mean.astype(np.float32)

    def _means_of(self, rows: Index) -> Array:
        """Expected linear predictor of `rows`, shape (m,), without today's pattern."""
        shared = self.scores.linear(rows, self.ranker.moments.mean)
        return shared + self._fixed[rows] + self.level

    # -- learn -------------------------------------------------------------------------------

    def predict(self, rows: Index) -> Prediction:
        """Predict the rewards of `rows` (positions, shape (m,)) from everything known now."""
        if self._asked is not None:
            # A batch is predicted when it is chosen, and again when it is reported.
            asked, then, prediction = self._asked
            if _is_same(self._belief, then) and np.array_equal(rows, asked):
                return prediction
        today = self.pattern.loadings.take(rows, axis=0) @ self.pattern.moments.mean
        logit = self._means_of(rows) + today
        prediction = Prediction(logit, expit(logit))
        self._asked = rows.copy(), self._belief, prediction
        return prediction

    def judge(self, rating: Array, is_signal: Array, probability: Array) -> Array:
        """Turn outcomes, predicted with `probability`, into rewards (m,); NaN = it cannot.

        In mid-scan the reward of a top share is the probability of being part of it.
        """
        self.limit.observe(rating, probability)
        rule = self.ranker.settings.rule
        if rule.expected_share is not None:
            return self.limit.chance(rating)
        return rule.judge(rating, is_signal, self.limit.value())

    def observe(
        self, rows: Index, rating: Array, rewards: Array, probability: Array | None = None
    ) -> None:
        """Let today's pattern learn from accepted rewards (NaN = the evaluation failed).

        Given the `probability` with which they were predicted, shape (m,), rewards that are hardly
        surprising wait for others, as in `bandit.belief.backlog`.
        """
        self.take(rows)
        self.is_reported[rows] = True
        self.rating[rows] = rating
        self.reward[rows] = rewards
        self._step_of[rows] = len(self._expected_left)
        known = ~np.isnan(rewards)
        self._unlearned.append(rows[known])
        if probability is None:
            self._surprise = ENOUGH
        else:
            self._surprise += float(np.abs((rewards - probability)[known]).sum())
        if self._surprise >= ENOUGH:
            self._learn_pattern()

    def note_failed(self, rows: Index) -> None:
        """Note evaluations (k,) that failed and may be tried again: nothing is known of them."""
        self.take(rows)
        self._has_failed = True

    def _learn_pattern(self) -> None:
        rows = np.concatenate([np.empty(0, np.intp), *self._unlearned])
        self._unlearned.clear()
        self._surprise = 0.0
        if rows.size:
            self.pattern.learn(rows, self.reward[rows], self._means_of(rows))

    def explain(self, arm: int, groups: Sequence[str]) -> Explanation:
        """Say what makes an arm's score (position `arm`); `groups` names each column's group."""
        return self.explain_all(np.array([arm]), groups)[0]

    def explain_all(self, rows: Index, groups: Sequence[str]) -> list[Explanation]:
        """Say of several arms (positions `rows`) what makes their scores, as `explain` does."""
        features = self.expansion.transform(self.context[rows], np.float64)
        d = features.shape[1]
        belief = self.ranker.posterior.prior_mean[:d], self.ranker.moments.mean[:d]
        prior, learned = (contributions(features, w, self.expansion, groups) for w in belief)
        stepped = cells.contributions(self._worth, self._layout, self.context[rows], groups)
        learned = {group: learned[group] + stepped[group] for group in learned}
        probability = self.predict(rows).probability
        today = self.pattern.loadings[rows] @ self.pattern.moments.mean
        return [
            Explanation(
                probability=float(probability[i]),
                groups={g: Contribution(float(prior[g][i]), float(learned[g][i])) for g in prior},
                today=float(today[i]),
                own=float(self.effect_mean[row]),
            )
            for i, row in enumerate(rows)
        ]

    def group_weights(self, groups: Sequence[str], level: float = 0.9) -> dict[str, GroupWeight]:
        """Weigh the groups of columns over this scan's arms, prior beside learned.

        The first columns, one per seed weight, are the groups' own scores.
        """
        n_seed = len(self.ranker.settings.seed_weights)
        probe = np.linspace(0, len(self.arms) - 1, min(len(self.arms), _WEIGHED)).astype(np.intp)
        return group_weights(
            self.expansion.transform(self.context[probe], np.float64),
            {group: 1 + i for i, group in enumerate(groups[:n_seed])},
            self.ranker.moments,
            self.ranker.posterior.prior_mean,
            self.expansion,
            groups,
            # A generator of its own: asking must not change what is chosen next.
            rng=np.random.default_rng(0),
            level=level,
        )

    # -- what is left ------------------------------------------------------------------------

    @property
    def expected_scores(self) -> Array:
        """Expected linear predictor of every arm, shape (n,)."""
        return self._means()

    def estimate(self, confidence: float = 0.9) -> RecallEstimate:
        """Estimate the hits found and left, see `bandit.belief.recall`.

        Where something was reported and nothing of it could be judged, as when every evaluation
        failed, all of it is unknown (NaN).
        """
        if (self._has_failed or self.is_reported.any()) and not self.is_judged:
            unknown = math.nan
            return RecallEstimate(0.0, unknown, unknown, unknown, unknown, confidence)
        return self.ranker.recall.estimate(
            n_hits=self.n_hits,
            probability=expit(self._means()[~self.is_reported]),
            confidence=confidence,
        )

    @property
    def is_judged(self) -> bool:
        """Whether a reward is known: a scan of errors alone teaches nothing."""
        return bool(np.isfinite(self.reward).any())

    @property
    def n_hits(self) -> float:
        """Sum of the rewards so far, judged by today's limit as it stands now."""
        rule = self.ranker.settings.rule
        if rule.expected_share is None:
            return float(np.nansum(self.reward))
        return float(np.count_nonzero(self.rating >= self.hit_limit))

    def are_hits(self, rows: Index) -> NDArray[np.bool_]:
        """Which of the arms `rows` (m,) are hits, by today's limit as it stands now."""
        if self.ranker.settings.rule.expected_share is None:
            return np.asarray(self.reward[rows] >= 0.5)
        return np.asarray(self.rating[rows] >= self.hit_limit)

    def is_hit(self, arm: int) -> bool:
        """Whether a reported arm is a hit, by today's limit as it stands now."""
        return bool(self.are_hits(np.array([arm], np.intp))[0])

    @property
    def hit_limit(self) -> float:
        """Rating that today's top share starts at: known once everything was scanned."""
        share = self.ranker.settings.rule.expected_share
        if share is not None and self.is_reported.all():
            return self.limit.final(share)
        return self.limit.value()

    def closing(self) -> dict[str, object]:
        """Return what the ranker learns from the scan as a whole: the header of its close entry."""
        self._learn_pattern()
        share = self.ranker.settings.rule.expected_share
        limit, ends_at = self.limit.carried, self.hit_limit
        if share is not None:
            left, expected_left = np.flatnonzero(~self.is_reported), 0.0
            if left.size:
                expected_left = float(expit(self._means()[left]).sum())
            limit = self.limit.carry(share * len(self.arms) - expected_left)
        return {
            "limit": None if np.isnan(limit) else limit,
            "hit_limit": None if share is None or np.isnan(ends_at) else ends_at,
            "pattern": self.pattern.evidence() if self.is_reported.any() else {},
            "recall": self._recall_evidence(),
            "n_scanned": int(self.is_reported.sum()),
            "is_judged": self.is_judged,
            "n_total": len(self.arms),
            "n_hits": self.n_hits,
        }

    def _note_expected_left(self) -> None:
        # Needs the score of every arm: not for a million of them, and for thousands every few
        # batches will do. Steps in between count with the last one noted.
        self._n_selects += 1
        every = 1 + len(self.arms) // _NOTE_ALL_UP_TO
        if isinstance(self.scores, DenseScores) and self._n_selects % every == 0:
            if not _is_same(self._belief, self._noted_of):
                logit = self.scores.rough(self.ranker.moments.mean) + self._today()
                self._noted = expit(logit + self._fixed + np.float32(self.level))
                self._noted_of = self._belief
            self._expected_left.append(float(self._noted[~self.is_reported].sum(dtype=float)))

    def _recall_evidence(self) -> list[list[float]]:
        """Return (expected, actual) numbers of hits, as `RecallModel.learn` takes them.

        From a scan that ran to its end: hits left at some steps near it. From one that was
        stopped: hits in the later half of what was scanned, the part nearest to what was not.
        """
        if not self.is_reported.any() or np.isnan(self.reward).all():
            return []  # nothing was scanned, or every evaluation failed
        if not self.is_reported.all():
            later = self._step_of > 0.5 * self._step_of.max()
            later &= ~np.isnan(self._predicted) & ~np.isnan(self.reward)
            if not later.any():
                return []
            found = np.count_nonzero(self.are_hits(np.flatnonzero(later)))
            return [[float(self._predicted[later].sum()), float(found)]]
        hits = self.are_hits(np.arange(len(self.arms)))
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
        self.level = 0.0
        if share is None:
            return 0.0
        logit = self._means()
        level = 0.0
        for _ in range(50):
            p = expit(logit + level)
            slope = float((p * (1.0 - p)).sum())
            step = (share * p.size - float(p.sum())) / max(slope, 1e-9)
            level += float(np.clip(step, -1.0, 1.0))
            if abs(step) < 1e-6:
                break
        return level


def _is_same(one: _Belief, other: _Belief) -> bool:
    return one[0] is other[0] and one[1] is other[1]
