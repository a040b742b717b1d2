"""Which log a command's options mean, and which of its scans any order can be judged on.

A complete scan judges every order exactly. A scan that was stopped shows what its own order chose
and nothing else, so it is never taken for a complete one: a log leaves it out and says so, and a
journal of stopped scans alone is answered by `scanner_adapter.replay.journals.off_policy`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path

import pandas as pd

from bandit.errors import InvalidInputError
from bandit.rewards import RewardRule, Signal, TopShare, rule_text
from bandit.stores import Entry
from features.inputs.bars import Bars
from features.inputs.sessions import Session
from features.inputs.tables import Reading, read_table
from scanner_adapter.inputs.context import market_facts
from scanner_adapter.inputs.events import read_events
from scanner_adapter.replay.journals.journal_scan import (
    FactsOf,
    JournalScan,
    journal_rule,
    journal_scans,
    recorded_log,
)
from scanner_adapter.replay.logs.bundled import WARMUP, bundled_log
from scanner_adapter.replay.logs.contexts import Contexts
from scanner_adapter.replay.logs.known_at import BridgeQuotes, MinuteQuotes, QuotesOf
from scanner_adapter.replay.logs.moments import DayLog, rated_days, recorded_days, rule_days
from scanner_adapter.replay.logs.recorded import RecordedLog
from scanner_adapter.replay.logs.scans import Log, ReplayLog
from scanner_adapter.scanners.rules import RULES
from scanner_adapter.state.parquet import is_journal, is_parquet, read_journal

BUNDLED = "bundled"
_WARMUP = 60


@dataclass(frozen=True)
class LogFiles:
    """The files that a command's options name.

    Parameters
    ----------
    log : str, optional
        "bundled" (also where nothing is named), or a file: a journal's export, or recorded scans
        in the bundled log's format.
    bars, ratings : path, optional
        Daily bars, and a scanner's ratings or a journal's export.
    sectors : path, optional
        A table with columns symbol and sector.
    events : sequence of path
        See `read_events`; with `bars` only.
    reading : Reading
        What happens to bad rows of bars, ratings and events, and the market's zone.
    scanner : str, optional
        Instead of ratings: a built-in rule, a key of `RULES`.

    Raises
    ------
    InvalidInputError
        For options that contradict each other, or a file that scanrank did not write.
    """

    log: str | None = None
    bars: Path | None = None
    ratings: Path | None = None
    sectors: Path | None = None
    events: Sequence[Path] = ()
    reading: Reading = field(default_factory=Reading)
    scanner: str | None = None

    def __post_init__(self) -> None:
        if self.events and self.bars is None:
            raise InvalidInputError(
                f"--events {self.events[0]} needs --bars: a log without bars already includes the "
                "features of its scans"
            )
        if self.scanner is not None:
            self._check_scanner(self.scanner)
        elif self.ratings is not None:
            if self.log is not None:
                raise InvalidInputError(
                    f"--log {self.log} and --ratings are two logs; give only one"
                )
            if self.bars is None:
                raise InvalidInputError(
                    "--bars is missing; give --bars and --ratings together, or neither to use the "
                    "bundled log"
                )
        elif self.bars is not None and self.log is None:
            raise InvalidInputError(
                "--ratings is missing; give --bars and --ratings together, or neither to use the "
                "bundled log"
            )
        if self.log in (None, BUNDLED) and self.ratings is None and self.scanner is None:
            if self.bars is not None:
                raise InvalidInputError(f"--log {self.log} and --bars are two logs; give only one")
            return
        if self.log is not None:
            if not (path := Path(self.log)).is_file():
                raise InvalidInputError(
                    f"--log {self.log}: no such file; expected 'bundled', or a journal "
                    "from `scanrank journal export`"
                )
            if not is_parquet(path):
                raise InvalidInputError(
                    f"--log {self.log} is not a Parquet file; expected an exported journal"
                )

    def _check_scanner(self, name: str) -> None:
        if name not in RULES:
            raise InvalidInputError(
                f"--scanner is {name!r}; expected a built-in one: {', '.join(RULES)}. Log what "
                "yours says at several times a day, and give that as --ratings"
            )
        for option, value in (("--log", self.log), ("--ratings", self.ratings)):
            if value is not None:
                raise InvalidInputError(
                    f"{option} {value} and --scanner {name} are two logs; give one of them"
                )
        if self.bars is None:
            raise InvalidInputError(f"--scanner {name} needs --bars, over which it runs; add them")

    @property
    def kind(self) -> str:
        """What is replayed: "rule", "bars", "bundled", "recorded", "journal", "stopped journal"."""
        if self.scanner is not None:
            return "rule"
        if self.entries is not None and not any(scan.is_complete for scan in self.scans):
            return "stopped journal"
        if self.ratings is not None:
            return "bars"
        if self.entries is not None:
            return "journal"
        return "bundled" if self.log in (None, BUNDLED) else "recorded"

    @cached_property
    def entries(self) -> list[Entry] | None:
        """The entries of the journal that --log or --ratings names; None for another log."""
        path = self.ratings if self.ratings is not None else Path(self.log or BUNDLED)
        if self.ratings is None and self.log in (None, BUNDLED):
            return None
        if not path.is_file() or not is_parquet(path) or not is_journal(path):
            return None
        return list(read_journal(path))

    @property
    def scans(self) -> tuple[JournalScan, ...]:
        """The scans of the journal."""
        return self._grouped[0]

    @cached_property
    def _grouped(self) -> tuple[tuple[JournalScan, ...], tuple[str, ...]]:
        """The scans of the journal, and what is wrong with those that cannot be read."""
        left_out: list[str] = []
        return journal_scans(self.entries or (), left_out=left_out), tuple(left_out)

    def rule(self, asked: RewardRule | None) -> RewardRule:
        """What counts as a hit: as asked for, as the journal was judged, else the top 5 %.

        Raises
        ------
        InvalidInputError
            For words other than those that judged a journal, which keeps no texts of signals.
        """
        if self.entries is None:
            return asked or TopShare()
        if asked is None:
            return journal_rule(self.scans)
        if isinstance(asked, Signal) and asked.words is not None:
            judged = journal_rule(self.scans)
            if asked != judged:
                raise InvalidInputError(
                    f"a hit is {rule_text(asked)}, but this journal keeps only whether a signal "
                    f"was high-value by {rule_text(judged)}, not its text; use signal"
                )
        return asked

    def read(self, rule: RewardRule | None = None) -> tuple[Log, int]:
        """Return the log, complete scans only, and how many scans its warm-up has.

        Raises
        ------
        InvalidInputError
            For a journal of stopped scans, or a file that cannot be read.
        """
        if self.kind == "stopped journal":
            raise InvalidInputError(
                f"all {len(self.scans)} scans of this journal were stopped early: the results of "
                "the symbols left out are unknown, so no order can be judged exactly. `scanrank "
                "replay --log` estimates from the logged propensities; let one scan in ten run "
                "to its end for everything else"
            )
        judged = self.rule(rule)
        if self.bars is not None and self.ratings is not None:
            events, sectors = read_events(self.events, **self.reading), self.sector_of()
            log: Log = ReplayLog.read(
                self.bars, self.ratings, rule=judged, events=events, sectors=sectors, **self.reading
            )
            return log, _WARMUP
        if self.entries is not None:
            log = recorded_log(self.scans, judged, self.sector_of(), left_out=self._grouped[1])
            # Of a short journal, a quarter is learned from and not measured.
            return log, min(_WARMUP, len(log.recorded) // 4)
        if self.log in (None, BUNDLED):
            return bundled_log(judged), WARMUP
        return bundled_log(judged, path=Path(str(self.log))), WARMUP

    def read_days(
        self, rule: RewardRule | None, *, every: timedelta, minute_bars: Path | None
    ) -> tuple[DayLog, str]:
        """Return the log as days of many scans, and what those are, in a sentence.

        Raises
        ------
        InvalidInputError
            For a log with one scan a day, of which nothing is known at other times.
        """
        events, sectors = read_events(self.events, **self.reading), self.sector_of()
        if self.scanner is not None and self.bars is not None:
            known = Contexts.compute(
                Bars.read(self.bars, **self.reading), events=events, sectors=sectors
            )
            quotes_of, said = self.quotes_from(minute_bars, known.bars)
            days = rule_days(
                self.scanner, known, rule or Signal(), every=every, quotes_of=quotes_of
            )
            return days, f"{self.scanner} on today's bar so far, {said}"
        if self.kind == "bars" and self.bars is not None and self.ratings is not None:
            timed = ReplayLog.read(
                self.bars, self.ratings, rule=self.rule(rule), events=events, sectors=sectors,
                is_timed=True, **self.reading,
            )  # fmt: skip
            return rated_days(timed, every=every, tz=self.reading.get("tz")), "the times of the log"
        log = self.read(rule)[0]
        if not isinstance(log, RecordedLog):
            raise AssertionError(f"a {self.kind} log has no recorded scans")
        return recorded_days(log, every=every), "the times of the log"

    def quotes_from(self, minute_bars: Path | None, bars: Bars) -> tuple[QuotesOf, str]:
        """Return what shows a day of `bars` up to a moment, and what that is made of, in words."""
        if minute_bars is None:
            return BridgeQuotes(), (
                "simulated from the daily bars: a path from open to close between low and high, "
                "and the usual volume by that time"
            )
        session = Session.of_days(bars.dates, bars.mask)
        on_bad = self.reading.get("on_bad", "raise")
        quotes = MinuteQuotes(read_table(minute_bars), session, on_bad=on_bad)
        return quotes, f"from the minute bars of {quotes.coverage(bars)}"

    def facts_of(self) -> FactsOf | None:
        """Facts of scans that were stopped, from the bars; None without bars."""
        if self.bars is None:
            return None
        bars, sectors = Bars.read(self.bars, **self.reading), self.sector_of()
        events = read_events(self.events, **self.reading)
        return lambda symbols, as_of: market_facts(
            symbols, bars=bars, events=events, as_of=as_of, sectors=sectors
        )

    def sector_of(self) -> dict[str, str] | None:
        """Sector of each symbol, from --sectors."""
        if self.sectors is None:
            return None
        try:
            table = pd.read_csv(
                self.sectors, dtype=str, keep_default_na=False, na_values={"sector": [""]}
            )
        except (ValueError, OSError) as err:
            raise InvalidInputError(
                f"--sectors {self.sectors} cannot be read as CSV: {err}"
            ) from err
        missing = {"symbol", "sector"} - set(table.columns)
        if missing:
            raise InvalidInputError(
                f"--sectors {self.sectors} has columns "
                f"{', '.join(map(str, table.columns[:8]))}; expected symbol and sector"
            )
        known = table.dropna(subset=["symbol", "sector"])
        return dict(zip(known["symbol"], known["sector"], strict=True))
