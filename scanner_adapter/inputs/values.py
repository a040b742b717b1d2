"""Single values as scanners write them: numbers with units, words for yes and no, rows of any kind.

What a value means is decided here once, whichever part of a result holds it.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

# Words that say "look at this one", and words that say "do not", as `plain_word` writes them.
# A word of neither kind counts as "do not", and is warned of while no other word was understood.
YES_WORDS = frozenset({
    "buy", "buy now", "strong buy", "weak buy", "long", "strong long", "go long", "enter long",
    "short", "strong short", "go short", "enter short", "entry", "bull", "bullish",
    "strong bullish", "strongly bullish", "very bullish", "oversold", "breakout", "break out",
    "outperform", "overweight", "accumulate", "add", "match", "matched", "hit", "signal",
    "triggered", "passed", "yes", "y", "true",
})  # fmt: skip
NO_WORDS = frozenset({
    "", "none", "no", "n", "false", "null", "nan", "na", "n a", "avoid", "sell", "strong sell",
    "sell now", "weak sell", "exit", "hold", "keep", "neutral", "wait", "flat", "bear", "bearish",
    "strong bearish", "strongly bearish", "very bearish", "overbought", "underperform",
    "underweight", "reduce", "no signal", "no match", "no trade", "nothing", "skip", "ignore",
    "failed", "fail", "not found", "sideways", "range", "unknown",
})  # fmt: skip
_MISSING_TEXTS = frozenset({"", "-", "--", "n/a", "na", "nan", "none", "null"})

_NUMBER = re.compile(
    r"(?P<open>\()?\s*(?P<sign>[+\u2212\u2013-])?\s*[$€£¥₹]?\s*(?P<inner>[+\u2212\u2013-])?"
    r"(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d*)?|\d+,\d{1,2}|\d+(?:\.\d*)?|\.\d+)"
    r"(?P<exponent>[eE][+-]?\d+)?\s*(?P<unit>[^\W\d_]{0,8}|[%‰°×$€£¥₹/]{1,2})\s*(?P<close>\))?"
)
_MULTIPLES = {
    "k": 1e3, "m": 1e6, "mm": 1e6, "mn": 1e6, "mio": 1e6, "b": 1e9, "bn": 1e9, "t": 1e12,
    "tn": 1e12,
}  # fmt: skip


def plain_word(text: str) -> str:
    """Return a word without case, punctuation and pictures.

    Examples
    --------
    >>> plain_word(" STRONG_BUY! "), plain_word("N/A")
    ('strong buy', 'n a')
    """
    return " ".join(re.sub(r"[\W_]+", " ", text.casefold()).split())


def meaning(text: str, words: Iterable[str] | None = None) -> bool | None:
    """Return whether a word says "look at this one"; None = it is not known.

    Parameters
    ----------
    words : iterable of str, optional
        The scanner's own words for yes, instead of `YES_WORDS`; every other word is a no then.

    Examples
    --------
    >>> meaning("Buy Now"), meaning("Sell"), meaning("grade A"), meaning("grade A", ["Grade_A"])
    (True, False, None, True)
    """
    word = plain_word(text)
    if words is not None:
        return word in {plain_word(each) for each in words}
    if word in YES_WORDS:
        return True
    return False if word in NO_WORDS else None


def is_missing(value: object) -> bool:
    """Whether a single value says nothing: None, NaN, pandas' NA and NaT, a blank text.

    Examples
    --------
    >>> [is_missing(value) for value in (None, float("nan"), " ", 0, False)]
    [True, True, True, False, False]
    """
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, str):
        return not value.strip()
    try:
        return bool(value != value)  # NaN, of whatever type of number
    except (TypeError, ValueError, ArithmeticError):  # arrays, a signalling Decimal
        return isinstance(value, Decimal)


def is_nothing(value: object) -> bool:
    """Whether a whole result says nothing: missing, or an empty mapping, frame or collection."""
    if is_missing(value):
        return True
    if isinstance(value, pd.DataFrame | pd.Series | np.ndarray):
        return value.size == 0
    return isinstance(value, Mapping | list | tuple | set | frozenset) and not value


def as_flag(value: object) -> bool | None:
    """Return a truth value, of Python or numpy; None = it is something else."""
    if isinstance(value, np.ndarray) and value.size == 1 and value.dtype == bool:
        value = value.item()
    return bool(value) if isinstance(value, bool | np.bool_) else None


def as_number(value: object) -> float | None:
    """Return a number of any type, also written as text; NaN = missing, None = not a number.

    A unit behind the number is dropped; k, M, B and T multiply. Text in brackets is negative, as
    accountants write it.

    Examples
    --------
    >>> [as_number(value) for value in ("12.5%", "$1,234.50", "(3.2)", "1.5M", "2,5 %", "high")]
    [12.5, 1234.5, -3.2, 1500000.0, 2.5, None]
    >>> as_number(Decimal("1.25")), as_number(np.float32(0.5)), as_number(True)
    (1.25, 0.5, 1.0)
    """
    if type(value) is float:  # nearly always
        return value
    if isinstance(value, str):
        return _number_of_text(value)
    if is_missing(value):
        return math.nan
    if isinstance(value, int | float | np.integer | np.floating | np.bool_ | Decimal | Fraction):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    if isinstance(value, np.ndarray | pd.Series) and value.size == 1:
        return as_number(value.item())
    return None


def _number_of_text(text: str) -> float | None:
    text = text.strip()
    if text.casefold() in _MISSING_TEXTS:
        return math.nan
    if text.casefold().lstrip("+-") in ("inf", "infinity"):
        return float(text)
    found = _NUMBER.fullmatch(text)
    if found is None or bool(found["open"]) != bool(found["close"]):
        return None
    if meaning(found["unit"]) is True:  # "3 buy" counts buys, and is no number of them
        return None
    digits = found["digits"]
    if re.fullmatch(r"\d+,\d{1,2}", digits):  # a decimal comma: thousands come in threes
        digits = digits.replace(",", ".")
    number = float(digits.replace(",", "") + (found["exponent"] or ""))
    number *= _MULTIPLES.get(found["unit"].casefold(), 1.0)
    is_negative = bool(found["open"])
    for sign in (found["sign"], found["inner"]):
        is_negative ^= sign is not None and sign != "+"
    return -number if is_negative else number


def as_text(value: object) -> str | None:
    """Return a text, or that of a member of an enumeration; None = neither."""
    if isinstance(value, Enum):
        return value.value if isinstance(value.value, str) else value.name
    return str(value) if isinstance(value, str) else None


def as_row(value: object) -> Mapping[Any, Any] | None:
    """Return a mapping, a record object, a Series or a frame of one row as a mapping.

    None for anything else, such as a frame of several rows: which of them counts is not known.
    """
    if isinstance(value, Mapping):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    if isinstance(value, pd.DataFrame):
        return dict(value.iloc[0]) if len(value) == 1 else None
    if isinstance(value, pd.Series):
        return value.to_dict()
    if isinstance(value, type):
        return None
    for method in ("_asdict", "model_dump"):  # named tuples, pydantic's models
        if callable(made := getattr(value, method, None)):
            row = made()
            return row if isinstance(row, Mapping) else None
    if hasattr(value, "__attrs_attrs__"):
        return {item.name: getattr(value, item.name) for item in value.__attrs_attrs__}
    return vars(value) if isinstance(value, SimpleNamespace) else None


def conditions(value: object) -> list[str] | None:
    """Return the conditions that a list, tuple or set names as met; None = it holds no names.

    Examples
    --------
    >>> conditions(["volume", "new high"]), conditions(()), conditions([1.5, 2.5])
    (['volume', 'new high'], [], None)
    >>> conditions([True, False, True])
    ['1', '3']
    """
    if isinstance(value, np.ndarray) and value.ndim == 1:
        value = value.tolist()
    if not isinstance(value, list | tuple | set | frozenset):
        return None
    flags = [as_flag(each) for each in value]
    if value and None not in flags:
        return [str(place) for place, flag in enumerate(flags, 1) if flag]
    texts = [as_text(each) for each in value]
    if all(text is not None for text in texts):
        return [text for text in texts if text is not None and meaning(text) is not False]
    rows = [as_row(each) for each in value]
    if all(row is not None for row in rows):
        return [str(place) for place in range(1, len(rows) + 1)]
    return None


def find(row: Mapping[Any, Any], path: str) -> tuple[bool, object]:
    """Return whether `row` holds `path`, and what it holds there.

    A path is a key, or keys of nested rows with dots between them; a number counts the entries of
    a list from 0.

    Examples
    --------
    >>> find({"rsi": [{"value": 31.0}]}, "rsi.0.value"), find({"a.b": 1}, "a.b"), find({}, "a")
    ((True, 31.0), (True, 1), (False, None))
    """
    if path in row:
        return True, row[path]
    here: object = row
    for step in path.split("."):
        inside = as_row(here)
        if inside is not None and step in inside:
            here = inside[step]
        elif isinstance(here, Sequence) and step.isdigit() and int(step) < len(here):
            here = here[int(step)]
        else:
            return False, None
    return True, here


def paths(row: Mapping[Any, Any], prefix: str = "", depth: int = 4) -> Iterator[str]:
    """Yield the paths of a row, those of nested rows with dots."""
    for key, value in row.items():
        inside = as_row(value) if depth else None
        if inside:
            yield from paths(inside, f"{prefix}{key}.", depth - 1)
        else:
            yield f"{prefix}{key}"
