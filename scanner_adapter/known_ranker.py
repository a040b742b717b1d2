"""Questions that a ranker answers: hits of its scans, its symbols, and whether ranking pays."""

from __future__ import annotations

import threading
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bandit.errors import InvalidInputError
from bandit.stores import Store
from bandit.stores.names import check_name
from scanner_adapter.batch import time_of
from scanner_adapter.options import Mode

if TYPE_CHECKING:
    import pandas as pd

    from scanner_adapter.state.comparison import Comparison, ScanLog
    from scanner_adapter.state.kept_bars import KeptBars
    from scanner_adapter.state.learned_state import LearnedState


class KnownRanker:
    """Read-only part of a `SymbolRanker`."""

    store: Store
    ruleset: str
    learned: LearnedState
    _lock: threading.RLock
    _scans: ScanLog
    _mode: Mode

    @property
    def n_scans(self) -> int:
        """Finished scans that the belief has learned from."""
        return self.learned.belief.n_scans

    @cached_property
    def kept_bars(self) -> KeptBars:
        """Bars that came with results, kept for later scans."""
        from scanner_adapter.state.kept_bars import KeptBars

        return KeptBars.beside(self.store.address, self.ruleset)

    def hits(self, scan_id: str) -> tuple[str, ...]:
        """Return the high-value symbols of a scan, in order of reporting, from the journal.

        A second scan can start from the hits of a first one: `symbols=ranker.hits(scan_id)`.

        Parameters
        ----------
        scan_id : str
            A scan of this ruleset, run by any process. If it is still open, its hits so far.

        Raises
        ------
        InvalidInputError
            If the journal does not hold the scan.
        StoreError
        """
        with self._lock:
            entries = list(self.learned.entries_of(check_name("scan_id", scan_id)))
        if not entries:
            raise InvalidInputError(
                f"scan {scan_id!r} is not in the journal of ruleset {self.ruleset!r}; give the "
                "scan_id of a scan that has reported results"
            )
        limits = [e.header["hit_limit"] for e in entries if e.header.get("hit_limit") is not None]
        hits: list[str] = []
        for entry in entries:
            if entry.kind != "report":
                continue
            if limits:  # a top share, whose lowest rating is known only at the end
                is_hit = np.asarray(entry.arrays["rating"]) >= limits[-1]
            else:
                is_hit = np.asarray(entry.arrays["reward"]) >= 0.5
            hits += [arm for arm, yes in zip(entry.arms, is_hit.tolist(), strict=True) if yes]
        return tuple(dict.fromkeys(hits))

    def compare(self) -> Comparison:
        """Compare prioritised scans with scans in the given order, see `Comparison`."""
        with self._lock:
            self._scans.catch_up()
            return self._scans.comparison()

    def to_frame(self, *, now: datetime | None = None) -> pd.DataFrame:
        """Return the track record of every symbol ever reported, best first.

        Parameters
        ----------
        now : datetime, optional
            Time to which records are decayed, with a timezone; by default the current time.

        Returns
        -------
        DataFrame indexed by symbol
            last_reward, fast_mean and slow_mean in [0, 1], age_days, and the decayed counts
            n_scans and n_hits.
        """
        import pandas as pd

        with self._lock:
            track = self.learned.belief.track
            view = track.view(track.arms, now=time_of(now))
            names = ("last_reward", "fast_mean", "slow_mean", "age_days", "n_scans", "n_hits")
            values = {name: getattr(view, name) for name in names}
            table = pd.DataFrame(values, index=pd.Index(track.arms, name="symbol"))
        return table.sort_values(list(names[:3]), ascending=False)

    def __repr__(self) -> str:
        return (
            f"SymbolRanker({self.ruleset!r} on {self.store.address}, mode {self._mode}, "
            f"{self.n_scans} scan{'s' * (self.n_scans != 1)} learned)"
        )
