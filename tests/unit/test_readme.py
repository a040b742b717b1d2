"""What the README shows must run as it stands there."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pages
import pytest
import typer

from scanner_adapter.cli.app import app
from scanner_adapter.scanners.registry import SCANNERS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")

PREAMBLE = """
from types import SimpleNamespace
from scanner_adapter.demo.simulator import simulate

bars = simulate(n_symbols=120, n_days=80, seed=1, start="2019-09-12").bars
symbols = bars["symbol"].unique().tolist()
snapshot = bars.groupby("symbol")["close"].last().to_dict()
my_scanner = lambda symbol: SimpleNamespace(rating=float(symbol[-2:]), signal=None)
"""


def blocks(language: str) -> list[str]:
    return [block.code for block in pages.blocks(README, language)]


def test_the_ten_lines_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [code] = blocks("python")
    address = "redis://localhost:6379/0"
    assert address in code
    script = tmp_path / "ten_lines.py"
    script.write_text(PREAMBLE + code.replace(address, "memory://"), encoding="utf-8")
    runpy.run_path(str(script))
    summary = capsys.readouterr().out
    assert summary.startswith("Scan ")
    assert "of 120 symbols" in summary
    assert "failed" not in summary


def test_every_command_line_in_it_has_options_that_exist() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    lines = [
        shlex.split(line)
        for block in blocks("sh")
        for line in block.splitlines()
        if line.startswith("scanrank ")
    ]
    assert {line[1] for line in lines} == {"scan", "replay"}
    for _, name, *arguments in lines:
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert {part for part in arguments if part.startswith("--")} <= known


def test_it_names_every_built_in_scanner() -> None:
    assert all(f"`{name}`" in README for name in SCANNERS)


def test_its_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    missing = [t for t in targets if "://" not in t and not (ROOT / t).exists()]
    assert len(targets) > 4
    assert missing == []
