"""Windows against their plain definitions, and the same bits wherever they end."""

from __future__ import annotations

import numpy as np
import pytest

from features.measures.windows import (
    bars_since,
    deviation,
    highest,
    lag,
    lowest,
    mean,
    root_mean_square,
    total,
    trimmed_norm,
)


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).normal(100.0, 5.0, (90, 7))


@pytest.mark.parametrize("window", [1, 2, 3, 5, 16, 20, 31, 60])
def test_windows_are_what_they_say(x: np.ndarray, window: int) -> None:
    m = 30
    plain = np.stack([x[len(x) - m + i - window + 1 : len(x) - m + i + 1] for i in range(m)])
    np.testing.assert_allclose(total(x, window, m), plain.sum(axis=1), rtol=1e-13)
    np.testing.assert_allclose(mean(x, window, m), plain.mean(axis=1), rtol=1e-13)
    np.testing.assert_array_equal(highest(x, window, m), plain.max(axis=1))
    np.testing.assert_array_equal(lowest(x, window, m), plain.min(axis=1))
    np.testing.assert_allclose(deviation(x, window, m), plain.std(axis=1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        root_mean_square(x, window, m), np.sqrt((plain**2).mean(axis=1)), rtol=1e-13
    )
    np.testing.assert_array_equal(lag(x, window, m), x[-m - window : -window])


@pytest.mark.parametrize("function", [total, mean, highest, deviation, root_mean_square])
def test_last_row_has_the_bits_of_the_panel(x: np.ndarray, function) -> None:  # type: ignore[no-untyped-def]
    """Neither the number of rows wanted nor where the array starts changes a bit."""
    panel = function(x, 20, 50)
    for row in (0, 13, 49):
        end = len(x) - 50 + row + 1
        assert function(x[:end], 20, 1).tobytes() == panel[row : row + 1].tobytes()
        assert function(x[end - 25 : end], 20, 1).tobytes() == panel[row : row + 1].tobytes()


def test_trimmed_norm_ignores_one_spike() -> None:
    """20 values 1..20 with 20 made 1000: without 1 and 1000 the mean of 2..19 is 10.5."""
    x = np.arange(1.0, 21.0)[:, None]
    x[-1] = 1000.0
    centre, spread = trimmed_norm(x, 20, 1)
    assert centre.item() == 10.5
    assert spread.item() == pytest.approx(np.arange(2.0, 20.0).std())


def test_nan_spreads_through_the_window(x: np.ndarray) -> None:
    x[:40, 0] = np.nan
    assert np.isnan(mean(x, 20, 90 - 19)[:40, 0]).all()
    assert not np.isnan(mean(x, 20, 90 - 19)[40:, 0]).any()


def test_bars_since_counts_and_stops() -> None:
    event = np.zeros((10, 2), dtype=bool)
    event[6, 0] = True
    age = bars_since(event, 5, 5)
    assert age[:, 0].tolist() == [5.0, 0.0, 1.0, 2.0, 3.0]
    assert age[:, 1].tolist() == [5.0] * 5
