"""What do we believe about each arm, and which do we choose next?

`Belief` holds the belief and folds the journal into it; `OpenScan` is one scan in progress.
Arms are opaque strings, contexts plain arrays; what they mean is not known here.
"""

from bandit.belief.belief import Belief, BeliefSettings
from bandit.belief.recall import RecallEstimate
from bandit.choice.open_scan import OpenScan
from bandit.errors import (
    BanditError,
    CorruptStateError,
    IncompatibleStateError,
    InvalidInputError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
)
from bandit.estimator import FractionalLogistic
from bandit.rewards import HitIf, RewardRule, Signal, Threshold, TopShare
from bandit.stores import Store, store_from_url

__all__ = [
    "BanditError",
    "Belief",
    "BeliefSettings",
    "CorruptStateError",
    "FractionalLogistic",
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
