"""What the pages show must run as it stands there, in order, and print what they say it prints."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from pages import Page, blocks

from scanner_adapter.cli.app import app
from scanner_adapter.demo.simulator import simulate

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted([*(DOCS / "how-to").glob("*.md"), *(DOCS / "reference").glob("*.md")])
# freqtrade.md shows a bot's endless loop, run-on-a-cluster.md needs Ray: test_adapter_freqtrade.py
# and test_fleet_ray.py run their parts.
ELSEWHERE = ("freqtrade", "run-on-a-cluster")
RUN = [page for page in PAGES if blocks(page.read_text(), "python") and page.stem not in ELSEWHERE]


def rate(symbol: str, *_: object) -> dict[str, float]:
    return {"rating": float(sum(map(ord, symbol)) % 100), "volume": 1.0}


def rate_slowly(symbol: str) -> dict[str, float]:
    time.sleep(0.05)  # long enough for a scan to look at its notes
    return rate(symbol)


class Scanner:
    """Owns its loop, and calls back with (symbol, row), or with one row."""

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads

    def scan(self, symbols: list[str], on_result: Callable[..., object]) -> None:
        for symbol in symbols:
            on_result(symbol, rate(symbol))

    def run(self, symbols: list[str], callback: Callable[..., object]) -> None:
        for symbol in symbols:
            callback({"ticker": symbol, **rate(symbol)})


async def rate_later(symbol: str) -> dict[str, float]:
    await asyncio.sleep(0)
    return rate(symbol)


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What pages take for granted: a market, a scanner under several names, a store, a clock."""
    for variable in ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.delenv("SCANRANK_MODE", raising=False)
    folder = tmp_path / "page"
    folder.mkdir()
    monkeypatch.chdir(folder)
    bars = simulate(n_symbols=120, n_days=80, seed=1, start="2019-09-12").bars
    named = {"SIM0000": "NVDA", "SIM0001": "AAPL", "SIM0002": "IBM"}
    bars["symbol"] = bars["symbol"].astype(str).replace(named)
    return {
        "bars": bars,
        "symbols": bars["symbol"].unique().tolist(),
        "url": f"embedded://{tmp_path / 'store'}",
        "other_url": "memory://",
        "my_scanner": rate,
        "fetch_snapshot": lambda: [
            {"symbol": symbol, "time": "2019-12-31T10:00-05:00", "last": 10.0}
            for symbol in bars["symbol"].unique()
        ],
        "slow_scanner": rate_slowly,
        "scan_symbol": rate,
        "ask_and_rate": rate,
        "ask_and_rate_async": rate_later,
        "rate_row": lambda row: row,
        "download_many": lambda wanted: {symbol: rate(symbol) for symbol in wanted},
        "scanner": Scanner(),
        "MyScanner": Scanner,
        "open_positions": ["IBM"],
        "not_tradable": ["AAPL"],
        "asyncio": asyncio,
        "time": SimpleNamespace(time=time.time, monotonic=time.monotonic),
    }


@pytest.mark.parametrize("path", RUN, ids=lambda path: path.stem)
def test_the_python_of_the_pages_runs(path: Path, given: dict[str, Any]) -> None:
    differences = Page(path, given).differences("python")
    assert not differences, "\n".join(differences)


def test_every_command_line_of_the_pages_has_options_that_exist() -> None:
    root = typer.main.get_command(app)
    seen = 0
    for path in sorted(DOCS.rglob("*.md")):
        for block in blocks(path.read_text(encoding="utf-8"), "sh"):
            for line in block.code.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] != ["scanrank"] or words[1:] in (["--version"], ["--help"]):
                    continue
                command: Any = root
                arguments = words[1:]
                while hasattr(command, "commands"):
                    assert arguments[0] in command.commands, f"{path.name}: {line}"
                    command = command.commands[arguments.pop(0)]
                known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
                given = {word.split("=")[0] for word in arguments if word.startswith("--")}
                assert given <= known | {"--help"}, f"{path.name}: {line}"
                seen += 1
    assert seen > 5
