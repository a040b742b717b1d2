"""Logged outcomes meet bars: alignment, what a hit is, the contexts and their disk cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bandit.errors import InvalidInputError
from bandit.rewards import Signal, Threshold, TopShare
from features.factors import sub_score_panel
from features.inputs.bars import Bars
from features.inputs.events import Events
from features.similarity import similarity_loadings
from scanner_adapter.demo.simulator import simulate
from scanner_adapter.inputs.disk_cache import KEEP, DiskCache
from scanner_adapter.inputs.outcomes import Outcome
from scanner_adapter.replay import ReplayLog
from scanner_adapter.replay.logs import contexts
from scanner_adapter.replay.logs.contexts import Contexts
from scanner_adapter.replay.logs.outcome_log import OutcomeLog
from scanner_adapter.replay.logs.scans import LoggedOutcomes

DATES = np.array(["2024-01-02", "2024-01-03", "2024-01-04"], "datetime64[D]")
SYMBOLS = ("A", "B", "C", "D")


def frame(*rows: tuple[str, str, float, Any]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["date", "symbol", "rating", "signal"]).assign(rsi=30.0)


FRAME = frame(
    ("2024-01-03", "C", 5.0, "Long"),
    ("2024-01-03", "A", 1.0, "Avoid"),
    ("2024-01-04", "B", 2.0, None),
)


class TestOutcomeLog:
    def test_rows_land_at_their_day_and_symbol(self) -> None:
        log = OutcomeLog.from_frame(FRAME, DATES, SYMBOLS)
        expected = np.full((3, 4), np.nan)
        expected[1, 2], expected[1, 0], expected[2, 1] = 5.0, 1.0, 2.0
        np.testing.assert_array_equal(log.rating, expected)
        np.testing.assert_array_equal(np.isnan(log.columns["rsi"]), np.isnan(expected))
        assert log.signal_names[log.signal[1, 2]] == "Long"
        assert log.signal[2, 1] == -1

    def test_rows_outside_the_bars_are_left_out(self) -> None:
        late = pd.concat([FRAME, frame(("2024-02-01", "A", 9.0, None))])
        np.testing.assert_array_equal(
            OutcomeLog.from_frame(late, DATES, SYMBOLS).rating,
            OutcomeLog.from_frame(FRAME, DATES, SYMBOLS).rating,
        )

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            (FRAME.drop(columns="rating"), "missing columns in ratings: rating"),
            (frame(("2124-01-03", "A", 1.0, None)), "2124-01-03 is in the future"),
            (FRAME.assign(ruleset=["a", "b", "a"]), r"contain 2 rulesets \(a, b\)"),
            (
                pd.concat([FRAME, FRAME[:1].assign(rating=6.0)]),
                "row 3 of ratings: C has another rating on 2024-01-03",
            ),
            (frame(("2024-01-03", "A", float("nan"), None)), "rating of A on 2024-01-03 is nan"),
            (frame(("2024-01-03", "X", 1.0, None)), r"1 symbols without bars \(X\)"),
            (frame(("2025-01-03", "A", 1.0, None)), "no rating falls within the bars"),
            (frame(("someday", "A", 1.0, None)), "the date .someday. is not a date"),
        ],
    )
    def test_bad_frames_are_named(self, bad: pd.DataFrame, message: str) -> None:
        with pytest.raises(InvalidInputError, match=message):
            OutcomeLog.from_frame(bad, DATES, SYMBOLS)

    def test_a_row_again_counts_once_and_another_rating_can_be_skipped(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        again = pd.concat([FRAME, FRAME[:2]])
        plain = OutcomeLog.from_frame(FRAME, DATES, SYMBOLS)
        for frame, how, said in (
            (again, "raise", "2 repeated rows counted once"),
            (pd.concat([again, FRAME[:1].assign(rating=6.0)]), "skip", "1 bad row left out"),
        ):
            log = OutcomeLog.from_frame(frame, DATES, SYMBOLS, on_bad=how)  # type: ignore[arg-type]
            np.testing.assert_array_equal(log.rating, plain.rating)
            assert said in caplog.text

    def test_columns_may_have_the_names_that_bars_and_live_rows_may_have(self) -> None:
        named = FRAME.set_axis(["Time", "Ticker", "Score", "Signal", "name"], axis=1)
        log = OutcomeLog.from_frame(named, DATES, SYMBOLS)
        plain = OutcomeLog.from_frame(FRAME, DATES, SYMBOLS)
        np.testing.assert_array_equal(log.rating, plain.rating)
        np.testing.assert_array_equal(log.signal, plain.signal)
        assert list(log.columns) == ["name"]

    def test_ratings_of_a_day_without_bars_are_refused(self) -> None:
        gap = np.array(["2024-01-02", "2024-01-04"], "datetime64[D]")
        with pytest.raises(InvalidInputError, match="2024-01-03 have no bars"):
            OutcomeLog.from_frame(FRAME, gap, SYMBOLS)

    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_files_are_read(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / f"ratings.{kind}"
        FRAME.to_csv(path, index=False) if kind == "csv" else FRAME.to_parquet(path)
        log = OutcomeLog.read(path, DATES, SYMBOLS)
        assert np.nansum(log.rating) == 8.0

    def test_files_that_are_none_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match="no file"):
            OutcomeLog.read(tmp_path / "absent.csv", DATES, SYMBOLS)
        (tmp_path / "ratings.xls").write_text("")
        with pytest.raises(InvalidInputError, match=r"ends in \.xls"):
            OutcomeLog.read(tmp_path / "ratings.xls", DATES, SYMBOLS)
        (tmp_path / "ratings.parquet").write_text("no parquet")
        with pytest.raises(InvalidInputError, match=r"cannot be read as \.parquet"):
            OutcomeLog.read(tmp_path / "ratings.parquet", DATES, SYMBOLS)


class TestHits:
    def log(self, ratings: list[float], signals: list[Any]) -> OutcomeLog:
        rows = [
            ("2024-01-03", f"S{i}", rating, signal)
            for i, (rating, signal) in enumerate(zip(ratings, signals, strict=True))
        ]
        return OutcomeLog.from_frame(frame(*rows), DATES, [f"S{i}" for i in range(len(rows))])

    def test_a_top_share_holds_that_many(self) -> None:
        """The top 25 % of 8 ratings 0..7 are 2: 6 and 7."""
        log = self.log([float(i) for i in range(8)], [None] * 8)
        hits = log.hits(TopShare(0.25), 1, np.arange(8))
        np.testing.assert_array_equal(np.flatnonzero(hits), [6, 7])

    def test_ties_at_the_lower_end_all_belong(self) -> None:
        """The second of 8 is a 5; so is the third: 3 hits."""
        log = self.log([9, 5, 5, 1, 1, 1, 1, 1], [None] * 8)
        assert log.hits(TopShare(0.25), 1, np.arange(8)).sum() == 3

    def test_signals_and_thresholds(self) -> None:
        log = self.log([1, 2, 3, 4], ["Buy", "Avoid", None, "strong long"])
        np.testing.assert_array_equal(log.hits(Signal(), 1, np.arange(4)), [1, 0, 0, 1])
        np.testing.assert_array_equal(log.hits(Threshold(3.0), 1, np.arange(4)), [0, 0, 1, 1])

    @pytest.mark.parametrize("rule", [Signal(), Signal(words=("Grade_A", "hold"))])
    @pytest.mark.parametrize(
        "signals",
        [
            ["Grade A", "Grade B", "Buy", None, "Hold"],
            [1, 0, 2, 0, -1],
            [1.0, 0.0, float("nan"), 0.0, -1.0],
            [True, False, True, False, False],
            [True, None, None, False, None],
        ],
    )
    def test_a_signal_is_read_as_in_a_live_scan(self, signals: list[Any], rule: Signal) -> None:
        log = self.log([1.0, 2.0, 3.0, 4.0, 5.0], signals)
        live = [Outcome.of({"rating": 1.0, "signal": s}, rule=rule).is_signal for s in signals]
        np.testing.assert_array_equal(log.hits(rule, 1, np.arange(5)), np.array(live) == 1.0)
        told = LoggedOutcomes(log.rating[1], log.signal[1], log.signal_names, {}, rule)
        assert [outcome.is_signal for outcome in told] == live


@pytest.fixture(scope="module")
def bars() -> Bars:
    return Bars.from_frame(simulate(n_symbols=30, n_days=60, seed=1).bars)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCANRANK_CACHE", str(tmp_path))
    return tmp_path


class TestContexts:
    @pytest.mark.usefixtures("cache")
    def test_a_second_replay_reuses_the_panel(
        self, bars: Bars, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = Contexts.compute(bars)
        first.loadings(50)

        def fail(*_: object, **__: object) -> None:
            raise AssertionError("computed again")

        monkeypatch.setattr(contexts, "sub_score_panel", fail)
        monkeypatch.setattr(contexts, "similarity_loadings", fail)
        second = Contexts.compute(bars)
        assert second.names == first.names
        np.testing.assert_array_equal(second.sub_scores, first.sub_scores)
        np.testing.assert_array_equal(second.loadings(50).values, first.loadings(50).values)

    def test_it_equals_what_features_compute(self, bars: Bars) -> None:
        computed = Contexts.compute(bars, cached=False)
        np.testing.assert_array_equal(computed.sub_scores, sub_score_panel(bars).values)
        expected = similarity_loadings(bars.until(bars.dates[40]), as_of=bars.dates[40])
        np.testing.assert_array_equal(computed.loadings(40).values, expected.values)

    @pytest.mark.usefixtures("cache")
    def test_every_input_is_part_of_the_fingerprint(self, bars: Bars) -> None:
        changed = bars.close.copy()
        changed[-1, 0] *= 1.001
        other = Bars(bars.dates, bars.symbols, bars.open, bars.high, bars.low, changed, bars.volume)
        earnings = pd.DataFrame(
            {"symbol": [bars.symbols[0]], "date": [bars.dates[30]], "eps_estimate": 1.0,
             "eps_actual": [1.1]}
        )  # fmt: skip
        made = [
            Contexts.compute(bars),
            Contexts.compute(other),
            Contexts.compute(bars, sectors={bars.symbols[0]: "Energy"}),
            Contexts.compute(bars, events=Events.from_frames(earnings=earnings)),
        ]
        assert len({context.cache.path for context in made if context.cache}) == len(made)

    def test_a_damaged_file_is_computed_again(
        self, bars: Bars, cache: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        first = Contexts.compute(bars)
        (damaged,) = cache.rglob("sub_scores.npy")
        damaged.write_bytes(damaged.read_bytes()[:100])
        second = Contexts.compute(bars)
        assert "computed again" in caplog.text
        np.testing.assert_array_equal(second.sub_scores, first.sub_scores)

    def test_old_data_sets_are_dropped_and_a_folder_that_cannot_be_made_is_no_failure(
        self, cache: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        for number in range(KEEP + 3):
            DiskCache(f"set{number}").write("x", np.zeros(1))
        assert len(list(cache.iterdir())) == KEEP
        assert DiskCache(f"set{KEEP + 2}").read("x") is not None
        (cache / "file").write_text("")
        DiskCache("key", cache / "file").write("x", np.zeros(1))
        assert "is not cached" in caplog.text

    @pytest.mark.usefixtures("cache")
    def test_a_pickle_in_the_cache_is_not_opened(self) -> None:
        own = DiskCache("key")
        own.write("x", np.zeros(1))
        np.save(own.path / "x.npy", np.array([{}], dtype=object), allow_pickle=True)
        assert own.read("x") is None


class TestScans:
    def log(self, bars: Bars) -> ReplayLog:
        rating = np.where(bars.mask, bars.volume, np.nan)
        rating[:, 0] = np.nan  # never rated
        outcomes = OutcomeLog(
            bars.dates, bars.symbols, rating, np.full(rating.shape, -1, np.int8),
            columns={"twice": (2 * rating).astype(np.float32)},
        )  # fmt: skip
        return ReplayLog(outcomes, Contexts.compute(bars, cached=False), TopShare(0.1))

    def test_features_end_the_day_before_by_default(self, bars: Bars) -> None:
        log = self.log(bars)
        day = log.days()[-1]
        (old,) = log.scans(np.array([day]))
        (same,) = log.scans(np.array([day]), same_day=True)
        panel = log.contexts.sub_scores
        np.testing.assert_array_equal(old.sub_scores, panel[day - 1, old.places])
        np.testing.assert_array_equal(same.sub_scores, panel[day, same.places])
        np.testing.assert_array_equal(
            old.loadings.values, log.contexts.loadings(day - 1).values[old.places]
        )

    def test_the_universe_is_what_was_rated_and_outcomes_carry_the_row(self, bars: Bars) -> None:
        log = self.log(bars)
        (scan,) = log.scans(log.days()[-1:])
        assert bars.symbols[0] not in scan.symbols
        assert scan.symbols == tuple(bars.symbols[place] for place in scan.places)
        for outcome, rating in zip(scan.outcomes, scan.rating, strict=True):
            assert outcome.rating == rating
            assert outcome.columns["twice"] == np.float32(2 * rating)
        assert scan.now.utcoffset() is not None

    def test_the_first_day_has_nothing_before_it(self, bars: Bars) -> None:
        assert self.log(bars).days()[0] == 1

    def test_periods_without_scans_and_dates_that_are_none(self, bars: Bars) -> None:
        log = self.log(bars)
        with pytest.raises(InvalidInputError, match="no scan from 1999-01-01 to 1999-12-31"):
            log.days("1999-01-01", "1999-12-31")
        with pytest.raises(InvalidInputError, match="'someday' is not a date"):
            log.days("someday")


def test_a_log_is_read_from_frames_as_from_files(tmp_path: Path) -> None:
    bars = simulate(n_symbols=5, n_days=30, seed=1).bars
    ratings = bars[["date", "symbol"]].assign(rating=bars["close"])
    bars.to_parquet(tmp_path / "bars.parquet")
    ratings.to_parquet(tmp_path / "ratings.parquet")
    filed = ReplayLog.read(tmp_path / "bars.parquet", tmp_path / "ratings.parquet", cached=False)
    framed = ReplayLog.read(bars, ratings, cached=False)
    np.testing.assert_array_equal(filed.contexts.sub_scores, framed.contexts.sub_scores)
    np.testing.assert_array_equal(filed.outcomes.rating, framed.outcomes.rating)
