"""The settings that a belief was folded with, as a note beside it in the snapshot.

Whoever checks a store must fold the journal as its scanners did, and knows the address only.
Exploration and the random share are left out: they change what is chosen, not what is learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bandit.belief.belief import LEARNING_VERSION, BeliefSettings
from bandit.rewards import RewardRule, Signal, TopShare, rule_text


def fingerprint(settings: BeliefSettings) -> dict[str, Any]:
    """Return what the fold depends on, as JSON takes it.

    Of the reward rule that is its expected share: rewards themselves stand in the journal. Its
    name goes along for people.
    """
    return {
        "learning_version": LEARNING_VERSION,
        "seed_weights": dict(settings.seed_weights),
        "crossed": list(settings.crossed),
        "half_life_days": settings.half_life_days,
        "fast_days": settings.fast_days,
        "slow_days": settings.slow_days,
        "expected_share": settings.rule.expected_share,
        "rule": rule_text(settings.rule),
    }


def settings_from_fingerprint(note: Mapping[str, Any]) -> BeliefSettings:
    """Return settings that fold a journal as the noted ones do.

    Examples
    --------
    >>> noted = fingerprint(BeliefSettings(half_life_days=30.0))
    >>> fingerprint(settings_from_fingerprint(noted)) == noted
    True
    """
    share = note["expected_share"]
    rule: RewardRule = Signal() if share is None else TopShare(float(share))
    return BeliefSettings(
        seed_weights={str(name): float(weight) for name, weight in note["seed_weights"].items()},
        rule=rule,
        crossed=tuple(note["crossed"]),
        half_life_days=float(note["half_life_days"]),
        fast_days=float(note["fast_days"]),
        slow_days=float(note["slow_days"]),
    )
