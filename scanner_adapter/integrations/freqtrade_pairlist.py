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

import logging
import time
from datetime import UTC
from typing import Any

from freqtrade.persistence import Trade
from freqtrade.plugins.pairlist.IPairList import IPairList, SupportsBacktesting

from bandit.rewards import Threshold
from features.errors import FeatureError
from features.inputs.bars import Bars
from scanner_adapter.integrations.freqtrade import PairOrder
from scanner_adapter.symbol_ranker import SymbolRanker

log = logging.getLogger("scanrank")


class ScanrankPairList(IPairList):  # type: ignore[misc] # freqtrade may be absent when this is checked
    """Orders pairs by what their trades have brought, and by the market where it is given candles.

    Settings: `store`, `ruleset`, `mode`, `pin_open_trades`, `candles`, `max_age_days`.
    """

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
        self._order = PairOrder(
            self._ranker,
            refresh_period_s=int(self.refresh_period),
            max_age_days=settings.get("max_age_days") or None,
        )
        self._pins = bool(settings.get("pin_open_trades", False))
        self._candles = str(settings.get("candles", ""))
        self._refreshed = float("-inf")
        self._seen: frozenset[str] = frozenset()

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
        return "Orders pairs by the profits of their past trades."

    @staticmethod
    def available_parameters() -> dict[str, Any]:
        """Return the settings for the bot's interface."""
        rows = (
            ("store", "string", "embedded://", "Store",
             "Store URL (where learned state is kept)."),
            ("ruleset", "string", "freqtrade", "Ruleset",
             "Name of the learned state, one per strategy."),
            ("mode", "option", "on", "Mode", "shadow learns, but keeps the order."),
            ("pin_open_trades", "boolean", False, "Pin open trades",
             "Keep pairs with open trades at the front."),
            ("candles", "string", "", "Candles",
             "Timeframe of daily candles, such as 1d; empty = none."),
            ("max_age_days", "number", 0, "Maximum age",
             "Days after which a trade no longer counts; 0 = trades always count."),
        )  # fmt: skip
        keys = ("type", "default", "description", "help")
        found = {name: dict(zip(keys, row, strict=True)) for name, *row in rows}
        found["mode"]["options"] = ["on", "shadow", "off"]
        return {**found, **IPairList.refresh_period_parameter()}

    def filter_pairlist(self, pairlist: list[str], tickers: Any) -> list[str]:  # noqa: ARG002
        """Return the same pairs, the most promising first; called in every round of the bot."""
        since = self._order.taken_until
        if since is not None:  # the database gives dates in UTC, without a timezone
            since = since.astimezone(UTC).replace(tzinfo=None)
        self._order.closed(Trade.get_trades_proxy(is_open=False, close_date=since))
        pinned = self._open_pairs() if self._pins else ()
        is_due = time.monotonic() - self._refreshed >= self.refresh_period
        if pairlist and (is_due or frozenset(pairlist) != self._seen):
            self._order.refresh(pairlist, pinned=pinned, bars=self._bars(pairlist))
            self._refreshed, self._seen = time.monotonic(), frozenset(pairlist)
        return list(self._order.reordered(pairlist, pinned=pinned))

    def _open_pairs(self) -> tuple[str, ...]:
        return tuple(trade.pair for trade in Trade.get_trades_proxy(is_open=True))

    def _bars(self, pairlist: list[str]) -> Bars | None:
        """Return candles that the bot's data provider holds, as bars."""
        provider = getattr(self._pairlistmanager, "_dataprovider", None)
        if not self._candles or provider is None:
            return None
        frames = {}
        for pair in pairlist:
            frame = provider.get_pair_dataframe(pair, self._candles)
            if frame is not None and not frame.empty:
                frames[pair] = frame[["date", "open", "high", "low", "close", "volume"]]
        if not frames:
            return None
        try:
            return Bars.from_frame(frames, on_bad="skip")
        except FeatureError as error:
            log.warning("candles cannot be used; pairs are ordered without them: %s", error)
            return None
