"""Blobs: what goes in comes out, and nothing else is ever taken for ours."""

from __future__ import annotations

import json
import struct
import unicodedata
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bandit.checks import as_arms
from bandit.errors import CorruptStateError, IncompatibleStateError, InvalidInputError
from bandit.stores.codec import FORMAT_VERSION, MAX_DEPTH, decode, encode
from bandit.stores.entries import ENTRY_VERSION, decode_entry, seal_event, seal_report, unseal
from bandit.stores.names import check_name, position_key
from bandit.stores.notes import dump_note, load_note
from bandit.stores.snapshots import decode_snapshot, encode_snapshot

GOLDEN = Path(__file__).parents[1] / "golden"

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(10**18), 10**18) | text
scalars |= st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=20
)
headers = st.dictionaries(text, json_values, max_size=5)
dtypes = st.sampled_from(
    [
        "?",
        "i1",
        "u1",
        "<i2",
        ">i2",
        "<u4",
        ">u4",
        "<i8",
        "f2",
        "<f4",
        ">f4",
        "f8",
        "S5",
        "<U4",
        ">U4",
    ]
)
arrays = dtypes.flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0),
        elements=st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
        if "U" in dtype
        else None,
    )
)
names = st.text("abcdefgh_.", min_size=1, max_size=8)


def forge(envelope: Any, body: bytes = b"", version: int = FORMAT_VERSION) -> bytes:
    """A blob with a valid frame and checksum around whatever a forger likes."""
    raw = envelope if isinstance(envelope, bytes) else json.dumps(envelope).encode()
    raw += b" " * (-len(raw) % 8)
    blob = struct.pack("<4sHHQQ", b"scrk", version, 0, len(raw), 24 + len(raw) + len(body) + 8)
    blob += raw + body
    return blob + struct.pack("<Q", zlib.crc32(blob))


def test_half_a_surrogate_pair_is_refused_before_it_is_written() -> None:
    with pytest.raises(InvalidInputError, match="array 'arms' contains an unpaired surrogate"):
        encode({}, {"arms": np.array(["A", "\ud800"])})


@given(headers, st.dictionaries(names, arrays, max_size=4))
def test_what_goes_in_comes_out(header: dict[str, Any], arrays: dict[str, Any]) -> None:
    got_header, got = decode(encode(header, arrays), where="here")
    assert got_header == header
    assert list(got) == list(arrays)
    for name, array in arrays.items():
        assert got[name].shape == array.shape
        assert got[name].dtype == array.dtype.newbyteorder("<")
        np.testing.assert_array_equal(got[name], array)
        assert not got[name].flags.writeable


@given(arrays)
def test_any_memory_layout_goes_in(array: np.ndarray[Any, Any]) -> None:
    turned = array.T
    np.testing.assert_array_equal(decode(encode({}, {"a": turned}), where="")[1]["a"], turned)


def test_arrays_are_aligned() -> None:
    """Numpy is slow on unaligned data: every array starts at a multiple of 8 in its blob."""
    blob = encode({"x": "y"}, {"a": np.zeros(3, "?"), "b": np.ones(2), "c": np.ones(1, "f4")})
    got = decode(blob, where="")[1]
    assert all(array.flags.aligned for array in got.values())


@pytest.mark.parametrize("n", [10, 100_000])
def test_small_and_large_arrays_take_different_paths_to_the_same_bytes(n: int) -> None:
    array = np.random.default_rng(0).normal(size=(n, 2))
    np.testing.assert_array_equal(decode(encode({}, {"a": array}), where="")[1]["a"], array)
    np.testing.assert_array_equal(
        decode(encode({}, {"a": np.asfortranarray(array)}), where="")[1]["a"], array
    )


@given(st.binary(max_size=300))
def test_foreign_bytes_are_refused(blob: bytes) -> None:
    with pytest.raises(CorruptStateError, match=r"^the key"):
        decode(blob, where="the key")


@given(st.data())
def test_a_flipped_bit_is_noticed(data: st.DataObject) -> None:
    blob = bytearray(encode({"a": [1, "é"]}, {"x": np.arange(5.0), "s": np.array(["ab"])}))
    bit = data.draw(st.integers(0, 8 * len(blob) - 1))
    blob[bit // 8] ^= 1 << bit % 8
    with pytest.raises((CorruptStateError, IncompatibleStateError), match=r"^the key"):
        decode(bytes(blob), where="the key")


@given(st.data())
def test_a_cut_or_lengthened_blob_is_noticed(data: st.DataObject) -> None:
    blob = encode({"a": 1}, {"x": np.arange(5.0)})
    cut = data.draw(st.integers(0, len(blob) - 1))
    with pytest.raises(CorruptStateError):
        decode(blob[:cut], where="")
    with pytest.raises(CorruptStateError):
        decode(blob + data.draw(st.binary(min_size=1, max_size=20)), where="")


@given(json_values, json_values, st.binary(max_size=64))
def test_forged_headers_are_refused_or_read(header: Any, specs: Any, body: bytes) -> None:
    """With a valid checksum around it: still no exception but ours."""
    try:
        got = decode(forge({"header": header, "arrays": specs}, body), where="the key")
    except CorruptStateError as err:
        assert str(err).startswith("the key")  # noqa: PT017
    else:
        assert got == (header, {})
        assert specs == []
        assert body == b""


shapes = st.lists(
    st.sampled_from([0, 1, 2, 7, 2**31, 2**63, 10**30, -1, 1.5, True, None, "1"]), max_size=6
)
specs = st.tuples(
    st.sampled_from(["a", "", "a\n", "b" * 200, "\x00", 3]),
    st.sampled_from(["<f4", "|b1", "<U3", "|S2", ">f4", "|O", "|V8", "<M8[s]", "<U0", "f8,f8", 7]),
    shapes,
)


@given(st.lists(specs, max_size=3), st.binary(max_size=64))
def test_forged_array_descriptions_allocate_nothing(forged: Any, body: bytes) -> None:
    """Huge, negative, fractional, object and structured: refused; what is read is in the blob."""
    body += bytes(-len(body) % 8)
    try:
        _, got = decode(forge({"header": {}, "arrays": forged}, body), where="the key")
    except CorruptStateError:
        return
    assert sum(array.nbytes for array in got.values()) <= len(body)
    for array in got.values():
        array.tolist()  # no item that numpy cannot read


@pytest.mark.parametrize(
    "envelope",
    [
        b'{"header": {"x": NaN}, "arrays": []}',
        b'{"header": {"x": Infinity}, "arrays": []}',
        b'{"header": {"x": 1e999}, "arrays": []}',
        b'{"header": {"x": "\\ud800"}, "arrays": []}',
        b'{"header": {"x": 1, "x": 2}, "arrays": []}',
        b'{"header": {}, "arrays": [], "more": 1}',
        b'{"header": {"x": ' + b"9" * 5000 + b'}, "arrays": []}',
        b'{"header": ' + b'{"x":' * 100_000 + b"1" + b"}" * 100_000 + b', "arrays": []}',
        b'{"header": ' + b'{"x":' * 40 + b"1" + b"}" * 40 + b', "arrays": []}',
        b'{"header": {}, "arrays": ' + b"[" * 900 + b"]" * 900 + b"}",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b"__import__('os').system('true')",
    ],
    ids=lambda raw: raw[:40],
)
def test_hostile_json_is_refused(envelope: bytes) -> None:
    with pytest.raises(CorruptStateError, match=r"^the key"):
        decode(forge(envelope), where="the key")


def test_a_newer_format_is_refused_by_its_number() -> None:
    with pytest.raises(IncompatibleStateError, match="format 7, but this scanrank reads up to 1"):
        decode(forge({"header": {}, "arrays": []}, version=7), where="the key")


@pytest.mark.parametrize(
    ("header", "arrays", "word"),
    [
        ({"x": float("inf")}, {}, "inf"),
        ({"x": np.float32(1)}, {}, "float32"),
        ({"x": {1: 2}}, {}, "key 1"),
        ({"x": b"raw"}, {}, "bytes"),
        ({"x": "\ud800"}, {}, "Unicode"),
        ({}, {"a": np.array([object()])}, "dtype"),
        ({}, {"a": np.array(["2020"], dtype="M8[Y]")}, "dtype"),
        ({}, {"a": np.zeros((1,) * 5)}, "dimensions"),
        ({}, {"": np.zeros(1)}, "array name"),
        ({}, {f"a{n}": np.zeros(1) for n in range(1025)}, "1025 arrays"),
    ],
)
def test_what_cannot_be_stored_is_refused(header: Any, arrays: Any, word: str) -> None:
    with pytest.raises(InvalidInputError, match=word):
        encode(header, arrays)


def test_nesting_is_bounded_on_both_ways() -> None:
    value: Any = 1
    for _ in range(MAX_DEPTH):
        value = [value]
    header, _ = decode(encode({"x": value}, {}), where="")
    assert header == {"x": value}
    with pytest.raises(InvalidInputError, match="deeper"):
        encode({"x": [[[value]]]}, {})


# -- entries, snapshots, control notes


@given(st.lists(names, min_size=1, max_size=8, unique=True), st.data())
def test_a_mask_selects_rows(arms: list[str], data: st.DataObject) -> None:
    from bandit.stores.entries import write_mask

    entry = seal_report("s", arms, {"h": 1}, {"x": np.arange(len(arms))})
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=len(arms), max_size=len(arms))))
    got = decode_entry(entry.blob, "1-0", write_mask(keep), where="")
    assert got.arrays["x"].tolist() == np.flatnonzero(keep).tolist()
    assert got.arms == tuple(arm for arm, kept in zip(arms, keep, strict=True) if kept)


@given(st.binary(min_size=1, max_size=20))
def test_a_damaged_mask_is_noticed(mask: bytes) -> None:
    entry = seal_report("s", ["A", "B"], {}, {"x": np.arange(2)})
    with pytest.raises(CorruptStateError, match="mask"):
        decode_entry(entry.blob, "1-0", mask, where="")


def test_an_entry_says_where_it_belongs() -> None:
    entry = seal_report("monday", ["A", "B"], {}, {"x": np.arange(2)})
    assert unseal(entry.blob, where="") == entry
    assert entry.members == ("A", "B")
    event = seal_event("monday", "close", {}, {})
    assert unseal(event.blob, where="") == event
    assert event.members == ("close",)


def test_a_newer_entry_is_refused_by_its_position() -> None:
    blob = encode({"entry": ENTRY_VERSION + 1, "new": "field"}, {})
    with pytest.raises(IncompatibleStateError, match=r"journal entry 1-0: .*version 2, but this"):
        decode_entry(blob, "1-0", b"", where="journal entry 1-0")
    blob = encode({"snapshot": 9}, {})
    with pytest.raises(IncompatibleStateError, match="snapshot version 9"):
        decode_snapshot(blob, where="the snapshot")


@given(headers)
def test_valid_blobs_of_another_kind_are_refused(header: dict[str, Any]) -> None:
    blob = encode(header, {"x": np.arange(3)})
    with pytest.raises(CorruptStateError, match=r"^here"):
        decode_entry(blob, "1-0", b"", where="here")
    with pytest.raises(CorruptStateError, match=r"^here"):
        decode_snapshot(blob, where="here")


good = {"entry": 1, "kind": "report", "scan": "s", "arms": ["A", "B"], "header": {}}


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "drop"},
        {"kind": "open"},
        {"kind": ["report"]},
        {"arms": []},
        {"arms": ["A", "A"]},
        {"arms": ["A", "\n"]},
        {"arms": ["A", 3]},
        {"arms": ["A"]},
        {"arms": {"A": 1, "B": 2}},
        {"scan": "a}:b"},
        {"scan": 3.5},
        {"header": []},
        {"entry": "1"},
        {"entry": None},
        {"extra": 1},
    ],
    ids=str,
)
def test_forged_entries_are_refused(change: dict[str, Any]) -> None:
    arrays = {"x": np.arange(2)}
    decode_entry(encode(good, arrays), "1-0", b"", where="here")
    with pytest.raises(CorruptStateError, match=r"^here"):
        decode_entry(encode({**good, **change}, arrays), "1-0", b"", where="here")


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_notes_are_objects_or_refused(raw: bytes) -> None:
    try:
        note = load_note(raw, where="here")
    except CorruptStateError as err:
        assert str(err).startswith("here")  # noqa: PT017
    else:
        assert load_note(dump_note(note), where="here") == note


@given(st.text(max_size=70))
def test_names_that_pass_are_safe_in_keys(name: str) -> None:
    try:
        check_name("ruleset", name)
    except InvalidInputError:
        return
    assert name.isascii()
    assert not set(name) & set(":{}*?[]\\ \n\r\t\x00")


# Controls, line and paragraph separators, surrogates. Others are no harm: a soft hyphen stays.
_REFUSED = {"Cc", "Zl", "Zp", "Cs"}


@given(st.lists(st.text(max_size=70), max_size=3))
def test_arms_that_pass_survive_utf8(arms: list[str]) -> None:
    try:
        names = as_arms(arms)
    except InvalidInputError:
        return
    assert [name.encode().decode() for name in names] == arms
    assert not any(unicodedata.category(char) in _REFUSED for name in names for char in name)


@given(st.tuples(st.integers(0, 2**63), st.integers(0, 2**63)))
def test_positions_sort_as_numbers(parts: tuple[int, int]) -> None:
    assert position_key(f"{parts[0]}-{parts[1]}") == parts


# -- golden files: what a release wrote, every later one reads


def golden_entry() -> bytes:
    return seal_report(
        "2020-01-10",
        ["NVDA", "BRK.B", "株"],
        {"batch": 3, "time": 1578672000.25, "random": [False, True, False]},
        {
            "reward": np.array([0.0, 1.0, 0.25], dtype=np.float32),
            "propensity": np.array([0.5, 0.02, 1.0]),
            "context": np.array([[1.5, np.nan], [50.0, 0.0], [99.0, -0.0]], dtype=np.float32),
            "is_random": np.array([False, True, False]),
            "signal": np.array(["Long", "Avoid", ""]),
        },
    ).blob


def golden_snapshot() -> bytes:
    return encode_snapshot(
        4,
        "1578672000250-3",
        {"features": ["market.volume_surge", "technical.rsi"], "settings": {"half_life": 20.0}},
        {
            "mean": np.array([0.5, -0.25]),
            "precision": np.array([[2.0, 0.5], [0.5, 1.0]]),
            "arms": np.array([b"NVDA", b"BRK.B"]),
            "n_scans": np.array([3, 7], dtype=np.int64),
        },
    )


@pytest.mark.parametrize(
    ("name", "make"),
    [("entry-format-1.bin", golden_entry), ("snapshot-format-1.bin", golden_snapshot)],
)
def test_this_version_still_writes_what_release_0_1_wrote(name: str, make: Any) -> None:
    """Byte for byte: a change here needs a new format number and a golden file of its own."""
    assert make() == (GOLDEN / name).read_bytes()


def test_the_golden_entry_loads() -> None:
    blob = (GOLDEN / "entry-format-1.bin").read_bytes()
    entry = decode_entry(blob, "1578672000250-0", b"", where="golden")
    assert entry.scan_id == "2020-01-10"
    assert entry.arms == ("NVDA", "BRK.B", "株")
    assert entry.header["random"] == [False, True, False]
    assert entry.arrays["reward"].tolist() == [0.0, 1.0, 0.25]
    assert np.isnan(entry.arrays["context"][0, 1])
    assert entry.arrays["signal"].tolist() == ["Long", "Avoid", ""]


def test_the_golden_snapshot_loads() -> None:
    snapshot = decode_snapshot((GOLDEN / "snapshot-format-1.bin").read_bytes(), where="golden")
    assert (snapshot.version, snapshot.position) == (4, "1578672000250-3")
    assert snapshot.header["settings"] == {"half_life": 20.0}
    assert snapshot.arrays["precision"].tolist() == [[2.0, 0.5], [0.5, 1.0]]
    assert snapshot.arrays["arms"].tolist() == [b"NVDA", b"BRK.B"]
