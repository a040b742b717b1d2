"""One BLAS thread while the ranker works: its matrices are too small for several.

On two cores that a scanner keeps busy, one Cholesky factor, triangular solve and product of 300
columns took 446 ms with OpenBLAS's default of two threads, which spin for each other, and 7 ms with
one. Reading the limit takes 0.001 ms, setting and restoring it 0.005 ms.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


@cache
def _libraries() -> tuple[Any, ...]:
    # Found at first use, not at import: only libraries that are already loaded are listed.
    # Used directly because `ThreadpoolController.limit` takes 0.1 ms, twice per batch.
    found = ThreadpoolController().lib_controllers
    return tuple(library for library in found if library.user_api == "blas")


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread inside the block, then restore the old limit; also a decorator.

    The limit applies to the process, not to the calling thread: a scanner that multiplies large
    matrices on other threads is limited too, for the milliseconds that the ranker needs.
    """
    limited = [(library, n) for library in _libraries() if (n := library.num_threads) != 1]
    for library, _ in limited:
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library, n in limited:
            library.set_num_threads(n)
