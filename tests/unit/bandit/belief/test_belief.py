"""The belief as a fold over a journal, its state, and the choices made from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandit.belief.belief import Belief, BeliefSettings
from bandit.choice.draw import round_stochastically, sample, top_k
from bandit.choice.open_scan import OpenScan
from bandit.errors import IncompatibleStateError, InvalidInputError
from bandit.rewards import Signal, TopShare
from bandit.stores.snapshots import decode_snapshot, encode_snapshot

GOLDEN = Path(__file__).parents[3] / "golden"
SEED = {"factor.a": 0.7, "factor.b": 0.3}
COLUMNS = (*SEED, "a.x", "a.y")
ARMS = tuple(f"S{i:03}" for i in range(120))


def settings(**changes: Any) -> BeliefSettings:
    return BeliefSettings(seed_weights=SEED, crossed=("a.x", "a.y"), **changes)


def context(seed: int, n: int = len(ARMS)) -> np.ndarray:
    values = np.random.default_rng(seed).uniform(0.0, 100.0, (n, len(COLUMNS)))
    values[::7, 2] = np.nan
    return values


def entry(seed: int, *, k: int = 30, **changes: Any) -> dict[str, Any]:
    """One report of k arms; `changes` replace its parts."""
    rng = np.random.default_rng(seed)
    header = {"scan_time": 100.0 + seed, "columns": list(COLUMNS), "row_columns": ["rating"]}
    arrays = {
        "context": context(seed, k),
        "reward": (rng.random(k) < 0.2).astype(np.float32),
        "probability": np.full(k, 0.2, np.float32),
        "rows": rng.normal(size=(k, 1)).astype(np.float32),
    }
    arms = tuple(str(arm) for arm in rng.choice(ARMS, k, replace=False))
    parts = {"kind": "report", "header": header, "arms": arms, "arrays": arrays}
    for name, value in changes.items():
        group = parts["header"] if name in ("scan_time", "columns", "row_columns") else None
        group = parts["arrays"] if name in arrays else group
        (parts if group is None else group)[name] = value  # type: ignore[index]
    return parts


def opened(time: float) -> dict[str, Any]:
    header = {"scan_time": time, "columns": list(COLUMNS)}
    return {"kind": "open", "header": header, "arms": (), "arrays": {}}


def closed(**changes: Any) -> dict[str, Any]:
    header = {"limit": 3.5, "pattern": {"level": 0.1}, "recall": [[10.0, 8.0]], **changes}
    return {"kind": "close", "header": header, "arms": (), "arrays": {}}


def taught(n_scans: int = 4, **changes: Any) -> Belief:
    ranker = Belief(settings(**changes))
    for seed in range(n_scans):
        ranker.fold(**opened(100.0 + seed))
        ranker.fold(**entry(seed))
        ranker.fold(**closed())
    return ranker


def open_scan(ranker: Belief, *, seed: int = 0, values: np.ndarray | None = None) -> OpenScan:
    values = context(99) if values is None else values
    arms = tuple(f"S{i:03}" for i in range(len(values)))
    return OpenScan(ranker, "s", arms, values, COLUMNS, rng=np.random.default_rng(seed))


def bits(ranker: Belief) -> tuple[str, dict[str, bytes]]:
    header, arrays = ranker.state()
    return repr(header), {name: array.tobytes() for name, array in arrays.items()}


class TestRefusedEntries:
    """Each entry is refused with the value it met, and the state stays the same to the bit."""

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            (lambda: entry(9, reward=np.array([0.5] * 29 + [1.5])), r"reward 1\.5 at position 29"),
            (lambda: entry(9, reward=np.array([np.inf] + [0.5] * 29)), "reward inf at position 0"),
            (lambda: entry(9, reward=np.array([-0.5] + [0.5] * 29)), r"reward -0\.5"),
            (lambda: entry(9, reward=np.full(29, 0.5)), r"reward .* shape \(29,\), expected \(30,"),
            (lambda: entry(9, context=np.zeros((30, 3))), r"context .* shape \(30, 3\)"),
            (lambda: entry(9, context=np.full((30, 4), np.inf)), r"factor\.a in row 0 .* is inf"),
            (lambda: entry(9, rows=np.zeros((30, 2))), r"rows of the report has shape \(30, 2\)"),
            (lambda: entry(9, arms=("S001",) * 30), "'S001' appears twice"),
            (lambda: entry(9, arms=("",) * 30), "is ''; expected a non-empty string"),
            (lambda: entry(9, scan_time=float("nan")), "scan time nan"),
            (lambda: entry(9, kind="rumour"), "kind 'rumour'; expected open, report or close"),
        ],
    )  # fmt: skip
    def test_by_name(self, bad: Callable[[], dict[str, Any]], message: str) -> None:
        ranker = taught()
        before = bits(ranker)
        with pytest.raises(InvalidInputError, match=message):
            ranker.fold(**bad())
        assert bits(ranker) == before

    @pytest.mark.parametrize(
        "bad",
        [
            {"kind": "open", "header": {"scan_time": 500.0}, "arms": (), "arrays": {}},
            closed(recall=[[1.0, 2.0, 3.0]]),
            closed(recall="nonsense"),
            closed(n_total=100),
            closed(n_scanned=101, n_total=100),
        ],
    )
    def test_headers_that_lack_or_garble_something(self, bad: dict[str, Any]) -> None:
        ranker = taught()
        before = bits(ranker)
        with pytest.raises((KeyError, ValueError)):
            ranker.fold(**bad)
        assert bits(ranker) == before

    def test_an_open_scan_survives_a_refused_entry(self) -> None:
        ranker, twin = taught(), taught()
        scan, other = open_scan(ranker), open_scan(twin)
        with pytest.raises(InvalidInputError):
            ranker.fold(**entry(9, reward=np.full(30, 2.0)))
        np.testing.assert_array_equal(scan.select(20).arms, other.select(20).arms)


class TestRefusedScans:
    def test_what_does_not_fit_is_named(self) -> None:
        ranker = taught()
        before = bits(ranker)
        rng = np.random.default_rng(0)

        def refuse(message: str, arms: list[str], values: np.ndarray, **more: Any) -> None:
            with pytest.raises(InvalidInputError, match=message):
                OpenScan(ranker, "s", arms, values, COLUMNS, rng=rng, **more)

        two = np.zeros((2, 4))
        refuse("universe is empty", [], np.zeros((0, 4)))
        refuse("'A' appears twice", ["A", "A"], two)
        refuse(r"shape \(2, 3\), expected \(2, 4\)", ["A", "B"], np.zeros((2, 3)))
        refuse("is inf; sub-scores run from 0 to 100", ["A", "B"], np.full((2, 4), np.inf))
        refuse(r"loadings have shape \(2, 1\)", ["A", "B"], two, loadings=np.zeros((2, 1)))
        refuse(
            r"loadings\[0, 0\] is nan", ["A", "B"], two,
            loadings=np.full((2, 1), np.nan), blocks=["pc"],
        )  # fmt: skip
        assert bits(ranker) == before

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("half_life_days", 0.0), ("fast_days", float("nan")), ("slow_days", -1.0),
            ("exploration", -0.1), ("exploration", float("nan")), ("random_share", 1.1),
        ],
    )  # fmt: skip
    def test_impossible_settings(self, name: str, value: float) -> None:
        with pytest.raises(InvalidInputError, match=f"{name} is {value}"):
            settings(**{name: value})


class TestState:
    def through_the_codec(self, ranker: Belief) -> Belief:
        header, arrays = ranker.state()
        blob = encode_snapshot(1, "5-0", header, arrays)
        snapshot = decode_snapshot(blob, where="a test")
        return Belief.from_state(ranker.settings, snapshot.header, snapshot.arrays)

    def test_saved_and_loaded_it_chooses_and_learns_the_same_bits(self) -> None:
        ranker = taught()
        copy = self.through_the_codec(ranker)
        assert bits(copy) == bits(ranker)
        for _ in range(2):
            scan, other = open_scan(ranker, seed=5), open_scan(copy, seed=5)
            for _ in range(4):
                one, two = scan.select(25), other.select(25)
                np.testing.assert_array_equal(one.arms, two.arms)
                assert one.propensity.tobytes() == two.propensity.tobytes()
            for belief in (ranker, copy):
                belief.fold(**opened(300.0))
                belief.fold(**entry(9))
                belief.fold(**closed(limit=None))
            assert bits(copy) == bits(ranker)

    def test_an_empty_belief_travels_too(self) -> None:
        ranker = Belief(settings())
        assert bits(self.through_the_codec(ranker)) == bits(ranker)

    def test_a_state_written_by_format_1_still_loads(self) -> None:
        """The golden file holds `taught()` as it was when format 1 was made; 6 digits recorded."""
        blob = (GOLDEN / "ranker-state-format-1.bin").read_bytes()
        snapshot = decode_snapshot(blob, where="golden")
        ranker = Belief.from_state(settings(), snapshot.header, snapshot.arrays)
        assert (ranker.n_scans, ranker.n_reports, len(ranker.track.arms)) == (4, 120, 76)
        assert ranker.limit == 3.5
        np.testing.assert_allclose(
            ranker.posterior.mean[:3], [-1.187348, -0.012462, -0.281538], atol=1e-6
        )
        assert ranker.recall.level(0.9) == pytest.approx(0.857917, abs=1e-6)
        ranker.fold(**entry(9))
        assert open_scan(ranker).select(10).arms.size == 10

    def test_state_is_a_copy(self) -> None:
        ranker = taught()
        before = bits(ranker)
        for array in ranker.state()[1].values():
            array[...] = 7
        assert bits(ranker) == before

    def test_a_newer_format_is_refused_with_the_way_out(self) -> None:
        header, arrays = taught().state()
        header["format"] += 1
        with pytest.raises(IncompatibleStateError, match="upgrade scanrank, or use another rulese"):
            Belief.from_state(settings(), header, arrays)

    def test_other_seed_columns_are_refused_with_the_way_out(self) -> None:
        header, arrays = taught().state()
        other = BeliefSettings(seed_weights={"factor.z": 1.0})
        with pytest.raises(IncompatibleStateError, match=r"factor\.z.*use another ruleset name"):
            Belief.from_state(other, header, arrays)

    def test_changed_seed_weights_take_effect(self) -> None:
        header, arrays = taught().state()
        other = BeliefSettings(seed_weights={"factor.a": 0.1, "factor.b": 0.9}, crossed=())
        header["columns"] = list(SEED)
        keep = slice(0, 3)
        for name in ("prior_precision", "data_shift"):
            arrays[name] = arrays[name][keep]
        header["pending"] = []
        for name in ("cell_precision", "cell_shift"):
            arrays[name] = arrays[name][:0]
        arrays["data_precision"] = arrays["data_precision"][keep, keep]
        loaded = Belief.from_state(other, header, arrays)
        assert loaded.posterior.prior_mean[2] > loaded.posterior.prior_mean[1]


class TestFold:
    def test_failures_are_no_rewards_of_zero(self) -> None:
        """NaN rows of a report leave no trace: as if they had not been in it."""
        failed = np.zeros(30, bool)
        failed[::3] = True
        whole = entry(9)
        reward = np.where(failed, np.nan, whole["arrays"]["reward"])
        some = entry(9, reward=reward)
        without = entry(9)
        without["arms"] = tuple(
            arm for arm, bad in zip(without["arms"], failed, strict=True) if not bad
        )
        without["arrays"] = {name: a[~failed] for name, a in without["arrays"].items()}
        one, other = taught(), taught()
        one.fold(**some)
        other.fold(**without)
        assert bits(one) == bits(other)

    def test_a_report_of_failures_only_teaches_nothing(self) -> None:
        ranker = taught()
        ranker.fold(**opened(109.0))
        before = bits(ranker)
        ranker.fold(**entry(9, reward=np.full(30, np.nan)))
        assert bits(ranker) == before

    def test_the_clock_forgets_and_repetition_does_not(self) -> None:
        """One half-life halves the data behind the weights; more entries at one time do not."""
        ranker = taught(half_life_days=30.0)
        before = ranker.posterior
        ranker.fold(**opened(ranker.time))
        assert ranker.posterior.n_observed == before.n_observed
        ranker.fold(**opened(ranker.time + 30.0))
        assert ranker.posterior.n_observed == pytest.approx(before.n_observed / 2.0)
        np.testing.assert_allclose(ranker.posterior.data_precision, before.data_precision / 2.0)

    def test_a_new_column_keeps_what_was_learned(self) -> None:
        ranker = taught()
        d = ranker.posterior.prior_mean.size
        mean = ranker.posterior.mean.copy()
        names = [*COLUMNS, "a.new"]
        ranker.fold("open", {"scan_time": ranker.time, "columns": names}, (), {})
        assert ranker.columns == tuple(names)
        assert ranker.posterior.prior_mean.size > d
        # The open entry also re-learns the prior's strength, so means move, but little.
        np.testing.assert_allclose(ranker.posterior.mean[:d], mean, atol=0.5)


class TestChoice:
    def test_cold_start_is_the_weighted_sum(self) -> None:
        values = context(3)
        ranker = Belief(settings(exploration=0.0, random_share=0.0))
        ranker.fold(**opened(1.0))
        scan = open_scan(ranker, values=values)
        order = np.concatenate([scan.select(9).arms for _ in range(14)])
        np.testing.assert_array_equal(order, np.argsort(-(0.7 * values[:, 0] + 0.3 * values[:, 1])))

    def test_seeds_reproduce_and_differ(self) -> None:
        ranker = taught()
        first = open_scan(ranker, seed=1).select(40).arms
        np.testing.assert_array_equal(first, open_scan(ranker, seed=1).select(40).arms)
        assert first.tolist() != open_scan(ranker, seed=2).select(40).arms.tolist()

    def test_ties_fall_by_the_generator_and_not_by_input_order(self) -> None:
        """123 arms alike, 10 a batch, 400 seeds: each expects 32.5, sd 5.5; five of them.

        An odd number: a matrix product may round the last rows of a block otherwise.
        """
        ranker = Belief(settings(exploration=0.0, random_share=0.0))
        ranker.fold(**opened(1.0))
        alike = np.tile([61.7, 33.3, 81.1, 12.9], (123, 1))
        counts = np.zeros(123)
        for seed in range(400):
            counts[open_scan(ranker, seed=seed, values=alike).select(10).arms] += 1
        assert np.abs(counts - 4000 / 123).max() < 28

    def test_batches_take_the_draws_in_turn(self) -> None:
        """Four draws of the shared weights: the fifth batch is chosen by the first of them."""
        shared = open_scan(taught(), values=context(1, 400)).shared
        drawn = [shared.next_draw().tobytes() for _ in range(8)]
        assert len(set(drawn)) == 4
        assert drawn[4:] == drawn[:4]

    def test_without_exploration_every_batch_goes_by_the_mean(self) -> None:
        scan = open_scan(taught(exploration=0.0))
        assert scan.shared.next_draw() is scan.shared.mean

    def test_what_comes_back_is_chosen_again(self) -> None:
        ranker = Belief(settings(exploration=0.0, random_share=0.0))
        ranker.fold(**opened(1.0))
        scan = open_scan(ranker, values=context(1, 400))
        _, second, third = (scan.select(20).arms for _ in range(3))
        scan.put_back(second)
        np.testing.assert_array_equal(scan.select(20).arms, second)
        assert not np.isin(scan.select(20).arms, third).any()

    @pytest.mark.parametrize("k", [0, 1, 3])
    def test_samples_are_uniform_and_different(self, k: int) -> None:
        """Of 5, 2,000 times: each comes in with probability k / 5, sd 22 at most."""
        rng = np.random.default_rng(0)
        drawn = [sample(5, k, rng) for _ in range(2_000)]
        assert all(np.unique(each).size == k for each in drawn)
        counts = np.bincount(np.concatenate(drawn), minlength=5)
        assert np.abs(counts - 2_000 * k / 5).max() <= 90

    def test_top_k_draws_among_those_at_the_edge(self) -> None:
        """Scores 3, 2, 2, 1 and k = 2: the best always, one of the two ties half of the time."""
        rng = np.random.default_rng(0)
        scores = np.array([2.0, 3.0, 2.0, 1.0])
        picks = [top_k(scores, 2, rng).tolist() for _ in range(400)]
        assert all(pick[0] == 1 for pick in picks)
        assert sum(pick[1] == 0 for pick in picks) / 400 == pytest.approx(0.5, abs=0.1)

    def test_a_random_quota_is_never_silently_zero(self) -> None:
        """2 % of batches of 10 is 0.2 symbols; 100 batches expect 20 of them, sd 4."""
        ranker = Belief(settings())
        ranker.fold(**opened(1.0))
        scan = open_scan(ranker, values=context(1, 1_000))
        choices = [scan.select(10) for _ in range(100)]
        assert sum(int(choice.is_random.sum()) for choice in choices) == pytest.approx(20, abs=16)
        assert scan.select(10).arms.size == 0

    def test_stochastic_rounding_keeps_the_mean(self) -> None:
        """2.3 over 4,000 roundings: only 2 and 3, standard error 0.007."""
        rng = np.random.default_rng(0)
        rounded = [round_stochastically(2.3, rng) for _ in range(4_000)]
        assert set(rounded) == {2, 3}
        assert np.mean(rounded) == pytest.approx(2.3, abs=0.035)

    def test_propensities_of_the_quota_are_exact(self) -> None:
        """Greedy, 40 arms, batches of 10, quota 2: behind the ten best, 2 / 40 each."""
        ranker = Belief(settings(exploration=0.0, random_share=0.2))
        ranker.fold(**opened(1.0))
        values = context(1, 40)
        best = set(np.argsort(-(0.7 * values[:, 0] + 0.3 * values[:, 1]))[:10].tolist())
        n_random = 0
        for seed in range(50):
            choice = open_scan(ranker, seed=seed, values=values).select(10)
            assert choice.is_random.sum() == 2
            for arm, chance in zip(choice.arms, choice.propensity, strict=True):
                if arm not in best:
                    n_random += 1
                    assert chance == pytest.approx(2 / 40)
        assert n_random > 0

    def test_weighted_by_their_propensity_the_picks_count_the_universe(self) -> None:
        """E[sum of 1 / propensity] is the number of arms, for any honest propensity.

        60 arms, batches of 12, quota 3; 1 / propensity is at most 20, and over 600 scans the
        standard error is taken from the sums themselves; four of them.
        """
        ranker = taught(exploration=1.0, random_share=0.25)
        values = context(8, 60)
        sums = []
        for seed in range(600):
            choice = open_scan(ranker, seed=seed, values=values).select(12)
            assert ((choice.propensity > 0) & (choice.propensity <= 1)).all()
            sums.append(float((1.0 / choice.propensity).sum()))
        error = np.std(sums) / np.sqrt(len(sums))
        assert np.mean(sums) == pytest.approx(60.0, abs=4.0 * error)

    def test_what_may_not_be_chosen_is_not(self) -> None:
        allowed = np.zeros(len(ARMS), bool)
        allowed[[3, 50, 51]] = True
        choice = open_scan(taught()).select(10, allowed=allowed)
        assert sorted(choice.arms.tolist()) == [3, 50, 51]

    def test_picks_settle_as_data_come_in(self) -> None:
        """How many of the top 10 two seeds share: data narrow the draws, so it must rise.

        40 pairs; before any data the draws are bounded to a third of the seed weights' signal and
        about 7 are shared, after 60 reports of one rule more.
        """

        def shared(ranker: Belief) -> float:
            tops = [
                set(open_scan(ranker, seed=seed).select(10).arms.tolist()) for seed in range(40)
            ]
            return float(np.mean([len(a & b) for a, b in zip(tops[::2], tops[1::2], strict=True)]))

        young = Belief(settings(exploration=1.0, random_share=0.0, half_life_days=1e6))
        young.fold(**opened(1.0))
        old = Belief(young.settings)
        old.fold(**opened(1.0))
        for seed in range(60):
            values = context(seed, 30)
            old.fold(**entry(seed, reward=(values[:, 0] > 60.0).astype(float)))
        for belief in (young, old):  # a first scan would look around
            belief.fold(**closed())
        assert shared(old) > shared(young) + 0.5

    def test_draws_narrow_where_scans_run_to_their_end(self) -> None:
        """Of the top 10 two seeds share more once 20 scans saw everything; 40 pairs.

        Stopped at a tenth, they leave the draws as wide as a ranker's without any scan but for
        a tenth: then finding out is worth it.
        """

        def shared(n_scanned: int | None) -> float:
            ranker = taught(exploration=1.0, random_share=0.0)
            for _ in range(20 if n_scanned is not None else 0):
                ranker.fold(**closed(n_scanned=n_scanned, n_total=120))
            tops = [
                set(open_scan(ranker, seed=seed).select(10).arms.tolist()) for seed in range(80)
            ]
            return float(np.mean([len(a & b) for a, b in zip(tops[::2], tops[1::2], strict=True)]))

        assert shared(120) > shared(12) + 1.0
        assert shared(12) == pytest.approx(shared(None), abs=0.7)

    def test_probabilities_add_up_to_the_share(self) -> None:
        scan = open_scan(taught(rule=TopShare(0.1)))
        every = scan.predict(np.arange(len(ARMS)))
        assert every.probability.sum() == pytest.approx(12.0, abs=1e-3)

    def test_a_scan_in_which_everything_failed_can_close(self) -> None:
        ranker = taught()
        scan = open_scan(ranker)
        while (choice := scan.select(50)).arms.size:
            scan.observe(
                choice.arms, np.full(choice.arms.size, np.nan), np.full(choice.arms.size, np.nan)
            )
        closing = scan.closing()
        assert closing["n_hits"] == 0.0
        assert closing["recall"] == []

    @pytest.mark.parametrize("n_scanned", [100, 120])
    def test_a_stopped_scan_teaches_like_a_whole_one(self, n_scanned: int) -> None:
        """Expected at a step less expected in what was left out, against the hits found after it;
        of a scan that ran to its end nothing was left out."""
        scan = open_scan(taught(rule=Signal()))
        rng, expected, found = np.random.default_rng(3), [], []
        for _ in range(n_scanned // 10):
            every = scan.predict(np.arange(len(ARMS))).probability
            expected.append(every[~scan.is_reported].sum())
            rows = scan.select(10).arms
            hits = (rng.random(10) < scan.predict(rows).probability).astype(float)
            scan.observe(rows, np.full(10, np.nan), hits)
            found.append(hits.sum())
        every = scan.predict(np.arange(len(ARMS))).probability
        unseen = every[~scan.is_reported].sum()
        total = unseen + sum(found)
        pairs = [
            (expected[t] - unseen, sum(found[t:]))
            for t in range(len(found))
            if expected[t] - unseen > 0.01 * total and expected[t] < 0.3 * total
        ]
        assert (unseen == 0.0) == (n_scanned == len(ARMS))
        assert len(pairs) > 1
        np.testing.assert_allclose(scan.closing()["recall"], pairs, rtol=1e-4)

    def test_random_symbols_are_few_where_scans_run_to_their_end(self) -> None:
        """Twenty scans of 10 batches of 12: 0.5 x 12 x 10 random symbols each, or a quarter."""

        def n_random(n_scanned: int) -> float:
            ranker = taught(random_share=0.5)
            for _ in range(30):
                ranker.fold(**closed(n_scanned=n_scanned, n_total=120))
            counts = []
            for seed in range(20):
                scan = open_scan(ranker, seed=seed)
                counts.append(sum(scan.select(12).is_random.sum() for _ in range(10)))
            return float(np.mean(counts))

        assert n_random(100) == 60.0
        assert n_random(120) == pytest.approx(15.0, abs=1.0)

    def test_todays_pattern_lifts_the_sector_that_pays(self) -> None:
        """Two sectors alike in every score: the one that pays in the first batch rises."""
        ranker = Belief(settings(exploration=0.0, random_share=0.0, rule=Signal()))
        ranker.fold(**opened(1.0))
        n = 80
        sector = np.zeros((n, 2))
        sector[np.arange(n), np.arange(n) % 2] = 1.0
        scan = OpenScan(ranker,
            "s", ARMS[:n], np.full((n, 4), 50.0), COLUMNS, rng=np.random.default_rng(0),
            loadings=sector, blocks=["sector", "sector"],
        )  # fmt: skip
        picked = scan.select(40).arms
        assert 5 < np.count_nonzero(picked % 2) < 35
        scan.observe(picked, np.full(40, np.nan), (picked % 2).astype(float))
        rest = scan.select(10).arms
        assert (rest % 2 == 1).all()


def test_hits_of_a_whole_scan_are_its_best_share_whatever_earlier_scans_carried() -> None:
    """While it runs the limit leans on earlier days; at its end the ratings alone decide."""
    ranker = taught(rule=TopShare(0.1))
    ranker.limit = 1e6  # yesterday's scanner rated on another scale
    scan = OpenScan(ranker, "whole", ARMS, context(5), COLUMNS, rng=np.random.default_rng(0))
    rating = np.random.default_rng(1).normal(size=len(ARMS))
    while (rows := scan.select(40).arms).size:
        probability = scan.predict(rows).probability
        rewards = scan.judge(rating[rows], np.full(rows.size, np.nan), probability)
        scan.observe(rows, rating[rows], rewards)
    assert scan.n_hits == 12
    assert scan.are_hits(np.arange(120)).tolist() == (rating >= np.sort(rating)[-12]).tolist()
