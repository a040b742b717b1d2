"""Numbers as JSON takes them."""

from __future__ import annotations

import math


def known(value: float) -> float | None:
    """Return a finite number, or None for what is unknown.

    Examples
    --------
    >>> known(1.5), known(float("nan")), known(float("inf"))
    (1.5, None, None)
    """
    return float(value) if math.isfinite(value) else None
