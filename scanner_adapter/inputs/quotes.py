"""Quotes of a scan: read in the hours of its market, and what was left out of them said."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from features.inputs.bars import Bars
from features.inputs.calendars import ALWAYS_OPEN, calendar_labels
from features.inputs.events import Events
from features.inputs.hours import session_end
from features.inputs.quotes import Quotes
from features.inputs.sessions import Session
from features.today import TodayScores, today_scores
from scanner_adapter.inputs.coverage import likely_reason

log = logging.getLogger("scanrank")

# Weekdays from the last bars to today's quotes beyond which they are said to be old: a week.
_LATE_DAYS = 6


def todays_scores(
    symbols: Sequence[str], past: Bars, quotes: object, now: datetime | None, events: Events | None
) -> TodayScores | None:
    """Return today's sub-scores, None where no quote can be used; logs what was left out."""
    moment = datetime.now(UTC) if now is None else now
    quotes = read_quotes(quotes, past, moment)
    today = today_scores(
        past, quotes, now=moment, events=events, is_clock=now is None, has_day=True
    )
    used = quotes.at(moment, is_clock=now is None) if today is None else today.used
    for note in used.notes:
        log.warning("quotes: %s", note)
    if today is None:
        log.warning("quotes: none are usable; the order does without them")
    elif (n_days := _days_between(past, today.day)) > _LATE_DAYS:
        log.warning(
            "quotes: the bars end %d weekdays before %s; today's moves are measured from there",
            n_days, today.day,
        )  # fmt: skip
    known = set(quotes.symbols)
    without = [symbol for symbol in symbols if symbol not in known]
    if without and known:
        reason = likely_reason(without[:1000], quotes.symbols, "quotes")
        log.log(
            logging.INFO if reason is None else logging.WARNING,
            "quotes: %d of %d symbols have none (%s%s%s)",
            len(without), len(symbols), ", ".join(without[:3]),
            ", ..." if len(without) > 3 else "", "" if reason is None else f"; {reason}",
        )  # fmt: skip
    return today


def _days_between(past: Bars, day: np.datetime64) -> int:
    return int(np.busday_count(past.dates[past.dates < day][-1], day))


def read_quotes(quotes: object, bars: Bars, time: datetime) -> Quotes:
    """Return quotes of the market that `bars` are of; `time` is when they were fetched."""
    if isinstance(quotes, Quotes):
        return quotes
    session = Session.of_days(bars.dates, bars.mask)
    return _of_session(Quotes.read(quotes, time=time, session=session), bars)


def _of_session(quotes: Quotes, past: Bars) -> Quotes:
    """Leave out quotes of symbols that trade at other hours than those of the quotes."""
    label = ALWAYS_OPEN if quotes.session == Session.around_the_clock() else ""
    labels = calendar_labels(past.symbols, past.dates, past.mask)
    day = past.dates[-1]
    others = {
        symbol
        for symbol, own in zip(past.symbols, labels.tolist(), strict=True)
        if own != label and session_end(day, own) != session_end(day, label)
    }
    rows = [row for row, symbol in enumerate(quotes.symbols) if symbol not in others]
    n_left = len(quotes.symbols) - len(rows)
    if not n_left:
        return quotes
    first = next(symbol for symbol in quotes.symbols if symbol in others)
    kept = quotes.take(rows)
    note = (
        f"{n_left} of {len(quotes.symbols)} quotes ({first} ...) left out: not of the market with "
        f"the hours {quotes.session.opens} to {quotes.session.closes} {quotes.session.tz}; scan "
        "one market at a time, with Quotes.read(quotes, session=Session(...)) for its hours"
    )
    return replace(kept, notes=(*kept.notes, note))
