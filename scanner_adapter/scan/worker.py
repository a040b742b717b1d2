"""One worker's part in an open scan that several processes share.

Every worker ranks the whole universe by what all have reported so far, and claims in the store what
it is about to scan. A claim is a lease: a heartbeat renews it while the worker lives, and when the
worker dies its symbols are free again after at most `lease_s`.
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
# Names in the store have 64 characters; 17 of them distinguish processes.
_LONGEST_NAME = 46
# A store that is away gets this long to come back before symbols are scanned without a claim.
_PATIENCE_S = 5.0
_RETRY_S = 0.2
# Between two looks at symbols that others hold, when there is nothing else to do.
_IDLE_S = 0.05


class WorkerLeases:
    """What one worker holds of a shared scan, and what it was refused.

    Parameters
    ----------
    store : Store
    ruleset, scan_id, worker : str
        The worker's name is its own among those of the scan; one that comes back under its old
        name gets its symbols back at once. Of two processes under one name the later one has it.
    lease_s : float
        How long the symbols of a dead worker stay its own.

    Notes
    -----
    The heartbeat runs in a thread of its own, because a scanner may take longer than a lease for
    one batch. All other methods are called under the scan's lock.
    """

    def __init__(
        self, store: Store, ruleset: str, scan_id: str, worker: str, lease_s: float
    ) -> None:
        self.name = worker
        # In the store each process holds its symbols under a name of its own, which shows the
        # later of two apart: both would be given the same symbols otherwise.
        known = worker if len(worker) <= _LONGEST_NAME else _shortened(worker)
        self._prefix = f"{known}."
        self.worker = self._latest = f"{self._prefix}{time.time_ns():016x}"
        self._store = store
        self._ruleset = ruleset
        self._scan_id = scan_id
        self._lease_s = lease_s
        self._held: set[str] = set()
        self._refused: set[str] = set()  # held by others when we looked last
        self.pacing = Pacing()
        self._lock = threading.Lock()  # of `_held`, which the heartbeat reads
        self._is_over = threading.Event()
        self._has_warned = False
        self._heartbeat = threading.Thread(
            target=self._beat, name=f"scanrank-lease-{worker}", daemon=True
        )

    @property
    def holds_some(self) -> bool:
        """Whether symbols that this worker claimed have no outcome yet."""
        return bool(self._held)

    @property
    def n_held(self) -> int:
        """Symbols that this worker claimed and that have no outcome yet."""
        return len(self._held)

    @property
    def waits_for_others(self) -> bool:
        """Whether symbols are left that others hold."""
        return bool(self._refused)

    def claim(self, symbols: Sequence[str]) -> set[str]:
        """Claim what is free of `symbols`; the rest is remembered as refused."""
        if self._heartbeat.ident is None:
            self._heartbeat.start()
        mine = set(self._claim(symbols))
        self._refused.update(symbol for symbol in symbols if symbol not in mine)
        with self._lock:
            self._held |= mine
        return mine

    def settle(self, symbols: Iterable[str]) -> None:
        """Forget symbols that have an outcome, whoever reported it."""
        for symbol in symbols:
            self._refused.discard(symbol)
        with self._lock:
            self._held.difference_update(symbols)

    def reported(self, symbols: Container[str]) -> list[str]:
        """Return those of `symbols` that have an outcome in the store, and settle them.

        Raises
        ------
        StoreError
        """
        known = [s for s in self._store.reported(self._ruleset, self._scan_id) if s in symbols]
        self.settle(known)
        return known

    def poll(self, symbols: Container[str]) -> tuple[list[str], list[str]]:
        """See what other workers hold now.

        Without it every worker would draw the same best symbols and be refused most of them: 8
        workers asked 13 times for a batch of 25.

        Returns
        -------
        held, free : list of str
            Those of `symbols` that others hold, and those that they held when we looked last and
            do not any more.

        Raises
        ------
        ScanStateError
            When a later process works under this name.
        """
        try:
            claims = self._store.claims(self._ruleset, self._scan_id)
        except _AWAY as err:
            log.debug("claims of scan %s not read: %s", self._scan_id, err)
            return [], []
        claims = self._without_predecessors(claims)
        held = [s for s, worker in claims.items() if worker != self.worker and s in symbols]
        free = sorted(self._refused.difference(held))
        self._refused = set(held)
        return held, free

    def pause(self) -> None:
        """Wait a moment for others to report, or for their leases to run out."""
        time.sleep(_IDLE_S)

    def leave(self) -> bool:
        """Stop the heartbeat and give back what was not scanned.

        Returns
        -------
        bool
            Whether nobody holds any symbol of the scan now: this worker was the last one. False
            where the store is away and nobody knows.
        """
        self._is_over.set()
        if self._heartbeat.ident is not None:
            self._heartbeat.join()
        held = sorted(self._held)
        self._held.clear()
        try:
            return self._store.release(self._ruleset, self._scan_id, self.worker, held)
        except _AWAY as err:
            log.warning("%s Symbols of %s stay leased until they run out.", err, self.name)
            return False

    def record_holder(self, holder: object) -> None:
        """Remember which process reports, in case a later one uses the same name."""
        if isinstance(holder, str) and holder.startswith(self._prefix):
            self._latest = max(self._latest, holder)

    def _check_latest(self) -> None:
        if self._latest > self.worker:
            raise ScanStateError(
                f"another process has joined scan {self._scan_id} as worker {self.name!r} and "
                "takes its symbols over; give each process a name of its own"
            )

    def _without_predecessors(self, claims: dict[str, str]) -> dict[str, str]:
        """Take back what an earlier process under this name holds; what is left is of others.

        Raises
        ------
        ScanStateError
            When a later process works under this name.
        """
        for holder in sorted(set(claims.values())):
            self.record_holder(holder)
            if holder.startswith(self._prefix) and holder < self.worker:
                symbols = sorted(symbol for symbol, worker in claims.items() if worker == holder)
                log.info(
                    "worker %s takes over %d symbols of an earlier process of its name",
                    self.name, len(symbols),
                )  # fmt: skip
                try:
                    self._store.release(self._ruleset, self._scan_id, holder, symbols)
                except _AWAY as err:
                    log.debug("claims of %s not released: %s", holder, err)
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
                            "%s Worker %s goes on without claims: other workers may scan the same "
                            "symbols, and the first outcome counts.", err, self.name,
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
                log.debug("leases of %s not renewed: %s", self.name, err)
                continue
            if len(kept) < len(held):
                # Too late, as after a laptop's sleep: others have them. Whoever reports first wins.
                log.info("worker %s lost %d leases", self.name, len(held) - len(kept))


def _shortened(name: str) -> str:
    mark = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
    return f"{name[: _LONGEST_NAME - 9]}-{mark}"
