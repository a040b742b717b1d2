"""The built-in reference scanners, and the way from a scanner's name to its function.

A scanner is a function `scan(symbol, bars) -> row`: bars are one symbol's days up to the as-of day,
the row holds `rating`, `signal`, `alpha` and further numeric columns. Yours may live anywhere: name
it `package.module:function`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bandit.errors import InvalidInputError
from features.inputs.bars import Bars
from scanner_adapter.inputs.bars import COLUMNS
from scanner_adapter.scanners.rules import AVOID_TO, RULES, Series

Row = Mapping[str, object]
Scanner = Callable[[str, pd.DataFrame], Row]


def _scan(name: str, symbol: str, bars: pd.DataFrame) -> Row:
    """Rate one symbol by one built-in rule.

    Parameters
    ----------
    name : str
        A key of `RULES`.
    symbol : str
        Only named in errors.
    bars : DataFrame, columns open, high, low, close, volume
        The symbol's days up to and including the as-of day, oldest first, without gaps in their
        values.

    Returns
    -------
    mapping
        `rating` and `alpha` (float), `signal` ("Buy", "Hold" or "Avoid"), and the rule's further
        numeric columns.

    Raises
    ------
    InvalidInputError
        With fewer bars than the rule needs; an error outcome, not a bad rating.
    """
    rule = RULES[name]
    if len(bars) < rule.min_bars:
        raise InvalidInputError(
            f"{symbol}: {name} needs at least {rule.min_bars} bars, got {len(bars)}"
        )
    series = Series(*(bars[column].to_numpy(np.float64) for column in COLUMNS))
    last = {column: values[-1].item() for column, values in rule.columns(series).items()}
    # "Hold" and not None: no signal would mean that the scanner does not say.
    signal = "Buy" if last.pop("is_hit") else "Hold"
    if name == "technical_rating" and last["rating"] <= AVOID_TO:
        signal = "Avoid"
    return {"rating": last.pop("rating"), "signal": signal, "alpha": last.pop("alpha"), **last}


SCANNERS: Mapping[str, Scanner] = {name: partial(_scan, name) for name in RULES}


def scanner_from_name(name: str) -> Scanner:
    """Return the built-in scanner of that name, or import `package.module:function`.

    Raises
    ------
    InvalidInputError
        When there is no such scanner; the message says which of module and function is missing.

    Examples
    --------
    >>> scanner_from_name("breakout") is SCANNERS["breakout"]
    True
    """
    if name in SCANNERS:
        return SCANNERS[name]
    module_name, colon, attribute = name.partition(":")
    if not (colon and module_name and attribute):
        raise InvalidInputError(
            f"unknown scanner {name!r}: use one of {', '.join(SCANNERS)}, or give your own as "
            "package.module:function"
        )
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as err:
        # The module itself may be there and one of its own imports missing: say which.
        raise InvalidInputError(f"scanner {name!r}: cannot import {module_name}: {err}") from err
    function = getattr(module, attribute, None)
    if not callable(function):
        raise InvalidInputError(f"scanner {name!r}: {module_name} has no function {attribute!r}")
    scanner: Scanner = function
    return scanner


def rule_hits(name: str, bars: Bars) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Apply one built-in rule to every symbol and day at once, for replays and benchmarks.

    Parameters
    ----------
    name : str
        A key of `RULES`.
    bars : Bars, shape (n_days, n_symbols)

    Returns
    -------
    is_hit : ndarray of bool, shape (n_days, n_symbols)
        False where the symbol has no bar or too few before it.
    rating : ndarray of float64, shape (n_days, n_symbols)
        NaN there. Both equal what `SCANNERS[name]` gives on the bars up to that day.
    """
    if name not in RULES:
        raise InvalidInputError(f"unknown rule {name!r}: use one of {', '.join(RULES)}")
    rule = RULES[name]
    is_hit = np.zeros(bars.close.shape, bool)
    rating = np.full(bars.close.shape, np.nan)
    present = ~np.isnan(bars.close)
    # A loop over symbols: the indicators are recursive in time and must skip the days on which a
    # symbol has no bar.
    for j in range(bars.close.shape[1]):
        days = np.flatnonzero(present[:, j])
        if len(days) < rule.min_bars:
            continue
        series = Series(*(getattr(bars, column)[days, j] for column in COLUMNS))
        columns, usable = rule.columns(series), days[rule.min_bars - 1 :]
        is_hit[usable, j] = columns["is_hit"][rule.min_bars - 1 :]
        rating[usable, j] = columns["rating"][rule.min_bars - 1 :]
    return is_hit, rating
