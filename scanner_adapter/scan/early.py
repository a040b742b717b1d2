"""Batches handed out while features are being computed: random symbols, and the best by history.

Bars are read and features computed in a thread, beside the first evaluations. Outcomes reported
meanwhile are journaled and learned when the features are ready, with full contexts, as if these had
been known from the start. The open entry records after how many batches that was, so that a replay
switches at the same batch.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from bandit.choice.draw import Choice, draw_at_random, mixed, top_k
from scanner_adapter.blas_threads import one_blas_thread
from scanner_adapter.inputs.context import MarketFacts
from scanner_adapter.scan.opened import Opened

# Universes up to this many symbols wait for their features: they take 0.1 s at most, and the same
# seed then gives the same batches.
WAITS_UP_TO = 1_000
# Seconds after which batches wait for the features: outcomes reported before are not journaled
# yet, and would be lost if the process died.
LONGEST_S = 5.0


class EarlyBatches:
    """Chooses batches until the features are computed.

    Parameters
    ----------
    read : callable
        Returns the market facts; called in a thread of its own.
    open_with : callable
        Opens the scan; takes the facts and the number of batches handed out before.
    history : array, shape (n,)
        Latest result of each symbol, NaN if none; the highest come first.
    random_share : float
    rng : Generator
        The scan's own.
    n_batches : int, optional
        Use the features after exactly this many batches, as in the scan that is replayed. By
        default as soon as they are ready, and after `LONGEST_S` by waiting for them.
    """

    def __init__(
        self,
        read: Callable[[], MarketFacts],
        open_with: Callable[[MarketFacts, int], Opened],
        *,
        history: NDArray[np.floating],
        random_share: float,
        rng: np.random.Generator,
        n_batches: int | None = None,
    ) -> None:
        self.cpu_s = 0.0  # of the thread
        self._open_with = open_with
        self._scores = np.nan_to_num(history, nan=-np.inf)
        # Without any history all symbols are drawn at random, and marked as random.
        self._random_share = random_share if np.isfinite(history).any() else 1.0
        self._rng = rng
        self._n_batches = n_batches
        self._ends = time.monotonic() + LONGEST_S
        self._facts: Future[MarketFacts] = Future()
        threading.Thread(
            target=self._read, args=(read,), name="scanrank-features", daemon=True
        ).start()

    def _read(self, read: Callable[[], MarketFacts]) -> None:
        began = time.thread_time()
        try:
            with one_blas_thread():
                facts = read()
        except BaseException as error:
            self._facts.set_exception(error)
        else:
            self.cpu_s = time.thread_time() - began
            self._facts.set_result(facts)

    def is_due(self, n_batches: int) -> bool:
        """Whether to use the features now, after `n_batches` batches."""
        if self._n_batches is not None:
            return n_batches >= self._n_batches
        return self._facts.done() or time.monotonic() >= self._ends

    def choose(self, is_free: NDArray[np.bool_], k: int) -> Choice:
        """Choose up to `k` of the free places; `is_free` has shape (n,)."""
        free = np.flatnonzero(is_free)
        k = min(k, free.size)
        scores = self._scores.take(free)
        quota = k * self._random_share
        at_random = draw_at_random(free, k, quota, self._rng)
        best = free[top_k(scores, k, self._rng)]
        return mixed(best, at_random, n_free=free.size, quota=quota)

    def open(self, n_batches: int) -> Opened:
        """Wait for the features and open the scan with them."""
        return self._open_with(self._facts.result(), n_batches)
