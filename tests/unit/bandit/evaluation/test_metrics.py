"""The measures by hand, and the laws they apply."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.errors import InvalidInputError
from bandit.evaluation.intervals import bootstrap_interval, paired_difference
from bandit.evaluation.metrics import ScanMetrics, recall_at, recall_curve, scan_metrics

# 20 symbols, hits at ranks 1, 3, 4, 10.
ORDER = np.isin(np.arange(1, 21), [1, 3, 4, 10])


class TestByHand:
    def test_recall_counts_hits_in_the_first_places(self) -> None:
        """5 % of 20 is 1 place (hit 1): 1/4. 10 % is 2 places: 1/4. 25 % is 5 (1, 3, 4): 3/4."""
        metrics = scan_metrics(ORDER)
        assert (metrics.recall_5, metrics.recall_10, metrics.recall_25) == (0.25, 0.25, 0.75)

    def test_a_share_that_is_no_whole_number_of_places_is_rounded_up(self) -> None:
        """10 % of 11 symbols is 1.1 places, so 2 count; 5 % of 1,460 is 73, not 74."""
        assert recall_at([False, True] + [False] * 9, 0.10) == 1.0
        at_74 = np.arange(1, 1461) == 74
        assert recall_at(at_74, 0.05) == 0.0

    def test_area(self) -> None:
        """Mean of 1 - (rank - 0.5)/20: (0.975 + 0.875 + 0.825 + 0.525)/4 = 3.2/4 = 0.8."""
        assert scan_metrics(ORDER).area == pytest.approx(0.8)

    def test_area_is_the_trapezoid_under_the_curve(self) -> None:
        area = np.trapezoid(recall_curve(ORDER)) / 20
        assert scan_metrics(ORDER).area == pytest.approx(area)

    def test_work_saved(self) -> None:
        """95 % of 4 hits needs ceil(3.8) = 4, at rank 10: (20 - 10)/20 - 0.05 = 0.45.

        Of 20 hits it needs 19 and not the last one, at rank 40: (40 - 19)/40 - 0.05 = 0.475.
        """
        assert scan_metrics(ORDER).wss_95 == pytest.approx(0.45)
        late = np.isin(np.arange(1, 41), [*range(1, 20), 40])
        assert scan_metrics(late).wss_95 == pytest.approx(0.475)

    def test_average_time_to_discovery(self) -> None:
        """(1 + 3 + 4 + 10)/4 = 4.5 of 20 symbols = 0.225."""
        assert scan_metrics(ORDER).average_time_to_discovery == pytest.approx(0.225)

    def test_ndcg(self) -> None:
        """Hits at 1 and 3 of 3: (1/1 + 1/2) / (1/1 + 1/log2 3) = 1.5/1.63093 = 0.91972."""
        found = scan_metrics([True, False, True]).ndcg
        assert found == pytest.approx(1.5 / (1 + 1 / math.log2(3)))

    def test_recall_curve(self) -> None:
        np.testing.assert_allclose(recall_curve([0, 1, 1, 0]), [0, 0, 0.5, 1, 1])

    def test_an_early_stop_keeps_what_was_found_and_does_not_guess_the_rest(self) -> None:
        """2 of 4 hits found in 5 of 20 places, at ranks 1 and 3.

        Recall at 25 % is 2/4; area is (0.975 + 0.875)/4 = 0.4625; 95 % was never reached.
        """
        metrics = scan_metrics([*ORDER[:3].tolist(), False, False], n_universe=20, n_hits=4)
        assert metrics.recall_25 == 0.5
        assert metrics.area == pytest.approx(0.4625)
        assert math.isnan(metrics.wss_95)
        assert math.isnan(metrics.average_time_to_discovery)


def test_a_scan_without_hits_says_nothing() -> None:
    metrics = scan_metrics([False] * 20)
    assert all(math.isnan(getattr(metrics, name)) for name in ScanMetrics.names())
    assert np.isnan(recall_curve([False] * 3)).all()


@pytest.mark.parametrize(
    ("hits", "settings", "message"),
    [
        ([[True]], {}, "shape"),
        ([0.5], {}, "other than 0 and 1"),
        ([True, False], {"n_universe": 1}, "2 symbols were scanned in a universe of 1"),
        ([True, True], {"n_hits": 1}, "n_hits is 1, but 2 hits were found"),
        ([True], {"n_hits": 3, "n_universe": 2}, "n_hits is 3"),
    ],
)
def test_impossible_scans_are_refused(
    hits: list[object], settings: dict[str, int], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        scan_metrics(hits, **settings)


def test_shares_outside_the_universe_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"share is 1\.5"):
        recall_at([True], 1.5)
    with pytest.raises(InvalidInputError, match=r"share is 0\.0"):
        recall_at([True], 0.0)
    with pytest.raises(InvalidInputError, match="n_universe is '5'; expected a whole number"):
        scan_metrics([True], n_universe="5")  # type: ignore[arg-type]


@given(st.lists(st.booleans(), min_size=1, max_size=60).filter(any))
def test_laws_of_the_measures(hits: list[bool]) -> None:
    """Moving all hits to the front is never worse, and area and time to discovery agree."""
    metrics, best = scan_metrics(hits), scan_metrics(sorted(hits, reverse=True))
    for name in ("recall_5", "recall_10", "recall_25", "area", "wss_95", "ndcg"):
        assert getattr(metrics, name) <= getattr(best, name) + 1e-12
    assert best.ndcg == pytest.approx(1.0)
    assert metrics.area == pytest.approx(1 - metrics.average_time_to_discovery + 0.5 / len(hits))


def test_a_random_order_has_area_one_half_and_saves_no_work() -> None:
    """2,000 shuffles of 200 symbols: the standard error of both means is below 0.005."""
    rng = np.random.default_rng(1)
    found = [scan_metrics(rng.permutation(np.arange(200) < 20)) for _ in range(2000)]
    assert np.mean([metrics.area for metrics in found]) == pytest.approx(0.5, abs=0.01)
    assert np.mean([metrics.wss_95 for metrics in found]) == pytest.approx(0.0, abs=0.05)


class TestIntervals:
    def test_the_interval_of_a_mean_is_about_two_standard_errors_wide(self) -> None:
        """400 values of sd 1: half the width is 1.96/20 = 0.098; 2,000 resamples add 3 %."""
        rng = np.random.default_rng(2)
        values = rng.standard_normal(400)
        values = (values - values.mean()) / values.std()
        interval = bootstrap_interval(values, rng)
        assert interval.mean == pytest.approx(0.0, abs=1e-12)
        assert (interval.high - interval.low) / 2 == pytest.approx(0.098, rel=0.1)

    def test_scans_without_a_value_are_left_out(self) -> None:
        interval = bootstrap_interval([0.2, math.nan, 0.4], np.random.default_rng(0))
        assert (interval.mean, interval.n) == (pytest.approx(0.3), 2)
        empty = bootstrap_interval([math.nan], np.random.default_rng(0))
        assert math.isnan(empty.mean)
        assert empty.n == 0

    def test_blocks_widen_the_interval_of_values_that_follow_one_another(self) -> None:
        """Each value stands 10 times in a row, so the true error is sqrt(10) = 3.2 times larger.

        Blocks of 10 starting anywhere recover about 0.8 of that; 2 is a safe lower limit.
        """
        rng = np.random.default_rng(3)
        values = np.repeat(rng.standard_normal(50), 10)
        narrow = bootstrap_interval(values, rng)
        wide = bootstrap_interval(values, rng, block=10)
        assert wide.high - wide.low > 2 * (narrow.high - narrow.low)

    def test_a_block_longer_than_the_data_leaves_the_mean_alone(self) -> None:
        interval = bootstrap_interval([1.0, 2.0, 3.0], np.random.default_rng(0), block=10)
        assert (interval.low, interval.high) == (pytest.approx(2.0), pytest.approx(2.0))

    def test_coverage(self) -> None:
        """95 % intervals of 60 values hold the truth in 300 trials 90 to 98 % of the time.

        The percentile bootstrap of 60 values falls short by about 1 %; the standard error over
        300 trials is 1.3 %.
        """
        rng = np.random.default_rng(4)
        intervals = [bootstrap_interval(rng.normal(0.3, 0.1, 60), rng, n=400) for _ in range(300)]
        assert 0.90 <= np.mean([i.low <= 0.3 <= i.high for i in intervals]) <= 0.98

    def test_pairing_finds_a_small_difference_under_large_common_changes(self) -> None:
        rng = np.random.default_rng(5)
        days = rng.normal(0.6, 0.2, 200)
        a, b = days + 0.01 + rng.normal(0, 0.01, 200), days + rng.normal(0, 0.01, 200)
        difference = paired_difference(a, b, rng)
        assert 0 < difference.low < 0.01 < difference.high
        assert difference.probability_positive > 0.99
        reverse = paired_difference(b, a, rng)
        assert reverse.mean == pytest.approx(-difference.mean)

    def test_equal_orders_are_a_coin_toss(self) -> None:
        same = paired_difference([0.1, 0.2], [0.1, 0.2], np.random.default_rng(0))
        assert (same.mean, same.probability_positive) == (0.0, 0.5)

    def test_bad_arguments_are_refused(self) -> None:
        rng = np.random.default_rng(0)
        with pytest.raises(InvalidInputError, match="a has 2 scans and b has 1"):
            paired_difference([1.0, 2.0], [1.0], rng)
        with pytest.raises(InvalidInputError, match="infinite"):
            bootstrap_interval([math.inf], rng)
        with pytest.raises(InvalidInputError, match=r"level is 1\.5"):
            bootstrap_interval([1.0], rng, level=1.5)
        with pytest.raises(InvalidInputError, match="shape"):
            bootstrap_interval([[1.0]], rng)
        with pytest.raises(InvalidInputError, match="expected one row of numbers"):
            bootstrap_interval(["high"], rng)
        with pytest.raises(InvalidInputError, match=r"rng is 0; expected np\.random"):
            bootstrap_interval([1.0], 0)  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match=r"block is 2\.5; expected a whole number"):
            bootstrap_interval([1.0], rng, block=2.5)  # type: ignore[arg-type]
