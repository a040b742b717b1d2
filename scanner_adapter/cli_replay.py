"""`scanrank replay`: the metric table of a log, on the screen and as JSON."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bandit.errors import InvalidInputError
from bandit.rewards import RewardRule
from scanner_adapter.replay import Configuration, Log, ReplayLog, bundled_log, replay
from scanner_adapter.replay.bundled import WARMUP
from scanner_adapter.settings import Settings

BUNDLED = "bundled"


@dataclass(frozen=True)
class ReplayRequest:
    """What was asked for; see the command's help."""

    bars: Path | None
    ratings: Path | None
    log: str | None
    from_: str | None
    to: str | None
    rule: RewardRule
    budget: float | None
    same_day: bool
    settings: Path | None
    batch_size: int | None
    warmup: int | None
    seed: int
    json_file: Path | None


def run_replay(request: ReplayRequest) -> None:
    """Replay, print the table, and write the JSON file if one is named.

    Raises
    ------
    InvalidInputError
        Before any work when the JSON file's folder is missing: a long replay must not end so.
    """
    if request.json_file is not None and not request.json_file.absolute().parent.is_dir():
        raise InvalidInputError(f"--json {request.json_file}: there is no such folder")
    settings = Settings.of(request.settings)
    log, warmup = read_log(request.log, request.bars, request.ratings, request.rule)
    errors = Console(stderr=True)
    with Progress(
        TextColumn("replaying"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    ) as progress:
        task = progress.add_task("", total=None)
        report = replay(
            log,
            configuration=Configuration(seed=request.seed, settings=settings.arguments()),
            from_=request.from_,
            to=request.to,
            batch_size=request.batch_size or settings.batch_size,
            budget=request.budget,
            warmup=warmup if request.warmup is None else request.warmup,
            same_day=request.same_day,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    Console(highlight=False).print(report.table())
    if request.json_file is not None:
        write_whole(request.json_file, report.to_json() + "\n")


def read_log(
    log: str | None, bars: Path | None, ratings: Path | None, rule: RewardRule
) -> tuple[Log, int]:
    """Return the log that a command's options name, and how many scans its warm-up has.

    Parameters
    ----------
    log : str, optional
        "bundled" (also where nothing is named), or a file in the bundled log's format.
    bars, ratings : path, optional
        Both or neither.

    Raises
    ------
    InvalidInputError
        For options that contradict each other, or a file that cannot be read.
    """
    if bars is None and ratings is None:
        if log in (None, BUNDLED):
            return bundled_log(rule), WARMUP
        return bundled_log(rule, path=Path(str(log))), WARMUP
    if log is not None:
        raise InvalidInputError(f"--log {log} and --bars are two logs; give one of them")
    if bars is None or ratings is None:
        missing = "--bars" if bars is None else "--ratings"
        raise InvalidInputError(
            f"{missing} is missing; give --bars and --ratings together, or neither for the log "
            "that comes with scanrank"
        )
    return ReplayLog.read(bars, ratings, rule=rule), 60


def write_whole(path: Path, text: str) -> None:
    """Write a file or nothing: readers never see a half of it, and a failure leaves the old one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
