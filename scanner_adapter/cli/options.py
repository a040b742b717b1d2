"""Options that several commands have: a history to replay, and the part of it that is meant."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bandit.errors import InvalidInputError
from bandit.stores import Store

if TYPE_CHECKING:
    from bandit.rewards import RewardRule
    from features.inputs.tables import Reading

StoreUrl = Annotated[
    str,
    typer.Option(
        "--store",
        metavar="URL",
        envvar="SCANRANK_STORE",
        help="Store URL (where learned state is kept).",
    ),
]
RulesetName = Annotated[
    str,
    typer.Option(
        "--ruleset", metavar="NAME", envvar="SCANRANK_RULESET", help="Scanner configuration."
    ),
]
AnyRuleset = Annotated[
    str | None,
    typer.Option(
        "--ruleset", metavar="NAME", envvar="SCANRANK_RULESET", help="Only this one; default: all."
    ),
]
BarsFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Daily bars, as for scan; with --ratings.")
]
RatingsFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A scanner's logged rows: date, symbol, rating, optionally signal and numbers.",
    ),
]
LogFile = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Instead of --ratings: 'bundled' (the default), or a journal that `scanrank "
        "journal export` wrote.",
    ),
]
SectorsFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="CSV with columns symbol and sector.")
]
EventFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--events",
        metavar="FILE",
        help="Earnings, analysts' ratings or news, used with --bars; can be given more than once.",
    ),
]
NotifyUrls = Annotated[
    list[str] | None,
    typer.Option(
        "--notify",
        metavar="URL",
        envvar="SCANRANK_NOTIFY",
        help="Send a message to this apprise address (chat, mail, webhook), at most one a minute; "
        "can be given more than once. In the variable it is hidden from other users.",
    ),
]
PageUrl = Annotated[
    str | None,
    typer.Option(
        "--page", metavar="URL", help="Address of scanrank serve, for the link in messages."
    ),
]
SkipBadRows = Annotated[
    bool,
    typer.Option(
        "--skip-bad-rows",
        help="Skip unusable rows and report how many; without it the first one is an error.",
    ),
]
Zone = Annotated[
    str | None,
    typer.Option(
        "--tz",
        metavar="ZONE",
        help="The market's zone, such as America/New_York, for files whose times are in UTC or "
        "seconds since 1970.",
    ),
]
FirstScan = Annotated[
    str | None, typer.Option("--from", metavar="DATE", help="First scan; default: the first.")
]
LastScan = Annotated[str | None, typer.Option(metavar="DATE", help="Last scan; default: the last.")]
Top = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="A hit is this top share of a scan's ratings. Default: the rule that judged a "
        "journal, else 0.05.",
    ),
]
HitRule = Annotated[
    str | None,
    typer.Option(
        "--hit",
        metavar="RULE",
        help="Instead of --top: 'top:0.05', 'signal', 'signal:WORD,WORD' or 'rating:NUMBER'.",
    ),
]


def share_of(text: object) -> float:
    """Return a share that is given as 2% or 0.02.

    Raises
    ------
    InvalidInputError
        For anything else.

    Examples
    --------
    >>> share_of("2%"), share_of("0.02")
    (0.02, 0.02)
    """
    given = str(text).strip()
    try:
        return float(given.removesuffix("%")) / (100.0 if given.endswith("%") else 1.0)
    except ValueError as err:
        raise typer.BadParameter(f"{given!r} is no share; expected 25% or 0.25") from err


def span_of(text: str | None, option: str) -> timedelta | None:
    """Return a time that is given as 90s, 5min, 2h or 1d; None for None.

    Raises
    ------
    InvalidInputError
        For anything else, naming the option.

    Examples
    --------
    >>> str(span_of("5min", "--every"))
    '0:05:00'
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(s|min|h|d)", text.strip())
    units = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days"}
    span = timedelta(**{units[found[2]]: float(found[1])}) if found else timedelta(0)
    if not span:
        raise InvalidInputError(
            f"{option} is {text!r}; expected a time such as 90s, 5min, 2h or 1d"
        )
    return span


Budget = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        parser=share_of,
        help="Stop each scan at this share of the symbols: 25% or 0.25.",
    ),
]
Group = Annotated[
    str | None,
    typer.Option(metavar="GROUP", help="Break the figures down by market 'regime' or by 'sector'."),
]
Again = Annotated[
    bool,
    typer.Option(
        "--again",
        help="Repeat the choices of a journal's scans and check that they are identical, bit "
        "for bit; stopped scans need the --bars they saw.",
    ),
]
Until = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RULE",
        help="Compare stop rules instead of orders; once for each: recall:0.95 (or with its "
        "confidence recall:0.95,0.8), symbols:500, hits:20, quiet:300 (that many without a "
        "hit).",
    ),
]
Every = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Replay several scans a day at this interval (5min, 1h), each limited to --budget, "
        "and measure which hits are found while they last. Needs a log whose scans have times of "
        "day, or --scanner.",
    ),
]
RuleName = Annotated[
    str | None,
    typer.Option(
        "--scanner",
        metavar="NAME",
        help="With --every, instead of --ratings: a built-in scanner, evaluated on today's bar so "
        "far, from --minute-bars or simulated from the daily bars.",
    ),
]
HitsLast = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="With --every: the time after which half of the hits are gone (1h), as in start_scan.",
    ),
]
SeenWithin = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="With --every: scan every symbol at least once in this time (1d), as in start_scan.",
    ),
]
SameDay = Annotated[
    bool,
    typer.Option(
        "--same-day/--day-old",
        help="Whether features include the scan's own day or end on the previous trading day.",
    ),
]
KnownAt = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Features also see the scan day's quotes up to this time, such as 10:00, open or "
        "close; several, such as 10:00,14:00, alternate.",
    ),
]
MinuteBars = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="One-minute bars as the source of what --known-at and --scanner see of a day; by "
        "default it is simulated from the daily bars.",
    ),
]
Warmup = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="Scans at the start that are learned from but not measured (with --every, days). "
        "Default: 60; 30 for the bundled log; a quarter of a short journal; with --every, a "
        "quarter of the days, at most 10.",
    ),
]


def known_rulesets(store: Store, wanted: str | None) -> list[str]:
    """Return the rulesets of a store, or the one that is wanted.

    Raises
    ------
    InvalidInputError
        For a ruleset that the store does not know.
    StoreError
    """
    names = store.list_rulesets()
    if wanted is not None and wanted not in names:
        raise InvalidInputError(
            f"ruleset {wanted!r} is not in {store.address}; known rulesets: "
            f"{', '.join(names) or 'none'}"
        )
    return names if wanted is None else [wanted]


def hit_rule(context: typer.Context, top: float | None, hit: str | None) -> RewardRule | None:
    """Return what counts as a hit, None where neither option says.

    Raises
    ------
    InvalidInputError
        For both on the command line, or a rule that cannot be read.
    """
    from bandit.rewards import TopShare, rule_from_text

    if top is not None and hit is not None and not _is_configured(context, "hit"):
        raise InvalidInputError(f"--top {top:g} and --hit {hit} are two rules; give only one")
    if top is not None:
        return TopShare(top)
    return None if hit is None else rule_from_text(hit)


def bars_of_log(context: typer.Context, bars: Path | None, *logs: object) -> Path | None:
    """Return --bars; those of scanrank.toml only with one of `logs`, the options that name one."""
    is_idle = _is_configured(context, "bars") and all(log in (None, "bundled") for log in logs)
    return None if is_idle else bars


def _is_configured(context: typer.Context, name: str) -> bool:
    """Whether an option's value is that of scanrank.toml."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "DEFAULT_MAP"


def reading(skip_bad_rows: bool, tz: str | None) -> Reading:
    """Return how the files of a command are read; refuses a zone that does not exist."""
    from features.inputs.days import check_zone

    check_zone(tz)
    return {"on_bad": "skip" if skip_bad_rows else "raise", "tz": tz}


def names_of(text: str | None) -> tuple[str, ...] | None:
    """Return symbols from a file (one a line, or a column `symbol`), or as A,B; None for None.

    Raises
    ------
    InvalidInputError
        For a file that is no text, or that names nothing.

    Examples
    --------
    >>> names_of("AAPL,MSFT")
    ('AAPL', 'MSFT')
    """
    if text is None:
        return None
    names = text.split(",")
    if Path(text).is_file():
        try:
            rows = list(csv.reader(Path(text).read_text(encoding="utf-8-sig").splitlines()))
        except (UnicodeDecodeError, csv.Error) as err:
            raise InvalidInputError(f"{text} is not a text file of symbols: {err}") from err
        column = rows[0].index("symbol") if rows and "symbol" in rows[0] else None
        names = [row[column or 0] for row in rows[column is not None :] if len(row) > (column or 0)]
    found = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not found:
        raise InvalidInputError(f"{text!r} contains no symbol; expected a file, or A,B,C")
    return found


def given_options(context: typer.Context) -> dict[str, str]:
    """Return the options that stand on the command line: parameter name to option, as `--top`."""
    given = {}
    for option in context.command.params:
        source = context.get_parameter_source(str(option.name))
        is_default = context.params.get(str(option.name)) is False  # as --day-old
        if source is not None and source.name == "COMMANDLINE" and not is_default:
            given[str(option.name)] = option.opts[0]
    return given


def refuse_idle(given: Mapping[str, str], idle: Collection[str], why: str) -> None:
    """Refuse the first given option that would change nothing.

    Parameters
    ----------
    given : mapping
        From `given_options`.
    idle : collection of str
        Names of the parameters that nothing is done with.
    why : str
        What is done instead, as "has no effect here: <why>".

    Raises
    ------
    InvalidInputError
    """
    for name, option in given.items():
        if name in idle:
            raise InvalidInputError(f"{option} has no effect here: {why}; leave it out")
