"""What watching costs: 200 event streams on one scan, and 500 status requests a second.

Run ``python -m benchmarks.service`` (about a minute and a half; ``--quick`` half a minute). Four
processes: a server of Redis or Valkey, `scanrank serve`, a scanner with a synthetic
evaluation, and this one, which makes the load and measures it. All of them share this machine's
processors, so every figure holds the load generator's own share; on a machine of its own it would
be gone.

event delay    from the moment the scanner stamps it (a status), or the server journals it
               (results), to the moment this process has read it, on all streams
slowed         the scan's speed while all streams are open against its speed while none is, in
               windows that take turns within one scan; the interval is a bootstrap over windows
status         answers to GET .../scans/{scan}, sent at fixed times however long earlier ones take,
               timed from when each was due
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from numpy.typing import NDArray

from bandit.rewards import TopShare
from benchmarks._server import own_server
from scanner_adapter import SymbolRanker

RULES, SCAN = "bench", "watched"
BATCH = 50
COLUMNS = tuple(f"market.c{n}" for n in range(8))
SCAN_PATH = f"/api/v1/rulesets/{RULES}/scans/{SCAN}"
TARGET_DELAY_MS, TARGET_SLOWED, TARGET_STATUS_MS = 250.0, 0.02, 50.0


# -- the scanner, in a process of its own


def scan(url: str, n_symbols: int, pause_s: float) -> None:
    """Scan `n_symbols`; a batch takes `pause_s` to evaluate, as one that waits for data does.

    Prints the monotonic time and the number of results after each batch.
    """
    rng = np.random.default_rng(0)
    symbols = [f"S{number}" for number in range(n_symbols)]
    values = rng.uniform(0.0, 100.0, (n_symbols, len(COLUMNS))).astype(np.float32)
    rating = dict(zip(symbols, values[:, 0] + rng.normal(0.0, 20.0, n_symbols), strict=True))
    with SymbolRanker.open(url, ruleset=RULES, rewards=TopShare(0.05), seed=0) as ranker:
        opened = ranker.start_scan(symbols, context=(COLUMNS, values), scan_id=SCAN)
        print("ready", flush=True)
        n_done = 0
        with opened:
            while batch := opened.next_batch(BATCH):
                time.sleep(pause_s)
                opened.report({symbol: float(rating[symbol]) for symbol in batch})
                n_done += len(batch)
                sys.stdout.write(f"{time.monotonic():.6f} {n_done}\n")
                sys.stdout.flush()


# -- event streams ---------------------------------------------------------------------------------


@dataclass
class Streams:
    """Raw HTTP clients that read events and note how old each is; cheaper than any library."""

    port: int
    status_ms: list[float] = field(default_factory=list)
    results_ms: list[float] = field(default_factory=list)
    n_bytes: int = 0
    is_counting: bool = False
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    n_open: int = 0

    async def open(self, n: int) -> None:
        self._tasks = [asyncio.create_task(self._listen(number)) for number in range(n)]
        deadline = time.monotonic() + 20
        while self.n_open < n:
            if time.monotonic() > deadline:
                raise SystemExit(f"{self.n_open} of {n} event streams opened within 20 s")
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _listen(self, number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)
        # As a proxy passes them on: one client address may hold 64 connections.
        client = f"X-Forwarded-For: 192.0.2.{number % 250}"
        head = f"GET {SCAN_PATH}/events HTTP/1.1\r\nHost: localhost\r\n{client}\r\n\r\n"
        writer.write(head.encode())
        is_open, rest = False, b""
        try:
            answer = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in answer.split(b"\r\n")[0]:
                raise SystemExit(f"event stream refused: {answer[:80]!r}")
            while True:
                part = await reader.read(2**18)
                if not part:
                    return
                if not is_open:
                    is_open = True
                    self.n_open += 1
                rest = self._note(rest + part)
        finally:
            self.n_open -= is_open
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _note(self, text: bytes) -> bytes:
        """Note the age of every whole event; return what is left."""
        now = time.time()
        events = text.split(b"\n\n")
        if self.is_counting:
            self.n_bytes += len(text) - len(events[-1])
            for event in events[:-1]:
                at = event.find(b"id: ")
                if at < 0:
                    continue
                if b"\nevent: results" in event:
                    stamp = event[at + 4 : event.index(b"-", at)]
                    self.results_ms.append(1000 * now - int(stamp))
                elif b"\nevent: status" in event:
                    at = event.find(b'"updated_at":')
                    stamp = event[at + 13 : event.index(b",", at)]
                    self.status_ms.append(1000 * (now - float(stamp)))
        return events[-1]


# -- status requests -------------------------------------------------------------------------------


async def ask_status(port: int, per_s: float, seconds: float) -> NDArray[np.float64]:
    """Ask at fixed times over 16 connections; return how late each answer was, milliseconds."""
    n, n_connections = int(per_s * seconds), 16
    waits: list[float] = []
    start = time.monotonic() + 0.1
    request = f"GET {SCAN_PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()

    async def connection(first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        for number in range(first, n, n_connections):
            due = start + number / per_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head.split(b"\r\n")[0]:
                raise SystemExit(f"status refused: {head[:80]!r}")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            waits.append(1000 * (time.monotonic() - due))
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(connection(first) for first in range(n_connections)))
    return np.array(waits)


# -- the run ---------------------------------------------------------------------------------------


@contextmanager
def processes(args: argparse.Namespace) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Start store, service and scanner; yield the service's port and the scanner."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    port = args.port
    with own_server() as redis:
        service = subprocess.Popen(  # noqa: S603
            [
                *(sys.executable, "-m", "scanner_adapter.cli.app", "serve", "--store", redis.url),
                *("--port", str(port), "--requests-per-s", "100000"),
                *("--trusted-proxy", "127.0.0.1"),
            ],
            env=environment, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        scanner = subprocess.Popen(  # noqa: S603
            [
                *(sys.executable, "-m", "benchmarks.service", "--scan", redis.url),
                *("--symbols", str(args.symbols), "--pause", str(args.pause)),
            ],
            env=environment, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            _wait_for(f"http://127.0.0.1:{port}/ready")
            yield port, scanner
        finally:
            for process in (scanner, service):
                process.terminate()
                process.wait(15)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(OSError), urlopen(url, timeout=2):  # noqa: S310  (an address of ours)
            return
        time.sleep(0.1)
    raise SystemExit(f"{url} did not answer within 30 s")


class Speed:
    """What the scanner says of its progress, read in a thread."""

    def __init__(self, scanner: subprocess.Popen[str]) -> None:
        self.points: list[tuple[float, int]] = []
        self._scanner = scanner

    def read_all(self) -> None:
        assert self._scanner.stdout is not None
        for line in self._scanner.stdout:
            if line.startswith("ready"):
                continue
            at, n = line.split()
            self.points.append((float(at), int(n)))

    def between(self, start: float, end: float) -> float:
        """Seconds per batch, the median within a window; NaN without any."""
        times = np.array([at for at, _ in self.points if start <= at <= end])
        return float(np.median(np.diff(times))) if times.size > 2 else float("nan")


async def run(args: argparse.Namespace) -> dict[str, Any]:
    with processes(args) as (port, scanner):
        speed = Speed(scanner)
        reading = asyncio.create_task(asyncio.to_thread(speed.read_all))
        while len(speed.points) < 5:
            await asyncio.sleep(0.05)
        streams = Streams(port)
        windows: list[tuple[bool, float, float]] = []
        while scanner.poll() is None and len(windows) <= 2 * args.windows:
            is_watched = len(windows) % 2 == 1
            if is_watched:
                await streams.open(args.clients)
            await asyncio.sleep(0.3)  # let what just changed settle
            streams.is_counting = is_watched
            start = time.monotonic()
            await asyncio.sleep(args.window)
            windows.append((is_watched, start, time.monotonic()))
            streams.is_counting = False
            if is_watched:
                await streams.close()
        alone = await ask_status(port, args.rate, args.window * 2)
        await streams.open(args.clients)
        together = await ask_status(port, args.rate, args.window * 2)
        await streams.close()
        is_over = scanner.poll() is not None
        n_done = speed.points[-1][1]
        scanner.terminate()
        await reading
    if is_over:
        raise SystemExit("the scan ended before the load did; give more --symbols")
    return {
        "n_done": n_done,
        "streams": streams,
        "slowed": _slowed(speed, windows),
        "status alone": alone,
        "status together": together,
    }


def _slowed(speed: Speed, windows: list[tuple[bool, float, float]]) -> tuple[float, float, float]:
    """Median ratio of neighbouring windows minus 1, and its 90 % bootstrap interval."""
    seconds = [speed.between(start, end) for _, start, end in windows]
    # Each watched window against the mean of its two neighbours, so that a drift cancels.
    ratios = np.array(
        [
            2 * seconds[i] / (seconds[i - 1] + seconds[i + 1]) - 1
            for i in range(1, len(seconds) - 1, 2)
        ]
    )
    rng = np.random.default_rng(0)
    draws = np.median(rng.choice(ratios, (2000, ratios.size)), axis=1)
    low, high = np.quantile(draws, (0.05, 0.95))
    return float(np.median(ratios)), float(low), float(high)


def tables(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Run and return the rows: what, value, target."""
    found = asyncio.run(run(args))
    streams: Streams = found["streams"]
    rows = []
    for name, values in (("status", streams.status_ms), ("results", streams.results_ms)):
        ages = np.array(values)
        rows.append(
            {
                "what": f"delay of {name} events, {args.clients} streams, ms",
                "n": ages.size, "p50": _quantile(ages, 0.5), "p99": _quantile(ages, 0.99),
                "target p99": TARGET_DELAY_MS,
            }
        )  # fmt: skip
    slowed, low, high = found["slowed"]
    rows.append(
        {
            "what": f"scan slowed by {args.clients} streams, %",
            "n": args.windows, "median": 100 * slowed, "low": 100 * low, "high": 100 * high,
            "target": 100 * TARGET_SLOWED,
        }
    )  # fmt: skip
    for name in ("alone", "together"):
        waits = found[f"status {name}"]
        beside = "" if name == "alone" else f" beside {args.clients} streams"
        rows.append(
            {
                "what": f"{args.rate:.0f} status requests a second{beside}, ms",
                "n": waits.size, "p50": _quantile(waits, 0.5), "p99": _quantile(waits, 0.99),
                "target p99": TARGET_STATUS_MS,
            }
        )  # fmt: skip
    return rows


def _quantile(values: NDArray[np.float64], share: float) -> float:
    return float(np.quantile(values, share)) if values.size else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbols", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--rate", type=float, default=500.0, help="status requests a second")
    parser.add_argument("--pause", type=float, default=0.025, help="seconds a batch is evaluated")
    parser.add_argument("--windows", type=int, default=6, help="with all streams open")
    parser.add_argument("--window", type=float, default=3.0, help="seconds of each")
    parser.add_argument("--port", type=int, default=8768)
    parser.add_argument("--quick", action="store_true", help="shorter and fewer windows")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--scan", metavar="URL", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.scan:
        scan(args.scan, args.symbols, args.pause)
        return
    if args.quick:
        args.windows, args.window = 3, 2.0
    print(
        f"{platform.machine()}, {os.cpu_count()} processors shared by store, service, scanner and "
        f"load generator; Python {platform.python_version()}; a scan of {args.symbols:,} symbols, "
        f"batches of {BATCH} evaluated in {1000 * args.pause:.0f} ms"
    )
    rows = tables(args)
    for row in rows:
        what = row["what"]
        print(
            f"{what:55}"
            + "  ".join(f"{k} {v:.1f}" for k, v in row.items() if k not in ("what", "n"))
            + f"  (n = {row['n']:,})"
        )
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
