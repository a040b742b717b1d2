"""The symbols that a scan is asked for, as lists scraped from somewhere hold them."""

from __future__ import annotations

import math

from bandit.checks import as_arms


def clean_universe(symbols: object) -> tuple[tuple[str, ...], str | None]:
    """Return each symbol once, and a note of what was dropped, None if nothing was.

    Dropped are missing and blank entries and repetitions; the first of each symbol stays.

    Raises
    ------
    InvalidInputError
        For what is no list of texts.
    """
    if isinstance(symbols, str) or not hasattr(symbols, "__iter__"):
        return as_arms(symbols), None
    given = list(symbols)
    named = [each for each in given if not _is_blank(each)]
    try:
        once = list(dict.fromkeys(named))
    except TypeError:  # something that cannot be a symbol: refused by name
        return as_arms(given), None
    n_blank, n_twice = len(given) - len(named), len(named) - len(once)
    parts = [
        f"{n} {what}" for n, what in ((n_twice, "repeated"), (n_blank, "blank or missing")) if n
    ]
    note = f"{' and '.join(parts)} symbols dropped" if parts else None
    return as_arms(once if parts else symbols), note


def _is_blank(entry: object) -> bool:
    # NaN is what pandas has for an empty cell.
    is_nan = isinstance(entry, float) and math.isnan(entry)
    return entry is None or is_nan or (isinstance(entry, str) and not entry.strip())
