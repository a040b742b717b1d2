"""A running scan's line to the outside: its status goes out, operators' requests come in.

Both go through the store, in a thread of their own, so that a store that is slow or away never
makes the scan wait. The thread begins with the first report (a pool of processes has forked by
then); before that, what is due is done by the caller.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bandit.errors import CorruptStateError, InvalidInputError, StoreError
from bandit.stores import Store
from scanner_adapter.errors import InvalidNoteError
from scanner_adapter.live.control import ScanControl, without_stop
from scanner_adapter.live.status import fitted

if TYPE_CHECKING:
    from bandit.stores.spool.store import SpoolStatus

log = logging.getLogger("scanrank")

# Between two looks at the control note, and at least between two status notes.
TICK_S = 0.25
# A status without news says that the scanner lives.
HEARTBEAT_S = 5.0
# Share of the time that sending may take, of one processor.
_SHARE = 0.0012
# But requests are read after so long at most: a note with thousands of symbols takes 10 ms.
_LONGEST_SILENCE_S = 2.0
# After a failure, doubled each time.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 15.0
# How long the end of a scan waits for its last status to arrive.
_LAST_WAIT_S = 1.0
# A status of another worker that has seen more of a shared scan stands so long; one that lives
# has written again by then.
_OTHERS_STAND_S = 2.5 * HEARTBEAT_S

Note = dict[str, Any]


class StatusPublisher:
    """Sends a scan's status and fetches the control note, at most four times a second.

    Parameters
    ----------
    store : Store
    ruleset, scan_id : str
    status : bound method
        Returns the status note of the moment. Held weakly: a scan that nobody uses any more is
        not kept alive, and ends the thread.
    is_shared : bool
        Whether other workers write the same note.

    Attributes
    ----------
    control : ScanControl
        As last read; replaced as a whole.
    cost_s : float
        Processor seconds spent here so far, by whichever thread.
    """

    def __init__(
        self, store: Store, ruleset: str, scan_id: str, status: Callable[[], Note], is_shared: bool
    ) -> None:
        self.control = ScanControl()
        self.cost_s = 0.0
        self._store = store
        self._ruleset = ruleset
        self._scan_id = scan_id
        self._status = weakref.WeakMethod(status)
        self._is_shared = is_shared
        self._control: Note = {}  # as last read
        self._misread = ""
        self._is_open = False
        self._is_broken = False
        self._has_news = False
        self._last: Note | None = None
        self._sent = self._polled = -float("inf")
        self._pause_s = _FIRST_PAUSE_S
        self._next_try = -float("inf")
        self._is_over = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"scanrank-live-{scan_id}", daemon=True
        )

    def poll(self) -> None:
        """Fetch the control note now, where no thread does."""
        if not self._is_open:
            self._is_open = True
            self._open()
        elif self._thread.ident is None and time.monotonic() >= max(
            self._polled + TICK_S, self._next_try
        ):
            self._exchange()

    def _open(self) -> None:
        """Send the first status, and read what is asked already.

        A stop that stands there from before an interruption is taken back: the scan was started
        again on purpose. Not in a shared scan, where a worker may join late.
        """
        if self._spool_is_away():
            return
        self._exchange()
        stop = self.control.stop
        if stop is not None and not self._is_shared:
            log.info("scan %s was stopped earlier (%s); resuming it", self._scan_id, stop.reason)
            self.control = replace(self.control, stop=None)
            try:
                self._store.update_control(self._ruleset, self._scan_id, without_stop())
            except StoreError as err:
                self._failed(err)

    def listen(self) -> None:
        """Fetch the control note between batches too."""
        if self._thread.ident is None:
            self._thread.start()

    def publish(self) -> None:
        """Send the status when the next one is due."""
        self._has_news = True

    def close(self, *, has_last: bool) -> None:
        """Send the last status, unless other workers go on with the scan, and end.

        Waits a second at most; not at all while the store is away.
        """
        began = time.thread_time()
        self._last = self._compose() if has_last else None
        self.cost_s += time.thread_time() - began
        self._is_over.set()
        if self._last is not None or self._thread.ident is not None:
            self.listen()
            is_away = self._pause_s > _FIRST_PAUSE_S or self._spool_is_away()
            self._thread.join(0.0 if is_away else _LAST_WAIT_S)

    # -- inside ------------------------------------------------------------------------------

    def _run(self) -> None:
        pause_s = 0.0
        try:
            while not self._is_over.wait(pause_s):
                if self._status() is None:
                    return
                spent_s = self._exchange()
                due_s = min(spent_s / _SHARE, _LONGEST_SILENCE_S)
                pause_s = max(TICK_S, due_s, self._next_try - time.monotonic())
            if self._last is not None:
                began = time.thread_time()
                self._send(self._last)
                self.cost_s += time.thread_time() - began
        except StoreError as err:
            self._failed(err)
        except Exception as error:
            # A client that was closed in the middle of a command fails in ways of its own.
            self._broke(error)

    def _exchange(self) -> float:
        """Send what is new, fetch what is asked; return the processor seconds that it took."""
        began, now, composed_s = time.thread_time(), time.monotonic(), 0.0
        try:
            if self._has_news or now - self._sent >= HEARTBEAT_S:
                self._has_news = False
                note = self._compose()
                composed_s = time.thread_time() - began  # limited by `StatusBuilder`
                if note is not None and not self._others_know_more(note):
                    self._send(note)
            self._polled = now
            self._fetch()
            self._pause_s = _FIRST_PAUSE_S
        except StoreError as err:
            self._has_news = True
            self._failed(err)
        spent_s = time.thread_time() - began
        self.cost_s += spent_s
        return spent_s - composed_s

    def _compose(self) -> Note | None:
        """Return the status of now; None if the scan is gone, or cannot be described."""
        status = self._status()
        try:
            return None if status is None or self._is_broken else status()
        except Exception as error:
            # A defect of ours: the scan must not suffer, and one word about it is enough.
            self._broke(error)
            return None

    def _broke(self, error: Exception) -> None:
        self._is_broken = True
        log.warning(
            "scan %s continues, but no longer publishes its status: %s", self._scan_id, error,
            exc_info=error,
        )  # fmt: skip

    def _send(self, note: Note) -> None:
        try:
            self._store.put_status(self._ruleset, self._scan_id, note)
        except InvalidInputError:  # too large, with names in a long alphabet
            self._store.put_status(self._ruleset, self._scan_id, fitted(note))
        self._sent = time.monotonic()

    def _others_know_more(self, note: Note) -> bool:
        """Whether the status of another worker should stand, so that counters never step back."""
        if not self._is_shared:
            return False
        other = self._store.get_status(self._ruleset, self._scan_id)
        if other.get("state") == "done":
            return True
        n_scanned, at = other.get("n_scanned"), other.get("updated_at")
        if not isinstance(n_scanned, int) or not isinstance(at, float):
            return False
        return bool(n_scanned > note["n_scanned"] and note["updated_at"] - at < _OTHERS_STAND_S)

    def _fetch(self) -> None:
        try:
            control = self._store.get_control(self._ruleset, self._scan_id)
            if control != self._control:
                self._control = control
                self.control = ScanControl.from_json(control)
        except (InvalidNoteError, CorruptStateError) as err:
            if str(err) != self._misread:
                log.warning("invalid request to scan %s: %s", self._scan_id, err)
            self._misread = str(err)

    def _failed(self, err: StoreError) -> None:
        # No warning: the reports go to the same store, and whoever keeps them gives one.
        if self._pause_s == _FIRST_PAUSE_S:
            log.info("%s (the scan continues, but its status is not published for now)", err)
        self._next_try = time.monotonic() + self._pause_s
        self._pause_s = min(2.0 * self._pause_s, _LONGEST_PAUSE_S)

    def _spool_is_away(self) -> bool:
        status: SpoolStatus | None = getattr(self._store, "status", None)
        return status is not None and status.is_away
