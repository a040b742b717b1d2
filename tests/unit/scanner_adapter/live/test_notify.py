"""Messages: gathered, delivered to a real webhook, never a secret in a log or an error."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from bandit.errors import InvalidInputError
from bandit.stores import store_from_url
from scanner_adapter.live.notify import MAX_LINES, Notifier
from scanner_adapter.service.watching.ended import EndedScans
from scanrank import SymbolRanker


class Webhook:
    """A server on this machine that keeps what it is sent."""

    def __init__(self, answer: int = 200) -> None:
        self.messages: list[dict[str, str]] = []
        messages = self.messages

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                messages.append(json.loads(body))
                self.send_response(answer)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"json://user:hush-hush@127.0.0.1:{self._server.server_port}/hits"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    hook = Webhook()
    yield hook
    hook.close()


def test_what_comes_within_the_pause_is_one_message(webhook: Webhook) -> None:
    """The first line goes at once, thirty wait for the end: two messages, the second cut at 20."""
    notifier = Notifier([webhook.url], "breakout", every_s=3600.0)
    notifier.add("NVDA: rating 91")
    while not webhook.messages:
        time.sleep(0.01)
    for number in range(30):
        notifier.add(f"S{number}: rating 1")
    notifier.close("31 high-value results")
    assert [message["title"] for message in webhook.messages] == ["breakout"] * 2
    assert webhook.messages[0]["message"] == "NVDA: rating 91"
    lines = webhook.messages[1]["message"].splitlines()
    assert lines[0] == "31 high-value results"
    assert len(lines) == MAX_LINES + 1
    assert lines[-1] == "and 11 more"


def test_no_secret_is_logged_whatever_the_level(caplog: pytest.LogCaptureFixture) -> None:
    """Of two addresses the one that refused is named, by scheme and host."""
    hook, other = Webhook(answer=500), Webhook()
    with caplog.at_level(logging.DEBUG):
        notifier = Notifier([other.url, hook.url], "breakout")
        notifier.close("over")
    hook.close()
    other.close()
    assert [r.getMessage() for r in caplog.records if r.name == "scanrank"] == [
        "--notify address 2 (json://127.0.0.1) did not accept a message"
    ]
    assert [message["message"] for message in other.messages] == ["over"]
    assert "hush" not in caplog.text


def test_one_address_that_fails_leaves_the_others(
    webhook: Webhook, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host of Telegram's addresses is the token."""
    monkeypatch.setattr("apprise.plugins.telegram.NotifyTelegram.send", lambda *_, **__: 1 / 0)
    with caplog.at_level(logging.DEBUG):
        notifier = Notifier(["tgram://123456789:HUSHhush-kl_mnopqrs/12345", webhook.url], "t")
        notifier.close("over")
    assert "--notify address 1 (tgram://...) did not accept a message" in caplog.text
    assert [message["message"] for message in webhook.messages] == ["over"]

    assert "123456789" not in caplog.text
    assert "hush" not in caplog.text.lower()


def test_an_address_that_cannot_be_read_is_not_repeated() -> None:
    with pytest.raises(InvalidInputError, match=r"address 2 of --notify") as refused:
        Notifier(["json://localhost", "nosuch://token-abc"], "t")
    assert "token-abc" not in str(refused.value)


def test_the_service_tells_of_scans_that_ended_since() -> None:
    store = store_from_url("memory://")
    ranker = SymbolRanker.open(store, ruleset="breakout", seed=1)
    ranker.start_scan(["A", "B"]).run(lambda symbol: float(ord(symbol)))
    ended = EndedScans("http://desk:8765/")
    assert ended.look(store) == []
    ranker.start_scan(["A", "B"], scan_id="noon").run(lambda symbol: float(ord(symbol)))
    lines = ended.look(store)
    assert lines == ["breakout: 2 symbols; http://desk:8765/#breakout/noon"]
    assert ended.look(store) == []
