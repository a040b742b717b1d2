"""Bars that a scanner handed over with its results, kept for the features of the next scan.

A scanner that fetches inside the evaluation has no bars before the scan. What it fetched today is
what the next scan's order rests on, without anybody keeping it.
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
# Rows that a file holds at most, 5,000 symbols over two years (some 100 MB in memory): with more
# symbols it reaches less far back.
MAX_ROWS = 2_600_000
# A symbol without a new bar for so many days is forgotten: delisted, or not scanned any more.
_FORGOTTEN_DAYS = 60
# Closes of one day that differ by more were adjusted for a split or dividend in between.
_SAME = 0.005


class KeptBars:
    """The bars of one ruleset's scans.

    Parameters
    ----------
    path : Path or None
        Parquet file, None = in memory only.

    Notes
    -----
    Not thread-safe: used under the ranker's lock. The file is replaced as a whole; of two processes
    that write at the same time the later one stands.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._bars: Bars | None = None
        self._written_at = 0
        self._new: dict[str, object] = {}

    @classmethod
    def beside(cls, address: str, ruleset: str) -> KeptBars:
        """Keep bars beside the store at `address`: its file, else the user's state directory."""
        if address.startswith("memory://"):
            return cls(None)
        if address.startswith("sqlite://"):
            folder = Path(unquote(address.removeprefix("sqlite://")) + "-bars")
        else:
            digest = hashlib.sha256(address.encode()).hexdigest()[:16]
            folder = state_directory() / "bars" / digest
        return cls(folder / f"{ruleset}.parquet")

    def add(self, symbol: str, frame: object) -> None:
        """Take the bars of one symbol, in any layout that `Bars.from_frame` reads."""
        self._new[symbol] = frame.tail(MAX_DAYS) if isinstance(frame, pd.DataFrame) else frame

    def known_by(self, day: np.datetime64) -> Bars | None:
        """Return the bars up to a day; None where there are none."""
        bars = self._load()
        if bars is None or bars.dates[0] > day:
            return None
        return bars.until(day)

    def save(self) -> None:
        """Put the bars that were added since the last time beside those kept before."""
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
                log.warning("kept bars %s cannot be read, and are begun anew: %s", self.path, error)
                self._bars = None
            self._written_at = written_at
        return self._bars


def _read(frames: Mapping[str, object]) -> list[Bars]:
    """Read frames, those of one layout at once: one by one takes ten milliseconds each."""
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
        else:  # dates in a column, and numbers of rows
            table = table.reset_index(level=0).reset_index(drop=True)
        try:
            read.append(Bars.from_frame(table, on_bad="skip"))
        except FeatureError:  # one of them spoils the rest
            tables += [{symbol: frame} for symbol, frame in group.items()]
    for each in tables:
        try:
            read.append(Bars.from_frame(each, on_bad="skip"))
        except FeatureError as error:
            n_bad, first = n_bad + 1, first or f"{next(iter(each))}: {error}"
    if n_bad:
        log.warning("bars of %d results cannot be read, and are not kept; %s", n_bad, first)
    return read


def _is_plain(frame: pd.DataFrame) -> bool:
    """Whether a frame holds one symbol's bars, without its name, under or beside their dates."""
    names = {str(name).lower() for name in frame.columns}
    is_dated = isinstance(frame.index, pd.DatetimeIndex)
    return (
        frame.columns.nlevels == 1
        and not {"symbol", "ticker"} & names
        and is_dated != ("date" in names)
        and (is_dated or isinstance(frame.index, pd.RangeIndex))
    )


def _merged(old: Bars | None, new: Iterable[Bars]) -> Bars:
    """Return the new bars of each symbol, with the older ones before them where both agree."""
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
    """Return what is kept of bars: not too many days, and no symbol that has gone."""
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
    """Return a table of `_table` as bars, to the bit: it was checked when it was read."""
    dates, row = np.unique(table["date"].to_numpy("datetime64[D]"), return_inverse=True)
    column, symbols = pd.factorize(table["symbol"], sort=True)
    arrays = []
    for name in FIELDS:
        array = np.full((dates.size, len(symbols)), np.nan)
        array[row, column] = table[name].to_numpy(np.float64)
        arrays.append(array)
    return Bars(dates, tuple(map(str, symbols)), *arrays)
