"""Off-policy estimates of real scans, from which all that an order did not visit was hidden."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bandit.choice.draw import batch_propensity
from bandit.evaluation.offpolicy import LoggedScan, Method, estimate_recall
from bandit.rewards import TopShare
from scanner_adapter.replay.logs.outcome_log import OutcomeLog

METHODS: tuple[Method, ...] = ("ips", "snips", "dr")
N_SCANS = 24
N_BATCHES, BATCH, QUOTA = 7, 50, 5.0  # a scan stopped at 25 % of about 1,400 symbols


@pytest.fixture(scope="module")
def log(market_data: Path) -> OutcomeLog:
    frame = pd.read_parquet(
        market_data / "scanner_ratings.parquet", columns=["date", "symbol", "rating"]
    )
    dates = np.sort(frame["date"].unique()).astype("datetime64[D]")
    symbols = sorted(frame["symbol"].astype(str).unique())
    return OutcomeLog.from_frame(frame, dates, symbols)


def hidden(log: OutcomeLog, day: int, rng: np.random.Generator) -> tuple[LoggedScan, float, float]:
    """One stopped scan, with the target's hits and all hits as they really were.

    Logged by the rating of five days before with noise drawn anew for each batch; the target's
    first quarter follows yesterday's rating, whose squashed rank is also the prediction.
    """
    places = np.flatnonzero(~np.isnan(log.rating[[day, day - 1, day - 5]]).any(axis=0))
    n = len(places)
    hit = log.hits(TopShare(0.05), day, places).astype(np.float64)
    yesterday = log.rating[day - 1, places].argsort().argsort() / n
    older = log.rating[day - 5, places].argsort().argsort() / n
    batch, propensity, left = np.full(n, -1), np.full(n, np.nan), np.arange(n)
    for number in range(N_BATCHES):
        order = np.argsort(-(older[left] + 0.2 * rng.standard_normal(len(left))))
        drawn = rng.choice(len(left), int(QUOTA), replace=False)
        best = order[~np.isin(order, drawn)][: BATCH - len(drawn)]
        rank = np.empty(len(left), np.intp)
        rank[order] = np.arange(len(left))
        chosen = np.concatenate([best, drawn])
        batch[left[chosen]] = number
        propensity[left[chosen]] = batch_propensity(
            rank[chosen], n_remaining=len(left), k=BATCH, quota=QUOTA
        )
        left = np.flatnonzero(batch < 0)
    target = (yesterday >= 0.75).astype(np.float64)
    prediction = 0.25 * yesterday**6
    reward = np.where(batch >= 0, hit, np.nan)
    scan = LoggedScan(batch, propensity, reward, target, prediction)
    return scan, float(hit @ target), float(hit.sum())


@pytest.mark.parametrize(
    ("n_trials", "lowest", "highest"),
    [
        # Binomial standard error of 60 trials: 2.8 %; so many can tell 95 from 85 %, not from 99.
        (60, 0.87, 1.0),
        pytest.param(300, 0.90, 0.99, marks=pytest.mark.slow),  # 1.3 %
    ],
)
def test_the_truth_lies_in_the_interval_on_real_scans(
    log: OutcomeLog,
    n_trials: int,
    lowest: float,
    highest: float,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In 90 to 99 % of 300 trials for each estimator."""
    covered: dict[Method, list[bool]] = {method: [] for method in METHODS}
    errors: dict[Method, list[float]] = {method: [] for method in METHODS}
    for trial in range(n_trials):
        rng = np.random.default_rng(trial)
        days = rng.choice(np.arange(5, len(log.dates)), N_SCANS, replace=False)
        scans, found, hits = zip(*(hidden(log, int(day), rng) for day in days), strict=True)
        truth = sum(found) / sum(hits)
        for method in METHODS:
            estimate = estimate_recall(scans, method=method)
            covered[method].append(estimate.low <= truth <= estimate.high)
            errors[method].append(estimate.recall - truth)
    for method in METHODS:
        share, error = np.mean(covered[method]), np.sqrt(np.mean(np.square(errors[method])))
        with capsys.disabled():
            print(f"\n{method}: truth inside in {share:.1%} of {n_trials}, error {error:.3f}")
        assert lowest <= share <= highest, method
        assert error < 0.08, method
