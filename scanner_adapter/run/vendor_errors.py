"""Errors of a data vendor: if one says when to retry, wait that long and retry once."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

# Errors of libraries that mean "too many requests" and name no time, by the names of their classes
# (none of the libraries is imported): yfinance's and ccxt's.
_RATE_LIMITED = frozenset({"YFRateLimitError", "RateLimitExceeded", "DDoSProtection"})
# Their limits count requests of a minute.
UNNAMED_PAUSE_S = 60.0
_TOO_MANY, _UNAVAILABLE = 429, 503


def retry_after_s(error: BaseException) -> float | None:
    """Return after how many seconds an error asks to be tried again; None = it does not say.

    Understood are answers 429 and 503 with `Retry-After`, as requests, httpx, aiohttp and urllib
    raise them, and the rate-limit errors of yfinance and ccxt, which mean a minute.

    Examples
    --------
    >>> class RateLimitExceeded(Exception): ...  # ccxt's
    >>> retry_after_s(RateLimitExceeded()), retry_after_s(ValueError("no data"))
    (60.0, None)
    """
    answer = getattr(error, "response", None)
    answer = error if answer is None else answer
    status = next(
        (code for name in ("status_code", "status", "code")
         if isinstance(code := getattr(answer, name, None), int)), None,
    )  # fmt: skip
    if status in (_TOO_MANY, _UNAVAILABLE):
        headers = getattr(answer, "headers", None) or {}
        said = _seconds(headers.get("Retry-After") or headers.get("retry-after"))
        if said is not None:
            return said
    if any(kind.__name__ in _RATE_LIMITED for kind in type(error).__mro__):
        return UNNAMED_PAUSE_S
    return None


def _seconds(text: object) -> float | None:
    """Read `Retry-After`: seconds, or a date (RFC 9110, 10.2.3)."""
    if text is None:
        return None
    try:
        return max(float(str(text)), 0.0)
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(str(text))
    except ValueError:
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max((at - datetime.now(UTC)).total_seconds(), 0.0)


@dataclass(slots=True)
class _Patience:
    """What the workers of one process know of the vendor."""

    is_over: threading.Event = field(default_factory=threading.Event)
    # Whether the last second try failed too, and nothing has worked since: waiting again is vain.
    is_vain: bool = False


# By run: evaluations are pickled anew for each symbol, their worker processes stay.
_PATIENCE: dict[str, _Patience] = {}


class Patient:
    """A scan function that waits and tries again, once, where an error says when.

    Parameters
    ----------
    fn : callable
        Of one symbol.
    longest_s : float
        Of a longer pause nothing is waited for: the error stands.

    Notes
    -----
    Can be pickled if `fn` can. Workers wait each for itself; once a second try has failed too,
    nobody waits until an evaluation has worked.
    """

    def __init__(self, fn: Callable[[str], Any], longest_s: float) -> None:
        self._fn = fn
        self._longest_s = longest_s
        self._run = uuid.uuid4().hex

    def __call__(self, symbol: str) -> Any:
        """Evaluate a symbol."""
        is_last = False
        while True:
            try:
                value = self._fn(symbol)
            except Exception as error:
                pause_s = self._pause_s(error, is_last=is_last)
            else:
                self._patience.is_vain = False
                return value
            self._patience.is_over.wait(pause_s)
            is_last = True

    def wake(self) -> None:
        """Let nobody wait any more, and those who do try now."""
        self._patience.is_over.set()

    def end(self) -> None:
        """Forget what was known of the vendor: the scan is over."""
        self.wake()
        del _PATIENCE[self._run]

    @property
    def _patience(self) -> _Patience:
        known = _PATIENCE.get(self._run)
        return known or _PATIENCE.setdefault(self._run, _Patience())

    def _pause_s(self, error: Exception, *, is_last: bool) -> float:
        """Return how long to wait before the second try; raise the error where it stands."""
        pause_s, patience = retry_after_s(error), self._patience
        is_waiting = not patience.is_vain and not patience.is_over.is_set()
        if pause_s is None or pause_s > self._longest_s or not is_waiting:
            raise error
        if is_last:
            patience.is_vain = True
            raise error
        return pause_s


class PatientAsync(Patient):
    """The same for a coroutine function."""

    def __init__(self, fn: Callable[[str], Awaitable[Any]], longest_s: float) -> None:
        super().__init__(fn, longest_s)

    async def __call__(self, symbol: str) -> Any:
        """Evaluate a symbol."""
        is_last = False
        while True:
            try:
                value = await self._fn(symbol)
            except Exception as error:
                pause_s = self._pause_s(error, is_last=is_last)
            else:
                self._patience.is_vain = False
                return value
            await asyncio.sleep(pause_s)
            is_last = True
