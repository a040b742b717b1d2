"""Replays: the orders, what they may see, the report, and that live code gives the same batches."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from bandit.errors import InvalidInputError
from bandit.rewards import HitIf, RewardRule, Signal, Threshold, TopShare
from features.inputs.bars import Bars
from scanner_adapter.demo.simulator import simulate
from scanner_adapter.replay import (
    BASELINES,
    Configuration,
    Ranked,
    ReplayLog,
    ReplayReport,
    ReplayScan,
    replay,
)
from scanner_adapter.replay.logs.contexts import Contexts
from scanner_adapter.replay.logs.outcome_log import OutcomeLog
from scanner_adapter.replay.orders import Composite, LastRating, Oracle, by_value
from scanner_adapter.replay.run import describe
from scanner_adapter.run.stop_rules import RecallReached, SymbolBudget
from scanner_adapter.scanners.registry import rule_hits
from scanner_adapter.symbol_ranker import SymbolRanker

N_SYMBOLS = 60


@pytest.fixture(scope="module")
def log() -> ReplayLog:
    """60 rated days of a simulated market; a hit is one of the top 10 % by technical rating."""
    market = simulate(n_symbols=N_SYMBOLS, n_days=110, seed=3)
    bars = Bars.from_frame(market.bars)
    _, rating = rule_hits("technical_rating", bars)
    outcomes = OutcomeLog(
        bars.dates, bars.symbols, rating, np.full(rating.shape, -1, np.int8),
        columns={"half": (rating / 2).astype(np.float32)},
    )  # fmt: skip
    contexts = Contexts.compute(bars, sectors=market.sectors, cached=False)
    return ReplayLog(outcomes, contexts, TopShare(0.10))


@pytest.fixture(scope="module")
def report(log: ReplayLog) -> ReplayReport:
    return replay(log, batch_size=10, warmup=10)


class TestOrders:
    def scan(self, log: ReplayLog, day: int = -1) -> ReplayScan:
        (scan,) = log.scans(log.days()[[day]])
        return scan

    def test_ties_keep_the_file_order_and_unknown_comes_last(self) -> None:
        order = by_value(np.array([1.0, np.nan, 3.0, 1.0, -np.inf]))
        np.testing.assert_array_equal(order, [2, 0, 3, 1, 4])

    def test_last_rating_knows_only_what_it_visited(self, log: ReplayLog) -> None:
        """Two scans with a budget of 5: the second repeats those 5, best rating first."""
        order = LastRating(N_SYMBOLS)
        first = self.scan(log, -2)
        np.testing.assert_array_equal(order.visit(first, 5), np.arange(5))
        again = order.visit(self.scan(log), 5)
        np.testing.assert_array_equal(again, np.argsort(-first.rating[:5], kind="stable"))

    def test_the_oracle_visits_hits_first(self, log: ReplayLog) -> None:
        scan = self.scan(log)
        n_hits = int(scan.hits.sum())
        assert scan.hits[Oracle().visit(scan, n_hits)].all()

    def test_the_composite_is_what_a_cold_ranker_hands_out(self, log: ReplayLog) -> None:
        """Without exploration and without a random quota, the very same order."""
        scan = self.scan(log)
        settings = {"exploration": 0.0, "random_share": 0.0}
        cold = Ranked(Configuration(settings=settings).open(log.rule), batch_size=len(scan.symbols))
        n = len(scan.symbols)
        np.testing.assert_array_equal(cold.visit(scan, n), Composite().visit(scan, n))


class TestReplay:
    def test_every_order_is_measured_on_the_same_scans(
        self, log: ReplayLog, report: ReplayReport
    ) -> None:
        assert tuple(report.results) == ("scanrank", *BASELINES)
        n = len(log.days()) - 10
        assert len(report.dates) == n
        assert {len(result.metrics) for result in report.results.values()} == {n}

    def test_the_figures_stand_in_the_order_they_must(self, report: ReplayReport) -> None:
        """Nothing beats the oracle; the rating follows yesterday's, so learning beats chance."""
        area = {order: report.interval(order, "area").mean for order in report.results}
        assert max(area, key=lambda order: area[order]) == "oracle"
        # 50 scans of 6 hits among 60: the standard error of a random area is 0.29 / sqrt(300).
        assert area["random"] == pytest.approx(0.5, abs=4 * 0.0167)
        assert area["scanrank"] > area["random"] + 0.1
        assert report.interval("oracle", "first_hit_rank").mean == 1.0

    def test_an_order_that_pays_is_not_said_to_be_none(self, report: ReplayReport) -> None:
        assert report.no_gain is None

    def test_on_a_scanner_of_noise_no_order_pays(self, log: ReplayLog) -> None:
        """51 scans of 6 hits, drawn anew: what is known of a symbol says nothing about them."""
        noise = np.random.default_rng(0).normal(size=log.outcomes.rating.shape)
        known = ~np.isnan(log.outcomes.rating)
        rating = np.where(known, noise, np.nan).astype(np.float32)
        drawn = replace(log, outcomes=replace(log.outcomes, rating=rating))
        printed = replay(drawn, batch_size=10, warmup=0).no_gain
        assert printed is not None
        assert "because nothing known before a scan predicts its hits" in printed

    def test_the_same_seed_gives_the_same_batches(self, log: ReplayLog) -> None:
        days = log.days()[:6]
        runs = []
        for _ in range(2):
            order = Ranked(Configuration(seed=5).open(log.rule), batch_size=10)
            runs.append([order.visit(scan, 40).tolist() for scan in log.scans(days)])
        assert runs[0] == runs[1]

    def test_a_live_scan_of_the_bars_gives_the_replayed_batches(self, log: ReplayLog) -> None:
        """Live, features are computed from the bars up to the day before; replayed, in one pass."""
        replayed = Ranked(Configuration(seed=6).open(log.rule), batch_size=10)
        live = SymbolRanker.open("memory://", ruleset="live", seed=6, rewards=log.rule)
        for day, scan in zip(log.days()[-4:], log.scans(log.days()[-4:]), strict=True):
            expected = replayed.visit(scan, len(scan.symbols))
            handed_out: list[str] = []
            with live.start_scan(
                scan.symbols,
                bars=log.contexts.bars,
                as_of=log.outcomes.dates[day - 1],
                sectors=log.contexts.sectors,
                now=scan.now,
            ) as running:
                while batch := running.next_batch(10):
                    running.report({s: scan.outcomes[scan.symbols.index(s)] for s in batch.symbols})
                    handed_out += batch.symbols
            assert handed_out == [scan.symbols[place] for place in expected]

    def test_a_budget_stops_every_scan(self, log: ReplayLog) -> None:
        stopped = replay(
            log, budget=0.25, batch_size=10, warmup=10, to=str(log.outcomes.dates[log.days()[29]])
        )
        for result in stopped.results.values():
            np.testing.assert_allclose(result.scanned, 0.25, atol=1 / N_SYMBOLS)
        assert math.isnan(stopped.interval("random", "wss_95").mean)
        assert stopped.interval("oracle", "recall_25").mean == 1.0
        assert stopped.conditions["budget"] == 0.25

    def test_a_stop_rule_ends_scans_early(self, log: ReplayLog) -> None:
        order = Ranked(
            Configuration().open(log.rule), name="until", batch_size=10, until=SymbolBudget(20)
        )
        result = replay(log, orders=[order], warmup=40).results["until"]
        np.testing.assert_allclose(result.scanned * N_SYMBOLS, 20, rtol=0.1)
        assert (result.final_recall[~np.isnan(result.final_recall)] <= 1).all()
        promise = Ranked(
            Configuration().open(log.rule), name="until", batch_size=10, until=RecallReached(0.9)
        )
        result = replay(log, orders=[promise], warmup=40).results["until"]
        assert result.scanned.mean() < 1.0

    def test_progress_is_reported(self, log: ReplayLog) -> None:
        seen: list[tuple[int, int]] = []
        replay(
            log,
            orders=["random"],
            warmup=0,
            progress=lambda done, total: seen.append((done, total)),
        )
        n = len(log.days())
        assert seen == [(done, n) for done in range(1, n + 1)]

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"batch_size": 0}, "batch_size is 0"),
            ({"batch_size": "10"}, "batch_size is '10'; expected a whole number"),
            ({"warmup": 2.5}, "warmup is 2.5; expected a whole number"),
            ({"orders": "scanrank"}, "orders is 'scanrank'; expected a list"),
            ({"orders": [3]}, "order is 3; expected one of scanrank, random"),
            ({"budget": 25}, "budget is 25"),
            ({"warmup": -1}, "warmup is -1"),
            ({"warmup": 500}, "leave none to measure after a warm-up of 500"),
            ({"orders": ["best"]}, "order is 'best'"),
            ({"orders": ["random", "random"]}, "each name once"),
            ({"orders": []}, "at least one"),
            ({"from_": "2031-01-01"}, "no scan from 2031-01-01"),
        ],
    )
    def test_bad_settings_are_named(
        self, log: ReplayLog, settings: dict[str, object], message: str
    ) -> None:
        with pytest.raises(InvalidInputError, match=message):
            replay(log, **settings)  # type: ignore[arg-type]

    def test_an_order_that_repeats_itself_is_caught(self, log: ReplayLog) -> None:
        class Stuck:
            name = "stuck"

            def visit(self, scan: ReplayScan, n_visits: int) -> np.ndarray:
                return np.zeros_like(scan.places)[:n_visits]

        with pytest.raises(RuntimeError, match="'stuck' visited 1 different"):
            replay(log, orders=[Stuck()], warmup=0)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (TopShare(0.025), "one of the day's top 2.5% by rating"),
        (Threshold(1234567.5), "a rating of 1234567.5 or more"),
        (Signal(), "a signal"),
        (Signal(words=("Grade A", "B")), "a signal (Grade A, B)"),
        (HitIf(bool, name="five times the volume"), "what five times the volume says"),
    ],
)
def test_a_hit_in_words(rule: RewardRule, words: str) -> None:
    assert describe(rule) == words


def test_a_rule_that_needs_what_the_scanner_returned_is_refused(log: ReplayLog) -> None:
    with pytest.raises(InvalidInputError, match="write the verdict into a column signal"):
        replace(log, rule=HitIf(bool))


def test_times_of_day_are_no_days(log: ReplayLog) -> None:
    """Row n of such a log is not day n of the bars: the features would be those of other days."""
    timed = replace(log.outcomes, dates=log.outcomes.dates + np.timedelta64(15, "h"))
    with pytest.raises(InvalidInputError, match="read it without is_timed"):
        replay(replace(log, outcomes=timed))


class TestReport:
    def test_rows_are_what_machines_are_promised(self, report: ReplayReport) -> None:
        rows = json.loads(report.to_json())
        assert [row["order"] for row in rows] == ["scanrank", *BASELINES]
        for row in rows:
            for key in ("recall_5", "recall_10", "recall_25", "area", "wss_95", "first_hit_rank"):
                assert row[f"{key}_low"] - 1e-9 <= row[key] <= row[f"{key}_high"] + 1e-9
            assert row["scans"] == len(report.dates)
            assert row["overhead_ms_per_scan"] > 0

    def test_the_table_fits_80_columns(self, report: ReplayReport) -> None:
        console = Console(width=80, file=io.StringIO())
        console.print(report.table())
        text = console.file.getvalue()
        assert "…" not in text
        for order in report.results:
            assert order in text
        assert "top 10% by rating" in text.replace("\n", " ")

    def test_a_period_keeps_its_own_scans_only(self, report: ReplayReport) -> None:
        half = report.between(str(report.dates[20]), str(report.dates[39]))
        assert len(half.dates) == 20
        np.testing.assert_array_equal(
            half.results["random"].values("area"), report.results["random"].values("area")[20:40]
        )
        with pytest.raises(InvalidInputError, match="no scan from 2031-01-01"):
            report.between("2031-01-01", "2031-12-31")

    def test_a_period_that_is_no_date_is_refused(self, report: ReplayReport) -> None:
        with pytest.raises(InvalidInputError, match="'2024-13-01' is not a date"):
            report.between("2024-13-01")

    def test_it_shows_itself_in_a_line_and_in_a_notebook(
        self, log: ReplayLog, report: ReplayReport
    ) -> None:
        shown = f"oracle {report.interval('oracle', 'recall_10').mean:.3f}"
        assert shown in repr(report)
        assert len(repr(report)) < 300
        assert "oracle" in report._repr_mimebundle_((), ())["text/html"]
        assert len(repr(log)) < 150
        scan = next(log.scans(log.days()[:1]))
        assert repr(scan).endswith(f"{len(scan.symbols)} symbols, {scan.hits.sum()} hits)")

    def test_a_first_hit_that_some_scans_never_reached_is_unknown(self, log: ReplayLog) -> None:
        """One symbol a scan: the mean over the lucky ones would be 1 for every order."""
        stopped = replay(log, budget=0.01, orders=["scanrank", "random", "oracle"], warmup=10)
        assert math.isnan(stopped.interval("random", "first_hit_rank").mean)
        assert stopped.interval("oracle", "first_hit_rank").mean == 1.0
        assert "stopped at 1% of the symbols" in stopped.caption()
        assert stopped.no_gain is None  # too little was seen for a verdict on the first tenth

    def test_a_few_scans_say_nothing_of_what_pays(self, log: ReplayLog) -> None:
        days = log.days()
        assert replay(log, warmup=0, to=log.dates[days[1]]).no_gain is None

    def test_differences_are_paired(self, report: ReplayReport) -> None:
        difference = report.difference("oracle", "random")
        expected = report.results["oracle"].values("recall_10") - report.results["random"].values(
            "recall_10"
        )
        assert difference.mean == pytest.approx(np.nanmean(expected))
        assert difference.probability_positive == 1.0

    def test_curves_run_from_nothing_to_everything(self, report: ReplayReport) -> None:
        curve = report.results["scanrank"].curve
        assert (curve[0], curve[-1]) == (0.0, 1.0)
        assert (np.diff(curve) >= 0).all()

    def test_unknown_names_are_answered_with_the_known_ones(self, report: ReplayReport) -> None:
        with pytest.raises(InvalidInputError, match="order is 'best'"):
            report.interval("best", "area")
        with pytest.raises(InvalidInputError, match="measure is 'speed'"):
            report.interval("random", "speed")
