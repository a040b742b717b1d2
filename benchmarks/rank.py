"""How long does one step take: draw, score, pick and learn, beside plain numpy in one process.

    python -m benchmarks.rank [--arms 5000,50000,500000,1000000] [--columns 40] [--json FILE]

The reference is what any sampler must at least do: one normal number per arm, the best 50 by
`argpartition`, and an update of those 50. Ours draws shared weights and today's pattern, scores
the arms on 40 context columns and 10 similarity loadings, picks 50 (one of them at random) with
their propensities, and learns from 50 rewards. The belief has learned from 20,000 reports before
(a few days of a scanner); `cold` is the same without, in which the scan learns for itself.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bandit import Belief, BeliefSettings, OpenScan, Signal

BATCH = 50
LOADINGS = 10
STEPS = 15
SEEDS = {"factor.a": 0.4, "factor.b": 0.3, "factor.c": 0.2, "factor.d": 0.1}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arms", default="5000,50000,500000,1000000")
    parser.add_argument("--columns", type=int, default=40)
    parser.add_argument("--peers", action="store_true", help="also the peers, up to 500,000 arms")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = [
        measure(int(n), args.columns, n_learned)
        for n in args.arms.split(",")
        for n_learned in (20_000, 0)
    ]
    table = Table(title=f"one step of {BATCH} picks, medians of {STEPS}")
    for name in ("arms", "belief", "ours ms", "pick ms", "learn ms", "numpy ms", "ratio",
                 "state B/arm", "open s", "peak MiB"):  # fmt: skip
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            f"{row['arms']:,}", str(row["belief"]), f"{row['ours_ms']:.2f}",
            f"{row['pick_ms']:.2f}", f"{row['learn_ms']:.2f}",
            f"{row['numpy_ms']:.2f}", f"{row['ratio']:.2f}",
            f"{row['state_bytes_per_arm']:.0f}", f"{row['open_s']:.2f}", f"{row['peak_mib']:.0f}",
        )  # fmt: skip
    console = Console(width=110)
    console.print(table)
    slope = growth(rows)
    if not np.isnan(slope):
        console.print(
            f"learned belief: milliseconds grow as arms to the power {slope:.2f} (least squares "
            "over the sizes; 1 is linear)"
        )
    others: list[dict[str, Any]] = []
    if args.peers:
        from benchmarks import rank_peers

        sizes = [int(n) for n in args.arms.split(",") if int(n) <= 500_000]
        others = list(rank_peers.measure(sizes, args.columns))
        ours = {int(row["arms"]): float(row["ours_ms"]) for row in rows if row["belief"] != "cold"}
        console.print(rank_peers.table(others, ours))
    if args.json:
        args.json.write_text(json.dumps([*rows, *others], indent=1), encoding="utf-8")


def growth(rows: list[dict[str, float | int | str]]) -> float:
    """Return the exponent of our step's time over the number of arms; NaN for a single size."""
    learned = [row for row in rows if row["belief"] != "cold"]
    if len(learned) < 2:
        return float("nan")
    arms, ms = ([float(row[name]) for row in learned] for name in ("arms", "ours_ms"))
    return float(np.polyfit(np.log(arms), np.log(ms), 1)[0])


def measure(n: int, n_columns: int, n_learned: int) -> dict[str, float | int | str]:
    """Time steps over `n` arms, ours and the reference in turn."""
    rng = np.random.default_rng(0)
    context = rng.random((n, n_columns), np.float32) * np.float32(100)
    loadings = rng.standard_normal((n, LOADINGS)).astype(np.float32)
    columns = [*SEEDS, *(f"market.c{i}" for i in range(n_columns - len(SEEDS)))]
    ranker = Belief(BeliefSettings(seed_weights=SEEDS, rule=Signal()))
    truth = rng.normal(0.0, 0.5, n_columns)
    ranker.fold("open", {"scan_time": 0.0, "columns": columns}, (), {})
    for _ in range(0, n_learned, BATCH):
        rows = rng.choice(n, BATCH, replace=False)
        ranker.fold("report", *_report(rows, context, columns, truth, rng))
    if n_learned:
        ranker.fold("close", {}, (), {})
    ranker.fold("open", {"scan_time": 0.0, "columns": columns}, (), {})
    arms = [str(i) for i in range(n)]
    if n < 4 * BATCH * STEPS:
        raise SystemExit(f"{n} arms are too few for {STEPS} steps of {BATCH}")
    began = perf_counter()
    scan = OpenScan(ranker,
        "bench", arms, context, columns, rng=rng,
        loadings=loadings, blocks=["component"] * LOADINGS,
    )  # fmt: skip
    open_s = perf_counter() - began
    picks, learns, references = [], [], []
    reference = _reference(n, rng)
    for step in range(STEPS + 3):
        began = perf_counter()
        rows = scan.select(BATCH).arms
        picked = perf_counter()
        report = _report(rows, context, columns, truth, rng)
        reported = perf_counter()
        ranker.fold("report", *report)
        scan.observe(rows, np.full(BATCH, np.nan), report[2]["reward"])
        learned = perf_counter()
        reference()
        done = perf_counter()
        if step >= 3:  # the first steps warm the caches
            picks.append(picked - began)
            learns.append(learned - reported)
            references.append(done - learned)
    ours, plain = np.array(picks) + np.array(learns), np.array(references)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "arms": n,
        "belief": f"{n_learned:,} reports" if n_learned else "cold",
        "ours_ms": 1e3 * float(np.median(ours)),
        "pick_ms": 1e3 * float(np.median(picks)),
        "learn_ms": 1e3 * float(np.median(learns)),
        "numpy_ms": 1e3 * float(np.median(plain)),
        "ratio": float(np.median(ours / plain)),
        "state_bytes_per_arm": _state_bytes(ranker),
        "open_s": open_s,
        "peak_mib": peak / (1024 if sys.platform == "linux" else 1024**2),
    }


def _report(
    rows: NDArray[np.integer], context: NDArray[np.float32], columns: list[str],
    truth: NDArray[np.float64], rng: np.random.Generator,
) -> tuple[dict[str, object], list[str], dict[str, NDArray[np.float64]]]:  # fmt: skip
    """Return header, arms and arrays of a report whose rewards follow `truth`."""
    x = context[rows]
    chance = 1.0 / (1.0 + np.exp(3.0 - ((x - 50.0) / 50.0) @ truth))
    rewards = (rng.random(rows.size) < chance).astype(np.float64)
    header: dict[str, object] = {"scan_time": 0.0, "columns": columns}
    arrays = {"context": x.astype(np.float64), "reward": rewards, "probability": chance}
    return header, [str(row) for row in rows], arrays


def _reference(n: int, rng: np.random.Generator) -> Callable[[], None]:
    mean, precision = np.zeros(n), np.ones(n)

    def step() -> None:
        draw = rng.standard_normal(n)
        draw /= np.sqrt(precision)
        draw += mean
        best = np.argpartition(draw, n - BATCH)[n - BATCH :]
        precision[best] += 1.0
        mean[best] += (rng.random(BATCH) - mean[best]) / precision[best]

    return step


def _state_bytes(ranker: Belief) -> float:
    arrays = ranker.track.state().values()
    return sum(array.nbytes for array in arrays) / max(len(ranker.track.arms), 1)


if __name__ == "__main__":
    main()
