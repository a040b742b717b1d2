"""Copies a ruleset's journal and snapshot from one store to another."""

from __future__ import annotations

from collections.abc import Iterable

from bandit.errors import InvalidInputError
from bandit.stores import Entry, Store
from bandit.stores.entries import sealed_again
from bandit.stores.names import START, position_key


def append_all(
    store: Store, ruleset: str, entries: Iterable[Entry], scans: set[str]
) -> dict[str, str]:
    """Append entries to a ruleset that is empty or already holds a part of them.

    Parameters
    ----------
    scans : set of str
        Ids of all scans among the entries.

    Returns
    -------
    dict of str to str
        New positions of the new entries, by their old positions.

    Raises
    ------
    InvalidInputError
        If the ruleset holds other scans: two histories cannot be merged.
    """
    for entry in store.read(ruleset):
        if entry.scan_id not in scans:
            raise InvalidInputError(
                f"ruleset {ruleset!r} of {store.address} already has a journal (scan "
                f"{entry.scan_id}); import under an unused ruleset name"
            )
    positions = {}
    for entry in entries:
        receipt = store.append_sealed(ruleset, sealed_again(entry))
        if receipt.position is not None:
            positions[entry.position] = receipt.position
    return positions


def copy_ruleset(source: Store, target: Store, ruleset: str) -> int:
    """Copy journal and snapshot of a ruleset into a store that has no such ruleset.

    After an interruption it can be called again. Status and control of running scans are not
    copied.

    Returns
    -------
    int
        Number of entries copied.

    Raises
    ------
    InvalidInputError
        If the target has a ruleset of that name with other scans, or a snapshot of it.
    StoreError
        If the source cannot be read: repair it first.
    """
    if target.load_snapshot(ruleset) is not None:
        raise InvalidInputError(
            f"ruleset {ruleset!r} of {target.address} already has learned state; copy to a store "
            "without this ruleset"
        )
    snapshot = source.load_snapshot(ruleset)
    scans = {entry.scan_id for entry in source.read(ruleset)}
    positions = append_all(target, ruleset, source.read(ruleset), scans)
    if snapshot is not None:
        covered = [
            new for old, new in positions.items()
            if position_key(old) <= position_key(snapshot.position)
        ]  # fmt: skip
        position = covered[-1] if covered else START
        header = dict(snapshot.header)
        is_whole = source.stats(ruleset).trimmed_position == START
        if header.get("fold_since", START) != START or not is_whole:
            # Earlier entries are in the snapshot only, or were folded with other settings.
            header["fold_since"] = position if position != START else "0-1"
        target.save_snapshot(
            ruleset, header=header, arrays=snapshot.arrays, position=position, expected_version=0
        )
    return len(positions)
