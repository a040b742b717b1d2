"""The closes of a universe on disk, piece by piece; read again by piece or by day.

What a day's sub-scores need of the whole universe (the market's median move, the principal
components) are functions of the closes only, a fifth of the bars: 8 bytes a symbol and day on disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.measures.blocks import market_level, median_moves

# Numbers read at a time for the medians of some days: 16 MiB of float64, of which four copies live.
_READ_SIZE = 1 << 21


class StoredCloses:
    """Closes of a universe as one `.npy` file per piece. One process writes, then reads.

    Parameters
    ----------
    folder : Path
        Empty; whoever made it removes it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._dates: list[NDArray[np.datetime64]] = []
        self.n_symbols = 0

    def add(self, dates: NDArray[np.datetime64], close: NDArray[np.float64]) -> None:
        """Keep the closes (n_days, k) of a piece on its own trading days."""
        np.save(self._path(len(self._dates)), close, allow_pickle=False)
        self._dates.append(dates)
        self.n_symbols += close.shape[1]

    @cached_property
    def dates(self) -> NDArray[np.datetime64]:
        """The days on which any piece has bars, in order; asked for when all pieces are there."""
        return np.unique(np.concatenate(self._dates))

    def on_days(self, days: slice) -> Iterator[NDArray[np.float64]]:
        """Yield each piece's closes on these of the `dates`, (n, k), NaN where it has none."""
        n = days.stop - days.start
        for number, rows in enumerate(self._rows):
            first, last = np.searchsorted(rows, [days.start, days.stop])
            # Mapped anew each time: pages of a mapping that is gone do not count as memory.
            stored = np.load(self._path(number), mmap_mode="r", allow_pickle=False)
            close = np.full((n, stored.shape[1]), np.nan)
            close[rows[first:last] - days.start] = stored[first:last]
            yield close

    def market_level(self, n_days: int) -> NDArray[np.float64]:
        """Return the market's level on the first `n_days` of the `dates`, bit for bit as in one."""
        step = max(1, _READ_SIZE // self.n_symbols)
        moves = [np.empty(0)]
        for start in range(1, n_days, step):
            days = slice(start - 1, min(start + step, n_days))
            moves.append(median_moves(np.concatenate([*self.on_days(days)], axis=1)))
        return market_level(np.concatenate(moves))

    @cached_property
    def _rows(self) -> list[NDArray[np.intp]]:
        """Where each piece's own days stand among all."""
        return [np.searchsorted(self.dates, own) for own in self._dates]

    def _path(self, number: int) -> Path:
        return self._folder / f"close-{number}.npy"
