"""Pull every plug at random moments of real scans: is each outcome in the belief exactly once?

Run ``python -m benchmarks.faults`` (about eight minutes). It starts its own servers (Redis or
Valkey) in temporary directories and kills processes with SIGKILL.
Scanner processes are forked, so that a restart costs what a scan costs and not an import.

A row passes when it says 0 in every column of what must not happen; the last column says what was
compared. Every scan's ratings are known in advance, so that a wrong or second outcome shows.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import multiprocessing
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import redis

from bandit.belief.belief import Belief, BeliefSettings
from bandit.stores import Receipt, Store, store_from_url
from bandit.stores.entries import Sealed
from bandit.stores.spool.store import SpoolingStore
from bandit.stores.sqlite.store import SqliteStore
from bandit.stores.wrapper import WrappedStore
from benchmarks._server import File, Server, own_file, own_server
from scanner_adapter import SymbolRanker
from scanner_adapter.inputs.context import CROSSED, seed_weights
from scanner_adapter.state.check import check, fold_journal

RULES = "rules"
START = datetime(2024, 1, 1, 21, tzinfo=UTC)
SETTINGS = BeliefSettings(seed_weights=seed_weights(None), crossed=CROSSED)
_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Row:
    """One line of the table: how often the plug was pulled, and what must be zero."""

    what: str
    n_faults: int
    n_outcomes: int
    n_lost: int  # acknowledged, and not in the journal
    n_twice: int  # counted twice, or with another outcome than the first
    n_again: int  # scanned again although an outcome was acknowledged
    is_equal: bool  # belief, bit for bit
    note: str

    @property
    def is_passed(self) -> bool:
        return self.is_equal and not (self.n_lost or self.n_twice or self.n_again)


def _symbols(n: int) -> list[str]:
    return [f"S{number}" for number in range(n)]


def _worth(day: int, n: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The ratings of a scan: the same in every process, and known to who verifies."""
    return np.random.default_rng(day).uniform(0.0, 100.0, n)


def _inputs(day: int, n: int) -> dict[str, Any]:
    worth = _worth(day, n)
    hint = np.clip(worth + np.random.default_rng(day + 1).normal(0, 20, n), 0, 100)
    frame = pd.DataFrame({"market.hint": hint, "technical.noise": hint[::-1]}, _symbols(n))
    return {"context": frame, "now": START + timedelta(days=day), "scan_id": f"day{day}"}


def _ranker(store: Store, ruleset: str = RULES) -> SymbolRanker:
    return SymbolRanker(store, ruleset=ruleset, settings=SETTINGS, seed=os.getpid())


def _digest(ranker: Belief) -> str:
    header, arrays = ranker.state()
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(name.encode() + str(array.dtype).encode() + array.tobytes())
    return digest.hexdigest()


def _journaled(store: Store, n: int, ruleset: str = RULES) -> tuple[Counter[tuple[str, str]], int]:
    """Count each (scan, symbol) of a journal, and the outcomes that are not the expected ones."""
    counts: Counter[tuple[str, str]] = Counter()
    n_wrong = 0
    for entry in store.read(ruleset):
        if entry.kind == "report":
            worth = _worth(int(entry.scan_id.removeprefix("day")), n)
            expected = [worth[int(arm[1:])] for arm in entry.arms]
            n_wrong += int((np.asarray(entry.arrays["rating"]) != np.asarray(expected)).sum())
            counts.update((entry.scan_id, arm) for arm in entry.arms)
    return counts, n_wrong


def _same_belief(store: Store, ruleset: str = RULES) -> bool:
    """Whether opening gives, bit for bit, what folding the journal from zero gives."""
    reopened = _ranker(store, ruleset).learned.belief
    return _digest(reopened) == _digest(fold_journal(store, ruleset, SETTINGS).belief)


# -- 1: the server is killed


class _Recorder(WrappedStore):
    """Passes everything on, and remembers what was appended, in order."""

    def __init__(self, store: SpoolingStore) -> None:
        super().__init__(store)
        self.sent: list[Sealed] = []

    def append_sealed(self, ruleset: str, entry: Sealed) -> Receipt:
        receipt = super().append_sealed(ruleset, entry)
        self.sent.append(entry)
        return receipt


def kill_server(n_kills: int, n: int = 400, seed: int = 0) -> Row:
    """SIGKILL the server at random moments of scans; the journal must lack nothing of them."""
    rng, n_done = random.Random(seed), 0  # noqa: S311
    with own_server() as server:
        spooling = SpoolingStore(store_from_url(server.url), server.directory / "spool")
        recorder = _Recorder(spooling)
        ranker = _ranker(recorder)
        is_over = threading.Event()

        def pull_the_plug() -> None:
            nonlocal n_done
            while n_done < n_kills and not is_over.wait(rng.uniform(0.0, 0.15)):
                server.kill()
                time.sleep(rng.uniform(0.0, 0.05))
                server.start()
                n_done += 1

        killer = threading.Thread(target=pull_the_plug)
        killer.start()
        acknowledged: set[tuple[str, str]] = set()
        n_failures, day = 0, 0
        try:
            while killer.is_alive():
                worth = _worth(day, n)
                with ranker.start_scan(_symbols(n), **_inputs(day, n)) as scan:
                    for batch in scan.batches(10):
                        time.sleep(0.003)
                        scan.report({symbol: worth[int(symbol[1:])] for symbol in batch})
                        acknowledged.update((scan.scan_id, symbol) for symbol in batch)
                n_failures += scan.failure is not None
                day += 1
        finally:
            is_over.set()
            killer.join()
        deadline = time.monotonic() + 30
        while not spooling.flush() and time.monotonic() < deadline:
            time.sleep(0.1)
        counts, n_wrong = _journaled(spooling, n)
        # The reference gets the same bytes in the order that the journal has: what the server lost
        # was sent again after a later entry, and what a scan teaches depends on its order.
        unharmed, sent = SqliteStore(), {(e.scan_id, e.kind, e.arms): e for e in recorder.sent}
        for entry in spooling.read(RULES):
            unharmed.append_sealed(RULES, sent.pop((entry.scan_id, entry.kind, entry.arms)))
        reference = _digest(fold_journal(unharmed, RULES, SETTINGS).belief)
        is_equal = _digest(fold_journal(spooling, RULES, SETTINGS).belief) == reference
        is_equal = is_equal and _same_belief(spooling) and n_failures == 0 and not sent
        status = spooling.status
        spooling.close()
    return Row(
        "server killed", n_done, len(acknowledged), len(acknowledged - counts.keys()),
        sum(times > 1 for times in counts.values()) + n_wrong, 0, is_equal,
        f"{day} scans; {status.n_spooled} reports spooled, {status.n_resent} sent twice",
    )  # fmt: skip


# -- 2 and 3: scanner processes are killed


def _note(path: Path) -> Callable[..., None]:
    """Return a function that writes one line, whole, which survives the process."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(*words: object) -> None:
        os.write(file, (" ".join(map(str, words)) + "\n").encode())

    return note


def _told(path: Path) -> list[list[str]]:
    return [line.split(" ") for line in path.read_text().splitlines()]


def _scan_alone(server: Server | File, n: int, ready: Any) -> None:
    """Go on with the scan that was interrupted, then with the next, until killed."""
    note = _note(server.directory / "told")
    store = SpoolingStore(store_from_url(server.url), server.directory / "spool")
    ranker = _ranker(store)
    day = sum(info.is_closed for info in store.list_scans(RULES, 10_000))
    while True:
        worth = _worth(day, n)
        with ranker.start_scan(_symbols(n), **_inputs(day, n)) as scan:
            for batch in scan.batches(10):
                note("scans", scan.scan_id, *batch)
                time.sleep(0.003)
                scan.report({symbol: worth[int(symbol[1:])] for symbol in batch})
                note("reported", scan.scan_id, *batch)
                ready.set()
        day += 1


def kill_scanner(n_kills: int, n: int = 400, seed: int = 0, opened: Any = own_server) -> Row:
    """SIGKILL the scanner at random moments and start it again on the same scan."""
    rng = random.Random(seed)  # noqa: S311
    with opened() as server:
        for _ in range(n_kills):
            ready = _FORK.Event()
            process = _FORK.Process(target=_scan_alone, args=(server, n, ready))
            process.start()
            if not ready.wait(30):
                raise SystemExit("the scanner process did not start within 30 s")
            time.sleep(rng.uniform(0.0, 0.3))
            process.kill()
            process.join()
        store = store_from_url(server.url)
        counts, n_wrong = _journaled(store, n)
        acknowledged: set[tuple[str, str]] = set()
        n_again, n_scanned = 0, 0
        for what, scan_id, *symbols in _told(server.directory / "told"):
            pairs = {(scan_id, symbol) for symbol in symbols}
            if what == "reported":
                acknowledged |= pairs
            else:
                n_again += len(pairs & acknowledged)
                n_scanned += len(pairs)
        closed = [info.scan_id for info in store.list_scans(RULES, 10_000) if info.is_closed]
        n_left_out = sum((scan_id, s) not in counts for scan_id in closed for s in _symbols(n))
        is_equal = _same_belief(store) and n_left_out == 0
        store.close()
    return Row(
        f"scanner killed{_on(opened)}", n_kills, len(acknowledged),
        len(acknowledged - counts.keys()),
        sum(times > 1 for times in counts.values()) + n_wrong, n_again, is_equal,
        f"{len(closed)} scans complete, {n_left_out} symbols left out; {n_scanned - len(counts)} "
        "were under way when it died and scanned again",
    )  # fmt: skip


def _scan_shared(server: Server | File, n: int, worker: str, lease_s: float, cost_s: float) -> None:
    """Be one of several workers of scan day0; report every twentieth batch a second time."""
    note, rng = _note(server.directory / "told"), random.Random(worker)  # noqa: S311
    store = SpoolingStore(store_from_url(server.url), server.directory / f"spool-{worker}")
    ranker, worth = _ranker(store), _worth(0, n)
    with ranker.start_scan(
        _symbols(n), **_inputs(0, n), shared=True, worker=worker, lease_s=lease_s
    ) as scan:
        while batch := scan.next_batch(25):
            note("scans", worker, *batch)
            time.sleep(cost_s * len(batch))
            scan.report({symbol: worth[int(symbol[1:])] for symbol in batch})
            note("reported", worker, *batch)
            if rng.random() < 0.05:  # past the scan's own memory, straight to the store
                arrays = {"reward": np.zeros(len(batch)), "rating": np.zeros(len(batch))}
                store.append_report(
                    RULES, scan.scan_id, arms=batch.symbols, header={}, arrays=arrays
                )
    note("closed", worker, scan.summary.n_scanned, scan.failure or "-")
    store.close()


def kill_workers(
    n_kills: int,
    n: int = 5000,
    n_workers: int = 8,
    cost_s: float = 0.017,
    seed: int = 0,
    opened: Any = own_server,
) -> Row:
    """Kill workers of a shared scan at random; another one takes each one's place."""
    rng, lease_s = random.Random(seed), 3.0  # noqa: S311
    ideal_s = cost_s * n / n_workers
    with opened() as server:

        def start(number: int) -> Any:
            process = _FORK.Process(
                target=_scan_shared, args=(server, n, f"w{number}", lease_s, cost_s)
            )
            process.start()
            return process

        (server.directory / "told").touch()
        began = time.monotonic()
        workers = [start(number) for number in range(n_workers)]
        moments = sorted(rng.uniform(0.1, 0.7) * ideal_s for _ in range(n_kills))
        for number, moment in enumerate(moments):
            time.sleep(max(0.0, began + moment - time.monotonic()))
            place = rng.randrange(n_workers)
            workers[place].kill()
            workers[place].join()
            workers[place] = start(n_workers + number)
        for worker in workers:
            worker.join()
        wall_s = time.monotonic() - began
        store = store_from_url(server.url)
        counts, n_wrong = _journaled(store, n)
        told = _told(server.directory / "told")
        acknowledged = {s for what, _, *symbols in told if what == "reported" for s in symbols}
        scanned = Counter(s for what, _, *symbols in told if what == "scans" for s in symbols)
        finished = {worker for what, worker, *_ in told if what == "closed"}
        # Of a worker that was killed, what it held when it died may be scanned again.
        at_death = {
            s for what, worker, *symbols in told
            if what == "scans" and worker not in finished for s in symbols
        }  # fmt: skip
        n_again = sum(times > 1 and s not in at_death for s, times in scanned.items())
        failures = [rest[1] for what, _, *rest in told if what == "closed" and rest[1] != "-"]
        is_equal = _same_belief(store) and len(counts) == n and not failures
        store.close()
    return Row(
        f"{n_workers} workers, 1 scan{_on(opened)}", n_kills, len(acknowledged),
        len({("day0", s) for s in acknowledged} - counts.keys()),
        sum(times > 1 for times in counts.values()) + n_wrong, n_again, is_equal,
        f"{len(counts)} of {n} scanned; {wall_s:.1f} s, {wall_s / ideal_s:.2f} x ideal",
    )  # fmt: skip


def _on(opened: Any) -> str:
    return ", file" if opened is own_file else ""


# -- 4: the server forgets


def forget(n_faults: int, how: str, n: int = 200, seed: int = 0) -> Row:
    """Let a server lose entries in mid-scan while two processes' worth of rankers use it.

    Parameters
    ----------
    how : {"older file", "FLUSHALL"}
        It is killed and comes back from an RDB file that was saved some reports before; or it is
        emptied. Its processes keep what they sent and read, so that nothing may be missing.
    """
    rng, acknowledged = random.Random(seed), set[tuple[str, str]]()  # noqa: S311
    with own_server("--appendonly", "no") as server:
        rankers = [
            _ranker(SpoolingStore(store_from_url(server.url), server.directory / f"spool-{k}"))
            for k in range(2)
        ]
        failures = []
        for day in range(n_faults):
            worth = _worth(day, n)
            raw = redis.Redis(unix_socket_path=f"{server.directory}/s")
            n_before, moment = 0, rng.randrange(1, n // 20)
            ranker = rankers[rng.randrange(2)]
            with ranker.start_scan(_symbols(n), **_inputs(day, n)) as scan:
                for batch in scan.batches(20):
                    scan.report({symbol: worth[int(symbol[1:])] for symbol in batch})
                    acknowledged.update((scan.scan_id, symbol) for symbol in batch)
                    n_before += 1
                    if rng.random() < 0.3:
                        rankers[1].learned.refresh()
                    if n_before == moment:
                        if how == "FLUSHALL":
                            raw.flushall()
                        else:
                            server.kill()
                            server.start()
                    elif n_before == moment // 2 and how != "FLUSHALL":
                        raw.save()
            failures.append(scan.failure)
            raw.close()
        for _ in range(3):  # one may save what the other has to load
            for ranker in rankers:
                ranker.learned.refresh()
        store = rankers[0].store
        counts, n_wrong = _journaled(store, n)
        digests = {_digest(ranker.learned.belief) for ranker in rankers}
        digests.add(_digest(_ranker(store).learned.belief))
        is_equal = len(digests) == 1 and check(store, RULES).is_sound and not any(failures)
        n_known = rankers[0].learned.belief.n_reports
        n_resent = sum(ranker.store.status.n_resent for ranker in rankers)  # type: ignore[attr-defined]
    return Row(
        f"server: {how}", n_faults, len(acknowledged), len(acknowledged) - n_known,
        sum(times > 1 for times in counts.values()) + n_wrong, 0, is_equal,
        f"{n_resent} entries sent again; {len(counts)} outcomes in the journal, "
        f"{n_known} in the belief",
    )  # fmt: skip


def _scan_until_interrupted(url: str, folder: Path, day: int, n: int, worker: int) -> None:
    ranker = _ranker(SpoolingStore(store_from_url(url), folder / f"spool-{worker}"))
    worth = _worth(day, n)
    with (
        suppress(KeyboardInterrupt),
        ranker.start_scan(
            _symbols(n), **_inputs(day, n), shared=True, worker=f"w{worker}", lease_s=2.0
        ) as scan,
    ):
        while batch := scan.next_batch(20):
            time.sleep(0.02)
            scan.report({symbol: worth[int(symbol[1:])] for symbol in batch})
    ranker.close()


def interrupt(n_times: int, n: int = 2000, n_workers: int = 4, seed: int = 0) -> Row:
    """Ctrl-C to all workers of a shared scan at once; each scan must be learned from all the same.

    A scan that nobody closed is settled when the next one of the ruleset starts.
    """
    rng = random.Random(seed)  # noqa: S311
    with own_server() as server:
        store = store_from_url(server.url)
        for day in range(n_times):
            workers = [
                _FORK.Process(
                    target=_scan_until_interrupted,
                    args=(server.url, server.directory, day, n, worker),
                )
                for worker in range(n_workers)
            ]
            for process in workers:
                process.start()
            while not store.reported(RULES, f"day{day}"):  # on a busy machine they start slowly
                time.sleep(0.01)
            time.sleep(rng.uniform(0.0, 1.0))
            for process in workers:
                if process.pid is not None and process.is_alive():
                    os.kill(process.pid, signal.SIGINT)
            for process in workers:
                process.join()
        time.sleep(2.5)  # leases run out
        ranker = _ranker(store)
        with ranker.start_scan(_symbols(20), **_inputs(n_times, 20)):
            pass
        n_open = sum(
            not info.is_closed for info in store.list_scans(RULES, 10_000) if info.n_reported
        )
        counts, n_wrong = _journaled(store, n)
        is_equal = _same_belief(store) and n_open == 0
        n_scans = ranker.learned.belief.n_scans
        store.close()
    return Row(
        f"Ctrl-C to {n_workers} workers", n_times, len(counts), n_open,
        sum(times > 1 for times in counts.values()) + n_wrong, 0, is_equal,
        f"{n_open} scans never closed; {n_scans} learned from",
    )  # fmt: skip


# -- 5: at the same time


def _scan_beside(server: Server, n: int, ruleset: str, day: int, reply: Any) -> None:
    store = SpoolingStore(store_from_url(server.url), server.directory / f"spool-{ruleset}-{day}")
    ranker, worth = _ranker(store, ruleset), _worth(day, n)
    rng = random.Random(day)  # noqa: S311
    inputs = _inputs(day, n) | {"now": START}
    with ranker.start_scan(_symbols(n), **inputs) as scan:
        for batch in scan.batches(20):
            time.sleep(rng.uniform(0.0, 0.01))
            scan.report({symbol: worth[int(symbol[1:])] for symbol in batch})
    reply.send(scan.failure)
    reply.recv()  # the others have finished too
    ranker.learned.refresh()
    reply.send(_digest(ranker.learned.belief))
    store.close()


def scan_beside(n_rounds: int, n: int = 300) -> Row:
    """Two scans at once in each of two rulesets: all workers of a ruleset end alike."""
    n_foreign = n_wrong = n_outcomes = n_twice = 0
    is_equal = True
    with own_server() as server:
        for turn in range(n_rounds):
            names = [(ruleset, 2 * turn + k) for ruleset in ("one", "two") for k in (0, 1)]
            pipes = [_FORK.Pipe() for _ in names]
            workers = [
                _FORK.Process(target=_scan_beside, args=(server, n, *name, theirs))
                for name, (_, theirs) in zip(names, pipes, strict=True)
            ]
            for worker in workers:
                worker.start()
            failures = [mine.recv() for mine, _ in pipes]
            for mine, _ in pipes:
                mine.send("all have finished")
            digests = [mine.recv() for mine, _ in pipes]
            for worker in workers:
                worker.join()
            is_equal &= digests[0] == digests[1] and digests[2] == digests[3]
            is_equal &= failures == [None] * 4
        store = store_from_url(server.url)
        for ruleset, last in (("one", digests[0]), ("two", digests[2])):
            counts, wrong = _journaled(store, n, ruleset)
            n_wrong += wrong
            n_outcomes += len(counts)
            n_twice += sum(times > 1 for times in counts.values())
            n_foreign += 2 * n_rounds * n - len(counts)
            folded = _digest(fold_journal(store, ruleset, SETTINGS).belief)
            is_equal &= folded == last and _same_belief(store, ruleset)
        store.close()
    return Row(
        "2 rulesets x 2 scans", n_rounds, n_outcomes, abs(n_foreign), n_twice + n_wrong, 0,
        is_equal, "all four processes alike, whatever order they finish in",
    )  # fmt: skip


def main() -> None:
    """Print the table; exit code 1 when a row does not pass."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="of the server, of the scanner")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # an outage is one warning, and there will be hundreds
    print(f"{'what':<24} {'faults':>6} {'outcomes':>8} {'lost':>4} {'twice':>5} {'again':>5} equal")
    tasks: list[Callable[[], Row]] = [
        lambda: kill_server(options.kills, seed=options.seed),
        lambda: kill_scanner(options.kills, seed=options.seed),
        lambda: kill_scanner(options.kills, seed=options.seed, opened=own_file),
        lambda: kill_workers(6, seed=options.seed),
        lambda: kill_workers(6, seed=options.seed, opened=own_file),
        lambda: forget(options.kills // 4, "older file", seed=options.seed),
        lambda: forget(options.kills // 10, "FLUSHALL", seed=options.seed),
        lambda: interrupt(options.kills // 10, seed=options.seed),
        lambda: scan_beside(20),
    ]
    is_passed = True
    for task in tasks:
        row = task()
        is_passed &= row.is_passed
        print(
            f"{row.what:<24} {row.n_faults:>6} {row.n_outcomes:>8} {row.n_lost:>4} "
            f"{row.n_twice:>5} {row.n_again:>5} {'yes' if row.is_equal else 'NO':<5} {row.note}",
            flush=True,
        )
    raise SystemExit(0 if is_passed else 1)


if __name__ == "__main__":
    main()
