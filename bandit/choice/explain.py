"""Why this arm, and what was learned: contributions to a score, and weights of groups of columns.

A linear score is the sum of what its features contribute, so that every pick can say why. A
product of two columns counts for the later one of them (`Expansion.column_of`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandit.belief.expansion import Expansion
from bandit.belief.weights import WeightPosterior
from bandit.errors import InvalidInputError

Array = NDArray[np.float64]

# Draws behind a credible interval: its ends are known to about a tenth of its width.
_DRAWS = 400


@dataclass(frozen=True, slots=True)
class Contribution:
    """What a group of columns adds to an arm's logit: by the prior, and by what was learned."""

    prior: float
    learned: float


@dataclass(frozen=True, slots=True)
class GroupWeight:
    """Weight of a group of columns, as a share of all groups.

    Parameters
    ----------
    prior, learned : float
        Shares, adding up to 1 over the groups.
    low, high : float
        Credible interval of the learned share.
    """

    prior: float
    learned: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an arm stands where it does now.

    Parameters
    ----------
    probability : float
        Expected reward.
    groups : mapping of group to Contribution
        In logits.
    today : float
        What today's pattern adds, in logits.
    constant : float
        What is the same for all arms of the scan, in logits: with what the groups learned and
        `today` it adds up to the log odds of `probability`.
    """

    probability: float
    groups: Mapping[str, Contribution]
    today: float
    constant: float

    def __repr__(self) -> str:
        parts = {name: part.learned for name, part in self.groups.items()} | {"today": self.today}
        strongest = sorted(parts.items(), key=lambda item: -abs(item[1]))
        reasons = [f"{name} {x:+.2f}" for name, x in strongest if abs(x) >= 0.005]
        odds = ", ".join(reasons) or "as any other symbol's"
        # True of a symbol that waits, and of one that was scanned and is known to be a hit.
        return f"of symbols like this one, {self.probability:.0%} are high-value; log odds: {odds}"


def contributions(
    features: NDArray[np.floating],
    weights: Array,
    expansion: Expansion,
    groups: Sequence[str],
) -> dict[str, Array]:
    """Sum each group's part of the linear predictor.

    Parameters
    ----------
    features : array, shape (n, d)
    weights : array, shape (d,)
    groups : sequence of str
        Group of each context column.

    Returns
    -------
    mapping of group to array of shape (n,)
        The constant belongs to none.
    """
    names = _groups_of_features(expansion, groups)
    return {
        group: np.asarray(features[:, names == group] @ weights[names == group], np.float64)
        for group in dict.fromkeys(groups)
    }


def group_weights(
    features: NDArray[np.floating],
    seeds: Mapping[str, int],
    posterior: WeightPosterior,
    expansion: Expansion,
    groups: Sequence[str],
    *,
    rng: np.random.Generator,
    level: float = 0.9,
) -> dict[str, GroupWeight]:
    """Weigh groups of columns by how far they move scores apart, per unit of their seed column.

    Parameters
    ----------
    features : array, shape (n, d)
        Arms of one universe.
    seeds : mapping of group to feature number
        The group's own score, on which the prior puts its weight.
    posterior : WeightPosterior
        What was learned, and its prior.
    level : float
        Of the credible interval.

    Notes
    -----
    A group's weight is the standard deviation over arms of its contribution, divided by that of
    its own score, so that with the prior alone the weights are the seed weights. A group whose
    score is the same for all arms moves nothing and has weight 0.

    The spread of a drawn contribution is larger than that of the mean one, so where little is
    known draws pull all shares together, away from the weight of the mean. The interval is that of
    the draws, moved so that their median stands at the weight: it shows how uncertain the weight
    is, and always holds it.
    """
    names = _groups_of_features(expansion, groups)
    size = np.array([float(np.std(features[:, at])) for at in seeds.values()])
    # The variance over arms of X w is w' C w: one small matrix instead of a pass over all arms for
    # each draw, 2 ms instead of 96 for 1,000 arms.
    columns = {group: np.flatnonzero(names == group) for group in seeds}
    covariances = {
        group: np.atleast_2d(np.cov(features[:, at], rowvar=False, bias=True))
        for group, at in columns.items()
    }

    def shares(weights: Array) -> Array:  # (m, d) -> (m, n_groups)
        variance = np.stack(
            [
                ((weights[:, at] @ covariances[group]) * weights[:, at]).sum(axis=1)
                for group, at in columns.items()
            ],
            axis=1,
        )
        moved = np.sqrt(np.maximum(variance, 0.0))
        moved = np.divide(moved, size, out=np.zeros_like(moved), where=size > 0)
        total = moved.sum(axis=1, keepdims=True)
        unknown = np.full_like(moved, np.nan)
        return np.asarray(np.divide(moved, total, out=unknown, where=total > 0))

    draws = shares(posterior.draw(rng, _DRAWS))
    prior, learned = shares(np.stack([posterior.prior_mean, posterior.mean]))
    tails = [(1.0 - level) / 2.0, (1.0 + level) / 2.0]
    low, high = np.clip(
        learned + np.quantile(draws, tails, axis=0) - np.median(draws, axis=0), 0.0, 1.0
    )
    return {
        group: GroupWeight(float(prior[i]), float(learned[i]), float(low[i]), float(high[i]))
        for i, group in enumerate(seeds)
    }


def _groups_of_features(expansion: Expansion, groups: Sequence[str]) -> NDArray[np.str_]:
    """Return the group of each feature, shape (d,); the constant has the empty one."""
    if len(groups) != expansion.n_columns:
        raise InvalidInputError(
            f"{len(groups)} group names for {expansion.n_columns} columns; expected one per column"
        )
    return np.array([*groups, ""])[expansion.column_of]  # the constant's column is -1
