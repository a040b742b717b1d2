"""A scan is learned from once, when it is over, by the labels that are known then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bandit.belief.belief import Belief, BeliefSettings
from bandit.belief.pending import MOST_ARMS, MOST_SCANS
from bandit.errors import IncompatibleStateError, InvalidInputError

COLUMNS = ["factor.a", "a.x", "a.y"]
K = 40


def empty() -> Belief:
    return Belief(BeliefSettings(seed_weights={"factor.a": 1.0}, crossed=("a.x", "a.y")))


def opened(scan_id: str, time: float = 100.0) -> dict[str, Any]:
    header = {"scan_time": time, "columns": COLUMNS}
    return {"kind": "open", "header": header, "arms": (), "arrays": {}, "scan_id": scan_id}


def reported(scan_id: str, seed: int, *, k: int = K, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    arrays = {
        "context": rng.uniform(0, 100, (k, 3)).astype(np.float32),
        "reward": rng.uniform(0, 1, k).astype(np.float32),
        "rating": np.arange(k, dtype=np.float64),
        **changes.pop("arrays", {}),
    }
    header = {"scan_time": 100.0, "columns": COLUMNS, "row_columns": [], **changes}
    arms = tuple(f"{seed}.{i}" for i in range(k))
    return {"kind": "report", "header": header, "arms": arms, "arrays": arrays, "scan_id": scan_id}


def closed(scan_id: str, **changes: Any) -> dict[str, Any]:
    header = {"limit": None, **changes}
    return {"kind": "close", "header": header, "arms": (), "arrays": {}, "scan_id": scan_id}


def assert_same_state(one: Belief, other: Belief) -> None:
    (header, arrays), (header_, arrays_) = one.state(), other.state()
    assert header == header_
    assert arrays.keys() == arrays_.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, arrays_[name])


def last_rewards(belief: Belief, seed: int) -> list[float]:
    arms = [f"{seed}.{i}" for i in range(K)]
    return belief.track.view(arms, now=100.0).last_reward.tolist()


def test_reports_move_nothing_until_their_scan_is_over() -> None:
    belief = empty()
    belief.fold(**opened("one"))
    before = belief.posterior.mean.copy()
    belief.fold(**reported("one", 1))
    np.testing.assert_array_equal(belief.posterior.mean, before)
    assert belief.n_reports == K
    belief.fold(**closed("one", hit_limit=30.0))
    assert (belief.posterior.mean != before).any()
    assert belief.cells.mean.any()
    assert not belief.pending


def test_labels_are_those_of_the_end() -> None:
    """Ratings 0 .. 39 came with made-up rewards and a limit of 5; the scan ends with one of 30."""
    belief = empty()
    belief.fold(**opened("one"))
    belief.fold(**reported("one", 1, hit_limit=5.0))
    belief.fold(**closed("one", hit_limit=30.0))
    assert last_rewards(belief, 1) == [0.0] * 30 + [1.0] * 10


def test_a_scan_that_nobody_closed_is_learned_from_a_day_later() -> None:
    """By the limit that its latest report knew; not while a neighbour may still work on it."""
    belief = empty()
    belief.fold(**opened("one"))
    belief.fold(**reported("one", 1, hit_limit=5.0))
    belief.fold(**reported("one", 2, hit_limit=25.0))
    belief.fold(**opened("two", 100.5))
    assert belief.posterior.n_observed == 0.0
    belief.fold(**opened("three", 101.0))
    assert belief.posterior.n_observed == 2 * K
    assert last_rewards(belief, 1) == [0.0] * 25 + [1.0] * 15


def test_what_comes_after_that_is_added() -> None:
    belief = empty()
    for entry in (opened("one"), reported("one", 1), opened("later", 102.0), reported("one", 2)):
        belief.fold(**entry)
    belief.fold(**closed("one", hit_limit=30.0))
    assert len(belief.track.arms) == 2 * K
    assert belief.n_scans == 1


def test_scans_at_a_time_do_not_mix() -> None:
    """Two scans whose reports interleave teach what they teach one after the other."""
    belief, apart = empty(), empty()
    order = [("one", 1), ("two", 2), ("one", 3), ("two", 4)]
    for each, reports in ((belief, order), (apart, sorted(order))):
        for scan_id in ("one", "two"):
            each.fold(**opened(scan_id))
        for scan_id, seed in reports:
            each.fold(**reported(scan_id, seed))
        for scan_id in ("one", "two"):
            each.fold(**closed(scan_id, hit_limit=30.0))
    assert_same_state(belief, apart)


def test_a_snapshot_in_mid_scan_loses_nothing() -> None:
    belief = empty()
    belief.fold(**opened("other"))
    belief.fold(**opened("one"))
    belief.fold(**reported("one", 1, hit_limit=7.0))
    loaded = Belief.from_state(belief.settings, *belief.state())
    assert_same_state(loaded, belief)
    for each in (belief, loaded):
        each.fold(**reported("one", 2))
        each.fold(**closed("one", hit_limit=25.0))
    assert_same_state(loaded, belief)


def test_a_state_that_lacks_reports_is_refused() -> None:
    belief = empty()
    belief.fold(**opened("one"))
    belief.fold(**reported("one", 1))
    header, arrays = belief.state()
    del arrays["pending_0_0_reward"]
    with pytest.raises(IncompatibleStateError, match="open scan 'one' without its reports"):
        Belief.from_state(belief.settings, header, arrays)


def test_a_column_added_in_mid_scan_is_unknown_before() -> None:
    belief = empty()
    belief.fold(**opened("one"))
    belief.fold(**reported("one", 1))
    wider = reported("one", 2, columns=[*COLUMNS, "a.z"])
    wider["arrays"]["context"] = np.full((K, 4), 60.0, np.float32)
    belief.fold(**wider)
    joined = belief.pending["one"].contexts(4)
    assert np.isnan(joined[:K, 3]).all()
    assert (joined[K:, 3] == 60.0).all()
    belief.fold(**closed("one", hit_limit=30.0))
    assert belief.cells.mean.size == belief.layout.n_cells


def test_tables_with_other_columns_keep_their_places() -> None:
    """A report with a column of the scanner's, and one without, beside an arm that came twice."""
    belief = empty()
    belief.fold(**opened("one"))
    rows = np.arange(K, dtype=np.float32)[:, None]
    belief.fold(**reported("one", 1, row_columns=["gap"], arrays={"rows": rows}))
    belief.fold(**reported("one", 2, arrays={"rows": np.empty((K, 0), np.float32)}))
    belief.fold(**reported("one", 1, row_columns=["gap"], arrays={"rows": rows + 5}))
    belief.fold(**closed("one", hit_limit=30.0))
    seen = belief.track.view([f"1.{i}" for i in range(3)], now=100.0)
    np.testing.assert_allclose(np.sinh(seen.rows[:, 0].astype(float)), [5, 6, 7], rtol=0.01)
    np.testing.assert_allclose(seen.n_scans, 2.0)
    assert belief.track.view(["2.39"], now=100.0).last_reward.tolist() == [1.0]


def test_scans_that_never_end_make_room() -> None:
    belief = empty()
    for number in range(MOST_SCANS + 5):
        belief.fold(**opened(f"scan {number}"))
    assert list(belief.pending) == [f"scan {n}" for n in range(5, MOST_SCANS + 5)]


def test_a_very_large_scan_is_learned_from_in_pieces() -> None:
    belief = empty()
    belief.fold(**opened("one"))
    belief.fold(**reported("one", 1, k=MOST_ARMS, hit_limit=10.0))
    assert belief.posterior.n_observed == MOST_ARMS
    assert belief.pending["one"].n_arms == 0
    belief.fold(**reported("one", 2))
    belief.fold(**closed("one", hit_limit=30.0))
    assert belief.posterior.n_observed == MOST_ARMS + K
    assert belief.n_scans == 1


def test_a_scan_that_found_nothing_ends_quietly() -> None:
    belief = empty()
    belief.fold(**opened("one"))
    belief.fold(**closed("one", hit_limit=3.0))
    assert not belief.cells.mean.any()
    assert belief.n_scans == 1


def test_ratings_of_another_length_change_nothing() -> None:
    belief, twin = empty(), empty()
    for each in (belief, twin):
        each.fold(**opened("one"))
    with pytest.raises(InvalidInputError, match=r"rating of the report has shape \(3,\)"):
        belief.fold(**reported("one", 1, arrays={"rating": np.zeros(3)}))
    assert_same_state(belief, twin)
