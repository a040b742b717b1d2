"""What the pages show must run as it stands there, in order, and print what they say it prints."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from pages import Page, blocks

from scanner_adapter.cli.app import app

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted([*(DOCS / "how-to").glob("*.md"), *(DOCS / "reference").glob("*.md")])
# freqtrade.md shows a bot's endless loop (see below), run-on-a-cluster.md needs Ray:
# test_fleet_ray.py runs its part.
ELSEWHERE = ("freqtrade", "run-on-a-cluster")
RUN = [page for page in PAGES if blocks(page.read_text(), "python") and page.stem not in ELSEWHERE]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new folder with the module that the how-to pages import, as their index shows it."""
    for variable in ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.delenv("SCANRANK_MODE", raising=False)
    folder = tmp_path / "page"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    assert list(Page(DOCS / "how-to" / "index.md").run("python")) == []
    assert Path("mine.py").is_file()


@pytest.mark.parametrize("path", RUN, ids=lambda path: path.stem)
@pytest.mark.usefixtures("mine")
def test_the_python_of_the_pages_runs(path: Path) -> None:
    differences = Page(path).differences("python")
    assert not differences, "\n".join(differences)


class OverError(Exception):
    """Raised where the bot would wait for the next half hour."""


@pytest.mark.usefixtures("mine")
def test_the_python_of_the_freqtrade_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a bot that closed one trade, in the shape of its REST API."""
    trade = {"trade_id": 7, "pair": "SOL/USDT", "is_open": False, "close_profit": 0.02}
    trade["close_timestamp"] = 1000.0 * time.time()
    client = SimpleNamespace(trades=lambda: {"trades": [trade]})
    bot = SimpleNamespace(FtRestClient=lambda *_: client)
    monkeypatch.setitem(sys.modules, "freqtrade_client", bot)
    loop, served = blocks((DOCS / "how-to" / "freqtrade.md").read_text(), "python")

    def wait(_: float) -> None:
        raise OverError

    monkeypatch.setattr("time.sleep", wait)
    namespace: dict[str, Any] = {}
    with pytest.raises(OverError):
        exec(loop.code.replace("/srv/freqtrade", str(tmp_path)), namespace)  # noqa: S102
    pairs = json.loads((tmp_path / "pairs.json").read_text())["pairs"]
    assert sorted(pairs) == sorted(namespace["all_pairs"])
    monkeypatch.undo()
    exec(served.code.replace("8765", "0"), namespace)  # noqa: S102
    assert capsys.readouterr().out.startswith("http://127.0.0.1:")


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
