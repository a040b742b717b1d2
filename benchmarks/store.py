"""What the store costs, beside the bare round trips of the same bytes.

Run ``python -m benchmarks.store`` (about half a minute). It starts a server of its own, or
takes ``--url``. Timings of a report and of its bare counterparts are taken in turns, so that a busy
machine slows both; each is the median over its turns.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from bandit.stores import Store, store_from_url
from bandit.stores.entries import seal_report
from bandit.stores.redis.keys import scan_key
from bandit.stores.redis.store import RedisStore
from benchmarks._server import own_file, own_server

N_ARMS = 50
N_COLUMNS = 50
N_TURNS = 400
UNIVERSE = 5_277  # all US symbols of shared/data
LARGE = 1_000_000

_counter = itertools.count()


def _arms(n: int = N_ARMS) -> list[str]:
    first = next(_counter) * n
    return [f"S{index:07d}" for index in range(first, first + n)]


@contextmanager
def _opened(url: str | None) -> Iterator[RedisStore]:
    with nullcontext() if url else own_server() as server:
        store = store_from_url(server.url if server else str(url))
        if not isinstance(store, RedisStore):
            raise SystemExit("--url: expected a store on a server.")
        try:
            yield store
        finally:
            store.close()


def report_rows(store: RedisStore) -> list[tuple[str, float, float, float]]:
    """Return (what, microseconds, times 51 commands in one pipeline, times 2) of a report of 50."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        "reward": rng.random(N_ARMS, dtype=np.float32),
        "context": rng.normal(size=(N_ARMS, N_COLUMNS - 1)).astype(np.float32),
    }
    columns = {f"column_{n}": arrays["context"][:, n % 49].copy() for n in range(N_COLUMNS)}
    blob = seal_report("scan", _arms(), {"batch": 1}, arrays).blob
    client = store._client

    def append(arms: list[str], arrays: dict[str, Any]) -> None:
        store.append_report("bench", "scan", arms=arms, header={"batch": 1}, arrays=arrays)

    def pipelined(arms: list[str]) -> None:
        """The same work without the decision: 50 marks and the entry, one round trip."""
        pipeline = client.pipeline(transaction=False)
        for arm in arms:
            pipeline.sadd("scanrank:{bench}:bare-marks", arm)
        pipeline.xadd("scanrank:{bench}:bare", {"b": blob})
        pipeline.execute()

    def two_commands(arms: list[str]) -> None:
        pipeline = client.pipeline(transaction=False)
        pipeline.sadd("scanrank:{bench}:bare-marks", *arms)
        pipeline.xadd("scanrank:{bench}:bare", {"b": blob})
        pipeline.execute()

    timed: dict[str, Callable[[list[str]], Any]] = {
        "PING": lambda _: client.ping(),
        "XADD of the entry alone": lambda _: client.xadd("scanrank:{bench}:bare", {"b": blob}),
        "pipeline: SADD of 50, XADD": two_commands,
        "pipeline: 50 SADD, XADD": pipelined,
        "sealing a report (no server)": lambda arms: seal_report("scan", arms, {}, arrays),
        "report of 50, one matrix": lambda arms: append(arms, arrays),
        "report of 50, 50 columns": lambda arms: append(arms, columns),
    }
    samples: dict[str, list[float]] = {name: [] for name in timed}
    for turn in range(N_TURNS + 20):
        for name, function in timed.items():
            arms = _arms()
            start = time.perf_counter()
            function(arms)
            if turn >= 20:  # the first ones warm the connection and the script cache
                samples[name].append(time.perf_counter() - start)
    medians = {name: 1e6 * float(np.median(values)) for name, values in samples.items()}
    many, two = medians["pipeline: 50 SADD, XADD"], medians["pipeline: SADD of 50, XADD"]
    return [(name, median, median / many, median / two) for name, median in medians.items()]


def file_rows(durability: str) -> list[tuple[str, float, float]]:
    """Return (what, median and mean microseconds) of a report of 50 in a file, and its bare INSERT.

    The bare one writes the same bytes in a transaction of its own, at the same durability. The
    append gets bytes that were sealed before, and the report makes them too.
    """
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        "reward": rng.random(N_ARMS, dtype=np.float32),
        "context": rng.normal(size=(N_ARMS, N_COLUMNS - 1)).astype(np.float32),
    }
    blob = seal_report("scan", _arms(), {"batch": 1}, arrays).blob
    with own_file() as file:
        store = store_from_url(f"{file.url}?durability={durability}")
        bare = sqlite3.connect(file.directory / "bare.db", isolation_level=None)
        bare.executescript(
            f"pragma journal_mode=wal; pragma synchronous={durability};"
            "create table entry(id integer primary key, blob blob)"
        )
        timed: dict[str, Callable[[list[str]], Any]] = {
            "bare INSERT": lambda _: bare.execute("insert into entry(blob) values(?)", (blob,)),
            "append of the same bytes": lambda _: store.append_sealed("bench", sealed),
            "report of 50": lambda arms: store.append_report(
                "bench", "scan", arms=arms, header={"batch": 1}, arrays=arrays
            ),
        }
        samples: dict[str, list[float]] = {name: [] for name in timed}
        for _ in range(N_TURNS):
            sealed = seal_report("scan", _arms(), {"batch": 1}, arrays)
            for name, function in timed.items():
                arms = _arms()
                start = time.perf_counter()
                function(arms)
                samples[name].append(time.perf_counter() - start)
        store.close()
        bare.close()
    return [
        (name, 1e6 * float(np.median(values)), 1e6 * float(np.mean(values)))
        for name, values in samples.items()
    ]


def reports_in_log() -> float:
    """Return how many reports of 50 fit into the log that a power cut can take."""
    arrays = {"context": np.zeros((N_ARMS, N_COLUMNS), np.float32)}
    n = 40  # less than the log holds before it is written into the file
    with own_file() as file:
        store = store_from_url(file.url)
        log = file.directory / "scanrank.db-wal"
        before = log.stat().st_size
        for _ in range(n):
            store.append_report("log", "scan", arms=_arms(), header={}, arrays=arrays)
        each = (log.stat().st_size - before) / n
        bare = sqlite3.connect(file.directory / "scanrank.db")
        pages, size = (
            bare.execute(f"pragma {name}").fetchone()[0]
            for name in ("wal_autocheckpoint", "page_size")
        )
        bare.close()
        store.close()
    return float(pages * size / each)


def open_file_and_load() -> tuple[float, float]:
    """Return ms to open a file and load 5,277 arms x 60, and to connect and read them bare."""
    with own_file() as file:
        store = store_from_url(file.url)
        store.save_snapshot(
            "load", header={}, arrays=_snapshot_arrays(), position="1-0", expected_version=0
        )
        store.close()
        ours, bare = [], []
        for _ in range(15):
            start = time.perf_counter()
            store = store_from_url(file.url)
            store.load_snapshot("load")
            ours.append(time.perf_counter() - start)
            store.close()
            start = time.perf_counter()
            connection = sqlite3.connect(file.directory / "scanrank.db")
            connection.execute("select blob from snapshot").fetchall()
            bare.append(time.perf_counter() - start)
            connection.close()
    return 1e3 * float(np.median(ours)), 1e3 * float(np.median(bare))


def _snapshot_arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "arms": np.array([f"S{n}".encode() for n in range(UNIVERSE)]),
        "track_record": rng.normal(size=(UNIVERSE, 60)).astype(np.float32),
        "precision": np.eye(200),
    }


def open_and_load(store: RedisStore) -> float:
    """Return milliseconds to open a store and load a snapshot of 5,277 arms x 60 columns."""
    store.save_snapshot(
        "load",
        header={"features": [f"f{n}" for n in range(60)]},
        arrays=_snapshot_arrays(),
        position="1-0",
        expected_version=0,
    )
    url = f"unix://{store._client.connection_pool.connection_kwargs.get('path')}"
    times = []
    for _ in range(15):
        start = time.perf_counter()
        other = RedisStore(url)
        other.load_snapshot("load")
        times.append(time.perf_counter() - start)
        other.close()
    return 1e3 * float(np.median(times))


def large_snapshot(store: Store) -> tuple[float, float, float]:
    """Return MB, seconds to save and seconds to load a snapshot of 1,000,000 arms."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        "arms": np.array([f"S{n:07d}".encode() for n in range(LARGE)]),
        "track_record": rng.normal(size=(LARGE, 10)).astype(np.float32),
    }
    start = time.perf_counter()
    store.save_snapshot("large", header={}, arrays=arrays, position="1-0", expected_version=0)
    middle = time.perf_counter()
    snapshot = store.load_snapshot("large")
    end = time.perf_counter()
    assert snapshot is not None
    np.testing.assert_array_equal(snapshot.arrays["track_record"], arrays["track_record"])
    size = sum(array.nbytes for array in arrays.values()) / 1e6
    return size, middle - start, end - middle


def memory(store: RedisStore) -> tuple[float, float, float]:
    """Return the server's bytes per journaled outcome, per reported arm and per arm in a snapshot.

    An outcome here is 50 float32 columns, which are 200 bytes.
    """
    rng = np.random.default_rng(0)
    n_reports = 200
    for _ in range(n_reports):
        arrays = {"context": rng.normal(size=(N_ARMS, N_COLUMNS)).astype(np.float32)}
        store.append_report("memory", "scan", arms=_arms(), header={}, arrays=arrays)
    n = n_reports * N_ARMS
    journal = store.stats("memory").journal_bytes / n
    marks = store._call("MEMORY USAGE", scan_key("memory", "scan", "reported"), "SAMPLES", 0) / n
    snapshot = store.stats("load").snapshot_bytes / UNIVERSE
    return journal, marks, snapshot


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--url", help="a unix:// address; default: a server of its own")
    url = parser.parse_args().url
    with _opened(url) as store:
        server = store._call("INFO", "server")
        name = server.get("server_name", "redis")
        version = server.get("valkey_version", server["redis_version"])
        print(f"{name} {version}, Python {platform.python_version()}, {Path(store.address).name}")
        print()
        print(f"{'a report of 50 arms x 50 float32':36} {'us':>6} {'x 51 commands':>14} {'x 2':>6}")
        for what, microseconds, of_many, of_two in report_rows(store):
            print(f"{what:36} {microseconds:6.0f} {of_many:14.2f} {of_two:6.2f}")
        print(f"\nopen + load, 5,277 arms x 60 columns: {open_and_load(store):.1f} ms")
        size, saving, loading = large_snapshot(store)
        print(
            f"snapshot of 1,000,000 arms ({size:.0f} MB): save {saving:.2f} s, load {loading:.2f} s"
        )
        journal, marks, snapshot = memory(store)
        print(
            f"server memory: {journal:.0f} bytes per journaled outcome of 50 float32, "
            f"{marks:.0f} per reported arm of a scan, {snapshot:.0f} per arm of a snapshot of 60"
        )
        for ruleset in ("bench", "load", "large", "memory"):
            store.drop_ruleset(ruleset)
    print(f"\n{'in a file of SQLite, us':32} {'median':>8} {'mean':>8} {'x bare':>8} {'x bare':>8}")
    for durability in ("normal", "full"):
        rows = file_rows(durability)
        _, *bare = rows[0]
        for what, *times in rows:
            ratios = [mine / theirs for mine, theirs in zip(times, bare, strict=True)]
            print(f"{what:24} {durability:7}", *(f"{value:8.0f}" for value in times), end=" ")
            print(*(f"{ratio:8.2f}" for ratio in ratios))
    print(f"a power cut takes at most {reports_in_log():.0f} reports with durability=normal")
    loaded, read = open_file_and_load()
    print(f"open + load of 5,277 arms x 60: {loaded:.2f} ms, {loaded / read:.2f} x bare")


if __name__ == "__main__":
    main()
