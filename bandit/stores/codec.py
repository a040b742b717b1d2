"""Bytes <-> (JSON header, plain arrays): the one format of everything the stores keep.

Layout of a blob, all integers little-endian::

    offset  0  magic b"scrk"
            4  u16 format version, u16 zero
            8  u64 length of the JSON header, a multiple of 8 (padded with spaces)
           16  u64 length of the whole blob
           24  JSON: {"header": {...}, "arrays": [[name, dtype, [dimension, ...]], ...]}
            …  the arrays' bytes in that order, C order, each padded with zeros to a multiple of 8
           -8  u64 CRC-32 of everything before it

The checksum guards against accidents (a flipped bit, a cut file); a forger can compute any that
has no secret in it, so the checks below do not rely on it. CRC-32 runs at 2.7 GB/s here, BLAKE2b
at 0.5.

No pickle: a blob can hold numbers, truth values, fixed-width strings and strict JSON, and reading
one can execute nothing. Every length is compared with the bytes at hand before it is used, so a
hostile blob makes `decode` allocate no more than its own size.
"""

from __future__ import annotations

import json
import math
import re
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bandit.errors import CorruptStateError, IncompatibleStateError, InvalidInputError

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
Array: TypeAlias = NDArray[Any]

FORMAT_VERSION = 1
MAX_HEADER_BYTES = 64 * 2**20  # a million arm names of 64 characters still fit
MAX_DEPTH = 16  # levels of nesting in the JSON header; ours use four
MAX_ARRAYS = 1024
MAX_DIMENSIONS = 4
MAX_BYTES = 2**40  # one blob; far above any server's limit, far below any integer overflow
MAX_NAME = 128  # characters of an array's name

_MAGIC = b"scrk"
_PREFIX = struct.Struct("<4sHHQQ")
_CHECKSUM = struct.Struct("<Q")
_ENCODER = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))
_COPY_BELOW = 2**16  # bytes
_DTYPES = frozenset(
    ("|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8")
)
_STRING_DTYPE = re.compile(
    r"\|S([1-9][0-9]{0,2})|<U([1-9][0-9]?)"
)  # up to 999 bytes, 99 characters


def encode(header: Mapping[str, Json], arrays: Mapping[str, Array]) -> bytes:
    """Write a header and named arrays as one self-checking blob.

    Parameters
    ----------
    header : mapping of str to Json
        Strict JSON: string keys, finite numbers, at most `MAX_DEPTH` levels.
    arrays : mapping of str to array
        Any byte order and memory layout going in (little-endian C order coming out). Allowed are
        bool, integers, float16/32/64, ``S1`` to ``S999`` and ``U1`` to ``U99``.

    Raises
    ------
    InvalidInputError
        Something above does not hold; the message names the header key or the array.

    Examples
    --------
    >>> blob = encode({"scan": "monday"}, {"reward": np.array([0.0, 1.0], dtype=np.float32)})
    >>> header, arrays = decode(blob, where="an example")
    >>> header["scan"], arrays["reward"].tolist()
    ('monday', [0.0, 1.0])
    """
    if len(arrays) > MAX_ARRAYS:
        raise InvalidInputError(f"{len(arrays)} arrays in one blob; at most {MAX_ARRAYS} fit.")
    specs: list[tuple[str, str, tuple[int, ...]]] = []
    parts: list[Any] = []
    n_body = 0
    for name, value in arrays.items():
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
            raise InvalidInputError(
                f"array name {name!r}: expected 1 to {MAX_NAME} printable characters."
            )
        array = np.asarray(value)
        if (kind := array.dtype.str) not in _DTYPES or array.ndim > MAX_DIMENSIONS:
            array = _storable(name, array)
            kind = array.dtype.str
        if array.dtype.kind == "U" and not _has_valid_items(np.ascontiguousarray(array)):
            raise InvalidInputError(
                f"array {name!r} contains an unpaired surrogate, which is not valid text"
            )
        specs.append((name, kind, array.shape))
        # A large array is joined into the blob without a copy in between; for a small one, making
        # the view would cost more than the copy.
        is_large = array.nbytes > _COPY_BELOW and array.flags.c_contiguous
        parts.append(array.reshape(-1).view(np.uint8).data if is_large else array.tobytes())
        n_body += array.nbytes
        if padding := -array.nbytes % 8:
            parts.append(bytes(padding))
            n_body += padding
    check_json(header)
    text = _dump({"header": header, "arrays": specs})
    n_total = _PREFIX.size + len(text) + n_body + _CHECKSUM.size
    parts[:0] = [_PREFIX.pack(_MAGIC, FORMAT_VERSION, 0, len(text), n_total), text]
    blob = b"".join(parts)
    return blob + _CHECKSUM.pack(zlib.crc32(blob))


def _storable(name: str, array: Array) -> Array:
    """Return the array in little-endian bytes, or refuse it."""
    if array.dtype.str not in _DTYPES:
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        if _dtype(array.dtype.str) is None:
            raise InvalidInputError(
                f"array {name!r} has dtype {array.dtype}; only bool, integers, float16/32/64, "
                "S1..S999 and U1..U99 can be stored. Convert it first."
            )
    if array.ndim > MAX_DIMENSIONS:
        raise InvalidInputError(
            f"array {name!r} has {array.ndim} dimensions; at most {MAX_DIMENSIONS} can be stored."
        )
    return array


@lru_cache(maxsize=256)
def _dtype(text: str) -> np.dtype[Any] | None:
    """Return the dtype that `text` names, None if it is not one of those we store."""
    if text in _DTYPES or _STRING_DTYPE.fullmatch(text):
        return np.dtype(text)
    return None


def decode(blob: bytes, *, where: str) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read what `encode` wrote, or refuse.

    Parameters
    ----------
    blob : bytes
    where : str
        The key (and entry) that the blob came from; every message names it.

    Returns
    -------
    header : dict
    arrays : dict of str to array
        Read-only views on `blob`; copy before writing.

    Raises
    ------
    CorruptStateError
        Truncated, changed, or never ours.
    IncompatibleStateError
        Written by a newer version of this package.
    """

    def refuse(reason: str) -> NoReturn:
        raise CorruptStateError(f"{where}: {reason}. It was not used.")

    if not isinstance(blob, bytes):
        refuse(f"{type(blob).__name__} instead of bytes")
    if len(blob) < _PREFIX.size + _CHECKSUM.size:
        refuse(f"{len(blob)} bytes are too short for a scanrank blob")
    magic, version, zero, n_text, n_total = _PREFIX.unpack_from(blob)
    if magic != _MAGIC or zero != 0:
        refuse(f"it starts with {bytes(blob[:8])!r}, not with scanrank's magic bytes")
    if version > FORMAT_VERSION:
        raise IncompatibleStateError(
            f"{where}: format {version}, but this scanrank reads up to {FORMAT_VERSION}. "
            "A newer scanrank wrote it: upgrade this one, or use another ruleset."
        )
    if version != FORMAT_VERSION:
        refuse(f"format {version} never existed")
    if n_total != len(blob) or n_text > min(
        MAX_HEADER_BYTES, len(blob) - _PREFIX.size - _CHECKSUM.size
    ):
        refuse(f"{len(blob)} bytes instead of the {n_total} in its header")
    body = memoryview(blob)[: -_CHECKSUM.size]
    if _CHECKSUM.unpack(blob[-_CHECKSUM.size :]) != (zlib.crc32(body),):
        refuse("its checksum does not match")

    try:
        envelope = _load(bytes(body[_PREFIX.size : _PREFIX.size + n_text]))
        if isinstance(envelope, dict):
            check_json(envelope.get("header"))
    except (ValueError, RecursionError) as err:
        raise CorruptStateError(f"{where}: its JSON header is invalid ({err}).") from err
    if not isinstance(envelope, dict) or envelope.keys() != {"header", "arrays"}:
        refuse("its JSON header must have exactly the fields `header` and `arrays`")
    header, specs = envelope["header"], envelope["arrays"]
    if not isinstance(header, dict) or not isinstance(specs, list) or len(specs) > MAX_ARRAYS:
        refuse("its `header` is not an object, or its `arrays` is not a short list")

    arrays: dict[str, Array] = {}
    offset = _PREFIX.size + n_text
    for index, spec in enumerate(specs):
        read = _read_spec(spec)
        if read is None or read[0] in arrays:
            refuse(f"the description of array number {index} is invalid")
        name, dtype, shape = read
        n_items = math.prod(shape)
        n_bytes = n_items * dtype.itemsize
        if n_bytes > len(body) - offset:
            refuse(f"array {name!r} is longer than the blob")
        array = np.frombuffer(blob, dtype=dtype, count=n_items, offset=offset)
        if dtype.kind in "bU" and not _has_valid_items(array):
            refuse(f"array {name!r} contains bytes that its type {dtype} does not allow")
        arrays[name] = array if len(shape) == 1 else array.reshape(shape)
        offset += n_bytes + -n_bytes % 8
    if offset != len(body):
        refuse(f"{len(body) - offset} bytes do not belong to any array")
    return header, arrays


def decode_versioned(
    blob: bytes, *, where: str, what: str, name: str, newest: int, fields: set[str]
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read a blob whose header has a version under `name`, just these fields, and one `header`.

    Raises
    ------
    CorruptStateError, IncompatibleStateError
        As `decode`; `what` says in the message what was expected.
    """
    envelope, arrays = decode(blob, where=where)
    version = envelope.get(name)
    if isinstance(version, int) and version > newest:
        raise IncompatibleStateError(
            f"{where}: {what} version {version}, but this scanrank reads up to {newest}. A newer "
            "scanrank wrote it: upgrade this one."
        )
    if envelope.keys() != fields or version != newest or not isinstance(envelope["header"], dict):
        raise CorruptStateError(f"{where}: it is not a scanrank {what}. It was not used.")
    return envelope, arrays


def _read_spec(spec: Any) -> tuple[str, np.dtype[Any], list[int]] | None:
    """Return name, dtype and shape of a decoded ``[name, dtype, shape]``, None if it is not one."""
    if not isinstance(spec, list) or len(spec) != 3:
        return None
    name, text, shape = spec
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
        return None
    dtype = _dtype(text) if isinstance(text, str) and len(text) < 8 else None
    if dtype is None or not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS:
        return None
    n_cells = 1  # an empty array may still announce huge other dimensions, which numpy multiplies
    for n in shape:
        if type(n) is not int or n < 0:
            return None
        n_cells *= n or 1
    return (name, dtype, shape) if n_cells <= MAX_BYTES // 1024 else None


def _has_valid_items(array: Array) -> bool:
    """Refuse item bytes that numpy would trip over later: odd truth values, no code points."""
    if array.dtype.kind == "b":
        return bool((array.view(np.uint8) <= 1).all())
    if array.dtype.kind == "U":
        points = array.view(np.uint32)
        return bool(((points < 0xD800) | ((points > 0xDFFF) & (points <= 0x10FFFF))).all())
    return True


def _dump(value: Mapping[str, Any]) -> bytes:
    try:
        text = _ENCODER.encode(value)
    except (TypeError, ValueError) as err:
        raise InvalidInputError(f"the header is not strict JSON: {err}") from err
    raw = text.encode("utf-8")
    if len(raw) > MAX_HEADER_BYTES - 8:
        raise InvalidInputError(f"a header of {len(raw)} bytes; at most {MAX_HEADER_BYTES} fit.")
    return raw + b" " * (-len(raw) % 8)


def _load(raw: bytes) -> Any:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            raise ValueError("a key occurs twice")
        return found

    return json.loads(raw.decode("utf-8"), object_pairs_hook=pairs)


def check_json(value: Any) -> None:
    """Refuse what is not strict JSON: depth, keys, NaN, infinities, lone surrogates.

    Raises
    ------
    InvalidInputError
        Naming the value met.
    """
    stack: list[tuple[Any, int]] = [(value, 0)]
    while stack:
        item, depth = stack.pop()
        kind = type(item)
        if kind is int or kind is bool or item is None:
            continue
        if isinstance(item, str):
            if not item.isascii():
                _check_text(item)
        elif isinstance(item, float):
            if not math.isfinite(item):
                raise InvalidInputError(f"{item} in a JSON header; store it in an array.")
        elif isinstance(item, list | tuple | dict | Mapping):
            if depth > MAX_DEPTH + 1:  # one level is the entry's own
                raise InvalidInputError(f"JSON nested deeper than {MAX_DEPTH} levels.")
            children: Iterable[Any] = item
            if not isinstance(item, list | tuple):
                for key in item:
                    if not isinstance(key, str):
                        raise InvalidInputError(f"JSON key {key!r} is not a string.")
                    if not key.isascii():
                        _check_text(key)
                children = item.values()
            # A report's header is mostly lists of names: seen without a Python loop.
            elif set(map(type, item)) == {str} and "".join(item).isascii():
                continue
            stack += [(child, depth + 1) for child in children]
        elif not isinstance(item, int):
            raise InvalidInputError(f"{kind.__name__} in a JSON header: {str(item)[:80]}")


def _check_text(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as err:
        raise InvalidInputError(f"{text!r} is not valid Unicode.") from err
