"""Where a real scanner meets the learner: open a `SymbolRanker`, start scans, report outcomes."""

from scanner_adapter._import_check import check_bandit_is_ours

check_bandit_is_ours()

from bandit.rewards import RewardRule, Signal, Threshold, TopShare  # noqa: E402
from scanner_adapter.errors import (  # noqa: E402
    AdapterError,
    InvalidContextError,
    InvalidOutcomeError,
    ScanStateError,
)
from scanner_adapter.outcomes import Outcome  # noqa: E402
from scanner_adapter.ranker import SymbolRanker  # noqa: E402
from scanner_adapter.scan import Batch, Scan, ScanSummary  # noqa: E402
from scanner_adapter.stop_rules import (  # noqa: E402
    HitsFound,
    RecallReached,
    StopRule,
    SymbolBudget,
    TimeBudget,
)

__all__ = [
    "AdapterError",
    "Batch",
    "HitsFound",
    "InvalidContextError",
    "InvalidOutcomeError",
    "Outcome",
    "RecallReached",
    "RewardRule",
    "Scan",
    "ScanStateError",
    "ScanSummary",
    "Signal",
    "StopRule",
    "SymbolBudget",
    "SymbolRanker",
    "Threshold",
    "TimeBudget",
    "TopShare",
]
