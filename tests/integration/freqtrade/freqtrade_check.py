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
import numpy as np
import pandas as pd
from freqtrade.persistence import Trade, init_db
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
    manager = SimpleNamespace(
        verify_blacklist=lambda pairs, _: pairs,
        _dataprovider=SimpleNamespace(get_pair_dataframe=candles),
    )
    return PairListResolver.load_pairlist(name, Exchange(), manager, config, settings, 0)


def trade(number: int, pair: str, profit: float) -> Trade:
    """Return a closed trade of freqtrade's own class."""
    return Trade(
        id=number, pair=pair, is_open=False, close_profit=profit, stake_amount=10.0, amount=1.0,
        open_rate=10.0, close_rate=10.0 * (1.0 + profit), fee_open=0.0, fee_close=0.0,
        exchange="test", open_date=datetime.now(UTC), close_date=datetime.now(UTC),
    )  # fmt: skip


def candles(pair: str, timeframe: str) -> pd.DataFrame:
    """What `dp.get_pair_dataframe` gives; pairs differ in their trend."""
    assert timeframe == "1d"
    trend = 1.0 + 0.0005 * PAIRS.index(pair)
    close = 10.0 * trend ** np.arange(300)
    return pd.DataFrame({
        "date": pd.date_range("2024-01-01", periods=300, tz="UTC"), "open": close,
        "high": 1.01 * close, "low": 0.99 * close, "close": close, "volume": 1000.0,
    })  # fmt: skip


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
        init_db("sqlite://")
        store = f"sqlite://{folder / 'bot.db'}"
        settings = {"store": store, "refresh_period": 1, "pin_open_trades": True, "candles": "1d"}
        ours = handler("ScanrankPairList", settings)
        assert ours.filter_pairlist(list(PAIRS), {}) == PAIRS, "a new bot keeps the given order"
        print("freqtrade loads the handler, and a new bot keeps the given order")
        for i, pair in enumerate(PAIRS):
            Trade.session.add(trade(i + 1, pair, 0.05 * (pair in winners) - 0.01))
        Trade.commit()
        ours._refreshed = float("-inf")
        found = ours.filter_pairlist(list(PAIRS), {})
        assert sorted(found) == sorted(PAIRS)
        assert found != PAIRS
        assert len(set(found[:8]) & set(winners)) >= 4, found[:8]
        assert sorted(ours.filter_pairlist(PAIRS[:10], {})) == sorted(PAIRS[:10])
        assert any("market." in name for name in ours._ranker.learned.belief.columns), "candles"
        print("the handler learns from the bot's database and ranks by candles")
        Trade.session.add(Trade(
            id=1000, pair=PAIRS[7], is_open=True, stake_amount=10.0, amount=1.0, open_rate=10.0,
            fee_open=0.0, fee_close=0.0, exchange="test", open_date=datetime.now(UTC),
        ))  # fmt: skip
        Trade.commit()
        assert ours.filter_pairlist(list(PAIRS), {})[0] == PAIRS[7]
        print("the pair of an open trade is pinned")
        ours._order.close()
        ours._ranker.close()
        again = handler("ScanrankPairList", {**settings, "mode": "shadow"})
        n_before = again._ranker.n_scans
        turned = PAIRS[::-1]
        assert again.filter_pairlist(turned, {})[1:] == [p for p in turned if p != PAIRS[7]]
        again._order.close()
        assert again._ranker.n_scans == n_before, "trades are taken once, over a restart"
        print("over a restart trades are taken once, and in shadow the given order stands")
        assert ours.short_desc()
        assert "store" in ours.available_parameters()
    finally:
        stub.unlink()
    print(f"freqtrade {freqtrade.__version__}: all passed")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
