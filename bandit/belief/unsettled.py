"""Reports of scans that have not ended: what only their end can teach.

Which ratings are a scan's best share is known when it ends. Until then its reports wait here, and
are part of the state, so that a snapshot made meanwhile by another scan loses none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.errors import IncompatibleStateError

Array = NDArray[np.float64]

# Scans that may wait: those that never end make room for later ones.
MOST_SCANS = 8
# Reported arms of a scan that wait; what comes later teaches the shared weights only. 20,000 rows
# of 60 columns are 5 MB.
MOST_ARMS = 20_000

_FIELDS = ("context", "reward", "rating", "counts")


@dataclass(frozen=True, slots=True)
class UnsettledScan:
    """One scan under way; never changed in place.

    Parameters
    ----------
    mean : array, shape (d,)
        Shared weights as they were expected when it was opened.
    worth : array, shape (n_cells,)
        What cells add to its linear predictors (`bandit.belief.cells`).
    parts : tuple of mappings
        One for each report: context (k, n_columns) float32, reward, rating and counts (k,); see
        `bandit.belief.thinning`.
    n_arms : int
        Rows in all parts.
    """

    mean: Array
    worth: Array
    parts: tuple[Mapping[str, NDArray[Any]], ...] = ()
    n_arms: int = 0

    def add(
        self,
        context: NDArray[np.floating],
        reward: Array,
        rating: NDArray[np.floating] | None,
        counts: Array,
    ) -> UnsettledScan:
        """Let a report wait; the context in the order of the ranker's columns."""
        room = MOST_ARMS - self.n_arms
        if room <= 0:
            return self
        unknown = np.full(reward.size, np.nan) if rating is None else rating
        part: dict[str, NDArray[Any]] = {
            "context": context[:room].astype(np.float32, copy=False),
            "reward": reward[:room].astype(np.float32),
            "rating": unknown[:room].astype(np.float64, copy=False),
            "counts": counts[:room].astype(np.float32),
        }
        parts, n_arms = (*self.parts, part), self.n_arms + part["reward"].size
        return UnsettledScan(self.mean, self.worth, parts, n_arms)

    def joined(self, n_columns: int) -> dict[str, NDArray[Any]]:
        """Return all reports as one; before a column was added it was unknown."""
        joined = {name: np.concatenate([part[name] for part in self.parts]) for name in _FIELDS[1:]}
        joined["context"] = np.full((joined["reward"].size, n_columns), np.nan, np.float32)
        start = 0
        for part in self.parts:
            rows, width = part["context"].shape
            joined["context"][start : start + rows, :width] = part["context"]
            start += rows
        return joined


def state(
    scans: Mapping[str, UnsettledScan], n_columns: int
) -> tuple[list[str], dict[str, NDArray[Any]]]:
    """Return the names of the scans and plain arrays, copies."""
    arrays: dict[str, NDArray[Any]] = {}
    for i, scan in enumerate(scans.values()):
        arrays[f"unsettled_{i}_mean"] = scan.mean.copy()
        arrays[f"unsettled_{i}_worth"] = scan.worth.copy()
        if scan.parts:
            joined = scan.joined(n_columns)
            arrays |= {f"unsettled_{i}_{name}": joined[name] for name in _FIELDS}
    return list(scans), arrays


def restored(names: list[str], arrays: Mapping[str, NDArray[Any]]) -> dict[str, UnsettledScan]:
    """Rebuild what `state` returned.

    Raises
    ------
    IncompatibleStateError
        When an array is missing.
    """
    scans = {}
    for i, name in enumerate(names):
        if f"unsettled_{i}_worth" not in arrays:
            raise IncompatibleStateError(
                f"the stored state names a scan {name!r} under way and lacks its reports; use "
                "another ruleset name"
            )
        mean, worth = (arrays[f"unsettled_{i}_{field}"] for field in ("mean", "worth"))
        scan = UnsettledScan(np.array(mean, np.float64), np.array(worth, np.float64))
        if f"unsettled_{i}_reward" in arrays:
            part = {
                field: np.array(arrays[f"unsettled_{i}_{field}"])
                for field in _FIELDS if f"unsettled_{i}_{field}" in arrays
            }  # fmt: skip
            part.setdefault("counts", np.ones(part["reward"].size, np.float32))  # older snapshots
            scan = replace(scan, parts=(part,), n_arms=part["reward"].size)
        scans[name] = scan
    return scans
