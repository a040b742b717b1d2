"""The benchmark's own arithmetic, and that peers get what scanrank gets."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bandit.rewards import TopShare
from benchmarks import quality
from benchmarks.peers import Peer, standardised
from features.inputs.bars import Bars
from scanner_adapter.demo.simulator import simulate
from scanner_adapter.replay import Ranked, ReplayLog, ReplayReport, replay
from scanner_adapter.replay.logs.contexts import Contexts
from scanner_adapter.replay.logs.outcome_log import OutcomeLog
from scanner_adapter.replay.orders import Composite
from scanner_adapter.scanners.registry import rule_hits


@pytest.fixture(scope="module")
def log() -> ReplayLog:
    bars = Bars.from_frame(simulate(n_symbols=40, n_days=80, seed=4).bars)
    _, rating = rule_hits("technical_rating", bars)
    outcomes = OutcomeLog(
        bars.dates, bars.symbols, rating, np.full(rating.shape, -1, np.int8),
        columns={"half": (rating / 2).astype(np.float32)},
    )  # fmt: skip
    return ReplayLog(outcomes, Contexts.compute(bars, cached=False), TopShare(0.10))


@pytest.fixture(scope="module")
def report(log: ReplayLog) -> ReplayReport:
    orders = [quality.make_order(o, log, 0) for o in ("scanrank", quality.UNTIL, "random")]
    return replay(log, orders=orders, warmup=5, batch_size=10)


class Recorder:
    """A model that likes the arms with the smallest place, and notes what it is given."""

    def __init__(self) -> None:
        self.widths: set[int] = set()
        self.rewards: list[float] = []
        self.n_scans = 0

    def score(self, X: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        self.widths.add(X.shape[1])
        return -symbols.astype(float)

    def update(self, X: np.ndarray, symbols: np.ndarray, reward: np.ndarray) -> None:
        assert len(X) == len(symbols)
        self.widths.add(X.shape[1])
        self.rewards += reward.tolist()

    def end_scan(self) -> None:
        self.n_scans += 1


class TestPeer:
    def test_it_starts_with_the_composite_and_then_follows_the_model(self, log: ReplayLog) -> None:
        model = Recorder()
        peer = Peer("recorder", model, np.random.default_rng(0), batch_size=7)
        scans = list(log.scans(log.days()[-3:]))
        n = len(scans[0].symbols)
        np.testing.assert_array_equal(peer.visit(scans[0], n), Composite().visit(scans[0], n))
        np.testing.assert_array_equal(peer.visit(scans[1], n), np.arange(n))
        assert model.n_scans == 2
        assert sum(model.rewards) == scans[0].hits.sum() + scans[1].hits.sum()

    def test_its_context_is_that_of_the_ranker_and_never_changes_width(
        self, log: ReplayLog
    ) -> None:
        model = Recorder()
        peer = Peer("recorder", model, np.random.default_rng(0), batch_size=7)
        ranked = Ranked(quality.Configuration().open(log.rule))
        for scan in log.scans(log.days()[-3:]):
            peer.visit(scan, len(scan.symbols))
            ranked.visit(scan, len(scan.symbols))
        (width,) = model.widths
        n_columns = len(ranked.ranker.learned.belief.columns)
        # The ranker leaves out what nobody has; peers cannot take more columns later.
        n_unknown = int(np.isnan(scan.sub_scores).all(axis=0).sum())
        assert width == n_columns + n_unknown + scan.loadings.values.shape[1]

    def test_stopped_scans_get_a_random_quota(self, log: ReplayLog) -> None:
        """Half of each batch at random: 10 of 20 visits, of which some lie beyond the first 20."""
        peer = Peer("recorder", Recorder(), np.random.default_rng(0), random_share=0.5)
        first, second = log.scans(log.days()[-2:])
        peer.visit(first, 20)
        assert peer.visit(second, 20).max() >= 20

    def test_linear_peers_get_an_intercept_and_neutral_unknowns(self) -> None:
        np.testing.assert_array_equal(
            standardised(np.array([[50.0, np.nan], [100.0, 0.0]])), [[1, 0, 0], [1, 2, -2]]
        )


class TestQuality:
    def test_rows_name_the_case_its_target_and_how_far_scanrank_is_ahead(
        self, report: ReplayReport
    ) -> None:
        rows = json.loads(json.dumps(quality.rows("full", report), allow_nan=False))
        assert [row["order"] for row in rows] == ["scanrank", quality.UNTIL, "random"]
        assert rows[0]["target_10"] == 0.70
        assert rows[2]["scanrank_ahead_recall_10"] == pytest.approx(
            rows[0]["recall_10"] - rows[2]["recall_10"]
        )
        assert 0.0 <= rows[1]["stop_kept"] <= 1.0
        assert 0.0 < rows[1]["stop_scanned"] <= 1.0

    def test_the_stop_rule_is_judged_by_what_was_really_found(self, report: ReplayReport) -> None:
        stop = quality.stopping(report)
        assert stop is not None
        found = report.results[quality.UNTIL].final_recall
        assert stop["kept"] == pytest.approx(np.mean(found[~np.isnan(found)] >= 0.95))

    def test_several_starts_become_one_report(self, report: ReplayReport) -> None:
        joined = quality._joined([report, report])
        assert len(joined.dates) == 2 * len(report.dates)
        assert joined.interval("random", "area").mean == pytest.approx(
            report.interval("random", "area").mean
        )

    def test_every_case_has_a_known_log_and_an_order_is_never_unknown(self, log: ReplayLog) -> None:
        assert set(quality.DEFAULT_ORDERS) <= set(quality.ALL_ORDERS)
        assert quality.make_order("random", log, 0) == "random"
        with pytest.raises(SystemExit):
            quality.main(["--orders", "best"])
