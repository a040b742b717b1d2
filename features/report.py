"""Which sub-scores are worth their place on the user's own data: a report with one row for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.checks import as_array, as_count, as_kind
from features.errors import FeatureError
from features.factors import Panel

# Sub-scores whose ranks agree more than this say the same thing twice.
_REDUNDANT = 0.95
# A lift so near the highest possible one is no forecast.
_TOO_GOOD = 0.95
# Days drawn for the rank correlations, and resamples for the intervals.
_CORRELATION_DAYS, _RESAMPLES = 60, 1000
_PERIODS = 4


@dataclass(frozen=True, repr=False)
class FactorReport:
    """Value of every sub-score; prints as a table.

    Parameters
    ----------
    table : DataFrame
        Index: sub-score. Columns: coverage (share known), p10, p50, p90 (of the score), lift,
        lift_low, lift_high (rate of hits in the day's top decile over the base rate, with a 95 %
        interval from resampled days), low_lift (the same for the bottom decile: a signed score
        can work from below), stability (share of four periods in which the stronger of the two
        lifts is on the same side of one), nearest and correlation (the sub-score whose ranks
        are closest, and Spearman's rho), verdict: 'unknown' (no data), 'too good' (nearly every
        hit lies in its top or bottom decile: it is the scanner's own formula, or it looks ahead),
        'redundant' (ranks as `nearest` does, which is better known or comes first, and is none
        itself), 'weak' (both lifts may be 1), or ''.
    base_rate : float
        Share of hits among all symbols and days with a score.
    n_days : int
    """

    table: pd.DataFrame
    base_rate: float
    n_days: int

    def __repr__(self) -> str:
        shown = self.table.to_string(float_format=lambda value: f"{value:.2f}", line_width=200)
        return f"{self.n_days} days, base rate of hits {100 * self.base_rate:.2f}%\n{shown}"

    def _repr_html_(self) -> str:
        shown = self.table.to_html(float_format=lambda value: f"{value:.2f}")
        return f"<p>{self.n_days} days, base rate of hits {100 * self.base_rate:.2f}%</p>{shown}"


def factor_report(
    panel: Panel, hits: NDArray[np.bool_], *, day_old: bool = True, seed: int = 0
) -> FactorReport:
    """Judge every sub-score by the hits that a scanner found.

    Parameters
    ----------
    panel : Panel, values of shape (n_days, n_symbols, n_sub)
    hits : ndarray of bool, shape (n_days, n_symbols)
        What was a hit on each day of the panel.
    day_old : bool
        Set the scores of a day against the hits of the next one (what a scan before the close
        has); otherwise against those of the same day.
    seed : int
        Of the resampling of days.

    Raises
    ------
    FeatureError
        If the shapes differ, or there is no hit to judge by.
    """
    as_kind(panel, "panel", Panel, "a Panel, such as sub_score_panel(bars)")
    found = as_array(hits, "hits", "an array of booleans").astype(bool)
    as_kind(day_old, "day_old", bool, "True or False")
    as_count(seed, "seed", least=0)
    if found.shape != panel.values.shape[:2]:
        raise FeatureError(f"hits have shape {found.shape}; expected {panel.values.shape[:2]}")
    values = panel.values
    if day_old:
        values, found = values[:-1], found[1:]
    scored = ~np.isnan(values).all(axis=2)
    found = found & scored
    if not found.any():
        raise FeatureError("no hit on any day with scores; a report needs hits")
    rng = np.random.default_rng(seed)
    n_days = len(values)
    # (resamples, days): how often each day is drawn
    drawn = rng.multinomial(n_days, np.full(n_days, 1.0 / n_days), size=_RESAMPLES)
    rho = _rank_correlations(values, rng)
    coverage = (~np.isnan(values)).sum(axis=(0, 1)) / max(int(scored.sum()), 1)
    nearest, is_redundant = _nearest(rho, coverage)
    rows = []
    for k in range(len(panel.names)):
        scores = values[:, :, k]
        counts = _decile_counts(scores, found)
        top, bottom = counts[:, [0, 1, 4, 5]], counts[:, [2, 3, 4, 5]]
        lift, low_lift = _lift(top.sum(axis=0)), _lift(bottom.sum(axis=0))
        spread = _lift((drawn @ top).T)
        low_spread = _lift((drawn @ bottom).T)
        low, high = np.nanpercentile(spread, [2.5, 97.5]) if np.isfinite(lift) else (np.nan,) * 2
        stronger, whole = (top, lift) if _size(lift) >= _size(low_lift) else (bottom, low_lift)
        parts = [_lift(part.sum(axis=0)) for part in np.array_split(stronger, _PERIODS)]
        known = scores[~np.isnan(scores)]
        p10, p50, p90 = np.percentile(known, [10, 50, 90]) if len(known) else (np.nan,) * 3
        if not len(known):
            verdict = "unknown"
        elif _is_too_good(top, drawn) or _is_too_good(bottom, drawn):
            verdict = "too good"
        elif is_redundant[k]:
            verdict = "redundant"
        elif low <= 1.0 <= high and _holds_one(low_spread):
            verdict = "weak"
        else:
            verdict = ""
        rows.append(
            {
                "coverage": float(coverage[k]),
                "p10": p10,
                "p50": p50,
                "p90": p90,
                "lift": float(lift),
                "lift_low": low,
                "lift_high": high,
                "low_lift": float(low_lift),
                "stability": float(np.mean([np.sign(p - 1) == np.sign(whole - 1) for p in parts])),
                "nearest": panel.names[nearest[k]],
                "correlation": float(rho[k, nearest[k]]),
                "verdict": verdict,
            }
        )
    table = pd.DataFrame(rows, index=pd.Index(panel.names, name="sub_score"))
    return FactorReport(table, float(found.sum() / scored.sum()), n_days)


def _decile_counts(scores: NDArray[np.float32], found: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return by day: hits and size of the top decile, of the bottom decile, of all known."""
    known = ~np.isnan(scores)
    count = known.sum(axis=1)
    ordered = np.sort(scores, axis=1)  # NaN last
    days = np.arange(len(scores))
    last = np.maximum(count - 1, 0)
    low = ordered[days, (0.1 * last).astype(np.intp)][:, None]
    high = ordered[days, np.ceil(0.9 * last).astype(np.intp)][:, None]
    with np.errstate(invalid="ignore"):
        top, bottom = scores >= high, scores <= low  # NaN is in neither
    counts = np.stack(
        [
            (top & found).sum(axis=1),
            top.sum(axis=1),
            (bottom & found).sum(axis=1),
            bottom.sum(axis=1),
            (known & found).sum(axis=1),
            count,
        ],
        axis=1,
    ).astype(np.float64)
    counts[count < 10] = 0.0  # so few have no deciles
    return counts


def _lift(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rate in the decile over rate in all, from sums (hits, size, all hits, all)."""
    hits, size, all_hits, everything = counts
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((hits / size) / (all_hits / everything))


def _size(lift: NDArray[np.float64]) -> float:
    """Return how far a lift is from one, in either direction; unknown is nowhere."""
    value = float(lift)
    return abs(np.log(max(value, 1e-3))) if np.isfinite(value) else 0.0


def _holds_one(spread: NDArray[np.float64]) -> bool:
    low, high = np.nanpercentile(spread, [2.5, 97.5])
    return bool(low <= 1.0 <= high)


def _is_too_good(part: NDArray[np.float64], drawn: NDArray[np.int64]) -> bool:
    """Whether a decile holds nearly all hits, or nearly only hits, and not by luck.

    Parameters
    ----------
    part : array, shape (n_days, 4)
        Hits and size of the decile, all hits and all symbols.
    drawn : array, shape (resamples, n_days)
    """
    sums = (drawn @ part).T
    with np.errstate(divide="ignore", invalid="ignore"):
        highest = np.minimum(sums[3] / sums[1], sums[3] / sums[2])
        shares = _lift(sums) / highest
    known = shares[np.isfinite(shares)]
    return bool(known.size and np.percentile(known, 2.5) >= _TOO_GOOD)


def _nearest(
    rho: NDArray[np.float64], coverage: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return each sub-score's nearest one, and which only repeat one that is kept.

    Of two that rank alike the better known is kept, else the first: one of a pair is enough, and
    not none.
    """
    nearest = rho.argmax(axis=1)
    is_redundant = np.zeros(len(rho), bool)
    kept: list[int] = []
    for k in np.lexsort((np.arange(len(rho)), -coverage.round(3))).tolist():
        twins = [j for j in kept if rho[k, j] > _REDUNDANT]
        if twins:
            is_redundant[k], nearest[k] = True, max(twins, key=lambda j: float(rho[k, j]))
        else:
            kept.append(k)
    return nearest, is_redundant


def _rank_correlations(
    values: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return |Spearman's rho| of all pairs of sub-scores, shape (n_sub, n_sub); 0 with itself."""
    # Imported here: it would take a third of the time of importing scanrank.
    from scipy.stats import rankdata

    days = np.sort(rng.permutation(len(values))[:_CORRELATION_DAYS])
    flat = values[days].reshape(-1, values.shape[2])
    n_sub = flat.shape[1]
    known = ~np.isnan(flat)
    ranks = np.zeros(flat.shape)
    for k in range(n_sub):
        own = rankdata(flat[known[:, k], k]) if known[:, k].any() else np.zeros(0)
        ranks[known[:, k], k] = own - own.mean() if len(own) else own
    both = known.astype(np.float64)
    overlap = both.T @ both
    square = (ranks**2).T @ both  # sum of squares of k where l is known too
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = np.abs((ranks.T @ ranks) / np.sqrt(square * square.T))
    rho[(overlap < 100) | ~np.isfinite(rho)] = 0.0
    np.fill_diagonal(rho, 0.0)
    return np.asarray(rho, np.float64)
