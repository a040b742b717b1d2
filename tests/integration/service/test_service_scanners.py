"""A scan started over HTTP, watched, steered and stopped over HTTP: real processes, real store."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from servers import Server, wait_until
from serving import EventClient, Serving

from scanner_adapter.demo.simulator import simulate
from scanner_adapter.service.settings import read_scanners

MODULE = """
import time
def slow(symbol, bars):
    time.sleep(0.04)
    return float(bars["close"].iloc[-1])
"""


@pytest.fixture
def http(
    own_server: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Serving]:
    market_bars().to_parquet(tmp_path / "bars.parquet")
    (tmp_path / "served_scanners.py").write_text(MODULE)
    (tmp_path / "scanners.toml").write_text(
        """
        [scanners.slow]
        scanner = "served_scanners:slow"
        bars = "bars.parquet"
        hit = "top:0.1"
        [scanners.wrong]
        scanner = "served_scanners:nothing"
        bars = "bars.parquet"
        """
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SCANRANK_TOKEN", "t" * 40)
    server = Serving(
        own_server().url, scanners=read_scanners(tmp_path / "scanners.toml"), max_running=1
    ).start()
    yield server
    server.stop()


@cache
def market_bars() -> pd.DataFrame:
    bars = simulate(n_symbols=400, n_days=70, seed=3).bars
    return bars.assign(symbol=bars["symbol"].astype(str))


def ask(http: Serving, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    sent = None if body is None else json.dumps(body).encode()
    if sent is not None:
        headers["Content_Type"] = "application/json"
    status, _, answer = http.ask(method, path, sent, **headers)
    return status, json.loads(answer)


def test_a_scan_is_started_watched_steered_and_stopped(http: Serving) -> None:
    start = "/api/v1/scanners/slow/scans"
    assert ask(http, "POST", "/api/v1/scanners/unknown/scans")[0] == 404
    status, run = ask(http, "POST", start, Idempotency_Key="monday")
    assert (status, run["state"], run["ruleset"]) == (202, "running", "slow")
    pid = _process_of(run["scan_id"])
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"unix://" not in arguments  # the store's address is in the environment only
    assert b"SCANRANK_STORE=unix://" in environment
    assert b"SCANRANK_TOKEN" not in environment
    # One at once; and the same key starts nothing, whoever is asked.
    assert ask(http, "POST", start)[1]["type"] == "/problems/too-many"

    scan = f"/api/v1/rulesets/slow/scans/{run['scan_id']}"
    wait_until(lambda: http.get(scan)[0] == 200, "the scan to open", timeout_s=30)
    client = EventClient(http, f"{scan}/events?after=0-0").connect()
    try:
        printed = client.until("results")
        queue = ask(http, "GET", f"{scan}/queue")[1]
        assert queue["tiers"]["low"]["waiting"] > 0
        assert len(queue["next"]) == 20
        wait_until(lambda: _why_next(http, scan)["state"] == "waiting", "a look at what waits")
        why = _why_next(http, scan)
        assert set(why["reasons"]) == {"historical", "market", "fundamental", "technical"}
        # Pin one that waits far behind: it comes next.
        waiting = _waiting(http, scan)
        assert ask(http, "PUT", f"{scan}/pins/{waiting}")[0] == 202
        wait_until(
            lambda: (
                http.get(f"{scan}/symbols/{waiting}")[0] == 200
                and ask(http, "GET", f"{scan}/symbols/{waiting}")[1]["state"] == "scanned"
            ),
            "the pinned symbol to be scanned",
        )
        scanned = ask(http, "GET", f"{scan}/symbols/{waiting}")[1]
        assert scanned["rank"] < 400
        assert set(scanned["reasons"]) == set(why["reasons"])
        assert 0 < scanned["propensity"] <= 1
        assert ask(http, "POST", f"{scan}/stop", {"reason": "seen enough"})[0] == 202
        printed += client.events()
    finally:
        client.close()
    assert printed[-1].name == "closed"
    final = [event for event in printed if event.name == "status"][-1].data
    assert final["is_closed"]
    assert "seen enough" in final["status"]["stopped"]
    n = final["status"]["n_scanned"]
    assert sum(event.data["n_results"] for event in printed if event.name == "results") == n < 400
    assert ask(http, "GET", f"{scan}/results?limit=500")[1]["n_results"] == n

    wait_until(lambda: _runs(http)[0]["state"] == "ended", "its exit to be seen", timeout_s=20)
    assert _runs(http)[0]["exit_code"] == 0
    assert ask(http, "POST", start, Idempotency_Key="monday")[1]["type"] == "/problems/replayed"
    assert len(_runs(http)) == 1
    # What it taught is there: weights with intervals, and the symbol's track record.
    learned = ask(http, "GET", "/api/v1/rulesets/slow")[1]
    assert learned["n_reports_learned"] == n
    assert sum(weight["learned"] for weight in learned["weights"].values()) == pytest.approx(1.0)
    symbol = ask(http, "GET", f"/api/v1/rulesets/slow/symbols/{waiting}")[1]
    assert [past["scan_id"] for past in symbol["history"]] == [run["scan_id"]]


def test_a_scan_that_fails_says_why(http: Serving) -> None:
    status, run = ask(http, "POST", "/api/v1/scanners/wrong/scans")
    assert status == 202
    wait_until(lambda: _runs(http)[0]["state"] == "ended", "its exit to be seen", timeout_s=20)
    ended = _runs(http)[0]
    assert (ended["scan_id"], ended["exit_code"]) == (run["scan_id"], 2)
    assert "has no function 'nothing'" in ended["message"]
    metrics = http.get("/metrics")[2].decode()
    assert 'scanrank_scan_exits_total{code="2",scanner="wrong"} 1.0' in metrics
    # There is room for the next one.
    assert ask(http, "POST", "/api/v1/scanners/wrong/scans")[0] == 202


def test_a_started_scan_outlives_the_server(http: Serving) -> None:
    run = ask(http, "POST", "/api/v1/scanners/slow/scans")[1]
    scan = f"/api/v1/rulesets/slow/scans/{run['scan_id']}"
    wait_until(lambda: http.get(scan)[0] == 200, "the scan to open", timeout_s=30)
    http.stop()
    os.kill(_process_of(run["scan_id"]), 0)
    http.start()
    assert not ask(http, "GET", scan)[1]["is_closed"]
    assert ask(http, "POST", f"{scan}/stop")[0] == 202
    wait_until(lambda: ask(http, "GET", scan)[1]["is_closed"], "the scan to end", timeout_s=30)


def _runs(http: Serving) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = ask(http, "GET", "/api/v1/scanners")[1]["runs"]
    return runs


def _why_next(http: Serving, scan: str) -> dict[str, Any]:
    """Why the best that waits does; it may have been scanned since the queue was published."""
    symbol = ask(http, "GET", f"{scan}/queue")[1]["next"][0]["symbol"]
    why: dict[str, Any] = ask(http, "GET", f"{scan}/symbols/{symbol}")[1]
    return {"state": "unknown", **why}


def _waiting(http: Serving, scan: str) -> str:
    """A symbol that is neither scanned nor among the best that wait."""
    queue = ask(http, "GET", f"{scan}/queue")[1]
    results = ask(http, "GET", f"{scan}/results?limit=500")[1]["results"]
    known = {row["symbol"] for row in (*queue["next"], *results)}
    return next(name for name in market_bars()["symbol"].unique()[::-1] if name not in known)


def _process_of(scan_id: str) -> int:
    """Id of the process that was started for a scan."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                arguments = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if f"--scan-id={scan_id}".encode() in arguments:
                return int(folder.name)
        time.sleep(0.05)
    raise AssertionError(f"no process has --scan-id={scan_id}")
