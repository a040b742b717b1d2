"""What operators do: `scanrank store check, repair, backup, copy, stats`; `scanrank journal`."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bandit.errors import InvalidInputError
from bandit.stores import store_from_url
from bandit.stores.names import START, position_key
from scanner_adapter.cli.options import AnyRuleset, RulesetName, StoreUrl, known_rulesets
from scanner_adapter.cli.output.help import Commands

if TYPE_CHECKING:
    from scanner_adapter.state.check import Verdict

store_app = typer.Typer(
    cls=Commands, help="Inspect and repair learned state.", no_args_is_help=True
)
journal_app = typer.Typer(
    help="Export a journal from a store, or import one.", no_args_is_help=True
)


@store_app.command("check")
def check_store(store: StoreUrl = "embedded://", ruleset: AnyRuleset = None) -> None:
    """Read everything, rebuild each snapshot from its journal, and compare."""
    from scanner_adapter.state.check import check

    with closing(store_from_url(store)) as opened:
        verdicts = [check(opened, name) for name in known_rulesets(opened, ruleset)]
        for warning in opened.warnings():
            print(f"warning: {warning}")
    for verdict in verdicts:
        _show(verdict)
    if not all(verdict.is_sound for verdict in verdicts):
        raise typer.Exit(1)


@store_app.command("repair")
def repair_store(
    store: StoreUrl = "embedded://",
    ruleset: AnyRuleset = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for unreadable entries.")] = Path(
        ".scanrank/removed"
    ),
) -> None:
    """Move unreadable entries into files; rebuild snapshots that do not match."""
    from scanner_adapter.state.check import check, repair

    with closing(store_from_url(store)) as opened:
        for name in known_rulesets(opened, ruleset):
            done = repair(opened, check(opened, name), out)
            print("\n  ".join([f"{name}:", *done]) if done else f"{name}: nothing to repair")


@store_app.command("backup")
def backup_store(
    file: Annotated[Path, typer.Argument(metavar="FILE.db")], store: StoreUrl = "embedded://"
) -> None:
    """Copy a store's file while scanners keep using it."""
    from bandit.stores.sqlite.store import SqliteStore

    with closing(store_from_url(store)) as opened:
        if not isinstance(opened, SqliteStore):
            raise InvalidInputError(
                f"{opened.address} is not a file; copy it into one: scanrank store copy ADDRESS "
                f"sqlite://{file.resolve()}"
            )
        opened.backup(file)
    print(f"{opened.address} copied to {file}, {_size(file.stat().st_size)}")


@store_app.command("copy")
def copy_store(
    source: Annotated[str, typer.Argument(metavar="FROM")],
    target: Annotated[str, typer.Argument(metavar="TO")],
    ruleset: AnyRuleset = None,
) -> None:
    """Copy learned state from one store to another, of any kind."""
    from scanner_adapter.state.copying import copy_ruleset

    with closing(store_from_url(source)) as old, closing(store_from_url(target)) as new:
        if old.address == new.address:
            raise InvalidInputError(f"{old.address} cannot be copied into itself")
        for name in known_rulesets(old, ruleset):
            print(f"{name}: {copy_ruleset(old, new, name)} entries copied to {new.address}")


@store_app.command("stats")
def show_stats(store: StoreUrl = "embedded://", ruleset: AnyRuleset = None) -> None:
    """Show how much is stored per ruleset."""
    with closing(store_from_url(store)) as opened:
        names = known_rulesets(opened, ruleset)
        width = max(map(len, names), default=0)
        print(f"{'ruleset':<{width}}  scans  entries  journal  snapshot  last written, UTC")
        for name, stats in zip(names, opened.stats_of(names), strict=True):
            print(
                f"{name:<{width}}  {stats.n_scans:>5}  {stats.n_entries:>7}  "
                f"{_size(stats.journal_bytes):>7}  {_size(stats.snapshot_bytes):>8}  "
                f"{_time(stats.last_position)}"
            )
            if stats.trimmed_position != START:
                print(f"  the journal begins after {_time(stats.trimmed_position)} (retention)")


@journal_app.command("export")
def export_(
    file: Annotated[Path, typer.Argument(metavar="FILE.parquet|FILE.csv")],
    ruleset: RulesetName,
    store: StoreUrl = "embedded://",
) -> None:
    """Write a ruleset's journal to Parquet (also read by replay), or its results to CSV."""
    from scanner_adapter.state.history import export_csv
    from scanner_adapter.state.parquet import export_journal

    if file.suffix.lower() == ".csv":
        with closing(store_from_url(store)) as opened:
            n_rows = export_csv(opened, ruleset, file)
        print(f"{n_rows} results of {ruleset} written to {file}")
        return
    with closing(store_from_url(store)) as opened:
        n_entries = export_journal(opened, ruleset, file)
        trimmed = opened.stats(ruleset).trimmed_position
    print(f"{n_entries} entries of {ruleset} written to {file}")
    if trimmed != START:
        print(f"entries up to {_time(trimmed)} are missing: retention deleted them")


@journal_app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE.parquet")],
    ruleset: RulesetName,
    store: StoreUrl = "embedded://",
) -> None:
    """Append an exported journal to a ruleset that is not in use."""
    from scanner_adapter.state.parquet import import_journal

    with closing(store_from_url(store)) as opened:
        n_new = import_journal(opened, ruleset, file)
    print(f"{n_new} entries of {file} appended to {ruleset}")


def _show(verdict: Verdict) -> None:
    state = "sound" if verdict.is_sound else "NOT SOUND"
    print(f"{verdict.ruleset}: {state}, {verdict.n_entries} journal entries")
    for problem in verdict.problems:
        print(f"  cannot be read: {problem.place}: {problem.reason}")
    print(f"  snapshot and fold from the beginning: {verdict.fold} ({verdict.explanation})")


def _size(n_bytes: int) -> str:
    """Bytes for people.

    Examples
    --------
    >>> _size(0), _size(2048), _size(3 * 2**20)
    ('0 kB', '2 kB', '3.0 MB')
    """
    return f"{n_bytes / 2**10:.0f} kB" if n_bytes < 2**20 else f"{n_bytes / 2**20:.1f} MB"


def _time(position: str) -> str:
    if position == START:
        return "never"
    seconds = position_key(position)[0] / 1000
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
