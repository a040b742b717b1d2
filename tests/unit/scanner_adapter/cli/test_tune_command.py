"""`scanrank tune` and `--settings` of scan and replay, as people call them."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from sweep_log import small_log

from features.factors import FACTORS, combine, factor_scores
from features.inputs.bars import Bars
from scanner_adapter.cli.app import main
from scanner_adapter.demo.simulator import simulate
from scanner_adapter.replay import ReplayLog, read
from scanner_adapter.settings import Settings

pytest.importorskip("optuna")

QUICK = ("tune", "--trials", 2, "--warmup", 5, "--batch-size", 10)


class Run(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def log() -> ReplayLog:
    return small_log()


@pytest.fixture
def scanrank(
    log: ReplayLog,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Run]:
    """Run the command line in an empty folder; the small log stands for the bundled one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(read, "bundled_log", lambda *_, **__: log)

    def run(*arguments: object) -> Run:
        monkeypatch.setattr("sys.argv", ["scanrank", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return Run(int(ended.value.code or 0), *capsys.readouterr())

    return run


class TestTune:
    def test_it_writes_what_it_prints(self, scanrank: Callable[..., Run], tmp_path: Path) -> None:
        """The same study read again: once for people, once for machines, once by force."""
        shown = scanrank(*QUICK, "--study", "study", "--out", "a.toml")
        assert shown.code == 0, shown.err
        machine = scanrank(*QUICK, "--study", "study", "--json")
        content = json.loads(machine.out)
        assert content["trials"] == 2
        words = " ".join(shown.out.split()).lower()
        assert content["verdict"] in words
        assert "best of 2 trials" in words
        assert Settings.read(tmp_path / "a.toml") == Settings(**content["settings"])
        scanrank(*QUICK, "--study", "study", "--out", "b.toml", "--force")
        assert Settings.read(tmp_path / "b.toml") == Settings(**content["found"])

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (("--out", "none/a.toml"), "--out none/a.toml: no such folder"),
            (("--warmup", 40), "scans leave 0 to search on, after a warm-up of 40"),
            (("--timeout", 0), "timeout is 0.0 s; expected more than 0"),
            (("--bars", "b.parquet"), "--ratings is missing"),
            (("--hit", "best"), "what counts as high-value is 'best'"),
            (("--from", "2031-01-01"), "no scan from 2031-01-01"),
        ],
    )
    def test_a_bad_call_ends_with_one_line(
        self, scanrank: Callable[..., Run], more: tuple[object, ...], message: str
    ) -> None:
        run = scanrank(*QUICK, *more)
        assert run.code == 2
        assert run.out == ""
        assert run.err.startswith("scanrank: ")
        assert message in run.err
        assert run.err.count("\n") == 1

    def test_a_missing_extra_is_named(
        self, scanrank: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = builtins.__import__

        def missing(name: str, *rest: Any, **further: Any) -> Any:
            if name == "optuna":
                raise ImportError(name)
            return real(name, *rest, **further)

        monkeypatch.setattr(builtins, "__import__", missing)
        run = scanrank(*QUICK)
        assert run.code == 2
        assert run.err == "scanrank: tuning needs Optuna: pip install 'scanrank[tune]'\n"

    def test_ctrl_c_says_how_to_go_on(
        self, scanrank: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("scanner_adapter.replay.tuning.tune.in_parallel", interrupted)
        run = scanrank(*QUICK, "--study", "mine")
        assert run.code == 130
        assert run.err == "scanrank: interrupted; run the same command to resume from mine\n"


class TestSettingsOption:
    def test_replay_uses_them(self, scanrank: Callable[..., Run], tmp_path: Path) -> None:
        (tmp_path / "s.toml").write_text(Settings(batch_size=7, exploration=0.0).to_toml())
        common = ("replay", "--from", "2022-05-02", "--warmup", 3, "--json", "out.json")
        run = scanrank(*common, "--settings", "s.toml")
        assert run.code == 0, run.err
        assert "batches of 7" in " ".join(run.out.split())
        run = scanrank(*common, "--settings", "s.toml", "--batch-size", 5)
        assert "batches of 5" in " ".join(run.out.split())

    def test_scan_uses_them(self, scanrank: Callable[..., Run], tmp_path: Path) -> None:
        """Greedily, and with nothing learned, the first batch is that of the seed weights."""
        simulate(n_symbols=40, n_days=90, seed=3).bars.to_csv(tmp_path / "bars.csv", index=False)
        call = (
            "scan", "--bars", "bars.csv", "--scanner", "technical_rating", "--store", "memory://",
            "--as-of", "2022-05-05", "--json", "--settings", "s.toml",
        )  # fmt: skip
        zero = dict.fromkeys(FACTORS, 0.0)
        context = factor_scores(Bars.read(tmp_path / "bars.csv"), as_of="2022-05-05")
        for factor in ("technical", "market"):
            settings = Settings(
                weights={**zero, factor: 1.0}, exploration=0.0, random_share=0.0, batch_size=10
            )
            (tmp_path / "s.toml").write_text(settings.to_toml())
            run = scanrank(*call)
            assert run.code == 0, run.err
            first = {row["symbol"] for row in json.loads(run.out)["results"][:10]}
            score, _ = combine(context.values, context.names)
            best = np.argsort(-score[:, FACTORS.index(factor)], kind="stable")[:10]
            assert first == {context.symbols[place] for place in best}

    @pytest.mark.parametrize("command", ["scan", "replay"])
    def test_a_file_with_a_slip_is_refused_at_once(
        self, scanrank: Callable[..., Run], tmp_path: Path, command: str
    ) -> None:
        (tmp_path / "s.toml").write_text("format = 1\nexploraton = 0.1\n")
        more = ("--bars", "b", "--scanner", "squeeze", "--as-of", "2022-05-05")
        run = scanrank(command, "--settings", "s.toml", *(more if command == "scan" else ()))
        assert run.code == 2
        assert "s.toml: 'exploraton' is not a setting; known settings:" in run.err
