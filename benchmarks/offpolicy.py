"""Do off-policy intervals hold the truth? ``python -m benchmarks.offpolicy``.

The ranker scans a log and stops early, each time with another seed; all that it did not visit is
hidden. From random choices of such scans each estimator says what other orders would have found,
with a 95 % interval, and the whole log says what they really would have. The rule is the default
one, the top 5 %: how high that starts is not known of a scan that was stopped, so its last estimate
judges. ``--log bundled`` needs no other data.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from rich.console import Console
from rich.table import Table

from bandit.errors import UnanswerableError
from bandit.evaluation.offpolicy import BIAS, LoggedScan, Method, estimate_recall
from bandit.rewards import rule_from_text
from benchmarks._data import ratings_log
from scanner_adapter.inputs.context import MarketFacts
from scanner_adapter.inputs.loadings import half_precision
from scanner_adapter.replay import Configuration, Log, Ranked, bundled_log
from scanner_adapter.replay.journals.journal_scan import FactsOf
from scanner_adapter.replay.journals.off_policy import METHODS, ORDERS, SHARES, logged_scans

STOPS = (0.10, 0.25)

Key = tuple[str, float]
# Of one stopped scan, for each order and share: the logged scan, hits of the target, all hits.
Truth = dict[Key, tuple[LoggedScan, float, float]]


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
) -> Iterator[Truth]:
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
    left_out: list[str] = []
    for stopped, hit in zip(
        logged_scans(journal, facts_of, log.rule, left_out=left_out), hits, strict=True
    ):
        truth: Truth = {}
        for order in ORDERS:
            for first in SHARES:
                logged = stopped.toward(order, first)
                assert logged is not None
                truth[order, first] = logged, float(hit @ logged.target), float(hit.sum())
        yield truth


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
    inside: defaultdict[tuple[Method, Key], list[bool]] = defaultdict(list)
    errors: defaultdict[tuple[Method, Key], list[float]] = defaultdict(list)
    refused: Counter[tuple[Method, Key]] = Counter()
    for seed in range(options.seeds):
        scans = list(
            stopped_scans(
                log, facts_of, seed=seed, stop=stop, share=options.random_share,
                batch=options.batch, n_scans=n_scans,
            )
        )[1:]  # before the first nothing was ever seen  # fmt: skip
        rng = np.random.default_rng(seed)
        for _ in range(options.trials):
            chosen = [scans[i] for i in rng.choice(len(scans), len(scans) // 2, replace=False)]
            for key in chosen[0]:
                logged, found, hits = zip(*(scan[key] for scan in chosen), strict=True)
                truth = sum(found) / sum(hits)
                for method in METHODS:
                    try:
                        estimate = estimate_recall(logged, method=method)
                    except UnanswerableError:
                        refused[method, key] += 1
                        continue
                    inside[method, key].append(estimate.low <= truth <= estimate.high)
                    errors[method, key].append(estimate.recall - truth)
    console = Console()
    table = Table(
        title=f"{options.seeds} journals x {options.trials} choices of {(n_scans - 1) // 2} scans "
        f"stopped at {stop:.0%}, {options.random_share:.0%} at random, 95 % intervals"
    )
    for name in ("order", "first", "method", "truth inside", "bias", "error", "refused"):
        table.add_column(name, justify="left" if name in ("order", "method") else "right")
    for order in ORDERS:
        for share in SHARES:
            for method in METHODS:
                row, error = inside[method, (order, share)], errors[method, (order, share)]
                n_refused = refused[method, (order, share)]
                shown = ("-", "-", "-") if not row else (
                    f"{np.mean(row):.1%}", f"{np.mean(error):+.3f}",
                    f"{np.sqrt(np.mean(np.square(error))):.3f}",
                )  # fmt: skip
                table.add_row(order, f"{share:.0%}", method, *shown, str(n_refused))
    console.print(table)
    for each in METHODS:
        every = [is_inside for (m, _), row in inside.items() if m == each for is_inside in row]
        if every:
            console.print(f"{each}: {np.mean(every):.1%} of {len(every)}; {BIAS[each]}")


if __name__ == "__main__":
    main()
