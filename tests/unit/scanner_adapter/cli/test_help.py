"""The help: panels in the order of use, flags without a type, and examples that run."""

from __future__ import annotations

import http.client
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.inputs.bars import Bars
from scanner_adapter.cli.app import main
from scanner_adapter.cli.output.help import EXAMPLES, PANELS
from scanner_adapter.demo.simulator import simulate
from scanner_adapter.scanners.registry import rule_hits
from scanrank import SymbolRanker

ROOT = Path(__file__).parents[4]
COMMANDS = [line for lines in EXAMPLES.values() for line in lines]
SECONDS = {"scanrank serve --port 8765"}  # runs until it is ended: see below


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a person has: bars up to 2019-12-31, logged ratings, a scanner, two finished scans."""
    folder = tmp_path_factory.mktemp("examples")
    frame = simulate(n_symbols=40, n_days=200, seed=3, start="2019-03-27").bars
    frame = frame.assign(symbol=frame["symbol"].astype(str).replace("SIM0000", "NVDA"))
    frame.to_parquet(folder / "bars.parquet")
    bars = Bars.from_frame(frame)
    _, rating = rule_hits("technical_rating", bars)
    days, places = np.nonzero(~np.isnan(rating))
    late = days >= len(bars.dates) - 75
    days, places = days[late], places[late]
    pd.DataFrame({
        "date": bars.dates[days].astype("datetime64[s]"),
        "symbol": np.array(bars.symbols)[places],
        "rating": rating[days, places],
    }).to_parquet(folder / "ratings.parquet")  # fmt: skip
    (folder / "my_scanner.py").write_text(
        "def rate(symbol, bars):\n    return float(bars['close'].iloc[-1])\n"
    )
    with SymbolRanker.open(f"sqlite:///{folder}/s.db", ruleset="breakout", seed=1) as ranker:
        for _ in range(2):
            ranker.start_scan(bars.symbols).run(lambda symbol: float(ord(symbol[-1])))
    return folder


@pytest.fixture
def run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], tuple[int, str, str]]:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("SCANRANK_STORE", f"sqlite:///{folder}/s.db")
    monkeypatch.setenv("SCANRANK_CACHE", str(folder / "cache"))
    monkeypatch.setenv("COLUMNS", "100")

    def call(command: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", shlex.split(command))
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return call


def test_the_panels_come_in_the_order_of_use(run: Callable[[str], tuple[int, str, str]]) -> None:
    _, out, _ = run("scanrank --help")
    words = [*PANELS, "demo", "replay", "scan", "watch", "serve", "tune", "store"]
    heads = [out.index(f" {panel} ─") for panel in PANELS]
    assert heads == sorted(heads)
    lines = [line.split()[1] for line in out.splitlines() if line.startswith("│ ")]
    found = [word for word in lines if word in words]
    assert found == ["demo", "replay", "scan", "watch", "serve", "tune", "store"]
    assert " Commands ─" not in out, "a command without a panel"


def test_flags_are_shown_as_flags(run: Callable[[str], tuple[int, str, str]]) -> None:
    for command in ("", *EXAMPLES):
        out = run(f"scanrank {command} --help")[1]
        assert "<bool>" not in out
        assert "<int>" not in out


def test_every_command_shows_its_examples(run: Callable[[str], tuple[int, str, str]]) -> None:
    for command, lines in EXAMPLES.items():
        out = " ".join(run(f"scanrank {command} --help")[1].split())
        assert all(line in out for line in lines)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in SECONDS])
def test_every_example_runs(run: Callable[[str], tuple[int, str, str]], command: str) -> None:
    # The store that two scans left has no status of a running scan in another process.
    code, out, err = run(command.replace("--trials 20", "--trials 1 --warmup 20"))
    assert code == 0, err
    assert out


def test_the_server_starts_as_its_example_says(folder: Path) -> None:
    (example,) = EXAMPLES["serve"]
    arguments = shlex.split(example.replace("8765", "0"))[1:]
    environment = {**os.environ, "SCANRANK_STORE": f"sqlite:///{folder}/s.db"}
    with subprocess.Popen(
        [sys.executable, "-m", "scanrank", *arguments], stderr=subprocess.PIPE, text=True,
        env={**environment, "PYTHONPATH": str(ROOT)},
    ) as server:  # fmt: skip
        try:
            assert server.stderr is not None
            line = next(line for line in server.stderr if "live page" in line)
            address = line.split("live page: ")[1].split()[0]
            port = int(address.rstrip("/").rpartition(":")[2])
            for _ in range(100):  # the address is logged before it listens
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                try:
                    connection.request("GET", "/health")
                    break
                except ConnectionRefusedError:
                    time.sleep(0.1)
            assert connection.getresponse().status == 200
            connection.close()
        finally:
            server.terminate()


def test_watching_what_is_not_there_is_no_success(
    run: Callable[[str], tuple[int, str, str]],
) -> None:
    code, _, err = run("scanrank watch --once --ruleset nosuch")
    assert code == 2
    assert "ruleset 'nosuch' is not in" in err
    assert "breakout" in err
    assert run("scanrank watch --once --store memory://")[0] == 1
