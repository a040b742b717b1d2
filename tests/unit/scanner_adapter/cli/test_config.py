"""`scanrank.toml`, the environment and options: one order of precedence for every command."""

from __future__ import annotations

from pathlib import Path

import pytest

from scanner_adapter.cli.app import main
from scanrank import SymbolRanker


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("SCANRANK_STORE", "SCANRANK_RULESET"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["scanrank", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def learned(url: str, ruleset: str) -> None:
    with SymbolRanker.open(url, ruleset=ruleset, seed=1) as ranker:
        scan = ranker.start_scan(["A", "B", "C"])
        scan.run(lambda symbol: float(ord(symbol)))


@pytest.mark.parametrize(
    "command",
    [("store", "check"), ("store", "stats"), ("compare",), ("journal", "export", "j.parquet")],
    ids=" ".join,
)
def test_every_command_looks_where_the_file_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
) -> None:  # fmt: skip
    url = f"sqlite:///{folder}/here.db"
    learned(url, "mine")
    (folder / "scanrank.toml").write_text(f'store = "{url}"\nruleset = "mine"\n')
    assert run(monkeypatch, *command) == 0
    assert "mine" in capsys.readouterr().out


def test_an_option_beats_the_environment_which_beats_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = {name: f"sqlite:///{folder}/{name}.db" for name in ("file", "environment", "option")}
    for name, url in urls.items():
        learned(url, name)
    (folder / "scanrank.toml").write_text(f'store = "{urls["file"]}"\n')

    def rulesets(*options: str) -> str:
        assert run(monkeypatch, "store", "check", *options) == 0
        return capsys.readouterr().out

    assert rulesets().startswith("file:")
    monkeypatch.setenv("SCANRANK_STORE", urls["environment"])
    assert rulesets().startswith("environment:")
    assert rulesets("--store", urls["option"]).startswith("option:")


def test_config_show_names_every_source_and_no_password(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "scanrank.toml").write_text('ruleset = "mine"\nhit = "top:0.05"\n')
    monkeypatch.setenv("SCANRANK_STORE", "redis://me:secret@host:6379/0")
    assert run(monkeypatch, "config", "show") == 0
    out = capsys.readouterr().out
    assert "SCANRANK_STORE" in out
    assert "secret" not in out
    assert "mine  (scanrank.toml)" in out
    assert "-  (default)" in out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stor = 'x'", "'stor' is unknown; expected store, ruleset, bars, hit, settings"),
        ("store = 3", "store is 3; expected a string"),
        ("store = ''", "store is ''; expected a string, or no store for the default"),
        ("store = ", "cannot be read as TOML"),
    ],
)
def test_a_wrong_file_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    text: str, message: str,
) -> None:  # fmt: skip
    (folder / "scanrank.toml").write_text(text)
    assert run(monkeypatch, "store", "stats") == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_folder_of_that_name_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Docker makes one where a file to be mounted is missing."""
    (folder / "scanrank.toml").mkdir()
    assert run(monkeypatch, "config", "show") == 2
    assert "scanrank.toml cannot be read as TOML" in capsys.readouterr().err


def test_a_mark_of_the_encoding_and_an_empty_variable_count_as_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As Notepad writes the one, and `SCANRANK_STORE= scanrank ...` the other."""
    (folder / "scanrank.toml").write_text('ruleset = "mine"\n', encoding="utf-8-sig")
    monkeypatch.setenv("SCANRANK_STORE", "")
    assert run(monkeypatch, "config", "show") == 0
    out = capsys.readouterr().out
    assert "mine  (scanrank.toml)" in out
    assert "store     embedded://  (default)" in out


def test_bars_and_rule_of_the_file_leave_the_bundled_log_and_another_rule_usable(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "scanrank.toml").write_text('bars = "bars.parquet"\nhit = "rating:70"\n')
    replay = ("replay", "--warmup", "118")
    assert run(monkeypatch, *replay, "--top", "0.1") == 0
    assert "day's top 10% by rating" in " ".join(capsys.readouterr().out.split())
    assert run(monkeypatch, *replay, "--top", "0.1", "--hit", "signal") == 2
    assert "are two rules" in capsys.readouterr().err
    assert run(monkeypatch, *replay, "--ratings", "ratings.parquet") == 2
    assert "bars.parquet" in capsys.readouterr().err, "of ratings, bars are needed"
