"""The command line: `scanrank demo`, `scan`, `replay`, `factors`, `store`, `journal`.

User errors print one line to stderr and exit with code 2, never a traceback. A traceback is a
defect of ours.
"""

from __future__ import annotations

import json
import logging
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from bandit.errors import BanditError
from features.errors import FeatureError
from scanner_adapter.cli import options
from scanner_adapter.cli import serve as cli_serve
from scanner_adapter.cli import store as cli_store
from scanner_adapter.cli import tune as cli_tune
from scanner_adapter.cli.config import defaults_of, read_config, where_from
from scanner_adapter.cli.output.help import Commands
from scanner_adapter.errors import AdapterError
from scanner_adapter.inputs.advice import advising_options

app = typer.Typer(
    cls=Commands,
    help="Which symbols should a stock scanner evaluate next? Learned from its own results.",
    no_args_is_help=True,
    # Tracebacks of defects stay plain: rich's would print the local variables, and with them what
    # a user's scanner keeps secret.
    pretty_exceptions_enable=False,
)

Hit = Annotated[
    str | None,
    typer.Option(
        metavar="RULE",
        help="What counts as high-value: 'top:0.05' (the top 5% by rating), 'rating:70' (a rating "
        "of 70 or more), 'signal', 'signal:WORD,WORD' (in the scanner's own words) or "
        "'signal-or-none' (nothing returned means no signal). Default: signal for built-in "
        "scanners, else top:0.05.",
    ),
]

app.command("serve")(cli_serve.serve)
app.command("tune")(cli_tune.tune)
SettingsFile = Annotated[
    Path | None,
    typer.Option("--settings", metavar="FILE.toml", help="Settings, as scanrank tune writes them."),
]

factors_app = typer.Typer(
    cls=Commands, help="How much each sub-score says about your own hits.", no_args_is_help=True
)
config_app = typer.Typer(
    cls=Commands, help="Settings shared by all commands.", no_args_is_help=True
)
app.add_typer(factors_app, name="factors")
app.add_typer(config_app, name="config")
app.add_typer(cli_store.store_app, name="store")
app.add_typer(cli_store.journal_app, name="journal")


def main() -> None:
    """Run the command line; the errors that we raise on purpose end it with one line and code 2."""
    try:
        with advising_options():
            app()
    except (BanditError, FeatureError, AdapterError, OSError) as err:
        print(f"scanrank: {' '.join(str(err).split())}", file=sys.stderr)
        sys.exit(2)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"scanrank {version('scanrank')}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose", "-v", count=True, show_default=False, help="Log more; -vv logs everything."
        ),
    ] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log errors only.")] = False,
) -> None:
    if verbose or quiet:
        level = logging.ERROR if quiet else max(logging.WARNING - 10 * verbose, logging.DEBUG)
        logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
    context.default_map = defaults_of(context.command, read_config())
    # Scanners named package.module:function are found where the command is run, as by python -m.
    if "" not in sys.path:
        sys.path.insert(0, "")


@app.command()
def demo(
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer scans; takes about ten seconds.")
    ] = False,
    market: Annotated[
        str, typer.Option(metavar="KIND", help="'real' scans, or a 'simulated' market.")
    ] = "real",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write recall.png to.")] = Path(
        ".scanrank"
    ),
) -> None:
    """Replay real scans in three orders side by side (under a minute)."""
    from rich.console import Console

    from scanner_adapter.demo.run import FULL, QUICK, run_demo

    run_demo(QUICK if quick else FULL, market=market, out=out, console=Console(highlight=False))


@app.command()
def scan(
    bars: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Daily bars: Parquet or CSV, tidy or yfinance's."),
    ],
    scanner: Annotated[
        str, typer.Option(metavar="NAME", help="A built-in scanner, or package.module:function.")
    ],
    as_of: Annotated[
        str,
        typer.Option(
            metavar="DATE",
            help="The day to scan, or 'last' for the latest; no later bar is used.",
        ),
    ],
    events: options.EventFiles = None,
    store: options.StoreUrl = "embedded://",
    ruleset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            envvar="SCANRANK_RULESET",
            help="Scanner configuration; default: the scanner's name.",
        ),
    ] = None,
    hit: Hit = None,
    until_recall: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Stop when the estimated recall reaches this share."),
    ] = None,
    max_symbols: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Stop after this many symbols.")
    ] = None,
    workers: Annotated[
        int, typer.Option(metavar="N", min=1, max=256, help="Threads that call the scanner.")
    ] = 1,
    settings: SettingsFile = None,
    scan_id: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Name for this scan. Reuse an interrupted scan's name to resume it.",
        ),
    ] = None,
    symbols: Annotated[
        str | None,
        typer.Option(metavar="FILE|A,B", help="Scan these symbols only; default: all of the bars."),
    ] = None,
    pin: Annotated[
        str | None, typer.Option(metavar="FILE|A,B", help="Scan these first, in this order.")
    ] = None,
    exclude: Annotated[
        str | None, typer.Option(metavar="FILE|A,B", help="Leave these symbols out.")
    ] = None,
    jsonl: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a line of JSON for each result as it arrives; - writes to standard output.",
        ),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all results as CSV at the end.")
    ] = None,
    notify: options.NotifyUrls = None,
    page: options.PageUrl = None,
    skip_bad_rows: options.SkipBadRows = False,
    tz: options.Zone = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Scan your own bars, most promising symbols first."""
    from scanner_adapter.cli.scan import ScanRequest, ended_by_sigterm, run_scan

    with ended_by_sigterm():
        code = run_scan(
            ScanRequest(
                bars=bars,
                scanner=scanner,
                as_of=as_of,
                events=events,
                store=store,
                ruleset=ruleset,
                hit=hit,
                until_recall=until_recall,
                max_symbols=max_symbols,
                workers=workers,
                settings=settings,
                scan_id=scan_id,
                symbols=symbols,
                pin=pin,
                exclude=exclude,
                jsonl=jsonl,
                csv=csv,
                notify=notify,
                page=page,
                skip_bad_rows=skip_bad_rows,
                tz=tz,
                as_json=as_json,
            )
        )
    if code:
        raise typer.Exit(code)


@app.command()
def symbol(
    name: Annotated[str, typer.Argument(metavar="SYMBOL", help="As the scanner reports it.")],
    store: options.StoreUrl = "embedded://",
    ruleset: options.AnyRuleset = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Show in which scans a symbol was found, and what is believed of it."""
    from scanner_adapter.cli.symbol import run_symbol

    run_symbol(store, ruleset, name, as_json=as_json)


@app.command()
def compare(
    ruleset: options.RulesetName,
    store: options.StoreUrl = "embedded://",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Compare prioritised scans with control scans in the given order."""
    from scanner_adapter.cli.compare import run_compare

    run_compare(store, ruleset, as_json=as_json)


@app.command()
def replay(
    context: typer.Context,
    bars: options.BarsFile = None,
    ratings: options.RatingsFile = None,
    log: options.LogFile = None,
    sectors: options.SectorsFile = None,
    events: options.EventFiles = None,
    from_: options.FirstScan = None,
    to: options.LastScan = None,
    top: options.Top = None,
    hit: options.HitRule = None,
    budget: options.Budget = None,
    until: options.Until = None,
    every: options.Every = None,
    scanner: options.RuleName = None,
    hits_last: options.HitsLast = None,
    seen_within: options.SeenWithin = None,
    same_day: options.SameDay = False,
    known_at: options.KnownAt = None,
    minute_bars: options.MinuteBars = None,
    settings: SettingsFile = None,
    batch_size: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Symbols per batch; default: the settings', or 50."),
    ] = None,
    warmup: options.Warmup = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Same seed, same batches.")] = 0,
    workers: Annotated[
        int, typer.Option(metavar="N", min=1, help="Simulate this many concurrent evaluations.")
    ] = 1,
    delay_batches: Annotated[
        int, typer.Option(metavar="N", min=0, help="Simulate results that arrive N batches late.")
    ] = 0,
    delay_s: Annotated[
        float,
        typer.Option(
            "--delay",
            metavar="SECONDS",
            min=0,
            help="Simulate results that arrive this late; see --evaluation.",
        ),
    ] = 0.0,
    evaluation_s: Annotated[
        float,
        typer.Option("--evaluation", metavar="SECONDS", help="Median evaluation time in seconds."),
    ] = 0.1,
    by: options.Group = None,
    again: options.Again = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the tables as JSON.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also write pictures and a self-contained HTML page."),
    ] = None,
    skip_bad_rows: options.SkipBadRows = False,
    tz: options.Zone = None,
) -> None:
    """Replay a scanner's logged ratings: what would prioritising have been worth?"""
    from scanner_adapter.cli.replay import ReplayRequest, run_replay
    from scanner_adapter.replay.breakdown import group_kind
    from scanner_adapter.replay.pace import Pace
    from scanner_adapter.replay.read import LogFiles

    is_as_logged = run_replay(
        ReplayRequest(
            files=LogFiles(
                log,
                options.bars_of_log(context, bars, ratings, log, scanner),
                ratings,
                sectors,
                tuple(events or ()),
                options.reading(skip_bad_rows, tz),
                scanner,
            ),
            from_=from_,
            to=to,
            rule=options.hit_rule(context, top, hit),
            budget=budget,
            until=tuple(until or ()),
            every=options.span_of(every, "--every"),
            hits_last=options.span_of(hits_last, "--hits-last"),
            seen_within=options.span_of(seen_within, "--seen-within"),
            same_day=same_day,
            known_at=known_at,
            minute_bars=minute_bars,
            settings=settings,
            batch_size=batch_size,
            warmup=warmup,
            seed=seed,
            pace=Pace(
                workers=workers,
                seconds=evaluation_s,
                spread=0.5 if workers > 1 else 0.0,
                delay_s=delay_s,
                delay_batches=delay_batches,
            ),
            by=None if by is None else group_kind(by),
            is_again=again,
            json_file=json_file,
            report_folder=report,
            given=options.given_options(context),
        )
    )
    if not is_as_logged:
        raise typer.Exit(1)


@app.command()
def watch(
    store: options.StoreUrl = "embedded://",
    ruleset: options.AnyRuleset = None,
    scan: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Follow this scan until it ends; default: always the newest."
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Print the current state once and exit.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the status once, as JSON for machines.")
    ] = False,
) -> None:
    """Watch a running scan: progress, high-value results, estimate, tiers, weights."""
    from scanner_adapter.cli.watch import run_watch

    if not run_watch(store, ruleset, scan, once=once, as_json=as_json):
        raise typer.Exit(1)


@app.command()
def doctor(
    store: options.StoreUrl = "embedded://",
    bars: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Daily bars to look at, as for scan.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Check versions, store, write rights, clock and bars, and say what to mend."""
    from scanner_adapter.cli.doctor import run_doctor

    if not run_doctor(store, bars, as_json=as_json):
        raise typer.Exit(1)


@config_app.callback()
def _config() -> None:
    # With one command only, typer would leave its name out of the command line.
    """Settings shared by all commands."""


@config_app.command("show")
def show_config() -> None:
    """Show the current settings and where each comes from."""
    from bandit.stores.names import shown

    for key, value, source in where_from(read_config()):
        if key == "notify" and source != "default":
            value = "(set; not shown, because it may contain a secret)"
        print(f"{key:<9} {shown(value) if key == 'store' else value}  ({source})")


@factors_app.callback()
def _factors() -> None:
    # With one command only, typer would leave its name out of the command line.
    """How much each sub-score says about your own hits."""


@factors_app.command("report")
def factors_report(
    context: typer.Context,
    bars: options.BarsFile = None,
    ratings: options.RatingsFile = None,
    log: options.LogFile = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            "--context",
            metavar="FILE",
            help="Your own sub-scores, in addition to --bars or instead: Parquet or CSV with date, "
            "symbol and one column per sub-score, as known when that day was scanned.",
        ),
    ] = None,
    events: options.EventFiles = None,
    top: options.Top = None,
    hit: options.HitRule = None,
    from_: options.FirstScan = None,
    to: options.LastScan = None,
    same_day: options.SameDay = False,
    skip_bad_rows: options.SkipBadRows = False,
    tz: options.Zone = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Show coverage, lift, stability and redundancy of every sub-score."""
    from scanner_adapter.cli.factors import FactorsRequest, as_dict, as_text, report_on

    found, left_out = report_on(
        FactorsRequest(
            bars=options.bars_of_log(context, bars, ratings, log),
            ratings=ratings,
            log=log,
            scores=scores,
            events=tuple(events or ()),
            rule=options.hit_rule(context, top, hit),
            from_=from_,
            to=to,
            same_day=same_day,
            reading=options.reading(skip_bad_rows, tz),
            given=options.given_options(context),
        )
    )
    for sentence in left_out:
        print(f"scanrank: left out: {sentence}.", file=sys.stderr)
    print(json.dumps(as_dict(found), indent=2, allow_nan=False) if as_json else as_text(found))


if __name__ == "__main__":
    main()
