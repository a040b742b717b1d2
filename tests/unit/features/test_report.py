"""The report tells a sub-score that finds hits from one that does not."""

from __future__ import annotations

import numpy as np
import pytest

from features import FeatureError
from features.factors import Panel
from features.report import factor_report


def planted(seed: int = 0) -> tuple[Panel, np.ndarray]:
    """Hits come twice as often as usual with a high `market.good`, rarely with a low one."""
    rng = np.random.default_rng(seed)
    n_days, n = 120, 200
    good = rng.uniform(0, 100, (n_days, n))
    hits = np.zeros((n_days, n), dtype=bool)
    hits[1:] = rng.random((n_days - 1, n)) < 0.002 * good[:-1]  # base rate 10 %
    values = np.stack(
        [
            good,
            100 - good,
            rng.uniform(0, 100, (n_days, n)),
            good**2 / 100,
            np.full((n_days, n), np.nan),
        ],
        axis=2,
    ).astype(np.float32)
    values[:, ::2, 2] = np.nan
    names = ("market.good", "market.inverse", "technical.noise", "market.copy", "market.empty")
    dates = np.datetime64("2019-01-01") + np.arange(n_days)
    return Panel(values, names, dates, tuple(f"S{j}" for j in range(n))), hits


def test_lift_by_construction() -> None:
    """The top decile's rate is 0.002 * 95 = 0.19 against 0.10: lift 1.9; the bottom's 0.1."""
    panel, hits = planted()
    report = factor_report(panel, hits)
    table = report.table
    assert report.base_rate == pytest.approx(0.10, abs=0.01)
    assert table.loc["market.good", "lift"] == pytest.approx(1.9, abs=0.15)
    assert table.loc["market.good", "lift_low"] < 1.9 < table.loc["market.good", "lift_high"]
    assert table.loc["market.good", "low_lift"] == pytest.approx(0.1, abs=0.06)
    assert table.loc["market.inverse", "low_lift"] == pytest.approx(1.9, abs=0.15)
    assert table.loc["market.good", "stability"] == 1.0


def test_weak_redundant_and_unknown_show() -> None:
    panel, hits = planted()
    table = factor_report(panel, hits).table
    assert table.loc["technical.noise", "verdict"] == "weak"
    assert table.loc["technical.noise", "coverage"] == pytest.approx(0.5)
    assert table.loc["market.empty", "verdict"] == "unknown"
    assert table.loc["market.copy", "verdict"] == "redundant"
    assert table.loc["market.copy", "correlation"] == pytest.approx(1.0)
    shown = repr(factor_report(panel, hits))
    assert "base rate of hits" in shown
    assert "market.copy" in shown


def test_same_day_hits_are_judged_by_the_same_day() -> None:
    panel, hits = planted()
    shifted = np.roll(hits, -1, axis=0)
    report = factor_report(panel, shifted, day_old=False)
    assert report.n_days == 120
    assert report.table.loc["market.good", "lift"] == pytest.approx(1.9, abs=0.15)


def test_reports_need_hits() -> None:
    panel, hits = planted()
    with pytest.raises(FeatureError, match="no hit"):
        factor_report(panel, np.zeros_like(hits))
    with pytest.raises(FeatureError, match="hits have shape"):
        factor_report(panel, hits[1:])


def test_of_an_original_and_its_copies_one_is_kept() -> None:
    panel, hits = planted()
    verdict = factor_report(panel, hits).table["verdict"]
    assert verdict["market.good"] == ""
    assert verdict["market.copy"] == verdict["market.inverse"] == "redundant"


def test_the_better_known_one_of_two_is_kept() -> None:
    panel, hits = planted()
    values = panel.values.copy()
    values[::3, :, 0] = np.nan  # the first column is known on two days of three
    table = factor_report(Panel(values, panel.names, panel.dates, panel.symbols), hits).table
    assert table.loc["market.good", "verdict"] == "redundant"
    assert table.loc["market.inverse", "verdict"] == ""
    assert table.loc["market.copy", "nearest"] == "market.inverse"


@pytest.mark.parametrize("share", [0.05, 0.3])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_leak_is_too_good(share: float, sign: float) -> None:
    """A score that is the outcome itself holds all hits in one tenth, or a tenth full of hits."""
    rng = np.random.default_rng(1)
    outcome = rng.normal(size=(60, 200))
    hits = outcome >= np.quantile(outcome, 1.0 - share, axis=1)[:, None]
    honest = outcome + rng.normal(size=outcome.shape)
    values = np.stack([sign * outcome, honest], axis=2).astype(np.float32)
    panel = Panel(
        values, ("leak", "honest"), np.datetime64("2020-01-01") + np.arange(60),
        tuple(f"S{j}" for j in range(200)),
    )  # fmt: skip
    verdict = factor_report(panel, hits, day_old=False).table["verdict"]
    assert verdict["leak"] == "too good"
    assert verdict["honest"] == ""
