"""Is the promise to stop kept where it is used? ``python -m benchmarks.stopping``.

`RecallReached(r, c)` really stops the scans of a learner that starts empty, for several r and
c = 0.9, on every scanner; what a stopped scan leaves out is never seen. Two ways of use:

- *stopping*: the rule is asked in every scan, from the first one on;
- *never whole*: after five complete scans no scan is complete any more; where the rule does not
  stop one, a budget does.

A promise is broken where the rule stopped a scan below its target. Beside it, on the trajectories
of complete scans: the same estimate where it never stops anything (*complete*), and peers that do
nothing but stop (`benchmarks._stopping_peers`, extra ``bench``).

Printed: share of scans whose promise was kept with its exact 95 % interval, the same among scans
that the rule stopped, share of the universe scanned, mean recall. One scanner takes about five
minutes of one idle core for four targets and both ways.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import binomtest

from benchmarks import _data, _stopping_peers
from scanner_adapter.replay import Configuration, Ranked, ReplayLog
from scanner_adapter.run.protocol import ScanView
from scanner_adapter.run.stop_rules import RecallReached

SCANNERS = (_data.RATING, "breakout", "volume_surge", "reversal", "squeeze")
TARGETS = (0.8, 0.9, 0.95, 0.99)
CONFIDENCE = 0.9
WAYS = ("stopping", "never whole")  # beside "complete"
N_COMPLETE, BUDGET = 5, 0.95  # of "never whole"


@dataclass(frozen=True)
class Stops:
    """How the scans of one cell ended; arrays over its scans with a hit.

    Parameters
    ----------
    scanner, way : str
    target : float
    recall, scanned : list of float
        Share of the hits found, and of the universe scanned, when the scan ended.
    is_stopped : list of bool
        Whether the rule ended it.
    """

    scanner: str
    way: str
    target: float
    recall: list[float] = field(default_factory=list)
    scanned: list[float] = field(default_factory=list)
    is_stopped: list[bool] = field(default_factory=list)

    def add(self, n_found: int, n_hits: int, n_scanned: int, n: int, *, is_stopped: bool) -> None:
        """Add a scan; one without hits has nothing to promise."""
        if n_hits:
            self.recall.append(n_found / n_hits)
            self.scanned.append(n_scanned / n)
            self.is_stopped.append(is_stopped)

    @property
    def is_kept(self) -> NDArray[np.bool_]:
        """Whether each promise was kept; a scan that the rule did not stop breaks none."""
        reached = np.array(self.recall) >= self.target - 1e-9
        return np.asarray(reached | ~np.array(self.is_stopped, bool))


@dataclass
class Listener:
    """A stop rule that never stops: it notes the lower bound of the recall after each report."""

    low: list[tuple[int, float]] = field(default_factory=list)

    def reason(self, scan: ScanView) -> str | None:
        """See `StopRule`."""
        self.low.append((scan.n_scanned, scan.estimate(CONFIDENCE).recall_low))
        return None


@lru_cache(maxsize=1)
def log_of(scanner: str) -> ReplayLog:
    """The log of a scanner; one is kept."""
    return _data.log_of(scanner)


def _learner(log: ReplayLog, seed: int) -> Ranked:
    ranker = Configuration(seed=seed).open(log.rule, keeps_journal=False)
    return Ranked(ranker, batch_size=_stopping_peers.BATCH_SIZE)


def stop_scans(
    log: ReplayLog,
    days: NDArray[np.intp],
    scanner: str,
    way: str,
    target: float,
    *,
    warmup: int = _data.WARMUP,
    seed: int = 0,
) -> Stops:
    """Let the rule stop the scans of `days`; those after `warmup` count."""
    learner, found = _learner(log, seed), Stops(scanner, way, target)
    for number, scan in enumerate(log.scans(days)):
        n = len(scan.symbols)
        is_whole = way == "never whole" and number < N_COMPLETE
        learner.until = None if is_whole else RecallReached(target, CONFIDENCE)
        most = n if is_whole or way == "stopping" else int(BUDGET * n)
        visited = learner.visit(scan, most)
        if number >= warmup:
            found.add(
                int(scan.hits[visited].sum()), int(scan.hits.sum()), len(visited), n,
                is_stopped=len(visited) < most,
            )  # fmt: skip
    return found


def judge_complete(
    log: ReplayLog,
    days: NDArray[np.intp],
    scanner: str,
    targets: Sequence[float],
    peers: Sequence[str],
    *,
    warmup: int = _data.WARMUP,
    peer_every: int = 1,
    seed: int = 0,
) -> list[Stops]:
    """Let the estimate, and every `peer_every`-th scan the peers, judge complete trajectories."""
    learner, rng = _learner(log, seed), np.random.default_rng(seed)
    cells = {(way, r): Stops(scanner, way, r) for way in ("complete", *peers) for r in targets}
    for number, scan in enumerate(log.scans(days)):
        listener = Listener()
        learner.until = listener
        labels = scan.hits[learner.visit(scan, len(scan.symbols))]
        if number < warmup:
            continue
        n, n_hits = len(labels), int(labels.sum())
        for target in targets:
            ends = [n_scanned for n_scanned, low in listener.low if low >= target]
            end = min(ends, default=n)
            cells["complete", target].add(
                int(labels[:end].sum()), n_hits, end, n, is_stopped=end < n
            )
            for peer in peers if (number - warmup) % peer_every == 0 and n_hits else ():
                end, n_found = _stopping_peers.PEERS[peer](labels, target, CONFIDENCE, rng)
                cells[peer, target].add(n_found, n_hits, end, n, is_stopped=end < n)
    return list(cells.values())


def row_of(cell: Stops) -> dict[str, str | float | int]:
    """One cell as numbers."""
    kept, stopped = cell.is_kept, np.array(cell.is_stopped, bool)
    interval = binomtest(int(kept.sum()), len(kept)).proportion_ci(method="exact")
    return {
        "scanner": cell.scanner, "way": cell.way, "target": cell.target, "scans": len(kept),
        "kept": float(kept.mean()), "kept_low": interval.low, "kept_high": interval.high,
        "stopped": float(stopped.mean()),
        "kept_of_stopped": float(kept[stopped].mean()) if stopped.any() else 1.0,
        "scanned": float(np.mean(cell.scanned)), "recall": float(np.mean(cell.recall)),
    }  # fmt: skip


def table(cells: Sequence[Stops]) -> Table:
    """One row for each scanner, way and target."""
    shown = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("scanner", "way"):
        shown.add_column(name, no_wrap=True)
    for name in (
        "target",
        "scans",
        "kept",
        "95 %",
        "stopped",
        "kept of those",
        "scanned",
        "recall",
    ):
        shown.add_column(name, justify="right", no_wrap=True)
    for cell in cells:
        row = row_of(cell)
        shown.add_row(
            cell.scanner, cell.way, f"{cell.target:g}", str(row["scans"]), f"{row['kept']:.3f}",
            f"{row['kept_low']:.3f}-{row['kept_high']:.3f}", f"{row['stopped']:.2f}",
            f"{row['kept_of_stopped']:.3f}", f"{row['scanned']:.3f}", f"{row['recall']:.3f}",
        )  # fmt: skip
    return shown


def pooled(cells: Sequence[Stops], way: str) -> str:
    """One line on all cells of a way."""
    its = [cell for cell in cells if cell.way == way]
    kept = np.concatenate([cell.is_kept for cell in its])
    short = [cell for cell in its if float(row_of(cell)["kept_high"]) < CONFIDENCE]
    named = ", ".join(f"{cell.scanner} {cell.target:g}" for cell in short) or "none"
    return (
        f"{way}: {kept.mean():.1%} of {len(kept)} promises kept ({CONFIDENCE:.0%} promised); "
        f"cells whose interval stays below: {named}"
    )


def _run(scanner: str, way: str, target: float, scans: int, to: str, seed: int) -> list[Stops]:
    log = log_of(scanner)
    return [stop_scans(log, log.days(None, to)[-scans:], scanner, way, target, seed=seed)]


def _run_complete(
    scanner: str, targets: Sequence[float], scans: int, to: str, seed: int,
    peers: Sequence[str], peer_every: int,
) -> list[Stops]:  # fmt: skip
    log = log_of(scanner)
    days = log.days(None, to)[-scans:]
    return judge_complete(log, days, scanner, targets, peers, peer_every=peer_every, seed=seed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Stop scans and print which promises were kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stopping", description=__doc__)
    parser.add_argument("--scanner", nargs="+", choices=SCANNERS, default=list(SCANNERS))
    parser.add_argument(
        "--way", nargs="+", choices=(*WAYS, "complete"), default=[*WAYS, "complete"]
    )
    parser.add_argument("--target", nargs="+", type=float, default=list(TARGETS))
    peers = list(_stopping_peers.PEERS)
    parser.add_argument("--peers", nargs="*", choices=peers, default=peers)
    parser.add_argument("--peer-every", type=int, default=5, help="peers judge every n-th scan")
    parser.add_argument("--scans", type=int, default=_data.N_SCANS, help="warm-up included")
    parser.add_argument(
        "--development", action="store_true", help=f"only scans up to {_data.DEVELOPMENT_END}"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="replays at a time")
    parser.add_argument("--json", type=Path, help="write every cell to this file")
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read by the processes below
    to = _data.DEVELOPMENT_END if chosen.development else _data.PERIOD_END
    how = (chosen.scans, to, chosen.seed)
    cells: list[Stops] = []
    with ProcessPoolExecutor(chosen.jobs, mp_context=get_context("spawn")) as pool:
        pending = []
        for scanner in chosen.scanner:
            for way in chosen.way:
                if way == "complete":
                    args = (scanner, chosen.target, *how, chosen.peers, chosen.peer_every)
                    pending.append(pool.submit(_run_complete, *args))
                    continue
                pending += [pool.submit(_run, scanner, way, r, *how) for r in chosen.target]
        for future in pending:
            cells += future.result()
            print(f"done: {cells[-1].scanner}, {cells[-1].way}", file=sys.stderr, flush=True)
            if chosen.json is not None:  # a long run that ends early keeps them
                rows = [row_of(cell) | asdict(cell) for cell in cells]
                chosen.json.write_text(json.dumps(rows, indent=2, allow_nan=False) + "\n")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    console.print(table(cells))
    for way in dict.fromkeys(cell.way for cell in cells):
        console.print(pooled(cells, way))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
