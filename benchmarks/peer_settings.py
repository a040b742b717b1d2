"""Which settings serve each peer best? ``python -m benchmarks.peer_settings [--scans 160]``.

Replays the ratings on scans up to the end of 2018 only; the winners are what `benchmarks.quality`
uses. Each candidate runs without and, marked +, with the similarity loadings in its context.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

import numpy as np
from rich.console import Console

from benchmarks import _data
from benchmarks.peers import BayesianBandits, ContextualBandits, LightGBM, MabWiser, Model, Peer
from benchmarks.peers_online import River, VowpalWabbit
from scanner_adapter.replay import replay

CANDIDATES: Mapping[str, Callable[[], Model]] = {
    "lightgbm": lambda: LightGBM(0),
    "lightgbm, slower": lambda: LightGBM(0, learning_rate=0.03, num_boost_round=300),
    "lightgbm, larger": lambda: LightGBM(0, num_leaves=31),
    "lightgbm, smaller": lambda: LightGBM(0, num_leaves=7, num_boost_round=300),
    "bayesianbandits 0.1": lambda: BayesianBandits(0, alpha=0.1),
    "bayesianbandits 1": lambda: BayesianBandits(0, alpha=1.0),
    "bayesianbandits 10": lambda: BayesianBandits(0, alpha=10.0),
    "mabwiser 0.01": lambda: MabWiser(0, alpha=0.01),
    "mabwiser 0.1": lambda: MabWiser(0, alpha=0.1),
    "contextualbandits 0.01": lambda: ContextualBandits(0, v_sq=0.01),
    "contextualbandits 0.1": lambda: ContextualBandits(0, v_sq=0.1),
    "contextualbandits 1": lambda: ContextualBandits(0, v_sq=1.0),
    "river 0.01": lambda: River(0, alpha=0.01),
    "river 0.1": lambda: River(0, alpha=0.1),
    "river 1": lambda: River(0, alpha=1.0),
    "vowpalwabbit mtr": lambda: VowpalWabbit(0, extra=""),
    "vowpalwabbit mtr slow": lambda: VowpalWabbit(0, extra="-l 0.1"),
    "vowpalwabbit mtr coin": lambda: VowpalWabbit(0, extra="--coin"),
    "vowpalwabbit ips": lambda: VowpalWabbit(0, cb_type="ips", extra=""),
    "vowpalwabbit mtr l2": lambda: VowpalWabbit(0, extra="--l2 1e-6 -l 0.05"),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peer_settings", description=__doc__)
    parser.add_argument("--scans", type=int, default=160, help="warm-up included")
    parser.add_argument("--only", default="", help="candidates whose name begins so")
    chosen = parser.parse_args()
    log = _data.ratings_log()
    days = log.days(None, _data.DEVELOPMENT_END)[-chosen.scans :]
    report = replay(
        log,
        from_=str(log.outcomes.dates[days[0]]),
        to=_data.DEVELOPMENT_END,
        warmup=_data.WARMUP,
        orders=[
            Peer(
                name + (" +" if loadings else ""),
                make(),
                np.random.default_rng(0),
                loadings=loadings,
            )
            for name, make in CANDIDATES.items()
            if name.startswith(chosen.only)
            for loadings in (False, True)
        ],
    )
    Console(highlight=False, width=100).print(report.table())


if __name__ == "__main__":
    main()
