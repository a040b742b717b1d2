"""JSON in and out: dataclasses by their annotations, finite numbers; files read and written whole.

`from_json` is short and spares the core install a validation library: the notes of a scan are
text, numbers, lists, mappings and dataclasses of these.
"""

from __future__ import annotations

import dataclasses
import math
import os
import sys
import tomllib
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from bandit.errors import InvalidInputError
from scanner_adapter.errors import InvalidNoteError

T = TypeVar("T")

_SCALARS = {float: "a finite number", int: "a whole number", bool: "true or false", str: "a string"}
_hints = cache(get_type_hints)


def from_json(kind: type[T], value: object, where: str) -> T:
    """Return parsed JSON as an instance of the dataclass `kind`.

    Unknown keys are ignored, so that a newer writer may add some; a field with a default may be
    absent.

    Raises
    ------
    InvalidNoteError
        Naming the place (after `where`), the value met and what was expected.

    Examples
    --------
    >>> from scanner_adapter.live.status import TierCount
    >>> from_json(TierCount, {"waiting": 3, "scanned": 2, "new": 1}, "tier")
    TierCount(waiting=3, scanned=2, other=0)
    >>> from_json(TierCount, {"waiting": "3", "scanned": 2}, "tier")
    Traceback (most recent call last):
    scanner_adapter.errors.InvalidNoteError: tier.waiting is '3'; expected a whole number
    """
    return _read(kind, value, where)  # type: ignore[no-any-return]


def to_json(value: Any) -> Any:
    """Return a dataclass as mappings, lists and scalars that `from_json` reads back."""
    # Scalars first, and no `dataclasses.asdict`: it copies deeply, in ten times the time.
    if value is None or type(value) in _SCALARS:
        return value
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    # Not `Mapping`: to say that a class is none takes 20 ms, when it is asked first.
    items = value if isinstance(value, dict) else vars(value)
    return {key: to_json(item) for key, item in items.items()}


def finite_or_none(value: float | None) -> float | None:
    """Return a number, or None for one that JSON does not have.

    Examples
    --------
    >>> finite_or_none(1.5), finite_or_none(float("nan")), finite_or_none(None)
    (1.5, None, None)
    """
    return float(value) if value is not None and math.isfinite(value) else None


def finite(value: Any) -> Any:
    """Return nested mappings and lists with None for every number that JSON does not have."""
    if isinstance(value, float):
        return finite_or_none(value)
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file says.

    Raises
    ------
    InvalidInputError
        For a file that is not TOML, or cannot be read.
    FileNotFoundError
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Notepad writes such a mark
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as err:  # nested too deep, too
        raise InvalidInputError(f"{path} cannot be read as TOML in UTF-8: {err}") from err


def check_target(path: Path, option: str = "") -> None:
    """Refuse a file that could not be written, before the work whose result it is for.

    Parameters
    ----------
    path : Path
    option : str
        Of the command line, as `--out `.

    Raises
    ------
    InvalidInputError
    """
    folder = path.absolute().parent
    if str(path) == "-":
        raise InvalidInputError(
            f"{option}-: expected a file; for standard output give /dev/stdout, for a file of this "
            "name ./-"
        )
    if not folder.is_dir():
        raise InvalidInputError(f"{option}{path}: no such folder")
    if path.is_dir():
        raise InvalidInputError(f"{option}{path} is a folder; expected a file")
    if not os.access(path if _is_special(path) else folder, os.W_OK):
        raise InvalidInputError(f"{option}{path}: writing is not permitted there")


def check_folder(path: Path, option: str = "") -> None:
    """Refuse a folder, made where it is missing, whose place a file has; see `check_target`."""
    if path.exists() and not path.is_dir():
        raise InvalidInputError(f"{option}{path} is a file; expected a folder")


def _is_special(path: Path) -> bool:
    """Whether `path` is there and no regular file: /dev/stdout, a pipe, a folder."""
    return path.exists() and not path.is_file()


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; the file replaces `path` when the block ends.

    Readers never see a half-written file, and an error leaves the old one. A device or a pipe, such
    as /dev/stdout, is written to as it is: replaced, it would be lost. A link stays one.
    """
    if _is_special(path):
        yield path
        return
    path = path.resolve()
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write a text file, see `written_whole`."""
    with written_whole(path) as beside:
        beside.write_text(text, encoding="utf-8")


def _read(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):  # always with None, here
        return None if value is None else _read(arguments[0], value, where)
    if origin is Literal:
        return value if value in arguments else _refuse(value, where, f"one of {arguments}")
    if origin is tuple:
        return _tuple(arguments, value, where)
    if kind in _SCALARS:
        return _scalar(kind, value, where)
    if not isinstance(value, dict):
        _refuse(value, where, "a mapping")
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, where)
    keys, values = arguments
    return {_read(keys, k, where): _read(values, v, f"{where}.{k}") for k, v in value.items()}


def _tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        _refuse(value, where, "a list")
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(value) != len(kinds):
        _refuse(value, where, f"a list of {len(kinds)}")
    pairs = enumerate(zip(kinds, value, strict=True))
    return tuple(_read(kind, item, f"{where}[{i}]") for i, (kind, item) in pairs)


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    given = {}
    for field in dataclasses.fields(kind):
        if field.name in value:
            given[field.name] = _read(
                _hints(kind)[field.name], value[field.name], f"{where}.{field.name}"
            )
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise InvalidNoteError(f"{where} has no {field.name!r}")
    return kind(**given)


def _scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is float and type(value) in (int, float):
        # A whole number of 400 digits is JSON too.
        if abs(value) <= sys.float_info.max:
            return float(value)
    elif type(value) is kind:
        return value
    return _refuse(value, where, _SCALARS[kind])


def _refuse(value: object, where: str, expected: str) -> Any:
    raise InvalidNoteError(f"{where} is {repr(value)[:80]}; expected {expected}")


def as_cell(symbol: str) -> str:
    """Return a symbol for a table that a spreadsheet opens: never as a formula.

    Examples
    --------
    >>> as_cell("AAPL"), as_cell("=SUM(A1)")
    ('AAPL', "'=SUM(A1)")
    """
    return f"'{symbol}" if symbol.startswith(("=", "+", "-", "@")) else symbol
