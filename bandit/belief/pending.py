"""Reports of scans that have not ended: the belief learns from a scan when it is over.

Which ratings are a scan's best share is known at its end, so a scan teaches once, as a whole, with
final labels. Until then its reports are kept here. They are part of the state: a snapshot that
another scan writes meanwhile holds them too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.checks import as_arms
from bandit.errors import IncompatibleStateError, InvalidInputError

# Scans that may be open at a time. When another opens, the oldest is learned from as it stands.
MOST_SCANS = 8
# Reported arms of a scan that are kept; then they are learned from as they stand, so that a scan
# of a million is learned in pieces. 20,000 rows of 60 columns are 5 MB.
MOST_ARMS = 20_000

_FIELDS = ("context", "reward", "rating", "rows")


@dataclass(frozen=True, slots=True)
class Report:
    """One report of k arms, without failed evaluations; never changed in place.

    Attributes
    ----------
    context : array (k, n_columns), float32
        In the order of the belief's columns at that time.
    reward, rating : array (k,)
        As judged in mid-scan; NaN = no rating.
    rows : array (k, len(row_columns)), float32
        Numeric columns of the scanner's own rows.
    """

    arms: tuple[str, ...]
    row_columns: tuple[str, ...]
    context: NDArray[np.floating]
    reward: NDArray[np.floating]
    rating: NDArray[np.floating]
    rows: NDArray[np.floating]

    @classmethod
    def of(
        cls,
        arms: Sequence[str],
        context: NDArray[np.floating],
        arrays: Mapping[str, Any],
        row_columns: tuple[str, ...],
    ) -> Report | None:
        """Check a journaled report and drop failed evaluations; None if all failed.

        Raises
        ------
        InvalidInputError
            For shapes that do not fit, repeated arms, or rewards outside [0, 1].
        """
        k = len(arms)
        reward, rating = (np.asarray(arrays.get(n, np.full(k, np.nan))) for n in _FIELDS[1:3])
        if "rows" not in arrays:
            row_columns = ()
        rows = np.asarray(arrays.get("rows", np.empty((k, 0), np.float32)))
        met = {"reward": (reward, (k,)), "rating": (rating, (k,)),
               "rows": (rows, (k, len(row_columns)))}  # fmt: skip
        for name, (values, shape) in met.items():
            if values.shape != shape:
                raise InvalidInputError(
                    f"{name} of the report has shape {values.shape}, expected {shape}: one row "
                    f"for each of {k} symbols"
                )
        names, ok = as_arms(arms), np.flatnonzero(~np.isnan(reward))
        wrong = np.flatnonzero((reward < 0.0) | (reward > 1.0))
        if wrong.size:
            raise InvalidInputError(
                f"reward {reward[wrong[0]]} at position {wrong[0]} is outside [0, 1]; convert "
                "outcomes to rewards with a reward rule first"
            )
        whole = cls(names, row_columns, context.astype(np.float32), reward, rating, rows)
        if ok.size == k:
            return whole
        few = [getattr(whole, name)[ok] for name in _FIELDS]
        return cls(tuple(names[i] for i in ok.tolist()), row_columns, *few) if ok.size else None


@dataclass(frozen=True, slots=True)
class PendingScan:
    """One scan that has not ended; never changed in place.

    Attributes
    ----------
    time : float
        When the scan runs, in days since the epoch.
    hit_limit : float or None
        Rating from which its outcomes are hits, as of the latest report.
    reports : tuple of Report
    """

    time: float
    hit_limit: float | None = None
    reports: tuple[Report, ...] = ()

    @property
    def n_arms(self) -> int:
        """Rows in all reports."""
        return sum(len(report.arms) for report in self.reports)

    def add(self, report: Report, hit_limit: float | None) -> PendingScan:
        """Return the scan with one more report."""
        return PendingScan(self.time, hit_limit, (*self.reports, report))

    def contexts(self, n_columns: int) -> NDArray[np.float32]:
        """Return the contexts of all reports as one array; columns added later are NaN."""
        parts = []
        for report in self.reports:
            n, width = report.context.shape
            part = np.full((n, n_columns), np.nan, np.float32)
            part[:, :width] = report.context
            parts.append(part)
        return np.concatenate(parts)

    def all_of(self, name: str) -> NDArray[np.float64]:
        """Return "reward" or "rating" of all reports, shape (n,)."""
        parts = [getattr(report, name) for report in self.reports]
        return np.concatenate(parts, dtype=np.float64)

    def tables(self) -> Iterator[tuple[list[str], tuple[str, ...], NDArray[Any], slice]]:
        """Yield arms, columns and rows of the scanner's own rows, and where they lie in the scan.

        Reports with the same columns are joined, which halves the time to learn from them, unless
        an arm occurs twice.
        """
        names = [arm for report in self.reports for arm in report.arms]
        is_once = len(set(names)) == len(names)
        start = 0
        for (_, columns), group in groupby(
            enumerate(self.reports), lambda item: (is_once or item[0], item[1].row_columns)
        ):
            rows = np.concatenate([report.rows for _, report in group])
            end = start + len(rows)
            yield names[start:end], columns, rows, slice(start, end)
            start = end


def state(
    scans: Mapping[str, PendingScan],
) -> tuple[list[dict[str, Any]], dict[str, NDArray[Any]]]:
    """Return a JSON list and plain arrays, copies."""
    listed, arrays = [], {}
    for i, (scan_id, scan) in enumerate(scans.items()):
        reports = [{"arms": list(r.arms), "row_columns": list(r.row_columns)} for r in scan.reports]
        listed.append(
            {"scan": scan_id, "time": scan.time, "hit_limit": scan.hit_limit, "reports": reports}
        )
        for j, report in enumerate(scan.reports):
            for name in _FIELDS:
                arrays[f"pending_{i}_{j}_{name}"] = getattr(report, name).copy()
    return listed, arrays


def restored(
    listed: Sequence[Mapping[str, Any]], arrays: Mapping[str, NDArray[Any]]
) -> dict[str, PendingScan]:
    """Rebuild what `state` returned.

    Raises
    ------
    IncompatibleStateError
        When an array is missing.
    """
    scans = {}
    for i, scan in enumerate(listed):
        reports = []
        for j, noted in enumerate(scan["reports"]):
            names = [f"pending_{i}_{j}_{name}" for name in _FIELDS]
            if any(name not in arrays for name in names):
                raise IncompatibleStateError(
                    f"the stored state lists an open scan {scan['scan']!r} without its reports; "
                    "use another ruleset name"
                )
            values = [np.array(arrays[name]) for name in names]
            reports.append(Report(tuple(noted["arms"]), tuple(noted["row_columns"]), *values))
        limit = None if scan["hit_limit"] is None else float(scan["hit_limit"])
        scans[str(scan["scan"])] = PendingScan(float(scan["time"]), limit, tuple(reports))
    return scans
