"""Cells: by-hand steps, what they learn that lines cannot, and that noise is left out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from bandit.belief.cells import (
    PAIR,
    SINGLE,
    CellLayout,
    CellWeights,
    contributions,
    correction,
    level_of,
)
from bandit.belief.weights import WeightPosterior, laplace_update

Array = NDArray[np.float64]

ONE = CellLayout(["a"])
TWO = CellLayout(["a", "b"], crossed=["a", "b"])


class TestLayout:
    def test_plain_columns_have_no_cells(self) -> None:
        layout = CellLayout(["factor.a", "a"], n_plain=1)
        assert layout.n_cells == SINGLE + 1
        assert layout.column_of.tolist() == [1]

    def test_every_cell_is_reached_and_none_beyond(self) -> None:
        grid = np.array([0.0, 12.5, 25.0, 37.5, 50.0, 62.5, 75.0, 87.5, np.nan])
        a, b = (side.ravel() for side in np.meshgrid(grid, grid))
        pairs = TWO.cells_of(np.column_stack([a, b]))[:, 2] - 2 * (SINGLE + 1)
        assert sorted(pairs) == list(range((PAIR + 1) ** 2))

    def test_the_ends_belong_to_the_outer_cells(self) -> None:
        cells = ONE.cells_of(np.array([[0.0], [100.0], [-3.0], [1e9]]))[:, 0]
        assert cells.tolist() == [0, SINGLE - 1, 0, SINGLE - 1]

    def test_a_new_column_only_appends(self) -> None:
        context = np.random.default_rng(0).uniform(0, 100, (20, 3))
        names = ["a", "b", "c"]
        before = CellLayout(names[:2], crossed=names).cells_of(context[:, :2])
        after = CellLayout(names, crossed=names).cells_of(context)
        for row, wider in zip(before, after, strict=True):
            assert set(row) <= set(wider)

    def test_float32_and_float64_agree(self) -> None:
        """What the journal keeps of a context lies in the cells that the scan saw."""
        context = np.random.default_rng(1).uniform(0, 100, (5_000, 2))
        narrow = context.astype(np.float32)
        np.testing.assert_array_equal(TWO.cells_of(context), TWO.cells_of(narrow))


class TestLearning:
    def test_one_arm_by_hand(self) -> None:
        """One hit in one cell, nothing known: p = 1/2, v = 1/4, and the prior variance is 0.02.

        The residual 1/2 counts 1 / (1 + 0.25 * 0.02) = 0.995025 of itself; so does the curvature.
        Mean = 0.4975124 / (50 + 0.2487562) = 0.00990099.
        """
        cells = np.array([[3]])
        learned = CellWeights.empty(ONE.n_cells).learn(cells, np.ones(1), np.zeros(1))
        np.testing.assert_allclose(learned.mean[3], 0.00990099, rtol=1e-6)
        assert np.count_nonzero(learned.mean) == 1

    def test_what_is_foretold_teaches_nothing(self) -> None:
        cells = np.random.default_rng(0).integers(0, ONE.n_cells, (200, 1))
        offset = np.full(200, 0.7)
        learned = CellWeights.empty(ONE.n_cells).learn(cells, expit(offset), offset)
        np.testing.assert_allclose(learned.mean, 0.0, atol=1e-12)

    def test_decays_add_up_and_end_at_the_prior(self) -> None:
        weights = taught(steps, n_scans=3)
        once, twice = weights.decay(0.3), weights.decay(0.5).decay(0.6)
        np.testing.assert_allclose(once.mean, twice.mean)
        np.testing.assert_allclose(once.worth, twice.worth)
        assert not weights.decay(0.0).worth.any()

    def test_growing_changes_nothing_that_was_known(self) -> None:
        weights = taught(steps, n_scans=3)
        wider = weights.grow(weights.mean.size + 17)
        np.testing.assert_array_equal(wider.worth[:-17], weights.worth)
        assert not wider.worth[-17:].any()

    def test_steps_are_found_and_trusted(self) -> None:
        """Hits lie where a is over 62.5 and b under 25: no line, and no product of lines."""
        weights = taught(steps)
        context = np.array([[80.0, 10.0], [80.0, 60.0], [20.0, 10.0], [20.0, 60.0]])
        best, *others = correction(weights.worth, TWO, context)
        assert best > max(others) + 1.0

    def test_noise_is_left_out(self) -> None:
        """300 scans' worth of hits by chance: what is used spreads over arms by a tenth of what
        steps do, and by less than 0.1 logits (8 seeds: 0.00 to 0.04)."""
        rng = np.random.default_rng(5)
        context = rng.uniform(0, 100, (2_000, 2))
        noise = correction(taught(lambda x: np.full(len(x), -2.0)).worth, TWO, context).std()
        steps_ = correction(taught(steps).worth, TWO, context).std()
        assert noise < min(0.1, 0.1 * steps_)

    @pytest.mark.parametrize("offset", [0.0, -3.0, 30.0])
    def test_the_level_of_a_scan_is_the_mode_of_one_weight(self, offset: float) -> None:
        rng = np.random.default_rng(4)
        logit, rewards = rng.normal(offset, 1.0, 200), rng.random(200)
        prior = WeightPosterior.from_prior([0.0], [1.0])
        posterior = laplace_update(prior, np.ones((200, 1)), rewards, offset=logit)
        # A Laplace step stops 0.01 posterior deviations before the mode.
        sd = np.sqrt(posterior.variance()[0])
        assert level_of(logit, rewards) == pytest.approx(posterior.mean[0], abs=0.02 * sd)

    def test_a_day_on_which_everything_hits_teaches_no_cell(self) -> None:
        rewards, logit = np.ones(400), np.full(400, -2.0)
        level = level_of(logit, rewards)
        assert level > 1.5
        cells = TWO.cells_of(np.random.default_rng(0).uniform(0, 100, (400, 2)))
        without = CellWeights.empty(TWO.n_cells).learn(cells, rewards, logit)
        corrected = CellWeights.empty(TWO.n_cells).learn(cells, rewards, logit + level)
        assert np.abs(corrected.mean).max() < 0.6 * np.abs(without.mean).max()


def test_contributions_add_up_to_the_correction() -> None:
    worth = np.random.default_rng(2).normal(size=TWO.n_cells)
    context = np.array([[10.0, np.nan], [99.0, 50.0]])
    parts = contributions(worth, TWO, context, ["first", "second"])
    np.testing.assert_allclose(sum(parts.values()), correction(worth, TWO, context))
    # The pair counts for its later column.
    np.testing.assert_allclose(parts["first"], worth[TWO.cells_of(context)[:, 0]])


def test_weights_of_another_layout_are_refused() -> None:
    weights = CellWeights.empty(5)
    with pytest.raises(Exception, match=r"has 4 cells, the settings need 5.*ruleset"):
        weights.restored(np.zeros(4), np.zeros(4), [0.0, 0.0])


def steps(context: Array) -> Array:
    """Log odds that jump."""
    return np.where((context[:, 0] > 62.5) & (context[:, 1] < 25.0), 1.0, -3.0)


def taught(logit: object, n_scans: int = 300) -> CellWeights:
    """Weights that saw scans of 60 arms, beside a belief that knows the common rate only."""
    rng = np.random.default_rng(0)
    weights = CellWeights.empty(TWO.n_cells)
    for _ in range(n_scans):
        context = rng.uniform(0, 100, (60, 2))
        rewards = (rng.random(60) < expit(logit(context))).astype(np.float64)  # type: ignore[operator]
        weights = weights.learn(TWO.cells_of(context), rewards, np.full(60, -2.0))
    return weights
