"""See the gain before switching it on: replays of logged scans through the code that runs live."""

from bandit.rewards import Signal, Threshold, TopShare
from scanner_adapter.replay.orders import Order
from scanner_adapter.replay.ranked import Configuration, Ranked
from scanner_adapter.replay.report import OrderResult, ReplayReport
from scanner_adapter.replay.run import BASELINES, ORDERS, replay
from scanner_adapter.replay.scans import ReplayLog, ReplayScan

__all__ = [
    "BASELINES",
    "ORDERS",
    "Configuration",
    "Order",
    "OrderResult",
    "Ranked",
    "ReplayLog",
    "ReplayReport",
    "ReplayScan",
    "Signal",
    "Threshold",
    "TopShare",
    "replay",
]
