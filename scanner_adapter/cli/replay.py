"""`scanrank replay`: what orders find in a log, as a table, as JSON and as a page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bandit.errors import InvalidInputError
from bandit.rewards import RewardRule
from bandit.stores import Entry
from features.inputs.bars import Bars
from features.inputs.tables import Reading
from scanner_adapter.inputs.context import market_facts
from scanner_adapter.inputs.events import read_events
from scanner_adapter.jsonio import write_whole
from scanner_adapter.replay import Configuration, Log, ReplayLog, bundled_log, replay
from scanner_adapter.replay.breakdown import By, breakdown, breakdown_table
from scanner_adapter.replay.journals.journal_scan import FactsOf, journal_scans, recorded_log
from scanner_adapter.replay.journals.off_policy import judge_stopped, judgement_table
from scanner_adapter.replay.journals.reproduce import again_table, replay_again
from scanner_adapter.replay.logs.bundled import WARMUP
from scanner_adapter.replay.pace import Pace
from scanner_adapter.replay.pictures.page import page
from scanner_adapter.replay.pictures.pictures import check_installed, write_pictures
from scanner_adapter.settings import Settings
from scanner_adapter.state.parquet import is_journal, is_parquet, read_journal

BUNDLED = "bundled"


@dataclass(frozen=True)
class ReplayRequest:
    """What was asked for; see the command's help."""

    bars: Path | None
    ratings: Path | None
    sectors: Path | None
    events: tuple[Path, ...]
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
    pace: Pace
    by: By | None
    is_again: bool
    json_file: Path | None
    report_folder: Path | None
    reading: Reading = field(default_factory=Reading)


def run_replay(request: ReplayRequest) -> bool:
    """Replay, print the tables, and write the files that are named; whether all is as it should.

    Raises
    ------
    InvalidInputError
        Before any work when the JSON file's folder, or what draws pictures, is missing: a long
        replay must not end so.
    """
    if request.report_folder is not None:
        check_installed()
    if request.json_file is not None and not request.json_file.absolute().parent.is_dir():
        raise InvalidInputError(f"--json {request.json_file}: there is no such folder")
    _check_events(request.events, request.bars)
    console = Console(highlight=False)
    journal = _journal(request)
    if request.is_again:
        return _play_again(request, journal, console)
    if journal is not None and not any(scan.is_complete for scan in journal_scans(journal)):
        _judge_stopped(request, journal, console)
        return True
    log, warmup = _log(request, journal, console)
    settings = Settings.of(request.settings)
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
            pace=request.pace,
            watch=request.report_folder is not None,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    console.print(report.table())
    rows: list[Mapping[str, object]] = [*report.rows]
    if request.by is not None:
        console.print(breakdown_table(report, request.by, ("scanrank", "last rating")))
        rows += [row.to_json() for row in breakdown(report, request.by)]
    if request.json_file is not None:
        write_whole(request.json_file, json.dumps(rows, indent=2, allow_nan=False) + "\n")
    if request.report_folder is not None:
        files = write_pictures(report, request.report_folder)
        write_whole(request.report_folder / "index.html", page(report))
        print(f"{request.report_folder / 'index.html'} and {len(files)} pictures")
    return True


def read_log(
    log: str | None,
    bars: Path | None,
    ratings: Path | None,
    rule: RewardRule,
    sectors: Path | None = None,
    events: Sequence[Path] = (),
    reading: Reading | None = None,
) -> tuple[Log, int]:
    """Return the log that a command's options name, and how many scans its warm-up has.

    Parameters
    ----------
    log : str, optional
        "bundled" (also where nothing is named), or a file: a journal's export, or recorded scans
        in the bundled log's format.
    bars, ratings : path, optional
        Both or neither.
    sectors : path, optional
        A table with columns symbol and sector.
    events : sequence of path
        See `read_events`; with `bars` only.
    reading : Reading, optional
        What happens to bad rows, and the market's zone.

    Raises
    ------
    InvalidInputError
        For options that contradict each other, or a file that cannot be read.
    """
    _check_events(events, bars)
    if bars is None and ratings is None:
        if log in (None, BUNDLED):
            return bundled_log(rule), WARMUP
        path = Path(str(log))
        if not path.is_file():
            raise InvalidInputError(
                f"--log {log}: there is no such file; expected 'bundled', or a journal from "
                "`scanrank journal export`"
            )
        if not is_parquet(path):
            raise InvalidInputError(f"--log {log} is no Parquet file; expected a journal's export")
        if is_journal(path):
            return recorded_log(journal_scans(read_journal(path)), rule, _sectors(sectors)), 60
        return bundled_log(rule, path=path), WARMUP
    if log is not None:
        raise InvalidInputError(f"--log {log} and --bars are two logs; give one of them")
    if bars is None or ratings is None:
        missing = "--bars" if bars is None else "--ratings"
        raise InvalidInputError(
            f"{missing} is missing; give --bars and --ratings together, or neither for the log "
            "that comes with scanrank"
        )
    how = reading or Reading()
    released, known = read_events(events, **how), _sectors(sectors)
    return ReplayLog.read(bars, ratings, rule=rule, events=released, sectors=known, **how), 60


def _check_events(events: Sequence[Path], bars: Path | None) -> None:
    if events and bars is None:
        raise InvalidInputError(
            f"--events {events[0]} needs --bars: a log without bars brings the features that its "
            "scans had"
        )


def _journal(request: ReplayRequest) -> list[Entry] | None:
    """The entries of the journal that --log names; None where it names another kind of log."""
    if request.log in (None, BUNDLED):
        return None
    path = Path(str(request.log))
    if not path.is_file() or not is_parquet(path) or not is_journal(path):
        return None
    return list(read_journal(path))


def _log(request: ReplayRequest, journal: list[Entry] | None, console: Console) -> tuple[Log, int]:
    if journal is None:
        return read_log(
            request.log,
            request.bars,
            request.ratings,
            request.rule,
            request.sectors,
            request.events,
            request.reading,
        )
    scans = journal_scans(journal)
    log = recorded_log(scans, request.rule, _sectors(request.sectors))
    n_left_out = len(scans) - len(log.recorded)
    if n_left_out:
        console.print(
            f"{n_left_out} of the journal's {len(scans)} scans did not run to their end and are "
            "left out: no order can be judged exactly on them."
        )
    # Of a short journal, a quarter is learned from and not measured.
    return log, min(60, len(log.recorded) // 4)


def _play_again(request: ReplayRequest, journal: list[Entry] | None, console: Console) -> bool:
    if journal is None:
        raise InvalidInputError(
            "--again makes the choices of a live scanner again: name its journal with --log "
            "(`scanrank journal export` writes it)"
        )
    verdicts = replay_again(journal, facts_of=_facts_of(request))
    console.print(again_table(verdicts))
    if request.json_file is not None:
        rows = [asdict(verdict) for verdict in verdicts]
        write_whole(request.json_file, json.dumps(rows, indent=2) + "\n")
    return all(verdict.is_same is not False for verdict in verdicts)


def _judge_stopped(request: ReplayRequest, journal: list[Entry], console: Console) -> None:
    console.print(
        "Every scan of this journal was stopped: orders are judged from the logged propensities."
    )
    judgements = judge_stopped(journal, facts_of=_facts_of(request))
    console.print(judgement_table(judgements))
    if request.json_file is not None:
        rows = [asdict(judgement) for judgement in judgements]
        write_whole(request.json_file, json.dumps(rows, indent=2, allow_nan=False) + "\n")


def _facts_of(request: ReplayRequest) -> FactsOf | None:
    """Facts of scans that were stopped, from --bars, --events and --sectors."""
    if request.bars is None:
        return None
    bars, sectors = Bars.read(request.bars, **request.reading), _sectors(request.sectors)
    events = read_events(request.events, **request.reading)
    return lambda symbols, as_of: market_facts(
        symbols, bars=bars, events=events, as_of=as_of, sectors=sectors
    )


def _sectors(path: Path | None) -> dict[str, str] | None:
    if path is None:
        return None
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, na_values={"sector": [""]})
    except (ValueError, OSError) as err:
        raise InvalidInputError(f"--sectors {path} cannot be read as CSV: {err}") from err
    missing = {"symbol", "sector"} - set(table.columns)
    if missing:
        raise InvalidInputError(
            f"--sectors {path} has columns {', '.join(map(str, table.columns[:8]))}; expected "
            "symbol and sector"
        )
    known = table.dropna(subset=["symbol", "sector"])
    return dict(zip(known["symbol"], known["sector"], strict=True))
