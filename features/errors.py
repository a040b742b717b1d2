"""Every error that `features` raises on purpose."""

from __future__ import annotations


class FeatureError(Exception):
    """Root of the errors of this package; catching it catches them all."""


class InvalidBarsError(FeatureError, ValueError):
    """The bars were refused; the message names symbol, date and value, and the way out."""


class InvalidEventsError(FeatureError, ValueError):
    """An event table was refused; the message names column, row and value, and the way out."""


class InvalidQuotesError(FeatureError, ValueError):
    """Quotes were refused; the message names symbol, column and value, and the way out."""
