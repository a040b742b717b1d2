"""What a real scanner said of every symbol on every day, aligned with the bars.

A complete log is full feedback: whatever order is replayed, the outcome of each visit is known.
Alignment happens once, so that the loop over scans slices arrays and touches no data frame.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bandit.errors import InvalidInputError
from bandit.rewards import RewardRule, Signal, final_hits
from features.errors import InvalidBarsError
from features.inputs.days import as_day
from features.inputs.tables import (
    DATE_NAMES,
    SYMBOL_NAMES,
    OnBad,
    Rows,
    kind_of,
    plain_name,
    read_table,
)
from scanner_adapter.inputs.outcomes import RATING_NAMES, Outcome
from scanner_adapter.inputs.values import as_flag
from scanner_adapter.state.parquet import is_journal, logged_ratings

log = logging.getLogger("scanrank")

REQUIRED = ("date", "symbol", "rating")
COMPLETE = "is_complete"


@dataclass(frozen=True)
class OutcomeLog:
    """Outcomes of a scanner as arrays of shape (n_days, n_symbols).

    Attributes
    ----------
    dates : ndarray of datetime64, shape (n_days,)
        Trading days of the bars, increasing; or the times of scans, of which a day has many.
    symbols : tuple of str, length n_symbols
    rating : ndarray of float64
        NaN where the scanner has no row for the symbol on that day.
    signal : ndarray of int8
        Place in `signal_names`; -1 = no signal.
    signal_names : tuple of str
        Words or numbers; what is above zero is a signal, as in the rows of a live scanner.
    columns : mapping of str to ndarray of float32
        The numeric columns of the scanner's rows, known only once the symbol was scanned.
    is_stopped : ndarray of bool, shape (n_days,), optional
        Days whose scans ended before every symbol was scanned: what is rated there was chosen by
        the order of then, so no other order is judged on it.
    """

    dates: NDArray[np.datetime64]
    symbols: tuple[str, ...]
    rating: NDArray[np.float64]
    signal: NDArray[np.int8]
    signal_names: tuple[str, ...] = ()
    columns: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    is_stopped: NDArray[np.bool_] | None = None

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        dates: NDArray[np.datetime64],
        symbols: Sequence[str],
        *,
        tz: str | None = None,
        on_bad: OnBad = "raise",
        is_timed: bool = False,
    ) -> OutcomeLog:
        """Align a tidy frame (date, symbol, rating, optional signal, numeric columns) with bars.

        An optional column `is_complete` says of each row whether its scan ran to its end.

        A stamp counts for the day that it shows, as everywhere (`features.inputs.days`).

        Parameters
        ----------
        tz : str, optional
            Zone of the market, to which stamps in UTC and epochs are taken.
        on_bad : "raise" or "skip"
            Whether a row that cannot be read is an error, or is left out and logged.
        is_timed : bool
            Whether the rows of the result are the distinct times of the frame, as the market's
            clocks show them, instead of `dates`: for a scanner that runs many times a day.

        Raises
        ------
        InvalidInputError
            For missing columns, two ratings of a symbol on one day (the same row again counts
            once), ratings that are no finite numbers, symbols without bars, days between the first
            and the last bar that have ratings but no bars, days that are still to come, or the
            rows of several rulesets. Rows before the first or after the last bar are left out.
        """
        source = frame.attrs.get("source", "ratings")
        frame = _named(frame)
        missing = [name for name in REQUIRED if name not in frame.columns]
        if missing:
            raise InvalidInputError(
                f"missing columns in {source}: {', '.join(missing)}; got "
                f"{', '.join(map(str, frame.columns[:12]))}; expected {', '.join(REQUIRED)} and "
                "optionally signal and numeric columns"
            )
        _check_ruleset(frame)
        table = Rows(frame.reset_index(drop=True), "ratings", InvalidInputError, on_bad)
        time = _inside(table, dates, tz)
        places = _places(table, symbols)
        ratings = _ratings(table)
        day = time.astype("datetime64[D]")
        if (off := table.good & ~np.isin(day, dates)).any():
            raise InvalidInputError(
                f"ratings of {np.unique(day[off])[0]} have no bars on that day "
                f"({np.unique(day[off]).size} such days); replay them with bars for all these days"
            )
        time = time if is_timed else day
        repeated = _one_each(table, time, places, ratings)
        for note in (*table.notes, *repeated):
            log.warning("ratings: %s", note)
        good = table.good
        frame, time, places, ratings = table.table[good], time[good], places[good], ratings[good]
        dates = np.unique(time) if is_timed else dates
        rows = np.searchsorted(dates, time)
        shape = (len(dates), len(symbols))
        rating = np.full(shape, np.nan)
        rating[rows, places] = ratings
        signal, words = _signals(frame, rows, places, shape)
        columns = {}
        for name in frame.columns:
            numeric = pd.api.types.is_numeric_dtype(frame[name])
            if name not in (*REQUIRED, "signal", COMPLETE) and numeric:
                columns[str(name)] = np.full(shape, np.nan, np.float32)
                columns[str(name)][rows, places] = frame[name].to_numpy(np.float32)
        is_stopped = np.zeros(len(dates), bool)
        if COMPLETE in frame.columns:
            is_stopped[rows[~_complete(frame[COMPLETE])]] = True
        return cls(dates, tuple(symbols), rating, signal, words, columns, is_stopped)

    @classmethod
    def read(
        cls,
        path: str | Path,
        dates: NDArray[np.datetime64],
        symbols: Sequence[str],
        *,
        tz: str | None = None,
        on_bad: OnBad = "raise",
        is_timed: bool = False,
    ) -> OutcomeLog:
        """Read a file of ratings, or an exported journal; see `from_frame`."""
        return cls.from_frame(
            read_ratings(path), dates, symbols, tz=tz, on_bad=on_bad, is_timed=is_timed
        )

    @property
    def left_out(self) -> tuple[str, ...]:
        """Days with ratings on which no order can be judged, in a sentence."""
        if self.is_stopped is None or not self.is_stopped.any():
            return ()
        n = int(self._is_rated.sum())
        return (
            f"{int(self.is_stopped.sum())} of the log's {n} scans; no order can be judged exactly "
            "on a scan that stopped early",
        )

    @property
    def _is_rated(self) -> NDArray[np.bool_]:
        return np.asarray(~np.isnan(self.rating).all(axis=1))

    def days(
        self, from_: date | str | None = None, to: date | str | None = None
    ) -> NDArray[np.intp]:
        """Rows of the days with complete scans, and bars before them, from `from_` to `to`.

        Raises
        ------
        InvalidInputError
            If there is no such day.
        """
        is_scan = self._is_rated & (np.arange(len(self.dates)) > 0)
        if not is_scan.any():
            raise InvalidInputError("no day has both ratings and a previous day of bars")
        if self.is_stopped is not None:
            is_scan &= ~self.is_stopped
        if not is_scan.any():
            raise InvalidInputError(
                "every scan of this log was stopped early: the results of the symbols left out are "
                "unknown, so nothing can be judged exactly. `scanrank replay --log "
                "journal.parquet` estimates from the logged propensities; let one scan in ten run "
                "to its end for everything else"
            )
        return rows_between(self.dates, is_scan, from_, to)

    def hits(self, rule: RewardRule, day: int, places: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which of these symbols were hits on that day, by the same rule that rewards them live.

        A top share is taken of the day's true ratings; symbols tied at its lower end all belong
        to it, unless they have the lowest rating of all. Live, the ranker has to estimate that
        limit while it scans.
        """
        is_signal = high_value(self.signal[day, places], self.signal_names, rule)
        return final_hits(rule, self.rating[day, places], is_signal)


def read_ratings(path: str | Path) -> pd.DataFrame:
    """Read a file of ratings, or an exported journal, as a tidy frame."""
    path = Path(path)
    try:
        is_exported = path.is_file() and kind_of(path) == ".parquet" and is_journal(path)
    except (ValueError, OSError) as err:
        raise InvalidInputError(f"{path} cannot be read as .parquet: {err}") from err
    if is_exported:
        return logged_ratings(path)
    return read_table(path, what="ratings", error=InvalidInputError)


def logged_signal(name: str, rule: RewardRule | None) -> Outcome:
    """Return what a live scan reads from a row with this signal: with the words of the rule."""
    words = rule if isinstance(rule, Signal) else None
    return Outcome.of({"rating": 0.0, "signal": name}, rule=words)


def high_value(
    signal: NDArray[np.int8], names: Sequence[str], rule: RewardRule | None
) -> NDArray[np.float64]:
    """1 where the signal (its place in `names`, -1 = none) is a high-value one, 0 elsewhere."""
    is_high = [logged_signal(name, rule).is_signal for name in names]
    return np.asarray(np.array([*is_high, 0.0])[signal])


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with our names for what it may call by others, such as ticker and score."""
    plain = {plain_name(name): name for name in reversed(frame.columns)}
    known = {"date": DATE_NAMES, "symbol": SYMBOL_NAMES, "rating": RATING_NAMES}
    ours: dict[str, str] = {}
    for name, others in (*known.items(), ("signal", ("signal",))):
        found = next((plain[other] for other in others if other in plain), None)
        ours |= {} if found is None else {found: name}
    return frame.rename(columns=ours)


def _complete(column: pd.Series) -> NDArray[np.bool_]:
    known = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
    said = column.astype(str).str.strip().str.lower().map(known)
    if said.isna().any():
        raise InvalidInputError(
            f"{COMPLETE} is {column[said.isna()].iloc[0]!r} in a row of the ratings; expected "
            "true or false"
        )
    return said.to_numpy(bool)


def _check_ruleset(frame: pd.DataFrame) -> None:
    if "ruleset" not in frame.columns:
        return
    names = [str(name) for name in frame["ruleset"].dropna().unique()]
    if len(names) > 1:
        raise InvalidInputError(
            f"ratings contain {len(names)} rulesets ({', '.join(names[:4])}); each ruleset is a "
            "separate scanner: keep the rows of one"
        )


def _inside(table: Rows, dates: NDArray[np.datetime64], tz: str | None) -> NDArray[np.datetime64]:
    """Return the time of each row, and leave those before the first and after the last bar out."""
    time = table.stamps(tz=tz).wall
    day = time.astype("datetime64[D]")
    tomorrow = np.datetime64("today", "D") + 1  # where the user is, it may be a day later
    table.refuse(
        "a day in the future",
        day > tomorrow,
        lambda row: (
            f"{day[row]} is in the future; expected logged results. Check the year, and the order "
            "of day and month"
        ),
    )
    inside = (day >= dates[0]) & (day <= dates[-1])
    if not inside.any():
        table.fail(
            f"no rating falls within the bars, {dates[0]} .. {dates[-1]}; expected ratings of "
            "those "
            "days"
        )
    table.good &= inside
    return time


def _places(table: Rows, symbols: Sequence[str]) -> NDArray[np.intp]:
    codes, names = table.codes()
    place = {symbol: k for k, symbol in enumerate(symbols)}
    places = np.array([*(place.get(name, -1) for name in names), -1], np.intp)[codes]
    lost = np.unique(codes[table.good & (places < 0)])
    if lost.size:
        shown = ", ".join(names[k] for k in lost[:5])
        table.fail(
            f"ratings name {lost.size} symbols without bars ({shown}"
            f"{' ...' if lost.size > 5 else ''}); add their bars or leave out their rows"
        )
    return places


def _ratings(table: Rows) -> NDArray[np.float64]:
    rating = table.numbers("rating")
    frame = table.table
    table.refuse(
        "no finite rating",
        ~np.isfinite(rating),
        lambda row: (
            f"the rating of {frame['symbol'].iloc[row]} on {frame['date'].iloc[row]} is "
            f"{frame['rating'].iloc[row]}; expected a finite number; leave out rows that the "
            "scanner rejected"
        ),
    )
    return rating


def _one_each(
    table: Rows,
    time: NDArray[np.datetime64],
    places: NDArray[np.intp],
    ratings: NDArray[np.float64],
) -> tuple[str, ...]:
    """Drop rows that occur again, and refuse another rating of a symbol at one time."""
    frame = table.table
    key = pd.DataFrame({"time": time, "place": places})
    whole = key.assign(rating=ratings, signal=frame.get("signal", ""))
    is_same, is_later = (np.zeros(len(frame), bool) for _ in range(2))
    is_same[table.good] = whole[table.good].duplicated()
    table.good &= ~is_same
    is_later[table.good] = key[table.good].duplicated()
    table.refuse(
        "two ratings of one symbol",
        is_later,
        lambda row: (
            f"{frame['symbol'].iloc[row]} has another rating on {time[row]}; expected one row per "
            "symbol and scan"
        ),
    )
    n_same = int(is_same.sum())
    return (f"{n_same} repeated row{'s' * (n_same > 1)} counted once",) if n_same else ()


def _signals(
    frame: pd.DataFrame,
    rows: NDArray[np.intp],
    places: NDArray[np.intp],
    shape: tuple[int, int],
) -> tuple[NDArray[np.int8], tuple[str, ...]]:
    signal = np.full(shape, -1, np.int8)
    if "signal" not in frame.columns:
        return signal, ()
    codes, names = pd.factorize(frame["signal"])
    if len(names) > np.iinfo(np.int8).max:
        raise InvalidInputError(
            f"ratings contain {len(names)} different signals; expected a few words such as Buy, "
            "Avoid"
        )
    signal[rows, places] = codes
    return signal, tuple(str(int(name) if as_flag(name) is not None else name) for name in names)


def rows_between(
    dates: NDArray[np.datetime64],
    is_scan: NDArray[np.bool_],
    from_: date | str | None,
    to: date | str | None,
) -> NDArray[np.intp]:
    """Rows of a log that are scans and lie between two days, both included.

    Raises
    ------
    InvalidInputError
        If there is none, naming the days that have scans.
    """
    first, last = dates[is_scan].min(), dates[is_scan].max()
    start, end = _day(from_, first), _day(to, last)
    rows = np.flatnonzero(is_scan & (dates >= start) & (dates <= end))
    if not rows.size:
        raise InvalidInputError(
            f"no scan from {start} to {end}; the log has scans from {first} to {last}"
        )
    return rows


def _day(given: date | str | None, default: np.datetime64) -> np.datetime64:
    if given is None:
        return default
    try:
        return as_day(given)
    except InvalidBarsError as err:
        raise InvalidInputError(str(err)) from err
