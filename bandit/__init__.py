"""What do we believe about each arm, and which do we choose next?

`Belief` holds the belief and folds the journal into it; `OpenScan` is one scan in progress.
Arms are opaque strings, contexts plain arrays; what they mean is not known here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bandit.belief.belief import Belief as Belief
    from bandit.belief.belief import BeliefSettings as BeliefSettings
    from bandit.belief.recall import RecallEstimate as RecallEstimate
    from bandit.choice.open_scan import OpenScan as OpenScan
    from bandit.errors import BanditError as BanditError
    from bandit.errors import CorruptStateError as CorruptStateError
    from bandit.errors import IncompatibleStateError as IncompatibleStateError
    from bandit.errors import InvalidInputError as InvalidInputError
    from bandit.errors import StoreError as StoreError
    from bandit.errors import StoreRefusedError as StoreRefusedError
    from bandit.errors import StoreUnavailableError as StoreUnavailableError
    from bandit.rewards import HitIf as HitIf
    from bandit.rewards import RewardRule as RewardRule
    from bandit.rewards import Signal as Signal
    from bandit.rewards import Threshold as Threshold
    from bandit.rewards import TopShare as TopShare
    from bandit.stores import Store as Store
    from bandit.stores import store_from_url as store_from_url

# Where each public name lives. It is imported when it is first asked for, so that the command line
# and a program that needs one part of the package do not wait for all of it.
_WHERE = {
    "BanditError": "bandit.errors",
    "Belief": "bandit.belief.belief",
    "BeliefSettings": "bandit.belief.belief",
    "CorruptStateError": "bandit.errors",
    "HitIf": "bandit.rewards",
    "IncompatibleStateError": "bandit.errors",
    "InvalidInputError": "bandit.errors",
    "OpenScan": "bandit.choice.open_scan",
    "RecallEstimate": "bandit.belief.recall",
    "RewardRule": "bandit.rewards",
    "Signal": "bandit.rewards",
    "Store": "bandit.stores",
    "StoreError": "bandit.errors",
    "StoreRefusedError": "bandit.errors",
    "StoreUnavailableError": "bandit.errors",
    "Threshold": "bandit.rewards",
    "TopShare": "bandit.rewards",
    "store_from_url": "bandit.stores",
}

__all__ = [
    "BanditError",
    "Belief",
    "BeliefSettings",
    "CorruptStateError",
    "HitIf",
    "IncompatibleStateError",
    "InvalidInputError",
    "OpenScan",
    "RecallEstimate",
    "RewardRule",
    "Signal",
    "Store",
    "StoreError",
    "StoreRefusedError",
    "StoreUnavailableError",
    "Threshold",
    "TopShare",
    "store_from_url",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_WHERE[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
