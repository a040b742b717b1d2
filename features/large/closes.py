"""The closes of a universe on disk, piece by piece; read again by piece or by day.

What a day's sub-scores need of the whole universe (the market's median move, the principal
components) are functions of the closes only, a fifth of the bars: 8 bytes a symbol and day on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.inputs.calendars import Calendars, Market, calendar_labels, counts_of

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
        self._symbols: list[Sequence[str]] = []
        self._groups: list[NDArray[np.intp]] = []

    def add(
        self,
        symbols: Sequence[str],
        dates: NDArray[np.datetime64],
        close: NDArray[np.float64],
    ) -> None:
        """Keep the closes (n_days, k) of a piece's symbols on its own trading days."""
        np.save(self._path(len(self._dates)), close, allow_pickle=False)
        self._dates.append(dates)
        self._symbols.append(symbols)

    @cached_property
    def dates(self) -> NDArray[np.datetime64]:
        """The days on which any piece has bars, in order; asked for when all pieces are there."""
        return np.unique(np.concatenate(self._dates))

    def on_days(self, rows: NDArray[np.intp]) -> Iterator[NDArray[np.float64]]:
        """Yield each piece's closes on these of the `dates`, (n, k), NaN where it has none."""
        for number, own in enumerate(self._rows):
            at = np.minimum(np.searchsorted(own, rows), len(own) - 1)
            is_own = own[at] == rows
            # Mapped anew each time: pages of a mapping that is gone do not count as memory.
            stored = np.load(self._path(number), mmap_mode="r", allow_pickle=False)
            close = np.full((len(rows), stored.shape[1]), np.nan)
            close[is_own] = stored[at[is_own]]
            yield close

    def members_on(self, group: int, rows: NDArray[np.intp]) -> Iterator[NDArray[np.float64]]:
        """Yield the same of the symbols of one calendar."""
        for groups, close in zip(self._groups, self.on_days(rows), strict=True):
            is_member = groups == group
            yield close if is_member.all() else close[:, is_member]

    def calendars(self, n_days: int) -> Calendars:
        """Return the calendars of the universe on the first `n_days` days, before anything else."""
        dates, rows = self.dates[:n_days], np.arange(n_days)
        labels = [
            calendar_labels(symbols, dates, ~np.isnan(close))
            for symbols, close in zip(self._symbols, self.on_days(rows), strict=True)
        ]
        names, groups = np.unique(np.concatenate(labels), return_inverse=True)
        self._groups = np.split(groups, np.cumsum([len(part) for part in labels])[:-1])
        counts = np.zeros((len(names), n_days), np.intp)
        for own, close in zip(self._groups, self.on_days(rows), strict=True):
            counts += counts_of(own, len(names), ~np.isnan(close))
        return Calendars.counted(dates, tuple(names.tolist()), groups, counts)

    def market(self, calendars: Calendars) -> Market:
        """Return the market's level on the days of the calendars, bit for bit as in one."""
        return calendars.market_of(self.members_on, max(1, _READ_SIZE // len(calendars.groups)))

    @cached_property
    def _rows(self) -> list[NDArray[np.intp]]:
        """Where each piece's own days stand among all."""
        return [np.searchsorted(self.dates, own) for own in self._dates]

    def _path(self, number: int) -> Path:
        return self._folder / f"close-{number}.npy"
