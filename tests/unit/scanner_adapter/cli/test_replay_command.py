"""`scanrank replay` on the bundled log and on journals: tables, files, one line for mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from features.inputs.bars import Bars
from scanner_adapter.cli.app import main
from scanner_adapter.demo.simulator import simulate
from scanner_adapter.replay import Configuration, Ranked, bundled_log
from scanner_adapter.state.parquet import export_journal
from scanner_adapter.symbol_ranker import SymbolRanker

BUNDLED_PERIOD = ("--from", "2019-12-02", "--warmup", "8")


class Run(NamedTuple):
    code: int
    out: str
    err: str


Cli = Callable[..., Run]


@pytest.fixture
def replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: object) -> Run:
        monkeypatch.setattr("sys.argv", ["scanrank", "replay", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return Run(int(ended.value.code or 0), *capsys.readouterr())

    return run


class TestBundledLog:
    def test_it_needs_no_data(self, replay: Cli, tmp_path: Path) -> None:
        run = replay(*BUNDLED_PERIOD, "--by", "sector", "--json", tmp_path / "r.json")
        assert run.code == 0, run.err
        assert "2019-12-12 to 2020-01-10" in run.out
        assert "Real Estate" in run.out
        assert max(map(len, run.out.splitlines())) <= 80
        rows = json.loads((tmp_path / "r.json").read_text())
        assert [row["order"] for row in rows[:2]] == ["scanrank", "random"]
        groups = {row["group"] for row in rows if "group" in row}
        assert "Real Estate" in groups

    def test_a_log_on_which_no_order_can_pay_is_reported(self, replay: Cli, tmp_path: Path) -> None:
        """Nearly every rating of the bundled log is above -20."""
        run = replay(*BUNDLED_PERIOD, "--hit", "rating:-20", "--report", tmp_path / "report")
        assert run.code == 0, run.err
        printed = "Ordering cannot pay here, because 100% of the results are high-value"
        assert printed in run.out
        assert printed in (tmp_path / "report" / "index.html").read_text()

    def test_late_results_and_workers_are_reported(self, replay: Cli) -> None:
        run = replay(*BUNDLED_PERIOD, "--workers", 8, "--delay", 2)
        assert run.code == 0, run.err
        assert "8 workers, results 2 s late" in " ".join(run.out.split())

    def test_a_report_is_a_folder_of_pictures_and_a_page(self, replay: Cli, tmp_path: Path) -> None:
        run = replay(*BUNDLED_PERIOD, "--report", tmp_path / "report")
        assert run.code == 0, run.err
        assert (tmp_path / "report" / "index.html").read_text().startswith("<!doctype html>")
        assert (tmp_path / "report" / "recall.png").is_file()
        assert (tmp_path / "report" / "recall.svg").is_file()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--by", "size"), "expected one of regime, sector"),
            (("--same-day",), "include their own data"),
            (("--again",), "give its journal with --log"),
            (("--log", "nothing.parquet"), "no such file"),
            (("--bars", "b.csv"), "--ratings is missing"),
            (("--bars", "b.csv", "--ratings", "r.csv", "--log", "bundled"), "two logs"),
            (("--delay", 1, "--delay-batches", 1), "give only one of the two delays"),
            (("--from", "2031-01-01"), "no scan from 2031-01-01"),
        ],
    )
    def test_mistakes_are_one_line(
        self, replay: Cli, options: tuple[object, ...], message: str
    ) -> None:
        run = replay(*options)
        assert run.code == 2
        assert message in run.err
        assert len(run.err.splitlines()) == 1


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    frame = simulate(n_symbols=40, n_days=90, seed=1).bars
    return frame.assign(symbol=frame["symbol"].astype(str))


@pytest.fixture
def bars_file(bars: pd.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "bars.parquet"
    bars.to_parquet(path)
    return path


def journal(bars: pd.DataFrame, path: Path, shares: list[float]) -> Path:
    """Scans of the simulated bars, each up to a share of its universe."""
    known = Bars.from_frame(bars)
    ranker = SymbolRanker.open("memory://", ruleset="rules", seed=1, random_share=0.1)
    for number, share in enumerate(shares):
        day = known.dates[40 + number]
        with ranker.start_scan(
            known.symbols,
            bars=known,
            as_of=day,
            now=pd.Timestamp(day, tz="UTC") + timedelta(hours=21),
        ) as scan:
            while scan.n_scanned < share * len(known.symbols):
                batch = scan.next_batch(8)
                scan.report(
                    {s: float(known.close[40 + number, known.symbols.index(s)]) for s in batch}
                )
    export_journal(ranker.store, "rules", path)
    return path


class TestJournals:
    def test_complete_scans_are_a_log(
        self, replay: Cli, bars: pd.DataFrame, tmp_path: Path
    ) -> None:
        path = journal(bars, tmp_path / "j.parquet", [1.0] * 6 + [0.5])
        run = replay("--log", path, "--warmup", 1)
        assert run.code == 0, run.err
        assert "1 of the journal's 7 scans did not run to their end" in " ".join(run.out.split())
        assert "mean of 5 scans" in run.out

    def test_words_that_a_journal_does_not_keep_are_refused(
        self, replay: Cli, bars: pd.DataFrame, tmp_path: Path
    ) -> None:
        path = journal(bars, tmp_path / "j.parquet", [1.0, 1.0])
        run = replay("--log", path, "--hit", "signal:Grade A")
        assert run.code == 2
        assert "keeps only whether a signal was high-value by top:0.05" in run.err

    def test_they_come_out_again(
        self, replay: Cli, bars: pd.DataFrame, bars_file: Path, tmp_path: Path
    ) -> None:
        path = journal(bars, tmp_path / "j.parquet", [1.0, 0.5, 1.0])
        run = replay("--log", path, "--again")
        assert run.code == 0, run.err
        assert "2 scans were reproduced bit for bit" in " ".join(run.out.split())
        run = replay("--log", path, "--again", "--bars", bars_file, "--json", tmp_path / "v.json")
        assert run.code == 0, run.err
        assert [v["is_same"] for v in json.loads((tmp_path / "v.json").read_text())] == [True] * 3

    def test_stopped_scans_are_estimated_or_refused(
        self, replay: Cli, bars: pd.DataFrame, bars_file: Path, tmp_path: Path
    ) -> None:
        path = journal(bars, tmp_path / "j.parquet", [0.6] * 25)
        run = replay("--log", path, "--bars", bars_file, "--json", tmp_path / "v.json")
        assert run.code == 0, run.err
        assert "judged from the logged propensities" in " ".join(run.out.split())
        rows = json.loads((tmp_path / "v.json").read_text())
        assert len(rows) == 18
        for row in rows:
            assert (row["estimate"] is None) == bool(row["refusal"])

    def test_a_ranker_in_memory_can_be_exported_too(self, replay: Cli, tmp_path: Path) -> None:
        """The bundled log, learned from as live, gives a journal that is a log as well."""
        log = bundled_log()
        ranker = Configuration(seed=2).open(log.rule)
        learner = Ranked(ranker)
        for scan in log.scans(log.days()[:4]):
            learner.visit(scan, len(scan.symbols))
        export_journal(ranker.store, "replay", tmp_path / "j.parquet")
        run = replay("--log", tmp_path / "j.parquet", "--warmup", 1, "--by", "sector")
        assert run.code == 0, run.err
        assert "Real Estate" in run.out


class TestManyScansADay:
    def test_a_scanner_over_made_days(self, replay: Cli, tmp_path: Path) -> None:
        frame = simulate(n_symbols=40, n_days=80, seed=1).bars
        frame.assign(symbol=frame["symbol"].astype(str)).to_parquet(tmp_path / "bars.parquet")
        asked = ("--bars", "bars.parquet", "--scanner", "squeeze", "--from", "2022-04-18")
        run = replay(*asked, "--every", "2h", "--budget", "10%", "--json", "r.json", "--warmup", 1)
        assert run.code == 0, run.err
        said = " ".join(run.out.split())
        assert "A scan every 120 minutes: squeeze on today's bar so far, simulated from" in said
        assert "4 scans a day, each of 10% of 40 symbols" in said
        assert "--hits-last" in said
        rows = json.loads((tmp_path / "r.json").read_text())
        names = ["scanrank", "greedy", "last hits first", "round robin"]
        assert [row["order"] for row in rows] == names
        shown = {row["order"]: f"{row['found_while_they_last']:.3f}" for row in rows}
        for name, share in shown.items():
            assert f"{name} {share}" in said
        # Four symbols of forty, four times a day: round robin is through on the third day.
        assert 48 <= rows[3]["oldest_look_hours"] < 96
        assert max(map(len, run.out.splitlines())) <= 80
        plain = replay(*asked, "--every", "2h", "--budget", "0.1", "--warmup", 1)
        assert plain.out == run.out
        known = replay(
            *asked, "--every", "2h", "--budget", "0.1", "--warmup", 1, "--hits-last", "2h"
        )
        assert "look where something new may be" not in known.out

    def test_a_journal_of_many_scans_a_day_says_when_they_were(
        self, replay: Cli, tmp_path: Path
    ) -> None:
        symbols = tuple(f"S{j:02d}" for j in range(20))
        with SymbolRanker.open("memory://", ruleset="day", seed=1) as ranker:
            for day in (4, 5, 6):
                for number in range(6):
                    now = pd.Timestamp(f"2024-03-0{day} 15:00", tz="UTC")
                    with ranker.start_scan(
                        symbols, now=now + number * timedelta(minutes=5)
                    ) as scan:
                        for batch in scan.batches(20):
                            scan.report({s: float((symbols.index(s) + number) % 20) for s in batch})
            export_journal(ranker.store, "day", tmp_path / "journal.parquet")
        options = ("--log", "journal.parquet", "--budget", "20%", "--warmup", 1)
        run = replay(*options, "--every", "5min")
        assert run.code == 0, run.err
        said = " ".join(run.out.split())
        assert "A scan every 5 minutes: the times of the log." in said
        assert "6 scans a day, each of 20% of 20 symbols" in said
        thinned = replay(*options, "--every", "10min")
        assert "3 scans a day" in " ".join(thinned.out.split())

    def test_one_scan_a_day_and_no_budget_are_refused_in_one_line(self, replay: Cli) -> None:
        run = replay("--every", "5min", "--budget", "2%")
        assert (run.code, run.out) == (2, "")
        assert "120 scans on 120 days, one a day" in run.err
        assert "--scanner" in run.err
        assert "--budget" in replay("--every", "5min").err
        assert "such as 90s, 5min" in replay("--every", "often", "--budget", "2%").err
        assert "--every" in replay("--seen-within", "1h").err
        assert replay("--budget", "many").code == 2
