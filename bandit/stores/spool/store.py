"""A store that does not let its caller down: what cannot be sent now is kept, and sent later.

`SpoolingStore` wraps another store. Its appends never raise because the server is away, full,
read-only or has another password by now: the entry goes to a file (`bandit.stores.spool.file`), the
log gets one warning per outage, and everything is sent in order as soon as the server takes it, or
at the next open. Appending is idempotent, so nothing counts twice. All other calls go straight
through and may raise; while the server does not answer they do so at once.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from bandit.errors import (
    EntryTooLargeError,
    JournalChangedError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
)
from bandit.stores.base import Receipt, Store
from bandit.stores.entries import Entry, Sealed, sealed_again, split
from bandit.stores.folders import state_directory
from bandit.stores.names import START, position_key
from bandit.stores.spool.file import SpoolFile
from bandit.stores.wrapper import WrappedStore

FIRST_PAUSE_S = 0.25  # between attempts to reach the server again, doubled each time
LONGEST_PAUSE_S = 15.0
PATIENCE_S = 0.5  # that a call waits for an attempt, which goes on in its own thread
MAX_BYTES = 256 * 2**20  # of the spool file; 25,000 reports of 50
KEPT_BYTES = 32 * 2**20  # of sent and read entries, in case the server forgets them
KEPT_SCANS = 64  # that they are of, at most: a fold knows twice as many, and doubles none of them
SMALL_BYTES = 64 * 2**10  # no server refuses an entry of that size for its size

_AWAY = (StoreUnavailableError, StoreRefusedError)
_log = logging.getLogger(__name__)


def default_spool_directory(address: str, identity: str = "") -> Path:
    """Return where the spool of a store goes: beside a file, else the user's state.

    The latter in a folder named after what the server is, however its address was spelled; where
    that is not known, after its address.
    """
    if address.startswith("sqlite://"):
        return Path(unquote(address.removeprefix("sqlite://")) + "-spool")
    name = identity or hashlib.sha256(address.encode()).hexdigest()[:16]
    return state_directory() / "spool" / name


@dataclass(frozen=True)
class SpoolStatus:
    """What happened between a `SpoolingStore` and its server so far."""

    is_away: bool = False
    n_outages: int = 0
    n_spooled: int = 0  # entries that could not be sent at once
    n_replayed: int = 0  # entries sent later, whichever process spooled them
    n_resent: int = 0  # entries sent again because the server had lost them
    n_set_aside: int = 0  # entries that the server refuses for good, kept in files
    n_lost: int = 0  # entries that fitted neither the spool nor memory
    last_error: str = ""

    def __str__(self) -> str:
        counts = (
            (self.n_outages, "outages"),
            (self.n_spooled, "entries spooled"),
            (self.n_replayed, "sent later"),
            (self.n_resent, "sent again after the server had lost them"),
            (self.n_set_aside, "set aside"),
            (self.n_lost, "lost"),
        )
        listed = ", ".join(f"{count} {what}" for count, what in counts if count)
        return f"{'away' if self.is_away else 'back'}: {listed}" if listed else "ok"


class SpoolingStore(WrappedStore):
    """A `bandit.stores.base.Store` around another one, whose appends survive its absence.

    Parameters
    ----------
    store : Store
        Any of ours.
    directory : path, optional
        For the spool, by default `default_spool_directory`. Several processes may share it. What
        waits there from earlier is sent at once. A user without a home has none by default, and
        entries wait in memory.
    max_bytes : int
        Of the spool file. What does not fit, or finds the disk full, is kept in memory up to the
        same size, and lost with the process.
    clock : callable
        Monotonic seconds.

    Notes
    -----
    The first call that a server does not answer waits for its timeout (2 s to connect, 5 s for a
    reply). After that there is one attempt in every pause (0.25 s, doubled up to 15 s), in a thread
    of its own, for which no call waits longer than `PATIENCE_S`.

    A server that comes back with an older state (``appendfsync everysec`` and a power cut, or an
    emptied database) shows by another generation of the journal. The last `KEPT_BYTES` that this
    process sent, or read to fold them, are then sent again, and the server ignores what it has.

    An entry that is too large for the server is sent in halves; one that is refused for good is
    kept in a file of its own, which the log names.
    """

    def __init__(
        self,
        store: Store,
        directory: str | Path | None = None,
        *,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(store)
        self._max_bytes = max_bytes
        self._clock = clock
        self._sending = threading.RLock()  # keeps the order of what is sent
        self._lock = threading.RLock()  # of the fields below, never held while a server is asked
        self._file: SpoolFile | None = None
        self._is_waiting = True  # perhaps something is on the disk
        self._overflow: deque[tuple[str, Sealed]] = deque()  # did not fit on the disk
        self._overflow_bytes = 0
        # (ruleset, position) -> entry that was sent or read, and its size; the newest last
        self._kept: dict[tuple[str, str], tuple[Sealed | Entry, int]] = {}
        self._kept_bytes = 0
        self._kept_scans: Counter[tuple[str, str]] = Counter()
        self._generations: dict[str, str] = {}  # ruleset -> the journal's, as last read
        self._newest: dict[str, str] = {}  # ruleset -> last position known
        self._pause = FIRST_PAUSE_S
        self._next_attempt = float("-inf")
        self._attempt: threading.Thread | None = None
        self._is_silent = False  # away because it does not answer: then nothing else is asked
        self.status = SpoolStatus()  # what happened so far
        try:
            folder = Path(directory or self._default_directory())
            self._file = SpoolFile(folder / "spool.db", max_bytes)
        except StoreRefusedError as err:
            _log.warning("While the store is unreachable, reports are kept in memory only: %s", err)
        self.flush()

    def _default_directory(self) -> Path:
        # Noted by its place too, for a server that was emptied and has forgotten what it is.
        noted = default_spool_directory(self._store.place()).with_suffix(".server")
        known = noted.read_text().strip() if noted.exists() else ""
        found = self._store.identity(known)
        if found and found != known:
            try:
                noted.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                noted.write_text(found)
            except OSError as err:
                _log.warning("%s cannot be written (%s)", noted, err)
        return default_spool_directory(self.address, found)

    # -- calls ---------------------------------------------------------------------------------

    def append_sealed(self, ruleset: str, entry: Sealed) -> Receipt:
        """See `Store`. Of a spooled entry all is accepted, as far as anybody knows here."""
        if self._is_here():
            with self._sending:
                # What waits goes first, so that the journal keeps the order of the reports.
                if not self.status.is_away and self._drain(ruleset):
                    receipt = self._send(ruleset, entry)
                    if receipt is not None:
                        return receipt
        self._spool(ruleset, entry)
        return self._kept_here(ruleset, entry)

    def read(
        self,
        ruleset: str,
        *,
        after: str = START,
        limit: int | None = None,
        generation: str | None = None,
    ) -> Iterator[Entry]:
        """See `Store`. What is read to be folded is kept, in case the server forgets it."""
        try:
            with self._asking():
                for entry in self._store.read(
                    ruleset, after=after, limit=limit, generation=generation
                ):
                    if generation is not None:
                        size = sum(array.nbytes for array in entry.arrays.values())
                        self._keep(ruleset, entry.position, entry, size)
                    yield entry
        except JournalChangedError:
            with self._sending:
                self._resend(ruleset)
            raise

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        with self._asking():
            return getattr(self._store, name)(*args, **options)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        if self._is_silent and not self._is_here():
            raise StoreUnavailableError(self.status.last_error)
        try:
            yield
        except StoreUnavailableError as err:
            self._went_away(err)
            raise

    def flush(self) -> bool:
        """Try to send all spooled entries now; return whether none is left."""
        with self._sending:
            self._is_waiting = True
            try:
                waiting = {*(self._file.rulesets() if self._file else ()), *self._overflow_of()}
            except StoreError as err:
                _log.error("%s", err)
                waiting = set(self._overflow_of())
            return all([self._drain(ruleset) for ruleset in sorted(waiting)])  # noqa: C419

    def close(self) -> None:
        """See `Store`. Tries once more to send what waits; what cannot be sent stays on disk.

        What waits in memory only is lost then, which is logged.
        """
        if not self._is_silent or self._is_here():
            self.flush()
        with self._lock:
            lost = [entry for _, entry in self._overflow]
            self._overflow.clear()
            self._overflow_bytes = 0
        if lost:
            self._count(n_lost=len(lost))
            _log.error(
                "store %s takes no reports, and neither did the disk: the outcomes of %d symbols "
                "are lost. Free space, then scan them again: %s",
                *(self.address, sum(len(entry.arms) for entry in lost)),
                "; ".join(dict.fromkeys(f"scan {entry.scan_id}" for entry in lost)),
            )
        if self._file is not None:
            self._file.close()
        self._store.close()

    # -- keeping -------------------------------------------------------------------------------

    def _spool(self, ruleset: str, entry: Sealed) -> None:
        self._count(n_spooled=1)
        reason: object = "there is no folder for spooled reports"
        if self._file is not None:
            try:
                self._file.append(ruleset, entry.blob)
                self._is_waiting = True
                return
            except (StoreError, OSError) as err:
                reason = f"{self._file.path} cannot be written ({err})"
        with self._lock:
            if self._overflow_bytes + len(entry.blob) <= self._max_bytes:
                if not self._overflow:
                    _log.error(
                        "%s: entries are kept in memory only and are lost when this process ends",
                        reason,
                    )
                self._overflow.append((ruleset, entry))
                self._overflow_bytes += len(entry.blob)
                return
        self._count(n_lost=1)
        _log.error(
            "%s, and the %d bytes in memory are full too: the outcomes of %d symbols of scan %s "
            "are lost",
            *(reason, self._overflow_bytes, len(entry.arms), entry.scan_id),
        )

    def _overflow_of(self) -> list[str]:
        with self._lock:
            return [ruleset for ruleset, _ in self._overflow]

    def _keep(self, ruleset: str, position: str, entry: Sealed | Entry, size: int) -> None:
        key = ruleset, position
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = entry, size
            self._kept_bytes += size
            self._kept_scans[ruleset, entry.scan_id] += 1
            while self._kept_bytes > KEPT_BYTES or len(self._kept_scans) > KEPT_SCANS:
                oldest = next(iter(self._kept))
                dropped, n_bytes = self._kept.pop(oldest)
                self._kept_bytes -= n_bytes
                scan = oldest[0], dropped.scan_id
                self._kept_scans[scan] -= 1
                if not self._kept_scans[scan]:
                    del self._kept_scans[scan]

    def _kept_here(self, ruleset: str, entry: Sealed) -> Receipt:
        return Receipt(
            None,
            self._newest.get(ruleset, START),
            np.ones(len(entry.members), dtype=np.bool_),
            is_spooled=True,
            generation=self._generations.get(ruleset, ""),
        )

    # -- sending -------------------------------------------------------------------------------

    def _send(self, ruleset: str, entry: Sealed) -> Receipt | None:
        """Append an entry, in pieces where it is too large; None: the server is away."""
        try:
            receipt = self._appended(ruleset, entry)
        except EntryTooLargeError as err:
            halves = split(entry)
            if not halves:
                self._set_aside(ruleset, entry, err)
                return self._kept_here(ruleset, entry)
            receipts = [self._send(ruleset, half) for half in halves]
            if any(part is None for part in receipts):
                return None  # what had arrived is refused when all is sent again
            first, second = (part for part in receipts if part is not None)
            # `previous` is not the position before: the caller reads what is in the journal now.
            return replace(
                second,
                position=second.position or first.position,
                previous=first.position or first.previous,
                accepted=np.concatenate([first.accepted, second.accepted]),
            )
        except _AWAY as err:
            self._went_away(err)
            return None
        self._came_back()
        self._newest[ruleset] = receipt.position or receipt.previous
        if receipt.position is not None:
            self._keep(ruleset, receipt.position, entry, len(entry.blob))
        known, self._generations[ruleset] = self._generations.get(ruleset), receipt.generation
        if known and known != receipt.generation:
            self._resend(ruleset)
        return receipt

    def _appended(self, ruleset: str, entry: Sealed) -> Receipt:
        """Append an entry; find out whether it is its size that a server hangs up on."""
        for is_second in (False, True):
            try:
                return self._store.append_sealed(ruleset, entry)
            except StoreUnavailableError as err:
                if len(entry.blob) <= SMALL_BYTES or "timed out" in str(err).lower():
                    raise
                self._store.generation(ruleset)  # raises if the server is away
                if is_second:
                    raise EntryTooLargeError(
                        f"{err} It answers, but closes the connection on an entry of "
                        f"{len(entry.blob)} bytes."
                    ) from err
        raise AssertionError("unreachable")

    def _drain(self, ruleset: str) -> bool:
        """Send what waits of a ruleset; whether nothing left any more."""
        if not self._is_waiting and not self._overflow:
            return True
        n_sent = 0
        try:
            while self._file is not None and (found := self._file.first(ruleset)) is not None:
                if not self._send_late(ruleset, found[1]):
                    return False
                self._file.delete(found[0])
                n_sent += 1
            self._is_waiting = bool(self._file and self._file.rulesets())
        except (StoreError, OSError) as err:
            _log.error("%s", err)
        for _ in range(len(self._overflow)):
            name, entry = self._overflow[0]
            if name != ruleset:
                self._overflow.rotate(-1)
            elif not self._send_late(ruleset, entry):
                return False
            else:
                with self._lock:
                    self._overflow.popleft()
                    self._overflow_bytes -= len(entry.blob)
                n_sent += 1
        if n_sent:
            self._count(n_replayed=n_sent)
            _log.warning("store %s: %d spooled entries of %s sent", self.address, n_sent, ruleset)
        return True

    def _send_late(self, ruleset: str, entry: Sealed) -> bool:
        try:
            return self._send(ruleset, entry) is not None
        except StoreError as err:  # a foreign key in its way: it must not block the others for ever
            self._set_aside(ruleset, entry, err)
            return True

    def _set_aside(self, ruleset: str, entry: Sealed, err: StoreError) -> None:
        self._count(n_set_aside=1)
        what = f"The outcomes of {len(entry.arms)} symbols of scan {entry.scan_id}"
        try:
            path = self._file.set_aside(ruleset, entry.blob) if self._file else None
        except OSError as failure:
            path, err = None, StoreRefusedError(f"{err} ({failure})")
        if path is None:
            self._count(n_lost=1)
            _log.error("%s %s are lost.", err, what)
        else:
            _log.error("%s %s were moved to %s.", err, what, path)

    def _resend(self, ruleset: str) -> None:
        """Send once more what we keep; the server ignores what it still has."""
        n_new = 0
        with self._lock:
            positions = [position for name, position in self._kept if name == ruleset]
            positions.sort(key=position_key)
            mine = [self._kept[ruleset, position][0] for position in positions]
        entries = [each if isinstance(each, Sealed) else sealed_again(each) for each in mine]
        for index, entry in enumerate(entries):
            try:
                receipt = self._appended(ruleset, entry)
            except _AWAY as err:
                self._went_away(err)
                for unsent in entries[index:]:
                    self._spool(ruleset, unsent)
                break
            n_new += receipt.position is not None
            self._generations[ruleset] = receipt.generation
        self._count(n_resent=n_new)
        if n_new:
            _log.warning(
                "store %s had lost entries of %s; %d were sent again", self.address, ruleset, n_new
            )

    # -- away and back -------------------------------------------------------------------------

    def _is_here(self) -> bool:
        """Whether the server can be asked; tries again, in a thread, when it is time."""
        if not self.status.is_away:
            return True
        with self._lock:
            attempt = self._attempt
            if (attempt is None or not attempt.is_alive()) and self._clock() >= self._next_attempt:
                self._attempt = attempt = threading.Thread(
                    target=self._try_again, name="scanrank-spool", daemon=True
                )
                attempt.start()
            else:
                attempt = None
        if attempt is not None:
            attempt.join(PATIENCE_S)
        return not self.status.is_away

    def _try_again(self) -> None:
        with self._sending:
            try:
                self._store.generation("r")
            except StoreUnavailableError as err:
                self._went_away(err)
                return
            except StoreError as err:
                _log.debug("%s", err)  # it answers; what waits shows whether it takes it
            self._is_silent = False
            if self.flush():
                self._came_back()

    def _went_away(self, err: StoreError) -> None:
        with self._lock:
            self._next_attempt = self._clock() + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE_S)
            self._is_silent = isinstance(err, StoreUnavailableError)
            is_first = not self.status.is_away
            self.status = replace(self.status, is_away=True, last_error=str(err))
        if is_first:
            self._count(n_outages=1)
            place = self._file.path.parent if self._file else "memory"
            _log.warning("%s Reports are kept in %s until it answers again.", err, place)

    def _came_back(self) -> None:
        if self.status.is_away:
            with self._lock:
                self.status = replace(self.status, is_away=False)
                self._pause, self._is_silent = FIRST_PAUSE_S, False

    def _count(self, **more: int) -> None:
        with self._lock:
            counts = {name: getattr(self.status, name) + n for name, n in more.items()}
            self.status = replace(self.status, **counts)
