"""One BLAS thread while the ranker works: its matrices are too small for several.

On two cores that a scanner keeps busy, one Cholesky factor, triangular solve and product of 300
columns took 446 ms with OpenBLAS's default of two threads, which spin for each other, and 7 ms with
one. Asking for the limit takes 0.001 ms, setting it and lifting it again 0.005 ms.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


@cache
def _libraries() -> tuple[Any, ...]:
    # Found at the first use, not at import: only libraries that are loaded by then are known.
    # Used directly, because `ThreadpoolController.limit` takes 0.1 ms, twice a batch.
    found = ThreadpoolController().lib_controllers
    return tuple(library for library in found if library.user_api == "blas")


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread inside the block, also as a decorator; the old limit comes back.

    The limit is the process's, not the calling thread's: a scanner that multiplies large matrices
    on other threads is held to one thread for the milliseconds that the ranker needs.
    """
    limited = [(library, n) for library in _libraries() if (n := library.num_threads) != 1]
    for library, _ in limited:
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library, n in limited:
            library.set_num_threads(n)
