"""Checks at the border of the package, made once; inside, values are trusted.

The checks of single values (`as_number` to `as_function`) serve `scanner_adapter` too: anything
that is not the number, text or symbols expected is refused in one sentence that names the argument,
the value met and the value expected. `True` is not the number 1, and a text is not the list of its
letters.
"""

from __future__ import annotations

import math
import operator
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from reprlib import Repr
from types import UnionType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandit.errors import InvalidInputError

T = TypeVar("T")

# C0 and C1 controls, line and paragraph separators, lone surrogates (no valid UTF-8).
_NOT_IN_ARM = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LONGEST_ARM = 64
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 60  # characters


def refusal(value: object, name: str, expected: str) -> InvalidInputError:
    """Return the error of an argument that does not fit: the value met, and what is expected.

    Examples
    --------
    >>> str(refusal(0.9, "until", "a stop rule"))
    'until is 0.9; expected a stop rule'
    """
    met = " ".join(_SHORT.repr(value).split())
    return InvalidInputError(f"{name} is {met}; expected {expected}")


def as_number(
    value: object,
    name: str,
    expected: str = "a finite number",
    *,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> float:
    """Return a finite number in [least, most] and (above, below).

    Raises
    ------
    InvalidInputError
        For anything else: NaN, a truth value, a number written as text.
    """
    if is_number(value):
        try:
            number = float(value)  # type: ignore[arg-type]
        except OverflowError:
            number = math.nan
        if least <= number <= most and above < number < below:
            return number
    raise refusal(value, name, expected)


def is_number(value: object) -> bool:
    """Whether a value is a number of Python or numpy; True and False do not count."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def as_count(value: object, name: str, *, least: int = 1, most: int | None = None) -> int:
    """Return a whole number of at least `least`.

    Raises
    ------
    InvalidInputError
        For anything else, a fraction or a truth value.
    """
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        count = operator.index(value)
        if least <= count and (most is None or count <= most):
            return count
    upper = "or more" if most is None else f"to {most:,}"
    raise refusal(value, name, f"a whole number, {least} {upper}")


def as_flag(value: object, name: str) -> bool:
    """Return True or False.

    Raises
    ------
    InvalidInputError
        For anything else: the text "no" is true to Python.
    """
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise refusal(value, name, "True or False")


def as_text(value: object, name: str, expected: str = "a string") -> str:
    """Return a non-empty string.

    Raises
    ------
    InvalidInputError
        For anything else.
    """
    if isinstance(value, str) and value:
        return value
    raise refusal(value, name, expected)


def as_texts(values: object, name: str = "symbols", example: str = "AAPL") -> tuple[str, ...]:
    """Return several texts, such as symbols, in their order.

    Raises
    ------
    InvalidInputError
        For a single text (its letters are not meant), for something that is not iterable, and for
        a member that is empty or not a text.
    """
    expected = f"a list of strings, such as [{example!r}]"
    # A data frame goes through the names of its columns.
    if isinstance(values, str | bytes) or hasattr(values, "columns"):
        raise refusal(values, name, expected)
    if not isinstance(values, Iterable) or (isinstance(values, np.ndarray) and values.ndim != 1):
        raise refusal(values, name, expected)
    texts: tuple[Any, ...] = tuple(values)
    if set(map(type, texts)) <= {str} and "" not in texts:
        return texts
    for place, text in enumerate(texts):
        if not isinstance(text, str) or not text:
            raise refusal(text, f"{name}[{place}]", "a non-empty string")
    return tuple(map(str, texts))


def as_kind(
    value: T, name: str, kind: type[Any] | tuple[type[Any], ...] | UnionType, expected: str
) -> T:
    """Return a value that is an instance of a class.

    Raises
    ------
    InvalidInputError
        For anything else.
    """
    if isinstance(value, kind):
        return value
    raise refusal(value, name, expected)


def as_one_of(value: object, name: str, known: Collection[str]) -> str:
    """Return a word that is one of those known.

    Raises
    ------
    InvalidInputError
        For anything else, naming those that are known.
    """
    if isinstance(value, str) and value in known:
        return value
    raise refusal(value, name, f"one of {', '.join(map(repr, known))}")


def as_function(value: object, name: str, takes: str) -> Callable[..., Any]:
    """Return something that can be called.

    Raises
    ------
    InvalidInputError
        For anything else; the message says what the function takes.
    """
    if callable(value):
        return value
    raise refusal(value, name, f"a function that takes {takes}")


def as_path(value: object, name: str) -> Path:
    """Return a path.

    Raises
    ------
    InvalidInputError
        For something that is not a path, or a path with a control character.
    """
    if isinstance(value, str | Path) and str(value) not in ("", ".") and str(value).isprintable():
        return Path(value)
    raise refusal(value, name, "the path of a file")


def as_array(values: ArrayLike, name: str, dtype: type[Any] | None = None) -> NDArray[Any]:
    """Return values as an array.

    Raises
    ------
    InvalidInputError
        For texts where numbers are expected, and for rows of different lengths.
    """
    try:
        return np.asarray(values, dtype)
    except (TypeError, ValueError) as err:
        raise refusal(values, name, "one row of numbers") from err


def as_arms(arms: object, name: str = "symbols") -> tuple[str, ...]:
    """Return `arms` as a tuple of distinct names that a store can keep.

    Raises
    ------
    InvalidInputError
        Naming the first one that is empty, not a string, too long, holds a control character, or
        is given twice.
    """
    names = as_texts(arms, name)
    # Passes in C: a million of them in 0.3 s, where one by one takes a second.
    if max(map(len, names), default=0) > _LONGEST_ARM or _NOT_IN_ARM.search("".join(names)):
        place = next(
            place for place, text in enumerate(names)
            if len(text) > _LONGEST_ARM or _NOT_IN_ARM.search(text)
        )  # fmt: skip
        raise refusal(
            names[place], f"{name}[{place}]",
            f"1 to {_LONGEST_ARM} characters without control characters",
        )  # fmt: skip
    if len(set(names)) != len(names):
        twice = next(text for text, n in Counter(names).items() if n > 1)
        raise InvalidInputError(f"symbol {twice!r} appears twice; expected every symbol once")
    return names
