"""One step of each peer, for `benchmarks.rank --peers`: score every arm, then learn from 50.

The same contexts and the settings of the quality table. A peer starts with 200 outcomes, LightGBM
with 20,000 (its trees grow with them) and without the cost of its refits. Linear peers score the
40 columns; ours scores about 120 features made of them. A size is left out, and the row says so,
where the step of the last size, scaled to it, would take over a minute: an extrapolation is not a
measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from time import perf_counter
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks import peers, peers_online

BATCH = 50
STEPS = 5
LONGEST_S = 60.0

MODELS: Mapping[str, Callable[[int], peers.Model]] = {
    "lightgbm": lambda _: peers.LightGBM(0),
    "bayesianbandits": lambda _: peers.BayesianBandits(0),
    "bayesianbandits hybrid": lambda n: peers.BayesianBandits(0, n_symbols=n),
    "mabwiser": lambda _: peers.MabWiser(0),
    "mabwiser ts": lambda n: peers_online.MabWiserThompson(0, n_symbols=n),
    "contextualbandits": lambda _: peers.ContextualBandits(0),
    "river": lambda _: peers_online.River(0),
    "vowpalwabbit": lambda _: peers_online.VowpalWabbit(0),
}


def measure(sizes: list[int], n_columns: int) -> Iterator[dict[str, Any]]:
    """Yield a row per peer and size: peer, arms, step_ms (None = left out), reason."""
    for name, make in MODELS.items():
        step_s, last = 0.0, 0
        for n in sorted(sizes):
            row: dict[str, Any] = {"peer": name, "arms": n, "step_ms": None, "reason": ""}
            if last and step_s * n / last > LONGEST_S:
                row["reason"] = f"{step_s:.1f} s at {last:,} arms already"
            else:
                try:
                    step_s, last = _step(make(n), n, n_columns), n
                    row["step_ms"] = 1e3 * step_s
                except (MemoryError, ValueError, RuntimeError) as error:
                    row["reason"] = f"{type(error).__name__}: {error}"[:80]
            yield row


def _step(model: peers.Model, n: int, n_columns: int) -> float:
    """Return the median seconds of scoring n arms and learning from the best 50."""
    rng = np.random.default_rng(0)
    context = 100.0 * rng.random((n, n_columns), np.float32)
    truth = rng.normal(0.0, 0.5, n_columns)
    symbols = np.arange(n)

    def learn(rows: np.ndarray[tuple[int], np.dtype[np.intp]]) -> None:
        chance = 1.0 / (1.0 + np.exp(3.0 - ((context[rows] - 50.0) / 50.0) @ truth))
        reward = (rng.random(rows.size) < chance).astype(np.float64)
        reward[0] = 1.0  # both outcomes occur, as some peers need
        model.update(context[rows].astype(np.float64), symbols[rows], reward)
        if isinstance(model, peers_online.MabWiserThompson):
            model.end_scan()  # when it learns

    n_before = 20_000 if isinstance(model, peers.LightGBM) else 200
    learn(rng.choice(n, n_before, replace=n_before > n))
    if isinstance(model, peers.LightGBM):
        model.end_scan()
    seconds = []
    for _ in range(STEPS):
        began = perf_counter()
        # As float64, which all of them work in; the conversion is part of their step as of ours.
        score = model.score(context.astype(np.float64), symbols)
        best = np.argpartition(score, n - BATCH)[n - BATCH :]
        learn(best)
        seconds.append(perf_counter() - began)
        if isinstance(model, peers.LightGBM):
            model._open = []  # each step predicts anew, as the first batch of a scan does
        if sum(seconds) > LONGEST_S:
            break
    return float(np.median(seconds))


def table(rows: list[dict[str, Any]], ours: Mapping[int, float]) -> Table:
    """Return the rows for people; `ours` has our milliseconds by number of arms."""
    shown = Table(title=f"peers: score every arm, learn from {BATCH}; medians of {STEPS}")
    for heading in ("peer", "arms", "ms", "x ours", "left out because"):
        shown.add_column(heading, justify="left" if "peer" in heading else "right")
    for row in rows:
        ms, own = row["step_ms"], ours.get(row["arms"])
        shown.add_row(
            row["peer"], f"{row['arms']:,}", "–" if ms is None else f"{ms:,.1f}",
            "–" if ms is None or own is None else f"{ms / own:,.1f}", row["reason"],
        )  # fmt: skip
    return shown
