"""What opening a ranker or a scan checks, and what it says aloud."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np

from bandit.checks import as_count, as_kind, refusal
from bandit.stores import Store
from bandit.stores.names import check_name
from scanner_adapter.errors import InvalidContextError
from scanner_adapter.modes import check_mode, check_rollout

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from bandit.belief.belief import Belief
    from bandit.belief.track_record import TrackView
    from bandit.stores.journal import SealedStore
    from features.inputs.bars import Bars
    from scanner_adapter.inputs.coverage import Coverage
    from scanner_adapter.inputs.outcomes import RowMap
    from scanner_adapter.state.learned_state import LearnedState

log = logging.getLogger("scanrank")


def check_options(
    ruleset: str, *, mode: str, rollout: float | None, row_map: RowMap | None, seed: int | None
) -> None:
    """Refuse options of a ranker that do not fit, before anything is opened."""
    check_name("ruleset", ruleset)
    check_mode(mode)
    check_rollout(rollout)
    if row_map is not None:
        from scanner_adapter.inputs.outcomes import RowMap

        as_kind(row_map, "row_map", RowMap, "a RowMap")
    if seed is not None:
        as_count(seed, "seed", least=0)


def as_store(store: Store, name: str) -> Store:
    """Return a store, or refuse what is none."""
    if isinstance(store, type) or not callable(getattr(store, "append_report", None)):
        raise refusal(store, name, "the address of a store, such as 'redis://host', or a store")
    return store


def as_bars(bars: Bars | pd.DataFrame | None) -> Bars | None:
    """Return bars brought into shape, once for a scan and all its refreshes."""
    from features.inputs.bars import Bars

    return bars if bars is None or isinstance(bars, Bars) else Bars.from_frame(bars)


def surviving(store: Store) -> Store:
    """Return a store whose appends wait on disk while its server is away."""
    if store.address == "memory://":
        return store
    # Imported here: memory:// runs on platforms without file locks.
    from bandit.stores.spool.store import SpoolingStore

    return SpoolingStore(cast("SealedStore", store))


def rival_values(belief: Belief, view: TrackView) -> tuple[NDArray[np.float64], ...]:
    """Return by what the orders of `bandit.belief.standing.RIVALS` go: last rating, last result."""
    columns = belief.track.columns
    rating = np.full(view.last_reward.size, np.nan)
    if "rating" in columns:
        rating = view.rows[:, columns.index("rating")].astype(np.float64)
    return rating, view.last_reward


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


def day_of(days: float) -> str:
    """Return the UTC day, YYYY-MM-DD, of days since the epoch; "" for a time that never was."""
    return str(np.datetime64(math.floor(days), "D")) if math.isfinite(days) else ""


def refuse_misaligned(note: str | None, context: object, loadings: object) -> None:
    """Refuse arrays in the order of symbols some of which were dropped."""
    if note is not None and (isinstance(context, tuple) or loadings is not None):
        raise InvalidContextError(
            f"{note}, and context or loadings are in the order of the symbols as they were given; "
            "drop them from both"
        )


def say(coverage: Coverage | None, note: str | None) -> tuple[str | None, bool]:
    """Log in one line what a scan knows of its symbols; return it, and whether it is a warning."""
    if coverage is not None and note is not None:
        coverage = replace(coverage, notes=(*coverage.notes, note))
    line = note if coverage is None else str(coverage)
    is_partial = line is not None and (coverage is None or not coverage.is_whole)
    if line is not None:
        log.log(logging.WARNING if is_partial else logging.INFO, "%s", line)
    return line, is_partial
