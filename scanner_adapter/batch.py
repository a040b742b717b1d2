"""What a scan hands out and what it says of itself afterwards."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from bandit.belief.recall import RecallEstimate
from bandit.checks import as_kind
from bandit.errors import InvalidInputError
from scanner_adapter.state.comparison import Comparison

SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Symbols handed out together, best first; the random ones stand last.

    Parameters
    ----------
    batch_id : int
        1, 2, ... within the scan.
    symbols : tuple of str, length k
    is_random : array of bool, shape (k,)
        Drawn by the uniform quota.
    propensity : array, shape (k,)
        Probability of being in this batch, known when it was chosen.
    """

    batch_id: int
    symbols: tuple[str, ...]
    is_random: NDArray[np.bool_]
    propensity: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of symbols; an empty batch is false and means the end."""
        return len(self.symbols)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the symbols."""
        return iter(self.symbols)

    def __repr__(self) -> str:
        first = ", ".join(self.symbols[:3]) + (", ..." if len(self) > 3 else "")
        return f"Batch {self.batch_id}: {len(self)} symbols, {self.is_random.sum()} random: {first}"


@dataclass(frozen=True, slots=True)
class ScanSummary:
    """What a scan did.

    Parameters
    ----------
    scan_id, mode : str
    n_symbols, n_scanned, n_errors : int
        Size of the universe, symbols reported, and failed ones among them.
    first_error : str or None
        What the first failed evaluation said.
    n_hits : float
        High-value results found; NaN where nothing judges them (mode off, or a failure).
    estimate : RecallEstimate or None
        Recall at the end; None in mode off and after a failure.
    seconds, overhead_s : float
        Since the scan was started, and the processor time of the calling threads in scanrank.
    stopped : str or None
        Why it stopped early, None when everything was scanned.
    n_scans_learned : int
        Finished scans behind the belief, this one included.
    store_status : str
        "saved", or what happened to the store.
    failure : str or None
        What broke in scanrank itself, so that the rest came in the given order.
    warning : str or None
        What is wrong with the results, as when most cannot be read or all are errors, and the way
        out.
    coverage : str or None
        How many symbols the bars know, to which day, and why not the others; None without bars.
    comparison : Comparison or None
        With `rollout`: prioritised against control scans so far, this one included.
    """

    scan_id: str
    mode: str
    n_symbols: int
    n_scanned: int
    n_errors: int
    n_hits: float
    estimate: RecallEstimate | None
    seconds: float
    overhead_s: float
    stopped: str | None
    n_scans_learned: int
    store_status: str
    first_error: str | None = None
    failure: str | None = None
    comparison: Comparison | None = None
    warning: str | None = None
    coverage: str | None = None

    def __repr__(self) -> str:
        found = "" if math.isnan(self.n_hits) else f", {self.n_hits:g} high-value"
        return f"Scan {self.scan_id}: {self.n_scanned} of {self.n_symbols} symbols{found}"

    def __str__(self) -> str:
        lines = [repr(self)]
        if self.estimate is not None and self.n_scanned < self.n_symbols:
            lines.append(repr(self.estimate))
        if self.n_errors:
            lines.append(f"{self.n_errors} evaluations failed, the first with: {self.first_error}")
        lines.append(
            f"Took {self.seconds:.1f} s, {1000 * self.overhead_s:.0f} ms of it in scanrank; "
            f"{self.n_scans_learned} scans learned from, {self.store_status}"
        )
        stopped = self.stopped and f"Stopped early: {self.stopped}"
        extra = (stopped, self.coverage, self.warning, self.failure)
        lines += [line for line in extra if line]
        return "\n".join([*lines, *([str(self.comparison)] if self.comparison else [])])


def time_of(now: datetime | None) -> float:
    """Return `now`, or the clock, in days since the epoch."""
    time_now = datetime.now(UTC) if now is None else now
    as_kind(time_now, "now", datetime, "a datetime with a timezone, or None for the clock")
    if time_now.tzinfo is None:
        raise InvalidInputError(f"now is {time_now} without a timezone; give it one, best UTC")
    return time_now.timestamp() / SECONDS_PER_DAY


def day_of(days: float) -> str:
    """Return the UTC day, YYYY-MM-DD, of days since the epoch; "" for a time that never was."""
    return str(np.datetime64(math.floor(days), "D")) if math.isfinite(days) else ""
