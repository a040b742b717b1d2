"""Compares prioritised scans with scans in the given order, from the journal.

The close entry of a scan records how many hits were found in the first tenth of its universe, and
the rollout probability with which it was prioritised. Scans of one probability differ only in the
draw, so they are compared with each other (`bandit.evaluation.lift`); otherwise raising a rollout
while hits become more common would look like a gain. Without a rollout the groups ran at different
times, in different markets, and the comparison says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.checks import refusal
from bandit.evaluation.intervals import Interval, PairedDifference, paired_difference
from bandit.evaluation.lift import lift
from bandit.stores import Store
from bandit.stores.names import START, check_name

# Hits found in this first share of the universe count as early.
EARLY_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Comparison:
    """High-value results in the first tenth of the universe, prioritised and in the given order.

    Parameters
    ----------
    prioritised, control : Interval
        Mean per scan with its 95 % interval; scans of each rollout probability have the same
        weight in both groups.
    lift, lift_low, lift_high : float
        Ratio of the means and its 95 % interval; NaN while a group has no scan, infinite if the
        control group found nothing.
    is_randomised : bool
        Whether a rollout drew which scans were prioritised. If not, different market days may
        explain the difference.
    rollouts : tuple of float
        Rollout probabilities, ascending; empty without a rollout.
    n_fallback : int
        Prioritised scans in a fallback order, used because the ranker's own order had found fewer
        hits. If there are any, no lift is claimed: it would be that of the fallback order.
    n_left_out : int
        Finished scans that ended before a tenth of their universe was scanned.
    shadow : PairedDifference
        Early hits of shadow scans in the ranker's order at their start, minus those they did find
        early. Both are of the same scans. Conservative, as it ignores learning within the scan.
    """

    prioritised: Interval
    control: Interval
    lift: float
    lift_low: float
    lift_high: float
    is_randomised: bool
    rollouts: tuple[float, ...]
    n_fallback: int
    n_left_out: int
    shadow: PairedDifference

    def __str__(self) -> str:
        """Return a report of a few lines."""
        lines = [
            f"{name}: {_in_words(group)}"
            for name, group in (("prioritised", self.prioritised), ("given order", self.control))
            if group.n
        ]
        if self.n_fallback:
            lines.append(
                f"no lift: in {self.n_fallback} prioritised scans another order replaced the "
                "ranker's own, which had fallen behind"
            )
        elif not math.isnan(self.lift):
            lines.append(
                f"lift {self.lift:.2f} (95% interval {self.lift_low:.2f} to "
                f"{self.lift_high:.2f}); {self._assignment()}"
            )
        elif self.control.n and not self.prioritised.n:
            lines.append("no prioritised scans yet")
        elif self.prioritised.n and not self.control.n:
            lines.append("no scans in the given order to compare with; run some with rollout=0.5")
        elif self.prioritised.n:
            lines.append(
                "no lift: no rollout probability has scans in both groups, so the groups cover "
                "different days"
            )
        if self.shadow.n:
            more = "more" if self.shadow.mean >= 0 else "fewer"
            ends = sorted(
                math.copysign(1.0, self.shadow.mean) * end
                for end in (self.shadow.low, self.shadow.high)
            )
            scans = f"{self.shadow.n} scan{'s' * (self.shadow.n != 1)}"
            lines.append(
                f"in shadow, scanrank's order would have found {abs(self.shadow.mean):.1f} {more} "
                f"early hits per scan ({ends[0]:.1f} to {ends[1]:.1f}, {scans})"
            )
        if self.n_left_out:
            lines.append(
                f"{self.n_left_out} scans ended before {EARLY_SHARE:.0%} of their symbols were "
                "scanned and are left out"
            )
        return "\n".join(lines)

    def _assignment(self) -> str:
        if not self.is_randomised:
            return "scans were not randomly assigned, so the two groups may cover different days"
        if len(self.rollouts) == 1:
            return f"scans were randomly assigned (rollout {self.rollouts[0]:g})"
        return (
            f"scans were randomly assigned, with {len(self.rollouts)} rollouts from "
            f"{self.rollouts[0]:g} to {self.rollouts[-1]:g}; only scans with the same rollout are "
            "compared"
        )


class ScanLog:
    """Close entries of one ruleset, each read once.

    Parameters
    ----------
    store : Store
    ruleset : str
    """

    def __init__(self, store: Store, ruleset: str) -> None:
        self._store = store
        self._ruleset = ruleset
        self.position = START  # journal position up to which it was read
        self._scans: list[Mapping[str, Any]] = []

    def catch_up(self) -> None:
        """Read the entries written since the last call.

        Raises
        ------
        StoreError
            If the journal cannot be read; entries read so far are kept.
        """
        for entry in self._store.read(self._ruleset, after=self.position):
            self.position = entry.position
            if entry.kind == "close" and "found_early" in entry.header:
                self._scans.append(entry.header)

    def comparison(self, seed: int = 0) -> Comparison:
        """Compare the scans read so far; the same seed gives the same intervals."""
        drawn = [scan for scan in self._scans if scan.get("rollout") is not None]
        scans = drawn or self._scans
        rng = np.random.default_rng(seed)
        early = _early(scans)
        known = ~np.isnan(early)
        is_on = np.array([scan["mode"] == "on" for scan in scans], bool)[known]
        share = float(is_on.mean()) if is_on.size else 0.0
        probability = [share if s.get("rollout") is None else float(s["rollout"]) for s in scans]
        found = lift(early[known], is_on, np.array(probability, np.float64)[known], rng)
        n_fallback = sum(scan["mode"] == "on" and bool(scan.get("fallback")) for scan in scans)
        lifts = (math.nan,) * 3 if n_fallback else (found.ratio, found.low, found.high)
        shadow = [scan for scan in self._scans if scan["mode"] == "shadow"]
        return Comparison(
            prioritised=found.treated,
            control=found.untreated,
            lift=lifts[0],
            lift_low=lifts[1],
            lift_high=lifts[2],
            is_randomised=bool(drawn),
            rollouts=tuple(sorted(set(probability))) if drawn else (),
            n_fallback=n_fallback,
            n_left_out=int((~known).sum()),
            shadow=paired_difference(_early(shadow, "would_find_early"), _early(shadow), rng),
        )


def compare(store: Store, ruleset: str) -> Comparison:
    """Compare prioritised scans of a ruleset with those in the given order, from its journal.

    Raises
    ------
    InvalidInputError
        If `store` is not a store, or `ruleset` is not a valid name.
    StoreError
        If the journal cannot be read.
    """
    if isinstance(store, type) or not callable(getattr(store, "read", None)):
        raise refusal(store, "store", "a store, such as store_from_url('sqlite:///PATH')")
    scans = ScanLog(store, check_name("ruleset", ruleset))
    scans.catch_up()
    return scans.comparison()


def _early(scans: list[Mapping[str, Any]], name: str = "found_early") -> NDArray[np.float64]:
    values = [math.nan if scan.get(name) is None else float(scan[name]) for scan in scans]
    return np.array(values, np.float64)


def _in_words(interval: Interval) -> str:
    low, high = f"{interval.low:.1f}", f"{interval.high:.1f}"
    return (
        f"{interval.mean:.1f} hits per scan in the first {EARLY_SHARE:.0%} of symbols "
        f"({low} to {high}, {interval.n} scan{'' if interval.n == 1 else 's'})"
    )
