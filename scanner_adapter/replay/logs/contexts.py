"""What was known of every symbol on every day: sub-scores and similarity loadings, computed once.

One causal pass gives the sub-scores of all days, equal to computing each day alone, so that a
replay of hundreds of scans costs little more than the ranking itself. Both are kept on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.factors import sub_score_panel
from features.inputs.bars import Bars
from features.inputs.events import Events
from features.similarity import Loadings, similarity_loadings
from scanner_adapter.inputs.disk_cache import DiskCache
from scanner_adapter.inputs.feature_cache import key_of

_Named = tuple[tuple[str, ...], NDArray[np.float32]]


@dataclass(frozen=True)
class Contexts:
    """Sub-scores of all days, and loadings of the days that are asked for.

    Attributes
    ----------
    bars : Bars
    names : tuple of str, length n_sub
    sub_scores : ndarray of float32, shape (n_days, n_symbols, n_sub)
        0 to 100, NaN = unknown; row t uses nothing after day t.
    sectors : mapping of symbol to sector
    cache : DiskCache or None
    events : Events or None
    """

    bars: Bars
    names: tuple[str, ...]
    sub_scores: NDArray[np.float32]
    sectors: Mapping[str, str]
    cache: DiskCache | None
    events: Events | None = None

    @classmethod
    def compute(
        cls,
        bars: Bars,
        *,
        events: Events | None = None,
        sectors: Mapping[str, str] | None = None,
        cached: bool = True,
    ) -> Contexts:
        """Compute the sub-scores of all days of `bars`, or read them from the cache.

        Parameters
        ----------
        bars : Bars
        events : Events, optional
        sectors : mapping of str to str, optional
            Sector of each symbol; symbols may be missing.
        cached : bool
            Whether to use the disk cache.
        """
        sectors = sectors or {}
        cache = DiskCache(key_of(bars, events, sectors)) if cached else None

        def compute() -> _Named:
            panel = sub_score_panel(bars, events)
            return panel.names, panel.values

        names, values = _cached(cache, "names", "sub_scores", compute)
        return cls(bars, names, values, sectors, cache, events)

    def loadings(self, day: int) -> Loadings:
        """Similarity loadings of all symbols as of one day, from the cache where it has them."""
        as_of = self.bars.dates[day]

        def compute() -> _Named:
            loadings = similarity_loadings(self.bars, as_of=as_of, sectors=self.sectors)
            return loadings.names, loadings.values

        return Loadings(
            *_cached(self.cache, f"loading_names_{as_of}", f"loadings_{as_of}", compute)
        )


def _cached(
    cache: DiskCache | None, names_key: str, values_key: str, compute: Callable[[], _Named]
) -> _Named:
    """Return named columns from the cache where it has them; else compute and keep them."""
    if cache is None:
        return compute()
    names, values = cache.read(names_key), cache.read(values_key)
    if names is not None and values is not None:
        return tuple(map(str, names)), np.asarray(values, np.float32)
    found = compute()
    cache.write(names_key, np.array(found[0]))
    cache.write(values_key, found[1])
    return found
