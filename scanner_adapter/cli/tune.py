"""`scanrank tune`: which settings serve a history best, and whether they are worth using."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bandit.errors import InvalidInputError
from scanner_adapter.cli import options

if TYPE_CHECKING:
    from scanner_adapter.replay.tuning.result import TuneResult
    from scanner_adapter.replay.tuning.tune import TuneProgress


def tune(
    context: typer.Context,
    bars: options.BarsFile = None,
    ratings: options.RatingsFile = None,
    log: options.LogFile = None,
    sectors: options.SectorsFile = None,
    events: options.EventFiles = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.toml", help="Write the chosen settings."),
    ] = None,
    trials: Annotated[int, typer.Option(metavar="N", min=1, help="Settings to try.")] = 50,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Stop starting trials after this long; the final "
                     "evaluation takes extra time."),
    ] = None,
    jobs: Annotated[
        int, typer.Option(metavar="N", help="Concurrent trials; -1 = one per processor.")
    ] = 1,
    study: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep the trials in this file; run again to resume, "
                     "also after a crash."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write the tuned settings even if they are no better.")
    ] = False,
    from_: options.FirstScan = None,
    to: options.LastScan = None,
    top: options.Top = None,
    hit: options.HitRule = None,
    budget: options.Budget = None,
    same_day: options.SameDay = False,
    batch_size: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Use this batch size instead of searching for one."),
    ] = None,
    warmup: options.Warmup = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Same seed, same trials.")] = 0,
    skip_bad_rows: options.SkipBadRows = False,
    tz: options.Zone = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:  # fmt: skip
    """Search settings on the first half of a log, and judge them on the second.

    The search maximises the mean recall after 10% and after 25% of the symbols. The second half
    is replayed once, with the best settings and the defaults; --out is written with the best
    settings only if they are significantly better there.
    """
    from scanner_adapter.jsonio import check_target, write_whole
    from scanner_adapter.replay.read import LogFiles
    from scanner_adapter.replay.tuning.tune import tune as search

    if out is not None:
        check_target(out, "--out ")
    if study is not None:
        check_target(study, "--study ")
    files = LogFiles(
        log,
        options.bars_of_log(context, bars, ratings, log),
        ratings,
        sectors,
        tuple(events or ()),
        options.reading(skip_bad_rows, tz),
    )
    given = options.given_options(context)
    if files.kind not in ("bars", "stopped journal"):
        idle = ("bars", "sectors", "events", "same_day", "skip_bad_rows", "tz")
        options.refuse_idle(given, idle, "the scans of this log include their own data")
    if force and out is None:
        raise InvalidInputError("--force has no effect without --out FILE.toml, which it writes to")
    scans, usual_warmup = files.read(options.hit_rule(context, top, hit))
    for sentence in scans.left_out:
        print(f"scanrank: left out: {sentence}.", file=sys.stderr)
    try:
        with _bar(trials) as bar:
            result = search(
                scans, trials=trials, timeout_s=timeout, n_jobs=jobs, study=study, from_=from_,
                to=to, warmup=usual_warmup if warmup is None else warmup, batch_size=batch_size,
                budget=budget, same_day=same_day, seed=seed, progress=bar,
            )  # fmt: skip
    except ImportError as err:
        if "scanrank[tune]" not in str(err):
            raise  # a defect of ours
        raise InvalidInputError(str(err)) from err
    except KeyboardInterrupt:
        kept = f"run the same command to resume from {study}" if study else ""
        print(
            f"scanrank: interrupted; {kept or 'use --study FILE to keep the trials'}",
            file=sys.stderr,
        )
        raise typer.Exit(130) from None
    if out is not None:
        chosen = result.found if force else result.settings
        write_whole(out, chosen.to_toml(result.remarks(is_forced=force)))
    if as_json:
        print(result.to_json())
    else:
        _show(result, out, is_forced=force)


def _show(result: TuneResult, out: Path | None, *, is_forced: bool) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(result.settings_table())
    judged = result.gain_table()
    if judged is not None:
        console.print(judged)
    console.print(f"{result.verdict[0].upper()}{result.verdict[1:]}.")
    if out is None:
        if result.is_better:
            console.print(
                "Use --out settings.toml to write them (and --study to search only once)."
            )
    elif result.is_better or is_forced:
        console.print(f"Wrote the tuned settings to {out}. Use: scanrank scan --settings {out}")
    else:
        console.print(f"Wrote the default settings to {out}. Use --force to write the tuned ones.")


@contextmanager
def _bar(n_trials: int) -> Iterator[Callable[[TuneProgress], None]]:
    from rich.progress import TimeElapsedColumn

    from scanner_adapter.cli.output.live_display import progress_bar

    with progress_bar("{task.fields[best]}", TimeElapsedColumn()) as progress:
        task = progress.add_task("searching", total=n_trials, best="")

        def show(state: TuneProgress) -> None:
            progress.update(
                task,
                description="evaluating on later scans" if state.is_judging else "searching",
                completed=state.n_done,
                best=f"score {state.best:.3f}, defaults {state.default:.3f}",
            )

        yield show
