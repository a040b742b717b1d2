"""Sub-scores and loadings of one day for a universe that does not fit into memory.

1. Every piece is read for its closes, which go to disk (`closes`).
2. From them comes what belongs to the whole universe: the trading days, the market's level, the
   principal components.
3. Every piece is read again and scored (`factors`), and its rows are written to the file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from features.checks import as_count, as_kind, as_path, as_texts, refusal
from features.components import components_in_pieces
from features.errors import FeatureError, InvalidBarsError
from features.factors import PANEL_NAMES
from features.inputs.calendars import Market
from features.inputs.days import as_day
from features.inputs.events import Events
from features.large.closes import StoredCloses
from features.large.in_order import in_order
from features.large.piece import Piece, PieceCloses, piece_closes, piece_scores
from features.large.rows import Rows
from features.similarity import Loadings, loadings_of


@dataclass(frozen=True, slots=True)
class StoredFeatures:
    """Features of a universe on one day, the sub-scores in a file.

    Parameters
    ----------
    symbols : tuple of str, length n_symbols
    names : tuple of str, length n_sub
        Market, fundamental and technical sub-scores.
    values : ndarray of float32, shape (n_symbols, n_sub)
        0 to 100, NaN = unknown; the file, mapped read-only.
    loadings : Loadings
        In the order of `symbols`; zero = nothing known.
    date : datetime64[D]
        The trading day whose evening the features describe.
    """

    symbols: tuple[str, ...]
    names: tuple[str, ...]
    values: NDArray[np.float32]
    loadings: Loadings
    date: np.datetime64

    @property
    def context(self) -> tuple[tuple[str, ...], NDArray[np.float32]]:
        """Names and values, as `start_scan(symbols, context=...)` takes them."""
        return self.names, self.values


def features_in_pieces(
    pieces: Iterable[Piece],
    path: str | Path,
    *,
    symbols: Sequence[str] | None = None,
    events: Events | None = None,
    as_of: object | None = None,
    sectors: Mapping[str, str] | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    max_age: int = 3,
) -> StoredFeatures:
    """Compute the features of one day piece by piece, and write the sub-scores to a file.

    For universes whose bars do not fit into memory: at any time only the pieces under way are
    there, one to a worker, and this process holds results only.

    Parameters
    ----------
    pieces : iterable of Bars, paths, or callables
        Each some symbols' bars: a `.parquet` or `.csv` file, a function without arguments that
        returns `Bars`, a data frame, or None where there is nothing, or `Bars` themselves. Each is
        read twice. Some 2,000 symbols are a good size.
    path : str or Path
        The `.npy` file to write; it appears, or replaces the one there, when it is whole.
    symbols : sequence of str, optional
        The rows wanted, in order; a symbol in no piece is unknown. By default all symbols in the
        order of the pieces. The market and the components are those of all pieces either way.
    events : Events, optional
        Of all symbols; each piece is sent its own.
    as_of : date, optional
        Last day that may be seen; by default the last day of any piece.
    sectors : mapping of symbol to sector, optional
    executor : Executor, optional
        Processes, loky, or a dask client's `get_executor()`, whose workers can read the pieces;
        only this process writes. By default everything is done here.
    workers : int, optional
        Pieces under way at a time, where the executor does not say (dask): by default the number
        of processors.
    max_age : int
        A symbol's own last bar counts if it is at most so many of its own trading days old, as in
        `start_scan`.

    Returns
    -------
    StoredFeatures
        For `ranker.start_scan(found.symbols, context=found.context, loadings=found.loadings)`.

    Raises
    ------
    InvalidBarsError
        For bars that cannot be used, with the number of the piece; for a symbol in two pieces; for
        a piece that changed between its two readings; when there is no bar up to `as_of`.
    FeatureError
        When the folder of `path` does not exist, or `symbols` are repeated.

    Notes
    -----
    The trading days are those of all pieces together: a day on which a piece has no bar is a day
    without a bar of its symbols, as in one frame of all.

    The sub-scores equal `factor_scores` of all bars at once, bit for bit. The loadings of sectors
    do too; those of components agree as far as single precision goes, see
    `features.components.components_in_pieces`.

    While it runs, closes lie in a folder beside `path`, 8 bytes for each symbol and day. A process
    that is killed leaves that folder, whose name begins with a dot, and nothing under `path`.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> def one(symbol):  # as a file of one symbol's bars would be read
    ...     return pd.DataFrame({"date": ["2024-01-02", "2024-01-03"], "symbol": symbol,
    ...         "open": 10.0, "high": 11.0, "low": 9.5, "close": 10.5, "volume": 100})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pieces = [partial(one, "A"), partial(one, "B")]
    ...     found = features_in_pieces(pieces, f"{folder}/today.npy")
    >>> found.symbols, found.values.shape
    (('A', 'B'), (2, 39))
    """
    path = as_path(path)
    # A text, a frame and a dictionary can be gone through too, and hold no pieces.
    if isinstance(pieces, str | bytes | Mapping) or hasattr(pieces, "columns"):
        raise refusal(pieces, "pieces", "a list of Bars, paths, or functions that return bars")
    pieces = list(as_kind(pieces, "pieces", Iterable, "a list of Bars, paths, or functions"))
    if symbols is not None:
        symbols = as_texts(symbols)
    as_kind(events, "events", Events | None, "Events, such as Events.from_frames(earnings=frame)")
    as_kind(sectors, "sectors", Mapping | None, "a mapping of symbol to its sector")
    as_kind(executor, "executor", Executor | None, "a concurrent.futures.Executor")
    if workers is not None:
        as_count(workers, "workers")
    if not path.parent.is_dir():
        raise FeatureError(f"no folder {path.parent} for {path.name}; create it first")
    spread = partial(in_order, executor=executor, workers=workers)
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as name:
        closes = StoredCloses(Path(name))
        members, column = _read(pieces, closes, spread)
        days = _days_until(closes.dates, as_of)
        rows = Rows(column, symbols)
        calendars = closes.calendars(len(days))
        market = closes.market(calendars)
        loadings = loadings_of(
            tuple(column),
            calendars,
            lambda group, part, q: components_in_pieces(partial(closes.members_on, group, part), q),
            sectors=sectors,
        )
        unfinished = Path(name) / "values.npy"
        scoring = _scoring(pieces, members, days, market, events, max_age)
        _write(unfinished, rows, spread(scoring))
        unfinished.replace(path)
    return StoredFeatures(
        rows.symbols,
        PANEL_NAMES,
        np.load(path, mmap_mode="r", allow_pickle=False),
        Loadings(loadings.names, rows.take(loadings.values)),
        days[-1],
    )


def _read(
    pieces: Sequence[Piece],
    closes: StoredCloses,
    spread: Callable[[Iterable[Callable[[], PieceCloses | None]]], Iterator[PieceCloses | None]],
) -> tuple[dict[int, PieceCloses], dict[str, int]]:
    """Store the closes of all pieces.

    Returns
    -------
    members : dict of a piece's number to what is known of it, its closes left out
        Those that hold bars.
    column : dict of symbol to its number among all pieces
    """
    members: dict[int, PieceCloses] = {}
    column: dict[str, int] = {}
    reading = (partial(piece_closes, piece, number) for number, piece in enumerate(pieces))
    for number, found in enumerate(spread(reading)):
        if found is None:
            continue
        twice = next((symbol for symbol in found.symbols if symbol in column), None)
        if twice is not None:
            first = next(place for place, member in members.items() if twice in member.symbols)
            raise InvalidBarsError(
                f"{twice} is in piece {first} and in piece {number}; all bars of a symbol must be "
                "in one piece"
            )
        column |= {symbol: len(column) + k for k, symbol in enumerate(found.symbols)}
        closes.add(found.symbols, found.dates, found.close)
        members[number] = replace(found, close=found.close[:0])
    if not members:
        raise InvalidBarsError(f"no bars in any of the {len(pieces)} pieces")
    return members, column


def _scoring(
    pieces: Sequence[Piece],
    members: Mapping[int, PieceCloses],
    days: NDArray[np.datetime64],
    market: Market,
    events: Events | None,
    max_age: int,
) -> Iterator[Callable[[], NDArray[np.float32]]]:
    """Yield the scoring of each piece, to be called wherever it runs."""
    start = 0
    for number, member in members.items():
        own = None if events is None else events.select(member.symbols)
        stop = start + len(member.symbols)
        part = Market(market.groups[start:stop], market.levels)
        piece = pieces[number]
        yield partial(piece_scores, piece, number, member.fingerprint, days, part, own, max_age)
        start = stop


def _write(path: Path, rows: Rows, parts: Iterable[NDArray[np.float32]]) -> None:
    """Write the sub-scores of all pieces, each part the rows of the next one."""
    shape = (len(rows.symbols), len(PANEL_NAMES))
    values = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    # A full disk says so here. At a later write to a mapped page it would kill the process.
    if sys.platform == "linux":
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    start = 0
    for part in parts:
        at, wanted = rows.of(slice(start, start + len(part)))
        values[at] = part[wanted]
        start += len(part)
    values[rows.unknown] = np.nan
    values.flush()


def _days_until(dates: NDArray[np.datetime64], as_of: object | None) -> NDArray[np.datetime64]:
    """Return the days up to `as_of`, or all of them."""
    day = dates[-1] if as_of is None else as_day(as_of)
    days = dates[: int(np.searchsorted(dates, day, side="right"))]
    if not len(days):
        raise InvalidBarsError(f"as_of {day} is before the first bar; expected {dates[0]} or later")
    return days
