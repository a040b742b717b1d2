"""When to stop a scan: small rules that compose, each saying why it stopped."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from scanner_adapter.errors import InvalidContextError

if TYPE_CHECKING:
    from scanner_adapter.scan import Scan


class StopRule(Protocol):
    """Asked after every report."""

    def reason(self, scan: Scan) -> str | None:
        """Return why the scan should stop now, None to go on."""


@dataclass(frozen=True, slots=True)
class RecallReached:
    """Stop when at least `target` of all hits was found, with the given confidence.

    Parameters
    ----------
    target : float
        Recall in (0, 1].
    confidence : float
        Share of scans in which the promise is to hold, in [0.5, 1).
    """

    target: float
    confidence: float = 0.9

    def __post_init__(self) -> None:
        if not 0.0 < self.target <= 1.0:
            raise InvalidContextError(f"target recall {self.target} is outside (0, 1]")
        if not 0.5 <= self.confidence < 1.0:
            raise InvalidContextError(f"confidence {self.confidence} is outside [0.5, 1)")

    def reason(self, scan: Scan) -> str | None:
        """See `StopRule`."""
        estimate = scan.estimate(self.confidence)
        if scan.n_scanned == 0 or estimate.recall_low < self.target:
            return None
        return (
            f"recall {estimate.recall:.0%} (at least {estimate.recall_low:.0%} with "
            f"{self.confidence:.0%} confidence) reached the target {self.target:.0%}"
        )


@dataclass(frozen=True, slots=True)
class SymbolBudget:
    """Stop after `n` symbols."""

    n: int

    def reason(self, scan: Scan) -> str | None:
        """See `StopRule`."""
        return f"{scan.n_scanned} symbols scanned" if scan.n_scanned >= self.n else None


@dataclass(frozen=True, slots=True)
class TimeBudget:
    """Stop after `seconds` since the scan was started."""

    seconds: float

    def reason(self, scan: Scan) -> str | None:
        """See `StopRule`."""
        elapsed = time.monotonic() - scan.started
        return f"{elapsed:.1f} s spent" if elapsed >= self.seconds else None


@dataclass(frozen=True, slots=True)
class HitsFound:
    """Stop when `n` high-value results were found."""

    n: int

    def reason(self, scan: Scan) -> str | None:
        """See `StopRule`."""
        return f"{scan.n_hits:.0f} high-value results found" if scan.n_hits >= self.n else None
