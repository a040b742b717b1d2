"""See the gain before switching it on: replays of logged scans through the code that runs live."""

from bandit.rewards import Signal, Threshold, TopShare
from scanner_adapter.replay.bundled import bundled_log
from scanner_adapter.replay.orders import Order
from scanner_adapter.replay.ranked import Configuration, Ranked
from scanner_adapter.replay.recorded import RecordedLog, RecordedScan
from scanner_adapter.replay.regimes import Regime
from scanner_adapter.replay.report import OrderResult, ReplayReport
from scanner_adapter.replay.run import BASELINES, ORDERS, replay
from scanner_adapter.replay.scans import Log, ReplayLog, ReplayScan

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
