"""Several worker processes on one open scan, some of them killed: every arm once, none left out."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from servers import Server

from bandit.stores.redis.store import RedisStore

N_ARMS = 600
LEASE_S = 2.0  # many times what a batch takes, also on a busy machine

# Claims 12 of the arms that are left, "scans" them, reports, and reports 5 % a second time with
# another outcome. Says each claim, so that the test knows who scanned what.
WORKER = textwrap.dedent(
    """
    import random, sys, time
    import numpy as np
    from bandit.stores.redis.store import RedisStore
    from bandit.stores.spool.store import SpoolingStore

    url, spool, name, n_arms, lease_s = sys.argv[1:]
    store = SpoolingStore(RedisStore(url), spool)
    arms = [f"A{n}" for n in range(int(n_arms))]
    rng = random.Random(name)
    print("ready", flush=True)
    sys.stdin.readline()
    while left := [arm for arm in arms if arm not in store.reported("rules", "s1")]:
        mine = store.claim("rules", "s1", name, left, k=12, lease_s=float(lease_s))
        if not mine:
            time.sleep(0.02)  # what is left is leased by others; some of them may be dead
            continue
        print(*mine, flush=True)
        time.sleep(0.002 * len(mine))
        for value, batch in ((1.0, mine), (0.0, mine if rng.random() < 0.05 else [])):
            if batch:
                rewards = np.full(len(batch), value)
                store.append_report(
                    "rules", "s1", arms=batch, header={"by": name}, arrays={"reward": rewards}
                )
    store.close()
    """
)


def test_killed_workers_arms_are_taken_over(
    own_server: Callable[..., Server], tmp_path: Path
) -> None:
    """Four workers, two of which are killed while they hold claims.

    An arm is scanned twice only if its lease ran out, that is if a killed worker had it.
    """
    server = own_server()
    arguments = [server.url, str(tmp_path / "spool")]
    workers = {
        name: subprocess.Popen(
            [sys.executable, "-c", WORKER, *arguments, name, str(N_ARMS), str(LEASE_S)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("w1", "w2", "w3", "w4")
    }
    for process in workers.values():
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in workers.values():
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    rng = random.Random(1)
    for name in ("w1", "w3"):
        time.sleep(rng.uniform(0.05, 0.2))
        workers[name].kill()
    said = {name: process.communicate(timeout=60)[0] for name, process in workers.items()}
    assert [workers[name].returncode for name in ("w2", "w4")] == [0, 0]

    store = RedisStore(server.url)
    entries = list(store.read("rules"))
    counted = Counter(arm for entry in entries for arm in entry.arms)
    assert counted == {f"A{n}": 1 for n in range(N_ARMS)}
    assert all((entry.arrays["reward"] == 1.0).all() for entry in entries), "first outcomes only"
    store.close()

    scanned = {name: Counter(text.split()) for name, text in said.items()}
    twice = [arm for arm, n in sum(scanned.values(), Counter()).items() if n > 1]
    of_the_dead = scanned["w1"] | scanned["w3"]
    assert all(arm in of_the_dead for arm in twice)
    assert len(twice) <= 2 * 12, "at most what the two held when they were killed"
    assert sum(scanned["w1"].values()) < N_ARMS / 2, "it was killed in the middle"
