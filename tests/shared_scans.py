"""A scan that several workers share, small enough for every test: symbols, context, the worker."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from bandit.belief.belief import BeliefSettings
from bandit.stores import Store
from scanner_adapter import SymbolRanker
from scanner_adapter.inputs.context import CROSSED, seed_weights

N = 300
SYMBOLS = [f"S{n}" for n in range(N)]
WORTH = np.random.default_rng(3).uniform(0, 100, N)
CONTEXT = pd.DataFrame({"market.worth": WORTH, "technical.noise": WORTH[::-1]}, SYMBOLS)
NOW = datetime(2024, 3, 4, 21, tzinfo=UTC)


def rating(symbol: str) -> float:
    return float(WORTH[int(symbol[1:])])


@contextmanager
def ranker_on(store: Store, **options: object) -> Iterator[SymbolRanker]:
    settings = BeliefSettings(seed_weights=seed_weights(None), crossed=CROSSED)
    yield SymbolRanker(store, ruleset="rules", settings=settings, **options)  # type: ignore[arg-type]


def reports(store: Store) -> Counter[str]:
    return Counter(arm for entry in store.read("rules") for arm in entry.arms)


def work(store: Store, worker: str, scanned: list[str], *, pause_s: float = 0.002) -> SymbolRanker:
    """Scan as one of several workers until nothing is left."""
    with ranker_on(store, seed=len(worker)) as ranker:
        with ranker.start_scan(
            SYMBOLS, context=CONTEXT, now=NOW, scan_id="s1", shared=True, worker=worker, lease_s=2.0
        ) as scan:
            while batch := scan.next_batch(15):
                time.sleep(pause_s * len(batch))
                scanned += batch.symbols
                scan.report({symbol: rating(symbol) for symbol in batch})
        assert scan.failure is None
        assert scan.summary.n_scanned == N
        assert scan.summary.n_hits > 5
        return ranker
