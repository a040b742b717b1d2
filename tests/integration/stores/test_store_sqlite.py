"""The file of the store inside: several processes on it, killed ones, strange and damaged files."""

from __future__ import annotations

import importlib.util
import json
import logging
import multiprocessing
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandit.errors import (
    CorruptStateError,
    IncompatibleStateError,
    InvalidInputError,
    StoreRefusedError,
    StoreUnavailableError,
)
from bandit.stores import Store, store_from_url
from bandit.stores.folders import data_directory
from bandit.stores.sqlite import database
from bandit.stores.sqlite.store import SqliteStore

WRITER = textwrap.dedent(
    """
    import sys
    import numpy as np
    from bandit.stores import store_from_url
    store = store_from_url(sys.argv[1])
    print("ready", flush=True)
    for n in range(int(sys.argv[3])):
        arms = [f"{sys.argv[2]}-{n}", f"shared-{n}"]
        arrays = {"reward": np.zeros(2), "x": np.zeros((2, 50), np.float32)}
        receipt = store.append_report("rules", "s1", arms=arms, header={}, arrays=arrays)
        print(*(a for a, new in zip(arms, receipt.accepted) if new), flush=True)
    """
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "scanrank.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(path)
    yield opened
    opened.close()


def writer(path: Path, name: str, n: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, f"sqlite://{path}", name, str(n)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def report(store: Store, *arms: str) -> list[bool]:
    arrays = {"reward": np.zeros(len(arms))}
    receipt = store.append_report("rules", "s1", arms=arms, header={}, arrays=arrays)
    accepted: list[bool] = receipt.accepted.tolist()
    return accepted


def arms(store: Store) -> list[str]:
    return [arm for entry in store.read("rules") for arm in entry.arms]


class TestProcesses:
    def test_four_start_at_once_and_each_arm_counts_once(self, path: Path) -> None:
        """They race for a file that is not there, and for the same arms."""
        writers = [writer(path, f"w{n}", 60) for n in range(4)]
        printed = [word for each in writers for word in each.communicate(timeout=60)[0].split()]
        printed = [word for word in printed if word != "ready"]
        assert len(printed) == len(set(printed)) == 4 * 60 + 60
        store = SqliteStore(path)
        assert sorted(arms(store)) == sorted(printed)
        assert store.reported("rules", "s1") == set(printed)
        store.close()

    def test_killed_ones_lose_nothing_that_they_were_sent(self, path: Path) -> None:
        """SIGKILL at a random moment of writing, ten times."""
        printed: list[str] = []
        for turn in range(10):
            process = writer(path, f"w{turn}", 100_000)
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.01 * turn)
            process.send_signal(signal.SIGKILL)
            lines = process.communicate()[0].split("\n")
            printed += " ".join(lines[:-1]).split()  # the last line may be half of one
        store = SqliteStore(path)
        found = arms(store)
        assert set(printed) <= set(found)
        assert len(found) == len(set(found)) >= len(printed) > 20
        assert report(store, *found[:3]) == [False] * 3
        store.close()

    def test_a_child_of_a_fork_has_a_connection_of_its_own(self, store: SqliteStore) -> None:
        report(store, "A")

        def child() -> None:
            os._exit(0 if report(store, "A", "B") == [False, True] else 1)

        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join(30)
        assert process.exitcode == 0
        assert report(store, "B", "C") == [False, True]

    def test_a_report_knows_what_was_written_since_the_last_one(
        self, store: SqliteStore, path: Path
    ) -> None:
        """An append remembers where the last one ended, and trusts that only while it is true."""
        for other in (store, SqliteStore(path)):
            n, write = len(arms(store)), f"{id(other)}"
            report(store, f"A{write}")
            report(store, f"B{write}")
            assert report(other, f"C{write}") == [True]
            assert report(store, f"C{write}", f"D{write}") == [False, True]
            assert len(arms(store)) == n + 4
            assert other.claim("rules", "s1", "w", [f"E{write}"], k=1, lease_s=60) == [f"E{write}"]
            report(store, f"E{write}")
            assert store.claims("rules", "s1") == {}
            renewed = other.renew_generation("rules")
            receipt = store.append_report("rules", "s1", arms=[write], header={}, arrays={})
            assert receipt.generation == renewed
            other.drop_ruleset("rules")
            assert report(store, f"A{write}") == [True]
            assert arms(other) == [f"A{write}"]
            if other is not store:
                other.close()

    def test_whoever_keeps_it_locked_is_waited_for_and_named(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database, "LOCK_TIMEOUT_S", 0.2)
        store = SqliteStore(path)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("begin immediate")
        with pytest.raises(StoreUnavailableError, match=r"scanrank\.db does not answer: database"):
            report(store, "A")
        assert arms(store) == [], "reading waits for nobody"
        other.execute("rollback")
        assert report(store, "A") == [True]
        other.close()
        store.close()


class TestFile:
    def test_it_keeps_what_was_reported(self, path: Path) -> None:
        for accepted in (True, False):
            store = SqliteStore(path)
            assert report(store, "A") == [accepted]
            store.close()
        assert [each.name for each in path.parent.iterdir()] == ["scanrank.db"]

    def test_only_its_user_may_read_it(self, store: SqliteStore, path: Path) -> None:
        report(store, "A")
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        for each in path.parent.iterdir():
            assert stat.S_IMODE(each.stat().st_mode) == 0o600

    def test_addresses(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        folder = tmp_path / "a b%"
        for url, file in (
            (f"sqlite://{tmp_path}/a%20b%25/x.db?durability=full", folder / "x.db"),
            (f"embedded://{tmp_path}/a%20b%25", folder / "scanrank.db"),
            ("embedded://", tmp_path / "data" / "scanrank" / "scanrank.db"),
        ):
            store = store_from_url(url)
            assert file.exists()
            other = store_from_url(store.address)
            report(store, "A")
            assert arms(other) == ["A"], "the address leads back to it"
            other.close()
            store.close()

    def test_durability(self, path: Path) -> None:
        for word, level in (("normal", 1), ("full", 2)):
            store = store_from_url(f"sqlite://{path}?durability={word}")
            assert store._db.row("pragma synchronous") == (level,)  # type: ignore[attr-defined]
            assert store.sync("rules")
            store.close()
        for options in ("durability=some", "timeout=3", "durability"):
            with pytest.raises(InvalidInputError, match="only option is durability=normal or"):
                store_from_url(f"sqlite://{path}?{options}")
        with pytest.raises(InvalidInputError, match="durability 'off'; expected 'normal' or"):
            SqliteStore(path, durability="off")  # type: ignore[arg-type]

    def test_a_user_without_a_home_is_reported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("HOME", "XDG_DATA_HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
        with pytest.raises(StoreRefusedError, match=r"no home directory: set XDG_DATA_HOME to"):
            store_from_url("embedded://")
        monkeypatch.setenv("XDG_DATA_HOME", "/data")
        assert data_directory() == Path("/data/scanrank")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_folder_that_may_not_be_written(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        with pytest.raises(StoreRefusedError, match="Give a file that this user can write"):
            SqliteStore(tmp_path / "x.db")

    def test_what_cannot_be_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        for path in (tmp_path, tmp_path / "file" / "x.db"):
            with pytest.raises(StoreRefusedError, match="Give a file that this user can write"):
                SqliteStore(path)

    def test_a_closed_store_stays_closed(self, path: Path) -> None:
        store = SqliteStore(path)
        store.close()
        for call in (lambda: report(store, "A"), lambda: store.list_scans("rules")):
            with pytest.raises(StoreUnavailableError, match="was closed; open it again"):
                call()

    @pytest.mark.parametrize("kind", ["nfs4", "fuse.sshfs", "ext4"])
    def test_a_network_file_system_is_said(
        self, kind: str, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
    ) -> None:
        mounts = f"/dev/x / ext4 rw 0 0\nhost:/y {path.parent} {kind} rw 0 0\n"
        monkeypatch.setattr(Path, "read_text", lambda *_, **__: mounts)
        monkeypatch.setattr(os, "major", lambda _: 0)  # as a device of no disk has it
        with caplog.at_level(logging.WARNING):
            SqliteStore(path).close()
        assert (f"network file system ({kind})" in caplog.text) is (kind != "ext4")


class TestDeleted:
    def test_a_file_deleted_in_use_is_noticed(
        self, store: SqliteStore, path: Path, caplog: Any
    ) -> None:
        """Reports go into a new file of the name, not into one that nobody can open again."""
        report(store, "A", "B")
        for each in path.parent.iterdir():
            each.unlink()
        assert report(store, "B", "C") == [True, True]
        assert "deleted or replaced while in use" in caplog.text
        other = SqliteStore(path)
        assert arms(other) == ["B", "C"]
        other.close()

    def test_so_is_one_in_whose_place_a_back_up_was_put(
        self, store: SqliteStore, path: Path, tmp_path: Path
    ) -> None:
        report(store, "A")
        store.backup(tmp_path / "copy.db")
        report(store, "B")
        (tmp_path / "copy.db").replace(path)
        for name in ("-wal", "-shm"):
            path.with_name(path.name + name).unlink()
        assert report(store, "A", "B") == [False, True]


class TestStrangeFiles:
    def test_a_newer_format_is_refused(self, path: Path) -> None:
        SqliteStore(path).close()
        self.change(path, "pragma user_version=2")
        with pytest.raises(IncompatibleStateError, match="format 2, but this scanrank reads up to"):
            SqliteStore(path)

    def test_the_database_of_another_program_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "x.db"
        self.change(path, "create table entry(a)")
        before = self.change(path, "select name, sql from sqlite_schema")
        with pytest.raises(CorruptStateError, match="another program's database"):
            SqliteStore(path)
        assert self.change(path, "select name, sql from sqlite_schema") == before

    def test_a_file_that_is_no_database_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "x.db"
        path.write_bytes(b"a diary, not a database\n" * 500)
        with pytest.raises(CorruptStateError, match=r"x\.db: file is not a database"):
            SqliteStore(path)
        assert path.read_bytes() == b"a diary, not a database\n" * 500

    def test_a_damaged_page_is_named(self, path: Path) -> None:
        store = SqliteStore(path)
        for n in range(200):
            report(store, *(f"A{n}-{k}" for k in range(50)))
        store.close()
        data = bytearray(path.read_bytes())
        for page in range(8, len(data) // 4096):
            data[4096 * page : 4096 * page + 200] = b"\xff" * 200
        path.write_bytes(data)
        store = SqliteStore(path)
        with pytest.raises(CorruptStateError, match=r"malformed\. Nothing was changed"):
            arms(store)
        store.close()

    def test_rows_of_foreign_types_are_problems(self, store: SqliteStore, path: Path) -> None:
        report(store, "A")
        report(store, "B")
        self.change(path, "update entry set blob='text' ")
        self.change(path, "insert into snapshot values(1, 1, 'x', 7)")
        problems = list(store.problems("rules"))
        assert [each.place.partition(" ")[0] for each in problems] == ["journal"] * 2 + ["snapshot"]
        for each in problems:
            store.repair("rules", each)
        assert list(store.problems("rules")) == []

    @staticmethod
    def change(path: Path, sql: str) -> list[Any]:
        with sqlite3.connect(path) as connection:
            found = connection.execute(sql).fetchall()
        connection.close()
        return found


class TestBackup:
    def test_it_is_whole_while_others_write(self, path: Path, tmp_path: Path) -> None:
        process = writer(path, "w", 400)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        store = SqliteStore(path)
        for n in range(5):
            store.backup(tmp_path / f"{n}.db")
        process.communicate()
        counts = []
        for n in range(5):
            copy = SqliteStore(tmp_path / f"{n}.db")
            counts.append(len(arms(copy)))
            assert copy.reported("rules", "s1") == set(arms(copy))
            copy.close()
        assert counts == sorted(counts)
        assert len(arms(store)) == 800
        assert not list(tmp_path.glob(".*.part"))
        store.close()

    def test_nothing_is_written_over(self, store: SqliteStore, tmp_path: Path) -> None:
        (tmp_path / "x.db").write_text("mine")
        with pytest.raises(InvalidInputError, match="already exists"):
            store.backup(tmp_path / "x.db")
        with pytest.raises(StoreRefusedError, match="cannot be written"):
            store.backup(tmp_path / "no" / "such" / "folder.db")
        assert (tmp_path / "x.db").read_text() == "mine"


def test_every_module_imports_where_unix_is_absent() -> None:
    """On Windows there are no `fcntl`, `pwd` and `resource`."""
    code = textwrap.dedent(
        """
        import importlib, json, pkgutil, sys
        for name in ("fcntl", "pwd", "resource", "grp", "termios"):
            sys.modules[name] = None
        import bandit, features, scanner_adapter
        missing = {}
        for package in (bandit, features, scanner_adapter):
            for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
                try:
                    importlib.import_module(module.name)
                except ModuleNotFoundError as err:
                    missing[module.name] = err.name
        print(json.dumps(missing))
        """
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    missing: dict[str, str] = json.loads(run.stdout.splitlines()[-1])
    assert all(importlib.util.find_spec(name) is None for name in missing.values()), missing
