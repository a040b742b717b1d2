"""A store that does not let its caller down: what cannot be sent now is kept, and sent later.

`SpoolingStore` wraps another store. Its appends never raise because the server is away, full,
read-only or has another password by now: the entry goes to a file (one per ruleset, see
`bandit.stores.spool_file`), the log gets one warning per outage, and everything is sent in order as
soon as the server takes it, or at the next open. Appending is idempotent, so nothing counts twice.
All other calls go straight through and may raise.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from bandit.errors import (
    InvalidInputError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
)
from bandit.stores.base import Receipt
from bandit.stores.entries import Sealed
from bandit.stores.folders import state_directory
from bandit.stores.journal import SealedStore
from bandit.stores.names import START, check_name
from bandit.stores.spool_file import SpoolFile, SpoolFullError
from bandit.stores.wrapper import WrappedStore

FIRST_PAUSE_S = 0.25  # between attempts to reach the server again, doubled each time
LONGEST_PAUSE_S = 15.0
MAX_BYTES = 256 * 2**20  # of a spool file; 25,000 reports of 50
KEPT_BYTES = 32 * 2**20  # of sent entries, in case the server forgets them; 3,000 reports of 50

_AWAY = (StoreUnavailableError, StoreRefusedError)
_log = logging.getLogger(__name__)


def default_spool_directory(address: str) -> Path:
    """Return where the spool of a store goes: beside a file, else the user's state.

    The latter in a folder named after the address's digest.
    """
    if address.startswith("sqlite://"):
        return Path(unquote(address.removeprefix("sqlite://")) + "-spool")
    return state_directory() / "spool" / hashlib.sha256(address.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class SpoolStatus:
    """What happened between a `SpoolingStore` and its server so far."""

    is_away: bool = False
    n_outages: int = 0
    n_spooled: int = 0  # entries that could not be sent at once
    n_replayed: int = 0  # entries sent later, whichever process spooled them
    n_resent: int = 0  # entries sent again because the server had lost them
    n_lost: int = 0  # entries that fitted neither the spool nor memory, or were refused for good
    last_error: str = ""

    def __str__(self) -> str:
        if not (self.n_outages or self.n_replayed or self.n_resent or self.n_lost):
            return "ok"
        state = "away" if self.is_away else "back"
        counts = (
            (self.n_outages, "outages"),
            (self.n_spooled, "entries spooled"),
            (self.n_replayed, "sent later"),
            (self.n_resent, "sent again after the server had lost them"),
            (self.n_lost, "lost"),
        )
        return f"{state}: " + ", ".join(f"{count} {what}" for count, what in counts if count)


class SpoolingStore(WrappedStore):
    """A `bandit.stores.base.Store` around another one, whose appends survive its absence.

    Parameters
    ----------
    store : SealedStore
        Any of ours.
    directory : path, optional
        For the spool files, by default `default_spool_directory`. Several processes may share it.
        What waits there from earlier is sent at once.
    max_bytes : int
        Of one spool file. What does not fit, or finds the disk full, is kept in memory up to the
        same size, and lost with the process.
    clock : callable
        Monotonic seconds.

    Notes
    -----
    A server that does not answer costs one timeout (2 s to connect, 5 s for a reply) per attempt;
    attempts are 0.25 s to 15 s apart, and appends in between are spooled without asking.

    A server that comes back with an older state (``appendfsync everysec`` and a power cut, or an
    emptied database) shows at the next append by `Receipt.has_lost_entries`. The last `KEPT_BYTES`
    that this process sent are then sent again. They get new positions: a caller that had folded
    them folds anew from the snapshot.
    """

    def __init__(
        self,
        store: SealedStore,
        directory: str | Path | None = None,
        *,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(store)
        self._directory = Path(directory or default_spool_directory(store.address))
        self._max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.RLock()
        self._files: dict[str, SpoolFile] = {}
        self._overflow: deque[tuple[str, Sealed]] = deque()  # did not fit on the disk
        self._overflow_bytes = 0
        self._kept: deque[tuple[str, Sealed]] = deque()  # sent, newest last
        self._kept_bytes = 0
        self._has_lost: set[str] = set()  # rulesets of which the server has forgotten entries
        self._newest: dict[str, str] = {}  # ruleset -> last position known
        self._pause = FIRST_PAUSE_S
        self._next_attempt = float("-inf")
        self._status = SpoolStatus()
        for path in sorted(self._directory.glob("*.spool")):
            try:
                self._file(check_name("ruleset", path.name.removesuffix(".spool")))
            except InvalidInputError as err:
                _log.warning("%s is no spool of ours: %s", path, err)
        self.flush()

    @property
    def status(self) -> SpoolStatus:
        """What happened so far."""
        return self._status

    def append_sealed(self, ruleset: str, entry: Sealed) -> Receipt:
        """See `JournalWriter`. Of a spooled entry all is accepted, as far as anybody knows here."""
        with self._lock:
            # What waits goes first, so that the journal keeps the order of the reports.
            if self._may_try() and self._replay(ruleset):
                try:
                    receipt = self._store.append_sealed(ruleset, entry)
                except _AWAY as err:
                    self._went_away(err)
                else:
                    self._came_back()
                    self._sent(ruleset, entry, receipt)
                    self._resend_lost()
                    return receipt
            self._spool(ruleset, entry)
            accepted = np.ones(len(entry.members), dtype=np.bool_)
            return Receipt(None, self._newest.get(ruleset, START), accepted, is_spooled=True)

    def flush(self) -> bool:
        """Try now to send all that waits; whether nothing waits any more."""
        with self._lock:
            rulesets = {*self._files, *(ruleset for ruleset, _ in self._overflow)}
            is_empty = all([self._replay(ruleset) for ruleset in sorted(rulesets)])  # noqa: C419
            self._resend_lost()
            return is_empty

    def close(self) -> None:
        """See `Store`. Tries once more to send what waits; what cannot be sent stays on disk."""
        self.flush()
        self._store.close()

    # -- keeping -------------------------------------------------------------------------------

    def _file(self, ruleset: str) -> SpoolFile:
        if ruleset not in self._files:
            path = self._directory / f"{ruleset}.spool"
            self._files[ruleset] = SpoolFile(path, self._max_bytes)
        return self._files[ruleset]

    def _spool(self, ruleset: str, entry: Sealed) -> None:
        self._count(n_spooled=1)
        try:
            self._file(ruleset).append(entry.blob)
            return
        except SpoolFullError as err:
            if self._overflow_bytes + len(entry.blob) <= self._max_bytes:
                if not self._overflow:
                    _log.error("%s: entries are kept in memory only, until this process ends", err)
                self._overflow.append((ruleset, entry))
                self._overflow_bytes += len(entry.blob)
            else:
                self._count(n_lost=1)
                _log.error(
                    "%s, and %d bytes in memory too: the outcomes of %d arms of scan %s are lost",
                    *(err, self._overflow_bytes, len(entry.arms), entry.scan_id),
                )

    def _sent(self, ruleset: str, entry: Sealed, receipt: Receipt) -> None:
        self._newest[ruleset] = receipt.position or receipt.previous
        if receipt.has_lost_entries:
            self._has_lost.add(ruleset)
        if receipt.position is not None:
            self._kept.append((ruleset, entry))
            self._kept_bytes += len(entry.blob)
            while self._kept_bytes > KEPT_BYTES:
                self._kept_bytes -= len(self._kept.popleft()[1].blob)

    def _resend_lost(self) -> None:
        # Not at once in `_sent`: during a replay the spool file is locked, and this may spool.
        while self._has_lost:
            self._resend(self._has_lost.pop())

    def _resend(self, ruleset: str) -> None:
        """Send once more what we keep; the server ignores what it still has."""
        n_new = 0
        mine = [entry for name, entry in self._kept if name == ruleset]
        for index, entry in enumerate(mine):
            try:
                n_new += self._store.append_sealed(ruleset, entry).position is not None
            except _AWAY as err:
                self._went_away(err)
                for unsent in mine[index:]:
                    self._spool(ruleset, unsent)
                break
        self._count(n_resent=n_new)
        _log.warning(
            "store %s had lost entries of %s: %d were sent again", self.address, ruleset, n_new
        )

    # -- away and back -------------------------------------------------------------------------

    def _may_try(self) -> bool:
        return not self._status.is_away or self._clock() >= self._next_attempt

    def _replay(self, ruleset: str) -> bool:
        """Send what waits of a ruleset; whether nothing waits any more."""
        file, n_sent = self._file(ruleset), 0
        try:
            with file.waiting() as entries:
                for entry in entries:
                    n_sent += self._send_late(ruleset, entry)
            for _ in range(len(self._overflow)):
                name, entry = self._overflow[0]
                if name == ruleset:
                    n_sent += self._send_late(ruleset, entry)
                    self._overflow_bytes -= len(entry.blob)
                    self._overflow.popleft()
                else:
                    self._overflow.rotate(-1)
        except _AWAY as err:
            self._went_away(err)
            return False
        except OSError as err:
            _log.error("%s cannot be read: %s", file.path, err)
            return True
        if n_sent:
            self._came_back()
            self._count(n_replayed=n_sent)
            _log.warning("store %s: %d spooled entries of %s sent", self.address, n_sent, ruleset)
        return True

    def _send_late(self, ruleset: str, entry: Sealed) -> bool:
        try:
            receipt = self._store.append_sealed(ruleset, entry)
        except _AWAY:
            raise
        except StoreError as err:  # a foreign key in its way: it must not block the others for ever
            path = self._file(ruleset).set_aside(entry.blob)
            self._count(n_lost=1)
            _log.error("%s The entry was moved to %s.", err, path)
            return False
        self._sent(ruleset, entry, receipt)
        return True

    def _went_away(self, err: StoreError) -> None:
        self._next_attempt = self._clock() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE_S)
        if not self._status.is_away:
            self._count(n_outages=1)
            _log.warning("%s Reports are kept in %s until it is back.", err, self._directory)
        self._status = replace(self._status, is_away=True, last_error=str(err))

    def _came_back(self) -> None:
        if self._status.is_away:
            self._status = replace(self._status, is_away=False)
            self._pause = FIRST_PAUSE_S

    def _count(self, **more: int) -> None:
        counts = {name: getattr(self._status, name) + n for name, n in more.items()}
        self._status = replace(self._status, **counts)
