"""Scans that come before one that was learned from: a warning with both days, and no harm done."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from features import Bars
from scanner_adapter import SymbolRanker
from scanner_adapter.demo.simulator import simulate
from scanner_adapter.scan.scan import Scan
from scanner_adapter.state.check import Fold, check

BARS = Bars.from_frame(simulate(n_symbols=12, n_days=60, seed=2, start="2022-01-03").bars)
MONDAY, TUESDAY = "2022-03-14", "2022-03-15"


def evening(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T21:00").replace(tzinfo=UTC)


def whole(scan: Scan, rating: float) -> None:
    with scan:
        while batch := scan.next_batch(6):
            scan.report(dict.fromkeys(batch, rating))


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [r.getMessage() for r in caplog.records if "uses later results" in r.getMessage()]
    caplog.clear()
    return found


@pytest.fixture
def ranker() -> SymbolRanker:
    return SymbolRanker.open("memory://", ruleset="rules", seed=1)


def test_history_in_order_is_no_news(
    ranker: SymbolRanker, caplog: pytest.LogCaptureFixture
) -> None:
    for day in (MONDAY, TUESDAY, TUESDAY):
        whole(ranker.start_scan(BARS.symbols, bars=BARS, as_of=day, now=evening(day)), 1.0)
        whole(ranker.start_scan(BARS.symbols, now=evening(day)), 1.0)
    # Workers' clocks differ by some minutes: the day counts.
    whole(ranker.start_scan(BARS.symbols, now=evening(TUESDAY).replace(hour=20)), 1.0)
    assert not warned(caplog)


@pytest.mark.parametrize("has_now", [True, False])
def test_an_earlier_day_of_bars_is_warned_of(
    ranker: SymbolRanker, caplog: pytest.LogCaptureFixture, has_now: bool
) -> None:
    """Also where `now` is the clock, which goes on."""
    for day in (TUESDAY, MONDAY):
        now = evening(day) if has_now else None
        whole(ranker.start_scan(BARS.symbols, bars=BARS, as_of=day, now=now), 1.0)
    (message,) = warned(caplog)
    assert f"ruleset rules: a scan as of {MONDAY} after one as of {TUESDAY}" in message


def test_an_earlier_time_is_warned_of_without_bars(
    ranker: SymbolRanker, caplog: pytest.LogCaptureFixture
) -> None:
    for day in (TUESDAY, MONDAY):
        whole(ranker.start_scan(BARS.symbols, now=evening(day)), 1.0)
    (message,) = warned(caplog)
    assert f"a scan as of {MONDAY} after one as of {TUESDAY}" in message


def test_an_order_alone_teaches_nothing_and_is_not_warned_of(
    ranker: SymbolRanker, caplog: pytest.LogCaptureFixture
) -> None:
    whole(ranker.start_scan(BARS.symbols, bars=BARS, as_of=TUESDAY), 1.0)
    ranker.order(BARS.symbols, bars=BARS, as_of=MONDAY)
    assert not warned(caplog)


def test_nothing_is_forgotten_backwards_and_newer_results_stand(ranker: SymbolRanker) -> None:
    learned, at = ranker.learned, evening(TUESDAY).timestamp() / 86_400

    def information() -> float:
        return float(np.trace(learned.belief.state()[1]["data_precision"]))

    for _ in range(2):  # the second brings the columns of the first one's rows
        whole(ranker.start_scan(BARS.symbols, now=evening(TUESDAY)), 1.0)
    known, newest = information(), learned.belief.track.view(BARS.symbols, now=at)
    scan = ranker.start_scan(BARS.symbols, now=evening(MONDAY))
    assert information() == known
    before = learned.belief.track.view(BARS.symbols, now=at - 1.0)
    np.testing.assert_array_equal(before.age_days, np.zeros(12))  # no negative age
    whole(scan, 0.0)
    after = learned.belief.track.view(BARS.symbols, now=at)
    np.testing.assert_array_equal(after.last_reward, newest.last_reward)
    np.testing.assert_array_equal(after.age_days, np.zeros(12))
    known = information()
    ranker.start_scan(BARS.symbols, now=evening("2022-04-15"))
    assert information() < known, "forwards it is forgotten"


def test_the_day_outlives_the_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By the snapshot, and in other words by the journal's fold, which is still found equal."""
    url = f"embedded://{quote(str(tmp_path))}"
    with SymbolRanker.open(url, ruleset="rules", seed=1) as first:
        whole(first.start_scan(BARS.symbols, bars=BARS, as_of=TUESDAY), 1.0)
    with SymbolRanker.open(url, ruleset="rules", seed=1) as second:
        assert second.learned.as_of == TUESDAY
        whole(second.start_scan(BARS.symbols, bars=BARS, as_of=MONDAY), 1.0)
        assert len(warned(caplog)) == 1
        assert second.learned.as_of == TUESDAY
        assert check(second.store, "rules").fold is Fold.EQUAL
