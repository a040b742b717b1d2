"""Sub-scores of a day that is not over: today's bar made from a quote, then as any other day's.

What a quote says of volume and range by ten o'clock is put on the scale of a whole day. Early in
the session that is mostly noise, so it is weighed against the symbol's own past: at the open only
the past counts, at the close only the quote.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from features.factors import PANEL_NAMES, sub_score_panel
from features.inputs.bars import Bars
from features.inputs.events import Events
from features.inputs.quotes import Quotes
from features.inputs.splits import overnight_splits
from features.inputs.tables import FIELDS

# Columns that only quotes give; appended to the sub-scores of bars.
TODAY = ("market.session_done", "market.gap", "market.since_open")

# Spread of log volume around what the days before let expect, and of log range; and spread of the
# projection of half a day's volume: that of a share s of it is so many times sqrt((1 - s) / s).
_VOLUME_SPREAD, _RANGE_SPREAD = 0.4, 0.35
_PROJECTION = 0.18
# Share of yesterday's surprise in volume that is left today.
_PERSISTENCE = 0.5
# Own bars that say what is usual, and the least of them.
_USUAL, _LEAST_USUAL = 20, 5
_DAILY, _LEAST_DAILY = 60, 20
# Least daily deviation taken for real, as for the other gaps.
_LEAST_DEVIATION = 1e-4
# Usual size of a gap and of a move since the open, in daily deviations.
_GAP_SPREAD, _OPEN_SPREAD = 0.6, 0.8


@dataclass(frozen=True, slots=True)
class TodayScores:
    """Sub-scores of a universe as of a moment within a session.

    Parameters
    ----------
    names : tuple of str
        `PANEL_NAMES` and `TODAY`.
    values : ndarray of float32, shape (n_symbols, n_sub)
        0 to 100, NaN = unknown; a symbol without a quote has those of the evening before.
    day : datetime64[D]
        The day of the session.
    used : Quotes
        The quotes that went in; `notes` says which did not.
    """

    names: tuple[str, ...]
    values: NDArray[np.float32]
    day: np.datetime64
    used: Quotes


def today_scores(
    bars: Bars,
    quotes: Quotes,
    *,
    now: datetime,
    events: Events | None = None,
    is_clock: bool = False,
    has_day: bool = False,
) -> TodayScores | None:
    """Return the sub-scores at `now`, None where no quote can be used.

    Parameters
    ----------
    bars : Bars
        Bars of the session's own day and later are not read, but see `has_day`.
    quotes : Quotes
        See `Quotes.at` for which of them count.
    now : datetime
    is_clock : bool
        Whether `now` is the clock, with which those of vendors agree to minutes only.
    has_day : bool
        Whether bars of the session's own day are whole. They then count for symbols without a
        quote, and instead of quotes without a volume or from before the close.
    """
    used = quotes.at(now, is_clock=is_clock)
    wall = used.session.wall(now)
    day = used.session.begin(wall).astype("datetime64[D]")
    n_past = int(np.searchsorted(bars.dates, day))
    if has_day and used.symbols and day in bars.dates:
        last_moment = day.astype("M8[us]") + np.timedelta64(86_400_000_000 - 1, "us")
        used = _with_whole_bars(used, bars, n_past, np.minimum(wall, last_moment))
    place = {symbol: j for j, symbol in enumerate(bars.symbols)}
    at = np.array([place.get(symbol, -1) for symbol in used.symbols], np.intp)
    used, at = used.take(np.flatnonzero(at >= 0)), at[at >= 0]
    if not at.size or n_past == 0:
        return None
    past = Bars(bars.dates[:n_past], bars.symbols, *(getattr(bars, f)[:n_past] for f in FIELDS))
    past, used = _split_overnight(past, used, at)
    bar, further = _today(past, used, at)
    arrays = [
        np.concatenate([getattr(past, name), row[None]])
        for name, row in zip(FIELDS, bar, strict=True)
    ]
    whole = Bars(np.append(past.dates, day), past.symbols, *arrays)
    is_quoted = ~np.isnan(bar[3])
    days = whole.dates[-1:] if is_quoted.all() else whole.dates[-2:]
    panel = sub_score_panel(whole, events, dates=days)
    values = panel.values[-1]
    if not is_quoted.all():
        from_bars = np.array([not name.startswith("fundamental.") for name in PANEL_NAMES])
        values = np.where(~is_quoted[:, None] & from_bars, panel.values[0], values)
    values = np.concatenate([values, further], axis=1, dtype=np.float32)
    return TodayScores((*PANEL_NAMES, *TODAY), values, day, used)


def _with_whole_bars(quotes: Quotes, bars: Bars, row: int, time: np.datetime64) -> Quotes:
    """Return quotes made from the bars of a finished day, and those that know more than these."""
    is_whole = quotes.session.time_done(quotes.time).max() >= 1.0
    known = {bars.symbols[j] for j in np.flatnonzero(bars.mask[row])}
    is_kept = np.array([symbol not in known for symbol in quotes.symbols])
    is_kept |= is_whole & ~np.isnan(quotes.volume)
    kept = quotes.take(np.flatnonzero(is_kept))
    known -= set(kept.symbols)
    at = [j for j, symbol in enumerate(bars.symbols) if symbol in known]
    open_, high, low, last, volume = (
        np.append(getattr(kept, "last" if name == "close" else name), getattr(bars, name)[row, at])
        for name in FIELDS
    )
    notes, n_left = kept.notes, len(quotes.symbols) - len(kept.symbols)
    if n_left:
        why = f"the bars know more of {bars.dates[row]}"
        notes = (*notes, f"{n_left} of {len(quotes.symbols)} quotes left out: {why}")
    return replace(
        kept, symbols=(*kept.symbols, *(bars.symbols[j] for j in at)),
        time=np.append(kept.time, np.full(len(at), time)), last=last, open=open_, high=high,
        low=low, volume=volume, notes=notes,
        previous_close=np.append(kept.previous_close, np.full(len(at), np.nan)),
    )  # fmt: skip


def _split_overnight(past: Bars, quotes: Quotes, at: NDArray[np.intp]) -> tuple[Bars, Quotes]:
    """Put the bars of symbols that were split since the last day on the scale of their quotes."""
    before = np.where(np.isnan(quotes.open), np.nan, quotes.previous_close)
    ratio = overnight_splits(past.close[-1, at], before)
    rows = np.flatnonzero(ratio != 1.0)
    if not rows.size:
        return past, quotes
    scale = np.ones(len(past.symbols))
    scale[at[rows]] = ratio[rows]
    open_, high, low, close = (getattr(past, name) / scale for name in FIELDS[:-1])
    shown = ", ".join(f"{quotes.symbols[k]} {ratio[k]:g} for 1" for k in rows[:3].tolist())
    note = f"{rows.size} split{'s' * (rows.size > 1)} since the last bar adjusted ({shown})"
    whole = Bars(past.dates, past.symbols, open_, high, low, close, past.volume * scale)
    return whole, replace(quotes, notes=(*quotes.notes, note))


def _today(
    past: Bars, quotes: Quotes, at: NDArray[np.intp]
) -> tuple[list[NDArray[np.float64]], NDArray[np.float32]]:
    """Return today's bar of every symbol, five of shape (n,), and the columns of `TODAY`."""
    close, volume, high, low = (
        _own_rows(getattr(past, name)[:, at], past.close[:, at], _DAILY + 1)
        for name in ("close", "volume", "high", "low")
    )
    session = quotes.session
    # One call shows the whole market at one time: a symbol's own last trade may be hours old.
    share = np.repeat(session.volume_done(quotes.time.max()[None]), at.size)
    before = np.where(quotes.previous_close > 0, quotes.previous_close, close[-1])
    last = quotes.last
    is_given = ~np.isnan(quotes.open) & (not quotes.is_rolling)
    open_ = np.where(is_given, quotes.open, np.where(np.isnan(before), last, before))
    top = np.fmax(np.fmax(quotes.high, last), open_)
    bottom = np.fmin(np.fmin(quotes.low, last), open_)
    weigh = np.ones_like(share) if quotes.is_rolling else share
    log_volume = _usual(np.log1p(volume), _PERSISTENCE)
    log_range = _usual(np.log(np.maximum(np.log(high / low), 1e-4)), 0.0)
    expected = _weighed(np.log1p(_over(quotes.volume, weigh)), log_volume, weigh, _VOLUME_SPREAD)
    # Prices move with the volume: the range grows with the square root of its share.
    so_far = np.log(np.maximum(_over(np.log(top / bottom), np.sqrt(weigh)), 1e-4))
    size = np.exp(_weighed(so_far, log_range, weigh, _RANGE_SPREAD))
    wider = np.exp(np.maximum(size - np.log(top / bottom), 0.0) / 2.0)
    wider = np.where(np.isnan(wider), 1.0, wider)
    rows = (open_, top * wider, bottom / wider, last, np.expm1(expected))
    bar = [np.full(len(past.symbols), np.nan) for _ in FIELDS]
    for row, values in zip(bar, rows, strict=True):
        row[at] = values
    change = np.diff(np.log(close), axis=0)
    n_moves = np.count_nonzero(~np.isnan(change), axis=0)
    squares = np.nansum(change**2, axis=0) / np.maximum(n_moves, 1)
    daily = np.sqrt(np.where(n_moves >= _LEAST_DAILY, squares, np.nan))
    daily = np.where(daily > _LEAST_DEVIATION, daily, np.nan)
    further = np.full((len(past.symbols), len(TODAY)), np.nan, np.float32)
    further[at, 0] = 100.0 * share
    opened = np.where(is_given, open_, np.nan)
    further[at, 1] = 100.0 * ndtr(np.log(opened / before) / daily / _GAP_SPREAD)
    further[at, 2] = 100.0 * ndtr(np.log(last / opened) / daily / _OPEN_SPREAD)
    return bar, further


def _own_rows(
    values: NDArray[np.float64], close: NDArray[np.float64], n_rows: int
) -> NDArray[np.float64]:
    """Return each symbol's own last bars, (n_rows, n), the latest last; NaN before its first."""
    mask = ~np.isnan(close)
    tail = slice(max(len(close) - 3 * n_rows, 0), None)
    order = np.argsort(mask[tail], axis=0, kind="stable")[-n_rows:]
    own = np.take_along_axis(values[tail], order, axis=0)
    missing = n_rows - len(own)
    return np.concatenate([np.full((missing, own.shape[1]), np.nan), own]) if missing > 0 else own


def _usual(log_values: NDArray[np.float64], persistence: float) -> NDArray[np.float64]:
    """Return the value expected of a symbol's next bar from its last ones, shape (n,)."""
    recent = log_values[-_USUAL:]
    n_known = np.count_nonzero(~np.isnan(recent), axis=0)
    mean = np.nansum(recent, axis=0) / np.maximum(n_known, 1)
    expected = mean + persistence * (recent[-1] - mean)
    return np.where(n_known >= _LEAST_USUAL, expected, np.nan)


def _weighed(
    seen: NDArray[np.float64],
    expected: NDArray[np.float64],
    share: NDArray[np.float64],
    spread: float,
) -> NDArray[np.float64]:
    """Weigh a projection by its precision against an expectation; either may be unknown."""
    with np.errstate(divide="ignore"):
        error = _PROJECTION**2 * (1.0 - share) / share
    weight = spread**2 / (spread**2 + error)
    weight = np.where(np.isnan(seen) | (share <= 0.0), 0.0, weight)
    weight = np.where(np.isnan(expected) & (weight > 0.0), 1.0, weight)
    return np.where(weight > 0.0, weight * np.nan_to_num(seen), 0.0) + np.where(
        weight < 1.0, (1.0 - weight) * expected, 0.0
    )


def _over(values: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(values, share, out=np.full_like(values, np.nan), where=share > 0.0)
