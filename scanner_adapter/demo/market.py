"""The market that the demo scans: real bars where they are at hand, else a simulated one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.inputs.bars import Bars
from features.inputs.events import Events
from scanner_adapter.demo.simulator import simulate
from scanner_adapter.inputs.bars import find_market_data

# The demo walks through the last year of the bars; what lies before is history for the features.
N_SCAN_DAYS = 250
N_HISTORY_DAYS = 260


@dataclass(frozen=True)
class DemoMarket:
    """A market, and how it is called on every screen.

    Attributes
    ----------
    kind : str
        "real" or "simulated".
    title : str
        What it is, in a few words; begins with SIMULATED where it is.
    bars : Bars
    events : Events
    """

    kind: str
    title: str
    bars: Bars
    events: Events

    @property
    def scan_days(self) -> np.ndarray[tuple[int], np.dtype[np.datetime64]]:
        """The days that the demo scans one after the other, shape (250,)."""
        return self.bars.dates[-N_SCAN_DAYS:]


def load_demo_market(n_symbols: int) -> DemoMarket:
    """Load real bars of the first `n_symbols` symbols of the file, or simulate as many.

    Only symbols that trade over the whole period are taken, so that every scan of the demo has the
    same universe and its figures compare.
    """
    folder = find_market_data()
    n_days = N_SCAN_DAYS + N_HISTORY_DAYS
    if folder is None:
        market = simulate(n_symbols, n_days)
        return DemoMarket(
            "simulated",
            f"SIMULATED market, {n_symbols:,} symbols",
            Bars.from_frame(market.bars),
            Events.from_frames(earnings=market.earnings),
        )
    frame = pd.read_parquet(folder / "ohlcv.parquet")
    days = np.sort(frame["date"].unique())[-n_days:]
    frame = frame[frame["date"] >= days[0]]
    n_bars = frame.groupby("symbol", observed=True, sort=False).size()
    chosen = n_bars.index[n_bars == n_days][:n_symbols]
    bars = Bars.from_frame(frame[frame["symbol"].isin(chosen)])
    earnings = pd.read_parquet(folder / "earnings.parquet")
    events = Events.from_frames(earnings=earnings[earnings["symbol"].isin(chosen)])
    return DemoMarket("real", f"real bars of {len(chosen):,} US stocks", bars, events)
