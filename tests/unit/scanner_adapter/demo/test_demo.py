"""The demo on a small simulated market: honest about it, warm the second time, quiet in a pipe."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from scanner_adapter.demo import market as demo_market
from scanner_adapter.demo import scans as demo_scans
from scanner_adapter.demo.run import Plan, run_demo
from scanner_adapter.demo.scans import ScanTrace
from scanner_adapter.demo.view import comparison

PLAN = Plan(n_symbols=60, n_days=2)


@pytest.fixture(autouse=True)
def small_and_simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCANRANK_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo_market, "N_SCAN_DAYS", 5)
    monkeypatch.setattr(demo_market, "N_HISTORY_DAYS", 90)
    monkeypatch.setattr(demo_scans, "EVALUATION_S", 0.0)


def run(folder: Path, *, is_terminal: bool = False) -> str:
    """Run the demo on the store in `folder` and return what it printed."""
    screen = io.StringIO()
    console = Console(file=screen, width=80, force_terminal=is_terminal, highlight=False)
    run_demo(PLAN, store=f"embedded://{folder / 'store'}", out=folder / "out", console=console)
    return screen.getvalue()


def scanned_days(screen: str) -> list[str]:
    return [line.split()[0] for line in screen.splitlines() if "high-value, the first" in line]


def test_two_runs_in_a_pipe_go_on_where_the_first_ended(tmp_path: Path) -> None:
    first, second = run(tmp_path), run(tmp_path)
    for screen in (first, second):
        assert "\x1b" not in screen
        assert max(map(len, screen.splitlines())) <= 80
        assert screen.count("SIMULATED market, 60 symbols") == 4  # title, both orders, table
        for label in ("time to the first", "first 10 %", "first 25 %", "WSS@95", "overhead"):
            assert label in screen
    assert "cold: nothing learned yet" in first
    assert "warm: learned from 2 scans" in second
    one, two = scanned_days(first), scanned_days(second)
    assert one[:2] == one[2:]  # both orders scan the same days
    assert two[:2] == two[2:]
    assert max(one) < min(two)
    picture = tmp_path / "out" / "recall.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_when_the_days_are_used_up_it_forgets_and_starts_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_market, "N_SCAN_DAYS", 3)  # two runs would need four
    first, second = run(tmp_path), run(tmp_path)
    assert "forgetting all, and starting over" in second
    assert "cold: nothing learned yet" in second
    assert scanned_days(second) == scanned_days(first)


def test_on_a_terminal_results_appear_as_they_are_found(tmp_path: Path) -> None:
    screen = run(tmp_path, is_terminal=True)
    assert "latest high-value results · SIMULATED market" in screen
    assert "SIM00" in screen
    assert "60/60" in screen


def test_without_matplotlib_the_picture_is_left_out_and_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert "No picture: matplotlib is not installed" in run(tmp_path)
    assert not (tmp_path / "out").exists()


def test_real_bars_are_taken_where_they_are_at_hand(
    market_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCANRANK_DATA", str(market_data))
    market = demo_market.load_demo_market(25)
    assert (market.kind, market.title) == ("real", "real bars of 25 US stocks")
    assert market.bars.close.shape == (95, 25)  # 90 days of history and 5 to scan
    assert not np.isnan(market.bars.close).any()
    assert len(market.scan_days) == 5
    assert market.scan_days[-1] == market.bars.dates[-1]


def test_times_and_shares_of_the_table_by_hand() -> None:
    """Ten symbols, hits at places 1, 2, 3, 4 and 10, found after 0.1, 0.2, 0.3, 0.4 and 1.0 s.

    80 % of five hits are four: 0.4 s. The first 10 % is one symbol with one hit of five: 20 %; the
    first 25 % are three symbols (2.5 rounded up): 60 %. 95 % of five hits are all five, found at
    place 10: nothing saved, 0 - 5 %. Ten evaluations of 17 ms are 0.17 s; 0.05 s of it are 29.4 %.
    """
    trace = ScanTrace(
        hits=[True] * 4 + [False] * 5 + [True],
        seconds=1.0,
        hit_seconds=[0.1, 0.2, 0.3, 0.4, 1.0],
        overhead_s=0.05,
    )
    assert trace.time_to(0.0) == 0.1
    assert trace.time_to(0.8) == 0.4
    assert math.isnan(ScanTrace(hits=[False]).time_to(0.8))
    screen = io.StringIO()
    Console(file=screen, width=80).print(comparison("a market", {"ours": [trace, trace]}))
    cells = [line.strip("│ ").split("│") for line in screen.getvalue().splitlines() if "│" in line]
    assert [cell[-1].strip() for cell in cells] == [
        "0.10 s",
        "0.40 s",
        "20 %",
        "60 %",
        "-5 %",
        "1.00 s",
        "50 ms",
        "5.0 %",
        "29.4 %",
    ]
