"""ccxt: an exchange with a rate limit; its rate-limit errors are waited out."""

import ccxt
import pandas as pd
from made_market import LAST, show

from scanrank import Outcome, SymbolRanker, TooManyErrors, TopShare

exchange = ccxt.binance({"enableRateLimit": True})
pairs = [pair for pair in exchange.load_markets() if pair.endswith("/USDT")]
names = ["date", "open", "high", "low", "close", "volume"]


def breakout(pair: str) -> Outcome:
    frame = pd.DataFrame(exchange.fetch_ohlcv(pair, "1d", limit=300), columns=names)
    frame["date"] = pd.to_datetime(frame["date"], unit="ms")
    rating = 100.0 * frame["close"].iloc[-1] / frame["close"].iloc[-60:-1].max()
    return Outcome(rating, bars=frame)


ranker = SymbolRanker.open("memory://", ruleset="binance", rewards=TopShare(0.05), seed=1)
for day in range(LAST + 1):
    order: list[str] = []
    scan = ranker.start_scan(pairs, now=pd.Timestamp(f"2024-02-0{day + 1}", tz="UTC"))
    scan.run(
        breakout,
        batch_size=20,
        errors=TooManyErrors(longest_pause_s=60),
        on_result=lambda pair, _: order.append(pair),  # noqa: B023
    )
print(f"errors: {scan.summary.n_errors}")
is_hit = {pair.split("/")[0] for pair in pairs if scan.is_hit(pair)}
show((pair.split("/")[0] for pair in order), is_hit)
