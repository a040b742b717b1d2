"""`scanrank symbol`, `journal export x.csv` and `replay --until`: what a history answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from bandit.errors import InvalidInputError
from scanner_adapter.cli.app import main
from scanner_adapter.run.stop_rules import HitsFound, RecallReached, stop_rule_from_text
from scanrank import Signal, SymbolRanker, Threshold

SYMBOLS = ["NVDA", "AAPL", "IBM"]


def evaluate(symbol: str) -> dict[str, float]:
    if symbol == "IBM":
        raise ValueError("no bars")
    return {"rating": 90.0 if symbol == "NVDA" else 10.0, "rsi": 55.0}


@pytest.fixture
def scanrank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCANRANK_STORE", f"sqlite:///{tmp_path}/s.db")
    monkeypatch.setenv("COLUMNS", "100")
    with SymbolRanker.open(
        f"sqlite:///{tmp_path}/s.db", ruleset="breakout", rewards=Threshold(70.0), seed=1
    ) as ranker:
        for name in ("monday", "tuesday"):
            ranker.start_scan(SYMBOLS, scan_id=name).run(evaluate)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["scanrank", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def test_a_symbol_shows_its_scans_and_what_is_believed(
    scanrank: Callable[..., tuple[int, str, str]],
) -> None:
    code, out, _ = scanrank("symbol", "NVDA")
    assert code == 0
    assert "NVDA under breakout: high-value in 2 of 2 scans" in out
    assert out.index("tuesday") < out.index("monday")
    assert "track record: reward" in out
    assert "last scanned 0.0 days before the newest scan" in " ".join(out.split())
    known = json.loads(scanrank("symbol", "AAPL", "--json")[1])["breakout"]
    assert [scan["is_hit"] for scan in known["scans"]] == [False, False]
    assert known["track"]["last_reward"] == 0.0
    assert "error" in scanrank("symbol", "IBM")[1]


def test_a_ruleset_without_results_hides_no_other(
    scanrank: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    with SymbolRanker.open(f"sqlite:///{tmp_path}/s.db", ruleset="broken", seed=1) as ranker:
        ranker.start_scan(SYMBOLS).close()
    code, out, err = scanrank("symbol", "NVDA")
    assert (code, "under breakout" in out, "under broken" in out) == (0, True, False), err
    assert scanrank("journal", "export", "none.csv", "--ruleset", "broken")[0] == 2
    assert not (tmp_path / "none.csv").exists()


def test_a_symbol_of_signals_alone_has_no_rating(
    scanrank: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    with SymbolRanker.open(url, ruleset="words", rewards=Signal(), seed=1) as ranker:
        ranker.start_scan(["BUY"]).run(lambda _symbol: "Buy")
    code, out, err = scanrank("symbol", "BUY")
    assert code == 0, err
    assert "high-value in 1 of 1 scans" in out
    assert "nan" not in out


def test_a_symbol_that_nobody_scanned_is_an_error(
    scanrank: Callable[..., tuple[int, str, str]],
) -> None:
    code, out, err = scanrank("symbol", "nope")
    assert (code, out) == (2, "")
    assert "no ruleset in" in err
    assert "'nope'" in err
    assert "NVDA under breakout" in scanrank("symbol", "nvda")[1], "typed in small letters"


def test_a_journal_as_csv_has_a_row_for_each_result(
    scanrank: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, out, _ = scanrank("journal", "export", "results.csv", "--ruleset", "breakout")
    assert code == 0
    table = pd.read_csv(tmp_path / "results.csv")
    assert f"{len(table)} results of breakout written" in out
    good = table[~table["is_error"]]
    assert good["symbol"].value_counts().to_dict() == {"NVDA": 2, "AAPL": 2}
    assert good.loc[good["is_hit"], "symbol"].tolist() == ["NVDA", "NVDA"]
    assert good["rsi"].eq(55.0).all()
    assert scanrank("journal", "export", "no.csv", "--ruleset", "other")[0] == 2


def test_stop_rules_are_compared_on_the_bundled_log(
    scanrank: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """Half of 397 symbols and a rule that no scan reaches: 50 % and 100 % of them are scanned."""
    code, out, err = scanrank(
        "replay", "--from", "2019-12-02", "--warmup", "15", "--until", "symbols:199", "--until",
        "hits:1000", "--until", "recall:0.9", "--json", "rules.json",
    )  # fmt: skip
    assert code == 0, err
    assert "Stop rules on" in out
    rows = json.loads((tmp_path / "rules.json").read_text())
    by_rule = {row["rule"]: row for row in rows}
    assert by_rule["symbols:199"]["scanned"] == pytest.approx(0.5, abs=0.02)
    assert by_rule["symbols:199"]["kept"] is None
    assert by_rule["hits:1000"]["scanned"] == by_rule["hits:1000"]["found"] == 1.0
    assert 0.0 < by_rule["recall:0.9"]["scanned"] < 1.0
    assert by_rule["recall:0.9"]["kept"] >= 0.8


@pytest.mark.parametrize(
    ("text", "rule"),
    [("recall:0.8", RecallReached(0.8)), ("hits:20", HitsFound(20))],
)
def test_stop_rules_are_read(text: str, rule: object) -> None:
    assert stop_rule_from_text(text) == rule


@pytest.mark.parametrize("text", ["recall", "recall:2", "hits:x", "seconds:5", "hits:1,2", ""])
def test_what_is_no_stop_rule_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="stop rule"):
        stop_rule_from_text(text)
