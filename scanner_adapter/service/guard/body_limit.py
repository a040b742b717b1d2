"""Request bodies: read whole before a route runs, and refused when large or slow.

Our largest body is a reason of 200 characters. Reading first means that a route never waits for a
client, and that a body without Content-Length (chunked) is counted as it comes.
"""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import Message, Receive

from scanner_adapter.service.problems import MALFORMED, OVERSIZE, TIMEOUT, ProblemError

MAX_BYTES = 64 * 2**10
READ_S = 10.0


async def read_body(headers: Headers, receive: Receive) -> Receive:
    """Return a `receive` that gives the whole body at once, then what the server says.

    Raises
    ------
    ProblemError
        For a body that is too large, does not come in time, or breaks off.
    """
    length = headers.get("content-length")
    if length is None and "transfer-encoding" not in headers:
        return receive
    if length is not None:
        if not (length.isascii() and length.isdecimal()):
            raise ProblemError(MALFORMED, f"Content-Length {length[:20]!r} is no number")
        if len(length) > 9 or int(length) > MAX_BYTES:
            raise _too_large(f"{length[:20]} bytes")
    try:
        async with asyncio.timeout(READ_S):
            body = await _read(receive)
    except TimeoutError:
        raise ProblemError(TIMEOUT, f"the body did not come within {READ_S:.0f} s") from None
    is_given = False

    async def receive_read() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_read


async def _read(receive: Receive) -> bytes:
    parts, size, is_more = [], 0, True
    while is_more:
        message = await receive()
        if message["type"] != "http.request":
            raise ProblemError(MALFORMED, "the body broke off")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BYTES:
            raise _too_large(f"more than {MAX_BYTES} bytes")
        is_more = message.get("more_body", False)
    return b"".join(parts)


def _too_large(met: str) -> ProblemError:
    # The rest stays unread: the connection cannot be used again.
    return ProblemError(
        OVERSIZE, f"the body has {met}; at most {MAX_BYTES} are read", {"Connection": "close"}
    )
