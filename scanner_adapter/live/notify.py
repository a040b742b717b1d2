"""Messages about high-value results, through apprise: chat, mail, webhooks.

Addresses carry tokens and passwords, so nothing here repeats one, in a log or an error: scheme and
host at most.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

from bandit.checks import as_number
from bandit.errors import InvalidInputError

log = logging.getLogger("scanrank")

# Between two messages: chat services refuse callers that send much more often.
EVERY_S = 60.0
MAX_LINES = 20  # of one message; of a hundred hits at once twenty are named
# They log the addresses that they call.
_TALKATIVE = ("apprise", "urllib3", "requests", "requests_oauthlib")


class Notifier:
    """Sends lines to people from a thread of its own, many in one message.

    Parameters
    ----------
    urls : sequence of str
        Addresses as apprise reads them, such as `tgram://TOKEN/CHAT` or `json://host/path`.
    title : str
        Of every message.
    every_s : float
        Seconds between two messages at least; lines that come meanwhile wait for the next one.

    Raises
    ------
    InvalidInputError
        When apprise is not installed, or for an address that it cannot read.
    """

    def __init__(self, urls: Sequence[str], title: str, *, every_s: float = EVERY_S) -> None:
        try:
            import apprise
        except ModuleNotFoundError as err:
            raise InvalidInputError(
                "messages need apprise, which is not installed: pip install 'scanrank[notify]'"
            ) from err
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._every_s = as_number(every_s, "every_s", "0 or more seconds", least=0.0)
        self._title = title
        every = apprise.Apprise()
        for number, url in enumerate(urls, 1):
            if not every.add(url):
                raise InvalidInputError(
                    f"address {number} of --notify cannot be read (not shown, because it may "
                    "contain a secret); expected one as described in "
                    "https://github.com/caronc/apprise/wiki, such as "
                    "tgram://TOKEN/CHAT, mailto://USER:PASSWORD@HOST or json://HOST/PATH"
                )
        # One each, so that it is known which of them refused a message.
        self._to = {
            f"{number} ({_name(to)})": apprise.Apprise(to) for number, to in enumerate(every, 1)
        }
        self._lines: list[str] = []
        self._wake = threading.Condition()
        self._is_closing = False
        # A daemon: a chat service that hangs must not keep the process.
        self._thread = threading.Thread(target=self._send_all, name="scanrank-notify", daemon=True)
        self._thread.start()

    def add(self, line: str) -> None:
        """Send `line` with the next message; returns at once."""
        with self._wake:
            self._lines.append(line)
            self._wake.notify()

    def close(self, last: str | None = None, *, wait_s: float = 15.0) -> None:
        """Send what waits, with `last` as its first line, and end; waits `wait_s` at most."""
        with self._wake:
            if last is not None:
                self._lines.insert(0, last)
            self._is_closing = True
            self._wake.notify()
        self._thread.join(wait_s)
        if self._thread.is_alive():
            log.warning("a message was not delivered within %g s", wait_s)

    def _send_all(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._lines or self._is_closing)
                lines, self._lines = self._lines, []
                is_last = self._is_closing
            if lines:
                self._send(lines)
            if is_last:
                return
            with self._wake:
                self._wake.wait_for(lambda: self._is_closing, timeout=self._every_s)

    def _send(self, lines: list[str]) -> None:
        rest = len(lines) - MAX_LINES
        body = "\n".join([*lines[:MAX_LINES], *([f"and {rest} more"] if rest > 0 else [])])
        for name, to in self._to.items():
            try:
                is_sent = to.notify(body=body, title=self._title, body_format="text")
            except Exception as error:  # of a plugin; the scan goes on
                log.warning("--notify address %s failed: %s", name, type(error).__name__)
                continue
            if not is_sent:
                log.warning("--notify address %s did not accept a message", name)


def _name(to: Any) -> str:
    """Return the scheme of an address and its host, which of many services is a token instead."""
    scheme = to.url(privacy=True).partition("://")[0]
    return f"{scheme}://{to.host if 'host' in to.template_tokens else '...'}"
