"""Who may ask: the token in a header, or a session cookie that was given for it.

A session is a nonce and its time, signed by itsdangerous with a key derived from the token: nothing
is stored, so it holds after a restart and on every server with the same token, and a new token ends
them all.
The token itself is in no URL, no cookie and no log.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie

from itsdangerous import TimestampSigner
from starlette.datastructures import Headers

COOKIE = "scanrank_session"
SESSION_S = 12 * 3600  # a working day; then the token is asked for again


class _Signer(TimestampSigner):
    """Signs with the time of a clock that tests may set."""

    def __init__(self, token: str, clock: Callable[[], float]) -> None:
        super().__init__(token, salt="scanrank session", digest_method=hashlib.sha256)
        self._clock = clock

    def get_timestamp(self) -> int:
        return int(self._clock())


class Sessions:
    """Checks tokens and sessions; without a token everybody may ask (loopback only).

    Parameters
    ----------
    token : str or None
    clock : callable
        Seconds since 1970.
    """

    def __init__(self, token: str | None, clock: Callable[[], float] = time.time) -> None:
        self._token = None if token is None else token.encode()
        self._signer = _Signer(token or "", clock)

    @property
    def needs_token(self) -> bool:
        """Whether a caller must show something."""
        return self._token is not None

    def is_token(self, shown: str) -> bool:
        """Whether `shown` is the token; takes the same time wherever they differ."""
        # Digests first: compare_digest gives the length away.
        mine = hashlib.sha256(self._token or b"").digest()
        return self.needs_token and hmac.compare_digest(
            hashlib.sha256(shown.encode("utf-8", "surrogateescape")).digest(), mine
        )

    def new_session(self) -> str:
        """Return a session that ends in `SESSION_S` seconds."""
        return self._signer.sign(secrets.token_urlsafe(12)).decode()

    def is_session(self, shown: str) -> bool:
        """Whether `shown` is a session of ours that has not ended."""
        told, _, signature = shown.encode("utf-8", "replace").rpartition(b".")
        # itsdangerous reads base64 leniently: letters that add nothing would pass as well.
        is_ours = hmac.compare_digest(signature, self._signer.get_signature(told))
        return is_ours and self._signer.validate(told + b"." + signature, max_age=SESSION_S)

    def shown_token(self, headers: Headers) -> str | None:
        """Return the token that a request shows, None if it shows none."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" and token.strip() else None

    def has_session(self, headers: Headers) -> bool:
        """Whether a request carries a session of ours."""
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and self.is_session(cookie.value)
