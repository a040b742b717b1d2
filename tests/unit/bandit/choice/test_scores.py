"""Scores without features equal features times weights, whatever bends and meets."""

from __future__ import annotations

import numpy as np
import pytest

from bandit.belief.expansion import Expansion
from bandit.choice.scores import scores_by


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_without_features_equal_features_times_weights(dtype: type) -> None:
    """Lines, hinges at both ends, products with themselves and others, and unknown values."""
    rng = np.random.default_rng(3)
    columns = [f"c{i}" for i in range(12)]
    context = (100.0 * rng.random((500, 12))).astype(dtype)
    context[rng.random(context.shape) < 0.2] = np.nan
    for crossed in (columns[3:7], ()):
        expansion = Expansion(
            columns, n_plain=2, crossed=crossed, upper=(70.0, 90.0), lower=(20.0,)
        )
        weights = rng.normal(size=(3, expansion.n_features))
        exact = scores_by(weights, context, expansion, exactly=True)
        plain = weights @ expansion.transform(context, np.float64).T
        np.testing.assert_allclose(exact, plain, rtol=1e-12)
        quick = scores_by(weights, context, expansion, exactly=False)
        np.testing.assert_allclose(quick, plain, atol=2e-5)
