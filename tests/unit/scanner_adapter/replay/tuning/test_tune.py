"""Tuning: what it may see, when it gives up, that it goes on after a kill, and what it says."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sweep_log import small_log

from bandit.errors import InvalidInputError
from bandit.rewards import Threshold
from scanner_adapter.replay import Configuration, ReplayLog, replay
from scanner_adapter.replay.tuning import tune as tuning
from scanner_adapter.replay.tuning.space import parameters_of, suggest
from scanner_adapter.replay.tuning.study import finished, open_study
from scanner_adapter.replay.tuning.trial import TrialOutcome, is_promising, run_trial, rungs
from scanner_adapter.replay.tuning.tune import Search, TuneProgress, tune
from scanner_adapter.settings import Settings

optuna = pytest.importorskip("optuna")

WARMUP = 5


@pytest.fixture(scope="module")
def log() -> ReplayLog:
    """51 scans: 25 to search on, 26 to judge on."""
    return small_log()


def entries(path: Path) -> list[tuple[Any, ...]]:
    """The finished trials of a study file."""
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    study = optuna.load_study(study_name=None, storage=storage)
    return [
        (trial.state.name, trial.params, trial.value, trial.intermediate_values)
        for trial in finished(study)
    ]


class TestSpace:
    def test_every_proposal_is_valid_and_comes_back_from_its_file(self, tmp_path: Path) -> None:
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
        path = tmp_path / "settings.toml"
        for _ in range(50):
            settings = suggest(study.ask())
            assert sum(settings.weights.values()) == pytest.approx(1.0, abs=0.002)  # 3 digits
            assert settings.fast_days < settings.slow_days
            assert settings.random_share >= 0.01
            path.write_text(settings.to_toml())
            assert Settings.read(path) == settings

    def test_the_simplex_is_searched_evenly(self) -> None:
        """A flat Dirichlet law has mean 1/4 and standard deviation sqrt(3/80) for each weight."""
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=2))
        weights = np.array([list(suggest(study.ask()).weights.values()) for _ in range(400)])
        np.testing.assert_allclose(weights.mean(axis=0), 0.25, atol=4 * 0.194 / 20)
        np.testing.assert_allclose(weights.std(axis=0), math.sqrt(3 / 80), rtol=0.15)

    @pytest.mark.parametrize("batch_size", [None, 7])
    def test_the_defaults_are_a_point_of_it(self, batch_size: int | None) -> None:
        default = replace(Settings(), batch_size=batch_size or 50)
        parameters = parameters_of(default, batch_size)
        assert suggest(optuna.trial.FixedTrial(parameters), batch_size) == default
        assert ("batch_size" in parameters) == (batch_size is None)


class TestTrial:
    def test_the_better_half_goes_on(self) -> None:
        """Of three with itself two go on, of four two; equals do not push each other out."""
        assert is_promising(0.1, [])
        assert not is_promising(0.1, [0.2])
        assert is_promising(0.2, [0.3, 0.1, 0.0])
        assert not is_promising(0.1, [0.3, 0.2, 0.0])
        assert is_promising(0.5, [0.5, 0.5, 0.5])

    def test_a_trial_scores_what_a_replay_measures(self, log: ReplayLog) -> None:
        conditions = {"from_": "2022-04-15", "to": "2022-05-10", "warmup": WARMUP}
        settings = Settings(exploration=0.1, batch_size=5)
        outcome = run_trial(_shared(log), settings, 4, {3: [], 9: []}, conditions)
        configuration = Configuration(seed=4, settings=settings.arguments())
        report = replay(
            log, configuration=configuration, orders=("scanrank",), batch_size=5, **conditions
        )
        result = report.results["scanrank"]
        scores = (result.values("recall_10") + result.values("recall_25")) / 2
        assert outcome.score == pytest.approx(np.mean(scores), abs=1e-12)
        assert not outcome.is_pruned
        assert [step for step, _ in outcome.reports] == [3, 9]
        assert [mean for _, mean in outcome.reports] == pytest.approx(
            [np.mean(scores[:3]), np.mean(scores[:9])]
        )

    def test_a_trial_that_falls_behind_ends_there(self, log: ReplayLog) -> None:
        conditions = {"from_": "2022-04-15", "to": "2022-05-10", "warmup": WARMUP}
        outcome = run_trial(_shared(log), Settings(), 0, {3: [0.0], 6: [1.1, 1.2]}, conditions)
        assert outcome.is_pruned
        assert [step for step, _ in outcome.reports] == [3, 6]
        assert outcome.score == outcome.reports[-1][1]

    def test_rungs_lie_at_an_eighth_a_quarter_and_half(self) -> None:
        assert rungs(80) == (10, 20, 40)
        assert rungs(3) == (1, 2)


def _shared(log: ReplayLog) -> Any:
    from scanner_adapter.replay.tuning.sweep import SharedLog

    return SharedLog(log)


class TestTune:
    def test_the_search_sees_the_first_half_only(self, log: ReplayLog, tmp_path: Path) -> None:
        """With later ratings turned upside down the study is the same, trial by trial."""
        days = log.days()
        rating = log.outcomes.rating.copy()
        rating[days[len(days) // 2] :] *= -1.0
        other = replace(log, outcomes=replace(log.outcomes, rating=rating))
        printed = [
            tune(each, trials=4, warmup=WARMUP, batch_size=10, study=tmp_path / name)
            for each, name in ((log, "a"), (other, "b"))
        ]
        assert entries(tmp_path / "a") == entries(tmp_path / "b")
        assert len(entries(tmp_path / "a")) == 4
        assert printed[0].found == printed[1].found
        assert printed[0].train_gain == printed[1].train_gain

    def test_the_gain_is_measured_on_later_scans_after_learning_from_all(
        self, log: ReplayLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every trial with the least exploration wins; the judgement is that of plain replays."""
        _score_by(monkeypatch, lambda settings: -settings.exploration)
        result = tune(log, trials=6, warmup=WARMUP, batch_size=10)
        assert result.found.exploration < result.defaults.exploration
        assert result.held_out is not None
        assert (result.n_train, result.n_test) == (20, 26)
        assert result.train[1] < result.test[0]
        assert result.test[1] == "2022-05-20"
        values = []
        for settings in (result.found, result.defaults):
            alone = replay(
                log, configuration=Configuration(settings=settings.arguments()), warmup=25,
                orders=("scanrank",), batch_size=10,
            )  # fmt: skip
            recall = [alone.results["scanrank"].values(m) for m in ("recall_10", "recall_25")]
            values.append(np.mean(recall, axis=0))
        assert result.gain is not None
        assert result.gain.n == 26
        assert result.gain.mean == pytest.approx(np.mean(values[0] - values[1]), abs=1e-12)

    def test_it_finds_a_hill(self, log: ReplayLog, monkeypatch: pytest.MonkeyPatch) -> None:
        """Scores fall off with the distance from a half-life of 30 days: 50 trials come near."""
        _score_by(monkeypatch, lambda settings: -abs(math.log(settings.half_life_days / 30.0)))
        monkeypatch.setattr("scanner_adapter.replay.tuning.tune.sweep", lambda *_, **__: None)
        result = tune(log, trials=50, warmup=WARMUP)
        assert 20.0 < result.found.half_life_days < 45.0
        assert result.train_gain == pytest.approx(
            math.log(120 / 30) - abs(math.log(result.found.half_life_days / 30.0))
        )

    def test_defaults_that_nothing_beats_stay(
        self, log: ReplayLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _score_by(monkeypatch, lambda settings: float(settings == Settings()))
        result = tune(log, trials=5, warmup=WARMUP)
        assert result.found == result.settings == Settings()
        assert result.held_out is None
        assert "no trial beat them on the first half" in result.verdict
        assert json.loads(result.to_json())["gain"] is None

    def test_time_that_is_up_ends_the_search_and_progress_is_reported(self, log: ReplayLog) -> None:
        printed: list[TuneProgress] = []
        result = tune(
            log, trials=100, timeout_s=1e-9, warmup=WARMUP, batch_size=10, progress=printed.append
        )
        assert result.n_trials == 1
        assert [(at.n_done, at.is_judging) for at in printed] == [(1, False), (1, True)]
        assert printed[0].best == printed[0].default > 0.0

    @pytest.mark.parametrize(
        ("how", "message"),
        [
            ({"trials": 0}, "trials is 0; expected at least 1"),
            ({"timeout_s": -1.0}, "timeout is -1.0 s; expected more than 0"),
            ({"warmup": -1}, "warmup is -1; expected 0 or more"),
            ({"warmup": 6}, "51 scans leave 19 to search on, after a warm-up of 6"),
            ({"from_": "2022-05-01"}, "expected at least 20: use a longer period"),
            ({"batch_size": -3}, "batch_size is -3; expected a whole number, 1 or more"),
            ({"budget": 1.5}, "budget is 1.5; expected a share"),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, log: ReplayLog, how: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(InvalidInputError, match=message.replace(".", r"\.")):
            tune(log, **{"warmup": WARMUP, "trials": 2, **how})

    def test_a_log_without_hits_is_refused(self, log: ReplayLog) -> None:
        with pytest.raises(InvalidInputError, match="no measured scan of the first half has a hit"):
            tune(replace(log, rule=Threshold(1e9)), trials=2, warmup=WARMUP)


def _score_by(monkeypatch: pytest.MonkeyPatch, score: Any) -> None:
    """Let trials score without a replay."""

    def trial(
        shared: object,
        settings: Settings,
        seed: int,
        standing: Mapping[int, Sequence[float]],
        conditions: Mapping[str, Any],
    ) -> TrialOutcome:
        return TrialOutcome((), score(settings), is_pruned=False)

    monkeypatch.setattr(tuning, "run_trial", trial)


RESUMED = """
import sys
sys.path.insert(0, {folder!r})
from sweep_log import small_log
from scanner_adapter.replay.tuning.tune import tune
tune(small_log(), trials=200, warmup=5, batch_size=10, study=sys.argv[1])
"""


class TestStudyFile:
    def test_a_killed_search_goes_on_as_if_nothing_had_happened(
        self, log: ReplayLog, tmp_path: Path
    ) -> None:
        """Killed with SIGKILL at some moment; then continued to a few more trials."""
        killed, whole = tmp_path / "killed", tmp_path / "whole"
        code = RESUMED.format(folder=str(Path(__file__).parents[4]))
        search = subprocess.Popen([sys.executable, "-c", code, str(killed)])
        try:
            deadline = time.monotonic() + 120
            while not killed.exists() or len(_finished_lines(killed)) < 3:
                assert search.poll() is None, "the search ended by itself"
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            search.send_signal(signal.SIGKILL)
            search.wait()
        with killed.open("ab") as file:
            file.write(b'{"op_code":')  # as if it had died in the middle of a line
        n = len(_finished_lines(killed)) + 2
        continued = tune(log, trials=n, warmup=5, batch_size=10, study=killed)
        uninterrupted = tune(log, trials=n, warmup=5, batch_size=10, study=whole)
        assert entries(killed) == entries(whole)
        assert continued.found == uninterrupted.found
        assert continued.gain == uninterrupted.gain
        assert continued.n_trials == n

    def test_trials_of_something_else_are_not_mixed_in(self, tmp_path: Path) -> None:
        path = tmp_path / "study"
        with open_study(path, {"seed": 1, "hit": "a signal"}) as study:
            study.add_trial(optuna.trial.create_trial(value=1.0))
        with open_study(path, {"seed": 1, "hit": "a signal"}) as study:
            assert len(finished(study)) == 1
        expected = (
            r"made for hit = a signal, but now it is another; use the former value, or give another"
        )
        with (
            pytest.raises(InvalidInputError, match=expected),
            open_study(path, {"seed": 1, "hit": "another"}),
        ):
            pass

    @pytest.mark.parametrize("number", [0, 7, -1])
    @pytest.mark.parametrize("part", ["rating", "sub_scores", "columns"])
    def test_it_belongs_to_the_whole_log(
        self, log: ReplayLog, tmp_path: Path, number: int, part: str
    ) -> None:
        """One number of any scan is other, of either half: the trials are of another log."""
        day = log.days()[number]
        if part == "sub_scores":
            changed = log.contexts.sub_scores.copy()
            changed[day - 1, 3, 0] += 1.0
            other = replace(log, contexts=replace(log.contexts, sub_scores=changed))
        else:
            changed = log.outcomes.rating.copy()
            changed[day, 3] += 1e-6
            column = {"volume": changed.astype(np.float32)} if part == "columns" else {}
            rating = log.outcomes.rating if column else changed
            other = replace(log, outcomes=replace(log.outcomes, rating=rating, columns=column))
        tune(log, trials=1, warmup=WARMUP, batch_size=10, study=tmp_path / "study")
        with pytest.raises(InvalidInputError, match="was made for log ="):
            tune(other, trials=2, warmup=WARMUP, batch_size=10, study=tmp_path / "study")

    def test_two_runs_do_not_share_a_file(self, tmp_path: Path) -> None:
        with (
            open_study(tmp_path / "study", {}),
            pytest.raises(InvalidInputError, match="in use by another run"),
            open_study(tmp_path / "study", {}),
        ):
            pass

    @pytest.mark.parametrize("content", [b"date,symbol\n2020,A", b"{}\n", b"[1]", b"\xff\xfe"])
    def test_nobody_elses_file_is_touched(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "file"
        path.write_bytes(content)
        with (
            pytest.raises(
                InvalidInputError, match="is not a study of `scanrank tune`; give another"
            ),
            open_study(path, {}),
        ):
            pass
        assert path.read_bytes() == content

    def test_a_damaged_study_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "study"
        with open_study(path, {"seed": 1}):
            pass
        path.write_bytes(path.read_bytes() + b"garbage\n" + path.read_bytes())
        with (
            pytest.raises(InvalidInputError, match=r"study .* is damaged .*give another file"),
            open_study(path, {"seed": 1}),
        ):
            pass

    def test_optunas_own_voice_is_as_before(self) -> None:
        before = optuna.logging.get_verbosity()
        with open_study(None, {}):
            assert optuna.logging.get_verbosity() == optuna.logging.WARNING
        assert optuna.logging.get_verbosity() == before


def _finished_lines(path: Path) -> list[bytes]:
    """Lines of the journal that give a trial its final state (2 = pruned, 1 = complete)."""
    lines = path.read_bytes().splitlines()
    return [line for line in lines if b'"state":1' in line or b'"state":2' in line]


def test_pruned_trials_cost_less(log: ReplayLog) -> None:
    """In a search of twelve some are given up, and none of those is the best.

    With so few scans many settings find the same hits, and ties are not given up: of this seed's
    twelve trials most differ.
    """
    with open_study(None, {}) as study:
        search = Search(
            study, _shared(log),
            conditions={"from_": "2022-03-11", "to": "2022-04-14", "warmup": WARMUP},
            rungs=rungs(20), defaults=Settings(batch_size=10), batch_size=10, seed=5,
        )  # fmt: skip
        for _ in range(12):
            search.round(1, None)
        states = [trial.state.name for trial in finished(study)]
        assert states[0] == "COMPLETE"
        assert 3 <= states.count("PRUNED") <= 10
        assert len(search.scores) == states.count("COMPLETE")
        for trial in finished(study):
            assert (len(trial.intermediate_values) < 3) <= (trial.state.name == "PRUNED")
