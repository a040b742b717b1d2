"""What the page's lists ask of the service: recall in a list of scans, CSV, the comparison."""

from __future__ import annotations

import csv
import io

import pytest
from serving import close_scan, open_scan, report, status_note

from bandit.stores import store_from_url
from scanner_adapter.service.app import create_app
from scanner_adapter.service.settings import ServiceSettings
from scanrank import SymbolRanker, Threshold

httpx = pytest.importorskip("httpx")
testclient = pytest.importorskip("starlette.testclient")


@pytest.fixture
def client():  # type: ignore[no-untyped-def]
    store = store_from_url("memory://")
    open_scan(store, scan_id="s1")
    report(store, ["=HYPERLINK(1)", "NVDA"], scan_id="s1")
    store.put_status("demo", "s1", status_note("s1"))
    close_scan(store, scan_id="s1")
    # Every fourth symbol is a hit: in the given order one of the first four always is.
    with SymbolRanker.open(
        store, ruleset="breakout", rewards=Threshold(1.0), seed=1, rollout=0.5
    ) as ranker:
        for number in range(12):
            scan = ranker.start_scan([f"S{i}" for i in range(40)], scan_id=f"n{number}")
            scan.run(lambda symbol: float(int(symbol[1:]) % 4 == 0))
        app = create_app(ServiceSettings(store="memory://"), store)
        with testclient.TestClient(app, base_url="http://localhost") as client:
            yield client


def test_a_list_of_scans_has_their_recall(client) -> None:  # type: ignore[no-untyped-def]
    (scan,) = client.get("/api/v1/rulesets/demo/scans").json()["scans"]
    assert scan["recall"] == pytest.approx(status_note("s1")["estimate"]["recall"])


def test_a_name_that_would_be_a_formula_is_a_text_in_the_csv(client) -> None:  # type: ignore[no-untyped-def]
    answer = client.get("/api/v1/rulesets/demo/scans/s1/results.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    symbols = [row["symbol"] for row in csv.DictReader(io.StringIO(answer.text))]
    assert symbols == ["'=HYPERLINK(1)", "NVDA"]


def test_the_comparison_has_both_groups_and_the_interval(client) -> None:  # type: ignore[no-untyped-def]
    found = client.get("/api/v1/rulesets/breakout/comparison").json()
    assert found["prioritised"]["n_scans"] + found["control"]["n_scans"] == 12
    assert found["is_randomised"] is True
    assert found["lift_low"] <= found["lift"] <= found["lift_high"]
    assert "95% interval" in found["text"]
    assert client.get("/api/v1/rulesets/breakout/comparison").json() == found
    assert client.get("/api/v1/rulesets/nosuch/comparison").status_code == 404
