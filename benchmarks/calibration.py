"""Is a completion probability of 30 % right in 30 of 100 cases? Reliability of the patterns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_ndtr

from features.errors import FeatureError
from features.inputs.bars import Bars
from features.inputs.days import as_day
from features.measures.blocks import blocks
from features.measures.patterns import (
    CALIBRATION,
    HORIZON,
    barrier_distance,
    completion_probability,
    pattern_barriers,
)
from features.measures.windows import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Cases that a decile needs to be judged.
LEAST_CASES = 500


@dataclass(frozen=True, slots=True)
class PatternCases:
    """Every case of a pattern: its distance and whether the barrier was passed in the horizon.

    Parameters
    ----------
    distance : ndarray of float64, shape (n_cases,)
        In standard deviations of the horizon's move.
    completed : ndarray of bool, shape (n_cases,)
    date : ndarray of datetime64[D], shape (n_cases,)
    """

    distance: NDArray[np.float64]
    completed: NDArray[np.bool_]
    date: NDArray[np.datetime64]


def pattern_cases(bars: Bars, *, from_: object, to: object) -> dict[str, PatternCases]:
    """Return the cases of each pattern on the days from_..to, looking ahead for the outcome only.

    A case counts if the symbol has a bar on each of the `HORIZON` days after it.
    """
    n_days = len(bars.dates)
    inside = (bars.dates >= as_day(from_)) & (bars.dates <= as_day(to))
    inside[n_days - HORIZON :] = False
    if not inside.any():
        raise FeatureError(
            f"no day from {from_} to {to} has {HORIZON} days after it in the bars "
            f"({bars.dates[0]} .. {bars.dates[-1]})"
        )
    ahead = _highest_ahead(bars.close)
    parts: dict[str, list[tuple[Array, NDArray[np.bool_], NDArray[np.datetime64]]]]
    parts = {pattern: [] for pattern in CALIBRATION}
    with np.errstate(divide="ignore", invalid="ignore"):
        for block in blocks(bars, n_days):
            future = ahead[:, block.columns]
            for pattern, packed in pattern_barriers(block).items():
                distance = block.to_days(barrier_distance(block, packed))
                barrier = block.to_days(packed)
                case = inside[:, None] & np.isfinite(distance) & np.isfinite(future)
                day = np.broadcast_to(bars.dates[:, None], case.shape)[case]
                parts[pattern].append((distance[case], (future > barrier)[case], day))
    return {
        pattern: PatternCases(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))
        for pattern, found in parts.items()
    }


def reliability(bars: Bars, *, from_: object, to: object) -> pd.DataFrame:
    """Return predicted and realised frequency by decile of the predicted probability.

    Returns
    -------
    DataFrame
        Columns pattern, decile, cases, predicted, realised (percent), difference (points).
    """
    rows = []
    for pattern, cases in pattern_cases(bars, from_=from_, to=to).items():
        predicted = completion_probability(pattern, cases.distance)
        order = np.argsort(predicted, kind="stable")
        for decile, part in enumerate(np.array_split(order, 10), start=1):
            if len(part) == 0:
                continue
            said, came = 100 * predicted[part].mean(), 100 * cases.completed[part].mean()
            rows.append((pattern, decile, len(part), said, came, came - said))
    columns = ["pattern", "decile", "cases", "predicted", "realised", "difference"]
    return pd.DataFrame(rows, columns=columns)


def fit_calibration(bars: Bars, *, from_: object, to: object) -> dict[str, tuple[float, ...]]:
    """Return the coefficients of `CALIBRATION` by maximum likelihood, drift taken out.

    Every case also counts in its mirror image (1 / price), where a fall becomes a rise.
    """
    mirrored = Bars(
        bars.dates,
        bars.symbols,
        open=1.0 / bars.open,
        high=1.0 / bars.low,
        low=1.0 / bars.high,
        close=1.0 / bars.close,
        volume=bars.volume,
    )
    real = pattern_cases(bars, from_=from_, to=to)
    mirror = pattern_cases(mirrored, from_=from_, to=to)
    return {
        pattern: _probit(
            np.concatenate([real[pattern].distance, mirror[pattern].distance]),
            np.concatenate([real[pattern].completed, mirror[pattern].completed]),
        )
        for pattern in CALIBRATION
    }


def _probit(distance: Array, completed: NDArray[np.bool_]) -> tuple[float, ...]:
    design = np.stack([np.ones_like(distance), np.sqrt(distance), distance], axis=1)
    sign = np.where(completed, 1.0, -1.0)

    def loss(weights: Array) -> float:
        return -float(log_ndtr(sign * (design @ weights)).mean())

    return tuple(float(w) for w in minimize(loss, np.array([1.0, -1.0, -0.5]), method="BFGS").x)


def plot_reliability(table: pd.DataFrame) -> Figure:
    """Draw predicted against realised frequency, one line per pattern; needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.0, 5.0), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 100], [0, 100], color="0.7", label="perfect")
    for pattern, part in table[table["cases"] >= LEAST_CASES].groupby("pattern", sort=False):
        axes.plot(part["predicted"], part["realised"], marker="o", label=str(pattern))
    axes.set_xlabel("predicted probability, %")
    axes.set_ylabel(f"closed above the barrier within {HORIZON} days, %")
    axes.legend()
    return figure


def _highest_ahead(close: Array) -> Array:
    """Return the highest close of the `HORIZON` days after each day, NaN if one is missing."""
    ahead = np.full_like(close, np.nan)
    rows = len(close) - HORIZON
    best = close[1 : rows + 1].copy()
    for k in range(2, HORIZON + 1):
        np.maximum(best, close[k : rows + k], out=best)
    ahead[:rows] = best
    return ahead
