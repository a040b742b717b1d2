"""One scan in progress: which arms remain, what today's reports said, what to hand out next.

1. When it is opened, every arm is scored by the shared weights, their mean and a few draws;
2. `select(k)` adds a draw of today's pattern to one of these scores in turn, and takes the top k
   of what remains, a few of them uniformly at random;
3. the caller scans them, and `observe(...)` lets today's pattern and the running limit learn. While
   little is known, the shared weights learn too, for this scan alone.

What is learned here is provisional: the belief learns from the whole scan when it is over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit

from bandit.belief.belief import Belief
from bandit.belief.cells import contributions as contributions_of_cells
from bandit.belief.cells import level_of
from bandit.belief.pattern import ScanPattern
from bandit.belief.recall import RecallEstimate
from bandit.checks import as_arms
from bandit.choice.draw import Choice, draw_at_random, mixed, top_k
from bandit.choice.explain import (
    Contribution,
    Explanation,
    GroupWeight,
    contributions,
    group_weights,
)
from bandit.choice.first_scan import RatingHint
from bandit.choice.scores import SharedScores
from bandit.errors import InvalidInputError
from bandit.rewards import HIT, RunningLimit, final_limit, final_rewards

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# Up to this many arms, the number of hits expected among those that remain is recorded before every
# batch; with more arms, before every few batches.
_NOTE_ALL_UP_TO = 1_000
# The first batch explores only if less than this share was reported before it: batches without
# features, or those before an interruption, may have come first.
_STILL_UNSEEN = 0.1
# Arms over which the learned weights of groups are computed.
_WEIGHED = 1_000


@dataclass(frozen=True, slots=True)
class Prediction:
    """Linear predictor and probability of some arms; arrays of shape (m,)."""

    logit: Array
    probability: Array


class OpenScan:
    """A scan in progress over a fixed universe, on a belief that stays as it is.

    Parameters
    ----------
    context : array, shape (n_arms, n_columns)
        Sub-scores in [0, 100], NaN = unknown, named by `columns`.
    loadings, blocks : array (n_arms, q) and q names, optional
        Similarity loadings for learning inside the scan, and each one's block.
    rivals : mapping of name to array (n_arms,), optional
        Values by which each of `bandit.belief.standing.RIVALS` orders, NaN = last; where the
        belief fell back to one of them, it orders this scan.
    offset : array, shape (n_arms,), optional
        Logarithms of factors by which each arm's probability is multiplied in every choice;
        what is believed stays as it is.
    due : sequence of int
        Positions that come before all others, in this order.

    Raises
    ------
    InvalidInputError
        For an empty universe, repeated arms, or shapes that do not fit.

    Notes
    -----
    Not thread safe. Arms are positions 0 .. n-1 in `arms`.
    """

    def __init__(
        self,
        belief: Belief,
        scan_id: str,
        arms: Sequence[str],
        context: NDArray[np.floating],
        columns: Sequence[str],
        *,
        rng: np.random.Generator,
        loadings: NDArray[np.floating] | None = None,
        blocks: Sequence[str] = (),
        rivals: Mapping[str, Array] | None = None,
        offset: Array | None = None,
        due: Sequence[int] = (),
    ) -> None:
        self.arms = as_arms(arms)
        n = len(self.arms)
        if not n:
            raise InvalidInputError("the universe is empty; give at least one symbol")
        self.context = belief.align(np.asarray(context), columns, n)
        self.columns = belief.columns  # of the context
        if loadings is None:
            loadings = np.zeros((n, 0), np.float32)
        if loadings.shape != (n, len(blocks)):
            raise InvalidInputError(
                f"loadings have shape {loadings.shape}, expected ({n}, {len(blocks)}): "
                "one row per symbol, one block name per column"
            )
        if not np.isfinite(loadings).all():
            row, column = np.argwhere(~np.isfinite(loadings))[0]
            raise InvalidInputError(
                f"loadings[{row}, {column}] is {loadings[row, column]}; expected finite numbers, "
                "0 = unknown"
            )
        self.belief, self.scan_id, self.rng = belief, scan_id, rng
        self._offset, self._due = offset, list(due)
        self.rivals = dict(rivals or {})
        fallback = self.rivals.get(belief.standing.fallback)
        self.fallback = belief.standing.fallback if fallback is not None else ""
        self._fallback_scores = None if fallback is None else _falling(fallback)
        self.is_available = np.ones(n, bool)
        self.is_reported = np.zeros(n, bool)
        self.has_failed = np.zeros(n, bool)  # and may be tried again
        self.reward = np.full(n, np.nan)
        self.rating = np.full(n, np.nan)
        self.pattern = ScanPattern(loadings, tuple(blocks), belief.pattern_variances)
        share = belief.settings.rule.expected_share
        self.limit = RunningLimit(belief.limit, math.inf if share is None else share * n)
        # Draws narrow with what they can be good for: the share that scans leave unseen.
        self._scale = belief.settings.exploration * belief.coverage.expected_left_out
        self._random_share = belief.settings.random_share * belief.coverage.quota
        self.shared = SharedScores(belief, self.context, rng, self._scale)
        self._hint: RatingHint | None = None
        if belief.n_scans == 0 and self._scale > 0.0:
            self._hint = RatingHint(self.shared, is_sure=share is not None, rng=rng)
        self._n_selects = self._n_rewards = 0
        self._step_of = np.full(n, -1)
        self._expected_left: list[float] = []
        self._set_level()

    def renew(self, context: NDArray[np.floating]) -> None:
        """Rank the arms that remain by another context, shape (n, n_columns).

        Arms that were chosen keep the context by which they were chosen, to be learned from.

        Raises
        ------
        InvalidInputError
            When the shape is not that of the scan's context.
        """
        if context.shape != self.context.shape:
            raise InvalidInputError(
                f"context has shape {context.shape}, expected {self.context.shape}"
            )
        remains = self.is_available[:, None]
        self.context = np.where(remains, context, self.context).astype(
            self.context.dtype, copy=False
        )
        self.shared.renew(self.context)
        self._set_level()

    # -- choose ------------------------------------------------------------------------------

    @property
    def due(self) -> list[int]:
        """Positions that come before all others and are still available."""
        self._due = [place for place in self._due if self.is_available[place]]
        return self._due

    def select(
        self,
        k: int,
        *,
        allowed: NDArray[np.bool_] | None = None,
        boost: Array | None = None,
    ) -> Choice:
        """Choose up to k of the available arms, best first.

        Parameters
        ----------
        allowed : array of bool, shape (n,), optional
            Restricts the choice further (exclusions).
        boost : array, shape (n,), optional
            Log odds added to the scores of this choice; what is believed stays as it is.
        """
        is_free = self.is_available if allowed is None else self.is_available & allowed
        free = is_free.nonzero()[0]
        k = min(k, free.size)
        if k == 0:
            return Choice.certain(free[:0])
        self._note_expected_left()
        quota = k * self._random_share
        at_random = draw_at_random(free, k, quota, self.rng)
        best = self._best(free, k, boost)
        choice = mixed(best, at_random, n_free=free.size, quota=quota)
        self.take(choice.arms)
        return choice

    def take(self, rows: Index) -> None:
        """Mark arms as chosen."""
        self.is_available[rows] = False

    def admit(self, rows: Index) -> None:
        """Mark arms as chosen that were chosen elsewhere, as one batch."""
        self._note_expected_left()
        self.take(rows)

    def put_back(self, rows: Index) -> None:
        """Make arms available again that were chosen but will not be scanned here."""
        self.is_available[rows[~self.is_reported[rows]]] = True

    def _best(self, free: Index, k: int, boost: Array | None) -> Index:
        """Return the k best of the free arms by one draw of everything unknown, best first."""
        today = self.pattern.posterior.draw(self.rng, 1, self._scale)[0]
        scores = self.shared.next_draw() + self._today(today)
        if self._fallback_scores is not None:
            scores = self._fallback_scores
        if self._hint is not None:
            scores += self._hint.added
        scores = self._aged(scores)
        if boost is not None:
            scores = scores + boost
        self._n_selects += 1
        best = free[top_k(scores.take(free), k, self.rng)]
        is_first = self._n_selects == 1 and self.is_reported.mean() < _STILL_UNSEEN
        if self._hint is not None and is_first:
            best = self._hint.look_around(best, free)
        return best

    def _aged(self, scores: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return scores (n,) with the scan's offsets added to the log probabilities."""
        return scores if self._offset is None else log_expit(scores) + self._offset

    def _means(self) -> Array:
        """Expected linear predictor of every arm, shape (n,)."""
        today = self._today(self.pattern.posterior.mean)
        return np.asarray(self.shared.mean + today + self.level, np.float64)

    def _today(self, weights: Array) -> NDArray[np.float32]:
        """What weights of today's pattern add to every arm, shape (n,)."""
        return self.pattern.loadings @ weights.astype(np.float32)

    # -- learn -------------------------------------------------------------------------------

    def predict(self, rows: Index) -> Prediction:
        """Predict the rewards of `rows` (positions, shape (m,)) from everything known now."""
        today = self.pattern.loadings[rows] @ self.pattern.posterior.mean
        logit = self.shared.mean.take(rows) + today + self.level
        return Prediction(logit, expit(logit))

    def judge(self, rating: Array, is_signal: Array, probability: Array) -> Array:
        """Turn outcomes, predicted with `probability`, into rewards (m,); NaN = not judged.

        In mid-scan the reward of a top share is the probability of being part of it.
        """
        self.limit.observe(rating, probability)
        rule = self.belief.settings.rule
        if rule.expected_share is not None:
            return self.limit.chance(rating)
        return rule.judge(rating, is_signal, self.limit.value())

    def observe(self, rows: Index, rating: Array, rewards: Array) -> None:
        """Learn from accepted rewards (NaN = the evaluation failed), for this scan alone."""
        self.take(rows)
        self.is_reported[rows] = True
        self.rating[rows] = rating
        self.reward[rows] = rewards
        self._step_of[rows] = len(self._expected_left)
        rows = rows[~np.isnan(rewards)]
        if rows.size == 0:
            return
        self._n_rewards += rows.size
        if self.shared.is_due(self._n_rewards):
            # From everything that was reported, judged by the present limit.
            known = np.flatnonzero(~np.isnan(self.reward))
            rule, rating = self.belief.settings.rule, self.rating[known]
            reward = final_rewards(rule, rating, self.reward[known], self.hit_limit)
            self.shared.learn(known, reward)
            if self._hint is not None:
                self._hint.learn(known, rating, reward, self.is_available)
        offset = np.asarray(self.shared.mean[rows] + self.level, np.float64)
        self.pattern.learn(rows, self.reward[rows], offset)

    def record_failed(self, rows: Index) -> None:
        """Record failed evaluations (k,) that may be tried again."""
        self.take(rows)
        self.has_failed[rows] = True

    def explain(self, arm: int, groups: Sequence[str]) -> Explanation:
        """Explain the score of the arm at a position; `groups` names each column's group."""
        return self.explain_all(np.array([arm]), groups)[0]

    def explain_all(self, rows: Index, groups: Sequence[str]) -> list[Explanation]:
        """Explain the scores of several arms (positions `rows`), see `explain`."""
        shared, features = self.shared, self.shared.features(rows)
        weights = shared.posterior.prior_mean, shared.posterior.mean
        prior, learned = (contributions(features, w, shared.expansion, groups) for w in weights)
        stepped = contributions_of_cells(shared.worth, shared.layout, self.context[rows], groups)
        learned = {group: learned[group] + stepped[group] for group in learned}
        prediction = self.predict(rows)
        today = self.pattern.loadings[rows] @ self.pattern.posterior.mean
        constant = prediction.logit - today - sum(learned.values())
        return [
            Explanation(
                probability=float(prediction.probability[i]),
                groups={g: Contribution(float(prior[g][i]), float(learned[g][i])) for g in prior},
                today=float(today[i]),
                constant=float(constant[i]),
            )
            for i in range(len(rows))
        ]

    def group_weights(self, groups: Sequence[str], level: float = 0.9) -> dict[str, GroupWeight]:
        """Weigh the groups of columns over this scan's arms, prior beside learned.

        The first columns, one per seed weight, are the groups' own scores.
        """
        n_seed = len(self.belief.settings.seed_weights)
        probe = np.linspace(0, len(self.arms) - 1, min(len(self.arms), _WEIGHED)).astype(np.intp)
        return group_weights(
            self.shared.features(probe),
            {group: 1 + i for i, group in enumerate(groups[:n_seed])},
            self.shared.posterior,
            self.shared.expansion,
            groups,
            # A generator of its own, so that asking does not change what is chosen next.
            rng=np.random.default_rng(0),
            level=level,
        )

    # -- what is left ------------------------------------------------------------------------

    @property
    def expected_scores(self) -> Array:
        """Expected ranking score of every arm, shape (n,): linear predictor plus offset."""
        return np.asarray(self._aged(self._means()), np.float64)

    def estimate(self, confidence: float = 0.9) -> RecallEstimate:
        """Estimate the hits found and left, see `bandit.belief.recall`.

        Everything is unknown (NaN) where reports came in but none could be judged, for example
        because every evaluation failed.
        """
        if (self.has_failed.any() or self.is_reported.any()) and not self.is_judged:
            unknown = math.nan
            return RecallEstimate(0.0, unknown, unknown, unknown, unknown, confidence)
        return self.belief.recall.estimate(
            n_hits=self.n_hits,
            probability=expit(self._means()[~self.is_reported]),
            confidence=confidence,
        )

    @property
    def is_judged(self) -> bool:
        """Whether any reward is known; it is not where every evaluation failed."""
        return bool(np.isfinite(self.reward).any())

    @property
    def n_hits(self) -> float:
        """Sum of the rewards so far, judged by the present limit."""
        rule = self.belief.settings.rule
        if rule.expected_share is None:
            return float(np.nansum(self.reward))
        return float(np.count_nonzero(self.are_hits(np.flatnonzero(self.is_reported))))

    def are_hits(self, rows: Index) -> NDArray[np.bool_]:
        """Return which of the arms `rows` (m,) are hits, judged by the present limit."""
        rule, rating, reward = self.belief.settings.rule, self.rating[rows], self.reward[rows]
        return np.asarray(final_rewards(rule, rating, reward, self.hit_limit) >= HIT)

    @property
    def hit_limit(self) -> float | None:
        """Rating at which the scan's top share starts, final once everything was scanned.

        None for rules without such a limit, and before any rating.
        """
        share = self.belief.settings.rule.expected_share
        if share is None:
            return None
        limit = final_limit(share, self.rating) if self.is_reported.all() else self.limit.value()
        return limit if np.isfinite(limit) else None

    def closing(self) -> dict[str, object]:
        """Return what the belief learns from the scan as a whole: the header of its close entry."""
        share = self.belief.settings.rule.expected_share
        limit = self.limit.carried
        if share is not None:
            limit = self.limit.carry(share * len(self.arms) - self._expected_unseen())
        return {
            "limit": None if np.isnan(limit) else limit,
            "hit_limit": self.hit_limit,
            "pattern": self.pattern.evidence() if self.is_reported.any() else {},
            "recall": self._recall_evidence(),
            "n_scanned": int(self.is_reported.sum()),
            "is_judged": self.is_judged,
            "n_total": len(self.arms),
            "n_hits": self.n_hits,
        }

    def _note_expected_left(self) -> None:
        # It takes the score of every arm. With thousands of arms every few batches suffice;
        # those in between count with the last one recorded.
        every = 1 + len(self.arms) // _NOTE_ALL_UP_TO
        if (self._n_selects + 1) % every == 0:
            self._expected_left.append(self._expected_unseen())

    def _expected_unseen(self) -> float:
        """Number of hits expected now among the arms that were not reported."""
        logit = self._means()[~self.is_reported].astype(np.float32)
        return float(expit(logit).sum(dtype=float))

    def _recall_evidence(self) -> list[list[float]]:
        """Return (expected, actual) numbers of hits, as `RecallModel.learn` takes them.

        Each pair belongs to a step near the end of the scan: the hits expected then among the arms
        that remained, minus those still expected among the arms that were left out; and the hits
        found after it. A complete scan leaves nothing out and follows the same rule as a stopped
        one.
        """
        if not self.is_judged:
            return []  # nothing was scanned, or every evaluation failed
        reported = np.flatnonzero(self.is_reported)
        hits = reported[self.are_hits(reported)]
        expected, unseen = np.array(self._expected_left), self._expected_unseen()
        # Arms reported after step t was noted are those with a later step number.
        per_step = np.bincount(self._step_of[hits], minlength=expected.size + 1)
        later = hits.size - np.cumsum(per_step)[: expected.size]
        total = hits.size + unseen
        near_end = (expected - unseen > 0.01 * total) & (expected < 0.3 * total)
        return [[float(expected[t] - unseen), float(later[t])] for t in np.flatnonzero(near_end)]

    def _set_level(self) -> None:
        # A top share is known in advance: the probabilities must add up to it.
        share = self.belief.settings.rule.expected_share
        self.level = 0.0
        if share is not None:
            self.level = level_of(self._means(), np.full(len(self.arms), share), precision=0.0)


def _falling(values: Array) -> NDArray[np.float32]:
    """Return scores that order arms by falling values; ties in the given order, NaN last."""
    order = np.argsort(-np.where(np.isnan(values), -np.inf, values), kind="stable")
    scores = np.empty(values.size, np.float32)
    scores[order] = -np.arange(values.size, dtype=np.float32)
    return scores
