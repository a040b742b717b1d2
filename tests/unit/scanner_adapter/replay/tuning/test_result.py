"""What tuning says of its result, with differences that can be checked by hand."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from bandit.evaluation.metrics import ScanMetrics
from scanner_adapter.replay.report import OrderResult, ReplayReport
from scanner_adapter.replay.tuning.result import DEFAULTS, TUNED, TuneResult
from scanner_adapter.settings import Settings

FOUND = Settings(half_life_days=33.0, products=False)
N = 40


def measured(in_10: list[float], in_25: list[float]) -> OrderResult:
    rest = dict.fromkeys(ScanMetrics.names(), 0.5)
    metrics = tuple(
        ScanMetrics(**{**rest, "recall_10": ten, "recall_25": quarter})
        for ten, quarter in zip(in_10, in_25, strict=True)
    )
    return OrderResult(metrics, np.ones(N), np.ones(N), np.ones((N, 101), np.float32))


def result(in_10: list[float], in_25: list[float]) -> TuneResult:
    """Defaults that find 0.6 and 0.8 in every scan, and settings that find something else."""
    dates = np.arange(N).astype("datetime64[D]")
    report = ReplayReport(
        {DEFAULTS: measured([0.6] * N, [0.8] * N), TUNED: measured(in_10, in_25)}, dates, {}
    )
    return TuneResult(
        found=FOUND, defaults=Settings(), train_gain=0.02, held_out=report, n_trials=12,
        n_pruned=7, train=("2018-01-02", "2018-06-29"), test=("2018-07-02", "2018-12-31"),
        n_train=60, n_test=N,
    )  # fmt: skip


class TestVerdict:
    def test_a_sure_gain_pays(self) -> None:
        """1 point more in 10 %, 3 more in 25 %, in every scan: 2 points, and no doubt."""
        sure = result([0.61] * N, [0.83] * N)
        assert sure.gain is not None
        assert sure.gain.mean == pytest.approx(0.02)
        assert sure.verdict == (
            "tuning pays: +2.0 points, 95% +2.0 to +2.0 (mean recall in 10% and 25%, "
            "40 scans not seen by the search)"
        )
        assert sure.is_better
        assert sure.settings == FOUND
        assert sure.remarks()[-1] == "These are the tuned settings."

    def test_no_gain_on_defaults_that_fell_back(self) -> None:
        sure = result([0.61] * N, [0.83] * N)
        assert sure.held_out is not None
        defaults = replace(sure.held_out.results[DEFAULTS], n_fallback=3)
        results = {**sure.held_out.results, DEFAULTS: defaults}
        broken = replace(sure, held_out=replace(sure.held_out, results=results))
        assert broken.verdict.startswith("no gain can be claimed: in 3 of 40 later scans")
        assert not broken.is_better
        assert broken.settings == broken.defaults
        assert broken.gain_table() is None

    def test_a_gain_that_may_be_luck_keeps_the_defaults(self) -> None:
        """Up by 10 points in weeks that alternate with weeks down by 8.8: +0.3, zero inside."""
        swing = [0.6 + (0.10 if (i // 5) % 2 == 0 else -0.088) for i in range(N)]
        lucky = result(swing, [0.8] * N)
        assert lucky.gain is not None
        assert lucky.gain.mean == pytest.approx(0.003)
        assert lucky.gain.low < 0.0 < lucky.gain.high
        assert lucky.verdict.startswith("the defaults are as good: +0.3 points, 95% -")
        assert not lucky.is_better
        assert lucky.settings == Settings()
        assert lucky.remarks()[-1] == "These are the defaults."
        assert "nevertheless (--force)" in lucky.remarks(is_forced=True)[-1]

    def test_a_sure_loss_is_called_so(self) -> None:
        worse = result([0.55] * N, [0.8] * N)
        assert worse.verdict.startswith("the defaults are better: -2.5 points, 95% -2.5 to -2.5")
        assert worse.settings == Settings()


class TestShown:
    def test_json_holds_what_people_see(self) -> None:
        content = json.loads(result([0.61] * N, [0.83] * N).to_json())
        assert content["is_better"] is True
        assert content["gain"]["mean"] == pytest.approx(0.02)
        assert content["gain_by_measure"]["recall_25"]["low"] == pytest.approx(0.03)
        assert content["settings"]["half_life_days"] == 33.0
        assert Settings(**content["settings"]) == FOUND
        assert (content["trials"], content["pruned"]) == (12, 7)
        assert content["test"] == {"from": "2018-07-02", "to": "2018-12-31", "scans": N}
        assert [row["order"] for row in content["rows"]] == [DEFAULTS, TUNED]

    def test_tables_fit_80_columns(self) -> None:
        console = Console(width=80, record=True, highlight=False)
        shown = result([0.61] * N, [0.83] * N)
        console.print(shown.settings_table(), shown.gain_table())
        lines = console.export_text().splitlines()
        assert any("half_life_days" in line and "120" in line and "33" in line for line in lines)
        assert any("products" in line and "yes" in line and "no" in line for line in lines)
        (ten,) = [line for line in lines if "found in 10%" in line]
        assert ten.split()[-5:] == ["+1.0", "points", "+1.0", "to", "+1.0"]
        assert "On 40 later scans, 2018-07-02 to 2018-12-31" in [line.strip() for line in lines]

    def test_remarks_are_comments_of_the_file(self) -> None:
        shown = result([0.61] * N, [0.83] * N)
        text = FOUND.to_toml(shown.remarks())
        assert "# Searched: 12 trials on 60 scans up to 2018-06-29." in text
        assert "# Judged: 40 scans from 2018-07-02 on. Verdict: tuning pays: +2.0 points" in text
        assert tomllib.loads(text)["half_life_days"] == 33.0
