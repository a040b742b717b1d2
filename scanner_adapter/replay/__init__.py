"""See the gain before switching it on: replays of logged scans through the code that runs live."""

from bandit.rewards import Signal, Threshold, TopShare
from scanner_adapter.replay.logs.bundled import bundled_log
from scanner_adapter.replay.logs.recorded import RecordedLog, RecordedScan
from scanner_adapter.replay.logs.regimes import Regime
from scanner_adapter.replay.logs.scans import Log, ReplayLog, ReplayScan
from scanner_adapter.replay.orders import Order
from scanner_adapter.replay.ranked import Configuration, Ranked
from scanner_adapter.replay.report import OrderResult, ReplayReport
from scanner_adapter.replay.run import BASELINES, ORDERS, replay

__all__ = [
    "BASELINES",
    "ORDERS",
    "Configuration",
    "Log",
    "Order",
    "OrderResult",
    "Ranked",
    "RecordedLog",
    "RecordedScan",
    "Regime",
    "ReplayLog",
    "ReplayReport",
    "ReplayScan",
    "Signal",
    "Threshold",
    "TopShare",
    "bundled_log",
    "replay",
]
