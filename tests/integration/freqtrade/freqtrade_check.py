"""Run inside an environment with freqtrade: its own classes read what we write, and load us.

    python freqtrade_check.py FOLDER

Prints one line per check and ends with "all passed"; see `test_adapter_freqtrade`.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import freqtrade
from freqtrade.persistence import Trade
from freqtrade.plugins import pairlist as pairlist_package
from freqtrade.plugins.pairlist.RemotePairList import RemotePairList
from freqtrade.resolvers import PairListResolver

from bandit.rewards import Threshold
from scanner_adapter import SymbolRanker
from scanner_adapter.integrations.freqtrade import PairOrder

TOKEN = "any"  # noqa: S105
PAIRS = [f"C{i}/USDT" for i in range(60)]


class Exchange:
    """As much of an exchange as pair list handlers ask for."""

    name = "Test"
    markets = {pair: {"active": True, "quote": "USDT"} for pair in PAIRS}  # noqa: RUF012

    def get_markets(self, *_: object, **__: object) -> dict[str, object]:
        return dict(self.markets)

    def market_is_tradable(self, _: object) -> bool:
        return True

    def get_pair_quote_currency(self, pair: str) -> str:
        return pair.split("/")[1]


def handler(name: str, settings: dict[str, object]):  # type: ignore[no-untyped-def]
    config = {"stake_currency": "USDT", "user_data_dir": Path.cwd()}
    manager = SimpleNamespace(verify_blacklist=lambda pairs, _: pairs)
    return PairListResolver.load_pairlist(name, Exchange(), manager, config, settings, 0)


def trade(number: int, pair: str, profit: float) -> Trade:
    """Return a closed trade of freqtrade's own class."""
    return Trade(
        id=number, pair=pair, is_open=False, close_profit=profit, stake_amount=10.0, amount=1.0,
        open_rate=10.0, close_rate=10.0 * (1.0 + profit), fee_open=0.0, fee_close=0.0,
        exchange="test", open_date=datetime.now(UTC),
    )  # fmt: skip


def main(folder: Path) -> None:
    ranker = SymbolRanker.open(
        "memory://", ruleset="t", rewards=Threshold(0.0), seed=1, exploration=0.0, random_share=0.0
    )
    order = PairOrder(ranker)
    winners = PAIRS[40:45]
    for day in range(3):
        order.refresh(PAIRS)
        closed = [
            trade(100 * day + i, pair, 0.05 * (pair in winners) - 0.01)
            for i, pair in enumerate(PAIRS)
        ]
        assert order.closed(closed) == len(PAIRS)
        assert order.closed(closed) == 0
    order.refresh(PAIRS)
    assert set(order.pairs[:5]) == set(winners), order.pairs[:8]
    print("learned from Trade objects: winners first")

    target = folder / "pairs.json"
    order.write(target)
    settings: dict[str, object] = {"number_assets": 30, "pairlist_url": f"file:///{target}"}
    remote = handler("RemotePairList", settings)
    assert isinstance(remote, RemotePairList) or type(remote).__name__ == "RemotePairList"
    assert remote.gen_pairlist({}) == list(order.pairs[:30])
    print("RemotePairList reads the file")
    with order.served(bearer_token=TOKEN) as url:
        remote = handler(
            "RemotePairList", {"number_assets": 30, "pairlist_url": url, "bearer_token": TOKEN}
        )
        assert remote.gen_pairlist({}) == list(order.pairs[:30])
    print("RemotePairList reads over HTTP")

    stub = Path(pairlist_package.__file__).with_name("ScanrankPairList.py")
    stub.write_text(
        "from scanner_adapter.integrations import freqtrade_pairlist\n\n\n"
        "class ScanrankPairList(freqtrade_pairlist.ScanrankPairList):\n    pass\n"
    )
    try:
        Trade.use_db = False  # as in backtesting: trades are kept in memory
        ours = handler("ScanrankPairList", {"store": "memory://", "refresh_period": 1})
        assert sorted(ours.filter_pairlist(list(PAIRS), {})) == sorted(PAIRS)
        assert sorted(ours.filter_pairlist(PAIRS[:10], {})) == sorted(PAIRS[:10])
        assert ours.short_desc()
        assert "store" in ours.available_parameters()
    finally:
        stub.unlink()
    print("freqtrade loads the handler, and it drops nothing")
    print(f"freqtrade {freqtrade.__version__}: all passed")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
