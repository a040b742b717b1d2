"""One contract, every store: memory, a file, redis-server, a cluster, a spool around one."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from servers import count_round_trips

from bandit.errors import InvalidInputError, JournalChangedError
from bandit.stores import Problem, Receipt, Store, store_from_url
from bandit.stores.names import position_key
from bandit.stores.spool.store import SpoolingStore
from bandit.stores.sqlite.store import SqliteStore

_fresh = itertools.count()


@pytest.fixture(params=["memory", "sqlite", "redis", "cluster", "spooling"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened: Store
    if request.param == "redis":
        opened = store_from_url(request.getfixturevalue("redis_server").url)
    elif request.param == "cluster":
        opened = store_from_url(request.getfixturevalue("redis_cluster"))
    elif request.param == "spooling":
        opened = SpoolingStore(SqliteStore(), tmp_path / "spool")
    elif request.param == "sqlite":
        opened = store_from_url(f"sqlite://{tmp_path}/scanrank.db")
    else:
        opened = store_from_url("memory://")
    yield opened
    opened.close()


@pytest.fixture
def ruleset(store: Store) -> Iterator[str]:
    name = f"rules-{next(_fresh)}"
    yield name
    store.drop_ruleset(name)


@pytest.fixture
def rulesets(store: Store) -> Iterator[list[str]]:
    """Ten rulesets of two scans each, the first five with a snapshot."""
    names = [f"rules-{next(_fresh)}" for _ in range(10)]
    for number, name in enumerate(names):
        report(store, name, "A", scan="s1")
        time.sleep(0.002)  # the order of scans is by milliseconds
        last = report(store, name, "A", "B", scan="s2").position or ""
        store.put_status(name, "s2", {"n_scanned": number})
        if number < 5:
            store.save_snapshot(name, header={}, arrays={}, position=last, expected_version=0)
    yield names
    for name in names:
        store.drop_ruleset(name)


def report(store: Store, ruleset: str, *arms: str, scan: str = "s1", value: float = 0.0) -> Receipt:
    rewards = np.arange(len(arms), dtype=np.float32) + np.float32(value)
    context = np.outer(rewards, np.ones(3, dtype=np.float32))
    return store.append_report(
        ruleset, scan, arms=arms, header={"batch": 1}, arrays={"reward": rewards, "x": context}
    )


class TestStoreContract:
    # -- journal

    def test_what_was_appended_is_read_back(self, store: Store, ruleset: str) -> None:
        opened = store.append_event(ruleset, "s1", "open", header={"n": 3}, arrays={})
        receipt = report(store, ruleset, "NVDA", "BRK.B", "^GSPC")
        closed = store.append_event(
            ruleset, "s1", "close", header={}, arrays={"seconds": np.array(1.5)}
        )

        entries = list(store.read(ruleset))
        assert [entry.kind for entry in entries] == ["open", "report", "close"]
        assert [e.position for e in entries] == [
            opened.position,
            receipt.position,
            closed.position,
        ]
        assert {entry.scan_id for entry in entries} == {"s1"}
        assert entries[0].header == {"n": 3}
        assert entries[1].header == {"batch": 1}
        assert entries[1].arms == ("NVDA", "BRK.B", "^GSPC")
        assert entries[1].arrays["reward"].tolist() == [0.0, 1.0, 2.0]
        assert entries[1].arrays["reward"].dtype == np.float32
        assert entries[1].arrays["x"].tolist() == [[0.0] * 3, [1.0] * 3, [2.0] * 3]
        assert entries[2].arms == ()
        assert entries[2].arrays["seconds"].shape == ()

    def test_receipts_chain(self, store: Store, ruleset: str) -> None:
        """`previous` is the position before: a worker sees that nobody else wrote in between."""
        first = report(store, ruleset, "A")
        second = report(store, ruleset, "B")
        assert first.previous == "0-0"
        assert second.previous == first.position
        assert first.position is not None
        assert second.position is not None
        assert position_key(second.position) > position_key(first.position)
        assert not first.is_spooled
        assert first.generation == second.generation == store.generation(ruleset) != ""

    def test_repeating_a_report_changes_nothing(self, store: Store, ruleset: str) -> None:
        first = report(store, ruleset, "A", "B")
        again = report(store, ruleset, "A", "B", value=9.0)
        assert again.position is None
        assert again.previous == first.position
        assert again.accepted.tolist() == [False, False]
        assert len(list(store.read(ruleset))) == 1

    def test_the_first_outcome_of_each_arm_wins(self, store: Store, ruleset: str) -> None:
        report(store, ruleset, "A", "B")
        receipt = report(store, ruleset, "B", "C", "A", "D", value=10.0)
        assert receipt.accepted.tolist() == [False, True, False, True]
        entry = list(store.read(ruleset))[1]
        assert entry.arms == ("C", "D")
        assert entry.arrays["reward"].tolist() == [11.0, 13.0]
        assert entry.arrays["x"].shape == (2, 3)
        assert store.reported(ruleset, "s1") == {"A", "B", "C", "D"}

    def test_the_same_arm_counts_once_per_scan(self, store: Store, ruleset: str) -> None:
        report(store, ruleset, "A", scan="monday")
        assert report(store, ruleset, "A", scan="tuesday").accepted.tolist() == [True]
        assert store.reported(ruleset, "monday") == {"A"}

    def test_only_the_first_opening_counts(self, store: Store, ruleset: str) -> None:
        store.append_event(ruleset, "s1", "open", header={"by": "one"}, arrays={})
        late = store.append_event(ruleset, "s1", "open", header={"by": "two"}, arrays={})
        assert late.position is None
        assert late.accepted.tolist() == [False]
        assert [entry.header for entry in store.read(ruleset)] == [{"by": "one"}]

    def test_an_arm_may_be_called_like_an_event(self, store: Store, ruleset: str) -> None:
        assert report(store, ruleset, "open", "close").accepted.all()
        assert store.append_event(ruleset, "s1", "open", header={}, arrays={}).accepted.all()

    def test_reading_goes_on_after_a_position(self, store: Store, ruleset: str) -> None:
        """300 entries are several pages."""
        positions = [report(store, ruleset, f"A{n}").position for n in range(300)]
        assert [entry.position for entry in store.read(ruleset)] == positions
        after = positions[270]
        assert after is not None
        assert [e.position for e in store.read(ruleset, after=after)] == positions[271:]
        assert [e.position for e in store.read(ruleset, limit=200)] == positions[:200]
        assert list(store.read(ruleset, limit=0)) == []
        assert list(store.read(ruleset, after=str(positions[-1]))) == []

    def test_a_report_of_many_arms(self, store: Store, ruleset: str) -> None:
        """More than Lua's unpack() takes at once; every third arm was known before."""
        arms = [f"ARM{n}" for n in range(20_000)]
        report(store, ruleset, *arms[::3])
        receipt = report(store, ruleset, *arms)
        assert receipt.accepted.tolist() == [n % 3 != 0 for n in range(20_000)]
        entry = list(store.read(ruleset))[1]
        assert entry.arms == tuple(arm for n, arm in enumerate(arms) if n % 3)
        assert len(store.reported(ruleset, "s1")) == 20_000

    def test_concurrent_reports_are_accepted_once(self, store: Store, ruleset: str) -> None:
        """8 threads report overlapping arms: each arm is accepted by exactly one of them."""
        arms = [f"A{n}" for n in range(40)]
        with ThreadPoolExecutor(8) as pool:
            receipts = list(
                pool.map(lambda n: report(store, ruleset, *arms[n % 20 : n % 20 + 20]), range(80))
            )
        assert sum(int(receipt.accepted.sum()) for receipt in receipts) == 39
        read = [arm for entry in store.read(ruleset) for arm in entry.arms]
        assert sorted(read) == sorted(arms[:39])

    def test_rulesets_do_not_see_each_other(self, store: Store, ruleset: str) -> None:
        other = ruleset + "0"
        report(store, ruleset, "A")
        assert list(store.read(other)) == []
        report(store, other, "A")
        store.save_snapshot(other, header={}, arrays={}, position="1-0", expected_version=0)
        assert store.load_snapshot(ruleset) is None
        assert {ruleset, other} <= set(store.list_rulesets())
        store.drop_ruleset(other)
        assert other not in store.list_rulesets()
        assert list(store.read(other)) == []
        assert store.load_snapshot(other) is None
        assert len(list(store.read(ruleset))) == 1

    def test_arrays_are_copies(self, store: Store, ruleset: str) -> None:
        mine = np.array([1.0])
        store.append_report(ruleset, "s1", arms=["A"], header={}, arrays={"reward": mine})
        mine[0] = 2.0
        (entry,) = store.read(ruleset)
        assert entry.arrays["reward"].tolist() == [1.0]
        with pytest.raises(ValueError, match="read-only"):
            entry.arrays["reward"][0] = 3.0

    # -- the border

    @pytest.mark.parametrize(
        "name", ["", "a b", "a:b", "a}b", "{a}", "a*", "é", "-a", "a" * 65, "a\n"]
    )
    def test_names_that_could_inject_keys_are_refused(self, store: Store, name: str) -> None:
        with pytest.raises(InvalidInputError, match="ruleset"):
            report(store, name, "A")
        with pytest.raises(InvalidInputError, match="scan"):
            report(store, "rules", "A", scan=name)
        with pytest.raises(InvalidInputError, match="ruleset"):
            list(store.read(name))
        with pytest.raises(InvalidInputError, match="worker"):
            store.claim("rules", "s1", name, ["A"], k=1, lease_s=1)
        assert list(store.read("rules")) == []

    @pytest.mark.parametrize("arm", ["", "a" * 65, "a\nb", "a\x00", "\ud800", "\u2028"])
    def test_strange_arms_are_refused(self, store: Store, ruleset: str, arm: str) -> None:
        with pytest.raises(InvalidInputError, match="symbol"):
            report(store, ruleset, "GOOD", arm)
        assert list(store.read(ruleset)) == []

    def test_odd_but_honest_arms_pass(self, store: Store, ruleset: str) -> None:
        arms = ("BRK.B", "^GSPC", "600519.SS", "EUR/USD", "{x}:y *", "株", " ", "a" * 64)
        assert report(store, ruleset, *arms).accepted.all()
        assert next(store.read(ruleset)).arms == arms
        assert store.reported(ruleset, "s1") == set(arms)

    def test_a_refused_report_leaves_no_trace(self, store: Store, ruleset: str) -> None:
        good = {"reward": np.zeros(2)}
        for arms, header, arrays, word in [
            (["A", "A"], {}, good, "twice"),
            (["A"], {}, good, "expected 1 rows, one per symbol"),
            ([], {}, {}, "without symbols"),
            (["A", "B"], {"x": float("nan")}, good, "nan"),
            (["A", "B"], {}, {"reward": np.array([None, "x"])}, "dtype"),
        ]:
            with pytest.raises(InvalidInputError, match=word):
                store.append_report(ruleset, "s1", arms=arms, header=header, arrays=arrays)
        with pytest.raises(InvalidInputError, match="kind"):
            store.append_event(ruleset, "s1", "report", header={}, arrays={})
        assert list(store.read(ruleset)) == []
        assert store.reported(ruleset, "s1") == set()

    # -- snapshot

    def test_snapshots_are_compared_and_set(self, store: Store, ruleset: str) -> None:
        assert store.load_snapshot(ruleset) is None

        def save(value: float, expected: int) -> bool:
            return store.save_snapshot(
                ruleset,
                header={"features": ["a"]},
                arrays={"mean": np.full(2, value)},
                position=f"{int(value)}-0",
                expected_version=expected,
            )

        assert save(5.0, 0)
        assert not save(6.0, 0)
        assert save(7.0, 1)
        assert not save(8.0, 5)
        snapshot = store.load_snapshot(ruleset)
        assert snapshot is not None
        assert (snapshot.version, snapshot.position) == (2, "7-0")
        assert snapshot.header == {"features": ["a"]}
        assert snapshot.arrays["mean"].tolist() == [7.0, 7.0]

    def test_of_many_savers_one_wins(self, store: Store, ruleset: str) -> None:
        with ThreadPoolExecutor(8) as pool:
            won = list(
                pool.map(
                    lambda n: store.save_snapshot(
                        ruleset,
                        header={"by": n},
                        arrays={},
                        position="1-0",
                        expected_version=0,
                    ),
                    range(16),
                )
            )
        snapshot = store.load_snapshot(ruleset)
        assert snapshot is not None
        assert won.count(True) == 1
        assert snapshot.header == {"by": won.index(True)}

    def test_a_snapshot_of_several_pieces(self, store: Store, ruleset: str) -> None:
        """20 MB are three pieces of 8 MiB; the second snapshot replaces all of them."""
        weights = np.random.default_rng(1).normal(size=2_500_000)
        for version, scale in enumerate((1.0, 2.0)):
            arrays = {"w": scale * weights}
            assert store.save_snapshot(
                ruleset, header={}, arrays=arrays, position="1-0", expected_version=version
            )
            snapshot = store.load_snapshot(ruleset)
            assert snapshot is not None
            np.testing.assert_array_equal(snapshot.arrays["w"], scale * weights)

    # -- generations

    def test_a_position_is_read_on_from_in_its_generation_only(
        self, store: Store, ruleset: str
    ) -> None:
        assert store.generation(ruleset) == ""
        assert list(store.read(ruleset, generation="")) == []
        first, second = (report(store, ruleset, arm) for arm in "AB")
        one = first.generation
        assert [e.arms for e in store.read(ruleset, generation=one)] == [("A",), ("B",)]
        last = second.position or ""
        assert list(store.read(ruleset, after=last, generation=one)) == []
        assert list(store.read(ruleset, after=first.position or "", limit=0, generation=one)) == []
        for after, generation in ((last, "other"), ("1-0", one)):
            with pytest.raises(JournalChangedError, match="has changed since it was read"):
                list(store.read(ruleset, after=after, generation=generation))
        two = store.generation(ruleset)
        assert two not in ("", one), "whoever asked for 1-0 had read what is gone"
        with pytest.raises(JournalChangedError):
            list(store.read(ruleset, after=last, generation=one))
        three = store.renew_generation(ruleset)
        assert three == store.generation(ruleset) not in (one, two)
        assert report(store, ruleset, "C").generation == three

    def test_a_reader_that_retention_overtook_is_reported(self, store: Store, ruleset: str) -> None:
        positions = [report(store, ruleset, f"A{n}").position or "" for n in range(4)]
        generation = store.generation(ruleset)
        store.save_snapshot(
            ruleset, header={}, arrays={}, position=positions[2], expected_version=0
        )
        store.trim(ruleset, max_entries=1)
        read = list(store.read(ruleset, after=positions[2], generation=generation))
        assert [entry.arms for entry in read] == [("A3",)]
        with pytest.raises(JournalChangedError):
            list(store.read(ruleset, after=positions[1], generation=generation))

    def test_a_repaired_position_can_be_read_on_from(self, store: Store, ruleset: str) -> None:
        last = report(store, ruleset, "A").position or ""
        generation = store.generation(ruleset)
        store.repair(ruleset, Problem(f"journal {last}", "for this test"))
        assert list(store.read(ruleset, after=last, generation=generation)) == []
        assert report(store, ruleset, "B").generation == generation

    def test_a_snapshot_of_another_journal_is_refused(self, store: Store, ruleset: str) -> None:
        last = report(store, ruleset, "A").position or ""
        generation = store.generation(ruleset)

        def save(position: str, generation: str) -> bool:
            return store.save_snapshot(
                ruleset, header={}, arrays={}, position=position, expected_version=0,
                generation=generation,
            )  # fmt: skip

        for position, name in ((last, "other"), ("5-0", generation)):
            with pytest.raises(JournalChangedError):
                save(position, name)
        assert store.load_snapshot(ruleset) is None
        assert save(last, store.generation(ruleset))

    # -- shared scans

    def test_claims_skip_what_is_taken(self, store: Store, ruleset: str) -> None:
        def claim(worker: str, *arms: str, k: int = 2) -> list[str]:
            return store.claim(ruleset, "s1", worker, arms, k=k, lease_s=60)

        report(store, ruleset, "A")
        assert claim("one", "A", "B", "C", "D") == ["B", "C"]
        assert claim("two", "D", "C", "B", "A", "E", "F") == ["D", "E"]
        assert claim("one", "B", "C", "F", k=3) == ["B", "C", "F"]
        assert claim("two", "F", "B") == []
        assert not store.release(ruleset, "s1", "two", ["F", "D"]), "others hold some"
        assert claim("three", "F", "D", "E") == ["D"]

    def test_a_dead_workers_arms_come_back(self, store: Store, ruleset: str) -> None:
        store.claim(ruleset, "s1", "dead", ["A", "B"], k=2, lease_s=0.1)
        store.claim(ruleset, "s1", "alive", ["C"], k=1, lease_s=0.1)
        assert store.claim(ruleset, "s1", "next", ["A", "B", "C"], k=3, lease_s=60) == []
        assert store.renew(ruleset, "s1", "alive", ["C", "A"], lease_s=60) == ["C"]
        time.sleep(0.15)
        assert store.claim(ruleset, "s1", "next", ["A", "B", "C"], k=3, lease_s=60) == ["A", "B"]
        assert store.renew(ruleset, "s1", "dead", ["A", "B"], lease_s=60) == []

    def test_the_last_one_to_give_back_is_reported_so(self, store: Store, ruleset: str) -> None:
        assert store.release(ruleset, "s1", "one", []), "nobody ever held any"
        store.claim(ruleset, "s1", "one", ["A", "B"], k=2, lease_s=60)
        store.claim(ruleset, "s1", "two", ["C"], k=1, lease_s=60)
        store.claim(ruleset, "s1", "dead", ["D"], k=1, lease_s=0.1)
        store.claim(ruleset, "s2", "two", ["A"], k=1, lease_s=60)
        assert not store.release(ruleset, "s1", "one", ["A", "B"])
        time.sleep(0.15)
        assert not store.release(ruleset, "s1", "one", []), "two holds C"
        assert store.release(ruleset, "s1", "two", ["C"]), "what ran out is held by nobody"

    def test_of_all_that_leave_at_once_one_is_the_last(self, store: Store, ruleset: str) -> None:
        """20 times 4 workers in threads, each with symbols of its own."""

        def leave(scan: str, n: int) -> bool:
            arms = [f"{n}{letter}" for letter in "ABC"]
            assert len(store.claim(ruleset, scan, f"w{n}", arms, k=3, lease_s=60)) == 3
            barrier.wait()
            return store.release(ruleset, scan, f"w{n}", arms)

        barrier = threading.Barrier(4)
        with ThreadPoolExecutor(4) as pool:
            for k in range(20):
                printed = list(pool.map(leave, [f"s{k}"] * 4, range(4)))
                assert sum(printed) == 1, printed

    def test_claims_are_listed_until_they_end(self, store: Store, ruleset: str) -> None:
        assert store.claims(ruleset, "s1") == {}
        store.claim(ruleset, "s1", "brief", ["A"], k=1, lease_s=0.1)
        store.claim(ruleset, "s1", "one", ["B", "C"], k=2, lease_s=60)
        store.claim(ruleset, "s1", "two", ["D"], k=1, lease_s=60)
        store.claim(ruleset, "s2", "two", ["B"], k=1, lease_s=60)
        assert store.claims(ruleset, "s1") == {"A": "brief", "B": "one", "C": "one", "D": "two"}
        time.sleep(0.15)
        report(store, ruleset, "B", "D")
        store.release(ruleset, "s1", "one", ["C"])
        assert store.claims(ruleset, "s1") == {}, "run out, reported, given back"
        assert store.claims(ruleset, "s2") == {"B": "two"}

    def test_every_arm_is_claimed_once(self, store: Store, ruleset: str) -> None:
        """5 workers in threads empty a list of 3,000 (several pages) without an overlap."""
        arms = [f"A{n}" for n in range(3000)]

        def work(n: int) -> list[str]:
            mine: list[str] = []
            while taken := store.claim(
                ruleset, "s1", f"w{n}", [a for a in arms if a not in mine], k=200, lease_s=60
            ):
                mine += taken
            return mine

        with ThreadPoolExecutor(5) as pool:
            claimed = [arm for mine in pool.map(work, range(5)) for arm in mine]
        assert sorted(claimed) == sorted(arms)

    def test_a_lease_must_last(self, store: Store, ruleset: str) -> None:
        with pytest.raises(InvalidInputError, match="lease"):
            store.claim(ruleset, "s1", "one", ["A"], k=1, lease_s=0)

    def test_control_notes(self, store: Store, ruleset: str) -> None:
        assert store.get_control(ruleset, "s1") == {}
        store.put_control(ruleset, "s1", {"stop": True, "pins": ["A"]})
        assert store.get_control(ruleset, "s1") == {"stop": True, "pins": ["A"]}
        store.put_control(ruleset, "s1", {})
        assert store.get_control(ruleset, "s1") == {}
        with pytest.raises(InvalidInputError, match="64 KiB"):
            store.put_control(ruleset, "s1", {"x": "y" * 70_000})

    def test_status_notes(self, store: Store, ruleset: str) -> None:
        status = {"n_scanned": 50, "next": [{"symbol": "株式会社", "score": 99.5}], "eta_s": None}
        assert store.get_status(ruleset, "s1") == {}
        store.put_status(ruleset, "s1", status)
        store.put_control(ruleset, "s1", {"pin": ["A"]})
        assert store.get_status(ruleset, "s1") == status
        assert store.get_status(ruleset, "s2") == {}
        assert store.get_statuses([(ruleset, "s2"), (ruleset, "s1")]) == [{}, status]
        assert store.get_statuses([]) == []
        store.put_status(ruleset, "s1", {"n_scanned": 51})
        assert store.get_status(ruleset, "s1") == {"n_scanned": 51}
        assert store.get_control(ruleset, "s1") == {"pin": ["A"]}
        for bad, word in [({"x": "y" * 70_000}, "64 KiB"), ({"x": float("nan")}, "nan")]:
            with pytest.raises(InvalidInputError, match=word):
                store.put_status(ruleset, "s1", bad)
        with pytest.raises(InvalidInputError, match="scan"):
            store.put_status(ruleset, "a}:b", {})
        assert store.get_status(ruleset, "s1") == {"n_scanned": 51}

    def test_notes_make_no_scan(self, store: Store, ruleset: str) -> None:
        """A note for a scan that was never opened is kept, and lists neither it nor a ruleset."""
        store.put_status(ruleset, "s1", {"n_scanned": 0})
        store.update_control(ruleset, "s1", lambda note: note)
        assert store.list_scans(ruleset) == []
        assert ruleset not in store.list_rulesets()

    def test_no_operators_change_is_lost(self, store: Store, ruleset: str) -> None:
        """8 operators pin 10 symbols each at the same time: all 80 are pinned."""

        def pin(symbol: str) -> None:
            def change(note: dict[str, Any]) -> dict[str, Any]:
                return {**note, "pin": sorted({*note.get("pin", []), symbol})}

            assert symbol in store.update_control(ruleset, "s1", change)["pin"]

        symbols = [f"S{n}" for n in range(80)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(pin, symbols))
        assert store.get_control(ruleset, "s1") == {"pin": sorted(symbols)}

    def test_a_change_that_fails_changes_nothing(self, store: Store, ruleset: str) -> None:
        store.put_control(ruleset, "s1", {"pin": ["A"]})

        def change(note: dict[str, Any]) -> dict[str, Any]:
            note["pin"].append("B")
            raise LookupError("no such symbol")

        with pytest.raises(LookupError):
            store.update_control(ruleset, "s1", change)
        with pytest.raises(InvalidInputError, match="nan"):
            store.update_control(ruleset, "s1", lambda _: {"boost": {"A": float("nan")}})
        assert store.get_control(ruleset, "s1") == {"pin": ["A"]}

    # -- housekeeping

    def test_scans_are_listed_newest_first(self, store: Store, ruleset: str) -> None:
        assert store.list_scans(ruleset) == []
        for scan in ("s1", "s2", "s3"):
            store.append_event(ruleset, scan, "open", header={}, arrays={})
            time.sleep(0.002)  # the order is by milliseconds
        report(store, ruleset, "A", "B", scan="s2")
        store.append_event(ruleset, "s2", "close", header={}, arrays={})
        scans = store.list_scans(ruleset)
        assert [scan.scan_id for scan in scans] == ["s3", "s2", "s1"]
        assert [scan.n_reported for scan in scans] == [0, 2, 0]
        assert [scan.is_closed for scan in scans] == [False, True, False]
        assert [scan.scan_id for scan in store.list_scans(ruleset, 1)] == ["s3"]

    def test_trimming_stops_at_the_snapshot(self, store: Store, ruleset: str) -> None:
        positions = [report(store, ruleset, f"A{n}").position or "" for n in range(10)]
        generation = store.generation(ruleset)
        assert store.trim(ruleset, max_entries=0) == 0
        store.save_snapshot(
            ruleset, header={}, arrays={}, position=positions[6], expected_version=0
        )
        assert store.stats(ruleset).trimmed_position == "0-0"
        assert store.trim(ruleset, before=positions[3]) == 3
        assert store.stats(ruleset).trimmed_position == positions[2]
        assert store.trim(ruleset, max_entries=6) == 1
        assert [entry.position for entry in store.read(ruleset)] == positions[4:]
        assert store.trim(ruleset, max_entries=0) == 3
        assert [entry.position for entry in store.read(ruleset)] == positions[7:]
        # What was trimmed is remembered as reported, and nothing of it counts as lost.
        receipt = report(store, ruleset, "A0", "A10")
        assert receipt.accepted.tolist() == [False, True]
        assert receipt.previous == positions[9]
        assert receipt.generation == generation
        with pytest.raises(InvalidInputError, match="before"):
            store.trim(ruleset)

    def test_trimming_everything_keeps_the_chain(self, store: Store, ruleset: str) -> None:
        last = report(store, ruleset, "A").position or ""
        generation = store.generation(ruleset)
        store.save_snapshot(ruleset, header={}, arrays={}, position=last, expected_version=0)
        assert store.trim(ruleset, max_entries=0) == 1
        assert store.stats(ruleset).n_entries == 0
        receipt = report(store, ruleset, "B")
        assert receipt.previous == last
        assert receipt.generation == generation

    def test_stats(self, store: Store, ruleset: str) -> None:
        assert store.stats(ruleset).n_entries == 0
        last = report(store, ruleset, "A", "B").position or ""
        store.save_snapshot(
            ruleset, header={}, arrays={"w": np.zeros(1000)}, position=last, expected_version=0
        )
        stats = store.stats(ruleset)
        assert (stats.n_entries, stats.last_position, stats.n_scans) == (1, last, 1)
        assert (stats.snapshot_version, stats.snapshot_position) == (1, last)
        assert stats.snapshot_bytes > 8000
        assert stats.journal_bytes > 0
        assert list(store.problems(ruleset)) == []

    def test_what_is_asked_of_several_rulesets_is_what_each_says(
        self, store: Store, rulesets: list[str]
    ) -> None:
        names = [*rulesets[::-1], "rules-nobody-has", rulesets[0]]
        assert store.stats_of(names) == [store.stats(name) for name in names]
        newest = [next(iter(store.list_scans(name, 1)), None) for name in names]
        assert store.newest_scans(names) == newest
        assert [scan.n_reported if scan else None for scan in newest[-3:]] == [2, None, 2]
        assert store.get_statuses([(name, "s2") for name in names]) == [
            store.get_status(name, "s2") for name in names
        ]
        assert (store.stats_of([]), store.newest_scans([])) == ([], [])

    def test_more_rulesets_take_no_more_round_trips(
        self, store: Store, rulesets: list[str]
    ) -> None:
        """One or two each; in a cluster that many to a node, at the same time."""
        for ask, at_most in (
            (lambda _: store.list_rulesets(), 2),
            (store.stats_of, 1),
            (store.newest_scans, 2),
            (lambda names: store.get_statuses([(name, "s2") for name in names]), 1),
        ):
            for names in (rulesets[:2], rulesets):
                with count_round_trips() as sent:
                    ask(names)
                assert max(sent.values(), default=0) <= at_most
                is_here = store.address.startswith(("memory", "sqlite"))
                assert bool(sent) is not is_here, "the count counts"

    def test_the_address_tells_no_secrets(self, store: Store) -> None:
        assert store.address.split("://")[0] in ("memory", "sqlite", "unix", "redis+cluster")
        assert "@" not in repr(store)

    def test_closing_twice_is_harmless(self, redis_server: object, tmp_path: Path) -> None:
        for url in ("memory://", redis_server.url, f"embedded://{tmp_path / 'e'}"):  # type: ignore[attr-defined]
            opened = store_from_url(url)
            opened.close()
            opened.close()


def test_an_unknown_scheme_names_the_known_ones() -> None:
    with pytest.raises(InvalidInputError, match="'postgres'; known schemes: redis, rediss, unix"):
        store_from_url("postgres://me:secret@host/db")


@pytest.mark.parametrize(
    "url", ["embedded://some/where", "sqlite://", "sqlite://a.db", "sqlite:scanrank.db"]
)
def test_a_path_that_is_not_absolute_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError, match="three slashes"):
        store_from_url(url)


def test_a_foreign_member_of_the_list_of_rulesets_is_passed_over_and_said(
    redis_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_from_url(redis_server.url)
    try:
        report(store, "rules-known", "A")
        for member in (b"a b", b"\xff\xfe", b"x" * 80):
            redis_server.call("SADD", "scanrank:rulesets", member)
        for _ in range(2):
            assert "rules-known" in store.list_rulesets()
            assert not any(" " in name or len(name) > 64 for name in store.list_rulesets())
        assert caplog.text.count("are not ruleset names") == 1
    finally:
        redis_server.call("SREM", "scanrank:rulesets", b"a b", b"\xff\xfe", b"x" * 80)
        store.drop_ruleset("rules-known")
        store.close()
