"""The interface of a scan that stop rules, progress and runs rely on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Protocol, Unpack

import numpy as np
from numpy.typing import NDArray

from bandit.belief.recall import RecallEstimate
from scanner_adapter.batch import Batch, ScanSummary
from scanner_adapter.inputs.context import ScanInputs
from scanner_adapter.inputs.outcomes import Outcome
from scanner_adapter.ledger import ErrorStreak

# Recall to report progress towards where no stop rule names one.
DEFAULT_TARGET = 0.95


class ScanView(Protocol):
    """The state of a scan, as stop rules and progress read it."""

    @property
    def mode(self) -> str:
        """The mode: on, shadow or off."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """The universe."""

    @property
    def started(self) -> float:
        """When the scan was started, by the monotonic clock."""

    @property
    def n_scanned(self) -> int:
        """Symbols reported so far."""

    @property
    def n_hits(self) -> float:
        """High-value results so far."""

    @property
    def error_streak(self) -> ErrorStreak:
        """The latest results, as long as all are errors of one kind."""

    def estimate(self, confidence: float = 0.9) -> RecallEstimate:
        """Share of the high-value results that was found."""

    def hits_in_last(self, n: int) -> int:
        """High-value results among the latest `n`."""

    def symbols_to_recall(self, target: float) -> int:
        """Symbols until a recall is expected."""


class RunnableScan(ScanView, Protocol):
    """A scan that a run asks for batches, reports outcomes to, and closes."""

    stopped: str | None
    batch_size: int

    @property
    def outcomes(self) -> Mapping[str, Outcome]:
        """Outcomes so far, in order of reporting."""

    def are_hits(self, symbols: Iterable[str]) -> NDArray[np.bool_]:
        """Whether outcomes are high-value, shape (n_symbols,)."""

    @property
    def overhead_s(self) -> float:
        """Processor seconds in scanrank."""

    @property
    def is_shared(self) -> bool:
        """Whether other workers scan the same universe."""

    @property
    def awaits_others(self) -> bool:
        """Whether an empty batch is not the end."""

    @property
    def holds_some(self) -> bool:
        """Whether this worker of a shared scan holds symbols without an outcome."""

    @property
    def awaits_features(self) -> bool:
        """Whether batches are small because features are still computed."""

    @property
    def stop_asked(self) -> str | None:
        """Why an operator wants it to end."""

    @property
    def summary(self) -> ScanSummary:
        """What it did."""

    def next_batch(self, k: int | None = None) -> Batch:
        """Choose symbols."""

    @property
    def last_good(self) -> str | None:
        """The latest symbol whose evaluation worked."""

    def record_retry(self, error: str | None) -> None:
        """Record the error of another evaluation of `last_good`, None if it worked."""

    def read(self, symbol: str, result: object) -> Outcome:
        """Read what the scanner returned."""

    def report(self, rows: Mapping[str, Outcome]) -> None:
        """Report outcomes."""

    def refresh(self, *, now: datetime | None = None, **inputs: Unpack[ScanInputs]) -> None:
        """Rank what remains by what the market shows now."""

    def listen(self) -> None:
        """Poll for operators' requests."""

    def show(
        self, *, workers: int, target: float | None, is_enough: Callable[[], bool] | None = None
    ) -> None:
        """Publish how it is run, and end the wait for other workers where it is enough."""

    def __enter__(self) -> object:
        """Open the block that closes it."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
