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
from typing import Literal

from itsdangerous import TimestampSigner
from starlette.datastructures import Headers

Right = Literal["read", "steer"]  # who may steer may read too

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
    """Checks tokens and sessions; without a token everybody may do everything (loopback only).

    Parameters
    ----------
    token : str or None
        Of those who may steer.
    clock : callable
        Seconds since 1970.
    read_token : str, optional
        Of those who may read.
    """

    def __init__(
        self,
        token: str | None,
        clock: Callable[[], float] = time.time,
        *,
        read_token: str | None = None,
    ) -> None:
        given: dict[Right, str | None] = {"steer": token, "read": read_token}
        tokens = {right: each for right, each in given.items() if each is not None}
        self._digests = {right: _digest(each) for right, each in tokens.items()}
        # Each right has a key of its own, made from its token: a new token ends its sessions.
        self._signers = {right: _Signer(each, clock) for right, each in tokens.items()}

    @property
    def needs_token(self) -> bool:
        """Whether a caller must show something."""
        return "steer" in self._digests

    def right_of_token(self, shown: str) -> Right | None:
        """Return what the holder of a token may do; takes the same time wherever they differ."""
        # Digests first: compare_digest gives the length away.
        digest = _digest(shown)
        found: Right | None = None
        for right, mine in self._digests.items():
            if hmac.compare_digest(digest, mine):
                found = right
        return found

    def new_session(self, right: Right = "steer") -> str:
        """Return a session that ends in `SESSION_S` seconds."""
        return self._signers[right].sign(secrets.token_urlsafe(12)).decode()

    def right_of_session(self, shown: str) -> Right | None:
        """Return what the holder of a session may do; None if expired or not issued here."""
        payload, _, signature = shown.encode("utf-8", "replace").rpartition(b".")
        for right, signer in self._signers.items():
            # itsdangerous reads base64 leniently: letters that add nothing would pass as well.
            is_ours = hmac.compare_digest(signature, signer.get_signature(payload))
            if is_ours and signer.validate(payload + b"." + signature, max_age=SESSION_S):
                return right
        return None

    def shown_token(self, headers: Headers) -> str | None:
        """Return the token that a request shows, None if it shows none."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" and token.strip() else None

    def right_of(self, headers: Headers) -> Right | None:
        """Return what the sender of a request may do, by its token or else by its session."""
        if not self.needs_token:
            return "steer"
        token = self.shown_token(headers)
        if token is not None:
            return self.right_of_token(token)
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return None
        return None if cookie is None else self.right_of_session(cookie.value)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
