"""Every option of the analyst's commands changes the answer, or is refused in one line.

One table: command and kind of log, option, and whether it is heeded. A heeded option must change
what is printed or written; a refused one ends with code 2 and its own name.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from features.inputs.bars import Bars
from scanner_adapter.cli.app import main
from scanner_adapter.demo.simulator import simulate
from scanner_adapter.state.parquet import export_journal
from scanner_adapter.symbol_ranker import SymbolRanker

N_SYMBOLS, N_DAYS, N_SCANS = 60, 100, 45


class Run(NamedTuple):
    code: int
    out: str
    err: str


Cli = Callable[..., Run]


def said(rating: float, signal: bool) -> dict[str, object]:
    return {"rating": rating, "signal": "Long" if signal else "Avoid"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bars, sectors, events, ratings, settings, and journals: complete, stopped and mixed."""
    folder = tmp_path_factory.mktemp("options")
    frame = simulate(n_symbols=N_SYMBOLS, n_days=N_DAYS, seed=1).bars
    frame = frame.assign(symbol=frame["symbol"].astype(str))
    frame.to_parquet(folder / "bars.parquet")
    bars = Bars.from_frame(frame)
    rng = np.random.default_rng(1)
    signal = rng.random((N_SCANS, N_SYMBOLS)) < 0.1
    rating = rng.normal(size=(N_SCANS, N_SYMBOLS)) + 2.0 * signal
    days = bars.dates[-N_SCANS:]
    pd.DataFrame(
        {
            "date": np.repeat(days.astype("datetime64[s]"), N_SYMBOLS),
            "symbol": list(bars.symbols) * N_SCANS,
            "rating": rating.ravel(),
            "signal": np.where(signal.ravel(), "Long", "Avoid"),
        }
    ).to_parquet(folder / "ratings.parquet")
    hours = np.arange(N_SCANS) % 15
    timed = days[np.arange(N_SCANS) // 15].astype("datetime64[m]") + 570 + 20 * hours
    pd.DataFrame(
        {
            "date": np.repeat(timed.astype("datetime64[s]"), N_SYMBOLS),
            "symbol": list(bars.symbols) * N_SCANS,
            "rating": rating.ravel(),
            "signal": np.where(signal.ravel(), "Long", "Avoid"),
        }
    ).to_parquet(folder / "timed.parquet")
    last = frame[frame["date"] == frame["date"].max()]
    pd.concat(
        [last.assign(date=last["date"] + pd.Timedelta(hours=hour)) for hour in (10, 12, 14)]
    ).to_parquet(folder / "minutes.parquet")
    sectors = ["odd", "even"] * (N_SYMBOLS // 2)
    pd.DataFrame({"symbol": bars.symbols, "sector": sectors}).to_csv(folder / "sectors.csv")
    pd.DataFrame(
        {"symbol": bars.symbols, "date": days[5].astype("datetime64[s]"), "count": 3}
    ).to_csv(folder / "events.csv", index=False)
    (folder / "greedy.toml").write_text("format = 1\nexploration = 0.0\nrandom_share = 0.0\n")
    (folder / "settings.toml").write_text("format = 1\nbatch_size = 7\n")
    shares = {
        "complete": [1.0] * 30,
        "stopped": [0.6] * N_SCANS,
        "mixed": [1.0, 0.5] * 10,
    }
    for name, each in shares.items():
        ranker = SymbolRanker.open("memory://", ruleset="rules", seed=1, random_share=0.3)
        for number, share in enumerate(each):
            day = days[number]
            now = pd.Timestamp(day, tz="UTC") + timedelta(hours=21)
            scan = ranker.start_scan(bars.symbols, bars=bars, as_of=day - 1, now=now)
            with scan:
                while scan.n_scanned < share * N_SYMBOLS:
                    places = {s: bars.symbols.index(s) for s in scan.next_batch(8)}
                    scan.report(
                        {s: said(rating[number, i], signal[number, i]) for s, i in places.items()}
                    )
        export_journal(ranker.store, "rules", folder / f"{name}.parquet")
    return folder


@pytest.fixture
def scanrank(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Cli:
    for file in folder.iterdir():
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCANRANK_CACHE", str(folder.parent / "cache"))
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: object) -> Run:
        monkeypatch.setattr("sys.argv", ["scanrank", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return Run(int(ended.value.code or 0), *capsys.readouterr())

    return run


COMMANDS = {
    "bars": ("replay", "--bars", "bars.parquet", "--ratings", "ratings.parquet", "--warmup", "3"),
    "bundled": ("replay", "--from", "2019-12-16", "--warmup", "3"),
    "journal": ("replay", "--log", "complete.parquet"),
    "stopped": ("replay", "--log", "stopped.parquet"),
    "stopped, bars": ("replay", "--log", "stopped.parquet", "--bars", "bars.parquet"),
    "stopped ratings": ("replay", "--ratings", "stopped.parquet", "--bars", "bars.parquet"),
    "again": ("replay", "--log", "complete.parquet", "--again"),
    "rule": (
        "replay",
        "--bars",
        "bars.parquet",
        "--scanner",
        "squeeze",
        "--every",
        "2h",
        "--budget",
        "20%",
        "--from",
        "2022-05-10",
        "--warmup",
        "1",
    ),
    "timed": (
        "replay",
        "--bars",
        "bars.parquet",
        "--ratings",
        "timed.parquet",
        "--every",
        "20min",
        "--budget",
        "20%",
        "--warmup",
        "1",
    ),
    "factors": ("factors", "report", "--bars", "bars.parquet", "--ratings", "ratings.parquet"),
    "factors journal": ("factors", "report", "--log", "complete.parquet"),
}
TUNE = ("tune", "--trials", "1", "--warmup", "2")
COMMANDS["tune bundled"] = TUNE
COMMANDS["tune journal"] = (*TUNE, "--log", "complete.parquet")

PACE = {
    "--workers 4": True,
    "--delay 1": True,
    "--delay-batches 1": True,
    "--workers 4 --evaluation 5": True,
    "--evaluation 5": False,
}
REPLAYED = PACE | {
    "--hit rating:1": True,
    "--hit signal": True,
    "--top 0.2": True,
    "--top 0.2 --hit signal": False,
    "--budget 0.3": True,
    "--until symbols:20": True,
    "--until symbols:20 --budget 0.3": False,
    "--batch-size 5": True,
    "--settings settings.toml": True,
    "--seed 3": True,
    "--warmup 5": True,
    "--json out.json": True,
    "--report pictures": True,
    "--again": False,
}
# What one of several kinds of days of many scans takes.
AT_ONCE = dict.fromkeys([*PACE, "--until symbols:20", "--batch-size 5", "--same-day"], False) | {
    "--known-at 10:00": False, "--by regime": False, "--report pictures": False, "--again": False,
    "--hit rating:1": True, "--top 0.2": True, "--budget 0.4": True,
    "--warmup 2": True, "--hits-last 1h": True, "--seen-within 3h": True, "--hits-last 1": False,
    "--json out.json": True, "--settings greedy.toml": True,
}  # fmt: skip
NOT_REPLAYED = dict.fromkeys(
    [
        *PACE, "--budget 0.3", "--until symbols:20",
        "--batch-size 5", "--settings settings.toml", "--seed 3",
        "--by regime", "--by sector", "--report pictures", "--same-day",
    ],
    False,
)  # fmt: skip
TABLE: dict[str, dict[str, bool]] = {
    "bars": REPLAYED
    | {"--from 2022-05-02": True, "--to 2022-05-10": True, "--same-day": True}
    | {"--known-at 10:00": True, "--known-at noon": False, "--known-at open --same-day": False}
    | {"--minute-bars bars.parquet": False, "--hits-last 1h": False, "--seen-within 1h": False}
    | {"--every 5min --budget 2%": False, "--every 5min": False, "--scanner squeeze": False}
    | {"--sectors sectors.csv --by sector": True, "--events events.csv": True},
    "bundled": REPLAYED
    | {"--known-at 10:00": False, "--to 2020-01-03": True, "--by regime": True, "--by sector": True}
    | {"--same-day": False, "--sectors sectors.csv": False, "--events events.csv": False},
    "journal": REPLAYED
    | {"--every 5min --budget 10%": False}
    | {"--again": True, "--sectors sectors.csv --by sector": True, "--sectors sectors.csv": False}
    | {"--bars bars.parquet": False, "--same-day": False, "--events events.csv": False},
    "stopped": NOT_REPLAYED
    | {"--hit rating:1": True, "--hit signal": True, "--top 0.2": True}
    | {"--from 2022-04-15": True, "--to 2022-05-10": True, "--warmup 10": True}
    | {"--json out.json": True, "--again": True}
    | {"--sectors sectors.csv": False, "--events events.csv": False, "--skip-bad-rows": False},
    "stopped, bars": NOT_REPLAYED | {"--hit rating:1": True, "--warmup 10": True},
    "stopped ratings": NOT_REPLAYED | {"--hit rating:1": True, "--warmup 10": True},
    "rule": AT_ONCE
    | {"--from 2022-05-16": True, "--minute-bars minutes.parquet": True, "--every 1h": True}
    | {"--scanner breakout": True, "--scanner mine:rate": False, "--every 5": False}
    | {"--ratings ratings.parquet": False, "--log complete.parquet": False},
    "timed": AT_ONCE
    | {
        "--to 2022-03-22": True,
        "--seed 3": True,
        "--every 1h": True,
        "--minute-bars minutes.parquet": False,
    }
    | {"--scanner squeeze": False},
    "again": {option: False for option in REPLAYED if option not in ("--again", "--json out.json")}
    | {"--json out.json": True, "--from 2022-05-02": False, "--by sector": False},
    "factors": {
        "--hit rating:1": True,
        "--top 0.2": True,
        "--top 0.2 --hit signal": False,
        "--from 2022-05-02": True,
        "--to 2022-05-10": True,
        "--same-day": True,
        "--events events.csv": True,
        "--json": True,
        "--log complete.parquet": False,
    },
    "factors journal": {
        "--hit rating:1": True,
        "--from 2022-04-11": True,
        "--same-day": False,
        "--bars bars.parquet": False,
        "--events events.csv": False,
    },
    "tune bundled": {"--sectors sectors.csv": False, "--same-day": False, "--force": False},
    "tune journal": {"--sectors sectors.csv": False, "--events events.csv": False},
}
CASES = [(kind, option, heeded) for kind in TABLE for option, heeded in TABLE[kind].items()]

_plain: dict[str, str] = {}


def without_times(text: str) -> str:
    """The last column of a replay's table is a time in milliseconds."""
    return "\n".join(
        line.rsplit(maxsplit=1)[0] if line.strip() else "" for line in text.split("\n")
    )


@pytest.mark.parametrize(("kind", "option", "heeded"), CASES)
def test_every_option_is_heeded_or_refused(
    scanrank: Cli, tmp_path: Path, kind: str, option: str, heeded: bool
) -> None:
    words = option.split()
    run = scanrank(*COMMANDS[kind], *words)
    if not heeded:
        assert run.code == 2, run.out
        assert run.err.startswith("scanrank: ")
        assert run.err.count("\n") == 1
        flags = [word for word in words if word.startswith("--")]
        assert any(flag.removeprefix("--") in run.err.replace("_", "-") for flag in flags), run.err
        return
    assert run.code == 0, run.err
    if words[0] == "--json" and len(words) == 2:
        assert (tmp_path / "out.json").stat().st_size > 100
    elif words[0] == "--report":
        assert (tmp_path / "pictures" / "index.html").is_file()
    else:
        if kind not in _plain:
            _plain[kind] = without_times(scanrank(*COMMANDS[kind]).out)
        assert without_times(run.out) != _plain[kind]


@pytest.mark.parametrize(
    "command",
    [
        ("tune", "--trials", 1, "--log", "stopped.parquet"),
        ("tune", "--trials", 1, "--bars", "bars.parquet", "--ratings", "stopped.parquet"),
        ("factors", "report", "--bars", "bars.parquet", "--ratings", "stopped.parquet"),
        ("factors", "report", "--log", "stopped.parquet"),
    ],
)
def test_stopped_scans_are_never_taken_for_complete_ones(
    scanrank: Cli, command: tuple[object, ...]
) -> None:
    run = scanrank(*command)
    assert (run.code, run.out) == (2, "")
    assert "stopped" in run.err
    assert "propensities" in run.err


def test_stopped_ratings_are_answered_as_the_journal_itself(scanrank: Cli) -> None:
    ratings = scanrank(*COMMANDS["stopped ratings"])
    journal = scanrank(*COMMANDS["stopped, bars"])
    assert ratings.out == journal.out
    assert "judged from the logged propensities" in " ".join(ratings.out.split())


@pytest.mark.parametrize(
    "command",
    [
        ("replay", "--log", "mixed.parquet"),
        ("replay", "--bars", "bars.parquet", "--ratings", "mixed.parquet", "--warmup", 1),
        ("factors", "report", "--bars", "bars.parquet", "--ratings", "mixed.parquet"),
        ("factors", "report", "--log", "mixed.parquet"),
    ],
)
def test_of_a_mixed_log_the_complete_scans_count(
    scanrank: Cli, command: tuple[object, ...]
) -> None:
    run = scanrank(*command)
    assert run.code == 0, run.err
    said = " ".join((run.out + run.err).split())
    assert "10 of the" in said
    assert "20 scans" in said
    if command[0] == "factors":
        assert run.out.startswith("10 scans")


def test_bad_rows_of_bars_are_skipped_where_that_is_asked_for(
    scanrank: Cli, folder: Path, tmp_path: Path
) -> None:
    frame = pd.read_parquet(folder / "bars.parquet")
    frame.loc[frame.index[5], "high"] = -1.0
    frame.to_parquet(tmp_path / "bars.parquet")
    for kind in ("bars", "rule"):
        assert scanrank(*COMMANDS[kind]).code == 2
        run = scanrank(*COMMANDS[kind], "--skip-bad-rows", "--tz", "America/New_York")
        assert run.code == 0, run.err
