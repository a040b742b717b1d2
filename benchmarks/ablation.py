"""Does every part of the learner pay for itself? ``python -m benchmarks.ablation``.

Each part is switched off for itself, on the cases of `benchmarks.quality` and the same scans. What
is printed is what the part is worth: found with it minus found without it, in points of recall,
with the 95 % interval of the paired difference. A part may be worth nothing to a scanner, but
nowhere should it cost more than half a point.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bandit.expansion import Expansion
from benchmarks import _data
from benchmarks.quality import BATCH_SIZE, CASES, replay_case
from scanner_adapter.replay import Configuration, Order, Ranked, ReplayLog, ReplayReport
from scanner_adapter.replay.scans import ReplayScan

MEASURES = ("recall_10", "recall_25")


class WithoutArmEffects(Ranked):
    """Arms are worth what their contexts are worth: the variance of their effects stays zero."""

    def visit(self, scan: ReplayScan, n_visits: int) -> NDArray[np.intp]:
        """See `Order.visit`."""
        self.ranker.learned.ranker.effect_variance = 0.0
        return super().visit(scan, n_visits)


def without_arm_effects(log: ReplayLog, seed: int) -> Order:
    """Leave out what arms are worth beyond their contexts."""
    ranker = Configuration(seed=seed).open(log.rule)
    return WithoutArmEffects(ranker, name="arm effects", batch_size=BATCH_SIZE)


def without_hinges(log: ReplayLog, seed: int) -> Order:
    """Leave sub-scores straight; products stay."""
    opened = Configuration(seed=seed).open(log.rule)
    ranker = opened.learned.ranker
    settings = ranker.settings

    def straight(columns: Sequence[str]) -> Expansion:
        n_plain = len(settings.seed_weights)
        return Expansion(columns, n_plain=n_plain, crossed=settings.crossed, upper=(), lower=())

    # Nobody needs this as a setting, so it is none; the belief is still empty here.
    ranker._expansion = straight  # type: ignore[method-assign]
    return Ranked(opened, name="hinges", batch_size=BATCH_SIZE)


def _without(part: str, **settings: object) -> Callable[[ReplayLog, int], Order]:
    def order(log: ReplayLog, seed: int) -> Order:
        ranker = Configuration(seed=seed, settings=settings).open(log.rule)
        return Ranked(ranker, name=part, batch_size=BATCH_SIZE)

    return order


WITHOUT: dict[str, Callable[[ReplayLog, int], Order]] = {
    "arm effects": without_arm_effects,
    "similarity": _without("similarity", similarity=False),
    "hinges": without_hinges,
    "products": _without("products", products=False),
    "draws": _without("draws", exploration=0.0),
    "random share": _without("random share", random_share=0.0),
}


def run_case(name: str, parts: Sequence[str], n_scans: int, to: str, seed: int) -> ReplayReport:
    """Replay one case with everything ("scanrank"), and without each of `parts`."""

    def orders(log: ReplayLog) -> list[str | Order]:
        whole = Ranked(Configuration(seed=seed).open(log.rule), batch_size=BATCH_SIZE)
        return [whole, *(WITHOUT[part](log, seed) for part in parts)]

    return replay_case(CASES[name], orders, n_scans, to)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what each part is worth in each case."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=__doc__)
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--part", nargs="+", choices=WITHOUT, default=list(WITHOUT))
    parser.add_argument("--scans", type=int, default=_data.N_SCANS, help="warm-up included")
    parser.add_argument("--development", action="store_true", help="scans up to the end of 2018")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="cases at a time")
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _data.contexts()
    to = _data.DEVELOPMENT_END if chosen.development else "2020-12-31"
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    with ProcessPoolExecutor(chosen.jobs, mp_context=get_context("spawn")) as pool:
        pending = {
            name: pool.submit(run_case, name, chosen.part, chosen.scans, to, chosen.seed)
            for name in chosen.case
        }
        for name, future in pending.items():
            console.print(_table(name, chosen.part, future.result()), "")
    return 0


def _table(name: str, parts: Sequence[str], report: ReplayReport) -> Table:
    shown = Table(
        title=f"{name} · {len(report.dates)} scans: what each part is worth, in points",
        title_justify="left", box=None, padding=(0, 2, 0, 0),
    )  # fmt: skip
    shown.add_column("part", no_wrap=True)
    for heading in ("in 10 %", "in 25 %"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for part in parts:
        ahead = [report.difference("scanrank", part, measure) for measure in MEASURES]
        shown.add_row(
            part,
            *(f"{100 * d.mean:+.2f} ({100 * d.low:+.2f} to {100 * d.high:+.2f})" for d in ahead),
        )
    return shown


if __name__ == "__main__":
    raise SystemExit(main())
