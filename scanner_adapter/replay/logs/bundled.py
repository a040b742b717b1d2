"""The log that comes with scanrank, so that a replay shows real figures on a machine with no data.

`scanner_adapter/data/README.md` says what is in it and where it comes from;
`tools/make_bundled_log.py` makes it. One row per symbol and day, sorted by symbol and day:

    date, symbol, rating (hundredths), signal (bool)
    s.<name>     sub-score in whole points, 255 = unknown
    c.<name>     a number of the scanner's row; the file's note says in which unit
    l.<name>     similarity loading in sixteenths

and a note in the file's metadata: format, unit of each column, sector of each symbol, and the
regime before each scan.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, time
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bandit.errors import InvalidInputError
from bandit.rewards import RewardRule, TopShare
from features.similarity import Loadings
from scanner_adapter.replay.logs.recorded import RecordedLog, RecordedScan
from scanner_adapter.replay.logs.regimes import Regime

FORMAT = 1
NAME = "scans-2019.parquet"
WARMUP = 30  # of its scans, where not said otherwise: a quarter of them

RATING_UNIT = 0.01  # the scanner rounds to hundredths
LOADING_UNIT = 1 / 16
UNKNOWN_SCORE = 255

_KEY = b"scanrank.scans"
_SCAN_TIME = time(21, 0, tzinfo=UTC)  # after the close, as in `ReplayLog`


def bundled_log(rule: RewardRule | None = None, *, path: Path | None = None) -> RecordedLog:
    """Read the bundled scans.

    Parameters
    ----------
    rule : RewardRule, optional
        What counts as a hit; the day's top 5 % by default.
    path : path, optional
        Another file of the same format.

    Examples
    --------
    >>> log = bundled_log()
    >>> len(log.recorded), len(log.symbols)
    (120, 397)
    """
    if path is None:
        with resources.as_file(resources.files("scanner_adapter") / "data" / NAME) as file:
            return _read(file, rule or TopShare())
    return _read(path, rule or TopShare())


def write_log(log: RecordedLog, path: Path, *, column_units: dict[str, float]) -> None:
    """Write recorded scans in the format of the bundled log, rounded to its units.

    Parameters
    ----------
    log : RecordedLog
        At most one scan a day; all with the same columns and one high-value signal word.
    path : path
    column_units : mapping of str to float
        The scanner's numeric columns to keep, and the unit in which each is rounded to int8.
    """
    scans = log.recorded
    first = scans[0]
    columns: dict[str, NDArray[Any]] = {
        "date": np.repeat(log.dates, [len(scan.symbols) for scan in scans]),
        "symbol": np.concatenate([np.array(scan.symbols) for scan in scans]),
        "rating": _rounded(np.concatenate([s.rating for s in scans]), RATING_UNIT, np.int16),
        "signal": np.concatenate([scan.signal >= 0 for scan in scans]),
    }
    for j, name in enumerate(first.sub_score_names):
        score = np.concatenate([scan.sub_scores[:, j] for scan in scans])
        known = np.nan_to_num(score, nan=UNKNOWN_SCORE)
        columns[f"s.{name}"] = np.rint(known).astype(np.uint8)
    for name, unit in column_units.items():
        column = np.concatenate([scan.columns[name] for scan in scans])
        columns[f"c.{name}"] = _rounded(column, unit, np.int8)
    for j, name in enumerate(first.loadings.names):
        loading = np.concatenate([scan.loadings.values[:, j] for scan in scans])
        columns[f"l.{name}"] = _rounded(loading, LOADING_UNIT, np.int8)
    note = {
        "format": FORMAT,
        "units": column_units,
        "signal": first.signal_names[0],
        "sectors": dict(log.sectors),
        "regimes": [list(scan.regime) for scan in scans],
    }
    order = np.lexsort((columns["date"], columns["symbol"]))
    table = pa.table({name: values[order] for name, values in columns.items()})
    table = table.replace_schema_metadata({_KEY: json.dumps(note).encode()})
    pq.write_table(table, path, compression="zstd", compression_level=22, use_dictionary=True)


def _rounded(values: NDArray[np.floating], unit: float, dtype: type) -> NDArray[Any]:
    bounds = np.iinfo(dtype)
    return np.asarray(np.clip(np.rint(values / unit), bounds.min, bounds.max), dtype)


def _read(path: Path, rule: RewardRule) -> RecordedLog:
    try:
        table = pq.read_table(path)
        note = json.loads((table.schema.metadata or {}).get(_KEY, b"{}"))
    except (OSError, ValueError, pa.ArrowException) as err:
        raise InvalidInputError(f"{path} cannot be read as a log of scans: {err}") from err
    if note.get("format") != FORMAT:
        raise InvalidInputError(
            f"{path} is not a log of scans of format {FORMAT} (it says {note.get('format')}); this "
            "scanrank includes its own log"
        )
    day = table["date"].to_numpy().astype("datetime64[D]")
    symbols = np.array(table["symbol"].to_pylist(), dtype=object)
    names = table.column_names
    score_names = [name[2:] for name in names if name.startswith("s.")]
    loading_names = tuple(name[2:] for name in names if name.startswith("l."))
    scores = np.column_stack([table[f"s.{name}"].to_numpy() for name in score_names])
    sub_scores = np.where(scores == UNKNOWN_SCORE, np.nan, scores).astype(np.float32)
    loadings = np.column_stack([table[f"l.{name}"].to_numpy() for name in loading_names])
    loadings = (loadings * LOADING_UNIT).astype(np.float32)
    rating = table["rating"].to_numpy() * RATING_UNIT
    signal = np.where(table["signal"].to_numpy(), 0, -1).astype(np.int8)
    columns = {
        name: (table[f"c.{name}"].to_numpy() * unit).astype(np.float32)
        for name, unit in note["units"].items()
    }
    scans = []
    for date, regime in zip(np.unique(day), note["regimes"], strict=True):
        rows = np.flatnonzero(day == date)
        scans.append(
            RecordedScan(
                now=datetime.combine(date.item(), _SCAN_TIME),
                symbols=tuple(symbols[rows]),
                sub_score_names=tuple(score_names),
                sub_scores=sub_scores[rows],
                loadings=Loadings(loading_names, loadings[rows]),
                rating=rating[rows],
                signal=signal[rows],
                signal_names=(note["signal"],),
                columns={name: values[rows] for name, values in columns.items()},
                regime=Regime(*regime),
            )
        )
    return RecordedLog(tuple(scans), rule, note["sectors"])
