"""The demo: three orders side by side on real scans, honest about what it is, quiet in a pipe."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bandit.errors import InvalidInputError
from scanner_adapter.demo.run import Plan, run_demo
from scanner_adapter.demo.view import OrderTrace

PLAN = Plan(n_learned=8, n_shown=2, seconds=0.1)


def run(folder: Path, *, market: str = "real", is_terminal: bool = False) -> str:
    """Run the demo and return what it printed."""
    screen = io.StringIO()
    console = Console(file=screen, width=80, force_terminal=is_terminal, highlight=False)
    run_demo(PLAN, market=market, out=folder / "out", console=console)
    return screen.getvalue()


def test_in_a_pipe_it_prints_lines_and_the_picture(tmp_path: Path) -> None:
    screen = run(tmp_path)
    assert "\x1b" not in screen
    assert max(map(len, screen.splitlines())) <= 80
    assert "real scans of 397 symbols" in screen
    assert "SIMULATED" not in screen
    assert screen.count("in the first 10%, of 20: file order") == 2
    for words in ("first 25%", "80% found", "At 0.25 s a symbol", "scanrank scan --bars"):
        assert words in screen
    assert (tmp_path / "out" / "recall.png").read_bytes().startswith(b"\x89PNG")


def test_on_a_terminal_the_curves_grow(tmp_path: Path) -> None:
    screen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", run(tmp_path, is_terminal=True))
    assert "times real time" in " ".join(screen.split())
    assert "of 20" in screen


def test_a_simulated_market_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scanner_adapter.demo import run as demo
    from scanner_adapter.demo.simulator import simulated_log

    monkeypatch.setattr(demo, "simulated_log", lambda: simulated_log(40, 90))
    assert "SIMULATED scans of 40 symbols" in run(tmp_path, market="simulated")
    with pytest.raises(InvalidInputError, match="market is 'bear'; expected real or simulated"):
        run(tmp_path, market="bear")


def test_without_matplotlib_the_picture_is_left_out_and_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert "No picture: install it with pip install 'scanrank[plots]'." in run(tmp_path)
    assert not (tmp_path / "out").exists()


def test_shares_and_times_by_hand() -> None:
    """Ten symbols, hits at places 1, 2, 3, 4 and 10; 0.25 s a symbol.

    The first 10 % is one symbol with one hit of five. 80 % of five hits are four, found after the
    fourth symbol: 1 s. The first hit comes with the first symbol: 0.25 s. A scan without a hit
    counts for neither.
    """
    hits = np.array([True] * 4 + [False] * 5 + [True])
    trace = OrderTrace([hits, np.zeros(10, bool)])
    assert trace.found_in(0.10) == pytest.approx(0.2)
    assert trace.seconds_to(0.8) == pytest.approx(1.0)
    assert trace.seconds_to(0.0) == pytest.approx(0.25)
