"""A simulated market for the examples: 400 symbols whose ratings vary from day to day."""

import functools
import time
from collections.abc import Iterable

import numpy as np
import pandas as pd

SYMBOLS = [f"S{i:03d}" for i in range(400)]
HIT = 85.0
LAST = 3  # the examples scan days 0 to 3, and show what the last one gained


def rate(symbol: str, day: int, seconds: float = 0.0005) -> float:
    """Return a scanner's rating of a symbol on a day, 0 to 100; takes some time, as scanners do."""
    time.sleep(seconds)
    number = int(symbol[1:])
    quality = np.random.default_rng(number).random()
    return float(75.0 * quality + 25.0 * np.random.default_rng([number, 1 + day]).random())


@functools.cache
def _all_candles(symbol: str) -> pd.DataFrame:
    rng = np.random.default_rng(int(symbol[1:]))
    steps = 0.002 * (rng.random() - 0.4) + 0.01 * rng.standard_normal(280)
    close = 50.0 * np.exp(np.cumsum(steps))
    prices = {"Open": close, "High": 1.01 * close, "Low": 0.99 * close, "Close": close}
    dates = pd.bdate_range("2023-01-02", periods=280, name="Date")
    return pd.DataFrame({**prices, "Volume": 1e5 * (1.0 + rng.random(280))}, index=dates)


def candles(symbol: str, day: int) -> pd.DataFrame:
    """Return daily bars up to a day; the better the symbol, the steeper its trend."""
    return _all_candles(symbol).iloc[: 270 + day]


def show(order: Iterable[str], hits: Iterable[str] | None = None) -> None:
    """Print the early hits of the order and of file order."""
    order = list(dict.fromkeys(order))
    found = set([s for s in SYMBOLS if rate(s, LAST, 0.0) >= HIT] if hits is None else hits)
    quarter = len(SYMBOLS) // 4
    early, in_file = (len(found & set(part[:quarter])) for part in (order, SYMBOLS))
    print(
        f"{early} of {len(found)} hits in the first quarter of the symbols; file order: {in_file}"
    )
