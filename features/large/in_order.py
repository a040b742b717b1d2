"""Calls spread over an executor, with few under way and their results in the order asked for."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

T = TypeVar("T")


def in_order(
    calls: Iterable[Callable[[], T]], executor: Executor | None, workers: int | None = None
) -> Iterator[T]:
    """Yield the result of each call; at most two for each worker are under way or waiting.

    `Executor.map` starts all calls at once and keeps the results that are done early, which fails
    where all results together do not fit into memory.

    Parameters
    ----------
    calls : iterable of callable
        Without arguments, taken one at a time; for processes they must be picklable, such as a
        `functools.partial` of a module's function.
    executor : Executor or None
        None: each call is made here, when its turn comes.
    workers : int, optional
        Used where the executor does not say (dask). The number of processors by default.

    Examples
    --------
    >>> from functools import partial
    >>> list(in_order([partial(pow, 2, n) for n in range(4)], None))
    [1, 2, 4, 8]
    """
    if executor is None:
        for call in calls:
            yield call()
        return
    at_most = 2 * (workers or getattr(executor, "_max_workers", None) or os.cpu_count() or 1)
    under_way: deque[Future[T]] = deque()
    try:
        for call in calls:
            under_way.append(executor.submit(call))
            if len(under_way) >= at_most:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        for future in under_way:
            future.cancel()
