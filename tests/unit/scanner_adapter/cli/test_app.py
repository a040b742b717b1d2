"""The command line: what it prints, and one clear line with exit code 2 for every bad input."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from bandit.rewards import rule_from_text
from features.inputs.bars import Bars
from scanner_adapter.cli.app import main
from scanner_adapter.demo.simulator import simulate
from scanner_adapter.replay import Signal, Threshold, TopShare
from scanner_adapter.scanners.registry import rule_hits

DAY = "2022-05-05"  # the last but one of 90 trading days


class Run(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    bars = simulate(n_symbols=120, n_days=90, seed=3).bars
    return bars.assign(symbol=bars["symbol"].astype(str))


@pytest.fixture
def scanrank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Run]:
    """Run the command line in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Run:
        monkeypatch.setattr("sys.argv", ["scanrank", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return Run(int(ended.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def bars_file(frame: pd.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "bars.parquet"
    frame.to_parquet(path)
    return path


def scan(bars: Path, **options: object) -> list[object]:
    """Arguments of a scan that works, with some of them replaced or added."""
    given = {"scanner": "breakout", "as-of": DAY, "store": "memory://"} | {
        name.replace("_", "-"): value for name, value in options.items()
    }
    return ["scan", "--bars", bars, *(part for k, v in given.items() for part in (f"--{k}", v))]


def test_version(scanrank: Callable[..., Run]) -> None:
    assert scanrank("--version").out == f"scanrank {version('scanrank')}\n"


def test_help_names_every_command(scanrank: Callable[..., Run]) -> None:
    out = scanrank("--help").out
    assert all(command in out for command in ("demo", "scan", "replay"))


def test_a_whole_scan_as_json_holds_every_symbol_once(
    scanrank: Callable[..., Run], bars_file: Path, frame: pd.DataFrame
) -> None:
    run = scanrank(*scan(bars_file, scanner="volume_surge", workers=3), "--json")
    assert run.code == 0
    found = json.loads(run.out)
    results = found["results"]
    assert [row["place"] for row in results] == list(range(1, 121))
    assert {row["symbol"] for row in results} == set(frame["symbol"])
    bars = Bars.from_frame(frame).until(DAY)
    is_hit, rating = rule_hits("volume_surge", bars)
    expected = dict(zip(bars.symbols, is_hit[-1].tolist(), strict=True))
    assert {row["symbol"]: row["is_hit"] for row in results} == expected
    assert found["n_hits"] == sum(expected.values()) > 0
    assert found["n_scanned"] == found["n_symbols"] == 120
    assert (found["stopped"], found["n_errors"], found["scans_learned"]) == (None, 0, 1)
    by_symbol = {row["symbol"]: row["rating"] for row in results}
    assert [by_symbol[symbol] for symbol in bars.symbols] == rating[-1].tolist()


def test_a_scan_for_people_shows_the_best_and_says_how_it_went(
    scanrank: Callable[..., Run], bars_file: Path
) -> None:
    run = scanrank(*scan(bars_file, scanner="volume_surge"))
    assert run.code == 0
    assert f"volume_surge on {DAY}: the best 20 of 120 scanned" in run.out
    assert re.search(r"Scan \w+: 120 of 120 symbols, \d+ high-value", run.out)
    assert "\x1b" not in run.out
    assert max(map(len, run.out.splitlines())) <= 80


def test_the_limit_of_symbols_is_kept_exactly(
    scanrank: Callable[..., Run], bars_file: Path
) -> None:
    found = json.loads(scanrank(*scan(bars_file, max_symbols=73), "--json").out)
    assert found["n_scanned"] == len(found["results"]) == 73
    assert found["stopped"] == "73 symbols scanned"


def test_a_second_scan_has_learned_from_the_first(
    scanrank: Callable[..., Run], bars_file: Path, tmp_path: Path
) -> None:
    store = f"embedded://{tmp_path / 'store'}"
    learned = [
        json.loads(scanrank(*scan(bars_file, store=store, as_of=day), "--json").out)
        for day in ("2022-05-04", "2022-05-05")
    ]
    assert [found["scans_learned"] for found in learned] == [1, 2]
    assert {found["store"] for found in learned} == {"saved"}


def test_the_users_own_scanner_and_its_failures(
    scanrank: Callable[..., Run], bars_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        "def rate(symbol, bars):\n"
        "    assert str(bars['date'].iloc[-1].date()) == '2022-05-05'\n"
        "    if symbol == 'SIM0007':\n"
        "        raise KeyError('no fundamentals')\n"
        "    if symbol == 'SIM0008':\n"
        "        return 'strong'\n"
        "    return float(bars['close'].iloc[-1])\n"
    )
    found = json.loads(scanrank(*scan(bars_file, scanner="mine:rate", hit="top:0.1"), "--json").out)
    errors = {row["symbol"]: row["error"] for row in found["results"] if row["error"]}
    assert set(errors) == {"SIM0007", "SIM0008"}
    assert errors["SIM0007"] == "KeyError: 'no fundamentals'"
    assert "'strong'" in errors["SIM0008"]
    assert (found["n_scanned"], found["n_errors"]) == (120, 2)
    assert 5 <= found["n_hits"] <= 25  # about the top tenth of 118


def test_a_scan_of_errors_alone_says_so_and_has_an_exit_code_of_its_own(
    scanrank: Callable[..., Run], bars_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("def rate(symbol, bars):\n    return None\n")
    run = scanrank(*scan(bars_file, scanner="broken:rate"), "--json")
    found = json.loads(run.out)
    assert (run.code, found["n_errors"], found["recall"], found["scans_learned"]) == (
        3,
        120,
        None,
        0,
    )
    assert found["warning"].startswith(
        "all 120 results are errors, so nothing is learned from them"
    )
    shown = scanrank(*scan(bars_file, scanner="broken:rate"))
    assert shown.code == 3
    assert "Warning: all 120 results are errors" in shown.out
    found = json.loads(
        scanrank(*scan(bars_file, scanner="broken:rate", hit="signal-or-none"), "--json").out
    )
    assert (found["n_errors"], found["n_hits"]) == (0, 0)


def test_an_interrupted_scan_keeps_and_shows_what_it_found(
    scanrank: Callable[..., Run], bars_file: Path, tmp_path: Path
) -> None:
    """Ctrl-C during the 70th evaluation, the 20th of the second batch: 69 are reported."""
    (tmp_path / "interrupted.py").write_text(
        "n = 0\n"
        "def rate(symbol, bars):\n"
        "    global n\n"
        "    n += 1\n"
        "    if n == 70:\n"
        "        raise KeyboardInterrupt\n"
        "    return float(n)\n"
    )
    run = scanrank(*scan(bars_file, scanner="interrupted:rate"), "--json")
    found = json.loads(run.out)
    assert run.code == 130
    assert (found["n_scanned"], found["stopped"], found["store"]) == (
        69,
        "interrupted",
        "saved",
    )


def test_a_yfinance_download_saved_as_csv_works_as_it_is(
    scanrank: Callable[..., Run], frame: pd.DataFrame, tmp_path: Path
) -> None:
    wide = frame.rename(columns=str.capitalize).pivot(index="Date", columns="Symbol")
    wide.columns.names = ["Price", "Ticker"]
    wide.to_csv(tmp_path / "prices.csv")
    found = json.loads(scanrank(*scan(tmp_path / "prices.csv"), "--json").out)
    assert found["n_scanned"] == 120


def spoil_missing_column(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns="volume")


def spoil_duplicate(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame, frame.iloc[[-1]].assign(volume=1)])


def spoil_price(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(low=frame["low"].where(frame.index != 41, -1.0))


def spoil_all(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.iloc[:0]


def assert_one_clear_line(run: Run, message: str) -> None:
    assert run.code == 2, run.err
    assert run.out == ""
    assert run.err.count("\n") == 1, run.err
    assert run.err.startswith("scanrank: ")
    assert message in run.err


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_missing_column, "missing columns in bars: volume"),
        (spoil_duplicate, "two bars of SIM0119 on 2022-05-06"),
        (spoil_price, "SIM0000 on 2022-03-01 has a price that is not positive"),
        (spoil_all, "no complete bar in 0 rows"),
    ],
)
def test_bad_bars_are_refused_before_anything_is_stored(
    spoil: Callable[[pd.DataFrame], pd.DataFrame],
    message: str,
    scanrank: Callable[..., Run],
    frame: pd.DataFrame,
    tmp_path: Path,
) -> None:
    path = tmp_path / "bad.parquet"
    spoil(frame).to_parquet(path)
    run = scanrank(*scan(path, store=f"embedded://{tmp_path / 'store'}"))
    assert_one_clear_line(run, message)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scanner": "breakuot"}, "unknown scanner 'breakuot': use one of breakout"),
        ({"scanner": "nowhere:scan"}, "cannot import nowhere"),
        ({"store": "redis://127.0.0.1:1/0"}, "127.0.0.1:1"),
        ({"store": "mysql://somewhere"}, "store scheme 'mysql'"),
        ({"as_of": "2019-01-01"}, "as-of 2019-01-01 is outside the bars, which cover 2022-01-03"),
        (
            {"as_of": "2022-05-01"},
            "is not a trading day in the bars; the last one before it is 2022",
        ),
        ({"as_of": "yesterday-ish"}, "'yesterday-ish' is not a date"),
        ({"until_recall": "1.5"}, "target is 1.5; expected a recall in (0, 1]"),
        ({"hit": "best"}, "signal-or-none, top:0.05 or rating:70"),
        ({"hit": "top:2"}, "share is 2.0; expected a share in (0, 1)"),
        ({"ruleset": "a b"}, "a b"),
    ],
)
def test_a_bad_option_is_one_clear_line(
    options: dict[str, str], message: str, scanrank: Callable[..., Run], bars_file: Path
) -> None:
    assert_one_clear_line(scanrank(*scan(bars_file, **options)), message)


def test_a_missing_file_is_one_clear_line(scanrank: Callable[..., Run], tmp_path: Path) -> None:
    assert_one_clear_line(scanrank(*scan(tmp_path / "none.parquet")), "no file")


def test_a_missing_option_is_a_usage_error(scanrank: Callable[..., Run]) -> None:
    run = scanrank("scan", "--scanner", "breakout")
    assert run.code == 2
    assert "--bars" in run.err
    assert "Traceback" not in run.err


@pytest.fixture
def ratings_file(frame: pd.DataFrame, tmp_path: Path) -> Path:
    bars = Bars.from_frame(frame)
    _, rating = rule_hits("technical_rating", bars)
    days = range(60, 90)
    rows = [
        {"date": str(bars.dates[i]), "symbol": symbol, "rating": rating[i, j]}
        for i in days
        for j, symbol in enumerate(bars.symbols)
    ]
    path = tmp_path / "ratings.parquet"
    pd.DataFrame(rows).assign(date=lambda f: pd.to_datetime(f["date"])).to_parquet(path)
    return path


def test_replay_prints_the_table_and_writes_it_for_machines(
    scanrank: Callable[..., Run], bars_file: Path, ratings_file: Path, tmp_path: Path
) -> None:
    run = scanrank(
        *("replay", "--bars", bars_file, "--ratings", ratings_file, "--warmup", 10),
        *("--top", 0.1, "--json", tmp_path / "table.json", "--from", "2022-04-01"),
    )
    assert run.code == 0, run.err
    rows = {row["order"]: row for row in json.loads((tmp_path / "table.json").read_text())}
    assert list(rows) == [
        *("scanrank", "random", "file order", "composite", "last rating", "oracle")
    ]
    wanted = "recall_5 recall_10 recall_25 area wss_95 first_hit_rank scans overhead_ms_per_scan"
    assert all(set(wanted.split()) <= set(row) for row in rows.values())
    assert rows["oracle"]["recall_10"] == 1.0
    assert rows["scanrank"]["recall_25"] > rows["random"]["recall_25"]
    assert all(order in run.out for order in rows)
    assert max(map(len, run.out.splitlines())) <= 80
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".json") == [
        "table.json"
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--budget", "2"], "budget is 2.0"),
        (["--top", "0"], "share is 0.0; expected a share in (0, 1)"),
        (["--json", "no/such/folder/table.json"], "no such folder"),
        (["--from", "2030-01-01"], "no scan from 2030-01-01"),
        (["--warmup", "30"], "30 scans leave none to measure"),
    ],
)
def test_a_bad_replay_is_one_clear_line(
    options: list[str],
    message: str,
    scanrank: Callable[..., Run],
    bars_file: Path,
    ratings_file: Path,
) -> None:
    run = scanrank("replay", "--bars", bars_file, "--ratings", ratings_file, *options)
    assert_one_clear_line(run, message)


def test_replay_without_ratings_is_one_clear_line(
    scanrank: Callable[..., Run], bars_file: Path
) -> None:
    run = scanrank("replay", "--bars", bars_file, "--ratings", "none.csv")
    assert_one_clear_line(run, "no file none.csv")


def test_what_counts_as_high_value() -> None:
    assert rule_from_text("signal") == Signal()
    assert rule_from_text("top:0.2") == TopShare(0.2)
    assert rule_from_text("rating:-3") == Threshold(-3.0)
