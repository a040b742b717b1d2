"""Who may ask: the token in a header, or a session cookie that was given for it.

A session is `expiry.nonce.signature`, signed with a key derived from the token: nothing is stored,
so it holds after a restart and on every server with the same token, and a new token ends them all.
The token itself is in no URL, no cookie and no log.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers

COOKIE = "scanrank_session"
SESSION_S = 12 * 3600  # a working day; then the token is asked for again


class Sessions:
    """Checks tokens and sessions; without a token everybody may ask (loopback only).

    Parameters
    ----------
    token : str or None
    clock : callable
        Seconds since 1970.
    """

    def __init__(self, token: str | None, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._token = None if token is None else token.encode()
        self._key = hashlib.sha256(b"scanrank session key\0" + (self._token or b"")).digest()

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
        told = f"{int(self._clock()) + SESSION_S}.{secrets.token_urlsafe(12)}"
        return f"{told}.{self._sign(told)}"

    def is_session(self, shown: str) -> bool:
        """Whether `shown` is a session of ours that has not ended."""
        told, _, signature = shown.rpartition(".")
        fits = hmac.compare_digest(signature.encode("utf-8", "replace"), self._sign(told).encode())
        return fits and int(told.partition(".")[0]) > self._clock()

    def _sign(self, told: str) -> str:
        return hmac.new(self._key, told.encode("utf-8", "replace"), hashlib.sha256).hexdigest()

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
