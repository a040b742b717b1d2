"""A server that forgets: whoever notices first, all processes end in one belief, each outcome once.

`Fleet` is several rankers on one server, each with its own connection and spool, as processes have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from servers import Server

from bandit.stores import Store, store_from_url
from bandit.stores.redis.store import RedisStore
from bandit.stores.spool.store import SpoolingStore
from bandit.stores.sqlite.store import SqliteStore
from scanner_adapter import SymbolRanker
from scanner_adapter.scan.scan import Scan
from scanner_adapter.state.check import check

SYMBOLS = [f"S{n:03d}" for n in range(60)]


def rate(symbol: str) -> float:
    return float(int(symbol[1:]) % 37)


def step(scan: Scan, k: int = 10) -> bool:
    batch = scan.next_batch(k)
    if batch:
        scan.report({symbol: rate(symbol) for symbol in batch})
    return bool(batch)


def whole_scan(ranker: SymbolRanker, name: str) -> str:
    with ranker.start_scan(SYMBOLS, scan_id=name) as scan:
        while step(scan, 20):
            pass
    assert scan.failure is None
    return scan.summary.store_status


class Fleet:
    """Rankers on one ruleset of one server."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self._folder = server, folder
        self.rankers: list[SymbolRanker] = []

    def join(self) -> SymbolRanker:
        n = len(self.rankers)
        store = SpoolingStore(store_from_url(self.server.url), self._folder / f"spool-{n}")
        self.rankers.append(SymbolRanker.open(store, ruleset="r", seed=n))
        return self.rankers[-1]

    def command(self, *words: object) -> object:
        raw = RedisStore(self.server.url)
        try:
            return raw._call(*words)
        finally:
            raw.close()

    def return_to(self, moment: Callable[[], None]) -> None:
        """SAVE, let `moment` happen, and come back from the file that was saved before it."""
        self.command("SAVE")
        moment()
        self.server.kill()
        self.server.start()

    def expect(self, n_scans: int) -> None:
        """All rankers, and one that opens now, believe the same, and the store is sound."""
        for _ in range(3):  # one may save what the next has to load
            for ranker in self.rankers:
                ranker.learned.refresh()
        self.join()
        states = [ranker.learned._folded.state() for ranker in self.rankers]
        sizes = [ranker.learned._folded.size for ranker in self.rankers]
        assert sizes == [(n_scans, n_scans * len(SYMBOLS))] * len(sizes)
        for header, arrays in states[1:]:
            assert header == states[0][0]
            for name, array in arrays.items():
                assert array.tobytes() == states[0][1][name].tobytes(), name
        store = self.rankers[0].store
        verdict = check(store, "r")
        assert verdict.is_sound, verdict.explanation
        counts = Counter((entry.scan_id, arm) for entry in store.read("r") for arm in entry.arms)
        assert set(counts.values()) == {1}


@pytest.fixture
def fleet(own_server: Callable[..., Server], tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(own_server("--appendonly", "no", "--save", ""), tmp_path)
    yield fleet
    for ranker in fleet.rankers:
        ranker.close()


@pytest.mark.parametrize("first", [0, 1])
def test_emptied_between_scans(fleet: Fleet, first: int) -> None:
    """Whether the writer or a mere reader notices first."""
    writer, reader = fleet.join(), fleet.join()
    for n in range(3):
        whole_scan(writer, f"before-{n}")
    reader.learned.refresh()
    fleet.command("FLUSHALL")
    (writer, reader)[first].learned.refresh()
    printed = (writer, reader)[first].learned.store_trouble()
    assert printed == "back: 15 sent again after the server had lost them"
    whole_scan(writer, "after")
    fleet.expect(4)


def test_emptied_in_mid_scan(fleet: Fleet) -> None:
    """The scan that notices says what was lost and what was kept."""
    writer, reader = fleet.join(), fleet.join()
    whole_scan(writer, "before")
    reader.learned.refresh()
    with writer.start_scan(SYMBOLS, scan_id="during") as scan:
        step(scan)
        step(scan)
        fleet.command("FLUSHALL")
        while step(scan):
            pass
    assert "sent again after the server had lost them" in scan.summary.store_status
    fleet.expect(2)


def test_a_belief_older_than_what_processes_keep(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be sent again: the belief itself is saved, and no outcome of it counts twice."""
    for name in ("KEPT_BYTES", "KEPT_SCANS"):
        monkeypatch.setattr(f"bandit.stores.spool.store.{name}", 0)
    writer, reader = fleet.join(), fleet.join()
    for n in range(3):
        whole_scan(writer, f"before-{n}")
    reader.learned.refresh()
    fleet.command("FLUSHALL")
    with reader.start_scan(SYMBOLS, scan_id="during") as scan:
        while step(scan, 20):
            pass
    assert "3 scans were saved again from memory" in scan.summary.store_status
    for each in (writer, reader):
        each.learned.refresh()
    sizes = {each.learned._folded.size for each in fleet.rankers}
    assert len(sizes) == 1
    assert sizes.pop()[0] == 4
    assert check(writer.store, "r").is_sound


def test_a_fresh_process_comes_first(fleet: Fleet) -> None:
    """It finds an emptied server and scans; what others hold is then merged with its scan."""
    writer = fleet.join()
    for n in range(3):
        whole_scan(writer, f"before-{n}")
    fleet.command("FLUSHALL")
    fresh = fleet.join()
    whole_scan(fresh, "fresh")
    writer.learned.refresh()
    fleet.expect(4)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_back_from_an_older_file_between_scans(fleet: Fleet, order: tuple[int, int]) -> None:
    writer, reader = fleet.join(), fleet.join()
    whole_scan(writer, "kept")

    def lost() -> None:
        whole_scan(writer, "lost-0")
        whole_scan(writer, "lost-1")
        reader.learned.refresh()

    fleet.return_to(lost)
    for n in order:
        whole_scan(fleet.rankers[n], f"after-{n}")
    fleet.expect(5)


def test_back_from_an_older_file_in_a_shared_scan(fleet: Fleet) -> None:
    """One worker's last entry survived, but it had read another's that did not."""
    one, two = fleet.join(), fleet.join()
    whole_scan(one, "before")
    scans = [
        ranker.start_scan(SYMBOLS, scan_id="x", shared=True, worker=f"w{n}")
        for n, ranker in enumerate((one, two))
    ]
    for scan in scans:
        step(scan)
    batches = []

    def lost() -> None:
        step(scans[0])
        batches.append(scans[1].next_batch(10))

    fleet.return_to(lost)
    scans[1].report({symbol: rate(symbol) for symbol in batches[0]})
    step(scans[0])
    while step(scans[1]):
        pass
    for scan in scans[::-1]:
        scan.close()
    fleet.expect(2)


def test_a_clock_that_went_back(fleet: Fleet) -> None:
    """The lost journal ended an hour ahead: new positions are smaller than those read before."""
    writer, reader = fleet.join(), fleet.join()
    whole_scan(writer, "before")
    newest = writer.store.stats("r").last_position
    ahead = int(newest.split("-")[0]) + 3_600_000
    fleet.command("XSETID", "scanrank:{r}:journal", f"{ahead}-0")
    whole_scan(writer, "ahead")
    reader.learned.refresh()
    fleet.command("FLUSHALL")
    whole_scan(writer, "after")
    whole_scan(reader, "last")
    fleet.expect(4)


def test_a_snapshot_that_vanished_is_noticed(fleet: Fleet) -> None:
    """As a server with another policy than noeviction drops keys."""
    writer = fleet.join()
    whole_scan(writer, "before")
    for key in fleet.command("KEYS", "scanrank:{r}:snapshot*"):  # type: ignore[attr-defined]
        fleet.command("DEL", key)
    assert [p.place for p in check(writer.store, "r").problems] == ["snapshot"]
    assert "had vanished" in whole_scan(writer, "after")
    fleet.expect(2)


def test_lost_indexes_are_made_anew(fleet: Fleet) -> None:
    writer = fleet.join()
    whole_scan(writer, "before")
    for key in ("scanrank:rulesets", "scanrank:{r}:scans"):
        fleet.command("DEL", key)
    assert writer.store.list_rulesets() == ["r"]
    assert [scan.scan_id for scan in writer.store.list_scans("r")] == ["before"]
    for key in ("scanrank:rulesets", "scanrank:{r}:scans"):
        fleet.command("DEL", key)
    whole_scan(writer, "after")
    assert writer.store.list_rulesets() == ["r"]
    assert {scan.scan_id for scan in writer.store.list_scans("r")} == {"before", "after"}
    fleet.expect(2)


def test_reported_sets_that_were_dropped_let_nothing_count_twice(fleet: Fleet) -> None:
    """They have an expiry, and go first when a server drops keys."""
    writer, reader = fleet.join(), fleet.join()
    with writer.start_scan(SYMBOLS, scan_id="x") as scan:
        batch = scan.next_batch(10)
        scan.report({symbol: rate(symbol) for symbol in batch})
        fleet.command("DEL", "scanrank:{r}:scan:x:reported")
        with reader.start_scan(SYMBOLS, scan_id="x") as other:
            while step(other, 20):
                pass
        while step(scan, 20):
            pass
    for ranker in fleet.rankers:
        ranker.learned.refresh()
    assert {r.learned.belief.n_reports for r in fleet.rankers} == {60}


def test_a_file_that_was_deleted_in_use(tmp_path: Path) -> None:
    path = tmp_path / "scanrank.db"
    ranker = SymbolRanker.open(f"sqlite://{path}", ruleset="r", seed=1)
    for n in range(2):
        whole_scan(ranker, f"before-{n}")
    for each in tmp_path.glob("scanrank.db*"):
        if each.is_file():
            each.unlink()
    whole_scan(ranker, "after")
    assert ranker.n_scans == 3
    ranker.close()
    again: Store = SqliteStore(path)
    other = SymbolRanker.open(again, ruleset="r")
    assert other.n_scans == 3
    assert check(again, "r").is_sound
    assert np.isfinite(other.learned.belief.posterior.data_shift).all()
    other.close()
