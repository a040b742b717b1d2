"""Bars of a large made-up universe, one piece at a time, wherever the piece is wanted.

No market, but what costs time and memory is there: moves shared by the market and by sectors,
symbols listed lately, symbols delisted.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from features import Bars, StoredFeatures, features_in_pieces

N_DAYS = 300
N_SECTORS = 11
PIECE = 2000  # symbols


def symbol(number: int) -> str:
    return f"S{number:07d}"


def made_piece(start: int, stop: int, n_days: int = N_DAYS) -> Bars:
    """Return the bars of the symbols numbered `start` to `stop`, the same whenever asked."""
    shared, own = np.random.default_rng(0), np.random.default_rng(start + 1)
    market, sectors = (
        shared.normal(0, 0.01, (n_days, 1)),
        shared.normal(0, 0.008, (n_days, N_SECTORS)),
    )
    numbers = np.arange(start, stop)
    shape = (n_days, len(numbers))
    moves = own.normal(0, 0.015, shape)
    moves += market * own.uniform(0.5, 1.5, len(numbers)) + sectors[:, numbers % N_SECTORS]
    close = 50.0 * np.exp(np.cumsum(moves, axis=0))
    open_ = close * np.exp(own.normal(0, 0.008, shape))
    high = np.maximum(open_, close) * np.exp(np.abs(own.normal(0, 0.006, shape)))
    low = np.minimum(open_, close) * np.exp(-np.abs(own.normal(0, 0.006, shape)))
    volume = np.exp(own.normal(13.0, 0.5, shape)).round()
    day, fate = np.arange(n_days)[:, None], own.random(len(numbers))
    cut = own.integers(1, n_days, len(numbers))
    gone = ((fate < 0.05) & (day < cut)) | ((fate > 0.99) & (day >= cut))
    for field in (open_, high, low, close, volume):
        field[gone] = np.nan
    dates = np.datetime64("2018-01-01") + np.arange(n_days)
    return Bars(dates, tuple(map(symbol, numbers.tolist())), open_, high, low, close, volume)


def made_features(path: Path, n: int, processes: int) -> StoredFeatures:
    """Return the features of `n` symbols, whose bars are made where they are needed."""
    pieces = [partial(made_piece, k, min(k + PIECE, n)) for k in range(0, n, PIECE)]
    sectors = {symbol(k): f"Sector {k % N_SECTORS}" for k in range(n)}
    with ProcessPoolExecutor(processes) as pool:
        return features_in_pieces(pieces, path, sectors=sectors, executor=pool)
