"""One scan on 1, 2, 4 and 8 worker processes: how much sooner, and is anything lost?

Run ``python -m benchmarks.scale`` (about five minutes; ``--quick`` one). It starts its own server
on a unix socket, or takes a file with ``--file``. Evaluations sleep, as those that wait for a data
vendor do, so that the workers share two cores without sharing the work that is measured. Every
worker ranks and learns for itself and they meet in the store only. The ruleset has learned from two
scans before.

ideal       seconds that the sleeping alone takes, spread evenly
efficiency  ideal over the time from when all workers are ready until the last one has closed
machine     the efficiency of as many processes that evaluate their shares and do nothing else: what
            a busy machine leaves of the ideal
curve       by how many points the share of hits found differs from that of one worker, on average
            over the scan, and at a tenth and a quarter of the universe
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import multiprocessing
import os
import platform
import queue
import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.belief.belief import BeliefSettings
from bandit.rewards import TopShare
from bandit.stores import Store, store_from_url
from bandit.stores.spool.store import SpoolingStore
from benchmarks._server import File, Server, own_file, own_server
from scanner_adapter import SymbolRanker
from scanner_adapter.inputs.context import CROSSED, seed_weights
from scanner_adapter.state.check import Fold, check

RULES = "scale"
ON_FILE = False  # the store: a file, or a server
TOP = 0.05
START = datetime(2024, 1, 1, 21, tzinfo=UTC)
SETTINGS = BeliefSettings(seed_weights=seed_weights(None), rule=TopShare(TOP), crossed=CROSSED)
COLUMNS = tuple(f"{factor}.c{n}" for factor in ("market", "technical") for n in range(15))
_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class World:
    """Symbols whose ratings follow their contexts; the same in every process."""

    n: int

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        return tuple(f"S{number}" for number in range(self.n))

    def context(self, day: int) -> NDArray[np.float32]:
        """Sub-scores, shape (n, 30)."""
        rng = np.random.default_rng([day, self.n])
        return np.asarray(rng.random((self.n, len(COLUMNS)), np.float32) * np.float32(100))

    def ratings(self, day: int) -> NDArray[np.float64]:
        """Ratings, shape (n,): two thirds of their variance is in the context."""
        weights = np.random.default_rng(0).normal(0.0, 1.0, len(COLUMNS))
        signal = (self.context(day).astype(np.float64) - 50.0) @ weights
        noise = np.random.default_rng([day, self.n, 1]).standard_normal(self.n)
        return np.asarray(signal / signal.std() + 0.7 * noise)

    def inputs(self, day: int) -> dict[str, Any]:
        return {
            "context": (COLUMNS, self.context(day)),
            "now": START + timedelta(days=day),
            "scan_id": f"day{day}",
        }


@dataclass(frozen=True)
class Run:
    """One scan by several workers."""

    n_workers: int
    ideal_s: float
    wall_s: float
    cpu_s: float  # of all workers
    curve: NDArray[np.float64]  # (101,): share of the hits found at 0, 1, ... 100 % of the scan
    n_lost: int  # symbols without an outcome in the journal, or with two
    n_again: int  # evaluated more than once
    n_killed: int
    is_equal: bool  # belief in the store = fold of its journal from zero, bit for bit

    @property
    def efficiency(self) -> float:
        """Share of the workers' time that went into evaluations."""
        return self.ideal_s / self.wall_s


def learn_before(store: Store, world: World, n_scans: int) -> None:
    """Scan some days alone and at full speed, so that the measured scan knows something."""
    ranker = SymbolRanker(store, ruleset=RULES, settings=SETTINGS, seed=0)
    for day in range(n_scans):
        ratings = world.ratings(day)
        with ranker.start_scan(world.symbols, **world.inputs(day)) as scan:
            for batch in scan.batches(250):
                scan.report({symbol: ratings[int(symbol[1:])] for symbol in batch})


def _work(
    server: Server | File, world: World, day: int, worker: int, cost_s: float, batch: int | None,
    ready: Any, go: Any, told: Any, seed: int,
) -> None:  # fmt: skip
    """Be one worker of the scan of `day`."""
    store = SpoolingStore(store_from_url(server.url), server.directory / f"spool-{worker}")
    ranker = SymbolRanker(store, ruleset=RULES, settings=SETTINGS, seed=seed + worker)
    ratings = world.ratings(day)
    evaluated: list[str] = []

    def evaluate(symbol: str) -> float:
        evaluated.append(symbol)
        time.sleep(cost_s)
        return float(ratings[int(symbol[1:])])

    scan = ranker.start_scan(
        world.symbols, **world.inputs(day), shared=True, worker=f"w{worker}", lease_s=2.0
    )
    ready.release()
    go.wait()
    cpu = time.process_time()
    with ThreadPoolExecutor(1) as pool:
        summary = scan.run(evaluate, executor=pool, batch_size=batch)
    told.put((worker, time.monotonic(), time.process_time() - cpu, evaluated, summary.failure))
    store.close()


def _evaluate_only(n: int, cost_s: float, ready: Any, go: Any) -> None:
    ready.release()
    go.wait()
    with ThreadPoolExecutor(1) as pool:
        for _ in pool.map(time.sleep, [cost_s] * n):
            pass


def machine_efficiency(n: int, n_workers: int, cost_s: float) -> float:
    """Return the efficiency of processes that evaluate equal shares of `n`, without a ranker."""
    ready, go = _FORK.Semaphore(0), _FORK.Event()
    share = n // n_workers
    workers = [
        _FORK.Process(target=_evaluate_only, args=(share, cost_s, ready, go))
        for _ in range(n_workers)
    ]
    for worker in workers:
        worker.start()
    for _ in workers:
        ready.acquire()
    began = time.monotonic()
    go.set()
    for worker in workers:
        worker.join()
    return share * cost_s / (time.monotonic() - began)


def scan_shared(
    world: World,
    n_workers: int,
    *,
    cost_s: float = 0.02,
    batch: int | None = 25,
    day: int = 2,
    kill_every_s: float = math.inf,
    slow_cost_s: float | None = None,
    seed: int = 0,
) -> Run:
    """Let `n_workers` processes scan one universe and look at what they did.

    Parameters
    ----------
    kill_every_s : float
        So often one of them is killed with SIGKILL, and a new one takes its place.
    slow_cost_s : float, optional
        What an evaluation takes in the first worker.
    """
    rng = random.Random(seed)  # noqa: S311
    with own_file() if ON_FILE else own_server() as server:
        store = store_from_url(server.url)
        learn_before(store, world, day)
        ready, go, told = _FORK.Semaphore(0), _FORK.Event(), _FORK.Queue()

        def start(worker: int) -> Any:
            cost = slow_cost_s if worker == 0 and slow_cost_s is not None else cost_s
            process = _FORK.Process(
                target=_work, args=(server, world, day, worker, cost, batch, ready, go, told, seed)
            )
            process.start()
            return process

        workers = {worker: start(worker) for worker in range(n_workers)}
        for _ in workers:
            if not ready.acquire(timeout=120):
                raise SystemExit("the worker processes did not start within 120 s")
        began = time.monotonic()
        go.set()
        costs = [slow_cost_s or cost_s, *[cost_s] * (n_workers - 1)]
        ideal_s = world.n / sum(1 / cost for cost in costs) if cost_s > 0.0 else 0.0
        n_killed = 0
        while (n_killed + 1) * kill_every_s < 0.8 * ideal_s:
            time.sleep(max(0.0, began + (n_killed + 1) * kill_every_s - time.monotonic()))
            victim = rng.choice(sorted(workers))
            workers[victim].kill()
            workers.pop(victim).join()
            n_killed += 1
            workers[n_workers + n_killed] = start(n_workers + n_killed)
        reports = _heard(told, workers, deadline=began + 60 + 4 * ideal_s)
        return _verified(store, world, day, n_workers, ideal_s, began, reports, n_killed)


def _heard(told: Any, workers: dict[int, Any], deadline: float) -> list[Any]:
    """Return what every worker tells at its end; give up when one has died of itself."""
    reports: list[Any] = []
    while len(reports) < len(workers):
        with suppress(queue.Empty):
            reports.append(told.get(timeout=0.5))
            continue
        died = [process for process in workers.values() if process.exitcode not in (None, 0)]
        if died or time.monotonic() > deadline:
            for process in workers.values():
                process.kill()
            raise SystemExit(f"{len(died)} workers died; {len(reports)} came to their end")
    for process in workers.values():
        process.join()
    return reports


def _verified(
    store: Store, world: World, day: int, n_workers: int, ideal_s: float, began: float,
    reports: Sequence[tuple[int, float, float, list[str], str | None]], n_killed: int,
) -> Run:  # fmt: skip
    order = [
        arm for entry in store.read(RULES) if entry.scan_id == f"day{day}" for arm in entry.arms
    ]
    ratings = world.ratings(day)
    limit = float(np.sort(ratings)[-round(TOP * world.n)])
    is_hit = np.array([ratings[int(symbol[1:])] >= limit for symbol in order])
    at = np.linspace(0, len(order), 101).round().astype(int)
    found = np.concatenate([[0], np.cumsum(is_hit)])[at] / is_hit.sum()
    evaluated = Counter(symbol for *_, symbols, _ in reports for symbol in symbols)
    failures = [failure for *_, failure in reports if failure is not None]
    if failures:
        raise SystemExit(f"a worker's scan failed: {failures[0]}")
    counts = Counter(order)
    n_lost = sum(counts[symbol] != 1 for symbol in world.symbols)
    is_equal = check(store, RULES).fold is Fold.EQUAL
    store.close()
    return Run(
        n_workers, ideal_s, max(end for _, end, *_ in reports) - began,
        sum(cpu for _, _, cpu, *_ in reports), found, n_lost,
        sum(times > 1 for times in evaluated.values()), n_killed, is_equal,
    )  # fmt: skip


def curve_of_one(world: World, day: int, batch: int, seed: int = 0) -> NDArray[np.float64]:
    """Return the curve of one worker; its order does not depend on how long evaluations take."""
    return scan_shared(world, 1, cost_s=0.0, day=day, batch=batch, seed=seed).curve


def tables(
    n: int, workers: Sequence[int], *, cost_s: float, batch: int, day: int, n_repeats: int
) -> list[dict[str, Any]]:
    """Return one row per number of workers, one with kills and one with a slow worker.

    Parameters
    ----------
    day : int
        Scans that the ruleset has learned from before.
    n_repeats : int
        Scans that the curves are means of.
    """
    world = World(n)
    one = np.mean([curve_of_one(world, day, batch, seed) for seed in range(n_repeats)], axis=0)
    found: list[dict[str, Any]] = []
    most = max(workers)
    ideal_s = cost_s * n / most
    asked: list[tuple[str, int, dict[str, Any]]] = [
        *((f"{w} worker{'s' * (w > 1)}", w, {}) for w in workers),
        (f"{most}, one killed every {ideal_s / 4:.0f} s", most, {"kill_every_s": ideal_s / 4}),
        (f"{most}, one of them 10 x slower", most, {"slow_cost_s": 10 * cost_s}),
    ]
    for what, n_workers, further in asked:
        runs = [
            scan_shared(
                world, n_workers, cost_s=cost_s, batch=batch, day=day, seed=seed * 1000, **further
            )
            for seed in range(n_repeats if n_workers == most and not further else 1)
        ]
        best = max(runs, key=lambda run: run.efficiency)
        machine = machine_efficiency(n // 4, n_workers, cost_s)
        apart = 100 * (np.mean([run.curve for run in runs], axis=0) - one)
        found.append(
            {
                "what": what,
                "ideal_s": round(best.ideal_s, 2),
                "wall_s": [round(run.wall_s, 2) for run in runs],
                "efficiency": round(best.efficiency, 3),
                "machine": round(machine, 3),
                "cpu_s": round(best.cpu_s, 2),
                "found_10": round(float(np.mean([run.curve[10] for run in runs])), 4),
                "found_25": round(float(np.mean([run.curve[25] for run in runs])), 4),
                "curve_area_points": round(float(apart.mean()), 2),
                "curve_10_points": round(float(apart[10]), 2),
                "curve_25_points": round(float(apart[25]), 2),
                "n_killed": sum(run.n_killed for run in runs),
                "n_lost": sum(run.n_lost for run in runs),
                "n_again": sum(run.n_again for run in runs),
                "belief_equal": all(run.is_equal for run in runs),
                "load": round(os.getloadavg()[0], 1),
            }
        )
        _print_row(found[-1])
    return found


def _print_row(row: dict[str, Any]) -> None:
    wall = "/".join(f"{seconds:.1f}" for seconds in row["wall_s"])
    print(
        f"{row['what']:<28} {row['ideal_s']:7.1f} {wall:>15} {100 * row['efficiency']:6.0f} "
        f"{100 * row['machine']:7.0f} {row['cpu_s']:6.1f} {row['curve_area_points']:+7.2f} "
        f"{row['curve_10_points']:+7.2f} {row['curve_25_points']:+7.2f} {row['n_lost']:5} "
        f"{row['n_again']:6} {'yes' if row['belief_equal'] else 'NO':>6} {row['load']:5.1f}",
        flush=True,
    )


def main() -> None:
    """Print the table; exit code 1 where an outcome was lost."""
    global ON_FILE
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbols", type=int, default=5000)
    parser.add_argument("--workers", default="1,2,4,8")
    parser.add_argument("--cost-ms", type=float, default=20.0)
    parser.add_argument("--batch", type=int, default=25)
    parser.add_argument("--before", type=int, default=10, help="scans learned from before")
    parser.add_argument("--repeats", type=int, default=3, help="of the largest number of workers")
    parser.add_argument("--quick", action="store_true", help="2,000 symbols, 1 and 8 workers")
    parser.add_argument("--file", action="store_true", help="workers meet in a file of SQLite")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    ON_FILE = options.file
    logging.disable(logging.WARNING)
    n, workers = options.symbols, tuple(map(int, options.workers.split(",")))
    if options.quick:
        n, workers, options.repeats = 2000, (1, 8), 1
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}; {n:,} symbols x {options.cost_ms:g} ms in batches of "
        f"{options.batch}"
    )
    print(
        f"{'':<28} {'ideal s':>7} {'wall s':>15} {'eff. %':>6} {'machine':>7} {'cpu s':>6} "
        f"{'curve':>7} {'at 10 %':>7} {'25 %':>7} {'lost':>5} {'again':>6} {'equal':>6} {'load':>5}"
    )
    found = tables(
        n, workers, cost_s=options.cost_ms / 1e3, batch=options.batch, day=options.before,
        n_repeats=options.repeats,
    )  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    raise SystemExit(0 if all(row["n_lost"] == 0 and row["belief_equal"] for row in found) else 1)


if __name__ == "__main__":
    main()
