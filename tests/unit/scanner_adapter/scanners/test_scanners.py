"""The built-in scanners: their definitions by hand, and the fast path over a whole market."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bandit.errors import InvalidInputError
from features.inputs.bars import Bars
from scanner_adapter.demo.simulator import simulate
from scanner_adapter.inputs.bars import BarsBySymbol
from scanner_adapter.scanners.registry import SCANNERS, rule_hits, scanner_from_name
from scanner_adapter.scanners.rules import RULES


def frame(close: list[float], volume: list[float] | None = None) -> pd.DataFrame:
    """Bars that open at the close before, and reach a tenth above and below the day's prices."""
    prices = np.array(close)
    opened = np.concatenate([prices[:1], prices[:-1]])
    return pd.DataFrame(
        {
            "date": pd.bdate_range("2024-01-02", periods=len(prices)),
            "open": opened,
            "high": np.maximum(opened, prices) + 0.1,
            "low": np.minimum(opened, prices) - 0.1,
            "close": prices,
            "volume": np.full(len(prices), 100.0) if volume is None else np.array(volume),
        }
    )


def test_breakout_needs_the_close_above_the_prior_high_and_the_volume() -> None:
    """21 days at 10, high 10.1 each; then a close of 10.2 on 150 shares against a mean of 100.

    10.2 > 10.1 and 150 >= 1.5 * 100: a hit. A close of 10.1 is not above; 149 shares are too few.
    """
    scan = SCANNERS["breakout"]
    flat, usual = [10.0] * 21, [100.0] * 21
    assert scan("A", frame([*flat, 10.2], [*usual, 150.0]))["signal"] == "Buy"
    assert scan("A", frame([*flat, 10.1], [*usual, 150.0]))["signal"] == "Hold"
    assert scan("A", frame([*flat, 10.2], [*usual, 149.0]))["signal"] == "Hold"
    # The ATR of 21 flat days is 0.2; the last day's range is 10.3 - 9.9 = 0.4, so the smoothed ATR
    # is (13 * 0.2 + 0.4) / 14 = 3 / 14, and the rating is (10.2 - 10.1) / (3 / 14).
    row = scan("A", frame([*flat, 10.2], [*usual, 150.0]))
    assert row["rating"] == pytest.approx(0.1 * 14 / 3)
    assert row["volume_ratio"] == pytest.approx(1.5)


def test_breakout_compares_with_the_20_days_before_and_no_others() -> None:
    """A high of 20.1 stands 21 days back: forgotten; 20 days back: still there."""
    volume = [100.0] * 21 + [200.0]
    scan = SCANNERS["breakout"]
    assert scan("A", frame([20.0] + [10.0] * 21, [*volume]))["rating"] < 0  # opens at 20 on day 2
    assert (
        scan("A", frame([20.0, 10.0] + [10.0] * 20 + [10.2], [100.0, *volume]))["signal"] == "Buy"
    )


def test_volume_surge_is_twice_the_mean_of_the_20_days_before() -> None:
    """Volumes 1 .. 20 have the mean 10.5: 21 shares are a surge, 20 are not."""
    volumes = [float(v) for v in range(1, 21)]
    scan = SCANNERS["volume_surge"]
    row = scan("A", frame([10.0] * 20 + [10.5], [*volumes, 21.0]))
    assert (row["rating"], row["signal"]) == (2.0, "Buy")
    assert row["alpha"] == pytest.approx(5.0)
    assert scan("A", frame([10.0] * 21, [*volumes, 20.0]))["signal"] == "Hold"


def test_reversal_is_an_rsi_under_30_that_rises() -> None:
    """Twenty losses of 0.1 make an RSI of 0; a gain of 0.1 then makes it 100 / 14 = 7.14.

    Wilder's means after the gain: gain 0.1 / 14, loss 13 * 0.1 / 14; RSI = 100 * 1 / (1 + 13).
    """
    falling = [20.0 - 0.1 * i for i in range(21)]
    scan = SCANNERS["reversal"]
    assert scan("A", frame(falling))["signal"] == "Hold"  # oversold and not turning
    row = scan("A", frame([*falling, falling[-1] + 0.1]))
    assert row["signal"] == "Buy"
    assert row["rsi"] == pytest.approx(100 / 14)
    assert row["rating"] == pytest.approx(100 - 100 / 14)


def test_squeeze_is_the_bands_inside_the_channel() -> None:
    """Closes at 10 with a range of 0.2 a day: bands of no width, channel 10 +- 1.5 * 0.2: inside.

    Closes of 9 and 11 in turn: bands 10 +- 2 * 1, while the true range is 2.2 (from low 8.9 to high
    11.1), so the channel is about 10 +- 3.3: inside, 100 * (1 - 4 / 6.6) % narrower. A rise of 1
    a day has bands of +- 2 * 5.77 around its mean and a range of 1.2 a day: outside.
    """
    scan = SCANNERS["squeeze"]
    row = scan("A", frame([10.0] * 40))
    assert (row["signal"], row["rating"]) == ("Buy", pytest.approx(100.0))
    row = scan("A", frame([9.0, 11.0] * 100))
    assert row["signal"] == "Buy"
    assert row["rating"] == pytest.approx(100 * (1 - 4 / 6.6))
    assert scan("A", frame([float(i) for i in range(10, 60)]))["signal"] == "Hold"


def test_technical_rating_orders_a_rise_above_a_fall_and_stays_inside_0_to_100() -> None:
    rng = np.random.default_rng(3)
    wiggle = np.exp(0.01 * rng.standard_normal(120))
    rise, fall = np.exp(0.01 * np.arange(120)), np.exp(-0.01 * np.arange(120))
    scan = SCANNERS["technical_rating"]
    up = scan("A", frame((20 * rise * wiggle).tolist()))
    down = scan("A", frame((20 * fall * wiggle).tolist()))
    assert 0 <= down["rating"] < 40 < 60 < up["rating"] <= 100
    assert down["alpha"] < 0 < up["alpha"]


@pytest.mark.parametrize("name", list(SCANNERS))
def test_every_scanner_gives_finite_numbers_even_for_a_symbol_that_never_trades(name: str) -> None:
    bars = frame([10.0] * 60, [0.0] * 60).assign(open=10.0, high=10.0, low=10.0)
    row = SCANNERS[name]("A", bars)
    assert list(row)[:3] == ["rating", "signal", "alpha"]
    assert row["signal"] in {"Buy", "Hold", "Avoid"}
    assert all(np.isfinite(value) for key, value in row.items() if key != "signal")


@pytest.mark.parametrize("name", list(SCANNERS))
def test_too_few_bars_is_one_clear_error(name: str) -> None:
    least = RULES[name].min_bars
    with pytest.raises(InvalidInputError, match=f"A: {name} needs at least {least} bars, got 12"):
        SCANNERS[name]("A", frame([10.0] * 12))
    SCANNERS[name]("A", frame([10.0 + 0.01 * i for i in range(least)]))


def assert_fast_path_equals_scanners(bars: Bars, n_checks: int) -> None:
    """Compare `rule_hits` with scanning single symbols on single days, bit for bit."""
    rng = np.random.default_rng(11)
    for name, scan in SCANNERS.items():
        is_hit, rating = rule_hits(name, bars)
        days = rng.integers(25, len(bars.dates), size=n_checks)
        symbols = rng.integers(len(bars.symbols), size=n_checks)
        n_hits = 0
        for day, j in zip(days, symbols, strict=True):
            own = BarsBySymbol(bars.until(bars.dates[day]))[bars.symbols[j]]
            if np.isnan(bars.close[day, j]) or len(own) < RULES[name].min_bars:
                assert np.isnan(rating[day, j])
                assert not is_hit[day, j]
                continue
            row = scan(bars.symbols[j], own)
            assert row["rating"] == rating[day, j], (name, bars.dates[day], bars.symbols[j])
            assert (row["signal"] == "Buy") == is_hit[day, j]
            n_hits += is_hit[day, j]
        share = is_hit[60:].sum() / (~np.isnan(bars.close[60:])).sum()
        print(f"{name}: {100 * share:.1f} % of the symbol-days are hits")
        assert 0.002 < share < 0.4


def test_the_fast_path_equals_the_scanners_on_a_simulated_market_with_gaps() -> None:
    market = simulate(n_symbols=40, n_days=160, seed=5).bars
    late = (market["symbol"] == "SIM0003") & (market["date"] < "2022-03-01")
    halted = (market["symbol"] == "SIM0004") & (market["date"] == "2022-04-01")
    assert_fast_path_equals_scanners(Bars.from_frame(market[~late & ~halted]), n_checks=60)


def test_the_fast_path_equals_the_scanners_on_real_bars(market_data: Path) -> None:
    bars = Bars.read(market_data / "ohlcv.parquet")
    symbols = np.random.default_rng(2).choice(np.array(bars.symbols), size=200, replace=False)
    assert_fast_path_equals_scanners(bars.select(symbols.tolist()), n_checks=60)


def test_scanner_from_name_imports_the_users_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_scanner.py").write_text("def rate(symbol, bars):\n    return 1.0\nLEVEL = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert scanner_from_name("my_scanner:rate")("A", frame([1.0])) == 1.0
    with pytest.raises(InvalidInputError, match="my_scanner has no function 'LEVEL'"):
        scanner_from_name("my_scanner:LEVEL")
    del sys.modules["my_scanner"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("breakuot", "unknown scanner 'breakuot': use one of breakout, reversal"),
        ("no.such.module:scan", "cannot import no.such.module: No module named 'no'"),
        (":scan", "or give your own as package.module:function"),
        ("math:", "or give your own as package.module:function"),
    ],
)
def test_an_unknown_scanner_is_one_clear_error(name: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        scanner_from_name(name)
