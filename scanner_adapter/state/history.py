"""Results in a ruleset's journal as table rows, for CSV files and for the history of a symbol."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from bandit.errors import InvalidInputError
from bandit.rewards import HIT, TopShare, final_rewards
from bandit.stores import Entry, Store
from scanner_adapter.jsonio import as_cell, check_target, written_whole

_CHOICE = ("probability", "propensity", "is_random", "batch", "place")


class History:
    """Results of one ruleset; the journal is read twice, first for what only close entries hold.

    Raises
    ------
    StoreError
    """

    def __init__(self, store: Store, ruleset: str) -> None:
        self._store, self._ruleset = store, ruleset
        self._limits: dict[str, float] = {}  # lowest rating of a hit, by scan
        self._days: dict[str, str] = {}
        names: dict[str, None] = {}  # names of the scanner's own numbers, in order of appearance
        self.latest = 0.0  # time of the newest scan, days since 1970
        for entry in store.read(ruleset):
            self.latest = max(self.latest, float(entry.header["scan_time"]))
            if entry.header.get("hit_limit") is not None:
                self._limits[entry.scan_id] = entry.header["hit_limit"]
            if entry.header.get("as_of"):
                self._days[entry.scan_id] = entry.header["as_of"]
            if entry.kind == "report":
                names.update(dict.fromkeys(entry.header["row_columns"]))
        self._names = [name for name in names if name != "rating"]

    def frames(self, symbol: str | None = None) -> Iterator[pd.DataFrame]:
        """Yield a table of each report, in order; of one symbol only, if given.

        Columns: scan_id, as_of, reported_at (UTC), symbol, rating, reward, is_hit (by the limit at
        the end of the scan), is_error, predicted probability, propensity, is_random, batch and
        place of the choice, and the scanner's own numbers.
        """
        for entry in self._store.read(self._ruleset):
            if entry.kind == "report" and (symbol is None or symbol in entry.arms):
                frame = self._frame(entry)
                yield frame if symbol is None else frame[frame["symbol"] == symbol]

    def _frame(self, entry: Entry) -> pd.DataFrame:
        rating = np.asarray(entry.arrays["rating"], np.float64)
        reward = np.asarray(entry.arrays["reward"], np.float64)
        limit = self._limits.get(entry.scan_id)
        seconds = entry.header.get("reported_at", entry.header["scan_time"] * 86_400)
        frame = pd.DataFrame({"symbol": entry.arms, "rating": rating, "reward": reward})
        # Only a top share has a limit; under other rules the reward decides.
        frame["is_hit"] = final_rewards(TopShare(), rating, reward, limit) >= HIT
        frame["is_error"] = np.isnan(rating) & np.isnan(reward)
        for name in _CHOICE:
            frame[name] = entry.arrays.get(name)
        rows = pd.DataFrame(entry.arrays["rows"], columns=entry.header["row_columns"])
        frame = pd.concat([frame, rows.reindex(columns=self._names)], axis=1)
        frame.insert(0, "reported_at", datetime.fromtimestamp(seconds, UTC).isoformat())
        frame.insert(0, "as_of", self._days.get(entry.scan_id))
        frame.insert(0, "scan_id", entry.scan_id)
        return frame


def export_csv(store: Store, ruleset: str, path: Path) -> int:
    """Write every result in a ruleset's journal as CSV; return their number.

    For spreadsheets: unlike the Parquet file it cannot be replayed or imported again.

    Raises
    ------
    InvalidInputError
        If there is no result, or the file cannot be written.
    StoreError
    """
    history = History(store, ruleset)
    check_target(path)
    n_rows = 0
    with written_whole(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        for frame in history.frames():
            frame = frame.assign(symbol=frame["symbol"].map(as_cell))
            frame.to_csv(file, index=False, header=n_rows == 0)
            n_rows += len(frame)
        if not n_rows:
            raise InvalidInputError(
                f"ruleset {ruleset!r} has no result in {store.address}; known rulesets: "
                f"{', '.join(store.list_rulesets()) or 'none'}"
            )
    return n_rows
