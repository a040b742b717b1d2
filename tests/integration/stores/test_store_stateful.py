"""Random sequences of calls on every store, beside a model made of plain dicts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)
from servers import Server

from bandit.stores import Store, store_from_url
from bandit.stores.names import position_key

ARMS = [f"A{n}" for n in range(12)]
SCANS = ["s1", "s2"]
_fresh = itertools.count()

scans = st.sampled_from(SCANS)
workers = st.sampled_from(["w1", "w2"])
arm_lists = st.lists(st.sampled_from(ARMS), min_size=1, unique=True)


class Model(RuleBasedStateMachine):
    """What the contract promises, said with dicts; `store` does it for real."""

    store: Store
    written = Bundle("written")

    def __init__(self) -> None:
        super().__init__()
        self.ruleset = f"stateful-{next(_fresh)}"
        self.journal: list[tuple[str, str, tuple[str, ...], list[float]]] = []
        self.first: dict[tuple[str, str], float] = {}
        self.events: set[tuple[str, str]] = set()
        self.claims: dict[tuple[str, str], str] = {}
        self.snapshot: tuple[int, str] = (0, "0-0")
        self.n_trimmed = 0
        self.last = "0-0"

    @rule(target=written, scan=scans, arms=arm_lists, value=st.integers(0, 9))
    def report(self, scan: str, arms: list[str], value: int) -> str:
        rewards = value + np.arange(len(arms)) / 16
        receipt = self.store.append_report(
            self.ruleset, scan, arms=arms, header={"v": value}, arrays={"reward": rewards}
        )
        new = [(arm, scan) not in self.first for arm in arms]
        assert receipt.accepted.tolist() == new
        assert receipt.previous == self.last
        assert (receipt.position is None) == (not any(new))
        kept = [(arm, float(r)) for arm, r, n in zip(arms, rewards, new, strict=True) if n]
        self.first.update({(arm, scan): reward for arm, reward in kept})
        for arm, _ in kept:
            self.claims.pop((arm, scan), None)
        if receipt.position is not None:
            self._append(receipt.position, scan, kept)
        return self.last

    @rule(target=written, scan=scans, kind=st.sampled_from(["open", "close"]))
    def event(self, scan: str, kind: str) -> str:
        receipt = self.store.append_event(self.ruleset, scan, kind, header={}, arrays={})
        assert receipt.accepted.tolist() == [(scan, kind) not in self.events]
        self.events.add((scan, kind))
        if receipt.position is not None:
            self._append(receipt.position, scan, [])
        return self.last

    def _append(self, position: str, scan: str, kept: list[tuple[str, float]]) -> None:
        assert position_key(position) > position_key(self.last)
        names, rewards = tuple(arm for arm, _ in kept), [reward for _, reward in kept]
        self.journal.append((position, scan, names, rewards))
        self.last = position

    @rule(after=written, limit=st.none() | st.integers(0, 5))
    def read(self, after: str, limit: int | None) -> None:
        got = [
            (entry.position, entry.scan_id, entry.arms, entry.arrays.get("reward", _NONE).tolist())
            for entry in self.store.read(self.ruleset, after=after, limit=limit)
        ]
        kept = self.journal[self.n_trimmed :]
        expected = [row for row in kept if position_key(row[0]) > position_key(after)]
        assert got == expected[:limit]

    @rule(position=written, is_current=st.booleans())
    def save(self, position: str, is_current: bool) -> None:
        version, covered = self.snapshot
        if position_key(position) < position_key(covered):
            return  # a caller never folds backwards
        expected = version if is_current else version + 1
        saved = self.store.save_snapshot(
            self.ruleset, header={}, arrays={}, position=position, expected_version=expected
        )
        assert saved == is_current
        if saved:
            self.snapshot = (version + 1, position)

    @rule(n=st.integers(0, 6))
    def trim(self, n: int) -> None:
        kept = self.journal[self.n_trimmed :]
        covered = position_key(self.snapshot[1])
        doomed = [row for row in kept[: max(0, len(kept) - n)] if position_key(row[0]) <= covered]
        assert self.store.trim(self.ruleset, max_entries=n) == len(doomed)
        self.n_trimmed += len(doomed)

    @rule(scan=scans, worker=workers, arms=arm_lists, k=st.integers(0, 5))
    def claim(self, scan: str, worker: str, arms: list[str], k: int) -> None:
        free = [
            arm
            for arm in arms
            if (arm, scan) not in self.first and self.claims.get((arm, scan), worker) == worker
        ][:k]
        assert self.store.claim(self.ruleset, scan, worker, arms, k=k, lease_s=600) == free
        self.claims.update({(arm, scan): worker for arm in free})

    @rule(scan=scans)
    def look_at_claims(self, scan: str) -> None:
        held = {arm: worker for (arm, name), worker in self.claims.items() if name == scan}
        assert self.store.claims(self.ruleset, scan) == held

    @rule(scan=scans, worker=workers, arms=arm_lists)
    def renew(self, scan: str, worker: str, arms: list[str]) -> None:
        held = [arm for arm in arms if self.claims.get((arm, scan)) == worker]
        assert self.store.renew(self.ruleset, scan, worker, arms, lease_s=600) == held

    @rule(scan=scans, worker=workers, arms=arm_lists)
    def release(self, scan: str, worker: str, arms: list[str]) -> None:
        is_last = self.store.release(self.ruleset, scan, worker, arms)
        for arm in arms:
            if self.claims.get((arm, scan)) == worker:
                del self.claims[arm, scan]
        assert is_last == all(held_of != scan for _, held_of in self.claims)

    @rule(position=consumes(written))
    def forget_a_position(self, position: str) -> None:
        """Keeps the bundle small, so that later rules meet recent positions."""

    @invariant()
    def what_can_be_asked_agrees(self) -> None:
        for scan in SCANS:
            reported = {arm for arm, where in self.first if where == scan}
            assert self.store.reported(self.ruleset, scan) == reported
        snapshot = self.store.load_snapshot(self.ruleset)
        found: Any = (snapshot.version, snapshot.position) if snapshot else (0, "0-0")
        assert found == self.snapshot
        stats = self.store.stats(self.ruleset)
        assert stats.n_entries == len(self.journal) - self.n_trimmed
        assert stats.last_position == self.last

    def teardown(self) -> None:
        self.store.drop_ruleset(self.ruleset)


_NONE = np.empty(0)


@pytest.fixture(params=["memory", "sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = "memory://" if request.param == "memory" else f"sqlite://{tmp_path}/scanrank.db"
    if request.param == "redis":
        server: Server = request.getfixturevalue("redis_server")
        url = server.url
    opened = store_from_url(url)
    yield opened
    opened.close()


def test_random_sequences_agree_with_the_model(store: Store) -> None:
    machine = type("Machine", (Model,), {"store": store})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=40, stateful_step_count=25, deadline=None)
    )
