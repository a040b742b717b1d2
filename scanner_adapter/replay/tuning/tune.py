"""Which settings serve this history best, and is that more than luck?

1. The log is cut in two halves by time. The search sees the first one only.
2. A trial proposes settings and replays the first half under them; one that falls behind others is
   given up (`tune_trial`). The defaults are the first trial.
3. The best and the defaults then replay the whole log, so that what they learned carries over,
   and are compared on the second half, scan by scan.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bandit.errors import InvalidInputError
from scanner_adapter.inputs.disk_cache import fingerprint
from scanner_adapter.replay.ranked import Configuration
from scanner_adapter.replay.run import describe
from scanner_adapter.replay.tuning.result import DEFAULTS, TUNED, TuneResult
from scanner_adapter.replay.tuning.study import open_study, optuna_module
from scanner_adapter.replay.tuning.sweep import SharedLog, joblib_module, sweep
from scanner_adapter.replay.tuning.trial import rungs
from scanner_adapter.settings import Settings

if TYPE_CHECKING:
    from scanner_adapter.replay.logs.scans import Log

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from scanner_adapter.replay.tuning.space import parameters_of, suggest
from scanner_adapter.replay.tuning.study import ask, finished
from scanner_adapter.replay.tuning.sweep import in_parallel
from scanner_adapter.replay.tuning.trial import TrialOutcome, run_trial

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
                "no measured scan of the first half has a hit; use a longer period or another hit "
                "rule"
            )
        for step, score in outcome.reports:
            trial.report(score, step)
        if outcome.is_pruned:
            self.study.tell(trial, state=optuna_module().trial.TrialState.PRUNED)
        else:
            self.study.tell(trial, outcome.score)


# With fewer scans to search on, the best of many trials is the luckiest.
LEAST_SCANS = 20


@dataclass(frozen=True)
class TuneProgress:
    """How far a search is.

    Attributes
    ----------
    n_done, n_trials : int
        Finished trials, and how many there will be.
    best, default : float
        Best score so far, and that of the defaults, on the first half.
    is_judging : bool
        Whether the search is over and the second half is replayed.
    """

    n_done: int
    n_trials: int
    best: float
    default: float
    is_judging: bool = False


def tune(
    log: Log,
    *,
    trials: int = 50,
    timeout_s: float | None = None,
    n_jobs: int | None = None,
    study: str | Path | None = None,
    from_: date | str | None = None,
    to: date | str | None = None,
    warmup: int = 60,
    batch_size: int | None = None,
    budget: float | None = None,
    same_day: bool = False,
    seed: int = 0,
    progress: Callable[[TuneProgress], None] | None = None,
) -> TuneResult:
    """Search settings on the first half of a log, and judge the best on the second.

    The score that is maximised is the mean of the recall after 10 % and after 25 % of the universe.

    Parameters
    ----------
    log : Log
    trials : int
        Finished trials to reach, those that a study already has included.
    timeout_s : float, optional
        No round of trials starts later than this. Judging comes on top.
    n_jobs : int, optional
        Trials at a time, as in `sweep`. Another number proposes other trials.
    study : path, optional
        File that keeps the trials; a search that was ended goes on with it.
    from_, to : date, optional
        First and last scan; by default all that the log has.
    warmup : int
        First scans: learned from and not measured.
    batch_size : int, optional
        The batch size of the scanner, if it is not to be searched.
    budget : float, optional
        Share of the universe at which each scan is stopped.
    same_day : bool
        Whether features may see the bars of the scan's own day.
    seed : int
        Of the proposals and of every replay.
    progress : callable, optional
        Called after every round of trials, and before the second half.

    Raises
    ------
    InvalidInputError
        For settings outside their range, too few scans, or a study that does not fit.
    ImportError
        Without the extra `tune`.
    """
    if trials < 1:
        raise InvalidInputError(f"trials is {trials}; expected at least 1")
    if timeout_s is not None and not timeout_s > 0.0:
        raise InvalidInputError(f"timeout is {timeout_s} s; expected more than 0")
    joblib, _ = joblib_module(), optuna_module()  # what is missing shows before any work
    days = log.days(from_, to)
    first, second = _halves(days, warmup)
    train, test = _ends(log, first), _ends(log, second)
    defaults = replace(Settings(), batch_size=batch_size or Settings().batch_size)
    conditions: dict[str, Any] = {"budget": budget, "same_day": same_day}
    # Whatever trials must have in common to be compared.
    made_for = {
        "scans": f"{train[0]} to {train[1]}, {len(first)}",
        "symbols": len(log.symbols),
        "hit": describe(log.rule),
        "warmup": warmup,
        "batch_size": batch_size,
        "seed": seed,
        **conditions,
        "log": _print_of(log, days, same_day=same_day),
    }
    with open_study(study, made_for) as book:
        search = Search(
            book, SharedLog(log),
            conditions={**conditions, "from_": train[0], "to": train[1], "warmup": warmup},
            rungs=rungs(len(first) - warmup), defaults=defaults, batch_size=batch_size, seed=seed,
        )  # fmt: skip

        def report(*, is_judging: bool = False) -> None:
            if progress is not None:
                scores = search.scores
                progress(TuneProgress(search.n_done, trials, max(scores), scores[0], is_judging))

        end = None if timeout_s is None else monotonic() + timeout_s
        while search.n_done < trials:
            if search.n_done and end is not None and monotonic() >= end:
                break
            search.round(min(joblib.effective_n_jobs(n_jobs), trials - search.n_done), n_jobs)
            report()
        best, scores, n_trials = search.best, search.scores, search.n_done
        report(is_judging=True)
    held_out = None
    if best != defaults:
        rivals = ((DEFAULTS, defaults), (TUNED, best))
        held_out = sweep(
            log,
            [Configuration(name, seed, each.arguments()) for name, each in rivals],
            n_jobs=n_jobs, from_=train[0], to=test[1], warmup=len(first), **conditions,
        )  # fmt: skip
    return TuneResult(
        found=best,
        defaults=defaults,
        train_gain=max(scores) - scores[0],
        held_out=held_out,
        n_trials=n_trials,
        n_pruned=n_trials - len(scores),
        train=train,
        test=test,
        n_train=len(first) - warmup,
        n_test=len(second),
    )


def _halves(days: NDArray[np.intp], warmup: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    if warmup < 0:
        raise InvalidInputError(f"warmup is {warmup}; expected 0 or more scans")
    first, second = np.split(days, [len(days) // 2])
    if len(first) - warmup < LEAST_SCANS:
        raise InvalidInputError(
            f"{len(days)} scans leave {max(len(first) - warmup, 0)} to search on, after a warm-up "
            f"of {warmup} in the first half; expected at least {LEAST_SCANS}: use a longer period "
            "or a shorter warm-up"
        )
    return first, second


def _ends(log: Log, days: NDArray[np.intp]) -> tuple[str, str]:
    return str(log.dates[days[0]]), str(log.dates[days[-1]])


def _print_of(log: Log, days: NDArray[np.intp], *, same_day: bool) -> str:
    """Fingerprint of all scans and of the features' code: another log has other scores."""

    def parts() -> Iterator[str | NDArray[Any]]:
        for scan in log.scans(days, same_day=same_day):
            yield scan.now.isoformat()
            yield json.dumps([scan.symbols, scan.sub_score_names, scan.loadings.names])
            yield from (scan.rating, scan.hits, scan.sub_scores, scan.loadings.values)
            table = scan.report(np.arange(len(scan.symbols)))
            yield json.dumps(table.names)
            yield from (table.values, table.is_signal)

    return fingerprint(parts())
