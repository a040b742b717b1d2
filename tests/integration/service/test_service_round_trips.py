"""What the service asks of a store about all rulesets costs the same for two as for twelve."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from servers import Server, count_round_trips
from serving import Serving, open_scan, report, serving, status_note

from bandit.stores import Store, store_from_url

PATHS = {"/metrics": 3, "/api/v1/rulesets": 6}  # round trips


@pytest.fixture
def http(own_server: Callable[..., Server]) -> Iterator[tuple[Serving, Store]]:
    server = own_server()
    store = store_from_url(server.url)
    with serving(server.url) as started:
        yield started, store
    store.close()


@pytest.mark.parametrize("path", PATHS)
def test_more_rulesets_take_no_more_round_trips(http: tuple[Serving, Store], path: str) -> None:
    service, store = http
    for n_rulesets in (2, 12):
        for number in range(n_rulesets):
            open_scan(store, ruleset=f"rules{number}")
            position = report(store, ["A", "B"], ruleset=f"rules{number}")
            store.save_snapshot(
                f"rules{number}", header={}, arrays={}, position=position, expected_version=0
            )
            store.put_status(f"rules{number}", "s1", status_note(n_scanned=number))
        for _ in range(10):  # each thread's connection greets the server once
            assert service.get(path)[0] == 200
        with count_round_trips() as sent:
            status, _, body = service.get(path)
        assert status == 200
        assert body.count(b"rules11") == (0 if n_rulesets == 2 else 6 if path == "/metrics" else 1)
        assert sent.total() == PATHS[path]


def test_each_ruleset_is_listed_with_its_newest_scan(http: tuple[Serving, Store]) -> None:
    service, store = http
    open_scan(store, ruleset="without")
    open_scan(store, ruleset="with")
    store.put_status("with", "s1", status_note(n_scanned=7))
    listed = json.loads(service.get("/api/v1/rulesets")[2])["rulesets"]
    assert [row["name"] for row in listed] == ["with", "without"]
    assert [row["newest_scan"]["state"] for row in listed] == ["scanning", "unknown"]
    assert [row["newest_scan"]["n_scanned"] for row in listed] == [7, 0]
