"""A scanner's result for one symbol, in one shape whatever the scanner returns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from bandit.checks import as_kind, as_texts, is_number, refusal
from bandit.checks import as_text as check_text
from bandit.rewards import HitIf, RewardRule, Signal, Threshold, as_rule
from scanner_adapter.errors import InvalidOutcomeError
from scanner_adapter.inputs.advice import judging_any_shape, judging_by, where_to_find
from scanner_adapter.inputs.values import (
    as_flag,
    as_number,
    as_row,
    as_text,
    conditions,
    find,
    is_missing,
    is_nothing,
    meaning,
    paths,
)

# Where common scanners keep the fields that have a meaning here, in lower case; the first one of a
# row wins.
RATING_NAMES = ("rating", "techrating", "score")
_MEANING = {
    **dict.fromkeys(RATING_NAMES, "rating"),
    **dict.fromkeys(("signal", "signals", "recommendation", "hit", "is_hit"), "signal"),
    **dict.fromkeys(("alpha", "alphascore", "alpha_score"), "alpha"),
    "bars": "bars",
}
# Paths and letters of a row, or of a value, that an error shows.
_MOST_SHOWN = 12
_MOST_LETTERS = 120
# Fields of an outcome that may be None, and what else they may be.
_OPTIONAL: tuple[tuple[str, Callable[[object], bool], str], ...] = (
    ("alpha", is_number, "a number"),
    (
        "signal",
        lambda value: isinstance(value, str),
        "a string such as 'Long'; pass a boolean as is_hit",
    ),
    ("error", lambda value: isinstance(value, str), "a string"),
    ("is_hit", lambda value: isinstance(value, bool | np.bool_), "True or False"),
)
_NUMBERS = (float, int, np.number, np.bool_, Decimal)


@dataclass(frozen=True, slots=True)
class RowMap:
    """Maps a scanner's column names to rating, signal and alpha, where they are unusual.

    A field that is named must be in every row: a map that points to nothing is an error, not a
    silent lack of ratings.

    Parameters
    ----------
    rating, signal, alpha : str, optional
        Names of these fields; None = the scanner has none. Dots lead into nested rows, numbers
        into lists: "indicators.rsi.0.value".
    columns : tuple of str, optional
        Further numeric columns to keep; None = every number in the row.

    Examples
    --------
    >>> Outcome.of({"px": 1.5, "grade": 7}, row_map=RowMap(rating="grade")).rating
    7.0
    >>> Outcome.of({"summary": {"verdict": "BUY"}}, row_map=RowMap(signal="summary.verdict")).signal
    'BUY'
    """

    rating: str | None = None
    signal: str | None = None
    alpha: str | None = None
    columns: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("rating", "signal", "alpha"):
            if getattr(self, name) is not None:
                check_text(getattr(self, name), name, "the name of a field of the scanner's rows")
        if self.columns is not None:
            object.__setattr__(self, "columns", as_texts(self.columns, "columns", "rsi"))
        if self.rating is None and self.signal is None:
            raise InvalidOutcomeError(
                "the row map names neither rating nor signal; name at least one"
            )

    @property
    def fields(self) -> tuple[str, ...]:
        """Everything that a row must have."""
        named = (self.rating, self.signal, self.alpha, *(self.columns or ()))
        return tuple(name for name in named if name is not None)


# Rows as the technic family of scanners writes them.
TECHNIC_ROWS = RowMap(rating="TechRating", signal="Signal", alpha="AlphaScore")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A scanner's result for one symbol.

    Parameters
    ----------
    rating : float
        On the scanner's own scale, NaN = none.
    signal : str, optional
        Word such as "Long" or "Avoid".
    alpha : float, optional
        A second score, kept as one more numeric column.
    columns : mapping of str to float
        Numeric columns of the scanner's row; they become context of the next scan.
    error : str, optional
        Why the evaluation failed. A failure teaches nothing: it is not a reward of zero.
    is_hit : bool, optional
        Whether the scanner signals this symbol, where more than the word in `signal` says so.
    bars : DataFrame, optional
        Daily bars of the symbol that the evaluation fetched. The part that the next scan's features
        need is kept beside the store, so that scans can be ranked by bars that nobody passes in.
    is_final : bool
        Of an error: evaluating again would not help, for example if a result cannot be read.

    Examples
    --------
    >>> Outcome(rating=17.5, signal="Long").is_signal
    1.0
    """

    rating: float = math.nan
    signal: str | None = None
    alpha: float | None = None
    columns: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None
    is_hit: bool | None = None
    is_final: bool = False
    bars: Any = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        # One is made for each result of a scan, most of them a number alone.
        if (
            type(self.rating) is float and type(self.columns) is dict and not self.columns
            and self.signal is None and self.alpha is None
            and self.error is None and self.is_hit is None
        ):  # fmt: skip
            return
        if not is_number(self.rating):
            raise _refusal(self.rating, "rating", "a number, or NaN")
        for name, fits, expected in _OPTIONAL:
            value = getattr(self, name)
            if value is not None and not fits(value):
                raise _refusal(value, name, expected)
        if not isinstance(self.columns, dict | Mapping):
            raise _refusal(self.columns, "columns", "a mapping of names to numbers")
        for name, value in self.columns.items():
            if type(value) is not float and not is_number(value):
                raise _refusal(value, f"columns[{name!r}]", "a number")

    @classmethod
    def failed(cls, error: BaseException | str, *, is_final: bool | None = None) -> Outcome:
        """Return the outcome of an evaluation that failed.

        Parameters
        ----------
        is_final : bool, optional
            Whether evaluating again would not help. By default that is so for a text and for a
            result that cannot be read, but not for an exception (the network, perhaps).
        """
        as_kind(error, "error", BaseException | str, "an exception or a string")
        if is_final is None:
            is_final = isinstance(error, str | InvalidOutcomeError)
        text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        return cls(error=text or "failed", is_final=is_final)

    @property
    def may_pass(self) -> bool:
        """Whether the outcome is an error that a retry may fix."""
        return self.error is not None and not self.is_final

    @property
    def is_signal(self) -> float:
        """1 for a high-value signal, 0 for another or none, NaN without a signal and a rating.

        Scanners commonly give a signal to what they like and none to the rest.
        """
        if self.is_hit is not None:
            return float(self.is_hit)
        if self.signal is None:
            return math.nan if math.isnan(self.rating) else 0.0
        return float(meaning(self.signal) is True)

    @classmethod
    def of(
        cls,
        value: object,
        *,
        symbol: str = "?",
        row_map: RowMap | None = None,
        rule: RewardRule | None = None,
    ) -> Outcome:
        """Read what a scanner returned.

        Parameters
        ----------
        value : object
            - a number, also as text with a unit ("12.5%"), is the rating;
            - a truth value, or a word such as "BUY", is the signal;
            - a list of names is the conditions that were met, and their number the rating;
            - a row (mapping, record object, named tuple, Series, frame of one row) keeps rating,
              signal and alpha under their usual names, and every other number is a column;
            - an exception, or nothing (None, an empty row), is a failed evaluation; NaN is no
              rating.
        row_map : RowMap, optional
            Where rows keep their fields, instead of the usual names.
        rule : RewardRule, optional
            What counts as high-value: its words for a signal, whether nothing means no signal,
            its own function.

        Raises
        ------
        InvalidOutcomeError
            For anything else, naming the symbol and the value.

        Examples
        --------
        >>> Outcome.of("12.5%").rating, Outcome.of("STRONG_BUY").is_signal
        (12.5, 1.0)
        >>> Outcome.of(None, rule=Signal(none_is_no=True)).is_signal
        0.0
        """
        if not isinstance(rule, Signal | HitIf):  # nearly always, and what was read before
            if type(value) is float and value == value:
                return cls(rating=_number(value, "rating", symbol))
            if type(value) is cls and value.rating == value.rating:
                _number(value.rating, "rating", symbol)
                return value
        check_text(symbol, "symbol", "the symbol that the result is of")
        if row_map is not None:
            as_kind(row_map, "row_map", RowMap, "a RowMap")
        if rule is not None:
            as_rule(rule, "rule")
        if isinstance(value, BaseException):
            return cls.failed(value)
        if isinstance(rule, HitIf):
            return _judged_by(rule, value, symbol, row_map)
        outcome = _read(value, symbol, row_map, rule)
        if isinstance(rule, Signal):
            return _by_words(outcome, value, rule)
        is_unrated = math.isnan(outcome.rating) and outcome.error is None
        if is_unrated and rule is not None and needs_rating(rule):
            return _rated_by_signal(outcome, value, symbol, row_map)
        return outcome


def needs_rating(rule: RewardRule) -> bool:
    """Whether a rule is known to judge ratings, and not signals."""
    return isinstance(rule, Threshold) or rule.expected_share is not None


def _read(value: object, symbol: str, row_map: RowMap | None, rule: RewardRule | None) -> Outcome:
    if isinstance(value, Outcome):
        _number(value.rating, "rating", symbol)
        return value
    is_no = isinstance(rule, Signal) and rule.none_is_no
    if isinstance(value, list | tuple | set | frozenset) and not hasattr(value, "_asdict"):
        return _of_list(value, symbol, row_map, rule)
    if is_nothing(value):
        if is_no:
            return Outcome(is_hit=False)
        if isinstance(value, float | np.floating):
            return Outcome()  # no rating: unknown, and no failure
        return Outcome.failed(
            f"the scanner returned {_shown(value)}; if that means no signal, use "
            f"{judging_by('Signal(none_is_no=True)', 'signal-or-none')}"
        )
    if (flag := as_flag(value)) is not None:
        return Outcome(rating=float(flag), signal="yes" if flag else "no", is_hit=flag)
    if (text := as_text(value)) is not None:
        number = as_number(text)
        if number is None or math.isnan(number):
            return Outcome(signal=text)
        return Outcome(rating=_number(number, "rating", symbol))
    row = as_row(value)
    if row is not None and not (isinstance(value, pd.Series) and _is_one_number(value)):
        return _of_row(row, symbol, row_map, is_no=is_no)
    if isinstance(value, np.ndarray) and value.size != 1:
        return _of_list(value.tolist(), symbol, row_map, rule)
    number = as_number(value)
    if number is not None:
        flag = number > 0 if isinstance(value, int | np.integer) and number in (-1, 0, 1) else None
        return Outcome(rating=_number(number, "rating", symbol), is_hit=flag)
    if is_no:
        return Outcome(is_hit=True)  # something was returned
    raise _unreadable(value, symbol)


def _of_list(value: Any, symbol: str, row_map: RowMap | None, rule: RewardRule | None) -> Outcome:
    if len(value) == 1 and as_row(only := next(iter(value))) is not None:
        return _read(only, symbol, row_map, rule)
    met = conditions(value)
    if met is None:
        if isinstance(rule, Signal) and rule.none_is_no:
            return Outcome(is_hit=True)
        raise _unreadable(value, symbol)
    names = ", ".join(met)[:_MOST_LETTERS]
    return Outcome(rating=float(len(met)), signal=names or None, is_hit=bool(met))


def _of_row(row: Mapping[Any, Any], symbol: str, row_map: RowMap | None, *, is_no: bool) -> Outcome:
    rating, alpha, signal, is_hit, bars = math.nan, None, None, None, None
    has_rating = has_signal = False
    columns: dict[str, float] = {}
    for meant, name, value in _fields(row, symbol, row_map):
        if meant == "rating" and math.isnan(rating):
            rating, has_rating = _number(value, name, symbol), True
        elif meant == "signal" and not has_signal:
            (signal, is_hit), has_signal = _signal(value, name, symbol), True
        elif meant == "alpha" and alpha is None:
            alpha = _number(value, name, symbol)
        elif meant == "bars" and isinstance(value, pd.DataFrame):
            bars = value
        elif meant == "column":
            columns[name] = _number(value, name, symbol)
        elif isinstance(value, _NUMBERS):  # texts, and what is nested, are no columns
            columns[name] = float(value)
    if math.isnan(rating) and signal is None and is_hit is None:
        if not is_no:
            how = where_to_find("rating", "signal")
            more = "" if row_map is not None else f"; {how}; the row has {_paths(row)}"
            return Outcome.failed(f"the scanner returned neither rating nor signal{more}")
        # A row is something, unless it says that there is none.
        is_hit = not has_signal and not has_rating
    elif is_no and not has_signal:
        is_hit = True
    return Outcome(rating, signal, alpha, columns, is_hit=is_hit, bars=bars)


def _fields(
    row: Mapping[Any, Any], symbol: str, row_map: RowMap | None
) -> Iterator[tuple[str | None, str, object]]:
    """Yield the fields of a row, each as what it is meant, its name and its value.

    A field is meant as "rating", "signal", "alpha", "bars" or "column" (which must be a number);
    None = a column if it is a number.
    """
    if row_map is None:
        for key, value in row.items():
            yield _MEANING.get(str(key).lower()), str(key), value
        return
    found: dict[str, object] = {}
    for name in row_map.fields:
        is_there, found[name] = find(row, name)
        if not is_there:
            raise InvalidOutcomeError(
                f"the row of {symbol} has no {name!r}, which the row map names; it has "
                f"{_paths(row)}"
            )
    for meant in ("rating", "signal", "alpha"):
        if (name := getattr(row_map, meant)) is not None:
            yield meant, name, found[name]
    for name in row_map.columns or ():
        yield "column", name, found[name]
    for key, value in row.items():
        if key == "bars" and isinstance(value, pd.DataFrame):
            yield "bars", key, value
        elif row_map.columns is None and key not in found:
            yield None, str(key), value


def _signal(value: object, name: str, symbol: str) -> tuple[str | None, bool | None]:
    """Return the word of a signal, and whether it is high-value, None = the word decides."""
    if is_missing(value):
        return None, None
    if (flag := as_flag(value)) is not None:
        return ("yes" if flag else "no"), flag
    met = conditions(value)
    if met is not None:
        return (", ".join(met)[:_MOST_LETTERS] or None), bool(met)
    if (text := as_text(value)) is not None and meaning(text) is not None:
        return text, None
    number = as_number(value)
    if number is not None:
        return (str(value), number > 0) if not math.isnan(number) else (None, None)
    if text is not None:
        return text, None
    raise InvalidOutcomeError(
        f"{name} of {symbol} is {_shown(value)}; expected a string such as 'Long', a boolean or "
        "a number"
    )


def _judged_by(rule: HitIf, value: object, symbol: str, row_map: RowMap | None) -> Outcome:
    """Return the verdict of the user's function, with whatever else of the result can be read."""
    if isinstance(value, Outcome) and (value.error is not None or value.is_hit is not None):
        return value  # read before
    try:
        is_hit = bool(rule.is_hit(value))
    except Exception as err:
        raise InvalidOutcomeError(
            f"HitIf {rule.name} failed for the result of {symbol}, {_shown(value)}: "
            f"{type(err).__name__}: {err}"
        ) from err
    try:
        outcome = _read(value, symbol, row_map, None)
    except InvalidOutcomeError:
        outcome = Outcome()  # the function has read it
    if outcome.error is not None:
        row = as_row(value) or {}
        outcome = Outcome(
            columns={str(k): float(x) for k, x in row.items() if isinstance(x, _NUMBERS)}
        )
    return replace(outcome, is_hit=is_hit)


def _by_words(outcome: Outcome, value: object, rule: Signal) -> Outcome:
    if outcome.error is not None or outcome.is_hit is not None:
        return outcome
    if outcome.signal is not None:
        if rule.words is None:
            return outcome
        return replace(outcome, is_hit=meaning(outcome.signal, rule.words) is True)
    # Of a scanner that returns nothing for no signal, a number other than 0 is one.
    is_bare = rule.none_is_no and not isinstance(value, Outcome) and as_row(value) is None
    return replace(outcome, is_hit=outcome.rating != 0.0) if is_bare else outcome


def _rated_by_signal(
    outcome: Outcome, value: object, symbol: str, row_map: RowMap | None
) -> Outcome:
    """Rate by the signal, 1 or 0, where ratings are judged and the scanner gives none."""
    if isinstance(value, Outcome) or (row_map is not None and row_map.rating is not None):
        return outcome
    row = as_row(value)
    if outcome.signal is not None and outcome.is_hit is None and meaning(outcome.signal) is None:
        if row is None:  # a message, perhaps; no grade on any scale
            raise _unreadable(value, symbol)
        return outcome
    if row is not None and any(str(key).lower() in RATING_NAMES for key in row):
        return outcome
    return replace(outcome, rating=outcome.is_signal)


def _refusal(value: object, name: str, expected: str) -> InvalidOutcomeError:
    return InvalidOutcomeError(str(refusal(value, name, expected)))


def _number(value: object, name: str, symbol: str) -> float:
    number = as_number(value)
    if number is None:
        raise InvalidOutcomeError(f"{name} of {symbol} is {_shown(value)}; expected a number")
    if math.isinf(number):
        raise InvalidOutcomeError(f"{name} of {symbol} is {number}; expected a finite number")
    return number


def _is_one_number(value: pd.Series[Any]) -> bool:
    """Whether a Series is the last entry of a column rather than a row."""
    return value.size == 1 and not isinstance(value.index[0], str)


def _unreadable(value: object, symbol: str) -> InvalidOutcomeError:
    what = f"{_shown(value)} ({type(value).__name__})"
    if isinstance(value, pd.DataFrame):
        what = f"a frame of {len(value)} rows"
    return InvalidOutcomeError(
        f"outcome of {symbol} is {what}; expected a number, a signal (True, 'BUY', a list of "
        "conditions met), one row, an Outcome, or an exception for a failed evaluation. For "
        f"anything else, {judging_any_shape()}"
    )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}..."


def _paths(row: Mapping[Any, Any]) -> str:
    shown = list(islice(paths(row), _MOST_SHOWN + 1))
    more = ", ..." if len(shown) > _MOST_SHOWN else ""
    return (", ".join(map(repr, shown[:_MOST_SHOWN])) or "nothing") + more
