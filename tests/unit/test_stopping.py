"""What a kept promise is, how scans are stopped, and peers that see labels only."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import _stopping_peers
from benchmarks.stopping import N_COMPLETE, Stops, judge_complete, pooled, row_of, stop_scans
from scanner_adapter.replay import bundled_log


def test_a_promise_is_broken_where_the_rule_stopped_too_early_only() -> None:
    """Stopped at 0.9 of 0.8: kept. Stopped at 0.7: broken. Cut by a budget at 0.5: no promise."""
    cell = Stops("breakout", "stopping", 0.8)
    cell.add(9, 10, 40, 100, is_stopped=True)
    cell.add(7, 10, 30, 100, is_stopped=True)
    cell.add(5, 10, 95, 100, is_stopped=False)
    cell.add(0, 0, 50, 100, is_stopped=True)  # no hit: nothing was promised
    assert cell.is_kept.tolist() == [True, False, True]
    row = row_of(cell)
    assert row["kept"] == pytest.approx(2 / 3)
    assert row["kept_of_stopped"] == 0.5
    assert (row["scanned"], row["recall"]) == pytest.approx((0.55, 0.7))
    assert float(row["kept_low"]) < 2 / 3 < float(row["kept_high"])
    assert "66.7% of 3" in pooled([cell], "stopping")


def test_the_rule_really_stops_and_a_budget_leaves_no_scan_whole() -> None:
    log = bundled_log()
    days = log.days()[: N_COMPLETE + 5]
    whole = stop_scans(log, days, "ratings", "never whole", 0.99, warmup=0)
    assert whole.scanned[:N_COMPLETE] == [1.0] * N_COMPLETE
    assert all(scanned <= 0.95 for scanned in whole.scanned[N_COMPLETE:])
    used = stop_scans(log, days, "ratings", "stopping", 0.8, warmup=0)
    assert min(used.scanned) < 0.8
    assert used.is_stopped[int(np.argmin(used.scanned))]


def test_complete_trajectories_serve_every_target_at_once() -> None:
    log = bundled_log()
    cells = judge_complete(log, log.days()[:6], "ratings", (0.5, 0.99), (), warmup=2)
    assert [len(cell.recall) for cell in cells] == [4, 4]
    assert np.all(np.array(cells[0].scanned) <= np.array(cells[1].scanned))


@pytest.mark.parametrize("name", _stopping_peers.PEERS)
def test_peers_stop_somewhere_and_count_what_they_found(name: str) -> None:
    pytest.importorskip("pyterrier_tar")
    labels = np.zeros(400, bool)
    labels[:60:2] = True
    n, found = _stopping_peers.PEERS[name](labels, 0.8, 0.9, np.random.default_rng(0))
    assert 0 < n <= 400
    assert 0 < found <= labels.sum()
    if name not in ("TargetRecapture", "Kneedle"):
        assert n < 400
        assert found == labels[:n].sum()
