"""One SQLite database: opening it safely, statements, transactions, and errors in our words."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

from bandit.errors import (
    CorruptStateError,
    EntryTooLargeError,
    IncompatibleStateError,
    InvalidInputError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
)

Durability: TypeAlias = Literal["normal", "full"]

FORMAT = 1  # of the tables; kept as the file's user_version
LOCK_TIMEOUT_S = 5.0  # for another process's transaction to end; ours take less than 1 ms

_APPLICATION = 0x7363726B  # "scrk", so that a file of another program is not taken for ours
_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre",
            "fuse.sshfs", "fuse.glusterfs", "fuse.ceph")  # fmt: skip
_MOUNTS = Path("/proc/self/mounts")
_ABSENT = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR", "SQLITE_PROTOCOL", "SQLITE_INTERRUPT")
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")

_log = logging.getLogger(__name__)


class Database:
    """A connection that several threads may use, and that survives a fork and a deleted file.

    Parameters
    ----------
    path : path or None
        None: in memory.
    tables : str
        Statements that make the tables, harmless where they are there.
    durability : {"normal", "full"}

    Raises
    ------
    StoreError
        See `bandit.stores.sqlite.store.SqliteStore`.
    """

    def __init__(self, path: Path | None, tables: str, durability: Durability) -> None:
        if durability not in ("normal", "full"):
            raise InvalidInputError(f"durability {durability!r}; expected 'normal' or 'full'.")
        self._path = None if path is None else path.absolute()
        self.address = (
            "memory://" if self._path is None else f"sqlite://{quote(self._path.as_posix())}"
        )
        self._tables, self._durability = tables, durability
        self._errors = _Errors(self)
        self.lock = threading.RLock()
        self._is_closed = False
        self.n_opened = 0  # grows with each file that was opened in its place
        self._identity: tuple[int, ...] = ()
        self._connection: sqlite3.Connection | None = self._open()
        for warning in self.warnings():
            _log.warning("%s", warning)

    def warnings(self) -> list[str]:
        """See `Store`."""
        kind = _network_file_system(self._path)
        return [] if kind is None else [
            f"{self.address} is on a network file system ({kind}): processes on this host can "
            "share it, but several hosts would corrupt it. Use redis:// for several hosts."
        ]  # fmt: skip

    # -- opening -------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        path = self._path
        if path is not None:
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # for its owner only
            except OSError as err:
                raise StoreRefusedError(
                    f"store {self.address}: {err.strerror} ({err.filename}). Give a file that this "
                    "user can write."
                ) from err
        with self._errors:
            connection = sqlite3.connect(
                ":memory:" if path is None else path,
                timeout=LOCK_TIMEOUT_S,
                isolation_level=None,
                check_same_thread=False,
            )
        try:
            with self._errors:
                self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._identity = self._find_identity()
        self.n_opened += 1
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Refuse what is not ours, else make what is missing."""
        connection.execute("pragma trusted_schema=off")
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                connection.execute("pragma journal_mode=wal")
                break
            except sqlite3.OperationalError as err:  # two at once: it does not wait for the other
                if not _is_one_of(err, _ABSENT) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        connection.execute(f"pragma synchronous={self._durability}")
        (version,) = connection.execute("pragma user_version").fetchone()
        if version == FORMAT:
            self._check_owner(connection)
            return
        connection.execute("begin immediate")  # one of several makes the tables
        try:
            (version,) = connection.execute("pragma user_version").fetchone()
            if version or connection.execute("select 1 from sqlite_schema limit 1").fetchone():
                self._check_owner(connection)
            if version > FORMAT:
                raise IncompatibleStateError(
                    f"store {self.address}: format {version}, but this scanrank reads up to "
                    f"{FORMAT}. A newer scanrank wrote it: upgrade this one, or use another file."
                )
            for statement in self._tables.split(";"):
                connection.execute(statement)
            connection.execute(f"pragma application_id={_APPLICATION}")
            connection.execute(f"pragma user_version={FORMAT}")
            connection.execute("commit")
        finally:
            if connection.in_transaction:
                connection.execute("rollback")

    def _check_owner(self, connection: sqlite3.Connection) -> None:
        (application,) = connection.execute("pragma application_id").fetchone()
        if application != _APPLICATION:
            raise CorruptStateError(
                f"store {self.address}: it is another program's database. Nothing was changed; "
                "give another file."
            )

    def _find_identity(self) -> tuple[int, ...]:
        """Tell this process and this file from a child, and from a file of the same name."""
        if self._path is None:
            return ()
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return (os.getpid(), 0, 0)
        except OSError as err:
            raise StoreUnavailableError(f"store {self.address}: {err.strerror}.") from err
        return (os.getpid(), found.st_dev, found.st_ino)

    def _current(self) -> sqlite3.Connection:
        """Return the connection, a new one where the old one is of no use any more."""
        if self._connection is not None and self._connection.in_transaction:
            return self._connection
        if self._is_closed:
            raise StoreUnavailableError(f"store {self.address} was closed; open it again.")
        found = self._find_identity()
        if found != self._identity or self._connection is None:
            if self._connection is not None and found[0] == self._identity[0]:
                _log.error(
                    "store %s: the file was deleted or replaced while in use. Continuing with the "
                    "current one.", self.address,
                )  # fmt: skip
                self._connection.close()
            # After a fork the parent's connection is left alone: closing it here would take the
            # parent's locks away.
            self._connection = self._open()
        return self._connection

    def close(self) -> None:
        """Release the file; may be called twice. One in memory lives as long as this object."""
        if self._path is None:
            return
        with self.lock:
            self._is_closed = True
            if self._connection is not None and self._identity[:1] in ((), (os.getpid(),)):
                self._connection.close()
            self._connection = None

    # -- statements ----------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make a transaction of a block; inside another one it is a part of that."""
        with self.lock:
            connection = self._current()
            if connection.in_transaction:
                yield
                return
            try:
                with self._errors:  # inside, because an interrupt may come right after it
                    connection.execute("begin immediate")
                yield
                with self._errors:
                    connection.execute("commit")
            finally:
                self._end(connection)

    def _end(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:  # something was raised
            connection.execute("rollback")

    def version(self) -> tuple[int, int, int]:
        """Return numbers of which one changes whenever this or another process writes."""
        with self.lock, self._errors:
            connection = self._current()
            (others,) = connection.execute("pragma data_version").fetchone()
            return self.n_opened, others, connection.total_changes

    def n_changes(self) -> int:
        """Return the last number of `version`, without asking for the others."""
        with self.lock:
            return self._current().total_changes

    def run(self, sql: str, *values: Any) -> int:
        """Run a statement; returns how many rows it changed."""
        with self.lock, self._errors:
            return self._current().execute(sql, values).rowcount

    def run_many(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run a statement once a row."""
        with self.lock, self._errors:
            self._current().executemany(sql, rows)

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """Return all rows that a query finds."""
        with self.lock, self._errors:
            return self._current().execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> Any:
        """Return the first row that a query finds, None if there is none."""
        with self.lock, self._errors:
            return self._current().execute(sql, values).fetchone()

    def checkpoint(self) -> bool:
        """Write the log into the file and wait for the disk; False in memory, or where others read.

        In the mode "normal" this is when a report is safe against a power cut.
        """
        if self._path is None:
            return False
        is_busy, _, _ = self.row("pragma wal_checkpoint(full)")
        return not is_busy

    def backup(self, path: Path) -> None:
        """See `bandit.stores.sqlite.store.SqliteStore.backup`."""
        if path.exists():
            raise InvalidInputError(f"{path} already exists; give the name of a new file.")
        beside = path.with_name(f".{path.name}.part")
        beside.unlink(missing_ok=True)
        try:
            os.close(os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            target = sqlite3.connect(beside)
            try:
                with self.lock:
                    self._current().backup(target)
                target.execute("pragma journal_mode=delete")  # one file, without a log beside it
            finally:
                target.close()
            beside.rename(path)
        except (OSError, sqlite3.Error) as err:
            raise StoreRefusedError(f"{path} cannot be written ({err}).") from err
        finally:
            beside.unlink(missing_ok=True)

    def _translated(self, err: sqlite3.Error) -> StoreError:
        if _is_one_of(err, _ABSENT):
            return StoreUnavailableError(f"store {self.address} does not answer: {err}.")
        if _is_one_of(err, _DAMAGED):
            return CorruptStateError(
                f"store {self.address}: {err}. Nothing was changed; restore a backup, or give "
                "another file."
            )
        kind = EntryTooLargeError if _is_one_of(err, ("SQLITE_TOOBIG",)) else StoreRefusedError
        return kind(f"store {self.address} refuses: {err}.")


class _Errors:
    """Says what SQLite says in our words; a generator would take as long as a statement."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: object
    ) -> None:
        if isinstance(err, sqlite3.Error):
            raise self._database._translated(err) from err


def _is_one_of(err: sqlite3.Error, names: Sequence[str]) -> bool:
    # Extended codes begin with the name of the plain one: SQLITE_BUSY_SNAPSHOT.
    return str(getattr(err, "sqlite_errorname", "")).startswith(tuple(names))


def _network_file_system(path: Path | None) -> str | None:
    """Return the kind of the network file system that holds a path; None elsewhere, or unknown."""
    if path is None or not _MOUNTS.exists() or not path.exists():
        return None
    if os.major(path.stat().st_dev):
        return None  # a disk of this machine; what is mounted takes 0.1 ms to read
    best, found = -1, ""
    for line in _MOUNTS.read_text(errors="replace").splitlines():
        _, where, kind, *_ = line.split(" ")
        where = where.replace("\\040", " ")
        if path.is_relative_to(where) and len(where) >= best:
            best, found = len(where), kind
    return found if found in _NETWORK else None
