"""Recorded scans, the bundled log, and where recall is high or low."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from bandit.errors import InvalidInputError
from bandit.rewards import Signal
from features.inputs.bars import Bars
from scanner_adapter.replay import RecordedLog, ReplayReport, bundled_log, replay
from scanner_adapter.replay.breakdown import (
    breakdown,
    breakdown_table,
    group_kind,
    pooled_interval,
)
from scanner_adapter.replay.logs.bundled import write_log
from scanner_adapter.replay.logs.regimes import market_regimes, market_returns


@pytest.fixture(scope="module")
def log() -> RecordedLog:
    return bundled_log()


@pytest.fixture(scope="module")
def report(log: RecordedLog) -> ReplayReport:
    """The last 40 scans, 10 of them learned from."""
    return replay(
        log,
        from_=str(log.dates[-40]),
        warmup=10,
        orders=["scanrank", "last rating", "random", "oracle"],
        watch=True,
    )


class TestBundledLog:
    def test_it_is_what_its_readme_says(self, log: RecordedLog) -> None:
        assert (len(log.recorded), len(log.symbols)) == (120, 397)
        assert (str(log.dates[0]), str(log.dates[-1])) == ("2019-07-23", "2020-01-10")
        for scan in log.recorded:
            known = scan.sub_scores[~np.isnan(scan.sub_scores)]
            assert known.min() >= 0
            assert known.max() <= 100
            assert np.isfinite(scan.loadings.values).all()
            assert np.isfinite(scan.rating).all()
            assert scan.regime.trend in ("up", "down")

    def test_an_evening_in_new_york_is_a_scan_of_that_day(self, log: RecordedLog) -> None:
        first = log.recorded[0]
        evening = first.now + timedelta(hours=27)  # past midnight in UTC
        late = RecordedLog((replace(first, now=evening, as_of="2019-07-23"),), log.rule)
        assert str(late.dates[0]) == "2019-07-23"
        assert late.days("2019-07-23", "2019-07-23").tolist() == [0]

    def test_it_holds_no_price_volume_or_event(self, log: RecordedLog) -> None:
        names = {*log.recorded[0].sub_score_names, *log.recorded[0].columns}
        assert not {"open", "high", "low", "close", "volume", "atr_pct"} & names
        assert not [name for name in names if name.startswith("fundamental.")]

    def test_a_day_has_as_many_hits_as_the_top_share(self, log: RecordedLog) -> None:
        """5 % of 397 symbols are 20; ties at the lower end belong to them."""
        (scan,) = log.scans(log.days()[[50]])
        assert 20 <= scan.hits.sum() <= 26
        assert scan.rating[scan.hits].min() > scan.rating[~scan.hits].max()
        signals = next(iter(replace(log, rule=Signal()).scans(log.days()[[50]])))
        assert signals.hits.sum() == sum(outcome.is_signal for outcome in scan.outcomes)

    def test_learning_beats_the_last_rating_and_chance(self, report: ReplayReport) -> None:
        """What the log is for: the differences hold with their whole interval."""
        assert report.difference("scanrank", "random").low > 0.3
        assert report.difference("scanrank", "last rating", "recall_25").low > 0.0

    def test_written_again_it_is_the_same(self, log: RecordedLog, tmp_path: Path) -> None:
        units = dict.fromkeys(log.recorded[0].columns, 1.0)
        write_log(log, tmp_path / "again.parquet", column_units=units)
        again = bundled_log(path=tmp_path / "again.parquet")
        assert again.symbols == log.symbols
        for mine, theirs in zip(again.recorded, log.recorded, strict=True):
            assert mine.symbols == theirs.symbols
            assert mine.regime == theirs.regime
            np.testing.assert_array_equal(mine.sub_scores, theirs.sub_scores)
            np.testing.assert_array_equal(mine.loadings.values, theirs.loadings.values)
            np.testing.assert_array_equal(mine.rating, theirs.rating)
            np.testing.assert_array_equal(mine.signal, theirs.signal)

    def test_other_files_are_refused(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"date": [1]}), tmp_path / "other.parquet")
        with pytest.raises(InvalidInputError, match="not a log of scans of format 1"):
            bundled_log(path=tmp_path / "other.parquet")
        (tmp_path / "text.parquet").write_text("nothing")
        with pytest.raises(InvalidInputError, match="cannot be read as a log of scans"):
            bundled_log(path=tmp_path / "text.parquet")

    def test_bars_of_the_same_day_cannot_be_added(self, log: RecordedLog) -> None:
        with pytest.raises(InvalidInputError, match="recorded scans include their own data"):
            replay(log, same_day=True, warmup=0, orders=["random"])

    def test_scans_out_of_order_are_refused(self, log: RecordedLog) -> None:
        with pytest.raises(InvalidInputError, match="not in time order"):
            RecordedLog(log.recorded[::-1], log.rule)
        with pytest.raises(InvalidInputError, match="no complete scan"):
            RecordedLog((), log.rule)


class TestRegimes:
    def bars(self, returns: np.ndarray) -> Bars:
        price = 100 * np.exp(np.cumsum(returns))
        days = pd.bdate_range("2019-01-01", periods=len(price))
        columns = dict.fromkeys(("open", "high", "low", "close"), price)
        return Bars.from_frame(
            pd.DataFrame({"date": days, "symbol": "A", **columns, "volume": 1.0})
        )

    def test_the_mean_return_of_two_symbols(self) -> None:
        """log(110/100) and log(90/100) have a mean of (0.0953 - 0.1054) / 2 = -0.0050."""
        close = np.array([[100.0, 100.0], [110.0, 90.0], [np.nan, 99.0]])
        market = market_returns(close)
        assert market[0] == 0.0
        assert market[1] == pytest.approx(-0.00503, abs=1e-5)
        assert market[2] == pytest.approx(np.log(99 / 90))

    def test_a_storm_is_turbulent_and_a_fall_is_down(self) -> None:
        rng = np.random.default_rng(0)
        calm = 0.001 + 0.002 * rng.standard_normal(250)
        storm = -0.01 + 0.03 * rng.standard_normal(60)
        regimes = market_regimes(self.bars(np.concatenate([calm, storm])))
        assert regimes[249].trend == "up"
        assert regimes[-1] == ("high", "down")
        assert regimes[30].volatility == "unknown"

    def test_a_coin_decides_on_no_weekend(self) -> None:
        """Four stocks, and a coin that jumps each Saturday and back each Sunday."""
        days = pd.date_range("2019-01-01", periods=300)
        is_weekday = days.day_of_week < 5
        rng = np.random.default_rng(2)
        price = 100 * np.exp(np.cumsum(0.01 * rng.standard_normal(300)))
        coin = price * np.where(days.day_of_week == 5, 2.0, 1.0)
        frames = [
            pd.DataFrame(
                {"date": on, "symbol": name, "volume": 1.0}
                | dict.fromkeys(("open", "high", "low", "close"), values)
            )
            for name, on, values in [
                *((f"S{n}", days[is_weekday], price[is_weekday]) for n in range(4)),
                ("COIN", days, coin),
            ]
        ]
        stocks = market_regimes(Bars.from_frame(pd.concat(frames[:4])))
        both = market_regimes(Bars.from_frame(pd.concat(frames)))
        assert [both[row] for row in np.flatnonzero(is_weekday)] == list(stocks)
        assert both[-1] == both[np.flatnonzero(is_weekday)[-1]]

    def test_the_future_changes_nothing(self) -> None:
        rng = np.random.default_rng(1)
        returns = 0.01 * rng.standard_normal(300)
        whole = market_regimes(self.bars(returns))
        assert market_regimes(self.bars(returns[:220])) == whole[:220]


class TestBreakdown:
    def test_regimes_split_the_scans(self, report: ReplayReport) -> None:
        rows = [row for row in breakdown(report, "regime") if row.order == "scanrank"]
        trends = [row for row in rows if row.group.startswith("market")]
        assert sum(row.n_scans for row in trends) == len(report.dates)
        for row in rows:
            assert row.recall_10.low <= row.recall_10.mean <= row.recall_10.high

    def test_sectors_split_the_hits(self, report: ReplayReport) -> None:
        rows = [row for row in breakdown(report, "sector") if row.order == "scanrank"]
        n_hits = sum(len(places) for places in report.hit_places)
        assert sum(row.n_hits for row in rows) == n_hits
        for share, name in ((0.10, "recall_10"), (0.25, "recall_25")):
            found = sum(row.n_hits * getattr(row, name).mean for row in rows)
            # Cut where the table cuts: after so many places as the share is, rounded up.
            table = report.results["scanrank"].values(name)
            hits = np.array([len(places) for places in report.hit_places])
            assert found == pytest.approx(np.nansum(table * hits)), share

    def test_pooled_by_hand(self) -> None:
        """Found 1 of 2 and 3 of 4: 4 of 6; a scan without hits changes nothing."""
        interval = pooled_interval(np.array([1, 0, 3]), np.array([2, 0, 4]))
        assert interval.mean == pytest.approx(4 / 6)
        assert 0.5 <= interval.low <= interval.high <= 0.75

    def test_rows_are_json_and_fit_80_columns(self, report: ReplayReport) -> None:
        rows = [row.to_json() for row in breakdown(report, "sector")]
        assert json.loads(json.dumps(rows, allow_nan=False)) == rows
        console = Console(width=80, file=io.StringIO())
        console.print(breakdown_table(report, "sector", ["scanrank", "last rating"]))
        text = console.file.getvalue()
        assert "Communication Services" in text
        assert "…" not in text

    def test_what_a_log_does_not_know_is_said(self, report: ReplayReport) -> None:
        with pytest.raises(InvalidInputError, match="has no sectors"):
            breakdown(replace(report, sectors={}), "sector")
        with pytest.raises(InvalidInputError, match="regimes need about"):
            breakdown(replace(report, regimes=()), "regime")
        with pytest.raises(InvalidInputError, match="expected one of regime, sector"):
            group_kind("size")
