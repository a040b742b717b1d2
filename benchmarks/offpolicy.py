"""Do off-policy intervals hold the truth? ``python -m benchmarks.offpolicy``.

The ranker scans a log and stops early, each time with another seed; all that it did not visit is
hidden. From random choices of such scans each estimator says what other orders would have found,
with a 95 % interval, and the whole log says what they really would have. The rule is the default
one, the top 5 %: how high that starts is not known of a scan that was stopped, and is estimated
from all chosen scans together. ``--log bundled`` needs no other data.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bandit.errors import UnanswerableError
from bandit.evaluation.offpolicy import BIAS, Method, estimate_recall
from bandit.rewards import rule_from_text
from benchmarks._data import ratings_log
from scanner_adapter.inputs.context import MarketFacts
from scanner_adapter.inputs.loadings import half_precision
from scanner_adapter.replay import Configuration, Log, Ranked, bundled_log
from scanner_adapter.replay.journals.journal_scan import FactsOf
from scanner_adapter.replay.journals.off_policy import (
    METHODS,
    ORDERS,
    SHARES,
    StoppedScan,
    logged_scans,
    with_limits,
)

STOPS = (0.10, 0.25)

Key = tuple[str, float]
Scan = tuple[StoppedScan, NDArray[np.bool_]]  # a stopped scan, and what are hits in truth


def facts_of_days(log: Log, n_scans: int | None = None) -> FactsOf:
    """What bars would give again: the log has it, day by day."""
    days = log.days()[:n_scans]
    known = {
        str(day): MarketFacts(
            scan.sub_score_names, scan.sub_scores, half_precision(scan.loadings.values),
            scan.loadings.names, str(day),
        )
        for day, scan in zip(log.dates[days], log.scans(days), strict=True)
    }  # fmt: skip
    return lambda _symbols, as_of: known[as_of]


def stopped_scans(
    log: Log, facts_of: FactsOf, *, seed: int, stop: float, share: float, batch: int, n_scans: int
) -> list[Scan]:
    """Scan the log, each scan stopped early; what was hidden goes into the truth only."""
    ranker = Configuration(seed=seed, settings={"random_share": share}).open(log.rule)
    learner = Ranked(ranker, batch_size=batch)
    hits = []
    for scan in log.scans(log.days()[:n_scans]):
        learner.visit(scan, int(stop * len(scan.symbols)))
        hits.append(scan.hits)
    journal = list(ranker.store.read("replay"))
    for entry in journal:
        if entry.kind == "open":  # as if bars had been the source
            entry.header["as_of"] = str(np.datetime64(0, "D") + int(entry.header["scan_time"]))
    scans = logged_scans(journal, facts_of, log.rule, left_out=[])
    return list(zip(scans, hits, strict=True))


def main() -> None:
    """Print in how many trials each interval held the truth."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--log", choices=("ratings", "bundled"), default="ratings")
    parser.add_argument("--hit", default="top:0.05")
    parser.add_argument("--stop", type=float, nargs="*", default=STOPS)
    parser.add_argument("--random-share", type=float, default=0.02)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--scans", type=int, default=200, help="of each journal")
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--trials", type=int, default=5, help="choices of half of each journal")
    options = parser.parse_args()
    rule = rule_from_text(options.hit)
    log = bundled_log(rule) if options.log == "bundled" else replace(ratings_log(), rule=rule)
    n_scans = min(options.scans, len(log.days()))
    facts_of = facts_of_days(log, n_scans)
    for stop in options.stop:
        judge(log, facts_of, stop, n_scans, options)


def judge(
    log: Log, facts_of: FactsOf, stop: float, n_scans: int, options: argparse.Namespace
) -> None:
    """Print the table for scans that stop at one share of their symbols."""
    # Of each answer: whether the truth is in its interval, its error, and half its width.
    told: defaultdict[tuple[Method, Key], list[tuple[bool, float, float]]] = defaultdict(list)
    refused: Counter[tuple[Method, Key]] = Counter()
    for seed in range(options.seeds):
        scans = stopped_scans(
            log, facts_of, seed=seed, stop=stop, share=options.random_share,
            batch=options.batch, n_scans=n_scans,
        )[1:]  # before the first nothing was ever seen  # fmt: skip
        rng = np.random.default_rng(seed)
        for _ in range(options.trials):
            chosen = [scans[i] for i in rng.choice(len(scans), len(scans) // 2, replace=False)]
            judged = with_limits([scan for scan, _ in chosen], log.rule)
            hits = [hit for _, hit in chosen]
            for key in product(ORDERS, SHARES):
                logged = [target for scan in judged if (target := scan.toward(*key))]
                found = sum(float(h @ each.target) for h, each in zip(hits, logged, strict=True))
                truth = found / sum(float(h.sum()) for h in hits)
                for method in METHODS:
                    try:
                        estimate = estimate_recall(logged, method=method)
                    except UnanswerableError:
                        refused[method, key] += 1
                        continue
                    is_inside = estimate.low <= truth <= estimate.high
                    half = (estimate.high - estimate.low) / 2.0
                    told[method, key].append((is_inside, estimate.recall - truth, half))
    console = Console()
    table = Table(
        title=f"{options.seeds} journals x {options.trials} choices of {(n_scans - 1) // 2} scans "
        f"stopped at {stop:.0%}, {options.random_share:.0%} at random, 95 % intervals"
    )
    for name in ("order", "first", "method", "truth inside", "bias", "error", "±", "refused"):
        table.add_column(name, justify="left" if name in ("order", "method") else "right")
    for key, method in product(product(ORDERS, SHARES), METHODS):
        row = np.array(told[method, key] or np.full((1, 3), np.nan))
        shown = (
            f"{row[:, 0].mean():.1%}", f"{row[:, 1].mean():+.3f}",
            f"{np.sqrt((row[:, 1] ** 2).mean()):.3f}", f"{row[:, 2].mean():.3f}",
        )  # fmt: skip
        table.add_row(key[0], f"{key[1]:.0%}", method, *shown, str(refused[method, key]))
    console.print(table)
    for each in METHODS:
        every = [row[0] for (method, _), rows in told.items() if method == each for row in rows]
        if every:
            console.print(f"{each}: {np.mean(every):.1%} of {len(every)}; {BIAS[each]}")


if __name__ == "__main__":
    main()
