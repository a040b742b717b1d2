"""A pair list handler inside freqtrade: orders what the handlers before it let through.

freqtrade finds handlers by name among the files of its own folder ``plugins/pairlist``, and takes
only classes that are defined there. Put a file ``ScanrankPairList.py`` into it::

    from scanner_adapter.integrations import freqtrade_pairlist

    class ScanrankPairList(freqtrade_pairlist.ScanrankPairList):
        pass

and configure::

    "pairlists": [
        {"method": "VolumePairList", "number_assets": 200},
        {"method": "ScanrankPairList", "store": "embedded://", "ruleset": "my-strategy"}
    ]
"""

from __future__ import annotations

import time
from typing import Any

from freqtrade.persistence import Trade
from freqtrade.plugins.pairlist.IPairList import IPairList, SupportsBacktesting

from bandit.rewards import Threshold
from scanner_adapter.integrations.freqtrade import PairOrder
from scanner_adapter.symbol_ranker import SymbolRanker


class ScanrankPairList(IPairList):  # type: ignore[misc] # freqtrade may be absent when this is checked
    """Orders pairs by what their trades have brought; settings `store`, `ruleset`, `mode`."""

    is_pairlist_generator = False
    supports_backtesting = SupportsBacktesting.NO

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        settings = self._pairlistconfig
        self._ranker = SymbolRanker.open(
            settings.get("store", "embedded://"),
            ruleset=settings.get("ruleset", "freqtrade"),
            rewards=Threshold(0.0),
            mode=settings.get("mode", "on"),
        )
        self._order = PairOrder(self._ranker, refresh_period_s=int(self.refresh_period))
        self._refreshed = float("-inf")

    @property
    def needstickers(self) -> bool:
        """Tickers are not looked at."""
        return False

    def short_desc(self) -> str:
        """Return one line for the bot's start."""
        return f"{self.name} - pairs in the order learned from {self._ranker.n_scans} refreshes."

    @staticmethod
    def description() -> str:
        """Return one line for the bot's interface."""
        return "Orders pairs by what their trades have brought."

    @staticmethod
    def available_parameters() -> dict[str, Any]:
        """Return the settings for the bot's interface."""
        return {
            "store": {
                "type": "string", "default": "embedded://", "description": "Store",
                "help": "Where what is learned is kept.",
            },
            "ruleset": {
                "type": "string", "default": "freqtrade", "description": "Ruleset",
                "help": "Name of what is learned, one per strategy.",
            },
            "mode": {
                "type": "option", "default": "on", "options": ["on", "shadow", "off"],
                "description": "Mode", "help": "shadow learns, but keeps the order.",
            },
            **IPairList.refresh_period_parameter(),
        }  # fmt: skip

    def filter_pairlist(self, pairlist: list[str], tickers: Any) -> list[str]:  # noqa: ARG002
        """Return the same pairs, the most promising first; called in every round of the bot."""
        self._order.closed(Trade.get_trades_proxy(is_open=False))
        is_due = time.monotonic() - self._refreshed >= self.refresh_period
        if pairlist and (is_due or set(pairlist) != set(self._order.pairs)):
            self._order.refresh(pairlist)
            self._refreshed = time.monotonic()
        return [pair for pair in self._order.pairs if pair in set(pairlist)]
