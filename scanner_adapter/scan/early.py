"""The first batches of a scan whose features are still computed: random symbols, history's best.

Reading bars and computing features runs in a thread, beside the first evaluations. What is reported
meanwhile is learned, and journaled, once the features are there: with everything known of it, as if
it had been known from the start. The journal's opening says after how many batches that was, so
that a replay lets them in at the same one.
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

# Universes of so many symbols wait: their features take a tenth of a second at most, and the same
# seed makes the same batches.
WAITS_UP_TO = 1_000
# After so many seconds batches wait for the features, however long they take: what was reported
# without them is not journaled yet, and a process that dies takes it along.
LONGEST_S = 5.0


class EarlyBatches:
    """What is handed out before the features are there.

    Parameters
    ----------
    read : callable
        Returns the market's facts; called in a thread of its own.
    open_with : callable
        Takes the facts and the number of batches before them; opens the scan.
    history : array, shape (n,)
        What history says of each symbol, NaN = nothing; the highest come first.
    random_share : float
    rng : Generator
        The scan's own.
    n_batches : int, optional
        Let the features in after so many batches, as in the scan that is replayed; by default as
        soon as they are there, and wait for them after `LONGEST_S`.
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
        # Where nothing was seen before, all are drawn at random, and say so.
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
        """Whether the features are to enter now, after `n_batches`."""
        if self._n_batches is not None:
            return n_batches >= self._n_batches
        return self._facts.done() or time.monotonic() >= self._ends

    def choose(self, is_free: NDArray[np.bool_], k: int) -> Choice:
        """Choose up to k of the places that are free, shape (n,)."""
        free = np.flatnonzero(is_free)
        k = min(k, free.size)
        scores = self._scores.take(free)
        quota = k * self._random_share
        at_random = draw_at_random(free, k, quota, self._rng)
        best = free[top_k(scores, k, self._rng)]
        return mixed(best, at_random, n_free=free.size, quota=quota)

    def open(self, n_batches: int) -> Opened:
        """Open the scan with the features, for which it waits."""
        return self._open_with(self._facts.result(), n_batches)
