"""Which sub-scores bring nothing to any scanner? ``python -m benchmarks.sub_scores``.

Two answers, both from scans up to the end of 2018:

- `factors report` for every scanner at once: the lift of each sub-score's stronger end (rate of
  hits in the day's top or bottom tenth over the rate in all). A star marks a lift whose 95 %
  interval leaves out one.
- `--worth`: what each sub-score adds to all the others, in points of the hits in the first 10 %
  and 25 %. One logistic regression on the learner's own features (lines, hinges, products; the last
  rating and decayed means of hits beside them) is fitted on the first half of the scans; leaving a
  sub-score out is the constrained maximum of its Laplace approximation; judged on the second half.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

from bandit.belief.expansion import Expansion
from benchmarks import _data
from features.factors import Panel
from features.report import factor_report
from scanner_adapter.inputs.context import CROSSED
from scanner_adapter.replay import ReplayLog

Array = NDArray[np.float64]

SCANNERS = (_data.RATING, "technical_rating", "breakout", "volume_surge", "reversal", "squeeze")
SHARES = (0.10, 0.25)
# Of the regression: prior precision of a weight, Newton steps, and symbols' own history: names,
# and what a scan's hit keeps of its say from scan to scan.
PRECISION, STEPS = 2.0, 8
HISTORY, KEPT = ("row.rating", "historical.fast", "historical.slow"), (0.6, 0.95)


def scans_of(log: ReplayLog, n_scans: int) -> NDArray[np.intp]:
    """Rows of the last scans of the development period."""
    return log.days(None, _data.DEVELOPMENT_END)[-n_scans:]


def scanner_report(log: ReplayLog, days: NDArray[np.intp]) -> pd.DataFrame:
    """Return the table of `factor_report`, each scan beside the day whose evening it knew."""
    shape = (len(days), len(log.symbols))
    values = np.full((*shape, len(log.contexts.names)), np.nan, np.float32)
    hits = np.zeros(shape, bool)
    for row, scan in enumerate(log.scans(days)):
        values[row, scan.places] = scan.sub_scores
        hits[row, scan.places] = scan.hits
    panel = Panel(values, log.contexts.names, log.dates[days], log.symbols)
    return factor_report(panel, hits, day_old=False).table


def stronger(row: pd.Series) -> tuple[float, bool]:
    """Return the lift of the end that works better, and whether its interval leaves out one."""
    lift, low = float(row["lift"]), float(row["low_lift"])
    end = lift if abs(np.log(max(lift, 1e-3))) >= abs(np.log(max(low, 1e-3))) else low
    return end, row["verdict"] not in ("weak", "unknown")


def contexts_and_hits(
    log: ReplayLog, days: NDArray[np.intp], *, same_day: bool = False
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Yield context (n, n_sub + 3) and hits (n,) of each scan, with the history of those before."""
    n = len(log.symbols)
    last, means = np.full(n, np.nan), [np.zeros(n), np.zeros(n)]
    for scan in log.scans(days, same_day=same_day):
        history = np.stack([last, *(100.0 * mean for mean in means)], axis=1)[scan.places]
        yield np.concatenate([scan.sub_scores, history.astype(np.float32)], axis=1), scan.hits
        rank = scan.rating.argsort().argsort()
        last[scan.places] = 100.0 * (rank + 0.5) / len(rank)
        for mean, kept in zip(means, KEPT, strict=True):
            mean[scan.places] += (1.0 - kept) * (scan.hits - mean[scan.places])


def fit(scans: Sequence[tuple[NDArray[np.float32], NDArray[np.bool_]]], by: Expansion) -> Array:
    """Return mean and covariance of the weights, stacked: shape (1 + d, d)."""
    d = by.n_features
    prior = np.r_[1e-6, np.full(d - 1, PRECISION)]
    mean = np.zeros(d)
    for _ in range(STEPS):
        precision, gradient = np.diag(prior), -prior * mean
        for context, hits in scans:
            X = by.transform(context, np.float64)
            p = expit(X @ mean)
            gradient += X.T @ (hits - p)
            precision += (X * (p * (1.0 - p))[:, None]).T @ X
        mean = mean + cho_solve(cho_factor(precision), gradient)
    return np.vstack([mean, np.linalg.inv(precision)])


def without(found: Array, features: NDArray[np.intp]) -> Array:
    """Return the mean of the weights, shape (d,), given that those of `features` are zero."""
    mean, covariance = found[0], found[1:]
    part = np.linalg.solve(covariance[np.ix_(features, features)], mean[features])
    return np.asarray(mean - covariance[:, features] @ part)


def worths(
    log: ReplayLog,
    days: NDArray[np.intp],
    left_out: Sequence[Sequence[str]],
    *,
    same_day: bool = False,
) -> Array:
    """Return the points of recall that each group of sub-scores is worth, shape (n_groups, 2)."""
    names = (*log.contexts.names, *HISTORY)
    by = Expansion(names, crossed=CROSSED)
    scans = list(contexts_and_hits(log, days, same_day=same_day))
    half = len(scans) // 2
    found = fit(scans[:half], by)
    weights = [found[0]]
    for group in left_out:
        columns = [names.index(name) for name in group]
        is_in = np.isin(by.column_of, columns)
        at, left, right = by._products
        is_in[at[np.isin(left, columns) | np.isin(right, columns)]] = True
        weights.append(without(found, np.flatnonzero(is_in)))
    recalls = []
    for context, hits in scans[half:]:
        if hits.any():
            order = np.argsort(-(by.transform(context, np.float64) @ np.array(weights).T), axis=0)
            n_first = [int(share * len(hits)) for share in SHARES]
            recalls.append([hits[order[:n]].sum(axis=0) / hits.sum() for n in n_first])
    mean = 100.0 * np.mean(recalls, axis=0)  # (2, 1 + n_groups)
    return np.asarray((mean[:, :1] - mean[:, 1:]).T)


def print_worths(console: Console, names: Sequence[str], found: dict[str, Array]) -> None:
    """Print the worth of each group: in 10 % and 25 %, by scanner; those worth nothing below."""
    shown = Table(title="worth beside all others, points in 10 % / 25 %", box=None)
    shown.add_column("left out", overflow="fold")
    for scanner in found:
        shown.add_column(scanner, justify="right", no_wrap=True)
    for k, name in enumerate(names):
        pairs = (worth[k] for worth in found.values())
        shown.add_row(name, *(f"{first:+.2f} {second:+.2f}" for first, second in pairs))
    console.print(shown)
    best = np.max([worth.max(axis=1) for worth in found.values()], axis=0)
    idle = [f"{name} ({most:+.2f})" for name, most in zip(names, best, strict=True) if most < 0.1]
    console.print(f"worth less than 0.1 points everywhere (most): {', '.join(idle) or 'none'}")


def print_lifts(console: Console, tables: dict[str, pd.DataFrame]) -> None:
    """Print the lifts of all sub-scores; what is weak on every scanner, and twins, below."""
    shown = Table(title="lift of the stronger end", box=None, title_justify="left")
    shown.add_column("sub-score", no_wrap=True)
    for scanner in tables:
        shown.add_column(scanner, justify="right", no_wrap=True)
    weak, twins = [], {}
    for name in next(iter(tables.values())).index:
        found = [stronger(table.loc[name]) for table in tables.values()]
        shown.add_row(name, *(f"{lift:.2f}{'*' if is_clear else ' '}" for lift, is_clear in found))
        if not any(is_clear for _, is_clear in found):
            weak.append(name)
        for table in tables.values():
            row = table.loc[name]
            if row["verdict"] == "redundant":
                twins[name] = f"{name} = {row['nearest']} ({row['correlation']:.2f})"
    console.print(shown)
    console.print(f"weak on every scanner: {', '.join(weak) or 'none'}")
    console.print(f"says what another one says: {'; '.join(twins.values()) or 'none'}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the lifts, or the worths, of all sub-scores on all scanners."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sub_scores", description=__doc__)
    parser.add_argument("--scanner", nargs="+", choices=SCANNERS, default=list(SCANNERS))
    parser.add_argument("--scans", type=int, default=400, help="the last ones up to 2018")
    parser.add_argument("--worth", action="store_true", help="what each adds to the others")
    parser.add_argument(
        "--group", nargs="+", action="append", help="worth of these together; may be repeated"
    )
    parser.add_argument("--same-day", action="store_true", help="worth with the scan's own bars")
    chosen = parser.parse_args(arguments)
    console = Console(width=130, highlight=False)
    logs = {name: _data.log_of(name) for name in chosen.scanner}
    if chosen.worth or chosen.group:
        known = _data.contexts().names
        groups = [tuple(group) for group in chosen.group or [[name] for name in known]]
        found = {
            name: worths(log, scans_of(log, chosen.scans), groups, same_day=chosen.same_day)
            for name, log in logs.items()
        }
        print_worths(console, [", ".join(group) for group in groups], found)
    else:
        print_lifts(
            console,
            {name: scanner_report(log, scans_of(log, chosen.scans)) for name, log in logs.items()},
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
