"""Entries, snapshots and files that are well made and mean nothing: each is refused by its place.

Whoever can write to a store can make blobs with our checksum. `forged` changes one thing of a real
one; whatever it is, the error is one of ours, nothing is learned, `check` names the place, and
`repair` leaves a ruleset that goes on.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bandit.errors import BanditError, StoreError
from bandit.stores.codec import encode
from bandit.stores.entries import Sealed, sealed_again
from bandit.stores.sqlite.store import SqliteStore
from scanner_adapter import SymbolRanker
from scanner_adapter.state.check import check, repair
from scanner_adapter.state.parquet import export_journal, import_journal

SYMBOLS = [f"S{n:02d}" for n in range(20)]
CONTEXT = (["market.a", "technical.b"], np.linspace(0.0, 100.0, 40).reshape(20, 2))

junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.lists(st.one_of(st.integers(-3, 3), st.text(max_size=3), st.none()), max_size=5),
    st.dictionaries(st.text(max_size=3), st.one_of(st.integers(), st.text(max_size=3)), max_size=3),
    st.sampled_from([1e308, -1e308, [[1.0]], [["a", "b"]], {"x": {"y": 1}}, ["a", "a"]]),
)
dtypes = st.sampled_from(["f4", "f8", "i8", "u1", "?", "S3", "U2"])
shapes = st.lists(st.integers(0, 21), max_size=3).map(tuple)


def scanned(n: int = 2) -> SqliteStore:
    store = SqliteStore()
    ranker = SymbolRanker.open(store, ruleset="r", seed=1)
    for day in range(n):
        with ranker.start_scan(SYMBOLS, context=CONTEXT, scan_id=f"day{day}") as scan:
            while batch := scan.next_batch(8):
                scan.report({symbol: float(int(symbol[1:]) % 7) for symbol in batch})
    return store


STORE = scanned()
ENTRIES = list(STORE.read("r"))[-5:]
SNAPSHOT = STORE.load_snapshot("r")
assert SNAPSHOT is not None


@st.composite
def forged(draw: st.DrawFn, header: dict[str, Any], arrays: dict[str, Any]) -> tuple[Any, Any]:
    header, arrays = deepcopy(header), dict(arrays)
    names = sorted(arrays)
    what = draw(st.sampled_from(["value", "item", "missing", "array", "values", "absent"]))
    if what in ("array", "values", "absent") and names:
        name = draw(st.sampled_from(names))
        if what == "absent":
            del arrays[name]
        elif what == "array":
            array = np.zeros(draw(shapes), np.dtype(draw(dtypes)))
            arrays[name] = array if array.dtype.itemsize else arrays[name]
        elif arrays[name].dtype.kind in "fiu" and arrays[name].size:
            changed = arrays[name].copy()
            odd = [-1, 0, 99] if changed.dtype.kind in "iu" else [np.nan, np.inf, -1e30, 2.0]
            value = draw(st.sampled_from(odd))
            with np.errstate(all="ignore"):
                changed.reshape(-1)[draw(st.integers(0, changed.size - 1))] = np.array(
                    value
                ).astype(changed.dtype)
            arrays[name] = changed
        return header, arrays
    key = draw(st.sampled_from(sorted(header)))
    if what == "missing":
        del header[key]
    elif what == "item" and isinstance(header[key], list) and header[key]:
        header[key][draw(st.integers(0, len(header[key]) - 1))] = draw(junk)
    else:
        header[key] = draw(junk)
    return header, arrays


def opens(store: SqliteStore) -> SymbolRanker | None:
    """Open, and scan; anything but an error of ours fails the test."""
    try:
        ranker = SymbolRanker.open(store, ruleset="r", seed=1)
        with ranker.start_scan(SYMBOLS, context=CONTEXT) as scan:
            while batch := scan.next_batch(8):
                scan.report(dict.fromkeys(batch, 1.0))
    except StoreError:
        return None
    assert scan.failure is None
    return ranker


def expect_repaired(store: SqliteStore, folder: Path) -> None:
    """`check` says what is wrong if opening was refused, and `repair` cures it."""
    before = check(store, "r")
    ranker = opens(store)
    if ranker is None:
        assert before.problems
    assert not (before.is_sound and ranker is None)
    repair(store, check(store, "r"), folder)
    repair(store, check(store, "r"), folder / "second")
    assert check(store, "r").is_sound
    assert opens(store) is not None


@settings(suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_forged_entries(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    store = scanned(1)
    entry = data.draw(st.sampled_from(ENTRIES))
    header, arrays = data.draw(forged(entry.header, entry.arrays))
    envelope = {
        "entry": 1, "kind": entry.kind, "scan": "forged", "arms": list(entry.arms),
        "header": header,
    }  # fmt: skip
    try:
        blob = encode(envelope, arrays)
    except BanditError:
        return  # not even the codec takes it
    store.append_sealed("r", Sealed("forged", entry.kind, entry.arms, blob))
    expect_repaired(store, tmp_path_factory.mktemp("removed"))


@settings(suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_forged_snapshots(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    store = SqliteStore()
    assert SNAPSHOT is not None
    for entry in STORE.read("r"):
        store.append_sealed("r", sealed_again(entry))
    position = store.stats("r").last_position
    header, arrays = data.draw(forged(SNAPSHOT.header, SNAPSHOT.arrays))
    try:
        store.save_snapshot(
            "r", header=header, arrays=arrays, position=position, expected_version=0
        )
    except BanditError:
        return
    expect_repaired(store, tmp_path_factory.mktemp("removed"))


@settings(suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_forged_exports(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A file of the right format with other values in it: nothing of it is appended."""
    folder = tmp_path_factory.mktemp("files")
    export_journal(STORE, "r", folder / "a.parquet")
    table = pq.read_table(folder / "a.parquet")
    name = data.draw(st.sampled_from(table.column_names))
    values = table[name].to_pylist()
    row = data.draw(st.integers(0, len(values) - 1))
    other = data.draw(st.integers(0, len(values) - 1))
    values[row] = data.draw(st.sampled_from([None, values[other]]))
    column = pa.array(values, table.schema.field(name).type)
    table = table.set_column(table.column_names.index(name), table.schema.field(name), column)
    pq.write_table(table, folder / "b.parquet")
    store = SqliteStore()
    try:
        import_journal(store, "copy", folder / "b.parquet")
    except BanditError:
        assert store.list_rulesets() == []
        return
    assert list(store.problems("copy")) == []
