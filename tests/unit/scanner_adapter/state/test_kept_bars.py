"""Bars handed over with results: the next scan's order rests on them as if they had been given."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.inputs.bars import Bars
from scanner_adapter import Outcome, SymbolRanker, TopShare
from scanner_adapter.demo.simulator import simulate
from scanner_adapter.state import kept_bars
from scanner_adapter.state.kept_bars import KeptBars

N_DAYS = 300
TABLE = simulate(n_symbols=80, n_days=N_DAYS, seed=3).bars
FRAMES = {
    str(symbol): frame.drop(columns="symbol").set_index("date")
    for symbol, frame in TABLE.groupby("symbol", observed=True)
}
SYMBOLS = sorted(FRAMES)
DAYS = FRAMES[SYMBOLS[0]].index


def until(symbol: str, day: int) -> pd.DataFrame:
    return FRAMES[symbol].loc[: DAYS[day]]


def rating(symbol: str, day: int) -> float:
    close = until(symbol, day)["close"]
    return float(100.0 * (close.iloc[-1] / close.iloc[-21] - 1.0))


def when(day: int) -> datetime:
    return DAYS[day].to_pydatetime().replace(hour=23, tzinfo=UTC)


def scan(
    ranker: SymbolRanker, day: int, *, hands_over: bool, bars: Bars | None = None
) -> list[str]:
    with ranker.start_scan(SYMBOLS, bars=bars, now=when(day), scan_id=f"day{day}") as each:
        order: list[str] = []
        for batch in each.batches(10):
            order += batch.symbols
            each.report(
                {
                    symbol: Outcome(
                        rating(symbol, day), bars=until(symbol, day) if hands_over else None
                    )
                    for symbol in batch
                }
            )
    return order


def opened(url: str) -> SymbolRanker:
    return SymbolRanker.open(url, ruleset="own-loop", seed=1, rewards=TopShare(0.1))


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_the_second_scan_is_that_with_bars_given(kind: str, tmp_path: Path) -> None:
    """Both begin without bars; from the second scan on one is given what the other kept."""
    urls = [f"sqlite://{tmp_path / name}.db" for name in ("a", "b")]
    one, two = (opened("memory://" if kind == "memory" else url) for url in urls)
    for day in range(N_DAYS - 4, N_DAYS):
        yesterday = Bars.from_frame(TABLE).until(str(DAYS[day - 1].date()))
        kept = scan(one, day, hands_over=True)
        given = scan(two, day, hands_over=False, bars=None if day == N_DAYS - 4 else yesterday)
        assert kept == given
        if kind == "sqlite":  # the next process reads the file
            one.close()
            two.close()
            one, two = map(opened, urls)
    assert any("market." in name for name in one.learned.belief.columns)


def test_a_row_may_hold_its_bars_and_no_outcome_keeps_them() -> None:
    ranker = opened("memory://")
    with ranker.start_scan(SYMBOLS) as each:
        for batch in each.batches():
            each.report({s: {"rating": 1.0, "bars": until(s, 99), "rsi": 50.0} for s in batch})
        assert all(outcome.bars is None for outcome in each.outcomes.values())
        assert dict(each.outcomes[SYMBOLS[0]].columns) == {"rsi": 50.0}
    kept = ranker.kept_bars.known_by(np.datetime64("2100-01-01"))
    assert kept is not None
    assert kept.close.shape == (100, 80)


def test_nothing_after_the_scans_day_is_looked_at(tmp_path: Path) -> None:
    bars = KeptBars(tmp_path / "b.parquet")
    bars.add("A", until(SYMBOLS[0], 120))
    bars.save()
    day = DAYS[100].to_numpy().astype("datetime64[D]")
    known = KeptBars(tmp_path / "b.parquet").known_by(day)
    assert known is not None
    assert known.dates[-1] == day
    assert bars.known_by(np.datetime64("1999-01-01")) is None


def test_a_few_days_are_put_behind_those_kept_unless_they_were_adjusted() -> None:
    bars = KeptBars(None)
    for symbol in ("A", "B", "C"):
        bars.add(symbol, until(SYMBOLS[0], 99))
    bars.save()
    later = FRAMES[SYMBOLS[0]].iloc[95:105]
    bars.add("A", later)
    split = later.copy()
    split[["open", "high", "low", "close"]] /= 2.0
    bars.add("B", split)
    bars.save()
    known = bars.known_by(np.datetime64("2100-01-01"))
    assert known is not None
    assert known.mask.sum(axis=0).tolist() == [105, 10, 100]
    np.testing.assert_array_equal(
        known.close[:, 0], FRAMES[SYMBOLS[0]]["close"].to_numpy(np.float64)[:105]
    )


def test_the_file_is_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kept_bars, "MAX_ROWS", 5_000)
    bars = KeptBars(tmp_path / "b.parquet")
    for symbol in SYMBOLS:
        bars.add(symbol, FRAMES[symbol].iloc[:100])
    bars.save()
    for symbol in SYMBOLS[:50]:  # the others are not scanned any more
        bars.add(symbol, FRAMES[symbol])
    bars.save()
    known = bars.known_by(np.datetime64("2100-01-01"))
    assert known is not None
    assert known.close.shape == (100, 50)
    assert len(pd.read_parquet(tmp_path / "b.parquet")) == 5_000


def test_what_cannot_be_read_is_said_once_and_stops_nothing(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    bars = KeptBars(tmp_path / "b.parquet")
    bars.add("A", until(SYMBOLS[0], 60).drop(columns="volume"))
    bars.add("B", "no frame")
    bars.add("C", until(SYMBOLS[0], 60).reset_index())
    with caplog.at_level(logging.WARNING, "scanrank"):
        bars.save()
    assert len(caplog.records) == 1
    assert "bars of 2 results cannot be read" in caplog.text
    known = bars.known_by(np.datetime64("2100-01-01"))
    assert known is not None
    assert known.symbols == ("C",)
    (tmp_path / "b.parquet").write_bytes(b"no table")
    assert KeptBars(tmp_path / "b.parquet").known_by(np.datetime64("2100-01-01")) is None
    assert "started again" in caplog.text


def test_frames_of_one_layout_are_read_at_once() -> None:
    """Ten milliseconds a frame would be a minute for 5,000 symbols."""
    bars = KeptBars(None)
    for symbol in SYMBOLS:
        bars.add(symbol, FRAMES[symbol])
    began = time.perf_counter()
    bars.save()
    assert time.perf_counter() - began < 80 * 0.01
