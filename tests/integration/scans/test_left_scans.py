"""Scans that nobody closed are learned from when the next one of their ruleset starts."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from datetime import timedelta
from pathlib import Path

import pytest
from shared_scans import CONTEXT, NOW, SYMBOLS, ranker_on, rating

from bandit.stores import Store, store_from_url
from scanner_adapter.scan.scan import Scan


@pytest.fixture(params=["memory", "sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "redis":
        return store_from_url(request.getfixturevalue("redis_server").url)
    if request.param == "sqlite":
        return store_from_url(f"sqlite://{tmp_path}/scanrank.db")
    return store_from_url("memory://")


def report(scan: Scan, k: int) -> None:
    scan.report({symbol: rating(symbol) for symbol in scan.next_batch(k)})


def all_reported(store: Store) -> list[str]:
    return [arm for entry in store.read("rules") for arm in entry.arms]


def closed(store: Store) -> dict[str, bool]:
    return {info.scan_id: info.is_closed for info in store.list_scans("rules")}


def test_a_shared_scan_whose_workers_died_is_learned_when_its_leases_ran_out(store: Store) -> None:
    store.drop_ruleset("rules")
    with ranker_on(store) as ranker:
        for name in ("w1", "w2"):
            scan = ranker.start_scan(
                SYMBOLS, context=CONTEXT, now=NOW, scan_id="left", shared=True, worker=name,
                lease_s=1.0,
            )  # fmt: skip
            report(scan, 30)
            scan.next_batch(10)
            scan._leases._is_over.set()  # the heartbeat stops, as when the process dies
        with ranker.start_scan(SYMBOLS, context=CONTEXT, now=NOW + timedelta(hours=1)):
            assert closed(store)["left"] is False, "its leases run"
        assert ranker.n_scans == 0
        time.sleep(1.2)
        with ranker.start_scan(SYMBOLS, context=CONTEXT, now=NOW + timedelta(hours=2)) as scan:
            assert closed(store)["left"] is True
            assert ranker.n_scans == 1
            report(scan, 10)
        with ranker_on(store) as other:
            assert other.n_scans == 2
            assert other.learned.belief.n_reports == len(all_reported(store))


def test_resuming_a_scan_that_was_settled_adds_to_it(store: Store) -> None:
    store.drop_ruleset("rules")
    settings = {"context": CONTEXT, "now": NOW, "scan_id": "left", "shared": True, "lease_s": 1.0}
    with ranker_on(store) as ranker:
        scan = ranker.start_scan(SYMBOLS, worker="w1", **settings)
        report(scan, 100)
        time.sleep(1.2)
        ranker.start_scan(SYMBOLS, context=CONTEXT, now=NOW).close()
        assert closed(store)["left"] is True
        again = ranker.start_scan(SYMBOLS, worker="w2", **settings)
        assert again.n_scanned == 100
        known = ranker.learned.belief.track.view(SYMBOLS, now=NOW.timestamp() / 86_400)
        assert (known.n_scans > 0).sum() == 100
        while again.n_scanned < len(SYMBOLS):
            report(again, 300)
        again.close()
        assert again.n_scanned == 300
        known = ranker.learned.belief.track.view(SYMBOLS, now=NOW.timestamp() / 86_400)
        assert (known.n_scans > 0).sum() == 300, "what came later is learned too"
        with ranker_on(store) as other:
            assert other.learned.belief.n_reports == 300
            assert other.n_scans == ranker.n_scans


def test_a_scan_that_this_process_has_open_goes_on(store: Store) -> None:
    store.drop_ruleset("rules")
    with ranker_on(store) as ranker:
        scan = ranker.start_scan(SYMBOLS, context=CONTEXT, now=NOW, scan_id="open")
        report(scan, 30)
        ranker.start_scan(SYMBOLS, context=CONTEXT, now=NOW).close()
        assert closed(store)["open"] is False
        report(scan, 30)
        assert scan.close().store_status == "saved"


def test_a_scan_whose_process_is_gone_is_learned(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/scanrank.db"
    program = textwrap.dedent(f"""
        import os
        from shared_scans import CONTEXT, NOW, SYMBOLS, rating, ranker_on
        from bandit.stores import store_from_url
        with ranker_on(store_from_url({url!r})) as ranker:
            scan = ranker.start_scan(SYMBOLS, context=CONTEXT, now=NOW, scan_id="left")
            scan.report({{symbol: rating(symbol) for symbol in scan.next_batch(40)}})
            os._exit(7)
    """)
    folder = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", program], cwd=folder, check=False, timeout=60)
    assert run.returncode == 7
    store = store_from_url(url)
    assert closed(store) == {"left": False}
    with ranker_on(store) as ranker, ranker.start_scan(SYMBOLS, context=CONTEXT, now=NOW):
        assert closed(store)["left"] is True
        assert ranker.n_scans == 1
        assert ranker.learned.belief.n_reports == 40


def test_a_scan_of_another_machine_is_learned_after_a_day(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.drop_ruleset("rules")
    with ranker_on(store) as ranker:
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr("socket.gethostname", lambda: "elsewhere")
            report(ranker.start_scan(SYMBOLS, context=CONTEXT, now=NOW, scan_id="left"), 30)
        ranker.start_scan(SYMBOLS, context=CONTEXT, now=NOW).close()
        assert closed(store)["left"] is False
        later = time.time() + 90_000
        monkeypatch.setattr("scanner_adapter.scan.abandoned.time.time", lambda: later)
        ranker.start_scan(SYMBOLS, context=CONTEXT, now=NOW).close()
        assert closed(store)["left"] is True
