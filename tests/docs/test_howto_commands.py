"""Every command of the analyst's pages runs as it stands there, and prints the right figures."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pages import blocks

from features.inputs.bars import Bars
from scanner_adapter import SymbolRanker, compare
from scanner_adapter.cli.app import main
from scanner_adapter.demo.simulator import simulate
from scanner_adapter.replay import ReplayLog, ReplayReport, bundled_log, replay
from scanner_adapter.replay.journals.journal_scan import journal_scans, recorded_log
from scanner_adapter.replay.journals.reproduce import replay_again
from scanner_adapter.replay.tuning.tune import tune
from scanner_adapter.scanners.registry import rule_hits
from scanner_adapter.settings import Settings
from scanner_adapter.state.parquet import export_journal, read_journal

DOCS = Path(__file__).parents[2] / "docs" / "how-to"
PAGES = ("replay", "tune", "roll-out", "run-on-a-cluster", "share-a-scan", "notify", "stop-early")
COMMANDS = {
    page: [
        line.partition("#")[0].strip()
        for block in blocks((DOCS / f"{page}.md").read_text(), "sh")
        for line in block.code.splitlines()
        if line.startswith("scanrank ")
    ]
    for page in PAGES
}
# A search of 50 trials takes minutes; the simulated log is short.
SHORTER = {"tune": "--trials 2 --warmup 5"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the pages name, of a simulated market that ends on 2019-12-31."""
    folder = tmp_path_factory.mktemp("how-to")
    frame = simulate(n_symbols=40, n_days=200, seed=3, start="2019-03-27").bars
    frame = frame.assign(symbol=frame["symbol"].astype(str))
    frame.to_parquet(folder / "bars.parquet")
    bars = Bars.from_frame(frame)
    _, rating = rule_hits("technical_rating", bars)
    days, places = np.nonzero(~np.isnan(rating))
    late = days >= len(bars.dates) - 75
    days, places = days[late], places[late]
    pd.DataFrame(
        {
            "date": bars.dates[days].astype("datetime64[s]"),
            "symbol": np.array(bars.symbols)[places],
            "rating": rating[days, places],
        }
    ).to_parquet(folder / "ratings.parquet")
    with SymbolRanker.open(
        f"embedded://{folder}/data/scanrank", ruleset="breakout", seed=1, rollout=0.5
    ) as ranker:
        for day in np.unique(days)[-24:].tolist():
            now = pd.Timestamp(bars.dates[day], tz="UTC") + pd.Timedelta(hours=21)
            scan = ranker.start_scan(bars.symbols, bars=bars, as_of=bars.dates[day - 1], now=now)
            with scan:
                for batch in scan.batches(8):
                    scan.report({s: float(rating[day, bars.symbols.index(s)]) for s in batch})
        export_journal(ranker.store, "breakout", folder / "journal.parquet")
    return folder


@pytest.fixture
def run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], str]:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
    monkeypatch.setenv("SCANRANK_CACHE", str(folder / "cache"))

    def run(command: str) -> str:
        monkeypatch.setattr("sys.argv", shlex.split(command))
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert not ended.value.code, err
        return str(out)

    return run


def figures(out: str) -> dict[str, list[str]]:
    """The shares in 5, 10 and 25 % and the area of each order, as the table shows them."""
    rows = (line.replace("±", " ±").split() for line in out.splitlines())
    found = {}
    for words in rows:
        numbers = [word for word in words if word.replace(".", "", 1).isdigit()]
        if words and len(numbers) >= 5 and "." in numbers[0]:
            name = " ".join(words[: words.index(numbers[0])])
            found[name] = numbers[:4]
    return found


def expected(report: ReplayReport) -> dict[str, list[str]]:
    names = ("recall_5", "recall_10", "recall_25", "area")
    return {
        order: [f"{report.interval(order, name).mean:.3f}" for name in names]
        for order in report.results
    }


def test_the_pages_have_these_commands() -> None:
    assert {page: len(commands) for page, commands in COMMANDS.items()} == {
        "replay": 3, "tune": 3, "roll-out": 2, "run-on-a-cluster": 0, "share-a-scan": 0,
        "notify": 4, "stop-early": 1,
    }  # fmt: skip


class TestReplay:
    def test_the_bundled_log(self, run: Callable[[str], str]) -> None:
        assert figures(run(COMMANDS["replay"][0])) == expected(replay(bundled_log(), warmup=30))

    @pytest.mark.parametrize("page", ["replay", "roll-out"])
    def test_ratings(self, run: Callable[[str], str], page: str) -> None:
        command = next(c for c in COMMANDS[page] if "--ratings" in c)
        log = ReplayLog.read("bars.parquet", "ratings.parquet")
        assert figures(run(command)) == expected(replay(log, warmup=60))

    def test_a_journal(self, run: Callable[[str], str]) -> None:
        out = run(COMMANDS["replay"][2])
        log = recorded_log(journal_scans(read_journal(Path("journal.parquet"))))
        assert figures(out) == expected(replay(log, warmup=6))
        assert "mean of 18 scans" in out

    def test_its_choices_are_made_again(self, run: Callable[[str], str]) -> None:
        command = "scanrank replay --log journal.parquet --again"
        assert f"`{command}`" in (DOCS / "replay.md").read_text()
        verdicts = replay_again(read_journal(Path("journal.parquet")))
        out = run(command)
        assert len(verdicts) == 24
        assert all(verdict.is_same for verdict in verdicts)
        assert all(verdict.scan_id[:8] in out for verdict in verdicts)


class TestTune:
    def test_search_write_and_use(self, run: Callable[[str], str]) -> None:
        pytest.importorskip("optuna")
        search, again, scan = COMMANDS["tune"]
        out = " ".join(run(f"{search} {SHORTER['tune']}").split())
        log = ReplayLog.read("bars.parquet", "ratings.parquet")
        result = tune(log, trials=2, warmup=5)
        assert result.verdict in out.replace(out[0], out[0].lower()) or (
            f"{result.verdict[0].upper()}{result.verdict[1:]}" in out
        )
        assert Settings.read("settings.toml") == result.settings
        settings = result.settings.arguments()
        table = figures(run(again))
        assert table["last rating"] == expected(replay(log, warmup=60))["last rating"]
        assert settings["batch_size"] == Settings.read("settings.toml").batch_size
        assert "breakout on 2019-12-31: the best 20 of 40 scanned" in run(scan)


def test_messages_and_files(
    run: Callable[[str], str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("apprise")
    sent: list[str] = []
    monkeypatch.setattr("apprise.Apprise.notify", lambda _self, body, **_: not sent.append(body))  # type: ignore[func-returns-value]
    with_messages, with_files, export, symbol = COMMANDS["notify"]
    monkeypatch.setenv("SCANRANK_NOTIFY", "json://localhost/hits")
    run(with_messages)
    assert "http://localhost:8765/#breakout/" in sent[-1]
    monkeypatch.delenv("SCANRANK_NOTIFY")
    run(with_files)
    assert len((folder / "results.jsonl").read_text().splitlines()) == 40
    assert len((folder / "results.csv").read_text().splitlines()) == 41
    assert "results of breakout written to results.csv" in run(export)
    assert "SIM0001 under breakout: high-value in" in run(symbol)


def test_stop_rules_as_the_page_shows_them(run: Callable[[str], str]) -> None:
    page = (DOCS / "stop-early.md").read_text()
    shown, printed = (
        {row[0]: row[1:] for line in text.splitlines() if (row := line.split()) and ":" in row[0]}
        for text in (page, run(COMMANDS["stop-early"][0]))
    )
    shown = {rule: row for rule, row in shown.items() if rule in printed}
    assert len(shown) == 4
    for rule, row in shown.items():
        # Processors round the last bit differently: a symbol or two change places.
        for mine, theirs in zip(printed[rule], row, strict=True):
            assert mine == theirs or abs(float(mine[:-1]) - float(theirs[:-1])) <= 0.2, rule


def test_compare(run: Callable[[str], str], folder: Path) -> None:
    out = " ".join(run(COMMANDS["roll-out"][1]).split())
    with SymbolRanker.open(f"embedded://{folder}/data/scanrank", ruleset="breakout") as ranker:
        found = compare(ranker.store, "breakout")
    assert " ".join(str(found).split()) in out
    assert found.prioritised.n + found.control.n >= 24
