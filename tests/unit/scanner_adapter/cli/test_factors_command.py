"""`scanrank factors report` on a simulated market: what it says of planted sub-scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from features.factors import sub_score_panel
from features.inputs.bars import Bars
from scanner_adapter.cli.app import main
from scanner_adapter.demo.simulator import simulate


class Files(NamedTuple):
    bars: Path
    ratings: Path
    first: str
    last: str


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Ratings of each day are the volume surge of the evening before; every tenth is missing."""
    folder = tmp_path_factory.mktemp("factors")
    frame = simulate(n_symbols=200, n_days=110, seed=5).bars
    frame.assign(symbol=frame["symbol"].astype(str)).to_parquet(folder / "bars.parquet")
    bars = Bars.read(folder / "bars.parquet")
    panel = sub_score_panel(bars, dates=bars.dates[69:109])
    surge = panel.values[:, :, panel.names.index("market.volume_surge")]
    days, places = np.nonzero(~np.isnan(surge))
    ratings = pd.DataFrame(
        {
            "date": bars.dates[70 + days].astype("datetime64[s]"),
            "symbol": np.array(bars.symbols)[places],
            "rating": surge[days, places].astype(float),
        }
    )
    ratings = ratings[np.arange(len(ratings)) % 10 > 0]
    ratings.to_csv(folder / "ratings.csv", index=False)
    dates = [str(day) for day in bars.dates]
    return Files(folder / "bars.parquet", folder / "ratings.csv", dates[70], dates[109])


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def run(*options: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["scanrank", "factors", "report", *map(str, options)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


@pytest.fixture
def report(
    files: Files, run: Callable[..., tuple[int, str, str]]
) -> Callable[..., tuple[int, str, str]]:
    return lambda *options: run("--bars", files.bars, "--ratings", files.ratings, *options)


def test_the_planted_sub_score_finds_all_it_can(
    report: Callable[..., tuple[int, str, str]],
) -> None:
    """The hits (5 %) all lie in the top tenth of the planted score: lift 1 / 0.1 = 10.

    180 symbols are rated a day, so the tenth is 18 or 19 of them and the hits are 9.
    """
    code, out, _ = report("--json")
    assert code == 0
    printed = json.loads(out)
    assert printed["n_days"] == 40
    assert printed["base_rate"] == pytest.approx(0.05, abs=0.001)
    by_name = {row["sub_score"]: row for row in printed["sub_scores"]}
    planted = by_name["market.volume_surge"]
    assert planted["lift"] == pytest.approx(10.0, rel=0.1)
    assert planted["low_lift"] == 0.0
    assert planted["coverage"] == 1.0
    no_events = [row for name, row in by_name.items() if name.startswith("fundamental.")]
    assert no_events
    assert all(row["lift"] is None and row["verdict"] == "unknown" for row in no_events)


def test_the_table_fits_eighty_columns_and_names_what_is_not_known(
    report: Callable[..., tuple[int, str, str]],
) -> None:
    code, out, _ = report()
    assert code == 0
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "40 scans, base rate of hits 5.00%"
    market = lines.index("market")
    assert lines[market + 1].split()[0] == "volume_surge", "the strongest comes first"
    assert any("sub-scores without data" in line for line in lines[lines.index("fundamental") :])


def test_the_scan_day_itself_knows_less_of_yesterdays_surge(
    report: Callable[..., tuple[int, str, str]],
) -> None:
    lifts = {}
    for when in ("--same-day", "--day-old"):
        rows = json.loads(report("--json", when)[1])["sub_scores"]
        lifts[when] = {row["sub_score"]: row["lift"] for row in rows}["market.volume_surge"]
    assert lifts["--same-day"] < 0.7 * lifts["--day-old"]


def test_a_period_is_cut_out(files: Files, report: Callable[..., tuple[int, str, str]]) -> None:
    assert json.loads(report("--json", "--to", files.first)[1])["n_days"] == 1
    printed = json.loads(report("--json", "--from", files.first, "--to", files.last)[1])
    assert printed["n_days"] == 40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--from", "2030-01-01"), "no scan from 2030-01-01 to 2022-06-03; the log has scans from"),
        (("--from", "soon"), "'soon' is not a date"),
        (("--top", "1.5"), "1.5"),
    ],
)
def test_what_cannot_be_answered_is_one_line(
    report: Callable[..., tuple[int, str, str]], options: tuple[str, ...], message: str
) -> None:
    code, out, err = report(*options)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


class TestOwnSubScores:
    @pytest.fixture
    def context(self, files: Files, tmp_path: Path) -> Path:
        """The rating itself, its rank backwards, and noise: a leak, its copy and nothing."""
        ratings = pd.read_csv(files.ratings)
        noise = np.random.default_rng(0).uniform(0, 100, len(ratings))
        frame = ratings.rename(columns={"rating": "leak"}).assign(
            copy=-ratings["rating"].rank(), noise=noise
        )
        path = tmp_path / "context.parquet"
        frame.to_parquet(path)
        return path

    def test_a_frame_stands_in_for_bars(
        self, files: Files, context: Path, run: Callable[..., tuple[int, str, str]]
    ) -> None:
        code, out, err = run("--ratings", files.ratings, "--context", context)
        assert code == 0, err
        lines = out.splitlines()
        assert lines[0] == "40 scans, base rate of hits 5.00%"
        assert max(map(len, lines)) <= 80
        rows = {line.split()[0]: line for line in lines if line.startswith("  ")}
        assert rows["leak"].endswith("too good")
        assert rows["noise"].endswith("weak")

    def test_it_stands_beside_those_of_the_bars(
        self, files: Files, context: Path, run: Callable[..., tuple[int, str, str]]
    ) -> None:
        code, out, err = run(
            "--ratings", files.ratings, "--context", context, "--bars", files.bars, "--json"
        )
        assert code == 0, err
        names = {row["sub_score"] for row in json.loads(out)["sub_scores"]}
        assert {"leak", "noise", "market.volume_surge"} <= names

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("symbol,x\nA,1", "missing columns in --context"),
            ("date,symbol\n2022-01-03,A", "has only the columns date and symbol"),
            ("date,symbol,x\n2022-01-03,A,high", "column x contains 'high'"),
            ("date,symbol,x\n2022-01-03,A,1\n2022-01-03,A,2", "A on 2022-01-03 twice"),
            ("date,symbol,x\nsoon,A,1", "soon"),
        ],
    )
    def test_a_bad_frame_is_one_line(
        self,
        files: Files,
        tmp_path: Path,
        run: Callable[..., tuple[int, str, str]],
        content: str,
        message: str,
    ) -> None:
        (tmp_path / "bad.csv").write_text(content)
        code, out, err = run("--ratings", files.ratings, "--context", tmp_path / "bad.csv")
        assert (code, out) == (2, "")
        assert message in err
        assert err.count("\n") == 1

    def test_options_that_would_change_nothing(
        self, files: Files, context: Path, run: Callable[..., tuple[int, str, str]]
    ) -> None:
        for words in (["--same-day"], ["--log", "bundled"]):
            code, out, _ = run("--ratings", files.ratings, "--context", context, *words)
            assert (code, out) == (2, "")
