"""What benchmarks rest on: kept results come back, peers learn, a report names what failed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bandit.evaluation.metrics import ScanMetrics
from benchmarks import _quality_cache, peers_online, report, soak
from scanner_adapter.replay import ReplayReport
from scanner_adapter.replay.report import OrderResult


def test_kept_results_come_back(tmp_path: Path) -> None:
    n = len(ScanMetrics.names())
    metrics = (ScanMetrics(*np.linspace(0, 1, n)), ScanMetrics(*[float("nan")] * n))
    curves = np.random.default_rng(0).random((2, 101)).astype(np.float32)
    result = OrderResult(metrics, np.array([1.5, 2.5]), np.array([1.0, 0.25]), curves)
    dates = np.array(["2019-01-02", "2019-01-03"], "datetime64[D]")
    path = tmp_path / "sub" / "case.npz"
    assert _quality_cache.load(path) is None
    _quality_cache.save(path, ReplayReport({"lightgbm": result}, dates, {"budget": None}))
    kept = _quality_cache.load(path)
    assert kept is not None
    assert kept.results["lightgbm"].metrics[0] == metrics[0]
    assert np.isnan(kept.results["lightgbm"].metrics[1].area)
    np.testing.assert_array_equal(kept.results["lightgbm"].curves, curves)
    np.testing.assert_array_equal(kept.dates, dates)
    assert kept.conditions == {"budget": None}
    assert [p.name for p in path.parent.iterdir()] == ["case.npz"], "no part is left"


def test_the_key_of_a_result_follows_what_was_asked() -> None:
    one = _quality_cache.key("river", asked={"seed": 0})
    assert one == _quality_cache.key("river", asked={"seed": 0})
    assert one != _quality_cache.key("river", asked={"seed": 1})
    assert one != _quality_cache.key("vowpalwabbit", asked={"seed": 0})


def linear_task(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    X = 100.0 * rng.random((n, 6))
    return X, (X[:, 0] > 80.0).astype(np.float64)


def test_vowpal_wabbit_scores_are_its_own_predictions() -> None:
    pytest.importorskip("vowpalwabbit")
    model = peers_online.VowpalWabbit(0)
    X, reward = linear_task(400)
    model.update(X, np.arange(400), reward)
    lines = [model.line(row) for row in peers_online.standardised(X[:5]).tolist()]
    own = model._vw.predict(lines)
    np.testing.assert_allclose(model.score(X[:5], np.arange(5)), -np.array(own), atol=1e-4)


def test_river_learns_which_column_pays() -> None:
    pytest.importorskip("river")
    model = peers_online.River(0)
    X, reward = linear_task(400)
    assert model.score(X, np.arange(400)).shape == (400,), "before anything was learned too"
    model.update(X, np.arange(400), reward)
    assert np.corrcoef(model.score(X, np.arange(400)), X[:, 0])[0, 1] > 0.8


def test_thompson_without_contexts_prefers_what_paid() -> None:
    pytest.importorskip("mabwiser")
    model = peers_online.MabWiserThompson(0, n_symbols=4)
    arms = np.repeat(np.arange(4), 50)
    model.update(np.empty((200, 0)), arms, (arms == 2).astype(np.float64))
    model.end_scan()
    assert int(model.score(np.empty((4, 0)), np.arange(4)).argmax()) == 2


def test_a_benchmark_that_fails_is_named_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, folder in (("HERE", ""), ("PICTURES", "pictures")):
        monkeypatch.setattr(report, name, tmp_path / "benchmarks" / folder)
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").touch()
    (tmp_path / "benchmarks" / "good.py").write_text("print('a table')")
    (tmp_path / "benchmarks" / "bad.py").write_text("print('half'); raise SystemExit('no server')")
    both = tuple(report.Benchmark(name, f"Is it {name}?", "zero") for name in ("bad", "good"))
    monkeypatch.setattr(report, "BENCHMARKS", both)
    sections = {b.name: report.run(b, is_quick=False, timeout_s=60) for b in both}
    assert [report.is_failed(section) for section in sections.values()] == [True, False]
    report.write_report(sections)
    text = (tmp_path / "benchmarks" / "REPORT.md").read_text()
    assert "Failed: bad; each says why below." in text
    assert "no server" in text
    assert "a table" in text
    assert "`python -m benchmarks.good`" in text
    report.write_report({**report.read_sections(), "good": sections["good"]})
    assert (tmp_path / "benchmarks" / "REPORT.md").read_text() == text, "earlier sections stay"


def test_a_slope_is_per_thousand_scans_after_the_first_quarter() -> None:
    """Grows by 2 a scan after a start that does not count."""
    values = [1e6] * 25 + [2.0 * i for i in range(75)]
    change, mean = soak.slope(values)
    assert change == pytest.approx(2000.0)
    assert mean == pytest.approx(74.0)
