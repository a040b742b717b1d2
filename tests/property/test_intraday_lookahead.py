"""Nothing after a moment changes what an order knows or does at it, and a replay repeats itself."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bandit.rewards import Signal
from features import Bars, Session
from scanner_adapter.replay import Configuration, Order, Ranked
from scanner_adapter.replay.intraday import look
from scanner_adapter.replay.logs.contexts import Contexts
from scanner_adapter.replay.logs.known_at import MinuteQuotes
from scanner_adapter.replay.logs.moments import rule_days
from scanner_adapter.replay.orders import InTurns

N, N_DAYS = 12, 30
DAYS = np.busday_offset("2024-03-29", np.arange(N_DAYS) - N_DAYS + 1, "backward")
SYMBOLS = tuple(f"S{j:02d}" for j in range(N))
EVERY = timedelta(minutes=30)


def market() -> tuple[Bars, pd.DataFrame]:
    """Daily bars of a month, and ten-minute bars of its last two days."""
    rng = np.random.default_rng(4)
    close = 50 * np.exp(rng.normal(0, 0.02, (N_DAYS, N)).cumsum(axis=0))
    bars = Bars(DAYS, SYMBOLS, close, close * 1.01, close * 0.99, close, np.full(close.shape, 1e6))
    times = [
        time for day in DAYS[-2:]
        for time in pd.date_range(f"{day} 09:30", f"{day} 15:50", freq="10min")
    ]  # fmt: skip
    price = 50 * np.exp(rng.normal(0, 0.01, (len(times), N)).cumsum(axis=0)).ravel()
    minutes = pd.DataFrame({"date": np.repeat(np.array(times), N), "symbol": SYMBOLS * len(times)})
    volume = rng.exponential(1e5, price.size)
    return bars, minutes.assign(
        open=price, high=price * 1.001, low=price * 0.999, close=price, volume=volume
    )


def looks(bars: Bars, minutes: pd.DataFrame) -> dict[str, np.ndarray]:
    """What each order looks at on the last two days, and what it could see there."""
    contexts = Contexts.compute(bars, cached=False)
    log = rule_days(
        "volume_surge", contexts, Signal(), every=EVERY, quotes_of=MinuteQuotes(minutes, Session())
    )
    ages = {"hits_last": timedelta(hours=1), "seen_within": timedelta(hours=12)}
    orders: list[Order] = [
        Ranked(Configuration(seed=3).open(Signal(), keeps_journal=False), further=ages),
        InTurns(N), InTurns(N, hits_first=True),
    ]  # fmt: skip
    days = [log.scans_of(day) for day in DAYS[-2:]]
    found = {
        order.name: np.concatenate([look(order, scans, 0.25, N) for scans in days])
        for order in orders
    }
    scans = [scan for day in days for scan in day]
    rating = np.full((len(scans), N), np.nan)
    known = []
    for row, scan in zip(rating, scans, strict=True):
        row[scan.places] = scan.rating
        known.append(np.nan_to_num(scan.sub_scores, nan=-1.0).sum())
    return {**found, "rating": rating, "known": np.array(known)}


WHOLE = looks(*market())


@settings(max_examples=6, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.integers(0, 23), st.integers(0, 9))
def test_what_comes_later_changes_nothing_before(n_known: int, seed: int) -> None:
    bars, minutes = market()
    # At 09:30 no bar is over, so that scans begin at 10:00; bars that begin then come later.
    day, k = divmod(n_known, 12)
    now = pd.Timestamp(f"{DAYS[-2 + day]} 10:00") + k * EVERY
    rng = np.random.default_rng(seed)
    later = (minutes["date"] >= now).to_numpy()
    shock = np.exp(rng.normal(0, 0.3, int(later.sum())))
    daily = np.exp(rng.normal(0, 0.3, N))
    for name in ("open", "high", "low", "close", "volume"):
        minutes.loc[later, name] *= shock
        getattr(bars, name)[-2 + day :] *= daily
    changed = looks(bars, minutes)
    for name, values in WHOLE.items():
        np.testing.assert_array_equal(changed[name][: n_known + 1], values[: n_known + 1])
    assert n_known == 23 or not np.array_equal(changed["rating"], WHOLE["rating"], equal_nan=True)


def test_a_replay_repeats_itself_bit_for_bit() -> None:
    again = looks(*market())
    for name, values in WHOLE.items():
        np.testing.assert_array_equal(again[name], values)
    assert WHOLE["scanrank"].sum(axis=1).max() == 3
