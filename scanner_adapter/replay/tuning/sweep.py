"""Many configurations on one log, on all processors or a cluster, and which is better by how much.

Each configuration is one task and starts knowing nothing, so the result is the same wherever and
in whatever order the tasks run. joblib runs them: ``n_jobs`` processes on this machine, or
whatever `joblib.parallel_config` names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from bandit.errors import InvalidInputError
from scanner_adapter.replay.ranked import Configuration
from scanner_adapter.replay.report import ReplayReport
from scanner_adapter.replay.run import replay
from scanner_adapter.settings import Settings

if TYPE_CHECKING:
    from scanner_adapter.replay.logs.scans import Log


# Arrays from this size on are memory-mapped for workers on this machine instead of sent with every
# task. Recorded scans bring one array of 50 kB and more for each; joblib's own limit is 1 MB.
_LEAST_MAPPED_BYTES = 10_000


def sweep(
    log: Log,
    configurations: Iterable[Configuration],
    *,
    n_jobs: int | None = None,
    batch_size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    **conditions: Any,
) -> ReplayReport:
    """Replay a log under each configuration.

    Parameters
    ----------
    log : Log
    configurations : iterable of Configuration
        Each under a name of its own.
    n_jobs : int, optional
        Processes, -1 = one for each processor. By default what `joblib.parallel_config` says,
        else 1.
    batch_size : int, optional
        Symbols per batch; by default each configuration's own.
    progress : callable, optional
        Called with (configurations done, configurations in all).
    **conditions
        What else `replay` takes: from_, to, budget, warmup, same_day and so on.

    Returns
    -------
    ReplayReport
        One result per configuration, under its name. `ReplayReport.difference` compares two, scan
        by scan, with an interval.

    Raises
    ------
    InvalidInputError
        When there is no configuration or two have one name, and whatever `replay` refuses.
    ImportError
        Without joblib.

    Notes
    -----
    The log goes to each worker once. On one machine joblib lays its arrays out as memory-mapped
    files, which all processes share, unless they lie in the disk cache and are such files already.
    On a cluster they are sent, which takes the log's size in memory on every worker.

    Examples
    --------
    On a dask cluster (``pip install 'scanrank[dask]'``)::

        from dask.distributed import Client
        import joblib

        with Client("tcp://scheduler:8786"), joblib.parallel_config(backend="dask"):
            report = sweep(log, configurations)
        report.difference("short memory", "scanrank")
    """
    chosen = list(configurations)
    names = [configuration.name for configuration in chosen]
    if not names or len(set(names)) < len(names):
        raise InvalidInputError(
            f"configurations are {names}; expected at least one, each with a unique name"
        )
    own = [int(each.settings.get("batch_size", Settings().batch_size)) for each in chosen]
    sizes = own if batch_size is None else [batch_size] * len(chosen)
    reports: list[ReplayReport] = []
    arguments = [
        (each, {**conditions, "batch_size": k}) for each, k in zip(chosen, sizes, strict=True)
    ]
    for report in in_parallel(_replayed, SharedLog(log), arguments, n_jobs=n_jobs):
        reports.append(report)
        if progress is not None:
            progress(len(reports), len(chosen))
    common: dict[str, str | int | float | None] = dict(reports[0].conditions)
    if len(set(sizes)) > 1:
        common["batch_size"] = f"{min(sizes)} to {max(sizes)}"
    results = {name: each.results[name] for name, each in zip(names, reports, strict=True)}
    return ReplayReport(results, reports[0].dates, common)


@dataclass(frozen=True, eq=False)
class SharedLog:
    """A log on its way to the workers.

    dask sends an argument once to each worker, instead of once per task, if it looks large; a log
    looks as small as the object that names its arrays. Hence a size that counts them.
    """

    log: Log

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + n_bytes(self.log)


def n_bytes(value: object) -> int:
    """Return the size of a log's arrays, in bytes; what else it holds is small."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, dict):
        return sum(map(n_bytes, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(n_bytes, value))
    if is_dataclass(value):
        return sum(n_bytes(getattr(value, each.name)) for each in fields(value))
    return 0


def in_parallel(
    task: Callable[..., Any],
    shared: object,
    arguments: Sequence[tuple[Any, ...]],
    *,
    n_jobs: int | None,
) -> Iterator[Any]:
    """Yield ``task(shared, *each)`` for each of the arguments, in their order, as they are done."""
    joblib = joblib_module()
    # One task at a time to whoever is free: a task takes seconds to minutes.
    parallel = joblib.Parallel(
        n_jobs=n_jobs, batch_size=1, return_as="generator", max_nbytes=_LEAST_MAPPED_BYTES
    )
    yield from parallel(joblib.delayed(task)(shared, *each) for each in arguments)


def joblib_module() -> ModuleType:
    """Import joblib, or say how to install it."""
    try:
        import joblib
    except ImportError as err:
        raise ImportError("sweeps need joblib: pip install 'scanrank[tune]'") from err
    return joblib  # type: ignore[no-any-return]


def _replayed(
    shared: SharedLog, configuration: Configuration, conditions: dict[str, Any]
) -> ReplayReport:
    """One task."""
    return replay(shared.log, configuration=configuration, orders=("scanrank",), **conditions)
