"""Sealed journal entries that wait for their store, in a SQLite file that several processes share.

An entry is on the disk when `append` returns. Nobody holds a lock while entries are sent: sending
one twice is harmless, and it is deleted when it has arrived.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from bandit.errors import CorruptStateError, IncompatibleStateError
from bandit.stores.entries import Sealed, unseal
from bandit.stores.sqlite.database import Database

_TABLES = """
create table if not exists waiting(id integer primary key autoincrement, ruleset text not null,
    blob blob not null);
create index if not exists waiting_of on waiting(ruleset, id);
"""
_PAGE_BYTES = 4096  # of SQLite

_log = logging.getLogger(__name__)


class SpoolFile:
    """The entries of all rulesets of one store that wait; made at the first of them.

    Parameters
    ----------
    path : path
    max_bytes : int
        Of the file.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._opened: Database | None = None

    def append(self, ruleset: str, blob: bytes) -> None:
        """Write one entry and wait until it is on the disk.

        Raises
        ------
        StoreError
            When it cannot be written: the limit is reached, the disk is full or not ours.
        """
        self._db().run("insert into waiting(ruleset, blob) values(?,?)", ruleset, blob)

    def rulesets(self) -> list[str]:
        """Return the rulesets that have waiting entries."""
        if not self.path.exists():
            return []
        return [name for (name,) in self._db().rows("select distinct ruleset from waiting")]

    def first(self, ruleset: str) -> tuple[int, Sealed] | None:
        """Return the oldest waiting entry and its number; one that cannot be read is set aside."""
        while self.path.exists():
            sql = "select id, blob from waiting where ruleset=? order by id limit 1"
            found = self._db().row(sql, ruleset)
            if found is None:
                return None
            number, blob = found
            try:
                return number, unseal(blob, where=f"{self.path} entry {number}")
            except (CorruptStateError, IncompatibleStateError) as err:
                _log.error("%s It was moved to %s.", err, self.set_aside(ruleset, bytes(blob)))
                self.delete(number)
        return None

    def delete(self, number: int) -> None:
        """Forget an entry that has arrived."""
        self._db().run("delete from waiting where id=?", number)

    def set_aside(self, ruleset: str, blob: bytes) -> Path:
        """Keep an entry that the store refuses for good, in a file of its own beside the spool."""
        path = self.path.with_name(f"{ruleset}.{time.time_ns()}.refused")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        return path

    def close(self) -> None:
        """Release the file."""
        if self._opened is not None:
            self._opened.close()
        self._opened = None

    def _db(self) -> Database:
        if self._opened is None:
            try:
                self._opened = Database(self.path, _TABLES, "full")
                self._opened.row("select count(*) from waiting")
            except CorruptStateError as err:
                aside = self.path.with_name(f"{self.path.name}.{time.time_ns()}.damaged")
                self.path.rename(aside)
                _log.error("%s It was moved to %s.", err, aside)
                self._opened = Database(self.path, _TABLES, "full")
            n_pages = max(16, self._max_bytes // _PAGE_BYTES)
            self._opened.run(f"pragma max_page_count={n_pages}")
        return self._opened
