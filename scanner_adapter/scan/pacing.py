"""Batch sizes in a shared scan, from the pace of each worker as the journal shows it.

Batches have equal sizes while much is left. Near the end that would leave the slowest worker with a
whole batch while all others wait, so the last batches shrink: each worker takes its share, by pace,
of half of what is still free (factoring; half, because paces are estimates).

References
----------
Hummel, Schonberg and Flynn (1992), Factoring: A Method for Scheduling Parallel Loops.
Hummel, Schmidt, Uma and Wein (1996), Load-Sharing in Heterogeneous Systems via Weighted Factoring.
"""

from __future__ import annotations

import math
from collections import deque

from bandit.stores.names import position_key

# Latest reports of a worker from which its pace is estimated; few, to follow changes.
_RECENT = 6
# A worker has left once it is silent for this many times the longest mean report interval.
_PATIENCE = 4.0
# Smallest last batch as a share of an ordinary one: each batch costs a claim, a report, and a
# learning step in every worker.
_LEAST_SHARE = 0.125


class Pacing:
    """Paces of the workers of one scan, from their reports.

    Notes
    -----
    Times are those of journal positions, which come from one clock: the server's.

    Examples
    --------
    Two workers report 10 symbols at a time, one twice as often; 90 are left, 10 of them in the
    other worker's batch:

    >>> pace = Pacing()
    >>> for ms in (1000, 2000, 3000):
    ...     pace.record("quick", f"{ms}-0", 10)
    >>> for ms in (1000, 3000):
    ...     pace.record("slow", f"{ms}-1", 10)
    >>> pace.batch("quick", 50, n_left=90), pace.batch("slow", 50, n_left=90)
    (27, 14)
    """

    def __init__(self) -> None:
        self._reports: dict[str, deque[tuple[int, int]]] = {}  # worker -> (ms, symbols)
        self._last: dict[str, tuple[int, int]] = {}  # worker -> its last position
        self._first_ms = math.inf

    def record(self, worker: str, position: str, n: int) -> None:
        """Record a report of `n` symbols; recording it again changes nothing."""
        if not position:  # the entry waits in the spool
            return
        key = position_key(position)
        if key > self._last.get(worker, (0, 0)):
            self._last[worker] = key
            self._first_ms = min(self._first_ms, key[0])
            self._reports.setdefault(worker, deque(maxlen=_RECENT)).append((key[0], n))

    def batch(self, worker: str, k: int, *, n_left: int) -> int:
        """Return the size of the next batch of `worker`, 1 to `k`.

        Parameters
        ----------
        k : int
            Size of an ordinary batch.
        n_left : int
            Symbols without an outcome, including those that other workers hold and excluding the
            worker's own.
        """
        others = [name for name in self._working() if name != worker]
        if not others:
            return k
        rates = {name: self._rate(name) for name in (worker, *others)}
        known = [rate for rate in rates.values() if rate is not None]
        usual = sum(known) / len(known) if known else 1.0
        paces = {name: usual if rate is None else rate for name, rate in rates.items()}
        free = n_left - sum(self._reports[name][-1][1] for name in others)
        total = max(sum(paces.values()), 1e-12)
        share = 0.5 * paces[worker] / total
        relative = min(paces[worker] * len(paces) / total, 1.0)
        least = math.ceil(_LEAST_SHARE * k * relative)
        return max(min(k, max(math.ceil(share * free), least)), 1)

    def _working(self) -> list[str]:
        """Return the workers that still report."""
        if not self._reports:
            return []
        longest = max(
            (times[-1][0] - times[0][0]) / max(len(times) - 1, 1)
            for times in self._reports.values()
        )
        since = max(self._last.values())[0] - _PATIENCE * longest
        return [name for name, times in self._reports.items() if times[-1][0] >= since]

    def _rate(self, worker: str) -> float | None:
        """Return a worker's symbols per millisecond; None if unknown.

        A worker with one report is assumed to have started with the others. That underestimates
        one that joined late, at the small cost of a smaller first batch.
        """
        times = list(self._reports.get(worker, ()))
        if len(times) == 1:
            times = [(int(self._first_ms), 0), *times]
        if not times or times[-1][0] == times[0][0]:
            return None
        return sum(n for _, n in times[1:]) / (times[-1][0] - times[0][0])
