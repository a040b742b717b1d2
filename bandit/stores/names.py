"""Names at the border: what a ruleset, a scan, an arm and a journal position may look like.

A ruleset and a scan id become part of a key, so that only characters without a meaning to Redis
(no ``{}``, no ``:``, no glob) pass. An arm is never part of a key, only a value.
"""

from __future__ import annotations

import re
import secrets

from bandit.errors import InvalidInputError, JournalChangedError

START = "0-0"  # the position before the first entry
LONGEST_LEASE_S = 30 * 86_400  # as long as a scan is remembered

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_POSITION = re.compile(r"([0-9]{1,20})-([0-9]{1,20})")


def is_name(name: object) -> bool:
    """Whether something may be the name of a ruleset, a scan or a worker."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def check_name(kind: str, name: str) -> str:
    """Return a ruleset's, scan's or worker's `name`, or refuse it.

    Examples
    --------
    >>> check_name("ruleset", "breakout")
    'breakout'
    >>> check_name("ruleset", "a}:b")
    Traceback (most recent call last):
    bandit.errors.InvalidInputError: ruleset 'a}:b': expected 1 to 64 letters, digits, '.', '_' ...
    """
    if not is_name(name):
        raise InvalidInputError(
            f"{kind} {str(name)[:80]!r}: expected 1 to 64 letters, digits, '.', '_' or '-', "
            "the first one a letter or digit"
        )
    return name


def position_key(position: str) -> tuple[int, int]:
    """Return a journal position (``milliseconds-sequence``) as numbers that sort as it does.

    Examples
    --------
    >>> position_key("1700000000000-2") > position_key("1700000000000-1")
    True
    """
    match = _POSITION.fullmatch(position) if isinstance(position, str) else None
    if match is None:
        raise InvalidInputError(
            f"position {str(position)[:80]!r}: expected '<milliseconds>-<sequence>'."
        )
    return int(match[1]), int(match[2])


def position_at(time: float) -> str:
    """Return the position that separates what was journaled before a time from what came after.

    Parameters
    ----------
    time : float
        Seconds since 1970, UTC, by the server's clock.

    Examples
    --------
    >>> position_at(1_700_000_000.25)
    '1700000000250-0'
    """
    return f"{max(0, round(1000 * time))}-0"


def shown(url: str) -> str:
    """Return what may be shown of a store's address: no user, no password, no options.

    Nothing between ``://`` and the last ``@`` is shown, whatever characters a password holds.

    Examples
    --------
    >>> shown("redis://me:sec/r?e#t@localhost:6379/0?socket_timeout=1")
    'redis://localhost:6379/0'
    >>> shown("redis://localhost:6379/0?password=secret")
    'redis://localhost:6379/0'
    """
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{re.split('[?#]', rest.rpartition('@')[2])[0]}"


def check_lease(lease_s: float) -> float:
    """Return the seconds of a lease, or refuse them."""
    if not 0 < lease_s <= LONGEST_LEASE_S:
        raise InvalidInputError(f"lease of {lease_s} s; expected more than 0, at most 30 days.")
    return lease_s


def fresh_generation() -> str:
    """Return a name that no generation of a journal has had."""
    return secrets.token_hex(8)


def changed(ruleset: str, address: str) -> JournalChangedError:
    """Return the error for a journal that is not the one that was read before."""
    return JournalChangedError(
        f"store {address}: the journal of {ruleset!r} has changed since it was read: it lost "
        "entries, or its beginning was replaced. Load its snapshot and continue from there."
    )


def check_bounds(before: str | None, max_entries: int | None) -> None:
    """Refuse a trim without bounds, or with a negative one."""
    if before is None and max_entries is None:
        raise InvalidInputError("trim needs `before` (a position), `max_entries`, or both.")
    if before is not None:
        position_key(before)
    if max_entries is not None and max_entries < 0:
        raise InvalidInputError(f"max_entries {max_entries}; expected 0 or more.")
