"""What each arm has shown: decay by the clock, and shrinkage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.belief.track_record import TrackRecord, TrackView, shrunken_means
from bandit.errors import InvalidInputError


def record(reports: list[tuple[float, float]], *, now: float) -> TrackView:
    """The view at `now` of one arm after reports of (time, reward)."""
    track = TrackRecord(fast_days=2.0, slow_days=10.0)
    for time, reward in reports:
        track.update(["A"], now=time, rewards=[reward])
    return track.view(["A"], now=now)


class TestClock:
    def test_by_hand(self) -> None:
        """Rewards 1 on day 0 and 0 on day 10, slow half-life 10 days, seen on day 20.

        n = 1/4 + 1/2 = 0.75, hits = 1/4. Fast (half-life 2): n = 2^-10 + 2^-5, hits = 2^-10.
        One arm alone is its own group, so the slow mean is 1/3, which completes the fast one:
        (2^-10 + 1/3) / (2^-10 + 2^-5 + 1).
        """
        view = record([(0.0, 1.0), (10.0, 0.0)], now=20.0)
        assert view.n_scans[0] == pytest.approx(0.75)
        assert view.n_hits[0] == pytest.approx(0.25)
        assert view.slow_mean[0] == pytest.approx(1.0 / 3.0)
        assert view.fast_mean[0] == pytest.approx((2**-10 + 1 / 3) / (2**-10 + 2**-5 + 1))
        assert view.last_reward[0] == 0.0
        assert view.age_days[0] == 10.0

    def test_forgetting_is_by_the_clock_and_not_per_observation(self) -> None:
        """Ten reports in one instant weigh ten; ten a half-life apart weigh 1 + 1/2 + ... < 2."""
        at_once = record([(0.0, 1.0)] * 10, now=0.0)
        apart = record([(10.0 * i, 1.0) for i in range(10)], now=90.0)
        assert at_once.n_scans[0] == pytest.approx(10.0)
        assert apart.n_scans[0] == pytest.approx(2.0 - 2.0**-9)

    def test_looking_changes_nothing(self) -> None:
        track = TrackRecord(fast_days=2.0, slow_days=10.0)
        track.update(["A"], now=0.0, rewards=[1.0])
        before = {name: array.tobytes() for name, array in track.state().items()}
        track.view(["A", "B"], now=1000.0)
        assert {name: array.tobytes() for name, array in track.state().items()} == before
        assert track.arms == ("A",)

    def test_never_seen_is_unknown_and_not_bad(self) -> None:
        view = TrackRecord().view(["A"], now=5.0)
        for name in ("last_reward", "age_days", "fast_mean", "slow_mean"):
            assert np.isnan(getattr(view, name)).all()
        assert view.n_scans[0] == 0.0

    def test_half_lives_in_the_wrong_order_are_refused(self) -> None:
        with pytest.raises(InvalidInputError, match=r"fast_days=9.0, slow_days=9.0"):
            TrackRecord(fast_days=9.0, slow_days=9.0)

    @given(
        st.lists(
            st.tuples(st.integers(0, 40), st.floats(0.0, 1.0, width=32)),
            min_size=1,
            max_size=8,
            unique_by=lambda report: report[0],
        ),
        st.randoms(use_true_random=False),
    )
    def test_reports_out_of_order_end_in_the_same_record(
        self, reports: list[tuple[float, float]], random: object
    ) -> None:
        """Counts are float32: 1e-5 is a few of their last digits over eight reports."""
        shuffled = list(reports)
        random.shuffle(shuffled)  # type: ignore[attr-defined]
        one, other = record(sorted(reports), now=50.0), record(shuffled, now=50.0)
        assert one.last_reward[0] == other.last_reward[0]
        assert one.age_days[0] == other.age_days[0]
        for name in ("n_scans", "n_hits", "slow_mean", "fast_mean"):
            np.testing.assert_allclose(
                getattr(one, name), getattr(other, name), rtol=1e-5, atol=1e-7
            )


class TestRows:
    def test_the_last_row_stays_and_new_columns_append(self) -> None:
        track = TrackRecord()
        track.update(
            ["A", "B"], now=1.0, rewards=[0.0, 1.0], columns=["rating"],
            rows=np.array([[1.0], [2.0]]),
        )  # fmt: skip
        track.update(
            ["B"], now=2.0, rewards=[1.0], columns=["rsi", "rating"], rows=np.array([[70.0, 3.0]])
        )
        rows = track.view(["A", "B", "C"], now=2.0).rows
        assert track.columns == ("rating", "rsi")
        assert rows[0, 0] < rows[1, 0]
        assert np.isnan(rows[0, 1])
        assert np.isnan(rows[2]).all()

    def test_a_late_report_does_not_replace_a_newer_row(self) -> None:
        track = TrackRecord()
        for now, rating in ((5.0, 2.0), (3.0, 9.0)):
            track.update(
                ["A"], now=now, rewards=[1.0], columns=["rating"], rows=np.array([[rating]])
            )
        assert track.view(["A"], now=5.0).rows[0, 0] == pytest.approx(np.arcsinh(2.0), abs=1e-3)

    def test_columns_of_any_size_keep_their_order(self) -> None:
        """A share of 0.01 and a volume of 1e12 fit in the same 16 bits, ranks kept."""
        track = TrackRecord()
        values = np.array([-1e12, -5.0, 0.0, 0.01, 0.02, 1e5, 1e12])
        arms = [str(value) for value in values]
        track.update(arms, now=0.0, rewards=np.zeros(7), columns=["c"], rows=values[:, None])
        assert (np.diff(track.view(arms, now=0.0).rows[:, 0]) > 0).all()

    def test_a_restored_record_is_the_same_to_the_bit(self) -> None:
        track = TrackRecord()
        track.update(
            ["A", "B"], now=1.0, rewards=[0.1, 1.0], columns=["rating"],
            rows=np.array([[1.0], [2.0]]),
        )  # fmt: skip
        copy = TrackRecord()
        copy.restore(track.arms, track.columns, track.state())
        for one in (track, copy):
            one.update(["B", "C"], now=3.0, rewards=[0.5, 0.5])
        for name, array in track.state().items():
            assert copy.state()[name].tobytes() == array.tobytes()

    def test_arrays_of_another_shape_are_refused(self) -> None:
        track = TrackRecord()
        track.update(["A"], now=1.0, rewards=[0.1])
        with pytest.raises(InvalidInputError, match="for 2 symbols and 0 columns"):
            TrackRecord().restore(["A", "B"], [], track.state())

    def test_many_arms_take_at_most_64_bytes_each(self) -> None:
        """11 numeric columns, as the scanner that was measured gives."""
        n = 1_000
        track = TrackRecord()
        track.update(
            [f"S{i}" for i in range(n)], now=0.0, rewards=np.zeros(n),
            columns=[f"c{i}" for i in range(11)], rows=np.zeros((n, 11)),
        )  # fmt: skip
        assert sum(array.nbytes for array in track.state().values()) <= 64 * n


class TestShrinkage:
    def test_by_hand(self) -> None:
        """Three arms of n = 10 with 0, 5 and 10 hits; m = 1/2, m (1 - m) = 1/4.

        E[(m_i - m)^2] = (1/4 + 0 + 1/4) / 3 = 1/6, noise 1/10:
        v = (1/6 - 1/40) / (1 - 1/10) = 17/108, strength = (1/4) / v - 1 = 27/17 - 1 = 10/17.
        First arm: (0 + 10/17 x 1/2) / (10 + 10/17) = 5/180 = 1/36.
        """
        means = shrunken_means(np.full(3, 10.0), np.array([0.0, 5.0, 10.0]))
        np.testing.assert_allclose(means, [1.0 / 36.0, 0.5, 35.0 / 36.0])

    def test_arms_alike_are_all_at_the_common_mean(self) -> None:
        """No spread beyond chance: strength 1000 leaves n / (n + 1000) of a deviation."""
        rng = np.random.default_rng(0)
        n = np.full(500, 20.0)
        total = rng.binomial(20, 0.3, 500).astype(float)
        means = shrunken_means(n, total)
        assert np.ptp(means) < 0.15 * np.ptp(total / n)

    def test_an_arm_never_seen_sits_at_its_group(self) -> None:
        """Groups of 40 arms with hit rates near 0.1 and 0.7; both newcomers follow their own."""
        n = np.concatenate([np.full(80, 10.0), np.zeros(2)])
        total = np.concatenate([np.full(40, 1.0), np.full(40, 7.0), np.zeros(2)])
        groups = np.concatenate([np.zeros(40), np.ones(40), [0, 1]]).astype(np.intp)
        means = shrunken_means(n, total, groups)
        assert means[80] == pytest.approx(0.1, abs=0.05)
        assert means[81] == pytest.approx(0.7, abs=0.05)

    @given(st.integers(1, 30), st.integers(0, 2**32 - 1))
    def test_a_mean_lies_between_its_own_and_the_others(self, size: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n = rng.uniform(0.0, 20.0, size) * (rng.random(size) < 0.8)
        total = n * rng.random(size)
        means = shrunken_means(n, total)
        if not n.any():
            assert np.isnan(means).all()
            return
        overall = total.sum() / n.sum()
        own = np.where(n > 0, total / np.maximum(n, 1e-300), overall)
        assert (means >= np.minimum(own, overall) - 1e-12).all()
        assert (means <= np.maximum(own, overall) + 1e-12).all()
