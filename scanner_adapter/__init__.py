"""Where a real scanner meets the learner: open a `SymbolRanker`, start scans, report outcomes."""

from scanner_adapter._import_check import check_bandit_is_ours

check_bandit_is_ours()

from bandit.rewards import HitIf, RewardRule, Signal, Threshold, TopShare  # noqa: E402
from scanner_adapter.errors import (  # noqa: E402
    AdapterError,
    InvalidContextError,
    InvalidOutcomeError,
    ScanStateError,
)
from scanner_adapter.feed import ResultFeed  # noqa: E402
from scanner_adapter.inputs.outcomes import TECHNIC_ROWS, Outcome, RowMap  # noqa: E402
from scanner_adapter.run.progress import (  # noqa: E402
    Progress,
    five_arguments,
    log_progress,
    rich_progress,
)
from scanner_adapter.run.stop_rules import (  # noqa: E402
    AllOf,
    AnyOf,
    DiminishingReturns,
    HitsFound,
    RecallReached,
    StopRule,
    SymbolBudget,
    TimeBudget,
)
from scanner_adapter.scan.scan import Batch, Scan, ScanSummary  # noqa: E402
from scanner_adapter.state.comparison import Comparison, compare  # noqa: E402
from scanner_adapter.symbol_ranker import SymbolRanker  # noqa: E402

__all__ = [
    "TECHNIC_ROWS",
    "AdapterError",
    "AllOf",
    "AnyOf",
    "Batch",
    "Comparison",
    "DiminishingReturns",
    "HitIf",
    "HitsFound",
    "InvalidContextError",
    "InvalidOutcomeError",
    "Outcome",
    "Progress",
    "RecallReached",
    "ResultFeed",
    "RewardRule",
    "RowMap",
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
    "compare",
    "five_arguments",
    "log_progress",
    "rich_progress",
]
