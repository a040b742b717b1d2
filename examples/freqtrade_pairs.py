"""freqtrade: a pair list as a file for RemotePairList, ordered by the profits of past trades."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from made_market import HIT, LAST, SYMBOLS, rate, show

from scanner_adapter.integrations.freqtrade import PairOrder
from scanrank import SymbolRanker, Threshold


def trades_of(day: int) -> list[dict[str, object]]:
    """Return closed trades as freqtrade's REST client does: client.trades()["trades"]."""
    now = 1000.0 * datetime.now(UTC).timestamp() + 1.0
    return [
        {
            "trade_id": 1000 * day + i,
            "pair": f"{symbol}/USDT",
            "is_open": False,
            "close_profit": 0.01 if rate(symbol, day, 0.0) >= HIT else -0.01,
            "close_timestamp": now,
        }
        for i, symbol in enumerate(SYMBOLS)
    ]


ranker = SymbolRanker.open("memory://", ruleset="bot", rewards=Threshold(0.0), seed=1)
order = PairOrder(ranker, refresh_period_s=1800)
pairs = [f"{symbol}/USDT" for symbol in SYMBOLS]
with tempfile.TemporaryDirectory() as folder:
    for day in range(LAST + 1):
        order.refresh(pairs)
        order.write(Path(folder) / "pairs.json")  # "pairlist_url": "file:////.../pairs.json"
        found = order.pairs
        order.closed(trades_of(day))
show(pair.removesuffix("/USDT") for pair in found)
