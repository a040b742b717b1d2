"""Opening a scan with all that is known of its symbols, and announcing it in the journal."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.belief.belief import Belief
from bandit.belief.standing import RIVALS
from bandit.belief.track_record import TrackView
from bandit.choice.open_scan import OpenScan
from scanner_adapter.batch import day_of
from scanner_adapter.inputs.context import MarketFacts, scan_context
from scanner_adapter.inputs.coverage import Coverage
from scanner_adapter.inputs.loadings import LoadingCodec
from scanner_adapter.modes import ModeChoice
from scanner_adapter.scan.joining import check_joins
from scanner_adapter.state.learned_state import LearnedState
from scanner_adapter.state.provenance import market_names, opening_note

log = logging.getLogger("scanrank")


@dataclass(frozen=True, slots=True)
class Opened:
    """A scan that was opened with all that is known of its symbols.

    Parameters
    ----------
    live : OpenScan
    kept : LoadingCodec or None
        What the journal keeps of the similarity loadings.
    worked_before : array of bool, shape (n,)
        Evaluated in an earlier scan.
    coverage : (str or None, bool)
        What the bars know of the symbols, and whether that is not everything.
    """

    live: OpenScan
    kept: LoadingCodec | None
    worked_before: NDArray[np.bool_]
    coverage: tuple[str | None, bool]


def open_scan(
    learned: LearnedState, scan_id: str, names: tuple[str, ...], facts: MarketFacts,
    scan_time: float, *,
    rng: np.random.Generator, note: str | None, is_told: bool, mode: ModeChoice | None = None,
    opened: Mapping[str, Any] | None = None, by: Mapping[str, Any] | None = None,
    n_before: int = 0,
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
    note : str or None
        What was wrong with the symbols.
    is_told : bool
        Whether to say what the bars know of them.
    n_before : int
        Batches that were handed out before.

    Raises
    ------
    InvalidContextError
        If it cannot be joined, see `provenance.disagreement`.
    """
    if opened is not None:  # sub-scores that nobody has had are none of the scan's
        met = np.flatnonzero((~np.isnan(facts.values)).any(axis=0)).tolist()
        theirs = market_names(opened["columns"])
        facts = facts.only({*theirs, *(facts.names[i] for i in met)})
    kept = None
    if learned.keeps_journal:
        kept = LoadingCodec(facts.loading_names, facts.loadings)
    view = learned.ranker.view(names, now=scan_time, groups=facts.groups)
    columns, values = scan_context(learned.ranker, facts, view)
    if mode is not None:
        header = {
            "scan_time": scan_time,
            "mode": mode.mode,
            "rollout": mode.rollout,
            "n_symbols": len(names),
            "columns": list(columns),
            "as_of": facts.as_of,
            "before_features": n_before,
            "by": None if by is None else dict(by),
        }
        if kept is not None:
            header |= opening_note(rng, learned.settings, names, facts, kept)
        if opened is not None:
            check_joins(scan_id, opened, header)
        warn_of_going_back(learned, facts.as_of, scan_time)
        receipt = learned.event(scan_id, "open", header)
        if opened is None and not receipt.accepted.all():  # another worker was faster
            opened = learned.opening_of(scan_id)
            if opened is not None:
                check_joins(scan_id, opened, header)
    live = OpenScan.open(
        learned.ranker, scan_id, names, values, columns, rng=rng,
        loadings=facts.loadings, blocks=facts.blocks,
        rivals=dict(zip(RIVALS, rival_values(learned.ranker, view), strict=True)),
    )  # fmt: skip
    coverage = say(facts.coverage if is_told else None, note)
    return Opened(live, kept, view.n_scans > 0, coverage)


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


def warn_of_going_back(learned: LearnedState, as_of: str | None, scan_time: float) -> None:
    """Say so when a scan comes before one that was learned from: its order knows the future.

    The belief takes no harm: forgetting waits for a later time than it has seen, and by `now` an
    outcome of the past replaces none that came after it.
    """
    this, newest = as_of, learned.as_of
    if this is None or newest is None or this >= newest:
        this, newest = (day_of(days) for days in (scan_time, learned.ranker.time))
    if this < newest:
        log.warning(
            "ruleset %s: a scan as of %s after one as of %s: its order knows what was found "
            "later. Scan history in order, each day with its own now=, under a ruleset of its "
            "own.", learned.ruleset, this, newest,
        )  # fmt: skip


def say(coverage: Coverage | None, note: str | None) -> tuple[str | None, bool]:
    """Log in one line what a scan knows of its symbols; return it, and whether it is a warning."""
    if coverage is not None and note is not None:
        coverage = replace(coverage, notes=(*coverage.notes, note))
    line = note if coverage is None else str(coverage)
    is_partial = line is not None and (coverage is None or not coverage.is_whole)
    if line is not None:
        log.log(logging.WARNING if is_partial else logging.INFO, "%s", line)
    return line, is_partial
