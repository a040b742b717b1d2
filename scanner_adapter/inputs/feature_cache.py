"""Cache of features computed from bars: in memory, and on disk for the next process.

Several rulesets scan one universe, workers share a scan, and a scanner that starts every five
minutes reads the same bars all day. Features depend on their inputs alone, so they are kept under
the inputs' fingerprint.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from features.inputs.bars import Bars
from features.inputs.events import Events
from scanner_adapter.inputs.disk_cache import DiskCache, cache_folder, fingerprint

Columns = tuple[tuple[str, ...], NDArray[np.float32]]  # names, and values (n_symbols, n_columns)

_KEEP = 8
# Larger arrays are not kept: those of a million symbols take 300 MB.
_MOST_BYTES = 32 << 20
# With fewer symbols no file is written: their features take a tenth of a second.
_LEAST_ON_DISK = 1_000

_kept: OrderedDict[str, Columns] = OrderedDict()
_lock = threading.Lock()


def kept(key: str, compute: Callable[[], Columns]) -> Columns:
    """Return what `compute` returned for the same key before, here or in another process.

    Parameters
    ----------
    key : str
        Fingerprint of everything that the values depend on, see `key_of`.
    """
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
    disk = DiskCache(key, cache_folder() / "features", keep=_KEEP)
    names, values = disk.read("names"), disk.read("values")
    if names is not None and values is not None:
        found = tuple(map(str, names)), np.asarray(values, np.float32)
    else:
        found = compute()
        if found[1].nbytes > _MOST_BYTES:
            return found
        if len(found[1]) > _LEAST_ON_DISK:
            disk.write("names", np.array(found[0], str))
            disk.write("values", found[1])
    with _lock:
        _kept[key] = found
        while len(_kept) > _KEEP:
            _kept.popitem(last=False)
    return found


def key_of(bars: Bars, events: Events | None, sectors: Mapping[str, str] | None) -> str:
    """Fingerprint of everything that features are computed from."""
    tables = [] if events is None else [events.earnings, events.ratings, events.news]
    known = [table for table in tables if table is not None]
    words = json.dumps(
        [
            bars.symbols,
            sorted((sectors or {}).items()),
            [None if table is None else (table.symbols, list(table.columns)) for table in tables],
        ]
    )
    prices = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    facts = [array for table in known for array in (table.code, table.day, *table.columns.values())]
    return fingerprint([words, bars.dates.astype(np.int64), *prices, *facts])
