"""What may not pass: wrong host, origin, token, size, speed; refused, counted, nothing changed."""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import open_scan, status_note

from bandit.errors import InvalidInputError
from bandit.stores import store_from_url
from scanner_adapter.service.app import create_app
from scanner_adapter.service.guard import guard
from scanner_adapter.service.guard.rate_limit import RateLimit
from scanner_adapter.service.guard.sessions import COOKIE, SESSION_S, Sessions
from scanner_adapter.service.settings import (
    ServiceSettings,
    check_hosts,
    check_token,
    read_token,
)

TOKEN = "0123456789abcdefghijklmnopqrstuv"  # noqa: S105
JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain"}  # what a form of another site can send without being asked
STOP = "/api/v1/rulesets/demo/scans/s1/stop"
SCAN = "/api/v1/rulesets/demo/scans/s1"


class Asking:
    """Asks an application in memory, as a client at 127.0.0.1 would."""

    def __init__(self, **settings: Any) -> None:
        self.store = store_from_url("memory://")
        open_scan(self.store)
        self.store.put_status("demo", "s1", status_note())
        self.app = create_app(
            ServiceSettings(store="memory://", **{"requests_per_s": 1e6, **settings}), self.store
        )
        self.service = self.app.state.service

    def __call__(self, method: str, path: str, **request: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
            base = "http://localhost:8765"
            async with httpx.AsyncClient(transport=transport, base_url=base) as client:
                return await client.request(method, path, **request)

        return asyncio.run(ask())

    def refusals(self, reason: str) -> float:
        value = self.service.metrics.registry.get_sample_value(
            "scanrank_refusals_total", {"reason": reason}
        )
        return value or 0.0

    def close(self) -> None:
        self.service.access.close()
        self.store.close()


@pytest.fixture
def make() -> Iterator[Callable[..., Asking]]:
    made: list[Asking] = []

    def asking(**settings: Any) -> Asking:
        made.append(Asking(**settings))
        return made[-1]

    yield asking
    for one in made:
        one.close()


def refused(answer: httpx.Response, status: int, kind: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (
        status, "application/problem+json",
    )  # fmt: skip
    problem = answer.json()
    assert problem["type"] == f"/problems/{kind}"
    assert problem["status"] == status
    assert problem["detail"]


# -- refused, counted, nothing changed


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "host": ({"headers": {"Host": "evil.example"}}, 421, "wrong-host"),
    "rebinding": ({"headers": {"Host": "localhost.evil.example"}}, 421, "wrong-host"),
    "address": ({"headers": {"Host": "[::2]:8765"}}, 421, "wrong-host"),
    "origin": ({"headers": {"Origin": "http://evil.example"}}, 403, "wrong-origin"),
    "sandboxed": ({"headers": {"Origin": "null"}}, 403, "wrong-origin"),
    "port": ({"headers": {"Origin": "http://localhost:9999"}}, 403, "wrong-origin"),
    "file": ({"headers": {"Origin": "file://localhost:8765"}}, 403, "wrong-origin"),
    "no origin": ({"headers": {"Origin": "http://[bad"}}, 403, "wrong-origin"),
    "cross site": ({"headers": {"Sec-Fetch-Site": "cross-site"}}, 403, "wrong-origin"),
    "same site": ({"headers": {"Sec-Fetch-Site": "same-site"}}, 403, "wrong-origin"),
    "oversize": ({"content": b"x" * 70_000}, 413, "oversize"),
    "length": ({"headers": {"Content-Length": "1e3"}}, 400, "malformed"),
    "negative": ({"headers": {"Content-Length": "-1"}}, 400, "malformed"),
    "broken": ({"content": b"{", "headers": JSON}, 400, "malformed"),
    "empty": ({"json": {"reason": ""}}, 422, "invalid"),
    "long": ({"json": {"reason": "x" * 201}}, 422, "invalid"),
    "control": ({"json": {"reason": "a\nb"}}, 422, "invalid"),
    "field": ({"json": {"why": "x"}}, 422, "invalid"),
    "list": ({"json": []}, 422, "invalid"),
    "form": ({"content": b'{"reason": "x"}', "headers": TEXT}, 422, "invalid"),
    "key": ({"headers": {"Idempotency-Key": "x" * 129}}, 422, "invalid"),
}


@pytest.mark.parametrize(("request_", "status", "kind"), REFUSED.values(), ids=REFUSED)
def test_refused_requests_are_counted_and_change_nothing(
    make: Callable[..., Asking], request_: dict[str, Any], status: int, kind: str
) -> None:
    ask = make()
    refused(ask("POST", STOP, **request_), status, kind)
    assert ask.refusals(kind) == 1.0
    assert ask.store.get_control("demo", "s1") == {}


def test_a_chunked_body_is_counted_as_it_comes(make: Callable[..., Asking]) -> None:
    async def endless() -> Any:
        for _ in range(1_000):  # 10 MB without a Content-Length; 7 parts are read
            sent.append(1)
            yield b"x" * 10_000

    ask, sent = make(), []
    refused(ask("POST", STOP, content=endless()), 413, "oversize")
    assert ask.refusals("oversize") == 1.0


def test_a_body_that_does_not_come_is_given_up(
    make: Callable[..., Asking], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "READ_S", 0.01)

    async def never() -> Any:
        yield b"{"
        await asyncio.sleep(5)

    ask = make()
    refused(ask("POST", STOP, content=never()), 408, "slow-body")


def test_a_replayed_write_is_refused_and_changes_nothing(make: Callable[..., Asking]) -> None:
    ask = make()
    key = {"Idempotency-Key": "once"}
    assert ask("PUT", f"{SCAN}/pins/NVDA", headers=key).status_code == 202
    assert ask("DELETE", f"{SCAN}/pins/NVDA").status_code == 202
    before = ask.store.get_control("demo", "s1")
    refused(ask("PUT", f"{SCAN}/pins/NVDA", headers=key), 409, "replayed")
    # The key names the request, not the operation: used for another one it is refused as well.
    refused(ask("POST", STOP, headers=key), 409, "replayed")
    assert ask.refusals("replayed") == 2.0
    assert ask.store.get_control("demo", "s1") == before
    assert before["pin"] == []


def test_a_write_whose_answer_was_lost_is_not_taken_for_a_replay() -> None:
    """`update_control` may ask for the change again on a note that has it already."""
    from scanner_adapter.live.control import with_pins
    from scanner_adapter.service.notes import KEPT, once

    change = once("key", with_pins(["A"]))
    note = change({})
    assert change(dict(note)) == note
    for n in range(KEPT):
        note = once(f"k{n}", with_pins(["A"]))(note)
    assert len(note["applied"]) == KEPT  # bounded: the oldest key is forgotten


def test_a_refused_value_is_named_unless_it_may_be_a_token(make: Callable[..., Asking]) -> None:
    ask = make()
    refusal = ask("GET", f"{SCAN}/results?limit=-1", json=None).json()["detail"]
    assert refusal == "query.limit '-1': Input should be greater than or equal to 1"
    assert "12345" not in ask("POST", "/login", json={"token": 12345}).json()["detail"]


def test_pins_are_bounded(make: Callable[..., Asking]) -> None:
    ask = make()
    ask.store.put_control("demo", "s1", {"pin": [f"S{n}" for n in range(200)]})
    refused(ask("PUT", f"{SCAN}/pins/ONE", json=None), 422, "invalid")
    assert ask("PUT", f"{SCAN}/pins/S7").status_code == 202  # it is pinned already


def test_a_closed_scan_takes_no_requests(make: Callable[..., Asking]) -> None:
    ask = make()
    ask.store.put_status("demo", "s1", status_note(state="done"))
    refused(ask("POST", STOP), 409, "closed")
    assert ask.store.get_control("demo", "s1") == {}


def test_its_own_page_and_plain_clients_may_ask(make: Callable[..., Asking]) -> None:
    ask = make()
    own = {"Origin": "http://localhost:8765", "Sec-Fetch-Site": "same-origin"}
    assert ask("POST", STOP, headers=own).status_code == 202
    assert ask("POST", STOP).status_code == 202  # curl sends neither
    # A link on another site may lead to the page.
    assert ask("GET", "/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/health", "/openapi.json", "/nothing", SCAN, "/static/x"])
def test_every_answer_has_strict_headers(make: Callable[..., Asking], path: str) -> None:
    headers = make()("GET", path).headers
    assert headers["content-security-policy"].startswith("default-src 'self'; ")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "cache-control" in headers
    assert "server" not in headers


# -- tokens and sessions


def test_everything_but_the_page_needs_the_token(make: Callable[..., Asking]) -> None:
    ask = make(token=TOKEN)
    paths = list(ask("GET", "/openapi.json", headers=_bearer()).json()["paths"])
    assert len(paths) >= 15
    for path in [*paths, "/openapi.json", "/metrics"]:
        is_open = path in ("/health", "/ready", "/login", "/logout")
        filled = re.sub(r"{\w+}", "s1", path)
        assert (ask("GET", filled).status_code != 401) == is_open, path
    for path in ("/", "/static/index.html"):
        assert ask("GET", path).status_code == 200
    refused(ask("POST", STOP), 401, "unauthorised")
    assert ask.store.get_control("demo", "s1") == {}
    assert ask("POST", STOP, headers=_bearer()).status_code == 202


def _bearer(token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    "headers",
    [
        _bearer(TOKEN[:-1]),
        _bearer(TOKEN + "x"),
        _bearer(TOKEN.upper()),
        {"Authorization": TOKEN},
        {"Authorization": "Basic " + base64.b64encode(f"x:{TOKEN}".encode()).decode()},
        {"Cookie": f"{COOKIE}={TOKEN}"},
        {"Cookie": f"{COOKIE}=9999999999.nonce.{'0' * 64}"},
        {"Cookie": f"{COOKIE}=..."},
        {"Cookie": "=;;,\x7f"},
        {"X-Token": TOKEN},
    ],
)
def test_wrong_tokens_are_refused(make: Callable[..., Asking], headers: dict[str, str]) -> None:
    ask = make(token=TOKEN)
    refused(ask("GET", SCAN, headers=headers), 401, "unauthorised")


def test_a_token_in_a_url_is_no_token(make: Callable[..., Asking]) -> None:
    refused(make(token=TOKEN)("GET", f"{SCAN}?token={TOKEN}"), 401, "unauthorised")


def test_a_log_in_gives_a_cookie_that_no_script_reads(make: Callable[..., Asking]) -> None:
    ask = make(token=TOKEN)
    answer = ask("POST", "/login", json={"token": TOKEN})
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={SESSION_S}"):
        assert part in cookie
    assert TOKEN not in cookie
    assert "Secure" not in cookie
    session = cookie.partition(";")[0]
    assert ask("GET", SCAN, headers={"Cookie": session}).status_code == 200
    # The same token on another server, or after a restart: the same session holds.
    assert make(token=TOKEN)("GET", SCAN, headers={"Cookie": session}).status_code == 200
    assert make(token=TOKEN[::-1])("GET", SCAN, headers={"Cookie": session}).status_code == 401
    behind_tls = make(token=TOKEN, allowed_hosts=("scans.example",))(
        "POST", "/login", json={"token": TOKEN},
        headers={"Origin": "https://scans.example", "Host": "scans.example"},
    )  # fmt: skip
    assert "Secure" in behind_tls.headers["set-cookie"]
    out = ask("POST", "/logout").headers["set-cookie"]
    assert "Max-Age=0" in out


def test_a_session_ends() -> None:
    now = [1_000.0]
    sessions = Sessions(TOKEN, clock=lambda: now[0])
    session = sessions.new_session()
    assert sessions.right_of_session(session) == "steer"
    assert not sessions.right_of_session(session[:-1])
    assert not sessions.right_of_session("9" + session)  # a later end, not signed
    now[0] += SESSION_S + 1
    assert not sessions.right_of_session(session)


def test_wrong_tokens_wait_longer_and_longer(make: Callable[..., Asking]) -> None:
    ask = make(token=TOKEN)
    for _ in range(5):
        refused(ask("POST", "/login", json={"token": "wrong"}), 401, "unauthorised")
    answer = ask("POST", "/login", json={"token": "wrong"})
    refused(answer, 429, "too-fast")
    assert int(answer.headers["retry-after"]) >= 1
    guess = {"Authorization": "Bearer guess"}
    refused(ask("GET", SCAN, headers=guess), 429, "too-fast")
    assert ask.refusals("too-fast") == 2.0
    assert ask("GET", SCAN, headers=_bearer()).status_code == 200, "a valid one never waits"
    assert ask("POST", "/login", json={"token": TOKEN}).status_code == 204


def test_guesses_over_many_addresses_slow_those_who_guess_and_nobody_else() -> None:
    now = [0.0]
    rate = RateLimit(1.0, clock=lambda: now[0])
    for n in range(100):
        assert rate.pause_s("10.1.0.0") == 0.0
        rate.failed(f"10.0.0.{n}")
    assert rate.pause_s("10.1.0.0") == 1.0, "of an address that never guessed"
    now[0] = 700.0  # ten quiet minutes later
    rate.failed("10.0.0.7")
    assert rate.pause_s("10.0.0.7") == rate.pause_s("10.1.0.0") == 0.0


def test_those_who_show_a_token_have_a_rate_of_their_own() -> None:
    rate = RateLimit(1.0, clock=lambda: 0.0)
    while rate.wait_s("a") == 0.0:
        pass
    assert rate.wait_s("a", is_known=True) == 0.0


def test_one_token_reads_and_another_steers(make: Callable[..., Asking]) -> None:
    reading = "Rk3vQ0p-7TnWc_1xRb9LdJ5m"
    ask = make(token=TOKEN, read_token=reading)
    shown = {"Authorization": f"Bearer {reading}"}
    assert ask("GET", SCAN, headers=shown).status_code == 200
    stop = f"{SCAN}/stop"
    refused(ask("POST", stop, headers=shown), 403, "read-only")
    assert ask("POST", stop, headers=_bearer()).status_code == 202
    cookie = ask("POST", "/login", json={"token": reading}).headers["set-cookie"].split(";")[0]
    assert ask("GET", SCAN, headers={"Cookie": cookie}).status_code == 200
    refused(ask("POST", stop, headers={"Cookie": cookie}), 403, "read-only")
    cookie = ask("POST", "/login", json={"token": TOKEN}).headers["set-cookie"].split(";")[0]
    assert ask("POST", stop, headers={"Cookie": cookie}).status_code == 202


@pytest.mark.parametrize(
    "token", ["a" * 24, "abc" * 8, "correct-horse!" * 2, "abcdefghijklmnopqrstuvwxyz"]
)
def test_a_token_that_is_easily_guessed_is_refused(token: str) -> None:
    for name in ("token", "read_token"):
        with pytest.raises(InvalidInputError, match="easy to guess") as caught:
            ServiceSettings(**{"store": "memory://", "token": TOKEN, name: token})
        assert token not in str(caught.value)


def test_random_tokens_are_taken() -> None:
    for _ in range(200):
        ServiceSettings(store="memory://", token=secrets.token_urlsafe(18))
        ServiceSettings(store="memory://", token=secrets.token_hex(12))


def test_large_headers_are_refused(make: Callable[..., Asking]) -> None:
    ask = make()
    assert ask("GET", SCAN, headers={"X-A": "a" * 15_000}).status_code == 200
    refused(ask("GET", SCAN, headers={"X-A": "a" * 16_500}), 431, "large-headers")
    many = {f"X-{n}": "a" * 100 for n in range(200)}
    refused(ask("GET", SCAN, headers=many), 431, "large-headers")


def test_pauses_double_up_to_a_minute() -> None:
    """5 failures: 1 s; each further doubles it: 2, 4, 8, 16, 32, then 60."""
    now = [0.0]
    rate = RateLimit(1.0, clock=lambda: now[0])
    pauses = []
    for _ in range(12):
        rate.failed("a")
        pauses.append(rate.pause_s("a"))
        now[0] += pauses[-1]
    assert pauses == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert rate.pause_s("b") == 0.0
    rate.succeeded("a")
    rate.failed("a")
    assert rate.pause_s("a") == 0.0


def test_the_rate_is_per_address_and_refills() -> None:
    """10 a second, 20 at once: the 21st waits a tenth of a second."""
    now = [0.0]
    rate = RateLimit(10.0, clock=lambda: now[0])
    assert [rate.wait_s("a") for _ in range(20)] == [0.0] * 20
    assert rate.wait_s("a") == pytest.approx(0.1)
    assert rate.wait_s("b") == 0.0
    now[0] += 0.1
    assert rate.wait_s("a") == 0.0
    assert rate.wait_s("a") > 0.0


def test_addresses_are_forgotten_the_silent_ones_first() -> None:
    rate = RateLimit(1.0, clock=lambda: 0.0)
    for _ in range(2):
        rate.wait_s("first")
    for n in range(4_095):
        rate.wait_s(str(n))
    assert rate.wait_s("first") > 0.0  # still known, and now the newest
    rate.wait_s("one more")
    assert len(rate._clients) == 4_096
    assert "first" in rate._clients


def test_too_fast_requests_are_refused(make: Callable[..., Asking]) -> None:
    ask = make(requests_per_s=2.0)
    answers = [ask("GET", "/health") for _ in range(6)]
    assert {answer.status_code for answer in answers} == {200, 429}
    refused(answers[-1], 429, "too-fast")
    assert answers[-1].headers["retry-after"] == "1"


def test_no_log_and_no_answer_holds_the_token(
    make: Callable[..., Asking], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ask = make(token=TOKEN)
    answers = [
        ask("POST", "/login", json={"token": TOKEN}),
        ask("POST", "/login", json={"token": TOKEN, "more": 1}),
        ask("POST", "/login", json={"token": [TOKEN]}),
        ask("GET", SCAN, headers=_bearer(TOKEN + "x")),
        ask("GET", f"/nothing/{'x' * 200}", headers=_bearer()),
        ask("GET", "/metrics", headers=_bearer()),
    ]
    ours = [record for record in caplog.records if not record.name.startswith("httpx")]
    printed = "".join(record.getMessage() for record in ours)
    printed += "".join(answer.text + str(answer.headers) for answer in answers)
    assert TOKEN not in printed
    assert TOKEN not in repr(ask.service.settings)


def test_tokens_are_compared_without_looking_where_they_differ() -> None:
    """Both are hashed, so that not even their lengths show; the digests by `compare_digest`."""
    sessions = Sessions(TOKEN)
    assert sessions.right_of_token(TOKEN) == "steer"
    for wrong in ("", "x", TOKEN[:-1], TOKEN + "x", "\udcff", "ü" * 40):
        assert not sessions.right_of_token(wrong)
    assert not Sessions(None).right_of_token("")


# -- settings


def test_another_address_than_loopback_demands_a_token() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "scans.example"):  # noqa: S104
        with pytest.raises(InvalidInputError, match="--token-file"):
            ServiceSettings(store="memory://", host=host)
        ServiceSettings(store="memory://", host=host, token=TOKEN)
    ServiceSettings(store="memory://", host="::1")


@pytest.mark.parametrize("token", ["", "short", "x" * 23, "x" * 24 + "\n", "ü" * 24, "a b" * 12])
def test_tokens_that_are_weak_or_no_header_are_refused(token: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_token(token)
    assert not token or token not in str(caught.value)


def test_a_token_file_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o644)
    with pytest.raises(InvalidInputError, match="chmod 600"):
        read_token(path)
    path.chmod(0o600)
    assert read_token(path) == TOKEN
    path.write_text("\n")
    with pytest.raises(InvalidInputError, match="empty"):
        read_token(path)
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_token(tmp_path / "none")
    monkeypatch.setenv("SCANRANK_TOKEN", TOKEN)
    assert read_token(None) == TOKEN


@pytest.mark.parametrize("name", ["", "*", "a:80", "http://a", "a/b", "a b"])
def test_allowed_hosts_are_names(name: str) -> None:
    with pytest.raises(InvalidInputError, match="name or address without port"):
        check_hosts([name])
