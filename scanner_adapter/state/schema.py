"""Validates journal entries and snapshots after decoding, before they are folded.

The codec guarantees that bytes are complete and in our format, but whoever can write to the store
can still write an invalid entry. Every number, name and shape that a fold reads is checked here, so
that such an entry is refused with its position and reason before anything is learned from it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NoReturn

import numpy as np

from bandit.belief.recall import N_STATE
from bandit.errors import CorruptStateError
from bandit.stores import Entry, Snapshot

_LATEST_DAY = 1e6  # days since the epoch: the year 4707
_MOST = 2**53  # largest count
_LARGEST = 1e12  # largest learned number; its square is finite in single precision


class _Header:
    """A JSON header, and its place for error messages."""

    def __init__(self, header: Mapping[str, Any], where: str) -> None:
        self.header, self.where = header, where

    def refuse(self, name: str, expected: str) -> NoReturn:
        met = repr(self.header.get(name, "nothing"))
        raise CorruptStateError(
            f"{self.where}: `{name}` is {met[:80]}; expected {expected}. It was not used; see "
            "`scanrank store repair`."
        )

    def number(
        self, name: str, *, low: float = -math.inf, high: float = math.inf, optional: bool = False
    ) -> None:
        value: Any = self.header.get(name)
        if optional and value is None:
            return
        if not _is_number(value) or not low <= value <= high:
            limits = "" if math.isinf(low) else f" from {low:g} to {high:g}"
            self.refuse(name, f"a finite number{limits}")

    def count(self, name: str, *, optional: bool = False) -> None:
        value = self.header.get(name)
        if not (optional and value is None) and not (type(value) is int and 0 <= value <= _MOST):
            self.refuse(name, "a whole number, 0 or more")

    def texts(self, name: str) -> list[str]:
        value: Any = self.header.get(name)
        if not _are_texts(value):
            self.refuse(name, "a list of distinct strings")
        return list(value)

    def text(self, name: str) -> None:
        value = self.header.get(name)
        if value is not None and not isinstance(value, str):
            self.refuse(name, "a string or null")

    def all_of(self, name: str, expected: str, holds: Callable[[Any], bool]) -> None:
        if name in self.header and not holds(self.header[name]):
            self.refuse(name, expected)


def check_entry(entry: Entry, ruleset: str) -> None:
    """Raise if an entry cannot be folded.

    Raises
    ------
    CorruptStateError
        Names the position, the field and what was expected.
    """
    where = f"journal {ruleset} entry {entry.position} ({entry.kind} of scan {entry.scan_id})"
    header = _Header(entry.header, where)
    header.number("scan_time", low=-_LATEST_DAY, high=_LATEST_DAY)
    if entry.kind == "open":
        header.texts("columns")
        header.text("as_of")
    elif entry.kind == "report":
        columns, rows = header.texts("columns"), header.texts("row_columns")
        header.number("reported_at", optional=True)
        header.number("hit_limit", optional=True)
        _check_report(entry, where, len(columns), len(rows))
    else:
        for name in ("limit", "hit_limit"):
            header.number(name, optional=True)
        header.count("n_total", optional=True)
        if entry.header.get("n_total"):
            header.number("n_scanned", low=0, high=entry.header["n_total"])
        header.all_of("is_judged", "true or false", lambda value: isinstance(value, bool))
        header.all_of("pattern", "numbers by name", _is_numbers_by_name)
        header.all_of(
            "recall",
            "pairs of numbers",
            lambda value: (
                isinstance(value, list) and all(_is_numbers(pair, 2, low=0.0) for pair in value)
            ),
        )


def _check_report(entry: Entry, where: str, n_columns: int, n_rows: int) -> None:
    k = len(entry.arms)
    expected: dict[str, tuple[str, tuple[int, ...]]] = {
        "reward": ("f", (k,)),
        "probability": ("f", (k,)),
        "rating": ("f", (k,)),
        "context": ("f", (k, n_columns)),
        "rows": ("f", (k, n_rows)),
        "is_random": ("biu", (k,)),
    }
    optional: dict[str, tuple[str, tuple[int, ...]]] = {
        "propensity": ("f", (k,)),
        "is_signal": ("f", (k,)),
        "batch": ("iu", (k,)),
        "place": ("iu", (k,)),
    }
    for name, (kinds, shape) in (expected | optional).items():
        array = entry.arrays.get(name)
        if array is None:
            if name in optional:
                continue
            _refuse(where, f"it has no array `{name}`")
        if array.dtype.kind not in kinds or array.shape != shape:
            _refuse(where, f"`{name}` is {array.dtype} of shape {array.shape}, not {shape}")
    for name, low, high in (("reward", 0.0, 1.0), ("probability", 0.0, 1.0)):
        array = entry.arrays[name]
        is_fine = np.isnan(array) | ((array >= low) & (array <= high))
        if not is_fine.all():
            arm = entry.arms[int(is_fine.argmin())]
            _refuse(where, f"`{name}` of {arm} is {array[is_fine.argmin()]}, not {low} to {high}")
    for name in ("context", "rating"):
        if np.isinf(entry.arrays[name]).any():
            _refuse(where, f"`{name}` contains an infinite number")


def check_snapshot(snapshot: Snapshot, ruleset: str) -> None:
    """Raise if the header of a snapshot is invalid; most arrays are checked when it is restored.

    Raises
    ------
    CorruptStateError
    """
    where = f"snapshot {snapshot.version} of {ruleset}"
    header = _Header(snapshot.header, where)
    for name in ("columns", "arms", "row_columns"):
        header.texts(name)
    for name in ("limit", "time"):
        header.number(name, optional=True)
    for name in ("n_scans", "n_reports"):
        header.count(name)
    header.number("n_observed", low=0.0, high=_MOST)
    for name in ("settings", "fold_since", "seen"):
        if name not in snapshot.header:
            header.refuse(name, "what every snapshot has")
    for name in ("as_of", "born"):
        header.text(name)
    header.all_of("fold_since", "a position", _is_position)
    sizes = (("recall", N_STATE, -math.inf), ("coverage", 2, 0.0), ("trust", 2, -math.inf))
    for name, n, low in sizes:
        header.all_of(name, f"{n} numbers", partial(_is_numbers, n=n, low=low))
    header.all_of("recall", "counts and weights, none below 0", _is_recall)
    header.all_of("trust", "a precision of 0 or more first", lambda value: value[0] >= 0.0)
    for name in ("pattern", "seed_weights"):
        header.all_of(name, "numbers by name", _is_numbers_by_name)
    header.all_of("settings", "an object", lambda value: isinstance(value, dict))
    header.all_of("seen", "scans and what was seen of them", _are_seen)
    for name, array in snapshot.arrays.items():
        is_float = array.dtype.kind == "f"
        if (
            is_float and (np.abs(array.astype(np.float64)) > _LARGEST).any()
        ):  # NaN, which is unknown, is not larger
            _refuse(where, f"`{name}` contains a number beyond {_LARGEST:g}")
        # Observations may be unknown (NaN); learned numbers must be finite.
        if name.startswith(("prior_", "data_", "cell_")) and not (
            is_float and bool(np.isfinite(array).all())
        ):
            _refuse(where, f"`{name}` holds numbers that are not finite")
        if name in ("prior_precision", "cell_precision") and (array < 0.0).any():
            _refuse(where, f"`{name}` is {array.min()} somewhere; expected 0 or more")


def refused(where: str, err: Exception) -> CorruptStateError:
    """Return the error for an entry or snapshot that passed these checks but cannot be folded."""
    return CorruptStateError(
        f"{where}: it cannot be folded ({type(err).__name__}: {err}). It was not used; see "
        "`scanrank store repair`."
    )


def _refuse(where: str, reason: str) -> NoReturn:
    raise CorruptStateError(f"{where}: {reason}. It was not used; see `scanrank store repair`.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def _is_numbers(value: object, n: int, *, low: float = -math.inf) -> bool:
    return (
        isinstance(value, list)
        and len(value) == n
        and all(_is_number(each) and each >= low for each in value)
    )


def _is_position(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9]{1,20}-[0-9]{1,20}", value) is not None


def _is_recall(value: Any) -> bool:
    actual, expected, _, weight, *places = value
    return bool(min(actual, expected, weight, *places) >= 0.0)


def _is_numbers_by_name(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_number, value.values()))


def _are_texts(value: object) -> bool:
    return (
        isinstance(value, list)
        and all(isinstance(each, str) for each in value)
        and len(set(value)) == len(value)
    )


def _are_seen(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, list) and len(each) == 2 and all(isinstance(part, str) for part in each)
        for each in value
    )
