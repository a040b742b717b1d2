"""The book that `tune` keeps of its trials: an Optuna study, in memory or in a file.

The file is Optuna's journal, one line per event. Whoever is killed loses the trial it was at; the
next run finds the others and goes on as if nothing had happened.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from bandit.errors import InvalidInputError
from scanner_adapter.replay.tuning.file_lock import lock

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

_NAME = "scanrank tune"
_MADE_FOR = "made_for"


def optuna_module() -> ModuleType:
    """Import Optuna, or say how to install it."""
    try:
        import optuna
    except ImportError as err:
        raise ImportError("tuning needs Optuna: pip install 'scanrank[tune]'") from err
    return optuna


@contextmanager
def open_study(path: str | Path | None, made_for: Mapping[str, Any]) -> Iterator[Study]:
    """Open a study, in memory without a path; create its file if there is none.

    Parameters
    ----------
    made_for : mapping
        What its trials were measured on, as JSON takes it. Trials of other data, or of another
        period, cannot be compared.

    Raises
    ------
    InvalidInputError
        When the file is no study of ours, was made for something else, or is in use.
    ImportError
        Without Optuna.
    """
    optuna = optuna_module()
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        if path is None:
            yield optuna.create_study(direction="maximize")
            return
        with _alone(Path(path)):
            study = _load(optuna, Path(path))
            _check(study, Path(path), json.loads(json.dumps(made_for)))
            for trial in study.get_trials(deepcopy=False):
                if trial.state == optuna.trial.TrialState.RUNNING:  # its process was killed
                    study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            yield study
    finally:
        optuna.logging.set_verbosity(verbosity)


def finished(study: Study) -> list[FrozenTrial]:
    """Return the trials that have a score, given up early or not."""
    states = optuna_module().trial.TrialState
    return study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED))


def ask(study: Study, n: int, seed: int, first: Mapping[str, Any]) -> list[Trial]:
    """Return `n` new trials; the very first of a study has the parameters `first`.

    What is proposed depends on the seed and on the finished trials only, not on whether the study
    was interrupted between them.
    """
    optuna = optuna_module()
    known = study.get_trials(deepcopy=False)
    n_finished = len(finished(study))
    is_waiting = any(trial.state == optuna.trial.TrialState.WAITING for trial in known)
    if n_finished == 0 and not is_waiting:
        study.enqueue_trial(dict(first))
    state = np.random.SeedSequence([seed, n_finished]).generate_state(1)
    study.sampler = optuna.samplers.TPESampler(seed=int(state[0]))
    return [study.ask() for _ in range(n)]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other runs from the file, and cut off a last line that a crash left unfinished."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            lock(descriptor)
        except BlockingIOError as err:
            raise InvalidInputError(
                f"study {path} is in use by another run; wait for it, or give another file"
            ) from err
        content = path.read_bytes()
        if content and not _is_journal(content):
            raise InvalidInputError(
                f"{path} is not a study of `scanrank tune`; give another file, and it will be "
                "created"
            )
        # Optuna would append to the half line and could read neither afterwards.
        os.ftruncate(descriptor, content.rfind(b"\n") + 1)
        yield
    finally:
        os.close(descriptor)


def _is_journal(content: bytes) -> bool:
    """Whether the first line is an event of Optuna's journal; nobody else's file is touched."""
    try:
        event = json.loads(content.partition(b"\n")[0])
    except ValueError:
        return False
    return isinstance(event, dict) and "op_code" in event


def _load(optuna: ModuleType, path: Path) -> Study:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    try:
        study: Study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path))),
            study_name=_NAME, direction="maximize", load_if_exists=True,
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise InvalidInputError(
            f"study {path} is damaged ({err!r}); give another file, and it will be created"
        ) from err
    return study


def _check(study: Study, path: Path, made_for: Mapping[str, Any]) -> None:
    known = study.user_attrs.get(_MADE_FOR)
    if known is None:
        study.set_user_attr(_MADE_FOR, made_for)
        return
    for name in [name for name in made_for if known.get(name) != made_for[name]]:
        raise InvalidInputError(
            f"study {path} was made for {name} = {known.get(name)}, but now it is "
            f"{made_for[name]}; use the former value, or give another file"
        )
