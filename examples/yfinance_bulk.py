"""yfinance in bulk: one download per batch, while the previous batch is evaluated."""

import pandas as pd
import yfinance as yf
from made_market import LAST, SYMBOLS, show

from scanrank import Outcome, SymbolRanker, TopShare

frames: dict[str, pd.DataFrame] = {}


def download(symbols: tuple[str, ...]) -> None:
    table = yf.download(list(symbols), period="2y", group_by="ticker", progress=False)
    frames.update({symbol: table[symbol].dropna(how="all") for symbol in symbols})


def momentum(symbol: str) -> Outcome:
    frame = frames.pop(symbol)
    rating = 100.0 * (frame["Close"].iloc[-1] / frame["Close"].iloc[-60] - 1.0)
    return Outcome(rating, bars=frame)  # kept for the order of the next scan


ranker = SymbolRanker.open("memory://", ruleset="yahoo", rewards=TopShare(0.05), seed=1)
for day in range(LAST + 1):
    order: list[str] = []
    scan = ranker.start_scan(SYMBOLS, now=pd.Timestamp(f"2024-02-0{day + 1}", tz="UTC"))
    scan.run(
        momentum,
        batch_size=50,
        prefetch=download,
        on_result=lambda symbol, _: order.append(symbol),  # noqa: B023
    )
show(order, [symbol for symbol in SYMBOLS if scan.is_hit(symbol)])
