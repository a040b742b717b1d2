"""A ruleset's journal as a Parquet file: for analysis, for replays, and to move to another store.

One row per reported symbol, and one per opening or closing of a scan, in journal order:

    position, kind ("open", "report", "close"), scan_id, header (JSON)
    symbol, reward, rating, probability, propensity, is_random, is_signal    null in other kinds
    batch, place     number of its batch, place in the universe
    context, rows    lists; their names are `columns` and `row_columns` in the header
    group, loading   lists; see `scanner_adapter.inputs.loadings`

The export is complete: imported into an empty ruleset, the journal folds to the same belief, bit
for bit. Numbers have at least the precision of the journal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bandit.errors import CorruptStateError, InvalidInputError
from bandit.stores import Entry, Store
from bandit.stores.entries import sealed_again
from scanner_adapter.jsonio import check_target, written_whole
from scanner_adapter.state.copying import append_all
from scanner_adapter.state.schema import check_entry

FORMAT = 1
_KEY = b"scanrank.journal"  # in the file's metadata: format and ruleset

_NUMBERS = {
    "reward": np.float64,
    "rating": np.float64,
    "probability": np.float64,
    "propensity": np.float64,
    "is_random": np.uint8,
    "is_signal": np.float32,
    "batch": np.uint32,
    "place": np.uint32,
}
_LISTS = {"context": np.float32, "rows": np.float32, "group": np.uint16, "loading": np.float32}
_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("position", "kind", "scan_id", "header", "symbol")),
        *((name, pa.from_numpy_dtype(dtype)) for name, dtype in _NUMBERS.items()),
        *((name, pa.list_(pa.from_numpy_dtype(dtype))) for name, dtype in _LISTS.items()),
    ]
)
_ENTRIES_AT_A_TIME = 128  # some 6,000 rows of 60 numbers: about 2 MB a row group


def export_journal(store: Store, ruleset: str, path: Path) -> int:
    """Write a ruleset's journal to a Parquet file; return its number of entries.

    The file appears under its name only when it is complete.

    Raises
    ------
    InvalidInputError
        If the journal is empty, or holds an array that the format has no column for.
    StoreError
        If the journal cannot be read.
    """
    metadata = json.dumps({"format": FORMAT, "ruleset": ruleset}).encode()
    schema = _SCHEMA.with_metadata({_KEY: metadata})
    check_target(path)
    n_entries = 0
    with written_whole(path) as beside:
        with pq.ParquetWriter(beside, schema, compression="zstd") as writer:
            entries = store.read(ruleset)
            while page := list(islice(entries, _ENTRIES_AT_A_TIME)):
                rows = pa.concat_tables([_table(entry) for entry in page])
                writer.write_table(rows, row_group_size=len(rows))  # never splits an entry
                n_entries += len(page)
        if n_entries == 0:
            raise InvalidInputError(
                f"ruleset {ruleset!r} has no journal in {store.address}; known rulesets: "
                f"{', '.join(store.list_rulesets()) or 'none'}"
            )
    return n_entries


def import_journal(store: Store, ruleset: str, path: Path) -> int:
    """Append an exported journal to an empty ruleset; return the number of new entries.

    After an interruption it can be called again: no entry is appended twice.

    Raises
    ------
    InvalidInputError
        If the file is not a journal export, or the ruleset holds scans that the file does not: two
        histories cannot be merged.
    """
    scans = set()
    for entry in read_journal(path):  # the whole file, before anything is appended
        try:
            check_entry(entry, ruleset)
            sealed_again(entry)
        except (CorruptStateError, InvalidInputError) as err:
            raise InvalidInputError(f"{path} cannot be imported: {err}") from err
        scans.add(entry.scan_id)
    return len(append_all(store, ruleset, read_journal(path), scans))


def read_journal(path: Path) -> Iterator[Entry]:
    """Yield the entries of an exported journal, in order, holding one row group at a time."""
    file = _open(path)
    for group in range(file.num_row_groups):
        frame = file.read_row_group(group)
        positions = frame["position"].to_pylist()
        first = 0
        for position, rows in groupby(positions):
            n = sum(1 for _ in rows)
            try:
                yield _entry(position, frame.slice(first, n))
            except (ValueError, TypeError, KeyError, pa.ArrowException) as err:
                raise InvalidInputError(
                    f"{path}: entry {str(position)[:40]!r} cannot be read ({err}); expected an "
                    "unmodified file from `scanrank journal export`"
                ) from err
            first += n


def is_journal(path: Path) -> bool:
    """Whether a Parquet file is an exported journal."""
    return _KEY in (pq.read_schema(path).metadata or {})


def is_parquet(path: Path) -> bool:
    """Whether a file is a Parquet file, by its first bytes."""
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def logged_ratings(path: Path) -> pd.DataFrame:
    """Return the rows of an exported journal for a replay.

    Returns
    -------
    DataFrame
        date, symbol, rating, signal, is_complete and numeric columns. The journal keeps whether a
        signal was high-value, not its text: True or False. `is_complete` is whether every symbol
        of that day's scans was scanned.

    Notes
    -----
    The date of a scan is its `as_of` day, else the UTC day of its time: an evening scan in New York
    is already on the next day in UTC, but belongs to the bars that it used. If a symbol was scanned
    twice on one day, the first rating counts, as within a scan. Failed evaluations have no rating
    and are left out.
    """
    parts = []
    days: dict[str, Any] = {}  # datetime64
    reported: dict[str, set[str]] = {}
    universe: dict[str, int] = {}
    left: dict[str, set[str] | None] = {}
    for entry in read_journal(path):
        utc = np.datetime64(0, "D") + int(entry.header["scan_time"] // 1)
        day = days.setdefault(
            entry.scan_id, np.datetime64(entry.header.get("as_of") or str(utc), "D")
        )
        if entry.kind == "open":
            universe[entry.scan_id] = int(entry.header["n_symbols"])
        elif entry.kind == "close":
            names = entry.header.get("left")
            left[entry.scan_id] = None if names is None else set(names)
        else:
            reported.setdefault(entry.scan_id, set()).update(entry.arms)
            part = pd.DataFrame(
                entry.arrays["rows"].astype(np.float64), columns=entry.header["row_columns"]
            )
            part["rating"] = entry.arrays["rating"]
            if "is_signal" in entry.arrays:
                part["signal"] = entry.arrays["is_signal"] == 1.0
            part.insert(0, "symbol", entry.arms)
            part.insert(0, "date", day.astype("datetime64[s]"))
            parts.append(part[~np.isnan(entry.arrays["rating"])])
    if not parts:
        raise InvalidInputError(f"{path} contains no reported symbol")
    ratings = pd.concat(parts, ignore_index=True).drop_duplicates(["date", "symbol"])
    seen: dict[Any, set[str]] = {}
    for scan_id, names in reported.items():
        seen.setdefault(days[scan_id], set()).update(names)
    whole = {s: d for s, d in days.items() if len(reported.get(s, ())) == universe.get(s)}
    covered: dict[Any, set[str]] = {}
    for scan_id, day in whole.items():
        covered.setdefault(day, set()).update(reported[scan_id])
    stopped: list[Any] = []
    for scan_id in days.keys() - whole.keys():
        day, rest = days[scan_id], left.get(scan_id)
        # Another scan of the day may have scanned the rest.
        is_covered = rest is not None and rest <= seen.get(day, set())
        if not is_covered and not reported.get(scan_id, set()) <= covered.get(day, set()):
            stopped.append(day)
    ratings["is_complete"] = ~np.isin(
        ratings["date"].to_numpy("datetime64[D]"), np.array(stopped, "datetime64[D]")
    )
    return ratings


def _open(path: Path) -> pq.ParquetFile:
    """Open an exported journal; raise for any other file."""
    if not path.is_file():
        raise InvalidInputError(
            f"no file {path}; expected a journal from `scanrank journal export`"
        )
    try:
        file = pq.ParquetFile(path)
        metadata = json.loads((file.schema_arrow.metadata or {}).get(_KEY, b"{}"))
    except (pa.ArrowException, ValueError) as err:
        raise InvalidInputError(f"{path} cannot be read as Parquet: {err}") from err
    if metadata.get("format") != FORMAT or not file.schema_arrow.equals(_SCHEMA):
        raise InvalidInputError(
            f"{path} is not a journal of format {FORMAT} (it says {metadata.get('format')}); "
            "expected a file from `scanrank journal export`"
        )
    return file


def _table(entry: Entry) -> pa.Table:
    n = max(len(entry.arms), 1)
    columns: dict[str, Any] = {
        "position": [entry.position] * n,
        "kind": [entry.kind] * n,
        "scan_id": [entry.scan_id] * n,
        "header": [json.dumps(entry.header, allow_nan=False)] * n,
        "symbol": list(entry.arms) or [None],
    }
    unknown = sorted(set(entry.arrays) - {*_NUMBERS, *_LISTS})
    if unknown:
        raise InvalidInputError(
            f"journal entry {entry.position} contains {unknown[0]!r}, which format {FORMAT} has no "
            "column for; export it with the version of scanrank that wrote it"
        )
    for name, dtype in {**_NUMBERS, **_LISTS}.items():
        array = entry.arrays.get(name)
        columns[name] = pa.nulls(n, _SCHEMA.field(name).type) if array is None else _column(
            name, _cast_exactly(array, dtype, f"{name} of journal entry {entry.position}")
        )  # fmt: skip
    return pa.table(columns, schema=_SCHEMA)


def _column(name: str, array: NDArray[Any]) -> pa.Array:
    if name in _NUMBERS:
        return pa.array(array, from_pandas=False)
    offsets = np.arange(len(array) + 1, dtype=np.int32) * array.shape[1]
    return pa.ListArray.from_arrays(offsets, pa.array(array.ravel(), from_pandas=False))


def _cast_exactly(array: NDArray[Any], dtype: type, what: str) -> NDArray[Any]:
    if not np.can_cast(array.dtype, dtype, "safe"):
        raise InvalidInputError(
            f"{what} is {array.dtype}; format {FORMAT} expects {dtype.__name__}"
        )
    return np.asarray(array, dtype)


def _entry(position: str, rows: pa.Table) -> Entry:
    kind, scan_id, header = (rows[name][0].as_py() for name in ("kind", "scan_id", "header"))
    arrays: dict[str, NDArray[Any]] = {}
    arms: tuple[str, ...] = ()
    if kind == "report":
        arms = tuple(rows["symbol"].to_pylist())
        known = [name for name in rows.column_names if rows[name].null_count == 0]
        arrays = {name: rows[name].to_numpy() for name in _NUMBERS if name in known}
        for name in _LISTS:
            if name in known:
                flat = rows[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
                arrays[name] = flat.reshape(len(arms), -1)
    loaded: Mapping[str, Any] = json.loads(header)
    return Entry(position, kind, scan_id, dict(loaded), arrays, arms)
