"""What a scanner said of one symbol, in one shape, whatever shape the scanner uses."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np

from scanner_adapter.errors import InvalidOutcomeError

# Where common scanners keep the three fields that have a meaning here; first match wins.
_RATING = ("rating", "TechRating", "score", "Score", "Rating")
_SIGNAL = ("signal", "Signal")
_ALPHA = ("alpha", "AlphaScore", "alpha_score")

# Signals that say "look at this one"; every other text says "do not". Compared in lower case.
HIGH_VALUE_SIGNALS = frozenset({"buy", "strong buy", "long", "strong long"})


@dataclass(frozen=True, slots=True)
class RowMap:
    """Where a scanner's rows keep what has a meaning here, when the usual names do not fit.

    A field that is named must be in every row: a map that points to nothing is an error, not a
    silent lack of ratings.

    Parameters
    ----------
    rating, signal, alpha : str, optional
        Names of these fields; None = the scanner has none.
    columns : tuple of str, optional
        Further numeric columns to keep; None = every number in the row.

    Examples
    --------
    >>> Outcome.of({"px": 1.5, "grade": 7}, row_map=RowMap(rating="grade")).rating
    7.0
    """

    rating: str | None = None
    signal: str | None = None
    alpha: str | None = None
    columns: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.rating is None and self.signal is None:
            raise InvalidOutcomeError("a row map names neither rating nor signal; name one")

    @property
    def fields(self) -> tuple[str, ...]:
        """Everything that a row must have."""
        named = (self.rating, self.signal, self.alpha, *(self.columns or ()))
        return tuple(name for name in named if name is not None)


# Rows as the technic family of scanners writes them.
TECHNIC_ROWS = RowMap(rating="TechRating", signal="Signal", alpha="AlphaScore")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the scanner said of one symbol.

    Parameters
    ----------
    rating : float
        On the scanner's own scale, NaN = it gives none.
    signal : str, optional
        Such as "Long" or "Avoid".
    alpha : float, optional
        A second score, kept as one more numeric column.
    columns : mapping of str to float
        Numeric columns of the scanner's row; they become context of the next scan.
    error : str, optional
        Why the evaluation failed. A failure teaches nothing: it is not a reward of zero.

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

    @classmethod
    def failed(cls, error: BaseException | str) -> Outcome:
        """Return the outcome of an evaluation that failed."""
        text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        return cls(error=text or "failed")

    @property
    def is_signal(self) -> float:
        """1 for a high-value signal, 0 for another or none, NaN without a signal and a rating.

        Scanners commonly give a signal to what they like and none to the rest.
        """
        if self.signal is None:
            return math.nan if math.isnan(self.rating) else 0.0
        return float(self.signal.strip().lower().replace("_", " ") in HIGH_VALUE_SIGNALS)

    @classmethod
    def of(cls, value: object, *, symbol: str = "?", row_map: RowMap | None = None) -> Outcome:
        """Read what a scanner returned.

        Parameters
        ----------
        value : Outcome, number, mapping, dataclass, pandas Series or exception
            A number is the rating. A mapping, dataclass or Series is a row: rating, signal and
            alpha under their usual names (also TechRating, AlphaScore, Signal), every other
            number a column. An exception, or None, is a failed evaluation.
        row_map : RowMap, optional
            Where rows keep their fields, instead of the usual names.

        Raises
        ------
        InvalidOutcomeError
            For anything else, naming the symbol and the value.
        """
        if isinstance(value, Outcome):
            _number(value.rating, "rating", symbol)
            return value
        if isinstance(value, BaseException):
            return cls.failed(value)
        if value is None:
            return cls.failed("the scanner returned None")
        if _is_number(value):
            return cls(rating=_number(value, "rating", symbol))
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            row = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
            return cls._from_row(row, symbol, row_map)
        if isinstance(value, Mapping):
            return cls._from_row(value, symbol, row_map)
        if hasattr(value, "to_dict"):  # a pandas Series, without importing pandas here
            return cls._from_row(value.to_dict(), symbol, row_map)
        raise InvalidOutcomeError(
            f"outcome of {symbol} is {value!r} ({type(value).__name__}); expected a number, a row "
            "(mapping, dataclass, Series), an Outcome, or an exception for a failed evaluation"
        )

    @classmethod
    def _from_row(cls, row: Mapping[Any, Any], symbol: str, row_map: RowMap | None) -> Outcome:
        if row_map is not None:
            return cls._from_mapped(row, symbol, row_map)
        rating, signal, alpha = math.nan, None, None
        columns: dict[str, float] = {}
        for key, value in row.items():
            name = str(key)
            if name in _RATING and math.isnan(rating):
                rating = _number(value, name, symbol)
            elif name in _SIGNAL and signal is None:
                signal = _text(value, name, symbol)
            elif name in _ALPHA and alpha is None:
                alpha = _number(value, name, symbol)
            elif isinstance(value, bool) or _is_number(value):
                columns[name] = float(value)
        if math.isnan(rating) and signal is None:
            return cls.failed("the scanner gave neither rating nor signal")
        return cls(rating=rating, signal=signal, alpha=alpha, columns=columns)

    @classmethod
    def _from_mapped(cls, row: Mapping[Any, Any], symbol: str, row_map: RowMap) -> Outcome:
        missing = [name for name in row_map.fields if name not in row]
        if missing:
            raise InvalidOutcomeError(
                f"the row of {symbol} has no {missing[0]!r}, which the row map names; it has "
                f"{', '.join(map(repr, row)) or 'nothing'}"
            )
        mapped = {row_map.rating, row_map.signal, row_map.alpha}
        rating = math.nan
        if row_map.rating is not None:
            rating = _number(row[row_map.rating], row_map.rating, symbol)
        signal = None
        if row_map.signal is not None:
            signal = _text(row[row_map.signal], row_map.signal, symbol)
        if math.isnan(rating) and signal is None:
            return cls.failed("the scanner gave neither rating nor signal")
        if row_map.columns is None:
            columns = {
                str(key): float(value)
                for key, value in row.items()
                if key not in mapped and (isinstance(value, bool) or _is_number(value))
            }
        else:
            columns = {name: _number(row[name], name, symbol) for name in row_map.columns}
        alpha = row_map.alpha
        return cls(
            rating=rating,
            signal=signal,
            alpha=None if alpha is None else _number(row[alpha], alpha, symbol),
            columns=columns,
        )


def _number(value: object, name: str, symbol: str) -> float:
    if type(value) is float and not math.isinf(value):  # nearly always
        return value
    if value is None:
        return math.nan
    if not _is_number(value):
        raise InvalidOutcomeError(f"{name} of {symbol} is {value!r}; expected a number")
    number = float(value)
    if math.isinf(number):
        raise InvalidOutcomeError(f"{name} of {symbol} is {number}; expected a finite number")
    return number


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _text(value: object, name: str, symbol: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and math.isnan(value):  # an empty cell of a DataFrame
        return None
    raise InvalidOutcomeError(f"{name} of {symbol} is {value!r}; expected a text such as 'Long'")
