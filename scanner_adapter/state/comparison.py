"""Was prioritising worth it? Prioritised scans against those in the given order, from the journal.

Each finished scan leaves in its close entry how many high-value results its first tenth of the
universe brought. Where a rollout drew the mode of every scan, the two groups differ in nothing
else, and the ratio of their means is the effect of prioritising; otherwise they ran at other
times, on other markets, and the comparison says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.checks import refusal
from bandit.evaluation.intervals import (
    Interval,
    PairedDifference,
    bootstrap_interval,
    paired_difference,
)
from bandit.stores import Store
from bandit.stores.names import check_name

# Results that come in this share of the universe count as early.
EARLY_SHARE = 0.1
_N_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Comparison:
    """High-value results in the first tenth of the universe, prioritised and in the given order.

    Parameters
    ----------
    prioritised, control : Interval
        Mean per scan with its 95 % interval.
    lift, lift_low, lift_high : float
        Ratio of the means and its 95 % interval; NaN while a group has no scan, infinite where
        the control group found nothing.
    is_randomised : bool
        Whether a rollout drew which scans were prioritised. If not, the market of the days may
        explain the difference.
    shadow : PairedDifference
        What shadow scans would have found early in the ranker's order of their start, minus what
        they did find early: the same scans, twice. Without learning inside the scan, so on the
        cautious side.
    """

    prioritised: Interval
    control: Interval
    lift: float
    lift_low: float
    lift_high: float
    is_randomised: bool
    shadow: PairedDifference

    def __str__(self) -> str:
        """Say it in two lines."""
        groups = "drawn at random" if self.is_randomised else "not drawn at random: mind the days"
        return (
            f"prioritised {_words(self.prioritised)}; given order {_words(self.control)}\n"
            f"lift {self.lift:.2f} (95 % interval {self.lift_low:.2f} to {self.lift_high:.2f}); "
            f"groups {groups}"
        )


class ScanLog:
    """Close entries of one ruleset, read once each.

    Parameters
    ----------
    store : Store
    ruleset : str
    """

    def __init__(self, store: Store, ruleset: str) -> None:
        self._store = store
        self._ruleset = ruleset
        self._position = "0-0"
        self._scans: list[dict[str, Any]] = []

    def catch_up(self) -> None:
        """Read what was written since.

        Raises
        ------
        StoreError
            When the journal cannot be read; what was read so far is kept.
        """
        for entry in self._store.read(self._ruleset, after=self._position):
            self._position = entry.position
            # Scans of versions before this comparison existed have no count; they are passed over.
            if entry.kind == "close" and "found_early" in entry.header:
                self._scans.append(entry.header)

    def comparison(self, seed: int = 0) -> Comparison:
        """Compare the scans read so far; the same seed gives the same intervals."""
        drawn = [scan for scan in self._scans if scan.get("rollout") is not None]
        scans = drawn or self._scans
        rng = np.random.default_rng(seed)
        prioritised = _early([scan for scan in scans if scan["mode"] == "on"])
        control = _early([scan for scan in scans if scan["mode"] == "shadow"])
        shadow = [scan for scan in self._scans if scan["mode"] == "shadow"]
        lift, low, high = _ratio(prioritised, control, rng)
        return Comparison(
            prioritised=bootstrap_interval(prioritised, rng),
            control=bootstrap_interval(control, rng),
            lift=lift,
            lift_low=low,
            lift_high=high,
            is_randomised=bool(drawn),
            shadow=paired_difference(_early(shadow, "would_find_early"), _early(shadow), rng),
        )


def compare(store: Store, ruleset: str) -> Comparison:
    """Compare prioritised scans of a ruleset with those in the given order, from its journal.

    Raises
    ------
    InvalidInputError
        For what is no store, or no name of a ruleset.
    StoreError
        When the journal cannot be read.
    """
    if isinstance(store, type) or not callable(getattr(store, "read", None)):
        raise refusal(store, "store", "a store, such as store_from_url('sqlite:///PATH')")
    scans = ScanLog(store, check_name("ruleset", ruleset))
    scans.catch_up()
    return scans.comparison()


def _early(scans: list[dict[str, Any]], name: str = "found_early") -> NDArray[np.float64]:
    values = [math.nan if scan.get(name) is None else float(scan[name]) for scan in scans]
    return np.array(values, np.float64)


def _ratio(
    a: NDArray[np.float64], b: NDArray[np.float64], rng: np.random.Generator
) -> tuple[float, float, float]:
    """Ratio of means with a percentile bootstrap over the scans of either group."""
    a, b = a[~np.isnan(a)], b[~np.isnan(b)]
    if a.size == 0 or b.size == 0:
        return math.nan, math.nan, math.nan
    resampled_a = rng.choice(a, (_N_RESAMPLES, a.size)).mean(axis=1)
    resampled_b = rng.choice(b, (_N_RESAMPLES, b.size)).mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        lift = float(a.mean() / b.mean())
        ratios = resampled_a / resampled_b
    ratios = np.sort(ratios[~np.isnan(ratios)])
    if ratios.size == 0:
        return lift, math.nan, math.nan
    # By rank, not interpolated: between a finite and an infinite ratio there is no number.
    at = (np.array([0.025, 0.975]) * (ratios.size - 1)).round().astype(int)
    return lift, float(ratios[at[0]]), float(ratios[at[1]])


def _words(interval: Interval) -> str:
    low, high = f"{interval.low:.1f}", f"{interval.high:.1f}"
    return f"{interval.mean:.1f} early per scan ({low} to {high}, {interval.n} scans)"
