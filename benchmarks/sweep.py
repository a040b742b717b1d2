"""How well do sweeps use two processes, and in how much memory: ``python -m benchmarks.sweep``.

64 configurations replay a few scans of the market data (see `benchmarks._data`). One process and
two take turns, round by round, so that both meet the same machine, and beside them stands what the
machine itself gives: plain loops in one and in two processes at a time, taking turns as well. On a
machine shared with others two processes get less than twice the time of one, and no program can
change that; the efficiency that a sweep answers for is its own against that of the loops.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import _data
from scanner_adapter.replay import Configuration, ReplayLog
from scanner_adapter.replay.tuning.sweep import in_parallel, n_bytes, sweep

N_CONFIGURATIONS = 64
N_SCANS = 4  # of all symbols; a sweep takes minutes otherwise
N_ROUNDS = 2
_SAMPLE_S = 0.1


def configurations(n: int) -> list[Configuration]:
    """Return configurations that differ, and cost the same."""
    return [
        Configuration(f"half-life {20 + 4 * i}", settings={"half_life_days": 20.0 + 4 * i})
        for i in range(n)
    ]


def spin(_: object, n: int) -> int:
    """Compute in plain Python: shares nothing with any other process."""
    total = 0
    for i in range(n):
        total += i * i % 7
    return total


def two_loops(n: int, n_jobs: int) -> None:
    """Run two loops the way a sweep runs, or joblib would start its processes anew in between."""
    list(in_parallel(spin, None, [(n,)] * 2, n_jobs=n_jobs))


@dataclass
class Clock:
    """Seconds of one and of two processes, by what they did."""

    seconds: dict[tuple[str, int], float] = field(default_factory=dict)

    def run(self, what: str, n_jobs: int, work: Callable[[], Any]) -> None:
        started = time.perf_counter()
        work()
        taken = time.perf_counter() - started
        self.seconds[what, n_jobs] = self.seconds.get((what, n_jobs), 0.0) + taken

    def efficiency(self, what: str) -> float:
        return self.seconds[what, 1] / (2.0 * self.seconds[what, 2])


class Memory(threading.Thread):
    """Watches the memory of this process and those under it, shared pages counted once."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self.n_processes = 0
        self._is_over = threading.Event()

    def run(self) -> None:
        while not self._is_over.wait(_SAMPLE_S):
            family = _family(os.getpid())
            self.n_processes = max(self.n_processes, len(family))
            self.peak_bytes = max(self.peak_bytes, sum(map(_proportional_bytes, family)))

    def stop(self) -> None:
        self._is_over.set()
        self.join()


def _family(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it ended meanwhile
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], [])
    return found


def _proportional_bytes(pid: int) -> int:
    """Proportional set size: a page that several processes map counts a share in each."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it ended meanwhile
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def measure(log: ReplayLog, n: int, n_scans: int) -> dict[str, float | int]:
    """Return efficiency and memory of a sweep over `n` configurations."""
    days = log.days()[-n_scans:]
    period: dict[str, Any] = {
        "from_": str(log.dates[days[0]]), "to": str(log.dates[days[-1]]), "warmup": 0,
    }  # fmt: skip
    chosen = configurations(n)
    clock, memory = Clock(), Memory()
    memory.start()
    # Both processes start, import and map the log before the clock runs.
    sweep(log, chosen[:2], n_jobs=2, **period)
    started = time.perf_counter()
    spin(None, 2_000_000)
    loop = int(2_000_000 * 2.0 / (time.perf_counter() - started))  # about two seconds
    for turn in range(N_ROUNDS):
        part = chosen[turn::N_ROUNDS]
        for n_jobs in (1, 2):
            clock.run("loop", n_jobs, partial(two_loops, loop, n_jobs))
            clock.run("sweep", n_jobs, partial(sweep, log, part, n_jobs=n_jobs, **period))
    memory.stop()
    return {
        "configurations": n,
        "scans": n_scans,
        "symbols": len(log.symbols),
        "seconds_1": clock.seconds["sweep", 1],
        "seconds_2": clock.seconds["sweep", 2],
        "efficiency": clock.efficiency("sweep"),
        "machine_efficiency": clock.efficiency("loop"),
        "efficiency_of_what_the_machine_gives": clock.efficiency("sweep")
        / clock.efficiency("loop"),
        "log_mib": n_bytes(log) / 2**20,
        "peak_memory_mib": memory.peak_bytes / 2**20,
        "processes": memory.n_processes,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what two processes bring."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep", description=__doc__)
    parser.add_argument("--configurations", type=int, default=N_CONFIGURATIONS)
    parser.add_argument("--scans", type=int, default=N_SCANS)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes on two cores would fight
    found = measure(_data.ratings_log(), chosen.configurations, chosen.scans)
    if chosen.json:
        print(json.dumps(found, indent=2))
        return 0
    print(
        f"{found['configurations']} configurations x {found['scans']} scans x {found['symbols']} "
        f"symbols: {found['seconds_1']:.1f} s in one process, {found['seconds_2']:.1f} s in two\n"
        f"efficiency of two processes: {found['efficiency']:.0%} "
        f"(plain loops on this machine meanwhile: {found['machine_efficiency']:.0%}; "
        f"of what it gives: {found['efficiency_of_what_the_machine_gives']:.0%})\n"
        f"memory, all {found['processes']} processes together: {found['peak_memory_mib']:.0f} MiB "
        f"at most; the log alone has {found['log_mib']:.0f} MiB"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
