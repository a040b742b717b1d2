"""A running scan on a terminal, drawn from its status: the same for `scan` and for `watch`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bandit.choice.queue import Tier
from scanner_adapter.live.status import LiveStatus, LiveWeight, NextUp, TierCount

# From this width on, what waits stands beside what was found.
WIDE = 100
# From this width on, the factors' weights stand beside the tiers.
_BESIDE = 72
# Lines that everything but the lists takes.
_FIXED_LINES = 13
# Lists of a picture that may be as long as it likes.
_LONG = 20
_BLOCK, _REST = "━", "─"
_TIERS: tuple[Tier, ...] = ("high", "medium", "low")


def screen(
    status: LiveStatus, *, now: float, width: int, height: int | None = None, notice: str = ""
) -> RenderableType:
    """Return one picture of a scan.

    Parameters
    ----------
    status : LiveStatus
    now : float
        Seconds since 1970.
    width, height : int
        Of the terminal; without a height the lists are as long as is useful.
    notice : str
        Stands on top, when something is the matter.
    """
    n_notices = bool(notice) + bool(status.warning)
    n_rows = _LONG if height is None else max(height - _FIXED_LINES - n_notices, 1)
    lists: RenderableType = _hits(status, n_rows)
    if width >= WIDE:
        lists = _beside(lists, _next(status, n_rows), width)
    parts = [
        *([_line(notice, "bold yellow")] if notice else []),
        _heading(status, now, width),
        *([_line(status.warning, "yellow")] if status.warning else []),
        _progress(status, width),
        _line(found_text(status)),
        _line(missing_text(status), "dim"),
        Text(),
        _tiers_and_weights(status, width),
        Text(),
        lists,
    ]
    return Group(*parts)


def found_text(status: LiveStatus) -> str:
    """Say what was found so far and when enough will be.

    Examples
    --------
    >>> from scanner_adapter.live.status import LiveEstimate
    >>> status = LiveStatus(
    ...     "s1", "demo", "on", "scanning", None, 0.0, 8.0, 0.0, 1, 200, 80, 0, 38.0, 10.0, 0.95,
    ...     6.0, "top:0.25", 17.25, hits_low=20.0, hits_high=50.0,
    ...     estimate=LiveEstimate(0.9268, 0.84, 1.0, 38.0, 3.2, 0.0, 7.0, 0.95),
    ... )
    >>> print(found_text(status))
    38 high-value, provisional: 20 to 50 (top:0.25: 17.25 or more) · about 93% of all · ...
    >>> print(missing_text(status))
    stopping now would miss about 3 of 41 high-value symbols (95% interval: 0 to 7)
    """
    if status.n_hits is None:
        return "this scan is neither ranked nor judged"
    limit = "" if status.hit_limit is None else f": {status.hit_limit:.4g} or more"
    if status.hit_rule.startswith("rating:"):
        limit = ""  # says so itself
    rule = f"({printable(status.hit_rule)}{limit})"
    between = ""
    if status.hits_low is not None and status.hits_high is not None:
        between = f", provisional: {status.hits_low:,.0f} to {status.hits_high:,.0f}"
    parts = [f"{status.n_hits:,.0f} high-value{between} {rule}"]
    if status.estimate is not None and status.n_scanned < status.n_symbols:
        parts.append(f"about {status.estimate.recall:.0%} of all")
    if status.state == "scanning" and status.eta_s:
        parts.append(f"{100 * status.target_recall:g}% in {duration(status.eta_s)}")
    return " · ".join(parts)


def missing_text(status: LiveStatus) -> str:
    """Say what stopping now would miss, see `found_text`."""
    e = status.estimate
    if e is None:
        return ""
    if status.n_scanned == status.n_symbols:
        return "every symbol was scanned"
    what = "stopping now would miss" if status.state == "scanning" else "it may have missed"
    return (
        f"{what} about {e.hits_remaining:,.0f} of {e.hits_found + e.hits_remaining:,.0f} "
        f"high-value symbols ({100 * e.confidence:g}% interval: {e.remaining_low:,.0f} to "
        f"{e.remaining_high:,.0f})"
    )


def line_text(status: LiveStatus) -> str:
    """Say how far a scan is in one line of a log."""
    failed = f", {status.n_errors:,} failed" if status.n_errors else ""
    return (
        f"{printable(status.ruleset)} {duration(status.updated_at - status.started_at)} "
        f"{status.n_scanned:,} of {status.n_symbols:,} symbols{failed} · {found_text(status)}"
    )


def duration(seconds: float) -> str:
    """Write seconds as a clock does.

    Examples
    --------
    >>> duration(7.6), duration(754.0), duration(7325.0), duration(180000.0)
    ('0:07', '12:34', '2:02:05', '2 d 2 h')
    """
    s = int(max(seconds, 0.0))
    if s >= 86_400:
        return f"{s // 86_400} d {s % 86_400 // 3600} h"
    minutes, hours = s % 3600 // 60, s // 3600
    return f"{hours}:{minutes:02d}:{s % 60:02d}" if hours else f"{minutes}:{s % 60:02d}"


def clock(time: float) -> str:
    """Write a moment as the watcher's clock shows it."""
    return datetime.fromtimestamp(time).astimezone().strftime("%H:%M:%S")


def printable(text: str) -> str:
    """Replace what could steer a terminal: names and reasons come from elsewhere.

    Examples
    --------
    >>> printable("NVDA"), printable("\x1b[2J")
    ('NVDA', '\ufffd[2J')
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


# -- parts -----------------------------------------------------------------------------------------


def _heading(status: LiveStatus, now: float, width: int) -> Text:
    is_done = status.state == "done"
    until = status.updated_at if is_done else max(now, status.updated_at)
    reason = status.failure or status.stopped
    heading = Text.assemble(
        (printable(status.ruleset), "bold"),
        (f" · scan {printable(status.scan_id)[:12]} · {printable(status.mode)} · ", "dim"),
        (status.state, "bold" if is_done else "bold green"),
        (f" · {duration(until - status.started_at)}", "dim"),
        (f" · {printable(reason)}" if reason else "", "yellow"),
        no_wrap=True, overflow="ellipsis",
    )  # fmt: skip
    heading.truncate(width)
    return heading


def _progress(status: LiveStatus, width: int) -> Text:
    rate = f" · {_short(status.rate_per_s)}/s" if status.rate_per_s else ""
    failed = f" · {status.n_errors:,} failed" if status.n_errors else ""
    figures = f" {status.n_scanned:,} of {status.n_symbols:,} symbols{rate}{failed}"
    bar = _bar(status.n_scanned, status.n_symbols, max(width - len(figures), 10), "cyan")
    return bar.append(figures)


def _tiers_and_weights(status: LiveStatus, width: int) -> RenderableType:
    """Three tiers on the left, four factors on the right, four lines in all; no room: tiers only.

    Cut in the middle, neither could be read.
    """
    grid = Table.grid(padding=(0, 3))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    tiers = [Text("tier    scanned", "dim")]
    for name in _TIERS:
        count = status.tiers.get(name, TierCount(0, 0))
        tiers.append(_tier(name, count.scanned, count.waiting + count.other, width // 6))
    if width < _BESIDE:
        return Group(*tiers)
    weights = [_weight(factor, weight) for factor, weight in status.weights.items()]
    weights = weights or [Text("factors' weights: not distinguishable yet", "dim")]
    for tier, weight in zip(tiers, [*weights, *[Text()] * 4], strict=False):
        grid.add_row(tier, weight)
    return grid


def _tier(name: str, scanned: int, waiting: int, width: int) -> Text:
    bar = _bar(scanned, scanned + waiting, max(width, 6), "green")
    return Text.assemble(f"{name:<8}", bar, (f" {scanned:,}/{scanned + waiting:,}", "dim"))


def _weight(factor: str, weight: LiveWeight) -> Text:
    return Text.assemble(
        f"{printable(factor):<12}{weight.prior:.2f} → ",
        (f"{weight.learned:.2f}", "bold"), (f"  {weight.low:.2f} to {weight.high:.2f}", "dim"),
    )  # fmt: skip


def _hits(status: LiveStatus, n_rows: int) -> Table:
    table = _table(("found", "no.", "symbol", "rating", "signal"), "high-value, newest first")
    for hit in status.newest_hits[:n_rows]:
        table.add_row(
            clock(hit.at),
            f"{hit.rank:,}",
            printable(hit.symbol),
            "-" if hit.rating is None else f"{hit.rating:,.2f}",
            printable(hit.signal or "-") + (" (random)" if hit.is_random else ""),
            style="green",
        )
    if not status.newest_hits:
        table.add_row("-", "-", "none yet", "-", "-", style="dim")
    return table


def _next(status: LiveStatus, n_rows: int) -> Table:
    table = _table(("symbol", "score", "chance", "because of"), "expected next")
    for waiting in status.next[:n_rows]:
        table.add_row(
            ("▲ " if waiting.is_pinned else "") + printable(waiting.symbol),
            f"{waiting.score:.1f}",
            f"{100 * waiting.probability:.3g}%",
            because(waiting),
        )
    if not status.next:
        table.add_row("nothing left", "-", "-", "-", style="dim")
    return table


def because(waiting: NextUp) -> str:
    """Name the two strongest reasons for or against a symbol, in log odds."""
    reasons = {factor: part.learned for factor, part in waiting.reasons.items()}
    reasons["today"] = waiting.today
    strongest = sorted(reasons.items(), key=lambda item: -abs(item[1]))[:2]
    parts = (f"{printable(factor)} {log_odds:+.1f}" for factor, log_odds in strongest if log_odds)
    return ", ".join(parts) or "-"


def _table(headings: Sequence[str], title: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), title=title, title_justify="left")
    table.title_style = "dim"
    for heading in headings:
        is_number = heading in ("no.", "rating", "score", "chance")
        table.add_column(
            heading, justify="right" if is_number else "left", no_wrap=True, header_style="dim"
        )
    return table


def _beside(left: RenderableType, right: RenderableType, width: int) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=width // 2 - 2)
    grid.add_column(width=width - width // 2 - 2)
    grid.add_row(left, right)
    return grid


def _short(value: float) -> str:
    """Three digits at least, and no exponent: 0.0123, 12.3, 1,820."""
    return f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"


def _bar(n: float, total: float, width: int, style: str) -> Text:
    share = n / total if total else 0.0
    # Full only when it is: the last symbol shows.
    full = width if share >= 1.0 else min(math.ceil(share * width), width - 1)
    return Text.assemble((_BLOCK * full, style), (_REST * (width - full), "dim"))


def _line(text: str, style: str = "") -> Text:
    return Text(printable(text), style, no_wrap=True, overflow="ellipsis")
