"""A store that goes away in the middle of a scan: no exception, and nothing is lost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import Server

from bandit.errors import StoreUnavailableError
from scanner_adapter import SymbolRanker

SYMBOLS = [f"S{i}" for i in range(200)]


def rating(symbol: str) -> float:
    return float(int(symbol[1:]) * 37 % 101)


def test_reports_wait_on_disk_and_come_back(
    own_server: Callable[..., Server],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Stopped after 60 symbols, started again after the scan: the next one knows all 200."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    server = own_server("--appendonly", "yes", "--appendfsync", "always")
    ranker = SymbolRanker.open(server.url, ruleset="t", seed=1)
    order: list[str] = []
    with caplog.at_level(logging.WARNING), ranker.start_scan(SYMBOLS) as scan:
        for batch in scan.batches(20):
            if scan.n_scanned == 60:
                server.kill()
            scan.report({symbol: rating(symbol) for symbol in batch})
            order += batch.symbols
            assert scan.estimate().recall >= 0.0  # goes on learning and estimating
    assert sorted(order) == sorted(SYMBOLS)
    assert scan.summary.failure is None
    assert "away" in scan.summary.store_status or "not saved" in scan.summary.store_status
    assert sum("kept in" in record.message for record in caplog.records) == 1
    # Another scan while it is away: with what is known here.
    with ranker.start_scan(SYMBOLS) as again:
        again.report({symbol: rating(symbol) for symbol in again.next_batch(50)})
    assert again.summary.failure is None
    assert again.n_hits >= 5
    server.start()
    ranker.close()
    with SymbolRanker.open(server.url, ruleset="t", seed=1) as ranker:
        arms = [
            (entry.scan_id, arm)
            for entry in ranker.store.read("t")
            if entry.kind == "report"
            for arm in entry.arms
        ]
        assert len(arms) == len(set(arms)) == 250
        assert ranker.n_scans == 2
        assert ranker.learned.belief.n_reports == 250


def test_opening_says_when_the_store_cannot_be_reached(own_server: Callable[..., Server]) -> None:
    server = own_server()
    server.kill()
    with pytest.raises(StoreUnavailableError):
        SymbolRanker.open(server.url, ruleset="t")
