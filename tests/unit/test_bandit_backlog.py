"""Reports that say little wait, and nothing of them is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bandit.backlog import ENOUGH, MOST_ARMS
from bandit.errors import InvalidInputError
from bandit.ranker import Ranker, RankerSettings
from bandit.reward_model import laplace_update
from bandit.rewards import Signal

COLUMNS = ["factor.a", "a.x", "a.y"]
K = 10


def ranker() -> Ranker:
    settings = RankerSettings(seed_weights={"factor.a": 1.0}, rule=Signal())
    learner = Ranker(settings)
    learner.fold("open", {"scan_time": 100.0, "columns": COLUMNS}, (), {}, scan_id="s")
    return learner


def report(seed: int, *, hits: int = 0, k: int = K, time: float = 100.0) -> tuple[Any, ...]:
    """A report of k arms with a chance of 1 in 100 each, of which the first `hits` are hits."""
    arrays = {
        "context": np.random.default_rng(seed).uniform(0, 100, (k, 3)).astype(np.float32),
        "reward": (np.arange(k) < hits).astype(np.float32),
        "probability": np.full(k, 0.01, np.float32),
    }
    header = {"scan_time": time, "columns": COLUMNS, "row_columns": []}
    return "report", header, [f"{seed}.{i}" for i in range(k)], arrays


CLOSE = ("close", {"limit": None}, (), {})


def test_what_was_foretold_waits_and_a_hit_ends_the_wait() -> None:
    """Two reports of misses at 1 % are off by 0.2 in all, a hit by 0.99: the three are learned
    together, as one batch."""
    learner = ranker()
    before = learner.posterior
    reports = [report(1), report(2), report(3, hits=1)]
    for seed in (0, 1):
        learner.fold(*reports[seed], scan_id="s")
        assert learner.posterior is before
    learner.fold(*reports[2], scan_id="s")
    contexts = np.concatenate([entry[3]["context"] for entry in reports])
    rewards = np.concatenate([entry[3]["reward"] for entry in reports]).astype(float)
    expected, _ = laplace_update(before, learner.expansion.transform(contexts, np.float64), rewards)
    np.testing.assert_array_equal(learner.posterior.data_precision, expected.data_precision)
    np.testing.assert_array_equal(learner.posterior.data_shift, expected.data_shift)
    assert learner.backlog.surprise == 0.0


def test_track_records_do_not_wait() -> None:
    learner = ranker()
    learner.fold(*report(1), scan_id="s")
    assert learner.n_reports == K
    assert learner.view(["1.0"], now=100.0).last_reward[0] == 0.0


@pytest.mark.parametrize(
    "event",
    [
        CLOSE,
        ("open", {"scan_time": 101.0, "columns": COLUMNS}, (), {}),
        ("open", {"scan_time": 100.0, "columns": [*COLUMNS, "a.new"]}, (), {}),
        report(2, time=101.0),
    ],
    ids=["the end", "a later scan", "a new column", "a later report"],
)
def test_what_waits_is_learned_before(event: tuple[Any, ...]) -> None:
    """Forgetting, new columns and judging again all find everything that was reported."""
    learner, prompt = ranker(), ranker()
    learner.fold(*report(1), scan_id="s")
    prompt.fold(*report(1), scan_id="s")
    prompt._learn_backlog()
    assert prompt.posterior.n_observed == K
    learner.fold(*event, scan_id="s")
    prompt.fold(*event, scan_id="s")
    np.testing.assert_array_equal(learner.posterior.data_shift, prompt.posterior.data_shift)
    assert learner.posterior.n_observed == prompt.posterior.n_observed


def test_it_takes_so_many_arms_at_most() -> None:
    learner = ranker()
    entry = report(1, k=MOST_ARMS)
    entry[3]["probability"][:] = 0.0
    learner.fold(*entry, scan_id="s")
    assert learner.backlog.surprise < ENOUGH
    assert learner.posterior.n_observed == MOST_ARMS


def test_a_state_saved_meanwhile_goes_on_bit_for_bit() -> None:
    learner = ranker()
    learner.fold(*report(1), scan_id="s")
    learner.fold(*report(2), scan_id="s")
    header, arrays = learner.state()
    assert arrays["backlog_reward"].size == 2 * K
    restored = Ranker.from_state(learner.settings, header, arrays)
    for each in (learner, restored):
        each.fold(*report(3, hits=2), scan_id="s")
        each.fold(*CLOSE, scan_id="s")
    (header, arrays), (header_, arrays_) = learner.state(), restored.state()
    assert header == header_
    assert arrays.keys() == arrays_.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, arrays_[name])
    assert "backlog_reward" not in arrays


@pytest.mark.parametrize("bad", [np.inf, -0.1, 1.5])
def test_a_bad_reward_is_refused_though_it_would_wait(bad: float) -> None:
    learner = ranker()
    entry = report(1)
    entry[3]["reward"][3] = bad
    with pytest.raises(InvalidInputError, match="at position 3 is outside"):
        learner.fold(*entry, scan_id="s")
    assert not learner.backlog.parts
    assert learner.n_reports == 0


def test_todays_pattern_waits_too_and_has_learned_everything_at_the_end() -> None:
    learner = ranker()
    rng = np.random.default_rng(0)
    scan = learner.open_scan(
        "s",
        [str(i) for i in range(60)],
        rng.uniform(0, 100, (60, 3)),
        COLUMNS,
        rng=rng,
        now=100.0,
        loadings=np.ones((60, 1), np.float32),
        blocks=["sector"],
    )
    unknown, small = np.full(20, np.nan), np.full(20, 0.01)
    scan.observe(np.arange(20), unknown, np.zeros(20), small)
    assert scan.pattern.posterior.n_observed == 0
    scan.observe(np.arange(20, 40), unknown, np.eye(1, 20)[0], small)
    assert scan.pattern.posterior.n_observed == 40
    scan.observe(np.arange(40, 60), unknown, np.zeros(20), small)
    scan.closing()
    assert scan.pattern.posterior.n_observed == 60
