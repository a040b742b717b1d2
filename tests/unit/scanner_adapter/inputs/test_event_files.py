"""`--events`: files of earnings, ratings and news, distinguished by their columns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bandit.errors import InvalidInputError
from bandit.stores import store_from_url
from features import Bars, Events, InvalidEventsError
from features.factors import sub_score_panel
from scanner_adapter.cli.app import main
from scanner_adapter.demo.simulator import simulate
from scanner_adapter.inputs.events import read_events
from scanner_adapter.replay import ReplayLog, TopShare
from scanner_adapter.replay.logs.contexts import Contexts
from scanner_adapter.replay.read import LogFiles

EARNINGS = pd.DataFrame(
    {"symbol": "A", "Date": ["2022-02-01"], "eps_estimate": 1.0, "EPS_actual": 1.2}
)
RATINGS = pd.DataFrame({"symbol": "A", "date": ["2022-02-01"], "action": "up"})
NEWS = pd.DataFrame({"symbol": "A", "date": ["2022-02-01"], "count": 3})


def written(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


class TestReading:
    def test_columns_tell_what_a_file_holds(self, tmp_path: Path) -> None:
        files = [
            written(NEWS, tmp_path / "a.csv"),
            written(EARNINGS, tmp_path / "b.parquet"),
            written(RATINGS, tmp_path / "c.parquet"),
        ]
        found = read_events(files)
        assert repr(found) == "Events(1 earnings, 1 ratings, 1 news)"
        assert read_events([]) is None

    @pytest.mark.parametrize(
        ("frame", "name", "message"),
        [
            (
                RATINGS.assign(count=1),
                "x.csv",
                "x.csv contains ratings and news according to its columns",
            ),
            (
                RATINGS.drop(columns="action"),
                "x.csv",
                "x.csv contains no events according to its columns",
            ),
            # The scanner's own log is called ratings as well.
            (NEWS.rename(columns={"count": "rating"}), "x.parquet", "action \\(analysts' ratings"),
            (NEWS, "x.json", "x.json ends in .json; expected .parquet, .csv or .csv.gz"),
        ],
    )
    def test_what_is_none_is_named(
        self, frame: pd.DataFrame, name: str, message: str, tmp_path: Path
    ) -> None:
        path = tmp_path / name
        if path.suffix == ".json":
            path.write_text("{}")
        else:
            written(frame, path)
        with pytest.raises(InvalidInputError, match=message):
            read_events([path])

    def test_two_of_a_kind_and_broken_files_are_refused(self, tmp_path: Path) -> None:
        one, two = (written(NEWS, tmp_path / name) for name in ("1.csv", "2.csv"))
        with pytest.raises(
            InvalidInputError, match="both contain news; combine them into one file"
        ):
            read_events([one, two])
        with pytest.raises(InvalidInputError, match=r"no file .*3\.csv"):
            read_events([tmp_path / "3.csv"])
        (tmp_path / "4.parquet").write_bytes(b"PAR1")
        with pytest.raises(InvalidInputError, match=r"4\.parquet cannot be read as \.parquet"):
            read_events([tmp_path / "4.parquet"])
        with pytest.raises(
            InvalidEventsError, match="line 2 of news: the date 'soon' is not a date"
        ):
            read_events([written(NEWS.assign(date="soon"), tmp_path / "5.csv")])


@pytest.fixture
def market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Files of a simulated market; a symbol is rated by its volume against the day before."""
    monkeypatch.setenv("SCANRANK_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    made = simulate(n_symbols=40, n_days=90, seed=3)
    bars = made.bars.assign(symbol=made.bars["symbol"].astype(str))
    rating = bars["volume"] / bars.groupby("symbol")["volume"].shift(1)
    log = bars[["date", "symbol"]].assign(rating=rating).dropna()
    return {
        "bars": written(bars, tmp_path / "bars.parquet"),
        "ratings": written(log, tmp_path / "log.parquet"),
        "events": written(made.earnings, tmp_path / "earnings.csv"),
    }


Cli = Callable[..., tuple[int, str]]


@pytest.fixture
def scanrank(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["scanrank", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), "".join(capsys.readouterr())

    return run


def options(market: dict[str, Path], *names: str) -> list[object]:
    return [part for name in names for part in (f"--{name}", market[name])]


class TestCommands:
    def test_replay_and_tune_read_the_same_log(self, market: dict[str, Path]) -> None:
        """With the events its sub-scores are those of bars and events, without those of bars."""
        bars, ratings = market["bars"], market["ratings"]
        known = Bars.read(bars)
        earnings = pd.read_csv(market["events"])
        for files in ((), (market["events"],)):
            events = Events.from_frames(earnings=earnings) if files else None
            log, _ = LogFiles(None, bars, ratings, events=files).read(TopShare(0.1))
            assert isinstance(log, ReplayLog)
            expected = sub_score_panel(known, events).values
            np.testing.assert_array_equal(log.contexts.sub_scores, expected)
        assert len(list((market["bars"].parent / "cache").iterdir())) == 2, "kept apart"

    def test_replay_takes_them(self, market: dict[str, Path], scanrank: Cli) -> None:
        for names in (("bars", "ratings"), ("bars", "ratings", "events")):
            code, printed = scanrank(
                "replay", *options(market, *names), "--warmup", 40, "--json", f"{len(names)}.json"
            )
            assert code == 0, printed
        without, with_events = (json.loads(Path(f"{n}.json").read_text())[0] for n in (2, 3))
        assert without["order"] == with_events["order"] == "scanrank"
        assert without["ndcg"] != with_events["ndcg"]

    def test_tune_takes_them(self, market: dict[str, Path], scanrank: Cli) -> None:
        pytest.importorskip("optuna")
        code, printed = scanrank(
            "tune", *options(market, "bars", "ratings", "events"),
            "--trials", 1, "--warmup", 10, "--batch-size", 10,
        )  # fmt: skip
        assert code == 0, printed

    def test_a_scan_sees_them(self, market: dict[str, Path], scanrank: Cli) -> None:
        """What was known of the scanned symbols stands in the journal."""
        for names in (("bars",), ("bars", "events")):
            url = f"embedded://{market['bars'].parent}/store-{len(names)}"
            code, printed = scanrank(
                "scan", *options(market, *names), "--scanner", "breakout",
                "--as-of", "last", "--store", url, "--json",
            )  # fmt: skip
            assert code == 0, printed
            store = store_from_url(url)
            report = next(entry for entry in store.read("breakout") if entry.kind == "report")
            store.close()
            columns = [name.startswith("fundamental.") for name in report.header["columns"]]
            known = ~np.isnan(report.arrays["context"][:, columns])
            assert known.any() == ("events" in names)

    def test_the_factors_report_sees_them(self, market: dict[str, Path], scanrank: Cli) -> None:
        for names in (("bars", "ratings"), ("bars", "ratings", "events")):
            code, printed = scanrank(
                "factors", "report", *options(market, *names), "--top", 0.1, "--same-day", "--json"
            )
            assert code == 0, printed
            scores = json.loads(printed[printed.index("{") :])["sub_scores"]
            verdicts = {each["verdict"] for each in scores if "fundamental." in each["sub_score"]}
            assert (verdicts == {"unknown"}) == ("events" not in names)

    @pytest.mark.parametrize("command", ["replay", "tune"])
    def test_without_bars_they_are_refused(
        self, market: dict[str, Path], scanrank: Cli, command: str
    ) -> None:
        code, printed = scanrank(command, *options(market, "events"))
        assert code == 2
        assert "earnings.csv needs --bars" in printed


def test_which_column_is_which_is_part_of_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same numbers under exchanged names are other events."""
    monkeypatch.setenv("SCANRANK_CACHE", str(tmp_path))
    bars = Bars.from_frame(simulate(n_symbols=5, n_days=40, seed=3).bars)
    frame = EARNINGS.rename(columns=str.lower)
    swapped = frame.rename(columns={"eps_actual": "eps_estimate", "eps_estimate": "eps_actual"})
    both = [Events.from_frames(earnings=each) for each in (frame, swapped)]
    caches = [Contexts.compute(bars, events=each).cache for each in both]
    assert caches[0] is not None
    assert caches[1] is not None
    assert caches[0].path != caches[1].path
