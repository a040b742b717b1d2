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
_NAMES = {
    "bandit.belief.belief": ("Belief", "BeliefSettings"),
    "bandit.belief.recall": ("RecallEstimate",),
    "bandit.choice.open_scan": ("OpenScan",),
    "bandit.errors": (
        "BanditError",
        "CorruptStateError",
        "IncompatibleStateError",
        "InvalidInputError",
        "StoreError",
        "StoreRefusedError",
        "StoreUnavailableError",
    ),
    "bandit.rewards": ("HitIf", "RewardRule", "Signal", "Threshold", "TopShare"),
    "bandit.stores": ("Store", "store_from_url"),
}
_MODULE = {name: module for module, names in _NAMES.items() for name in names}

if not TYPE_CHECKING:  # a checker reads the imports above, and no list that is computed
    __all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULE[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(_MODULE)
