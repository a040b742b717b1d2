"""The search of `tune`: rounds of trials, proposed from what earlier ones scored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bandit.errors import InvalidInputError
from scanner_adapter.replay.tuning.space import parameters_of, suggest
from scanner_adapter.replay.tuning.study import ask, finished, optuna_module
from scanner_adapter.replay.tuning.sweep import SharedLog, in_parallel
from scanner_adapter.replay.tuning.trial import TrialOutcome, run_trial
from scanner_adapter.settings import Settings

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import Trial


@dataclass(frozen=True)
class Search:
    """A search that is under way; its state is the study.

    Attributes
    ----------
    study : optuna.study.Study
    shared : SharedLog
    conditions : mapping
        Of every replay: the period, the warm-up and what else `replay` takes.
    rungs : tuple of int
        After how many measured scans trials are compared.
    defaults : Settings
        The first trial.
    batch_size : int or None
        The only one to try.
    seed : int
    """

    study: Study
    shared: SharedLog
    conditions: Mapping[str, Any]
    rungs: tuple[int, ...]
    defaults: Settings
    batch_size: int | None
    seed: int

    @property
    def n_done(self) -> int:
        """Finished trials, those that were given up included."""
        return len(finished(self.study))

    @property
    def scores(self) -> list[float]:
        """Scores of the trials that were not given up; those of the defaults first."""
        complete = optuna_module().trial.TrialState.COMPLETE
        done = [trial for trial in finished(self.study) if trial.state == complete]
        return [trial.value for trial in done if trial.value is not None]

    @property
    def best(self) -> Settings:
        """The settings with the best score; the defaults where nothing beats them."""
        from optuna.trial import FixedTrial

        if max(self.scores) <= self.scores[0]:
            return self.defaults
        return suggest(FixedTrial(self.study.best_trial.params), self.batch_size)

    def round(self, n: int, n_jobs: int | None) -> None:
        """Run `n` trials at a time and enter them in the study.

        They are entered in the order in which they were asked for, whichever ends first, so that
        the same seed and number of jobs give the same study anywhere.

        Raises
        ------
        InvalidInputError
            When no measured scan has a hit.
        """
        first = parameters_of(self.defaults, self.batch_size)
        asked = ask(self.study, n, self.seed, first)
        proposed = [suggest(trial, self.batch_size) for trial in asked]
        standing = self._standing()
        arguments = [(each, self.seed, standing, self.conditions) for each in proposed]
        outcomes = in_parallel(run_trial, self.shared, arguments, n_jobs=n_jobs)
        for trial, outcome in zip(asked, list(outcomes), strict=True):
            self._enter(trial, outcome)

    def _standing(self) -> dict[int, list[float]]:
        """Scores of the finished trials at each rung."""
        reports = [trial.intermediate_values for trial in finished(self.study)]
        return {step: [each[step] for each in reports if step in each] for step in self.rungs}

    def _enter(self, trial: Trial, outcome: TrialOutcome) -> None:
        if math.isnan(outcome.score):
            raise InvalidInputError(
                "no measured scan of the first half has a hit; take a longer period, or another "
                "rule of what a hit is"
            )
        for step, score in outcome.reports:
            trial.report(score, step)
        if outcome.is_pruned:
            self.study.tell(trial, state=optuna_module().trial.TrialState.PRUNED)
        else:
            self.study.tell(trial, outcome.score)
