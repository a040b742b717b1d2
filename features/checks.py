"""Checks at the border of the package, made once; inside, values are trusted.

The counterpart of `bandit.checks`, which this package does not import: anything that is not the
number or symbols expected is refused in one sentence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from reprlib import Repr
from types import UnionType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from features.errors import FeatureError

T = TypeVar("T")

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 60  # characters


def refusal(
    value: object, name: str, expected: str, error: type[FeatureError] = FeatureError
) -> FeatureError:
    """Return the error of an argument that does not fit: the value met, and what is expected."""
    return error(f"{name} is {shown(value)}; expected {expected}")


def shown(value: object) -> str:
    """Return a value as an error shows it: on one line, cut after some 60 characters."""
    return " ".join(_SHORT.repr(value).split())


def as_kind(
    value: T, name: str, kind: type[Any] | tuple[type[Any], ...] | UnionType, expected: str
) -> T:
    """Return a value that is an instance of a class.

    Raises
    ------
    FeatureError
        For anything else.
    """
    if isinstance(value, kind):
        return value
    raise refusal(value, name, expected)


def as_number(
    value: object, name: str, expected: str, *, least: float = -math.inf, most: float = math.inf
) -> float:
    """Return a finite number in [least, most].

    Raises
    ------
    FeatureError
        For anything else: NaN, a truth value, a number written as text.
    """
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.nan
        if math.isfinite(number) and least <= number <= most:
            return number
    raise refusal(value, name, expected)


def as_count(value: object, name: str, *, least: int = 1) -> int:
    """Return a whole number of at least `least`.

    Raises
    ------
    FeatureError
        For anything else, a fraction or a truth value.
    """
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= least:
        return int(value)
    raise refusal(value, name, f"a whole number, {least} or more")


def as_array(value: object, name: str, expected: str) -> NDArray[np.float64]:
    """Return an array of numbers; one of floating point is returned as it is.

    Raises
    ------
    FeatureError
        For a value that numpy cannot read as numbers.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return value
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as err:
        raise refusal(value, name, expected) from err


def as_path(value: object) -> Path:
    """Return a path.

    Raises
    ------
    FeatureError
        For something that is not a path, or a path with a control character.
    """
    if isinstance(value, str | Path) and str(value) not in ("", ".") and str(value).isprintable():
        return Path(value)
    raise refusal(value, "path", "the path of a file")


def as_texts(values: object, name: str = "symbols") -> tuple[str, ...]:
    """Return several texts, such as symbols, in their order.

    Raises
    ------
    FeatureError
        For a single text (its letters are not meant), for something that is not iterable, and for
        a member that is not a text.
    """
    # A data frame goes through the names of its columns.
    if isinstance(values, str | bytes) or hasattr(values, "columns"):
        raise refusal(values, name, "a list of strings, such as ['AAPL']")
    if not isinstance(values, Iterable) or (isinstance(values, np.ndarray) and values.ndim != 1):
        raise refusal(values, name, "a list of strings, such as ['AAPL']")
    texts: tuple[Any, ...] = tuple(values)
    if set(map(type, texts)) <= {str}:
        return texts
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise refusal(text, f"{name}[{place}]", "a string")
    return texts
