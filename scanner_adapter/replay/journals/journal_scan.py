"""The scans of a journal: what each knew, what it handed out, and what can be replayed.

A scan that ran to its end left everything in the journal: its universe with the place of each
symbol, what was known of each, and every outcome. Of a stopped scan the journal names what was
left, but not what was known of it: that comes from the bars again, and a fingerprint says whether
they are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.errors import InvalidInputError
from bandit.rewards import RewardRule
from bandit.stores import Entry
from features.similarity import Loadings
from scanner_adapter.batch import SECONDS_PER_DAY
from scanner_adapter.inputs.context import MarketFacts
from scanner_adapter.inputs.loadings import loadings_of
from scanner_adapter.inputs.outcomes import Outcome
from scanner_adapter.replay.logs.recorded import RecordedLog, RecordedScan
from scanner_adapter.state.fold import rule_from_fingerprint
from scanner_adapter.state.provenance import digest, market_names
from scanner_adapter.state.rows import outcome_for_replay

# Gives the market facts of these symbols as of a day, as `start_scan` computed them live.
FactsOf = Callable[[Sequence[str], str], MarketFacts]


@dataclass(frozen=True)
class JournalScan:
    """One scan of a journal.

    Attributes
    ----------
    scan_id : str
    opened : mapping
        Header of its open entry.
    reports : tuple of Entry
        In journal order.
    closed : mapping or None
        Header of its close entry; None if the scan never ended.
    is_alone : bool
        Whether no other scan wrote to the journal between its first and its last entry.
    """

    scan_id: str
    opened: Mapping[str, Any]
    reports: tuple[Entry, ...]
    closed: Mapping[str, Any] | None
    is_alone: bool

    @property
    def now(self) -> datetime:
        """Time of the scan, UTC."""
        return datetime.fromtimestamp(self.opened["scan_time"] * SECONDS_PER_DAY, UTC)

    @property
    def arms(self) -> tuple[str, ...]:
        """Symbols in the order of reporting."""
        return tuple(arm for entry in self.reports for arm in entry.arms)

    @property
    def is_complete(self) -> bool:
        """Whether every symbol was reported."""
        return len(self.arms) == int(self.opened["n_symbols"])

    def column(self, name: str) -> NDArray[Any]:
        """One array of all reports, in the order of reporting.

        Raises
        ------
        InvalidInputError
            If a report lacks it.
        """
        if any(name not in entry.arrays for entry in self.reports):
            raise InvalidInputError(
                f"scan {self.scan_id} was journaled without {name}; replay its ratings with bars "
                "(--bars)"
            )
        return np.concatenate([entry.arrays[name] for entry in self.reports])

    def universe(self) -> tuple[str, ...]:
        """The symbols in the scanner's own order.

        Raises
        ------
        InvalidInputError
            If the journal does not say what was left when the scan was stopped, or two symbols
            stand in one place.
        """
        n = int(self.opened["n_symbols"])
        names: list[str | None] = [None] * n
        if self.reports:
            for place, arm in zip(self.column("place").tolist(), self.arms, strict=True):
                if place >= n or names[place] is not None:
                    raise InvalidInputError(
                        f"scan {self.scan_id} has {arm} in place {place} of its universe, and "
                        f"{names[place] if place < n else f'only {n} places'}: its workers passed "
                        "different symbols, or the same in a different order"
                    )
                names[place] = arm
        left = list((self.closed or {}).get("left") or ())
        if len(left) != n - len(self.arms):
            raise InvalidInputError(
                f"scan {self.scan_id} reported {len(self.arms)} of {n} symbols, and the journal "
                "does not list the others (the scan never ended, or left too many); its choices "
                "cannot be repeated"
            )
        rest = iter(left)
        return tuple(next(rest) if name is None else name for name in names)

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the scan was ranked and judged with.

        Raises
        ------
        InvalidInputError
            If its opening does not say.
        """
        if "settings" not in self.opened:
            raise InvalidInputError(
                f"scan {self.scan_id} was journaled without its settings; replay its ratings with "
                "bars (--bars)"
            )
        noted: Mapping[str, Any] = self.opened["settings"]
        return noted

    @property
    def sub_score_names(self) -> tuple[str, ...]:
        """Names of what the market said, in the scan's order; history is the ranker's own."""
        return market_names(self.opened["columns"])

    def facts(self, facts_of: FactsOf | None = None) -> tuple[tuple[str, ...], MarketFacts]:
        """Return the universe and what the market said of it, bit for bit as the scan knew it.

        Parameters
        ----------
        facts_of : callable, optional
            Needed for scans that were stopped.

        Raises
        ------
        InvalidInputError
            If it cannot be known, or what `facts_of` gives is not what the scan saw.
        """
        symbols = self.universe()
        if self.is_complete:
            facts = self._reported_facts()
        elif facts_of is None or self.opened.get("as_of") is None:
            raise InvalidInputError(
                f"scan {self.scan_id} was stopped after {len(self.arms)} of {len(symbols)} "
                "symbols, and the journal has no features of the others; give the bars that it "
                "used (--bars, with --sectors if it had them)"
            )
        else:
            facts = facts_of(symbols, self.opened["as_of"])
            if set(self.sub_score_names) <= set(facts.names):
                # Sub-scores that nobody had yet are none of the scan's.
                facts = facts.only(self.sub_score_names)
        mark = digest(symbols, facts.names, facts.values, facts.loading_names, facts.loadings)
        if mark != self.opened["digest"]:
            raise InvalidInputError(
                f"scan {self.scan_id} used different data as of {self.opened.get('as_of')}: "
                f"{self._difference(facts)}"
            )
        return symbols, facts

    def _reported_facts(self) -> MarketFacts:
        order, names = self._file_order, self.sub_score_names
        at = [list(self.reports[0].header["columns"]).index(name) for name in names]
        kept: dict[str, NDArray[Any]] = {
            name: self.column(name)[order]
            for name in ("group", "loading")
            if name in self.reports[0].arrays
        }
        return MarketFacts(
            names,
            self.column("context")[order][:, at].astype(np.float32),
            loadings_of(self.opened, kept, len(order)),
            tuple(self.opened["loadings"]),
            self.opened["as_of"],
        )

    def _difference(self, facts: MarketFacts) -> str:
        mine, theirs = self.sub_score_names, facts.names
        if mine != theirs:
            odd = sorted(set(mine) ^ set(theirs))
            return (
                "its sub-scores have different names "
                f"({', '.join(odd[:4]) or 'in another order'}); "
                "replay it with the same version of scanrank and the same events"
            )
        if tuple(self.opened["loadings"]) != facts.loading_names:
            return "its similarity loadings have different names; give the same sectors"
        return "bars, events or sectors differ from those it used"

    def outcomes(self) -> dict[str, Outcome]:
        """Outcomes by symbol, in the order of reporting, as they were reported."""
        return {
            arm: outcome_for_replay(entry, i)
            for entry in self.reports
            for i, arm in enumerate(entry.arms)
        }

    def obstacle(self) -> str | None:
        """Why the scan's choices cannot be made again; None where they can."""
        if not self.reports:
            return "nothing was reported"
        if not self.is_alone:
            return "another scan wrote to the journal at the same time"
        headers = [entry.header for entry in self.reports]
        if any(header.get("is_steered") for header in headers):
            return "symbols were pinned, excluded or boosted by hand"
        if any(header.get("is_refreshed") for header in headers):
            return "quotes changed during the scan, and the journal does not keep them"
        if any("handed_out" not in header for header in headers):
            return "the journal does not record its batches"
        if any(header["handed_out"] is None for header in headers):
            return "it was shared by several workers or rulesets"
        if len({header.get("session") for header in headers}) > 1:
            return "it was interrupted and continued"
        return None

    def recorded(self) -> RecordedScan:
        """The complete scan, for replays in other orders."""
        (symbols, facts), order = self.facts(), self._file_order
        is_signal = self.column("is_signal")[order]
        return RecordedScan(
            now=self.now,
            symbols=symbols,
            sub_score_names=facts.names,
            sub_scores=facts.values,
            loadings=Loadings(facts.loading_names, facts.loadings),
            rating=self.column("rating")[order].astype(np.float64),
            signal=np.where(is_signal == 1.0, 0, -1).astype(np.int8),
            signal_names=("1",),  # the verdict of then, whatever the words
            read_outcomes=self._in_file_order,
            as_of=self.opened.get("as_of"),
        )

    def _in_file_order(self) -> tuple[Outcome, ...]:
        outcomes = list(self.outcomes().values())
        return tuple(outcomes[i] for i in self._file_order)

    @property
    def _file_order(self) -> NDArray[np.intp]:
        """Rows of the reports in the scanner's own order of its symbols."""
        return np.argsort(self.column("place"), kind="stable")


def journal_scans(
    entries: Iterable[Entry], *, left_out: list[str] | None = None
) -> tuple[JournalScan, ...]:
    """Group journal entries by scan, in the order in which the scans were opened.

    Parameters
    ----------
    entries : iterable of Entry
    left_out : list of str, optional
        Takes a sentence for each scan whose opening is missing; without it such a scan is refused.

    Raises
    ------
    InvalidInputError
        For reports of a scan that the journal does not open (its beginning was cut off, or two
        journals were mixed).
    """
    opened: dict[str, Mapping[str, Any]] = {}
    closed: dict[str, Mapping[str, Any]] = {}
    reports: dict[str, list[Entry]] = {}
    spans: dict[str, list[int]] = {}
    orphans: dict[str, str] = {}
    for number, entry in enumerate(entries):
        scan_id = entry.scan_id
        spans.setdefault(scan_id, []).append(number)
        if entry.kind == "open":
            opened[scan_id] = entry.header
        elif entry.kind == "close":
            closed[scan_id] = entry.header
        else:
            reports.setdefault(scan_id, []).append(entry)
        if scan_id not in opened:
            orphans.setdefault(
                scan_id,
                f"the journal has a {entry.kind} of scan {scan_id} without its opening: its "
                "beginning was deleted, or several journals were mixed; export the whole journal "
                "before retention trims it",
            )
    if left_out is not None:
        left_out += orphans.values()
    elif orphans:
        raise InvalidInputError(next(iter(orphans.values())))
    return tuple(
        JournalScan(
            scan_id,
            header,
            tuple(reports.get(scan_id, ())),
            closed.get(scan_id),
            spans[scan_id][-1] - spans[scan_id][0] + 1 == len(spans[scan_id]),
        )
        for scan_id, header in opened.items()
        if scan_id not in orphans
    )


def journal_rule(scans: Sequence[JournalScan]) -> RewardRule:
    """Return the rule that judged a journal: that of its last scan.

    Raises
    ------
    InvalidInputError
        If the scans do not say, or it was a rule of the user's own.
    """
    if not scans:
        raise InvalidInputError("the journal contains no scan; expected at least one")
    return rule_from_fingerprint(scans[-1].settings)


def recorded_log(
    scans: Sequence[JournalScan],
    rule: RewardRule | None = None,
    sectors: Mapping[str, str] | None = None,
    *,
    left_out: Sequence[str] = (),
) -> RecordedLog:
    """Return the complete scans of a journal as a log for `replay`.

    Parameters
    ----------
    rule : RewardRule, optional
        What counts as a hit; by default the rule that judged the journal.
    left_out : sequence of str
        What of the journal is not among `scans`, a sentence each.

    Raises
    ------
    InvalidInputError
        If no scan can be replayed: those that were stopped are judged by `off_policy`.

    Notes
    -----
    One bad scan (its workers gave different symbols, or facts that do not fit) is left out and
    named in `RecordedLog.left_out`, and so is the number of those that were stopped.
    """
    complete = sorted((s for s in scans if s.is_complete and s.reports), key=lambda s: s.now)
    if not complete:
        raise InvalidInputError(
            f"none of the journal's {len(scans)} scans ran to its end, so no order can be judged "
            "exactly; give the bars that they used (--bars) for off-policy estimates"
        )
    known = dict(sectors or {})
    recorded, bad = [], []
    for scan in complete:
        try:
            recorded.append(scan.recorded())
        except InvalidInputError as error:
            bad.append(str(error))
        else:
            known.update(_sectors(scan))
    if not recorded:
        raise InvalidInputError(f"no scan of the journal can be replayed; the first: {bad[0]}")
    n_stopped = len(scans) - len(complete)
    stopped = [
        f"{n_stopped} of the journal's {len(scans)} scans did not run to their end, so no order "
        "can be judged exactly on them"
    ]
    return RecordedLog(
        tuple(recorded),
        rule or journal_rule(scans),
        known,
        (*(stopped if n_stopped else ()), *bad, *left_out),
    )


def _sectors(scan: JournalScan) -> dict[str, str]:
    """Sectors as the scan's loadings say them."""
    names = [n.split(".", 1)[1] for n in scan.opened["loadings"] if n.startswith("sector.")]
    blocks = list(scan.opened["groups"])
    if "sector" not in blocks:
        return {}
    number = scan.column("group")[:, blocks.index("sector")]
    return {
        arm: names[k] for arm, k in zip(scan.arms, number.tolist(), strict=True) if k < len(names)
    }
