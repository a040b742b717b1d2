"""Checks of what a ranker and its scans are opened with: mode, store, symbols, bars."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from bandit.checks import as_arms, as_count, as_kind, as_number, as_one_of, refusal
from bandit.stores import Store
from bandit.stores.names import check_name
from scanner_adapter.errors import InvalidContextError

if TYPE_CHECKING:
    from scanner_adapter.inputs.outcomes import RowMap

Mode = Literal["on", "shadow", "off"]
MODES: tuple[Mode, ...] = ("on", "shadow", "off")

# Lets an operator switch a deployed scanner without changing its code; overrides `mode=`.
MODE_VARIABLE = "SCANRANK_MODE"


@dataclass(frozen=True, slots=True)
class ModeChoice:
    """The mode of one scan.

    Parameters
    ----------
    mode : "on", "shadow" or "off"
    rollout : float or None
        Probability with which the scan was prioritised; None if the mode was not drawn.
    """

    mode: Mode
    rollout: float | None = None


def choose_mode(mode: str, rollout: float | None, rng: np.random.Generator) -> ModeChoice:
    """Return the mode of the next scan.

    Parameters
    ----------
    mode : str
        Mode of the ranker; the environment variable SCANRANK_MODE takes precedence.
    rollout : float, optional
        With mode on, the share of scans that are prioritised; the others run in shadow, as the
        control group. Drawn per scan, so that the groups do not differ in anything else.

    Raises
    ------
    InvalidInputError
        For an unknown mode, or a share outside [0, 1].

    Examples
    --------
    >>> choose_mode("on", 0.0, np.random.default_rng(0))
    ModeChoice(mode='shadow', rollout=0.0)
    """
    forced = os.environ.get(MODE_VARIABLE)
    if forced:
        return ModeChoice(check_mode(forced, f"the environment variable {MODE_VARIABLE}"))
    known = check_mode(mode)
    if rollout is None or known != "on":
        return ModeChoice(known)
    check_rollout(rollout)
    return ModeChoice("on" if rng.random() < rollout else "shadow", rollout)


def check_mode(mode: str, name: str = "mode") -> Mode:
    """Return `mode` if it is valid."""
    return cast("Mode", as_one_of(mode, name, MODES))


def check_rollout(rollout: float | None) -> float | None:
    """Return `rollout` if it is None or in [0, 1]."""
    if rollout is None:
        return None
    return as_number(
        rollout, "rollout", "a share of scans in [0, 1], 0.1 for a tenth", least=0.0, most=1.0
    )


def check_options(
    ruleset: str, *, mode: str, rollout: float | None, row_map: RowMap | None, seed: int | None
) -> None:
    """Refuse invalid options of a ranker before anything is opened."""
    check_name("ruleset", ruleset)
    check_mode(mode)
    check_rollout(rollout)
    if row_map is not None:
        from scanner_adapter.inputs.outcomes import RowMap

        as_kind(row_map, "row_map", RowMap, "a RowMap")
    if seed is not None:
        as_count(seed, "seed", least=0)


def as_store(store: Store, name: str) -> Store:
    """Return `store` if it is a store."""
    if isinstance(store, type) or not callable(getattr(store, "append_report", None)):
        raise refusal(store, name, "the address of a store, such as 'redis://host', or a store")
    return store


def with_spool(store: Store) -> Store:
    """Return the store with a spool: appends wait on disk during an outage."""
    if store.address == "memory://":
        return store
    # Imported here because memory:// also works on platforms without file locks.
    from bandit.stores.spool.store import SpoolingStore

    return SpoolingStore(store)


def refuse_misaligned(dropped: str | None, context: object, loadings: object) -> None:
    """Refuse arrays that are aligned with the symbols if some symbols were dropped."""
    if dropped is not None and (isinstance(context, tuple) or loadings is not None):
        raise InvalidContextError(
            f"{dropped}, but context or loadings are in the order of all given symbols; drop these "
            "symbols there too"
        )


def clean_universe(symbols: object) -> tuple[tuple[str, ...], str | None]:
    """Return each symbol once, and a text that says what was dropped (None if nothing was).

    Missing, blank and repeated entries are dropped; the first of each symbol stays.

    Raises
    ------
    InvalidInputError
        If `symbols` is not a list of strings.
    """
    if isinstance(symbols, str) or not hasattr(symbols, "__iter__"):
        return as_arms(symbols), None
    given = list(symbols)
    named = [each for each in given if not _is_blank(each)]
    try:
        once = list(dict.fromkeys(named))
    except TypeError:  # unhashable, so not a symbol: `as_arms` refuses it by name
        return as_arms(given), None
    n_blank, n_twice = len(given) - len(named), len(named) - len(once)
    parts = [
        f"{n} {what}" for n, what in ((n_twice, "repeated"), (n_blank, "blank or missing")) if n
    ]
    dropped = f"{' and '.join(parts)} symbols dropped" if parts else None
    return as_arms(once if parts else symbols), dropped


def _is_blank(entry: object) -> bool:
    # pandas reads an empty cell as NaN.
    is_nan = isinstance(entry, float) and math.isnan(entry)
    return entry is None or is_nan or (isinstance(entry, str) and not entry.strip())
