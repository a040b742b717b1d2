"""What a scan teaches when it ends, judged by the limit that it ended with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bandit.belief.belief import Belief, BeliefSettings
from bandit.belief.unsettled import MOST_ARMS, MOST_SCANS, UnsettledScan
from bandit.errors import InvalidInputError

COLUMNS = ["factor.a", "a.x", "a.y"]
K = 40


def ranker() -> Belief:
    return Belief(BeliefSettings(seed_weights={"factor.a": 1.0}, crossed=("a.x", "a.y")))


def opened(scan_id: str, time: float = 100.0) -> dict[str, Any]:
    header = {"scan_time": time, "columns": COLUMNS}
    return {"kind": "open", "header": header, "arms": (), "arrays": {}, "scan_id": scan_id}


def reported(scan_id: str, seed: int, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    arrays = {
        "context": rng.uniform(0, 100, (K, 3)).astype(np.float32),
        "reward": rng.uniform(0, 1, K).astype(np.float32),
        "probability": np.full(K, 0.2, np.float32),
        "rating": np.arange(K, dtype=np.float64),
        **changes,
    }
    header = {"scan_time": 100.0, "columns": COLUMNS, "row_columns": []}
    arms = tuple(f"{seed}.{i}" for i in range(K))
    return {"kind": "report", "header": header, "arms": arms, "arrays": arrays, "scan_id": scan_id}


def closed(scan_id: str, **changes: Any) -> dict[str, Any]:
    header = {"limit": None, **changes}
    return {"kind": "close", "header": header, "arms": (), "arrays": {}, "scan_id": scan_id}


def same_state(one: Belief, other: Belief) -> None:
    (header, arrays), (header_, arrays_) = one.state(), other.state()
    assert header == header_
    assert arrays.keys() == arrays_.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, arrays_[name])


def test_the_end_corrects_what_was_judged_in_mid_scan() -> None:
    """Ratings 0 .. 39 were given made-up rewards; the scan ends with a limit of 30. The shift of
    the weights moves by X'(judged - reward), the curvature not at all."""
    learner = ranker()
    entry = reported("one", 1)
    learner.fold(**opened("one"))
    learner.fold(**entry)
    before = learner.posterior
    learner.fold(**closed("one", hit_limit=30.0))
    judged = np.arange(K) >= 30.0
    X = learner.expansion.transform(entry["arrays"]["context"], np.float64)
    expected = before.data_shift + (judged - entry["arrays"]["reward"].astype(float)) @ X
    np.testing.assert_allclose(learner.posterior.data_shift, expected, rtol=1e-12)
    np.testing.assert_array_equal(learner.posterior.data_precision, before.data_precision)


def test_rules_with_a_limit_of_their_own_are_not_judged_again() -> None:
    learner = ranker()
    learner.fold(**opened("one"))
    learner.fold(**reported("one", 1))
    before = learner.posterior
    learner.fold(**closed("one"))
    np.testing.assert_array_equal(learner.posterior.data_shift, before.data_shift)
    assert learner.cells.mean.any()
    assert not learner.unsettled


def test_scans_under_way_do_not_mix() -> None:
    """Two scans whose reports interleave teach the cells what they teach one after the other."""
    learner, apart = ranker(), ranker()
    for scan_id in ("one", "two"):
        learner.fold(**opened(scan_id))
        apart.fold(**opened(scan_id))
    order = [("one", 1), ("two", 2), ("one", 3), ("two", 4)]
    for scan_id, seed in order:
        learner.fold(**reported(scan_id, seed))
    for scan_id, seed in sorted(order):
        apart.fold(**reported(scan_id, seed))
    for scan_id in ("one", "two"):
        learner.fold(**closed(scan_id, hit_limit=30.0))
        apart.fold(**closed(scan_id, hit_limit=30.0))
    np.testing.assert_array_equal(learner.cells.mean, apart.cells.mean)


def test_a_snapshot_in_mid_scan_loses_nothing() -> None:
    learner = ranker()
    learner.fold(**opened("other"))
    learner.fold(**opened("one"))
    learner.fold(**reported("one", 1))
    loaded = Belief.from_state(learner.settings, *learner.state())
    same_state(loaded, learner)
    for each in (learner, loaded):
        each.fold(**reported("one", 2))
        each.fold(**closed("one", hit_limit=25.0))
    same_state(loaded, learner)


def test_a_column_added_in_mid_scan_is_unknown_before() -> None:
    learner = ranker()
    learner.fold(**opened("one"))
    learner.fold(**reported("one", 1))
    wider = reported("one", 2)
    wider["header"]["columns"] = [*COLUMNS, "a.z"]
    wider["arrays"]["context"] = np.full((K, 4), 60.0, np.float32)
    learner.fold(**wider)
    joined = learner.unsettled["one"].joined(4)["context"]
    assert np.isnan(joined[:K, 3]).all()
    assert (joined[K:, 3] == 60.0).all()
    learner.fold(**closed("one", hit_limit=30.0))
    assert learner.cells.mean.size == learner.layout.n_cells


def test_scans_that_never_end_make_room() -> None:
    learner = ranker()
    for number in range(MOST_SCANS + 5):
        learner.fold(**opened(f"scan {number}"))
    assert list(learner.unsettled) == [f"scan {n}" for n in range(5, MOST_SCANS + 5)]


def test_so_many_arms_wait_and_no_more() -> None:
    scan = UnsettledScan(np.zeros(1), np.zeros(1))
    n = MOST_ARMS - 10
    scan = scan.add(np.zeros((n, 1)), np.zeros(n), None, np.ones(n))
    scan = scan.add(np.ones((30, 1)), np.ones(30), np.ones(30), np.ones(30))
    assert scan.n_arms == MOST_ARMS
    assert scan.add(np.ones((30, 1)), np.ones(30), None, np.ones(30)) is scan


def test_a_scan_that_found_nothing_ends_quietly() -> None:
    learner = ranker()
    learner.fold(**opened("one"))
    learner.fold(**closed("one", hit_limit=3.0))
    assert not learner.cells.mean.any()


def test_ratings_of_another_length_change_nothing() -> None:
    learner = ranker()
    learner.fold(**opened("one"))
    before = learner.state()
    with pytest.raises(InvalidInputError, match=r"rating of the report has shape \(3,\)"):
        learner.fold(**reported("one", 1, rating=np.zeros(3)))
    header, arrays = learner.state()
    assert header == before[0]
    for name, array in before[1].items():
        np.testing.assert_array_equal(array, arrays[name])
