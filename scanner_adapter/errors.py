"""Every error that `scanner_adapter` raises on purpose."""

from __future__ import annotations

from bandit.errors import InvalidInputError
from features.errors import FeatureError


class AdapterError(Exception):
    """Root of this package's errors."""


class InvalidOutcomeError(AdapterError, ValueError):
    """An outcome cannot be read. Nothing of the report was used; the message says what fits."""


class ScanStateError(AdapterError, RuntimeError):
    """A call is not possible now, for example because the scan has ended."""


class InvalidContextError(AdapterError, ValueError):
    """Context, symbols and settings do not match; the message says how to fix it."""


class InvalidNoteError(AdapterError, ValueError):
    """A scan's stored status or control cannot be read; the message names the field."""


# Errors of the caller. Any other exception is a fault of scanrank and must not stop a scan.
CALLERS_ERRORS = (AdapterError, FeatureError, InvalidInputError)
