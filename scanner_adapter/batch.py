"""`Batch` and `ScanSummary`: what a scan hands out, and what it reports at its end."""

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
    """Symbols handed out together, best first, followed by the random ones.

    Parameters
    ----------
    batch_id : int
        Number of the batch within the scan, from 1.
    symbols : tuple of str, length k
    is_random : array of bool, shape (k,)
        Whether the uniform quota drew the symbol.
    propensity : array, shape (k,)
        Probability of being in this batch, in (0, 1], recorded when it was chosen.
    """

    batch_id: int
    symbols: tuple[str, ...]
    is_random: NDArray[np.bool_]
    propensity: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of symbols; an empty batch is falsy and means the end."""
        return len(self.symbols)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the symbols."""
        return iter(self.symbols)

    def __repr__(self) -> str:
        first = ", ".join(self.symbols[:3]) + (", ..." if len(self) > 3 else "")
        return f"Batch {self.batch_id}: {len(self)} symbols, {self.is_random.sum()} random: {first}"


@dataclass(frozen=True, slots=True)
class ScanSummary:
    """Results of a scan; `print` it for a report.

    Parameters
    ----------
    scan_id, mode : str
    n_symbols, n_scanned, n_errors : int
        Size of the universe, number of symbols reported, and number of those that failed.
    first_error : str or None
        Message of the first failed evaluation.
    n_hits : float
        High-value results found; NaN if they cannot be judged (mode off, or a failure).
    estimate : RecallEstimate or None
        Estimated recall at the end; None in mode off and after a failure.
    seconds, overhead_s : float
        Wall time since the start, and processor time that the calling threads spent in scanrank.
    stopped : str or None
        Why the scan stopped early; None if everything was scanned.
    n_scans_learned : int
        Finished scans that the belief has learned from, including this one.
    store_status : str
        "saved", or what went wrong with the store.
    failure : str or None
        Error in scanrank itself, after which the rest came in the given order.
    warning : str or None
        Problem with the results and how to fix it, for example if most cannot be read.
    coverage : str or None
        How many symbols have bars, up to which day, and why others have none; None without bars.
    comparison : Comparison or None
        With `rollout`: prioritised against control scans so far, including this one.
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
        found = "" if math.isnan(self.n_hits) else f", {self.n_hits:,.6g} high-value"
        return f"Scan {self.scan_id}: {self.n_scanned:,} of {self.n_symbols:,} symbols{found}"

    def __str__(self) -> str:
        lines = [repr(self)]
        if self.estimate is not None and self.n_scanned < self.n_symbols:
            lines.append(repr(self.estimate))
        if self.n_errors:
            evaluations = f"{self.n_errors} evaluation{'s' * (self.n_errors != 1)}"
            lines.append(f"{evaluations} failed, the first with: {self.first_error}")
        lines.append(
            f"Took {self.seconds:.1f} s; {self.overhead_s:.2f} s of it in scanrank; learned from "
            f"{self.n_scans_learned} scan{'s' * (self.n_scans_learned != 1)}; {self.store_status}"
        )
        extra = {
            "Stopped early": self.stopped, "Bars": self.coverage, "Warning": self.warning,
            "scanrank failed": self.failure,
        }  # fmt: skip
        lines += [f"{what}: {text}" for what, text in extra.items() if text]
        return "\n".join([*lines, *([str(self.comparison)] if self.comparison else [])])


def time_of(now: datetime | None) -> float:
    """Return `now`, by default the current time, in days since the epoch (UTC)."""
    time_now = datetime.now(UTC) if now is None else now
    as_kind(time_now, "now", datetime, "a datetime with a timezone, or None for the clock")
    if time_now.tzinfo is None:
        raise InvalidInputError(
            f"now is {time_now} without a timezone; give it one, preferably UTC"
        )
    return time_now.timestamp() / SECONDS_PER_DAY


def day_of(days: float) -> str:
    """Return the UTC day, YYYY-MM-DD, of a time in days since the epoch; "" if not finite."""
    return str(np.datetime64(math.floor(days), "D")) if math.isfinite(days) else ""
