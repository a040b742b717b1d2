"""Every error that `scanner_adapter` raises on purpose."""

from __future__ import annotations

from bandit.errors import InvalidInputError
from features.errors import FeatureError


class AdapterError(Exception):
    """Root of the errors of this package; catching it catches them all."""


class InvalidOutcomeError(AdapterError, ValueError):
    """An outcome cannot be read; nothing of the report was used. The message says what fits."""


class ScanStateError(AdapterError, RuntimeError):
    """A call came at the wrong time: after the scan ended, or for a symbol not handed out."""


class InvalidContextError(AdapterError, ValueError):
    """Context, symbols or settings do not fit together; the message says how to mend them."""


class InvalidNoteError(AdapterError, ValueError):
    """A scan's status or control note cannot be read; the message names the field."""


# What the caller did wrong; everything else that fails in here is ours, and must not stop a scan.
CALLERS_ERRORS = (AdapterError, FeatureError, InvalidInputError)
