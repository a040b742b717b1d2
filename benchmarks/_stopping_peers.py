"""Peers that do nothing but stop: rules of buscarpy and pyterrier-tar, on recorded trajectories.

Each sees the labels in the order in which they were found, up to the moment that it judges, and the
size of the universe. TargetRecapture also pays for its own random sample.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeWarning

Labels = NDArray[np.bool_]
# From labels in the order of the scan, target, confidence and a generator to the number of symbols
# scanned when the rule stops, and the number of hits found by then.
Peer = Callable[[Labels, float, float, np.random.Generator], tuple[int, int]]

BATCH_SIZE = 50
# Share of the universe without a hit after which people who screen by hand stop.
_QUIET = 0.05


def buscarpy(
    labels: Labels, target: float, confidence: float, _: np.random.Generator
) -> tuple[int, int]:
    """Callaghan and Mueller-Hansen (2020), asked after every batch."""
    from buscarpy import calculate_h0

    numbers = labels.astype(np.int64)
    for n in range(BATCH_SIZE, len(labels), BATCH_SIZE):
        p = calculate_h0(numbers[:n], len(labels), recall_target=target)
        if p is not None and p < 1.0 - confidence:
            return n, int(numbers[:n].sum())
    return len(labels), int(numbers.sum())


def target_recapture(
    labels: Labels, target: float, confidence: float, rng: np.random.Generator
) -> tuple[int, int]:
    """Cormack and Grossman (2016): a random sample with enough hits must be found again."""
    import pyterrier_tar as tar

    rule = tar.TargetRecapture(_frame(labels[:1]), target, confidence)
    drawn = rng.permutation(len(labels))
    enough = np.flatnonzero(np.cumsum(labels[drawn]) == rule.target_size)
    if not enough.size:
        return len(labels), int(labels.sum())
    sample = np.sort(drawn[: enough[0] + 1])
    frame = _frame(labels)
    control = frame.iloc[sample]
    n = int(tar.TargetRecapture(control, target, confidence).stop_report(frame)["stop"].iloc[0])
    seen = np.arange(len(labels)) < n
    seen[sample] = True
    return int(seen.sum()), int(labels[seen].sum())


def _of_tar(name: str) -> Peer:
    def stop(
        labels: Labels, target: float, confidence: float, _: np.random.Generator
    ) -> tuple[int, int]:
        import pyterrier_tar as tar

        n = len(labels)
        match name:
            case "ConsecutiveIrrelevant":
                rule = tar.ConsecutiveIrrelevant(int(np.ceil(_QUIET * n)))
            case "BetaBinomial":
                rule = tar.BetaBinomial(target, confidence, batch_size=BATCH_SIZE)
            case "Kneedle":
                rule = tar.Kneedle(min_documents=n // 10, batch_size=BATCH_SIZE)
            case "AnytimeCMH":
                rule = tar.AnytimeCMH(target, n, 1.0 - confidence, batch_size=BATCH_SIZE)
            case _:
                rule = getattr(tar, name)(target, n, confidence)
        with warnings.catch_warnings():
            # Their curves fitted to few windows have no covariance, which they do not need.
            warnings.simplefilter("ignore", OptimizeWarning)
            stopped = int(rule.stop_report(_frame(labels))["stop"].iloc[0])
        return stopped, int(labels[:stopped].sum())

    return stop


def _frame(labels: Labels):  # type: ignore[no-untyped-def] # a DataFrame, imported where needed
    import pandas as pd

    places = np.arange(len(labels))
    return pd.DataFrame(
        {
            "qid": "1",
            "docno": places.astype(str),
            "rank": places,
            "score": -places.astype(float),
            "label": labels.astype(int),
        }
    )


PEERS: dict[str, Peer] = {
    "buscarpy": buscarpy,
    "TargetRecapture": target_recapture,
    **{
        name: _of_tar(name)
        for name in (
            "AnytimeCMH",
            "BetaBinomial",
            "IPHyperbolic",
            "PoissonPoint",
            "Kneedle",
            "ConsecutiveIrrelevant",
        )
    },
}
