"""One worker's leases in a scan that several processes share.

Every worker ranks the whole universe by what all workers have reported so far, and claims in the
store what it is about to scan. A claim is a lease: a heartbeat renews it while the worker runs. If
the worker dies, its leases expire after at most `lease_s` seconds and its symbols are free again.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Container, Iterable, Sequence

from bandit.errors import StoreRefusedError, StoreUnavailableError
from bandit.stores import Store
from scanner_adapter.errors import ScanStateError
from scanner_adapter.scan.pacing import Pacing

log = logging.getLogger("scanrank")

_AWAY = (StoreUnavailableError, StoreRefusedError)
# Names in the store have at most 64 characters; 17 of them distinguish processes.
_LONGEST_NAME = 46
# Seconds to retry an unavailable store before symbols are scanned without a claim.
_PATIENCE_S = 5.0
_RETRY_S = 0.2
# Seconds between two polls of other workers' claims when there is nothing else to scan.
_IDLE_S = 0.05


class WorkerLeases:
    """Symbols that one worker of a shared scan has claimed, and those it was refused.

    Parameters
    ----------
    store : Store
    ruleset, scan_id, worker : str
        The worker's name must be unique within the scan. A worker that restarts under its old name
        gets its claims back at once; of two processes with one name, the later one takes over.
    lease_s : float
        Seconds until the claims of a dead worker expire.

    Notes
    -----
    The heartbeat runs in a thread of its own, because a scanner may take longer than a lease for
    one batch. All other methods are called under the scan's lock.
    """

    def __init__(
        self, store: Store, ruleset: str, scan_id: str, worker: str, lease_s: float
    ) -> None:
        self.name = worker
        # Each process claims under a name of its own that contains its start time. Otherwise two
        # processes with one name would be given the same symbols.
        known = worker if len(worker) <= _LONGEST_NAME else _shortened(worker)
        self._prefix = f"{known}."
        self.worker = self._latest = f"{self._prefix}{time.time_ns():016x}"
        self._store = store
        self._ruleset = ruleset
        self._scan_id = scan_id
        self._lease_s = lease_s
        self._held: set[str] = set()
        self._refused: set[str] = set()  # held by others at the last poll
        self._polled = time.monotonic()
        self.pacing = Pacing()
        self._lock = threading.Lock()  # of `_held`, which the heartbeat reads
        self._is_over = threading.Event()
        self._has_warned = False
        self._heartbeat = threading.Thread(
            target=self._beat, name=f"scanrank-lease-{worker}", daemon=True
        )

    @property
    def holds_some(self) -> bool:
        """Whether this worker has claimed symbols without an outcome."""
        return bool(self._held)

    @property
    def n_held(self) -> int:
        """Number of symbols that this worker has claimed and that have no outcome."""
        return len(self._held)

    @property
    def waits_for_others(self) -> bool:
        """Whether other workers hold remaining symbols."""
        return bool(self._refused)

    def claim(self, symbols: Sequence[str]) -> set[str]:
        """Claim the free ones of `symbols` and return them; the others count as refused."""
        if self._heartbeat.ident is None:
            self._heartbeat.start()
        with self._lock:
            self._held.update(symbols)  # before the claim: an interrupt leaves none behind
        mine = set(self._claim(symbols))
        refused = set(symbols) - mine
        self._refused |= refused
        with self._lock:
            self._held -= refused
        return mine

    def settle(self, symbols: Iterable[str]) -> None:
        """Drop symbols that have an outcome, from any worker."""
        for symbol in symbols:
            self._refused.discard(symbol)
        with self._lock:
            self._held.difference_update(symbols)

    def reported(self, symbols: Container[str]) -> list[str]:
        """Return those of `symbols` with an outcome in the store, and settle them.

        Raises
        ------
        StoreError
        """
        known = [s for s in self._store.reported(self._ruleset, self._scan_id) if s in symbols]
        self.settle(known)
        return known

    def poll(self, symbols: Container[str]) -> tuple[list[str], list[str]]:
        """Poll the claims of other workers.

        Without it every worker would draw the same best symbols and be refused most of them: 8
        workers needed 13 requests for a batch of 25.

        Returns
        -------
        held, free : list of str
            Those of `symbols` that others hold, and those that others held at the last poll and
            have released since. While the store is unavailable: all of them once a lease has
            passed since the last poll.

        Raises
        ------
        ScanStateError
            If a later process uses this worker's name.
        """
        try:
            claims = self._store.claims(self._ruleset, self._scan_id)
        except _AWAY as err:
            log.debug("claims of scan %s could not be read: %s", self._scan_id, err)
            if time.monotonic() - self._polled < self._lease_s:
                return [], []
            # Nobody can say whether they still run: waiting for them might never end.
            free, self._refused = sorted(self._refused), set()
            return [], free
        self._polled = time.monotonic()
        claims = self._without_predecessors(claims)
        held = [s for s, worker in claims.items() if worker != self.worker and s in symbols]
        free = sorted(self._refused.difference(held))
        self._refused = set(held)
        return held, free

    def pause(self) -> None:
        """Sleep briefly, for others to report or their leases to expire."""
        time.sleep(_IDLE_S)

    def leave(self) -> bool:
        """Stop the heartbeat and release the claims that were not scanned.

        Returns
        -------
        bool
            Whether this worker was the last one: nobody holds a symbol of the scan any more. False
            if the store is unavailable.
        """
        self._is_over.set()
        if self._heartbeat.ident is not None:
            self._heartbeat.join()
        held = sorted(self._held)
        self._held.clear()
        try:
            return self._store.release(self._ruleset, self._scan_id, self.worker, held)
        except _AWAY as err:
            log.warning("%s Symbols of %s stay leased until their leases expire.", err, self.name)
            return False

    def record_holder(self, holder: object) -> None:
        """Record the process behind a claim or report, to detect a later one with this name."""
        if isinstance(holder, str) and holder.startswith(self._prefix):
            self._latest = max(self._latest, holder)

    def _check_latest(self) -> None:
        if self._latest > self.worker:
            raise ScanStateError(
                f"another process has joined scan {self._scan_id} as worker {self.name!r} and "
                "takes over its symbols; give each process a unique name"
            )

    def _without_predecessors(self, claims: dict[str, str]) -> dict[str, str]:
        """Release the claims of earlier processes with this name; return the other claims.

        Raises
        ------
        ScanStateError
            If a later process uses this worker's name.
        """
        for holder in sorted(set(claims.values())):
            self.record_holder(holder)
            if holder.startswith(self._prefix) and holder < self.worker:
                symbols = sorted(symbol for symbol, worker in claims.items() if worker == holder)
                log.info(
                    "worker %s takes over %d symbols of an earlier process with the same name",
                    self.name, len(symbols),
                )  # fmt: skip
                try:
                    self._store.release(self._ruleset, self._scan_id, holder, symbols)
                except _AWAY as err:
                    log.debug("claims of %s could not be released: %s", holder, err)
                    continue
                claims = {s: worker for s, worker in claims.items() if worker != holder}
        self._check_latest()
        return claims

    def _claim(self, symbols: Sequence[str]) -> Sequence[str]:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return self._store.claim(
                    self._ruleset, self._scan_id, self.worker, symbols,
                    k=len(symbols), lease_s=self._lease_s,
                )  # fmt: skip
            except _AWAY as err:
                if self._has_warned or time.monotonic() > deadline:
                    if not self._has_warned:
                        log.warning(
                            "%s Worker %s continues without claims: other workers may scan the "
                            "same symbols, and the first outcome counts.", err, self.name,
                        )  # fmt: skip
                    self._has_warned = True
                    return symbols
                time.sleep(_RETRY_S)

    def _beat(self) -> None:
        while not self._is_over.wait(self._lease_s / 4):
            with self._lock:
                held = sorted(self._held)
            if not held:
                continue
            try:
                kept = self._store.renew(
                    self._ruleset, self._scan_id, self.worker, held, lease_s=self._lease_s
                )
            except _AWAY as err:
                log.debug("leases of %s could not be renewed: %s", self.name, err)
                continue
            if len(kept) < len(held):
                # Renewed too late, for example after a laptop slept: others have the symbols, and
                # the first outcome counts.
                log.info("worker %s lost %d leases", self.name, len(held) - len(kept))


def _shortened(name: str) -> str:
    mark = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
    return f"{name[: _LONGEST_NAME - 9]}-{mark}"
