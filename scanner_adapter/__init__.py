"""Connects a scanner to the learner: open a `SymbolRanker`, start scans, report outcomes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from scanner_adapter._import_check import check_bandit_is_ours

if TYPE_CHECKING:
    from bandit.rewards import HitIf as HitIf
    from bandit.rewards import RewardRule as RewardRule
    from bandit.rewards import Signal as Signal
    from bandit.rewards import Threshold as Threshold
    from bandit.rewards import TopShare as TopShare
    from scanner_adapter.errors import AdapterError as AdapterError
    from scanner_adapter.errors import InvalidContextError as InvalidContextError
    from scanner_adapter.errors import InvalidOutcomeError as InvalidOutcomeError
    from scanner_adapter.errors import ScanStateError as ScanStateError
    from scanner_adapter.feed import ResultFeed as ResultFeed
    from scanner_adapter.group import GroupScan as GroupScan
    from scanner_adapter.group import RankerGroup as RankerGroup
    from scanner_adapter.inputs.outcomes import TECHNIC_ROWS as TECHNIC_ROWS
    from scanner_adapter.inputs.outcomes import Outcome as Outcome
    from scanner_adapter.inputs.outcomes import RowMap as RowMap
    from scanner_adapter.run.progress import Progress as Progress
    from scanner_adapter.run.progress import five_arguments as five_arguments
    from scanner_adapter.run.progress import log_progress as log_progress
    from scanner_adapter.run.progress import rich_progress as rich_progress
    from scanner_adapter.run.stop_rules import AllOf as AllOf
    from scanner_adapter.run.stop_rules import AnyOf as AnyOf
    from scanner_adapter.run.stop_rules import DiminishingReturns as DiminishingReturns
    from scanner_adapter.run.stop_rules import HitsFound as HitsFound
    from scanner_adapter.run.stop_rules import RecallReached as RecallReached
    from scanner_adapter.run.stop_rules import StopRule as StopRule
    from scanner_adapter.run.stop_rules import SymbolBudget as SymbolBudget
    from scanner_adapter.run.stop_rules import TimeBudget as TimeBudget
    from scanner_adapter.run.stop_rules import TooManyErrors as TooManyErrors
    from scanner_adapter.scan.scan import Batch as Batch
    from scanner_adapter.scan.scan import Scan as Scan
    from scanner_adapter.scan.scan import ScanSummary as ScanSummary
    from scanner_adapter.state.comparison import Comparison as Comparison
    from scanner_adapter.state.comparison import compare as compare
    from scanner_adapter.symbol_ranker import SymbolRanker as SymbolRanker

check_bandit_is_ours()

# Module of each public name. Names are imported on first access, so that the command line and
# programs that need one part of the package do not wait for all of it.
_NAMES = {
    "bandit.rewards": ("HitIf", "RewardRule", "Signal", "Threshold", "TopShare"),
    "scanner_adapter.errors": (
        "AdapterError",
        "InvalidContextError",
        "InvalidOutcomeError",
        "ScanStateError",
    ),
    "scanner_adapter.feed": ("ResultFeed",),
    "scanner_adapter.group": ("GroupScan", "RankerGroup"),
    "scanner_adapter.inputs.outcomes": ("Outcome", "RowMap", "TECHNIC_ROWS"),
    "scanner_adapter.run.progress": ("Progress", "five_arguments", "log_progress", "rich_progress"),
    "scanner_adapter.run.stop_rules": (
        "AllOf",
        "AnyOf",
        "DiminishingReturns",
        "HitsFound",
        "RecallReached",
        "StopRule",
        "SymbolBudget",
        "TimeBudget",
        "TooManyErrors",
    ),
    "scanner_adapter.scan.scan": ("Batch", "Scan", "ScanSummary"),
    "scanner_adapter.state.comparison": ("Comparison", "compare"),
    "scanner_adapter.symbol_ranker": ("SymbolRanker",),
}
_MODULE = {name: module for module, names in _NAMES.items() for name in names}

if not TYPE_CHECKING:  # type checkers read the imports above, not a computed list
    __all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULE[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(_MODULE)
