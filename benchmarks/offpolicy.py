"""Do off-policy intervals hold the truth? ``python -m benchmarks.offpolicy``.

The ranker scans the bundled log and stops early, each time with another seed; all that it did not
visit is hidden. From random choices of 40 such scans each estimator says what other orders would
have found, with a 95 % interval, and the whole log says what they really would have. A hit is a
rating above a fixed limit, so that what the scan counted as a hit is one. Needs no other data.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np
from rich.console import Console
from rich.table import Table

from bandit.errors import UnanswerableError
from bandit.evaluation.offpolicy import BIAS, LoggedScan, Method, estimate_recall
from bandit.rewards import Threshold
from scanner_adapter.inputs.context import MarketFacts
from scanner_adapter.replay import Configuration, Ranked, RecordedLog, bundled_log
from scanner_adapter.replay.journals.journal_scan import FactsOf
from scanner_adapter.replay.journals.off_policy import METHODS, ORDERS, SHARES, logged_scans

LIMIT = 13.0  # reached by one rating in eleven
N_SCANS, SEEDS = 40, 6
BATCH, STOP, QUOTA = 20, 0.4, 0.1

Key = tuple[str, float]
# Of one stopped scan, for each order and share: the logged scan, hits of the target, all hits.
Truth = dict[Key, tuple[LoggedScan, float, float]]


def facts_of_days(log: RecordedLog) -> FactsOf:
    """What bars would give again: the log has it, day by day."""
    known = {
        str(date): MarketFacts(
            scan.sub_score_names,
            scan.sub_scores,
            scan.loadings.values,
            scan.loadings.names,
            str(date),
        )
        for date, scan in zip(log.dates, log.recorded, strict=True)
    }
    return lambda _symbols, as_of: known[as_of]


def stopped_scans(log: RecordedLog, seed: int) -> Iterator[Truth]:
    """Scan the log, each scan stopped early; what was hidden goes into the truth only."""
    ranker = Configuration(seed=seed, settings={"random_share": QUOTA}).open(log.rule)
    learner = Ranked(ranker, batch_size=BATCH)
    hits = []
    for scan in log.scans(log.days()):
        learner.visit(scan, int(STOP * len(scan.symbols)))
        hits.append(scan.hits)
    journal = list(ranker.store.read("replay"))
    for entry in journal:
        if entry.kind == "open":  # as if bars had been the source
            entry.header["as_of"] = str(np.datetime64(0, "D") + int(entry.header["scan_time"]))
    for stopped, hit in zip(
        logged_scans(journal, facts_of_days(log), log.rule, left_out=[]), hits, strict=True
    ):
        truth: Truth = {}
        for order in ORDERS:
            for share in SHARES:
                logged = stopped.toward(order, share)
                assert logged is not None
                truth[order, share] = logged, float(hit @ logged.target), float(hit.sum())
        yield truth


def main() -> None:
    """Print in how many trials each interval held the truth."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=300)
    trials = parser.parse_args().trials
    log = bundled_log(Threshold(LIMIT))
    per_seed = math.ceil(trials / SEEDS)
    inside: defaultdict[tuple[Method, Key], list[bool]] = defaultdict(list)
    errors: defaultdict[tuple[Method, Key], list[float]] = defaultdict(list)
    refused: Counter[tuple[Method, Key]] = Counter()
    for seed in range(SEEDS):
        scans = list(stopped_scans(log, seed))[1:]  # before the first nothing was ever seen
        rng = np.random.default_rng(seed)
        for _ in range(min(per_seed, trials - seed * per_seed)):
            chosen = [scans[i] for i in rng.choice(len(scans), N_SCANS, replace=False)]
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
    table = Table(title=f"{trials} trials of {N_SCANS} scans stopped at {STOP:.0%}, 95 % intervals")
    for name in ("order", "first", "method", "truth inside", "bias", "error", "refused"):
        table.add_column(name, justify="left" if name in ("order", "method") else "right")
    for (method, key), row in inside.items():
        error = np.array(errors[method, key])
        table.add_row(
            key[0],
            f"{key[1]:.0%}",
            method,
            f"{np.mean(row):.1%}",
            f"{error.mean():+.3f}",
            f"{np.sqrt(np.mean(error**2)):.3f}",
            str(refused[method, key]),
        )
    console.print(table)
    for each in METHODS:
        every = [is_inside for (m, _), row in inside.items() if m == each for is_inside in row]
        console.print(f"{each}: {np.mean(every):.1%} of {len(every)}; {BIAS[each]}")


if __name__ == "__main__":
    main()
