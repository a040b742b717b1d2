"""The result of tuning: the settings found, and their gain on scans the search never saw."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from bandit.evaluation.intervals import PairedDifference, paired_difference
from scanner_adapter.replay.report import ReplayReport
from scanner_adapter.settings import Settings
from scanner_adapter.tables import plain_table

DEFAULTS, TUNED = "defaults", "tuned"
MEASURES = ("recall_10", "recall_25")  # whose mean is the score
_BLOCK = 5  # scans resampled together, as in every report


@dataclass(frozen=True)
class TuneResult:
    """The outcome of `tune`.

    Attributes
    ----------
    found : Settings
        The best of the search.
    defaults : Settings
        What they are compared with.
    train_gain : float
        Score of the best above the defaults in the first half: chosen there, so it flatters.
    held_out : ReplayReport or None
        Both on the second half; None when nothing beat the defaults in the first.
    n_trials, n_pruned : int
        Finished trials, and those of them that were given up early.
    train, test : tuple of str
        First and last day of the two halves.
    n_train, n_test : int
        Measured scans in each.
    """

    found: Settings
    defaults: Settings
    train_gain: float
    held_out: ReplayReport | None
    n_trials: int
    n_pruned: int
    train: tuple[str, str]
    test: tuple[str, str]
    n_train: int
    n_test: int

    @property
    def gain(self) -> PairedDifference | None:
        """Score of the found settings above the defaults on the second half, scan by scan."""
        if self.held_out is None:
            return None
        tuned, default = (
            np.mean([self.held_out.results[name].values(m) for m in MEASURES], axis=0)
            for name in (TUNED, DEFAULTS)
        )
        return paired_difference(tuned, default, np.random.default_rng(0), block=_BLOCK)

    @property
    def is_better(self) -> bool:
        """Whether the whole 95 % interval of the gain lies above zero, and is one at all."""
        return self.gain is not None and self.gain.low > 0.0 and not self.n_fallback

    @property
    def n_fallback(self) -> int:
        """Later scans in which the defaults fell back to another order: no rival to gain on."""
        return 0 if self.held_out is None else self.held_out.results[DEFAULTS].n_fallback

    @property
    def settings(self) -> Settings:
        """What to use: the found settings if they are surely better, else the defaults."""
        return self.found if self.is_better else self.defaults

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        gain = self.gain
        if gain is None:
            return (
                "the defaults are as good: no trial beat them on the first half, so the second "
                "half was not needed"
            )
        if self.n_fallback:
            return (
                f"no gain can be claimed: in {self.n_fallback} of {gain.n} later scans the "
                "defaults' own order had fallen behind and was replaced by another; find out why "
                "first (scanrank replay, with a different --seed)"
            )
        if gain.low > 0.0:
            words = "tuning pays"
        elif gain.high < 0.0:
            words = "the defaults are better"
        else:
            words = "the defaults are as good"
        return (
            f"{words}: {points(gain.mean)} points, 95% {points(gain.low)} to {points(gain.high)} "
            f"(mean recall in 10% and 25%, {gain.n} scans not seen by the search)"
        )

    def remarks(self, *, is_forced: bool = False) -> list[str]:
        """Where settings come from, as comments of the file."""
        judged = f"Judged: {self.n_test} scans from {self.test[0]} on. "
        return [
            "Settings of scanrank; read by SymbolRanker.open(settings=...) and by --settings.",
            f"Written by `scanrank tune` from scans of {self.train[0]} to {self.test[1]}.",
            f"Searched: {self.n_trials} trials on {self.n_train} scans up to {self.train[1]}.",
            f"{judged if self.held_out is not None else ''}Verdict: {self.verdict}.",
            "These are the tuned settings nevertheless (--force)."
            if is_forced and not self.is_better
            else "These are the tuned settings."
            if self.is_better
            else "These are the defaults.",
        ]

    def to_json(self) -> str:
        """The result for machines; a value that is not known is null."""
        gain = self.gain
        by_measure = {}
        if self.held_out is not None:
            by_measure = {
                measure: asdict(self.held_out.difference(TUNED, DEFAULTS, measure))
                for measure in MEASURES
            }
        content = {
            "verdict": self.verdict,
            "is_better": self.is_better,
            "gain": None if gain is None else asdict(gain),
            "gain_by_measure": by_measure,
            "train_gain": self.train_gain,
            "found": _plain(self.found),
            "defaults": _plain(self.defaults),
            "settings": _plain(self.settings),
            "trials": self.n_trials,
            "pruned": self.n_pruned,
            "train": {"from": self.train[0], "to": self.train[1], "scans": self.n_train},
            "test": {"from": self.test[0], "to": self.test[1], "scans": self.n_test},
            "rows": [] if self.held_out is None else self.held_out.rows,
        }
        return json.dumps(content, indent=2, allow_nan=False)

    def settings_table(self) -> Table:
        """Every setting beside its default; 80 columns suffice."""
        title = f"Best of {self.n_trials} trials ({self.n_pruned} pruned)"
        table = plain_table(title, ("setting",), ("default", "found"))
        for name, default in _plain(self.defaults).items():
            found = _plain(self.found)[name]
            if isinstance(default, dict):
                for factor, weight in default.items():
                    table.add_row(f"weight of {factor}", f"{weight:g}", f"{found[factor]:g}")
            else:
                table.add_row(name, _shown(default), _shown(found))
        return table

    def gain_table(self) -> Table | None:
        """Both settings on the second half."""
        if self.held_out is None or self.n_fallback:
            return None
        title = f"On {self.n_test} later scans, {self.test[0]} to {self.test[1]}"
        table = plain_table(title, ("",), (DEFAULTS, TUNED, "difference", "95%"))
        for measure, words in zip(MEASURES, ("found in 10%", "found in 25%"), strict=True):
            difference = self.held_out.difference(TUNED, DEFAULTS, measure)
            means = [self.held_out.interval(name, measure).mean for name in (DEFAULTS, TUNED)]
            table.add_row(
                words, *(f"{mean:.3f}" for mean in means), f"{points(difference.mean)} points",
                f"{points(difference.low)} to {points(difference.high)}",
            )  # fmt: skip
        return table


def points(share: float) -> str:
    """Return a difference of shares in percentage points, with its sign.

    Examples
    --------
    >>> points(0.0012), points(-0.002), points(0.0001)
    ('+0.1', '-0.2', '0.0')
    """
    rounded = round(100.0 * share, 1)
    return f"{rounded:+.1f}" if rounded else "0.0"


def _plain(settings: Settings) -> dict[str, Any]:
    return {**settings.arguments(), "weights": dict(settings.weights)}


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}"
