"""`scanrank scan`: the files and messages that it writes, and the symbols that it scans."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bandit.rewards import Threshold
from scanner_adapter import SymbolRanker
from scanner_adapter.cli.app import main
from scanner_adapter.cli.output.results import Finding, write_csv
from scanner_adapter.demo.simulator import simulate
from scanner_adapter.state.history import export_csv
from tests.servers import wait_until

Cli = Callable[..., dict[str, Any]]


@pytest.fixture
def scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    monkeypatch.chdir(tmp_path)
    frame = simulate(n_symbols=60, n_days=90, seed=3).bars
    frame.assign(symbol=frame["symbol"].astype(str)).to_parquet("bars.parquet")

    def run(*options: str, code: int = 0) -> dict[str, Any]:
        monkeypatch.setattr("sys.argv", [
            "scanrank", "scan", "--bars", "bars.parquet", "--scanner", "breakout", "--as-of",
            "last", "--store", f"sqlite:///{tmp_path}/s.db", "--json", *options,
        ])  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert int(ended.value.code or 0) == code, err
        return {"err": err} | (json.loads(out) if out else {})

    return run


def test_lines_and_csv_hold_what_was_scanned(scan: Cli, tmp_path: Path) -> None:
    found = scan("--jsonl", "results.jsonl", "--csv", "results.csv", "--max-symbols", "20")
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    with (tmp_path / "results.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    symbols = [result["symbol"] for result in found["results"]]
    assert len(symbols) == 20
    assert [line["symbol"] for line in lines] == symbols
    assert [row["symbol"] for row in table] == symbols
    assert [row["place"] for row in table] == [str(place) for place in range(1, 21)]


@pytest.mark.parametrize("option", ["--csv", "--jsonl"])
def test_a_file_that_cannot_be_written_is_refused_before_the_scan(
    scan: Cli, tmp_path: Path, option: str
) -> None:
    assert f"{option} . is a folder; expected a file" in scan(option, ".", code=2)["err"]
    assert "no such folder" in scan(option, "none/x", code=2)["err"]
    assert not (tmp_path / "s.db").exists()


def test_a_pipe_and_a_link_stay_what_they_are(scan: Cli, tmp_path: Path) -> None:
    """As /dev/stdout does, which a process with all rights would else replace for everybody."""
    pipe, link, target = tmp_path / "pipe", tmp_path / "link.csv", tmp_path / "target.csv"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    scan("--csv", "pipe", "--max-symbols", "5")
    assert os.read(reader, 1 << 16).startswith(b"place,symbol")
    os.close(reader)
    assert pipe.is_fifo()
    link.symlink_to(target)
    scan("--csv", "link.csv", "--max-symbols", "5")
    assert link.is_symlink()
    assert target.read_text().startswith("place,symbol")


def test_a_failure_of_ours_leaves_results_that_nothing_judges(
    scan: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bandit.choice.open_scan.OpenScan.select", lambda _scan, _k: 1 / 0)
    found = scan("--max-symbols", "5", "--csv", "results.csv")
    assert (found["n_hits"], found["failure"]) == (None, "ZeroDivisionError: division by zero")
    assert [result["is_hit"] for result in found["results"]] == [None] * 5
    with (tmp_path / "results.csv").open(newline="") as file:
        assert [row["is_hit"] for row in csv.DictReader(file)] == [""] * 5


def test_no_symbol_is_a_formula_in_a_spreadsheet(tmp_path: Path) -> None:
    """In none of the tables: a scan's, a journal's, and (its own test) the page's."""
    write_csv(tmp_path / "scan.csv", [Finding(1, "=1+1", False, False, 2.0, None, None, None)])
    with SymbolRanker.open("memory://", ruleset="t", rewards=Threshold(1.0)) as ranker:
        with ranker.start_scan(["=1+1"]) as scan:
            scan.report({"=1+1": 2.0} if scan.next_batch(1) else {})
        export_csv(ranker.store, "t", tmp_path / "journal.csv")
    for name in ("scan.csv", "journal.csv"):
        with (tmp_path / name).open(newline="") as file:
            assert [row["symbol"] for row in csv.DictReader(file)] == ["'=1+1"]


def test_symbols_pins_and_exclusions(scan: Cli, tmp_path: Path) -> None:
    every = sorted(result["symbol"] for result in scan()["results"])
    a, b, c, d = every[:4]
    (tmp_path / "universe.csv").write_text(f"name,symbol\nx,{a}\ny,{b}\nz,{c}\nw,{d}\nv,GONE\n")
    found = scan("--symbols", "universe.csv", "--pin", f"{d},{c}", "--exclude", a)
    assert [result["symbol"] for result in found["results"]] == [d, c, b]
    assert "left out for lack of recent bars: GONE" in found["err"]
    assert "--pin GONE" in scan("--pin", "GONE", code=2)["err"]
    assert "no symbol is left to scan;" in scan("--symbols", a, "--exclude", a, code=2)["err"]
    missing = scan("--symbols", "missing.txt", code=2)["err"]
    assert "missing.txt is neither a file nor a symbol with recent bars" in missing
    (tmp_path / "excel.csv").write_text(f'symbol,name\n"{a}","A, Inc"\n', encoding="utf-8-sig")
    (tmp_path / "notepad.txt").write_text(f"{b}\r\n{c}\r\n", encoding="utf-8-sig")
    for file, names in (("excel.csv", {a}), ("notepad.txt", {b, c})):
        found = scan("--symbols", file)
        assert {result["symbol"] for result in found["results"]} == names


def test_only_the_first_scan_says_that_it_is_the_expensive_one(scan: Cli) -> None:
    assert "first scan of breakout: nothing has been learned yet" in scan()["err"]
    assert "first scan" not in scan()["err"]


def test_a_message_names_the_hits_with_reasons_and_a_link(
    scan: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(
        "apprise.Apprise.notify",
        lambda _self, body, **_: sent.append(body) or True,  # type: ignore[func-returns-value]
    )
    monkeypatch.setenv("SCANRANK_NOTIFY", "json://localhost/hits")
    found = scan("--hit", "top:0.1", "--scan-id", "noon", "--page", "http://desk:8765")
    hits = {result["symbol"] for result in found["results"] if result["is_hit"]}
    lines = "\n".join(sent).splitlines()
    assert f"{len(hits)} high-value in 60 of 60 symbols" in "\n".join(sent)
    assert "http://desk:8765/#breakout/noon" in "\n".join(sent)
    printed = {line.partition(":")[0] for line in lines if ": rating" in line}
    assert hits <= printed
    assert all("of symbols like this one" in line for line in lines if ": rating" in line)


def test_the_lines_go_to_the_next_program(tmp_path: Path, scan: Cli) -> None:
    """Alone: what people read goes to the error stream."""
    assert "--jsonl - and --json both print" in scan("--jsonl", "-", code=2)["err"]
    assert "--csv -: expected a file" in scan("--csv", "-", code=2)["err"]
    done = subprocess.run(
        [
            sys.executable, "-m", "scanrank", "scan", "--bars", "bars.parquet", "--scanner",
            "breakout", "--as-of", "last", "--store", f"sqlite:///{tmp_path}/s.db", "--jsonl", "-",
        ],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert len({json.loads(line)["symbol"] for line in done.stdout.splitlines()}) == 60
    assert "60 of 60 symbols" in done.stderr
    assert not (tmp_path / "-").exists()


@pytest.mark.parametrize(
    ("body", "advice"),
    [
        ("None", "if that means no signal, use --hit signal-or-none"),
        ("{'price': 1.0}", "return it under the name rating or signal; the row has 'price'"),
        ("object()", "For anything else, return True or False"),
        ("1.0", "return it under the name rating or signal, or return True or False"),
    ],
)
def test_advice_names_options_of_the_command(
    scan: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, advice: str
) -> None:
    (tmp_path / "odd.py").write_text(f"def rate(symbol, bars):\n    return {body}\n")
    monkeypatch.delitem(sys.modules, "odd", raising=False)
    found = scan("--scanner", "odd:rate", code=0 if body == "1.0" else 3)
    printed = json.dumps(found, ensure_ascii=False)
    assert advice in found["warning"]
    assert "rewards=" not in printed
    assert "row_map=" not in printed


@pytest.mark.skipif(sys.platform == "win32", reason="there SIGTERM ends a process at once")
def test_sigterm_ends_a_scan_as_ctrl_c_does(scan: Cli, tmp_path: Path) -> None:
    """`systemctl stop` sends it: what was found is learned, and the signal stays the reason."""
    slow = "import time\ndef rate(symbol, bars):\n    time.sleep(0.05)\n    return 1.0\n"
    (tmp_path / "slow.py").write_text(slow)
    url = f"sqlite:///{tmp_path}/s.db"
    process = subprocess.Popen(
        [
            sys.executable, "-m", "scanrank", "scan", "--bars", "bars.parquet",
            "--scanner", "slow:rate", "--as-of", "last", "--store", url, "--jsonl", "lines.jsonl",
        ],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until(lambda: (tmp_path / "lines.jsonl").is_file(), "the scan to begin", 30)
    wait_until(lambda: (tmp_path / "lines.jsonl").read_text(), "a result", 30)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM, err
    assert "Stopped early: interrupted" in out
    n_lines = len((tmp_path / "lines.jsonl").read_text().splitlines())
    with SymbolRanker.open(url, ruleset="slow.rate") as ranker:
        assert ranker.n_scans == 1
        assert n_lines - 1 <= len(ranker.to_frame()) <= n_lines
