"""Laws of the service: pages cover everything once, and no text at its border breaks it."""

from __future__ import annotations

import asyncio
import string
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from serving import open_scan, report, status_note

from bandit.checks import as_arms
from bandit.errors import InvalidInputError
from bandit.stores import Store, store_from_url
from bandit.stores.names import check_name
from scanner_adapter.service.app import create_app
from scanner_adapter.service.guard.sessions import Sessions
from scanner_adapter.service.settings import ServiceSettings
from scanner_adapter.service.watching.scan_log import ScanResults

TOKEN = "0123456789abcdefghijklmnopqrstuv"  # noqa: S105

reports = st.lists(
    st.tuples(st.integers(1, 7), st.sampled_from([0.0, 1.0, float("nan")]), st.booleans()),
    max_size=12,
)


def logged(sizes: list[tuple[int, float, bool]], *, steps: int = 1) -> tuple[Store, ScanResults]:
    """A scan reported in entries of these sizes, another scan's between them."""
    store = store_from_url("memory://")
    open_scan(store)
    log = ScanResults("demo", "s1")
    for number, (k, reward, has_other) in enumerate(sizes):
        if has_other:
            report(store, [f"X{number}"], scan_id="s2")
        report(store, [f"S{number}.{i}" for i in range(k)], reward=reward)
        if number % steps == 0:
            log.refresh(store)
    log.refresh(store)
    return store, log


@given(sizes=reports, limit=st.integers(1, 9), hits_only=st.booleans(), steps=st.integers(1, 5))
def test_pages_cover_everything_once_newest_first(
    sizes: list[tuple[int, float, bool]], limit: int, hits_only: bool, steps: int
) -> None:
    _, log = logged(sizes, steps=steps)
    expected = [
        f"S{number}.{i}"
        for number, (k, reward, _) in enumerate(sizes)
        for i in range(k)
        if reward == 1.0 or not hits_only
    ][::-1]
    found, cursor = [], None
    while True:
        page = log.page(cursor, limit, hits_only=hits_only, hit_limit=None)
        assert len(page.results) <= limit
        found += [result.symbol for result in page.results]
        cursor = page.next
        if cursor is None:
            break
    assert found == expected
    assert page.n_results == sum(k for k, _, _ in sizes)


@given(sizes=reports, cut=st.integers(0, 12))
def test_what_follows_a_position_is_what_was_not_sent(
    sizes: list[tuple[int, float, bool]], cut: int
) -> None:
    _, log = logged(sizes)
    printed = log.entries[:cut]
    position = printed[-1].position if printed else "0-0"
    assert log.entries[log.n_entries_up_to(position) :] == log.entries[cut:]
    events = [log.event(entry, None) for entry in log.entries]
    assert sum(event.n_results for event in events) == len(log)
    assert [hit.rank for event in events for hit in event.hits] == [
        row + 1
        for entry, (_, reward, _) in zip(log.entries, sizes, strict=True)
        for row in range(entry.first, entry.end)
        if reward == 1.0
    ]


def test_entries_that_a_store_forgot_and_was_sent_again_count_once() -> None:
    """Sent again they stand at new positions; of symbols known already nothing is new."""
    _, log = logged([(3, 1.0, False)])
    again, _ = logged([])
    open_scan(again)
    report(again, ["S0.0", "S0.1", "S0.2", "NEW"])
    log.position = "0-0"
    log.refresh(again)
    page = log.page(None, 10, hits_only=False, hit_limit=None)
    assert [result.symbol for result in page.results] == ["NEW", "S0.2", "S0.1", "S0.0"]


def test_hits_are_judged_by_the_limit_of_now() -> None:
    """Ratings 0, 1, 2 in the helper's report, all rewarded 1 then; now a hit needs 2."""
    _, log = logged([(3, 1.0, False)])
    page = log.page(None, 10, hits_only=True, hit_limit=2.0)
    assert [(result.symbol, result.rating) for result in page.results] == [("S0.2", 2.0)]
    assert [hit.symbol for hit in log.event(log.entries[0], 2.0).hits] == ["S0.2"]


@pytest.mark.parametrize("cursor", ["", "1-1", "1-1.", "1-1.-1", "x-1.0", "1-1.1e3", "1-1.²"])
def test_foreign_cursors_are_refused(cursor: str) -> None:
    with pytest.raises(InvalidInputError):
        logged([])[1].page(cursor, 1, hits_only=False, hit_limit=None)


# -- fuzzing names and tokens


@pytest.fixture(scope="module")
def app() -> Iterator[httpx.ASGITransport]:
    store = store_from_url("memory://")
    open_scan(store)
    store.put_status("demo", "s1", status_note())
    report(store, ["A"])
    made = create_app(ServiceSettings(store="memory://", requests_per_s=1e9, token=TOKEN), store)
    made.state.service.rate.failed = lambda _: None  # else the first wrong tokens end the test
    yield httpx.ASGITransport(app=made)
    made.state.service.access.close()


def ask(
    transport: httpx.ASGITransport, method: str, path: str, headers: dict[str, str]
) -> httpx.Response:
    async def send() -> httpx.Response:
        base = "http://localhost"
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(send())


names = st.text(max_size=70) | st.text(string.printable, max_size=70) | st.sampled_from(
    ["..", ".", "%00", "a/../b", "demo\n", "demo\x00", "{demo}", "*", "scanrank:{x}", "~", "-", "_"]
)  # fmt: skip
one_app = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def escaped(name: str) -> str:
    """Percent-encode everything: a client that normalises paths then leaves dots alone too."""
    return "".join(f"%{byte:02X}" for byte in name.encode("utf-8", "surrogatepass"))


@one_app
@given(ruleset=names, symbol=names, method=st.sampled_from(["GET", "PUT", "DELETE"]))
def test_no_name_breaks_it(
    app: httpx.ASGITransport, ruleset: str, symbol: str, method: str
) -> None:
    """A name is known, unknown, or refused: never an error of ours, never another key's data."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = ask(app, "GET", f"/api/v1/rulesets/{escaped(ruleset)}", headers)
    try:
        check_name("ruleset", ruleset)
    except InvalidInputError:
        assert answer.status_code in (400, 404, 422) or not ruleset
    else:
        assert answer.status_code == 200 if ruleset == "demo" else 404
    part = "symbols" if method == "GET" else "pins"
    path = f"/api/v1/rulesets/demo/scans/s1/{part}/{escaped(symbol)}"
    answer = ask(app, method, path, headers)
    try:
        as_arms([symbol])
    except InvalidInputError:
        assert answer.status_code in (400, 404, 405, 422)
    else:
        assert answer.status_code in (200, 202, 404, 422)  # 422: 200 are pinned already


@one_app
@given(
    st.text(max_size=80)
    | st.integers(0, len(TOKEN)).map(lambda n: TOKEN[:n])
    | st.text(min_size=1, max_size=3).map(lambda text: TOKEN + text)
)
def test_no_other_token_passes(app: httpx.ASGITransport, shown: str) -> None:
    # What a header may carry around a token is no part of it.
    assume(shown.strip() != TOKEN)
    sessions = Sessions(TOKEN)
    assert not sessions.right_of_token(shown)
    assert not sessions.right_of_session(shown)
    carried = quote(shown, safe=string.ascii_letters + string.digits + " .;=\"'\\")
    for headers in ({"Authorization": f"Bearer {carried}"}, {"Cookie": carried}):
        assert ask(app, "GET", "/api/v1/rulesets", headers).status_code == 401


@given(st.text(max_size=5), st.integers(0, 200))
def test_no_changed_session_passes(text: str, at: int) -> None:
    sessions = Sessions(TOKEN)
    session = sessions.new_session()
    changed = session[:at] + text + session[at + len(text) :]
    assert (sessions.right_of_session(changed) is not None) == (changed == session)
