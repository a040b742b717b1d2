"""What opening a ranker or a scan checks, and what it says aloud."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

from bandit.checks import as_count, as_kind, refusal
from bandit.stores import Store
from bandit.stores.names import check_name
from scanner_adapter.errors import InvalidContextError
from scanner_adapter.modes import check_mode, check_rollout

if TYPE_CHECKING:
    import pandas as pd

    from bandit.stores.journal import SealedStore
    from features.inputs.bars import Bars
    from scanner_adapter.inputs.outcomes import RowMap

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


def refuse_misaligned(note: str | None, context: object, loadings: object) -> None:
    """Refuse arrays in the order of symbols some of which were dropped."""
    if note is not None and (isinstance(context, tuple) or loadings is not None):
        raise InvalidContextError(
            f"{note}, and context or loadings are in the order of the symbols as they were given; "
            "drop them from both"
        )
