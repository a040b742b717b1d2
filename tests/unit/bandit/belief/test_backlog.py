"""Reports that say little wait, and nothing of them is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bandit.belief.backlog import MOST_ARMS, MOST_SHARE
from bandit.belief.belief import Belief, BeliefSettings
from bandit.belief.pattern import PatternStrength, ScanPattern
from bandit.belief.weights import laplace_update
from bandit.choice.open_scan import OpenScan
from bandit.errors import InvalidInputError
from bandit.rewards import Signal

COLUMNS = ["factor.a", "a.x", "a.y"]
K = 8


def ranker() -> Belief:
    settings = BeliefSettings(seed_weights={"factor.a": 1.0}, rule=Signal())
    learner = Belief(settings)
    learner.fold("open", {"scan_time": 100.0, "columns": COLUMNS}, (), {}, scan_id="s")
    return learner


def report(seed: int, *, hits: int = 0, k: int = K, time: float = 100.0) -> tuple[Any, ...]:
    """A report of k arms with a chance of 1 in 20 each, of which the first `hits` are hits.

    None of them is thinned out (`bandit.belief.thinning`): lesser chances would be.
    """
    arrays = {
        "context": np.random.default_rng(seed).uniform(0, 100, (k, 3)).astype(np.float32),
        "reward": (np.arange(k) < hits).astype(np.float32),
        "probability": np.full(k, 0.05, np.float32),
    }
    header = {"scan_time": time, "columns": COLUMNS, "row_columns": []}
    return "report", header, [f"{seed}.{i}" for i in range(k)], arrays


CLOSE = ("close", {"limit": None}, (), {})


def assert_same_state(one: Belief, other: Belief) -> None:
    (header, arrays), (header_, arrays_) = one.state(), other.state()
    assert header == header_
    assert arrays.keys() == arrays_.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, arrays_[name])


def test_what_was_foretold_waits_and_a_hit_ends_the_wait() -> None:
    """Two reports of misses at 5 % are off by 0.8 in all, a hit by 0.95: the three are learned
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
    """One in ten is kept of those that are sure to be misses."""
    learner = ranker()
    k = 11 * MOST_ARMS
    entry = report(1, k=k)
    entry[3]["probability"][:] = 0.0
    learner.fold(*entry, scan_id="s")
    assert not learner.backlog.parts
    assert learner.posterior.n_observed == pytest.approx(k, rel=0.01)


def experienced(n_scans: int = 40) -> Belief:
    """One that has learned from so much that a report hardly counts beside it."""
    learner = ranker()
    for number in range(n_scans):
        for part in range(3):
            learner.fold(*report(3 * number + part, hits=1), scan_id=f"{number}")
        learner.fold(*CLOSE, scan_id=f"{number}")
    assert learner.posterior.n_observed == n_scans * 3 * K
    return learner


class TestPrecisionWaits:
    def test_the_mean_moves_at_once_and_the_precision_when_it_counts(self) -> None:
        """960 rewards were learned from; more than 48 are worth a new precision."""
        learner = experienced()
        before, mean = learner.posterior, learner.moments.mean
        n_reports = int(MOST_SHARE * before.n_observed / K)
        for seed in range(n_reports):
            learner.fold(*report(1_000 + seed, hits=3), scan_id="s")
            assert learner.posterior is before
            assert learner.backlog.n_known == (seed + 1) * K
            assert np.abs(learner.moments.mean - mean).max() > 1e-3
            mean = learner.moments.mean
        learner.fold(*report(2_000, hits=3), scan_id="s")
        assert learner.posterior.n_observed == before.n_observed + (n_reports + 1) * K
        assert not learner.backlog.parts

    def test_the_mean_is_the_mode_of_everything_reported(self) -> None:
        """Reported in five parts or in one: the same mode, to what the search leaves open."""
        learner, at_once = experienced(), experienced()
        parts = [report(1_000 + seed, hits=2) for seed in range(5)]
        for part in parts:
            learner.fold(*part, scan_id="s")
        arrays = {name: np.concatenate([part[3][name] for part in parts]) for name in parts[0][3]}
        arms = [arm for part in parts for arm in part[2]]
        at_once.fold("report", parts[0][1], arms, arrays, scan_id="s")
        assert learner.backlog.n_known == at_once.backlog.n_known == 5 * K
        off = learner.anchor.norm(learner.moments.mean - at_once.moments.mean)
        moved = learner.anchor.norm(learner.moments.mean - learner.anchor.mean)
        assert off < 0.07  # of a posterior deviation: the root of twice the tolerance, and a bit
        assert moved > 10 * off

    def test_a_state_saved_meanwhile_goes_on_bit_for_bit(self) -> None:
        learner = experienced()
        learner.fold(*report(1_000, hits=2), scan_id="s")
        learner.fold(*report(1_001), scan_id="s")  # not known to the mean yet
        assert learner.backlog.n_known == K
        assert learner.backlog.n_arms == 2 * K
        header, arrays = learner.state()
        restored = Belief.from_state(learner.settings, header, arrays)
        np.testing.assert_array_equal(restored.moments.mean, learner.moments.mean)
        for each in (learner, restored):
            each.fold(*report(1_002, hits=2), scan_id="s")
        np.testing.assert_array_equal(restored.moments.mean, learner.moments.mean)
        assert_same_state(learner, restored)
        for each in (learner, restored):
            each.fold(*CLOSE, scan_id="s")
        assert_same_state(learner, restored)
        assert "mean" not in learner.state()[1]

    def test_a_bad_report_leaves_what_waits_as_it_was(self) -> None:
        learner, other = experienced(), experienced()
        for each in (learner, other):
            each.fold(*report(1_000, hits=2), scan_id="s")
        entry = report(1_001, hits=2)
        entry[3]["probability"] = np.full(K, np.nan, np.float32)
        with pytest.raises(InvalidInputError, match="expected a number from 0 to 1"):
            learner.fold(*entry, scan_id="s")
        for each in (learner, other):
            each.fold(*report(1_002, hits=2), scan_id="s")
        assert_same_state(learner, other)


def test_a_state_saved_meanwhile_goes_on_bit_for_bit() -> None:
    learner = ranker()
    learner.fold(*report(1), scan_id="s")
    learner.fold(*report(2), scan_id="s")
    header, arrays = learner.state()
    assert arrays["backlog_reward"].size == 2 * K
    restored = Belief.from_state(learner.settings, header, arrays)
    for each in (learner, restored):
        each.fold(*report(3, hits=2), scan_id="s")
        each.fold(*CLOSE, scan_id="s")
    assert_same_state(learner, restored)
    assert "backlog_reward" not in learner.state()[1]


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
    scan = OpenScan.open(
        learner,
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


def test_a_pattern_that_is_far_off_is_searched_and_not_stepped_over() -> None:
    """50 arms at 99 % are all misses. One Newton step from there would go some 60 logits down, to
    where nothing can be learned any more; the likeliest level solves 50 p(level + 4.6) = -level/4.
    """
    strength = PatternStrength({"level": 4.0})
    pattern = ScanPattern(np.zeros((50, 0), np.float32), (), strength)
    pattern.learn(np.arange(50), np.zeros(50), np.full(50, np.log(99.0)))
    level = float(pattern.moments.mean[0])
    p = 1.0 / (1.0 + np.exp(-level - np.log(99.0)))
    assert 50.0 * p == pytest.approx(-level / 4.0, abs=0.1)
    assert -10.0 < level < -5.0
