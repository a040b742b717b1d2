"""Opening a scan with all that is known of its symbols, and announcing it in the journal."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.belief.belief import Belief
from bandit.belief.standing import RIVALS
from bandit.belief.track_record import TrackView
from bandit.checks import as_kind, refusal
from bandit.choice.ageing import due_now, something_new
from bandit.choice.open_scan import OpenScan
from bandit.stores import Entry
from scanner_adapter.batch import day_of
from scanner_adapter.errors import InvalidContextError
from scanner_adapter.inputs.context import MarketFacts, scan_context
from scanner_adapter.inputs.coverage import Coverage
from scanner_adapter.inputs.loadings import LoadingCodec
from scanner_adapter.options import ModeChoice, check_mode
from scanner_adapter.state.learned_state import LearnedState
from scanner_adapter.state.provenance import disagreement, market_names, opening_header

log = logging.getLogger("scanrank")


@dataclass(frozen=True, slots=True)
class Opened:
    """A scan that was opened with all that is known of its symbols.

    Parameters
    ----------
    open_scan : OpenScan
    codec : LoadingCodec or None
        What the journal keeps of the similarity loadings.
    worked_before : array of bool, shape (n,)
        Evaluated in an earlier scan.
    coverage : (str or None, bool)
        What the bars know of the symbols, and whether that is not everything.
    """

    open_scan: OpenScan
    codec: LoadingCodec | None
    worked_before: NDArray[np.bool_]
    coverage: tuple[str | None, bool]


@dataclass(frozen=True, slots=True)
class Ages:
    """How a scan of many a day looks at the time since a symbol was last looked at.

    Parameters
    ----------
    hits_last : float or None
        Half-life of a hit, days: what was looked at just now brings nothing new.
    seen_within : float or None
        Days within which every symbol is looked at once.
    """

    hits_last: float | None = None
    seen_within: float | None = None

    @classmethod
    def of(cls, hits_last: timedelta | None, seen_within: timedelta | None) -> Ages:
        """Read what a caller gave."""
        for name, value in (("hits_last", hits_last), ("seen_within", seen_within)):
            wanted = "a timedelta above zero"
            if value is not None and as_kind(value, name, timedelta, wanted) <= timedelta(0):
                raise refusal(value, name, wanted)
        day = timedelta(days=1)
        return cls(
            None if hits_last is None else hits_last / day,
            None if seen_within is None else seen_within / day,
        )

    def offset(self, view: TrackView) -> NDArray[np.float64] | None:
        """Logarithm of each symbol's chance of something new (n,); None where that is no matter."""
        return None if self.hits_last is None else something_new(view.age_days, self.hits_last)

    def discounted(self, view: TrackView) -> TrackView:
        """Return records in which the last look counts for less with every half-life of a hit.

        Of the scanner's last rows the learner does not see the age: they are unknown.
        """
        if self.hits_last is None:
            return view
        fade = 0.5 ** (view.age_days / self.hits_last)
        last = 0.5 + (view.last_reward - 0.5) * fade
        return replace(view, last_reward=last, rows=np.full_like(view.rows, np.nan))

    def due(self, view: TrackView, gap: float) -> list[int]:
        """Places that this scan is to look at first; `gap` days after the last scan."""
        if self.seen_within is None:
            return []
        return list(map(int, due_now(view.age_days, self.seen_within, gap)))


def open_from_facts(
    learned: LearnedState, scan_id: str, names: tuple[str, ...], facts: MarketFacts,
    scan_time: float, *,
    rng: np.random.Generator, dropped: str | None, logs_coverage: bool,
    mode: ModeChoice | None = None, opened: Mapping[str, Any] | None = None,
    by: Mapping[str, Any] | None = None, n_before: int = 0, ages: Ages = Ages(),
) -> Opened:  # fmt: skip
    """Open a scan; with a mode, announce it in the journal, or join the one that is `opened`.

    Parameters
    ----------
    learned : LearnedState
    facts : MarketFacts
        In the order of `names`, as all arrays here.
    scan_time : float
        Days since the epoch.
    rng : Generator
        The scan's own.
    dropped : str or None
        What was wrong with the symbols.
    logs_coverage : bool
        Whether to say what the bars know of them.
    n_before : int
        Batches that were handed out before.
    ages : Ages

    Raises
    ------
    InvalidContextError
        If it cannot be joined, see `provenance.disagreement`.
    """
    if opened is not None:  # sub-scores that nobody has had are none of the scan's
        met = np.flatnonzero((~np.isnan(facts.values)).any(axis=0)).tolist()
        theirs = market_names(opened["columns"])
        facts = facts.only({*theirs, *(facts.names[i] for i in met)})
    codec = None
    if learned.keeps_journal:
        codec = LoadingCodec(facts.loading_names, facts.loadings)
    view = learned.belief.track.view(names, now=scan_time, groups=facts.groups)
    due = ages.due(view, scan_time - learned.belief.time)
    columns, values = scan_context(learned.belief, facts, ages.discounted(view))
    if mode is not None:
        header = {
            "scan_time": scan_time,
            "mode": mode.mode,
            "rollout": mode.rollout,
            "n_symbols": len(names),
            "columns": list(columns),
            "as_of": facts.as_of,
            "before_features": n_before,
            "hits_last": ages.hits_last,
            "seen_within": ages.seen_within,
            "by": None if by is None else dict(by),
        }
        if codec is not None:
            header |= opening_header(rng, learned.settings, names, facts, codec)
        if opened is not None:
            check_joins(scan_id, opened, header)
        warn_if_out_of_order(learned, facts.as_of, scan_time)
        receipt = learned.append(Entry("", "open", scan_id, header, {}, ()))
        if opened is None and not receipt.accepted.all():  # another worker was faster
            opened = learned.opening_of(scan_id)
            if opened is not None:
                check_joins(scan_id, opened, header)
    open_scan = OpenScan(
        learned.belief, scan_id, names, values, columns, rng=rng,
        loadings=facts.loadings, blocks=facts.blocks,
        offset=ages.offset(view), due=due,
        rivals=dict(zip(RIVALS, rival_values(learned.belief, view), strict=True)),
    )  # fmt: skip
    coverage = log_coverage(facts.coverage if logs_coverage else None, dropped)
    return Opened(open_scan, codec, view.n_scans > 0, coverage)


def rival_values(belief: Belief, view: TrackView) -> tuple[NDArray[np.float64], ...]:
    """Return by what the orders of `bandit.belief.standing.RIVALS` go: last rating, last result."""
    columns = belief.track.columns
    rating = np.full(view.last_reward.size, np.nan)
    if "rating" in columns:
        rating = view.rows[:, columns.index("rating")].astype(np.float64)
    return rating, view.last_reward


def history_of(belief: Belief, view: TrackView) -> NDArray[np.float64]:
    """Return what each symbol's latest result was like, (n,): its rating, or else its reward."""
    rating, reward = rival_values(belief, view)
    return reward if np.isnan(rating).all() else rating


def warn_if_out_of_order(learned: LearnedState, as_of: str | None, scan_time: float) -> None:
    """Say so when a scan comes before one that was learned from: its order knows the future.

    The belief takes no harm: forgetting waits for a later time than it has seen, and by `now` an
    outcome of the past replaces none that came after it.
    """
    this, newest = as_of, learned.as_of
    if this is None or newest is None or this >= newest:
        this, newest = (day_of(days) for days in (scan_time, learned.belief.time))
    if this < newest:
        log.warning(
            "ruleset %s: a scan as of %s after one as of %s: its order knows what was found "
            "later. Scan history in order, each day with its own now=, under a ruleset of its "
            "own.", learned.ruleset, this, newest,
        )  # fmt: skip


def log_coverage(coverage: Coverage | None, dropped: str | None) -> tuple[str | None, bool]:
    """Log in one line what a scan knows of its symbols; return it, and whether it is a warning."""
    if coverage is not None and dropped is not None:
        coverage = replace(coverage, notes=(*coverage.notes, dropped))
    line = dropped if coverage is None else str(coverage)
    is_partial = line is not None and (coverage is None or not coverage.is_whole)
    if line is not None:
        log.log(logging.WARNING if is_partial else logging.INFO, "%s", line)
    return line, is_partial


def mode_of(opened: Mapping[str, Any], scan_id: str, mine: ModeChoice) -> ModeChoice:
    """Return the mode of the scan that is joined: a scan has one."""
    theirs = ModeChoice(check_mode(opened["mode"]), opened.get("rollout"))
    if theirs.mode != mine.mode:
        log.warning(
            "scan %s was opened in mode %s and goes on in it; this worker's own would have been %s",
            scan_id, theirs.mode, mine.mode,
        )  # fmt: skip
    return theirs


def check_joins(scan_id: str, opened: Mapping[str, Any], mine: Mapping[str, Any]) -> None:
    """Refuse to join a scan that rests on something else, and say what may differ and does.

    Parameters
    ----------
    opened, mine : mapping
        Headers of the open entry: of the scan, and as this worker would have written it.

    Raises
    ------
    InvalidContextError
        See `scanner_adapter.state.provenance.disagreement`.
    """
    if "settings" not in opened or "settings" not in mine:
        return  # nothing is journaled
    why = disagreement(opened, mine)
    if why is not None:
        raise InvalidContextError(
            f"scan {scan_id} was opened with {why}: give what it was opened with, or another "
            "scan_id"
        )
    if opened["digest"] != mine["digest"]:
        log.warning(
            "scan %s was opened with other facts (as of %s, here %s): bars, events or sectors "
            "differ; each worker ranks by its own", scan_id, opened["as_of"], mine["as_of"],
        )  # fmt: skip
    if opened["scanrank"] != mine["scanrank"]:
        log.warning(
            "scan %s was opened by scanrank %s, this is %s; both learn alike",
            scan_id, opened["scanrank"], mine["scanrank"],
        )  # fmt: skip
