"""How to have results judged otherwise: as an argument of Python, or as an option of the command.

The same messages reach a log, a summary and the live page. Who reads them of a scan that the
command line runs has its options at hand, and no arguments.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

# Of the process, not of a thread: results are read in threads that know no context.
_is_command = False


@contextmanager
def advising_options() -> Iterator[None]:
    """Advise options of `scanrank scan` inside the block; outside it, arguments of Python."""
    global _is_command
    before, _is_command = _is_command, True
    try:
        yield
    finally:
        _is_command = before


def judging_by(rule: str, hit: str) -> str:
    """Return how to choose another rule, written as Python or as the value of `--hit`.

    Examples
    --------
    >>> judging_by("Signal(none_is_no=True)", "signal-or-none")
    'rewards=Signal(none_is_no=True)'
    >>> with advising_options():
    ...     judging_by("Signal(none_is_no=True)", "signal-or-none")
    '--hit signal-or-none'
    """
    return f"--hit {shlex.quote(hit)}" if _is_command else f"rewards={rule}"


def where_to_find(*fields: str) -> str:
    """Return how to name the fields of a row that hold a rating or a signal.

    Examples
    --------
    >>> where_to_find("rating")
    'say where to find it with row_map=RowMap(rating=...)'
    >>> with advising_options():
    ...     where_to_find("rating", "signal")
    'return it under the name rating or signal'
    """
    if _is_command:
        return f"return it under the name {' or '.join(fields)}"
    maps = " or ".join(f"RowMap({field}=...)" for field in fields)
    return f"say where to find it with row_map={maps}"


def judging_any_shape() -> str:
    """Return what to do with results that no rule can read."""
    if _is_command:
        return "return True or False"
    return "use rewards=HitIf(function)"
