"""One BLAS thread while the ranker works: its matrices are too small to be worth waking others.

On two cores that a scanner keeps busy, one Cholesky factor, triangular solve and product of 300
columns took 446 ms with OpenBLAS's default of two threads, which spin for each other, and 7 ms with
one. Setting the limit and lifting it again takes 0.02 ms.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    # Made at the first use, not at import: it knows only the libraries that are loaded by then.
    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread inside the block, also as a decorator; the old limit comes back.

    The limit is the process's, not the calling thread's: a scanner that multiplies large matrices
    on other threads is held to one thread for the milliseconds that the ranker needs.
    """
    with _controller().limit(limits=1, user_api="blas"):
        yield
