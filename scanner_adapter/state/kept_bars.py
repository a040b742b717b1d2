"""`KeptBars`: bars that came with a scanner's results, kept for the features of the next scan.

A scanner that fetches bars inside the evaluation has none before the scan. The bars it fetched
today are kept here automatically, and order the next scan.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd

from bandit.stores.folders import state_directory
from features.errors import FeatureError
from features.inputs.bars import Bars
from features.inputs.tables import FIELDS
from scanner_adapter.jsonio import written_whole

log = logging.getLogger("scanrank")

# Two years: the longest window of a sub-score is a year of trading days.
MAX_DAYS = 520
# Rows of a file at most: 5,000 symbols over two years (some 100 MB in memory). With more symbols
# the history is shorter.
MAX_ROWS = 2_600_000
# A symbol without a new bar for this many days is dropped: delisted, or no longer scanned.
_FORGOTTEN_DAYS = 60
# Closes of one day that differ by a larger share were adjusted for a split or dividend in between.
_SAME = 0.005


class KeptBars:
    """The bars of one ruleset's scans.

    Parameters
    ----------
    path : Path or None
        Parquet file; None keeps the bars in memory only.

    Notes
    -----
    Not thread-safe: used under the ranker's lock. The file is replaced as a whole; if two processes
    write at the same time, the later one wins.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._bars: Bars | None = None
        self._written_at = 0
        self._new: dict[str, object] = {}

    @classmethod
    def beside(cls, address: str, ruleset: str) -> KeptBars:
        """Return the bars kept beside the store's file, else in the user's state directory."""
        if address.startswith("memory://"):
            return cls(None)
        if address.startswith("sqlite://"):
            folder = Path(unquote(address.removeprefix("sqlite://")) + "-bars")
        else:
            digest = hashlib.sha256(address.encode()).hexdigest()[:16]
            folder = state_directory() / "bars" / digest
        return cls(folder / f"{ruleset}.parquet")

    def add(self, symbol: str, frame: object) -> None:
        """Add the bars of one symbol, in any layout that `Bars.from_frame` reads."""
        self._new[symbol] = frame.tail(MAX_DAYS) if isinstance(frame, pd.DataFrame) else frame

    def known_by(self, day: np.datetime64) -> Bars | None:
        """Return the bars up to a day; None if there are none."""
        bars = self._load()
        if bars is None or bars.dates[0] > day:
            return None
        return bars.until(day)

    def save(self) -> None:
        """Merge the bars added since the last call into the kept ones, and write them."""
        new, self._new = self._new, {}
        if not new:
            return
        read = _read(new)
        if not read:
            return
        self._bars = _bounded(_merged(self._load(), read))
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(self.path) as beside:
            _table(self._bars).to_parquet(beside, index=False, compression="zstd")
        self._written_at = self.path.stat().st_mtime_ns

    def _load(self) -> Bars | None:
        if self.path is None or not self.path.exists():
            return self._bars
        written_at = self.path.stat().st_mtime_ns
        if written_at != self._written_at:
            try:
                self._bars = _aligned(pd.read_parquet(self.path))
            except (OSError, ValueError, KeyError) as error:
                log.warning(
                    "kept bars %s cannot be read and are started again: %s", self.path, error
                )
                self._bars = None
            self._written_at = written_at
        return self._bars


def _read(frames: Mapping[str, object]) -> list[Bars]:
    """Read frames, those of one layout together: one by one takes ten milliseconds each."""
    alike: defaultdict[tuple[str, ...], dict[str, pd.DataFrame]] = defaultdict(dict)
    tables: list[dict[str, object]] = []
    for symbol, frame in frames.items():
        if isinstance(frame, pd.DataFrame) and _is_plain(frame):
            alike[(*map(str, frame.columns), str(frame.index.dtype))][symbol] = frame
        else:
            tables.append({symbol: frame})
    read, n_bad, first = [], 0, ""
    for group in alike.values():
        table = pd.concat(group, names=["symbol", "date"])
        if isinstance(next(iter(group.values())).index, pd.DatetimeIndex):
            table = table.reset_index()
        else:  # dates in a column, row numbers in the index
            table = table.reset_index(level=0).reset_index(drop=True)
        try:
            read.append(Bars.from_frame(table, on_bad="skip"))
        except FeatureError:  # one of them is invalid: read them one by one
            tables += [{symbol: frame} for symbol, frame in group.items()]
    for each in tables:
        try:
            read.append(Bars.from_frame(each, on_bad="skip"))
        except FeatureError as error:
            n_bad, first = n_bad + 1, first or f"{next(iter(each))}: {error}"
    if n_bad:
        log.warning("bars of %d results cannot be read and are not kept; %s", n_bad, first)
    return read


def _is_plain(frame: pd.DataFrame) -> bool:
    """Whether a frame holds one symbol's bars without its name, with dates as index or column."""
    names = {str(name).lower() for name in frame.columns}
    is_dated = isinstance(frame.index, pd.DatetimeIndex)
    return (
        frame.columns.nlevels == 1
        and not {"symbol", "ticker"} & names
        and is_dated != ("date" in names)
        and (is_dated or isinstance(frame.index, pd.RangeIndex))
    )


def _merged(old: Bars | None, new: Iterable[Bars]) -> Bars:
    """Return each symbol's new bars, preceded by the old ones if both agree where they meet."""
    tables = [_table(bars) for bars in new]
    if old is not None:
        latest = _table(old)
        fresh = pd.concat(tables, ignore_index=True).drop_duplicates(["symbol", "date"])
        starts = fresh.groupby("symbol", sort=False).first()[["date", "close"]]
        before = latest.merge(starts, left_on="symbol", right_index=True, how="left",
                              suffixes=("", "_new"))  # fmt: skip
        meets = before[before["date"] == before["date_new"]]
        agrees = (meets["close"] / meets["close_new"] - 1.0).abs() <= _SAME
        kept = set(meets["symbol"][agrees])
        is_untouched = before["date_new"].isna()
        is_older = before["symbol"].isin(kept) & (before["date"] < before["date_new"])
        tables.append(latest[(is_untouched | is_older).to_numpy()])
    return _aligned(pd.concat(tables, ignore_index=True).drop_duplicates(["symbol", "date"]))


def _bounded(bars: Bars) -> Bars:
    """Return the bars to keep: a bounded number of days, without dropped symbols."""
    last = np.where(bars.mask, bars.dates[:, None], bars.dates[0]).max(axis=0)
    is_kept = last >= bars.dates[-1] - np.timedelta64(_FORGOTTEN_DAYS, "D")
    symbols = [symbol for symbol, kept in zip(bars.symbols, is_kept, strict=True) if kept]
    n_days = min(MAX_DAYS, max(MAX_ROWS // len(symbols), 1))
    table = _table(bars.select(symbols))
    return _aligned(table[table["date"] >= bars.dates[-n_days:][0]])


def _table(bars: Bars) -> pd.DataFrame:
    """Return bars as a tidy table, by symbol and day."""
    column, row = np.nonzero(bars.mask.T)
    return pd.DataFrame(
        {
            "date": bars.dates[row],
            "symbol": np.array(bars.symbols, object)[column],
            **{name: getattr(bars, name)[row, column] for name in FIELDS},
        }
    )


def _aligned(table: pd.DataFrame) -> Bars:
    """Return a table made by `_table` as the same bars, bit for bit, without checking it again."""
    dates, row = np.unique(table["date"].to_numpy("datetime64[D]"), return_inverse=True)
    column, symbols = pd.factorize(table["symbol"], sort=True)
    arrays = []
    for name in FIELDS:
        array = np.full((dates.size, len(symbols)), np.nan)
        array[row, column] = table[name].to_numpy(np.float64)
        arrays.append(array)
    return Bars(dates, tuple(map(str, symbols)), *arrays)
