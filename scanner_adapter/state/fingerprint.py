"""The settings that a belief was folded with, as a note beside it in the snapshot.

Whoever checks a store must fold the journal as its scanners did, and knows the address only.
Exploration and the random share are left out: they change what is chosen, not what is learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bandit.belief.belief import LEARNING_VERSION, BeliefSettings
from bandit.errors import InvalidInputError
from bandit.rewards import RewardRule, Signal, TopShare, rule_from_text, rule_text


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
    try:
        rule = rule_from_fingerprint(note)
    except InvalidInputError:  # a rule of the user's own: a fold needs its expected share only
        rule = Signal() if share is None else TopShare(float(share))
    return BeliefSettings(
        seed_weights={str(name): float(weight) for name, weight in note["seed_weights"].items()},
        rule=rule,
        crossed=tuple(note["crossed"]),
        half_life_days=float(note["half_life_days"]),
        fast_days=float(note["fast_days"]),
        slow_days=float(note["slow_days"]),
    )


def rule_from_fingerprint(note: Mapping[str, Any]) -> RewardRule:
    """Return the reward rule that a settings note names.

    Raises
    ------
    InvalidInputError
        For a rule of the user's own, which cannot be made from its name.

    Examples
    --------
    >>> rule_from_fingerprint({"rule": "rating:70"})
    Threshold(minimum=70.0)
    """
    text = str(note["rule"])
    try:
        return rule_from_text(text)
    except InvalidInputError as err:
        raise InvalidInputError(
            f"the journal was judged by {text}, a rule of your own; pass it as rule=, or say what "
            "a hit is (--hit or --top)"
        ) from err
