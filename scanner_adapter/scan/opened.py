"""Opens a scan with everything known about its symbols, and journals the opening."""

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
    """A scan that was opened with everything known about its symbols.

    Parameters
    ----------
    open_scan : OpenScan
    codec : LoadingCodec or None
        Similarity loadings in the form that is journaled; None without a journal.
    worked_before : array of bool, shape (n,)
        Whether the symbol was evaluated in an earlier scan.
    coverage : (str or None, bool)
        Coverage of the symbols by bars, and whether it is incomplete.
    """

    open_scan: OpenScan
    codec: LoadingCodec | None
    worked_before: NDArray[np.bool_]
    coverage: tuple[str | None, bool]


@dataclass(frozen=True, slots=True)
class Ages:
    """How the time since a symbol's last scan counts, for many scans a day.

    Parameters
    ----------
    hits_last : float or None
        Half-life of a hit in days: a symbol that was just scanned yields nothing new.
    seen_within : float or None
        Days within which every symbol is to be scanned once.
    """

    hits_last: float | None = None
    seen_within: float | None = None

    @classmethod
    def of(cls, hits_last: timedelta | None, seen_within: timedelta | None) -> Ages:
        """Check and convert the arguments of `SymbolRanker.start_scan`."""
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
        """Return the log of each symbol's chance of a new hit (n,); None without a half-life."""
        return None if self.hits_last is None else something_new(view.age_days, self.hits_last)

    def discounted(self, view: TrackView) -> TrackView:
        """Return records in which the last reward is discounted by its age, in half-lives of a hit.

        The scanner's last rows become unknown, because the learner does not see their age.
        """
        if self.hits_last is None:
            return view
        fade = 0.5 ** (view.age_days / self.hits_last)
        last = 0.5 + (view.last_reward - 0.5) * fade
        return replace(view, last_reward=last, rows=np.full_like(view.rows, np.nan))

    def due(self, view: TrackView, gap: float) -> list[int]:
        """Return the overdue places, to be scanned first; `gap` is the days since the last scan."""
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
    """Open a scan; given a mode, journal the opening or join the scan with header `opened`.

    Parameters
    ----------
    learned : LearnedState
    facts : MarketFacts
        Aligned with `names`, like all arrays here.
    scan_time : float
        Days since the epoch.
    rng : Generator
        The scan's own.
    dropped : str or None
        Which symbols were dropped.
    logs_coverage : bool
        Whether to log the coverage of the symbols by bars.
    n_before : int
        Batches handed out before the features were computed.
    ages : Ages

    Raises
    ------
    InvalidContextError
        If the scan cannot be joined, see `provenance.disagreement`.
    """
    if opened is not None:  # keep its sub-scores, and those that have a value here
        met = np.flatnonzero((~np.isnan(facts.values)).any(axis=0)).tolist()
        theirs = market_names(opened["columns"])
        facts = facts.only({*theirs, *(facts.names[i] for i in met)}).joining(theirs)
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
    """Return the sort keys of `bandit.belief.standing.RIVALS`, each (n,): last rating, reward."""
    columns = belief.track.columns
    rating = np.full(view.last_reward.size, np.nan)
    if "rating" in columns:
        rating = view.rows[:, columns.index("rating")].astype(np.float64)
    return rating, view.last_reward


def history_of(belief: Belief, view: TrackView) -> NDArray[np.float64]:
    """Return each symbol's latest rating (n,); rewards if there are no ratings at all."""
    rating, reward = rival_values(belief, view)
    return reward if np.isnan(rating).all() else rating


def warn_if_out_of_order(learned: LearnedState, as_of: str | None, scan_time: float) -> None:
    """Log a warning if a later scan was already learned: the order then knows the future.

    The belief is not damaged: it forgets only as time moves past the latest it has seen, and an
    older outcome never replaces a newer one.
    """
    this, newest = as_of, learned.as_of
    if this is None or newest is None or this >= newest:
        this, newest = (day_of(days) for days in (scan_time, learned.belief.time))
    if this < newest:
        log.warning(
            "ruleset %s: a scan as of %s after one as of %s: its order uses later results. Scan "
            "past days in order, each with its own now=, under a separate "
            "ruleset.", learned.ruleset, this, newest,
        )  # fmt: skip


def log_coverage(coverage: Coverage | None, dropped: str | None) -> tuple[str | None, bool]:
    """Log the coverage of a scan's symbols once; return the line, and whether it is a warning."""
    if coverage is not None and dropped is not None:
        coverage = replace(coverage, notes=(*coverage.notes, dropped))
    line = dropped if coverage is None else str(coverage)
    is_partial = line is not None and (coverage is None or not coverage.is_whole)
    if line is not None:
        log.log(logging.WARNING if is_partial else logging.INFO, "%s", line)
    return line, is_partial


def mode_of(opened: Mapping[str, Any], scan_id: str, mine: ModeChoice) -> ModeChoice:
    """Return the mode of the scan to join, which takes precedence over this worker's own."""
    theirs = ModeChoice(check_mode(opened["mode"]), opened.get("rollout"))
    if theirs.mode != mine.mode:
        log.warning(
            "scan %s was opened in mode %s and continues in it; this worker's mode (%s) is ignored",
            scan_id, theirs.mode, mine.mode,
        )  # fmt: skip
    return theirs


def check_joins(scan_id: str, opened: Mapping[str, Any], mine: Mapping[str, Any]) -> None:
    """Refuse to join a scan with other rules or symbols; log differences that are allowed.

    Parameters
    ----------
    opened, mine : mapping
        Header of the scan's open entry, and the header that this worker would have written.

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
            f"scan {scan_id} was opened with {why}: use the same inputs as at its opening, or "
            "another scan_id"
        )
    if opened["digest"] != mine["digest"]:
        log.warning(
            "scan %s was opened with different data (as of %s, here %s): bars, events or "
            "sectors differ; each worker ranks by its own",
            scan_id, opened["as_of"], mine["as_of"],
        )  # fmt: skip
    if opened["scanrank"] != mine["scanrank"]:
        log.warning(
            "scan %s was opened by scanrank %s, this is %s; both learn identically",
            scan_id, opened["scanrank"], mine["scanrank"],
        )  # fmt: skip
