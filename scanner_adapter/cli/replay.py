"""`scanrank replay`: what orders find in a log, as a table, as JSON and as a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import TimeRemainingColumn

from bandit.errors import InvalidInputError
from bandit.rewards import RewardRule
from scanner_adapter.cli.options import refuse_idle
from scanner_adapter.cli.output.live_display import progress_bar
from scanner_adapter.jsonio import check_folder, check_target, write_whole
from scanner_adapter.replay import Configuration, Ranked, replay
from scanner_adapter.replay.breakdown import By, breakdown, breakdown_table, check_sectors
from scanner_adapter.replay.intraday import replay_intraday
from scanner_adapter.replay.journals.off_policy import judge_stopped, judgement_table
from scanner_adapter.replay.journals.reproduce import again_table, replay_again
from scanner_adapter.replay.logs.known_at import KnownAtLog
from scanner_adapter.replay.logs.scans import ReplayLog
from scanner_adapter.replay.orders import InTurns
from scanner_adapter.replay.pace import Pace
from scanner_adapter.replay.pictures.page import page
from scanner_adapter.replay.pictures.pictures import check_installed, write_pictures
from scanner_adapter.replay.read import LogFiles
from scanner_adapter.replay.run import ORDERS, describe
from scanner_adapter.replay.stopping import stop_rows, stop_table, stopped_orders
from scanner_adapter.run.stop_rules import stop_rule_from_text
from scanner_adapter.settings import Settings

# Which options each kind of answer uses; every other one is refused.
_MARKET = {"bars", "sectors", "events", "skip_bad_rows", "tz"}
_AGAIN = _MARKET | {"log", "again", "json_file"}
_STOPPED = _MARKET | {"log", "ratings", "from_", "to", "top", "hit", "warmup", "json_file"}
_REPLAYED = {
    "log", "from_", "to", "top", "hit", "budget", "until", "settings", "batch_size", "warmup",
    "seed", "workers", "delay_batches", "delay_s", "evaluation_s", "by", "json_file", "report",
}  # fmt: skip
# With --every: options for any log, and those for each kind of log.
_EVERY = {
    "every", "hits_last", "seen_within", "from_", "to", "top", "hit", "budget", "settings",
    "warmup", "seed", "json_file",
}  # fmt: skip
_EVERY_OF = {
    "bars": _MARKET | {"ratings"},
    "rule": _MARKET | {"scanner", "minute_bars"},
    "journal": {"log"},
    "recorded": {"log"},
    "bundled": {"log"},
}
# Days on which a built-in rule is replayed without --from: some minutes of work.
_DAYS = 40
_HEEDED = {
    "stopped journal": (
        _STOPPED, "every scan of this journal was stopped, so recall is estimated from it and no "
        "order is run",
    ),
    "bars": (
        _MARKET | _REPLAYED | {"ratings", "same_day", "known_at", "minute_bars"},
        "bars and ratings are replayed",
    ),
    "journal": (
        {*_REPLAYED, "sectors"}, "this journal has complete scans, which include their own data",
    ),
    "bundled": (_REPLAYED, "the bundled scans include their own data"),
    "recorded": (_REPLAYED, "recorded scans include their own data"),
}  # fmt: skip


@dataclass(frozen=True)
class ReplayRequest:
    """The arguments of the command, checked; see its help. `given`: see `given_options`."""

    files: LogFiles
    from_: str | None
    to: str | None
    rule: RewardRule | None
    budget: float | None
    until: tuple[str, ...]
    every: timedelta | None
    hits_last: timedelta | None
    seen_within: timedelta | None
    same_day: bool
    known_at: str | None
    minute_bars: Path | None
    settings: Path | None
    batch_size: int | None
    warmup: int | None
    seed: int
    pace: Pace
    by: By | None
    is_again: bool
    json_file: Path | None
    report_folder: Path | None
    given: Mapping[str, str]


def run_replay(request: ReplayRequest) -> bool:
    """Replay, print the tables, and write the files that are named; whether all is as it should.

    Raises
    ------
    InvalidInputError
        Before any work for an option that would change nothing, and when the files could not be
        written or what draws pictures is missing: a long replay must not end so.
    """
    if request.report_folder is not None:
        check_installed()
        check_folder(request.report_folder, "--report ")
    if request.json_file is not None:
        check_target(request.json_file, "--json ")
    console = Console(highlight=False)
    if request.is_again:
        idle = request.given.keys() - _AGAIN
        refuse_idle(request.given, idle, "--again repeats the choices of a journal unchanged")
        return _play_again(request, console)
    kind = request.files.kind
    if request.every is not None and kind in _EVERY_OF:
        idle = request.given.keys() - _EVERY - _EVERY_OF[kind]
        refuse_idle(request.given, idle, "--every replays days of many scans")
        _play_days(request, request.every, console)
        return True
    refuse_idle(
        request.given, () if request.every else {"hits_last", "seen_within"},
        "it applies to several scans a day, which --every replays",
    )  # fmt: skip
    if kind == "rule":
        raise InvalidInputError(
            f"--scanner {request.files.scanner} has no effect without --every, the time between "
            "two scans; add it, or give the scanner's --ratings"
        )
    heeded, why = _HEEDED[kind]
    refuse_idle(request.given, request.given.keys() - heeded, why)
    _refuse_idle_pairs(request, kind)
    rules = {text: stop_rule_from_text(text) for text in request.until}
    if kind == "stopped journal":
        _judge_stopped(request, console)
        return True
    log, warmup = request.files.read(request.rule)
    if request.by == "sector":
        check_sectors(log.sectors)
    if request.known_at is not None and isinstance(log, ReplayLog):
        log = _known_at(request, log, request.known_at, console)
    _say(console, log.left_out)
    settings = Settings.of(request.settings)
    configuration = Configuration(seed=request.seed, settings=settings.arguments())
    batch_size = request.batch_size or settings.batch_size
    orders = stopped_orders(log, configuration, rules, batch_size, request.pace) or ORDERS
    with _progress() as progress:
        report = replay(
            log,
            configuration=configuration,
            from_=request.from_,
            to=request.to,
            batch_size=batch_size,
            orders=orders,
            budget=request.budget,
            warmup=warmup if request.warmup is None else request.warmup,
            same_day=request.same_day,
            pace=request.pace,
            watch=request.report_folder is not None,
            progress=progress,
        )
    console.print(stop_table(report, rules) if rules else report.table())
    if not rules and (verdict := report.no_gain) is not None:
        console.print(f"{verdict[0].upper()}{verdict[1:]}.")
    rows: list[Mapping[str, object]] = [*(stop_rows(report, rules) if rules else report.rows)]
    if request.by is not None:
        console.print(breakdown_table(report, request.by, ("scanrank", "last rating")))
        rows += [row.to_json() for row in breakdown(report, request.by)]
    _save(request, rows)
    if request.report_folder is not None:
        files = write_pictures(report, request.report_folder)
        write_whole(request.report_folder / "index.html", page(report))
        print(f"{request.report_folder / 'index.html'} and {len(files)} pictures")
    return True


def _known_at(request: ReplayRequest, log: ReplayLog, times: str, console: Console) -> KnownAtLog:
    quotes_of, said = request.files.quotes_from(request.minute_bars, log.contexts.bars)
    known = KnownAtLog.of(log, times, quotes_of=quotes_of)
    console.print(f"Quotes of {', '.join(known.times)} ({known.session.tz}), {said}.")
    return known


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal; yields what is called with (done, total)."""
    with progress_bar(TimeRemainingColumn()) as progress:
        task = progress.add_task("replaying", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _play_days(request: ReplayRequest, every: timedelta, console: Console) -> None:
    if request.budget is None:
        raise InvalidInputError(
            "--every needs --budget, the share of the symbols that each scan sees, such as 2%"
        )
    settings = Settings.of(request.settings)
    log, said = request.files.read_days(request.rule, every=every, minute_bars=request.minute_bars)
    log = log.between(request.from_, request.to)
    if request.files.scanner is not None and request.from_ is None:
        log = replace(log, days=log.days[-_DAYS:])
    console.print(f"A scan every {every / timedelta(minutes=1):g} minutes: {said}.")

    def ranked(name: str, further: Mapping[str, object], **changed: float) -> Ranked:
        known = Configuration(seed=request.seed, settings={**settings.arguments(), **changed})
        ranker, size = known.open(log.rule, keeps_journal=False), settings.batch_size
        return Ranked(ranker, name=name, batch_size=size, further=further)

    ages = {"hits_last": request.hits_last, "seen_within": request.seen_within}
    warmup = min(10, log.days.size // 4) if request.warmup is None else request.warmup
    n = len(log.symbols)
    orders = (
        ranked("scanrank", ages),
        ranked("greedy", {}, exploration=0.0, random_share=0.0),
        InTurns(n, hits_first=True),
        InTurns(n),
    )
    with _progress() as progress:
        report = replay_intraday(
            log, orders, budget=request.budget, warmup=warmup, progress=progress
        )
    console.print(report.table())
    if request.hits_last is None and report.lasted.size:
        console.print(
            f"With --hits-last {np.median(report.lasted):g}min, scanrank prefers symbols where "
            "something new may have happened."
        )
    _save(request, report.rows)


def _refuse_idle_pairs(request: ReplayRequest, kind: str) -> None:
    """Refuse options that need another one to change anything."""
    given = request.given
    if request.until:
        refuse_idle(
            given, {"by", "report_folder", "report", "budget"}, "--until compares stop rules, each "
            "with scanrank's order"
        )  # fmt: skip
    if "evaluation_s" in given and request.pace.workers == 1 and not request.pace.delay_s:
        raise InvalidInputError(
            f"{given['evaluation_s']} has no effect without --workers or --delay: late results are "
            "measured in evaluations; give one of them, or leave it out"
        )
    if "minute_bars" in given and request.known_at is None:
        raise InvalidInputError(
            f"{given['minute_bars']} has no effect without --known-at, the time of the quotes; "
            "give both or neither"
        )
    if request.known_at is not None and request.same_day:
        raise InvalidInputError("--known-at and --same-day contradict each other; give only one")
    needs_bars = [name for name in given if name in _MARKET - {"bars"}]
    if kind == "stopped journal" and needs_bars and request.files.bars is None:
        raise InvalidInputError(f"{given[needs_bars[0]]} has no effect without --bars; add them")
    is_shown = request.by == "sector" or request.report_folder is not None
    if kind == "journal" and "sectors" in given and not is_shown:
        raise InvalidInputError(
            "--sectors has no effect on a journal without --by sector or --report: its scans "
            "include their own sectors"
        )


def _play_again(request: ReplayRequest, console: Console) -> bool:
    journal = request.files.entries
    if journal is None or request.files.log is None:
        raise InvalidInputError(
            "--again repeats the choices of a live scanner: give its journal with --log (written "
            "by `scanrank journal export`)"
        )
    verdicts = replay_again(journal, facts_of=request.files.facts_of())
    console.print(again_table(verdicts))
    _save(request, [asdict(verdict) for verdict in verdicts])
    return all(verdict.is_same is not False for verdict in verdicts)


def _judge_stopped(request: ReplayRequest, console: Console) -> None:
    rule = request.files.rule(request.rule)
    console.print(
        "Every scan of this journal was stopped early: orders are judged from the logged "
        "propensities. "
        f"A hit is {describe(rule)}."
    )
    left_out: list[str] = []
    judgements = judge_stopped(
        request.files.entries or (),
        facts_of=request.files.facts_of(),
        rule=rule,
        from_=request.from_,
        to=request.to,
        warmup=request.warmup or 0,
        left_out=left_out,
    )
    _say(console, left_out)
    console.print(judgement_table(judgements))
    _save(request, [asdict(judgement) for judgement in judgements])


def _save(request: ReplayRequest, rows: Sequence[Mapping[str, object]]) -> None:
    if request.json_file is not None:
        write_whole(request.json_file, json.dumps(rows, indent=2, allow_nan=False) + "\n")


def _say(console: Console, left_out: Sequence[str]) -> None:
    for sentence in left_out:
        console.print(f"Left out: {sentence}.")
