"""No score sees anything after its day, and a panel's row is that day computed alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import Bars, Events, factor_scores, sub_score_panel

FIELDS = ("open", "high", "low", "close", "volume")


def random_bars(seed: int, n_days: int, n_symbols: int, *, holes: bool) -> Bars:
    rng = np.random.default_rng(seed)
    shape = (n_days, n_symbols)
    close = 30.0 * np.exp(np.cumsum(rng.standard_t(4, shape) * 0.015, axis=0))
    open_ = close * np.exp(rng.normal(0, 0.006, shape))
    high = np.maximum(open_, close) * (1 + np.abs(rng.normal(0, 0.006, shape)))
    low = np.minimum(open_, close) * (1 - np.abs(rng.normal(0, 0.006, shape)))
    volume = np.floor(np.exp(rng.normal(11, 0.8, shape)))
    volume[rng.random(shape) < 0.01] = 0.0
    fields = [open_, high, low, close, volume]
    if holes:  # halts, new listings, delistings, and a halt longer than any window
        gone = rng.random(shape) < 0.02
        for j in range(n_symbols):
            kind = rng.integers(4)
            cut = int(rng.integers(0, n_days))
            if kind == 1:
                gone[:cut, j] = True
            elif kind == 2:
                gone[cut:, j] = True
            elif kind == 3 and j % 2:
                gone[n_days // 4 : n_days // 4 + n_days // 2, j] = True
        for field in fields:
            field[gone] = np.nan
    dates = np.datetime64("2018-01-01") + np.arange(n_days)
    return Bars(dates, tuple(f"S{j:02d}" for j in range(n_symbols)), *fields)


def random_events(seed: int, bars: Bars) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(seed)

    def frame(n: int) -> pd.DataFrame:
        days = bars.dates[rng.integers(0, len(bars.dates), n)]
        return pd.DataFrame({"symbol": rng.choice(bars.symbols, n), "date": days})

    earnings = frame(60).assign(
        eps_estimate=rng.normal(1, 0.3, 60).round(2),
        eps_actual=rng.normal(1, 0.3, 60).round(2),
        release_time=rng.choice(["pre", "post", ""], 60),
    )
    ratings = frame(60).assign(action=rng.choice(["up", "down", "reiterate"], 60))
    news = frame(300).assign(count=rng.poisson(2, 300))
    return {"earnings": earnings, "ratings": ratings, "news": news}


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.tobytes() == b.tobytes()


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(150, 420), st.booleans(), st.data())
def test_what_comes_later_changes_no_bit(
    seed: int, n_days: int, holes: bool, data: st.DataObject
) -> None:
    """Bars, releases after the close, ratings and news after `as_of` may change, go or come."""
    bars = random_bars(seed, n_days, 24, holes=holes)
    events = random_events(seed, bars)
    row = data.draw(st.integers(n_days // 2, n_days - 1), label="as_of row")
    as_of = bars.dates[row]
    before = factor_scores(bars, as_of=as_of, events=Events.from_frames(**events))

    rng = np.random.default_rng(seed + 1)
    fields = {name: getattr(bars, name).copy() for name in FIELDS}
    for name in FIELDS:
        fields[name][row + 1 :] *= rng.uniform(0.5, 2.0)
    gone = rng.random(bars.close[row + 1 :].shape) < 0.5
    for name in FIELDS:
        fields[name][row + 1 :][gone] = np.nan
    changed = Bars(bars.dates, bars.symbols, **fields)
    after_events = {}
    for name, frame in events.items():
        date = frame["date"].to_numpy().astype("datetime64[D]")
        late = date > as_of
        if name == "earnings":
            late |= (date == as_of) & (frame["release_time"] != "pre").to_numpy()
        else:
            late |= date == as_of
        kept = frame[~late | (rng.random(len(frame)) < 0.5)].copy()
        added = frame[~late].head(5).assign(date=as_of + np.timedelta64(1, "D"))
        if name == "earnings":
            added = added.assign(date=as_of, release_time="post", eps_actual=9.0)
        after_events[name] = pd.concat([kept, added], ignore_index=True)
    after = factor_scores(changed, as_of=as_of, events=Events.from_frames(**after_events))
    assert same_bits(before.values, after.values)
    assert same_bits(before.composite_values, after.composite_values)

    alone = factor_scores(bars.until(as_of), as_of=as_of, events=Events.from_frames(**events))
    assert same_bits(before.values, alone.values)


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1), st.integers(1, 420), st.booleans())
def test_panel_rows_equal_days_alone(seed: int, n_days: int, holes: bool) -> None:
    """The pass over all days and the pass for one day give the same bits."""
    bars = random_bars(seed, n_days, 24, holes=holes)
    events = Events.from_frames(**random_events(seed, bars))
    panel = sub_score_panel(bars, events)
    n_sub = len(panel.names)
    rows = np.unique(np.linspace(0, n_days - 1, 7).astype(int))
    for row in rows:
        alone = factor_scores(bars, as_of=bars.dates[row], events=events)
        assert same_bits(panel.values[row], np.ascontiguousarray(alone.values[:, -n_sub:]))
    some = sub_score_panel(bars, events, dates=bars.dates[rows])
    assert same_bits(some.values, panel.values[rows])


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1), st.integers(60, 300))
def test_a_symbol_is_scored_alike_in_any_company(seed: int, n_days: int) -> None:
    """Order and company change nothing, except the strength relative to that company."""
    bars = random_bars(seed, n_days, 30, holes=True)
    picked = np.random.default_rng(seed).permutation(30)[:11]
    names = [bars.symbols[j] for j in picked]
    panel, few = sub_score_panel(bars), sub_score_panel(bars.select(names))
    own = [k for k, name in enumerate(panel.names) if name != "market.relative_strength"]
    assert same_bits(
        np.ascontiguousarray(panel.values[:, picked][:, :, own]),
        np.ascontiguousarray(few.values[:, :, own]),
    )


def test_a_future_listing_adds_nothing_to_the_past() -> None:
    """The twentieth symbol makes a market only from its first day on."""
    bars = random_bars(3, 200, 20, holes=False)
    fields = {name: getattr(bars, name).copy() for name in FIELDS}
    for name in FIELDS:
        fields[name][:150, 19] = np.nan
    later = Bars(bars.dates, bars.symbols, **fields)
    first = later.select(later.symbols[:19])
    with_it, without = sub_score_panel(later), sub_score_panel(first)
    assert same_bits(
        np.ascontiguousarray(with_it.values[:150, :19]),
        np.ascontiguousarray(without.values[:150]),
    )


@pytest.mark.parametrize("release_time", ["post", ""])
def test_release_counts_from_the_next_trading_day(release_time: str) -> None:
    """A Friday evening release is unknown on Friday and known on Monday."""
    bars = random_bars(5, 60, 3, holes=False)
    friday = np.datetime64("2018-02-09")
    weekdays = np.is_busday(bars.dates)
    bars = Bars(bars.dates[weekdays], bars.symbols, *(getattr(bars, f)[weekdays] for f in FIELDS))
    earnings = pd.DataFrame(
        {
            "symbol": ["S01"],
            "date": [friday],
            "eps_estimate": [1.0],
            "eps_actual": [2.0],
            "release_time": [release_time],
        }
    )
    panel = sub_score_panel(bars, Events.from_frames(earnings=earnings))
    surprise = panel.values[:, 1, panel.names.index("fundamental.surprise")]
    known = panel.dates[~np.isnan(surprise)]
    assert known[0] == np.datetime64("2018-02-12")
