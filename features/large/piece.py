"""One piece of a universe, where it is read: its closes, then its sub-scores.

These functions run on any executor, so their arguments and results can be pickled.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.errors import FeatureError, InvalidBarsError
from features.factors import last_scores
from features.inputs.bars import Bars
from features.inputs.calendars import Market
from features.inputs.events import Events
from features.inputs.tables import FIELDS, as_pandas, read_table

# Bars, a file of bars, or a function that returns bars, a data frame, or None where there are none.
Piece = Bars | str | Path | Callable[[], object]


@dataclass(frozen=True, slots=True)
class PieceCloses:
    """Closes of one piece, needed by computations over the whole universe.

    Parameters
    ----------
    symbols : tuple of str, length n_symbols
    dates : ndarray of datetime64[D], shape (n_days,)
        The piece's own trading days.
    close : ndarray of float64, shape (n_days, n_symbols)
        NaN = no bar.
    fingerprint : int
        Identifies the bars when the piece is read again.
    """

    symbols: tuple[str, ...]
    dates: NDArray[np.datetime64]
    close: NDArray[np.float64]
    fingerprint: int


def piece_closes(piece: Piece, number: int) -> PieceCloses | None:
    """Return the closes of piece `number`; None if it is empty.

    Raises
    ------
    InvalidBarsError
        For bars that cannot be used; the message says in which piece.
    """
    bars = _bars(piece, number)
    if bars is None:
        return None
    return PieceCloses(bars.symbols, bars.dates, bars.close, _fingerprint(bars))


def piece_scores(
    piece: Piece,
    number: int,
    fingerprint: int,
    days: NDArray[np.datetime64],
    market: Market,
    events: Events | None,
    max_age: int = 0,
) -> NDArray[np.float32]:
    """Return the sub-scores of piece `number` on the last day, (n_symbols, n_sub).

    Parameters
    ----------
    fingerprint : int
        Of the bars whose closes were read.
    days : ndarray of datetime64[D], shape (n_days,)
        The trading days of the universe.
    market : Market
        The market's level on them, for the symbols of this piece.
    events : Events, optional
        Of the symbols of this piece.
    max_age : int
        See `factor_scores`.

    Raises
    ------
    InvalidBarsError
        When the piece is not the same any more.
    """
    bars = _bars(piece, number)
    # Such as a file that the nightly download has replaced in between.
    if bars is None or _fingerprint(bars) != fingerprint:
        raise InvalidBarsError(
            f"piece {number} returned different bars when read again; it must return the same bars "
            "both times"
        )
    aligned = _on_days(bars, days)
    return last_scores(aligned, events, market, max_age)


def _bars(piece: Piece, number: int) -> Bars | None:
    try:
        found: object = piece
        if isinstance(found, str | Path):
            if Path(found).is_dir():
                return Bars.read(found)
            found = read_table(Path(found))
        elif callable(found):
            found = found()
        if found is None or isinstance(found, Bars):
            return found
        frame = as_pandas(found)
        return Bars.from_frame(frame) if len(frame) else None
    except FeatureError as err:
        raise InvalidBarsError(f"piece {number}: {err}") from err


def _fingerprint(bars: Bars) -> int:
    """Return a checksum of symbols, days and closes."""
    parts = ("\0".join(bars.symbols).encode(), bars.dates.tobytes(), bars.close.tobytes())
    found = 0
    for part in parts:
        found = zlib.crc32(part, found)
    return found


def _on_days(bars: Bars, days: NDArray[np.datetime64]) -> Bars:
    """Return the bars up to the last of the days, which hold all of theirs, one row for each."""
    n_own = int(np.searchsorted(bars.dates, days[-1], side="right"))
    if n_own == len(days):
        return bars.until(days[-1])
    rows = np.searchsorted(days, bars.dates[:n_own])
    arrays = []
    for field in FIELDS:
        array = np.full((len(days), len(bars.symbols)), np.nan)
        array[rows] = getattr(bars, field)[:n_own]
        arrays.append(array)
    return Bars(days, bars.symbols, *arrays)
