"""Off-policy estimators: weights by hand, coverage of the truth, and when no answer is given."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from bandit.errors import InvalidInputError, UnanswerableError
from bandit.evaluation.offpolicy import LoggedScan, Method, estimate_recall, inclusion_weights

NAN = float("nan")
METHODS: tuple[Method, ...] = ("ips", "snips", "dr")


def market(rng: np.random.Generator, n_arms: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Context, hits (about 9 %) and a rough, biased prediction of them, for one scan."""
    context = rng.standard_normal((n_arms, 3))
    value = context @ [1.0, 0.5, -0.5] + 0.3 * rng.standard_normal()
    hit = (rng.random(n_arms) < 1 / (1 + np.exp(3 - value))).astype(float)
    return context, hit, 1 / (1 + np.exp(2.5 - 0.7 * value))


def logged(
    rng: np.random.Generator, n_scans: int, *, n_arms: int = 200, quota: int = 4
) -> tuple[list[LoggedScan], float]:
    """Scans stopped after 5 batches of 20, of which `quota` are uniform; and the true recall.

    Logging and target order follow different noisy weights, so they overlap in part.
    """
    scans, found, hits = [], 0.0, 0.0
    for _ in range(n_scans):
        context, hit, prediction = market(rng, n_arms)
        log_score = context @ rng.normal([1.0, 0.5, -0.5], 1.0)
        target_score = context @ rng.normal([1.0, 0.5, -0.5], 0.3)
        batch, propensity = np.full(n_arms, -1), np.full(n_arms, NAN)
        for number in range(5):
            left = np.flatnonzero(batch < 0)
            left = left[np.argsort(-log_score[left])]
            greedy, rest = left[: 20 - quota], left[20 - quota :]
            lucky = rng.choice(rest, quota, replace=False)
            batch[greedy], propensity[greedy] = number, 1.0
            batch[lucky], propensity[lucky] = number, quota / len(rest)
        target = np.zeros(n_arms)
        target[np.argsort(-target_score)[:30]] = 1.0
        reward = np.where(batch >= 0, hit, NAN)
        scans.append(LoggedScan(batch, propensity, reward, target, prediction))
        found, hits = found + hit @ target, hits + hit.sum()
    return scans, found / hits


def test_weights_by_hand() -> None:
    """Three batches: weight = (1/p + 2 - b)/3.

    b=0, p=1: (1 + 2)/3 = 1. b=0, p=1/4: (4 + 2)/3 = 2. b=1, p=1/2: (2 + 1)/3 = 1. b=2, p=1/3: 1.
    """
    weights = inclusion_weights(np.array([0, 0, 1, 2, -1]), np.array([1.0, 0.25, 0.5, 1 / 3, NAN]))
    np.testing.assert_allclose(weights, [1, 2, 1, 1, 0])


def test_weights_are_unbiased_over_every_course_a_scan_can_take() -> None:
    """Two batches of two from five arms: one certain, one uniform. All eight courses counted.

    Batch 0 takes arm 0 and one of {1, 2, 3, 4} (p 1/4); batch 1 takes the smallest arm left and
    one of the other two (p 1/2). The mean total over all courses is the true one, 1+2+4+8+16 = 31.
    """
    values = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    total, probability = 0.0, 0.0
    for first in (1, 2, 3, 4):
        left = [arm for arm in (1, 2, 3, 4) if arm != first]
        for second in left[1:]:
            batch, propensity = np.full(5, -1), np.full(5, NAN)
            batch[[0, first]], propensity[[0, first]] = 0, [1, 1 / 4]
            batch[[left[0], second]], propensity[[left[0], second]] = 1, [1, 1 / 2]
            total += inclusion_weights(batch, propensity) @ values / 8
            probability += 1 / 8
    assert probability == 1.0
    assert total == pytest.approx(values.sum())


def test_every_subset_of_a_uniform_batch_gives_the_horvitz_thompson_total() -> None:
    """One batch of 2 from 4, p = 1/2: the mean over the 6 subsets of 2 * sum is the total, 10."""
    values = np.array([1.0, 2.0, 3.0, 4.0])
    estimates = []
    for chosen in combinations(range(4), 2):
        batch = np.full(4, -1)
        batch[list(chosen)] = 0
        estimates.append(inclusion_weights(batch, np.full(4, 0.5)) @ values)
    assert np.mean(estimates) == pytest.approx(10.0)


@pytest.mark.parametrize("method", METHODS)
def test_complete_scans_are_judged_exactly(method: Method) -> None:
    """Everything was handed out, so nothing is estimated: the truth, without a width."""
    rng = np.random.default_rng(6)
    scans, found, hits = [], 0.0, 0.0
    for _ in range(20):
        _, hit, prediction = market(rng, 100)
        target = (rng.permutation(100) < 25).astype(float)
        batch = np.arange(100) // 25
        scans.append(LoggedScan(batch, np.full(100, 0.5), hit, target, prediction))
        found, hits = found + hit @ target, hits + hit.sum()
    estimate = estimate_recall(scans, method=method)
    assert estimate.recall == pytest.approx(found / hits)
    assert estimate.high - estimate.low == pytest.approx(0.0, abs=1e-12)
    assert (estimate.overlap, estimate.covered) == (1.0, 1.0)


def test_the_truth_lies_in_the_interval() -> None:
    """In 90 to 99 % of 300 random logs, for each estimator; binomial standard error 1.3 %."""
    covered: dict[Method, list[bool]] = {method: [] for method in METHODS}
    widths: dict[Method, list[float]] = {method: [] for method in METHODS}
    for seed in range(300):
        scans, truth = logged(np.random.default_rng(seed), 48)
        for method in METHODS:
            estimate = estimate_recall(scans, method=method)
            covered[method].append(estimate.low <= truth <= estimate.high)
            widths[method].append(estimate.high - estimate.low)
    for method in METHODS:
        assert 0.90 <= np.mean(covered[method]) <= 0.99, method
        assert np.mean(widths[method]) < 0.25, method  # an interval of everything would cover too
    assert np.mean(widths["dr"]) < np.mean(widths["ips"])


def test_counting_only_what_was_seen_would_be_wrong() -> None:
    """The estimators earn their keep: on the same logs the plain ratio is 5 points off or more."""
    scans, truth = logged(np.random.default_rng(7), 200)
    seen = [(scan, np.nan_to_num(scan.reward)) for scan in scans]
    plain = sum(r @ s.target for s, r in seen) / sum(r.sum() for _, r in seen)
    assert abs(plain - truth) > 0.05
    assert abs(estimate_recall(scans, method="dr").recall - truth) < 0.02


def test_diagnostics_and_labels() -> None:
    scans, _ = logged(np.random.default_rng(8), 30)
    estimate = estimate_recall(scans, method="snips")
    assert 0 < estimate.overlap < 1
    assert 50 < estimate.effective_sample_size < 30 * 30
    # The heaviest is a quota pick of the last batch: 1/p = (200 - 80 - 16)/4 = 26 in batch 4,
    # (200 - 16)/4 = 46 in batch 0, which also counts in the four batches after: (46 + 4)/5 = 10.
    assert estimate.largest_weight == pytest.approx(10.0)
    assert "biased" in estimate.bias
    assert "unbiased" in estimate_recall(scans, method="dr").bias


class TestRefusals:
    def test_an_order_that_never_looked_elsewhere(self) -> None:
        """Without a quota the log is certain of every choice and silent about the rest."""
        scans, _ = logged(np.random.default_rng(9), 30, quota=0)
        with pytest.raises(UnanswerableError, match="never chose the rest"):
            estimate_recall(scans)

    def test_too_few_scans(self) -> None:
        scans, _ = logged(np.random.default_rng(10), 5)
        with pytest.raises(UnanswerableError, match="5 scans are too few"):
            estimate_recall(scans)

    def test_too_little_on_the_target(self) -> None:
        scans, _ = logged(np.random.default_rng(11), 20)
        narrow = [
            replace(scan, target=np.eye(1, 200, int(np.argmax(scan.batch)))[0]) for scan in scans
        ]
        with pytest.raises(UnanswerableError, match="effective outcomes"):
            estimate_recall(narrow)

    def test_no_hit_seen(self) -> None:
        scans, _ = logged(np.random.default_rng(12), 20)
        barren = [replace(scan, reward=scan.reward * 0) for scan in scans]
        with pytest.raises(UnanswerableError, match="no hit"):
            estimate_recall(barren)

    def test_predictions_against_all_evidence(self) -> None:
        """Predictions of 1 where hardly anything was a hit: the corrected total is below 0."""
        scans, _ = logged(np.random.default_rng(12), 20)
        rewards = [scan.reward * 0 for scan in scans]
        rewards[0][np.flatnonzero(scans[0].batch == 4)[-1]] = 1.0
        absurd = [
            replace(scan, reward=reward, prediction=(scan.batch >= 0).astype(float))
            for scan, reward in zip(scans, rewards, strict=True)
        ]
        with pytest.raises(UnanswerableError, match="contradict"):
            estimate_recall(absurd, method="dr")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"propensity": np.full(200, NAN)}, "propensity is nan"),
            ({"propensity": np.full(200, 1.5)}, "propensity is 1.5"),
            ({"propensity": np.full(199, 0.5)}, "shape"),
            ({"reward": np.full(200, -1.0)}, "reward is -1"),
            ({"target": np.full(200, 2.0)}, "target is 2"),
            ({"prediction": None}, "has no prediction"),
        ],
    )
    def test_bad_logs_are_named(self, change: dict[str, np.ndarray], message: str) -> None:
        scans, _ = logged(np.random.default_rng(13), 20)
        with pytest.raises(InvalidInputError, match=f"scan 3.*{message}"):
            estimate_recall([*scans[:3], replace(scans[3], **change), *scans[4:]])

    def test_bad_settings_and_an_empty_target(self) -> None:
        scans, _ = logged(np.random.default_rng(13), 20)
        with pytest.raises(InvalidInputError, match="method is 'dm'"):
            estimate_recall(scans, method="dm")  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match="level is 95"):
            estimate_recall(scans, level=95)
        empty = [replace(scan, target=np.zeros(200)) for scan in scans]
        with pytest.raises(InvalidInputError, match="target is empty"):
            estimate_recall(empty)
