"""`scanrank compare`, on a real store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bandit.errors import InvalidInputError
from bandit.stores import Store, store_from_url
from bandit.stores.codec import Json
from scanner_adapter import SymbolRanker, compare
from scanner_adapter.cli.compare import run_compare

SYMBOLS = [f"S{i}" for i in range(100)]


def test_it_prints_lift_and_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"embedded://{tmp_path}/store"
    with pytest.raises(InvalidInputError, match="no finished scan of ruleset 't'"):
        run_compare(url, "t", as_json=False)
    with SymbolRanker.open(url, ruleset="t", rollout=0.5, seed=4) as ranker:
        for _ in range(8):
            with ranker.start_scan(SYMBOLS) as scan:
                for batch in scan.batches(10):
                    scan.report({s: float(int(s[1:]) * 37 % 101) for s in batch})
    run_compare(url, "t", as_json=False)
    text = capsys.readouterr().out
    assert "lift" in text
    assert "scans were randomly assigned" in text.replace("\n", " ")
    run_compare(url, "t", as_json=True)
    values = json.loads(capsys.readouterr().out)
    assert values["is_randomised"] is True
    assert values["prioritised"]["n"] + values["control"]["n"] == 8


def closed(
    store: Store, number: int, mode: str, rollout: float | None, early: int | None, would: int
) -> None:
    header: dict[str, Json] = {
        "scan_time": float(number), "mode": mode, "rollout": rollout, "found_early": early,
        "would_find_early": would if mode == "shadow" else None,
    }  # fmt: skip
    store.append_event("t", f"s{number}", "close", header=header, arrays={})


def test_a_rollout_that_is_raised_while_hits_become_common_gains_nothing() -> None:
    """Noise: 10 % for 60 scans, then 90 %, hits four times as common; 400 such histories.

    95 % intervals: 380 expected, with a standard deviation of 4.4.
    """
    rng = np.random.default_rng(3)
    n_inside = 0
    for _ in range(400):
        store = store_from_url("memory://")
        for number in range(120):
            share, chance = (0.1, 0.05) if number < 60 else (0.9, 0.2)
            mode = "on" if rng.random() < share else "shadow"
            closed(store, number, mode, share, int(rng.binomial(10, chance)), 1)
        found = compare(store, "t")
        n_inside += found.lift_low <= 1.0 <= found.lift_high
    assert 368 <= n_inside <= 392
    assert found.rollouts == (0.1, 0.9)
    assert "2 rollouts from 0.1 to 0.9" in str(found)


def test_shadow_says_what_it_would_have_found() -> None:
    store = store_from_url("memory://")
    for number in range(10):
        closed(store, number, "shadow", None, 2, 5)
    closed(store, 10, "shadow", None, None, 5)
    text = str(compare(store, "t"))
    assert "nan" not in text
    assert "no prioritised scans yet" in text
    assert "would have found 3.0 more early hits per scan (3.0 to 3.0, 10 scans)" in text
    assert "1 scans ended before 10% of their symbols were scanned and are left out" in text


def test_no_lift_is_claimed_for_an_order_that_stood_in() -> None:
    store = store_from_url("memory://")
    for number in range(40):
        mode = "on" if number % 2 else "shadow"
        closed(store, number, mode, 0.5, 4 if mode == "on" else 2, 5)
    assert compare(store, "t").lift == pytest.approx(2.0)
    header: dict[str, Json] = {
        "scan_time": 40.0, "mode": "on", "rollout": 0.5, "found_early": 4,
        "fallback": "last rating first",
    }  # fmt: skip
    store.append_event("t", "s40", "close", header=header, arrays={})
    found = compare(store, "t")
    assert (found.n_fallback, np.isnan(found.lift)) == (1, True)
    assert "no lift: in 1 prioritised scans another order replaced" in str(found)
