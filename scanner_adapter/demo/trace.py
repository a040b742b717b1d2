"""What an order of the demo found, and how long that takes at the speed of a real scanner."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# What one evaluation takes in the demo's figures; nothing is evaluated in it.
EVALUATION_S = 0.25


@dataclass
class OrderTrace:
    """What one order found, scan by scan.

    Attributes
    ----------
    hits : list of bool array, each of shape (n_symbols,)
        Of each scan, in the order of the visits.
    """

    hits: list[NDArray[np.bool_]] = field(default_factory=list)

    def found_in(self, share: float) -> float:
        """Mean share of the hits found in the first `share` of the symbols."""
        shares = [
            hits[: math.ceil(share * len(hits))].sum() / hits.sum() for hits in self._with_hits
        ]
        return float(np.mean(shares)) if shares else math.nan

    def seconds_to(self, share: float) -> float:
        """Mean seconds until this share of the hits was found, one evaluation after another."""
        places = [
            np.flatnonzero(hits)[max(math.ceil(share * hits.sum()), 1) - 1]
            for hits in self._with_hits
        ]
        return EVALUATION_S * (float(np.mean(places)) + 1.0) if places else math.nan

    @property
    def _with_hits(self) -> list[NDArray[np.bool_]]:
        """Scans that have a hit; the others have no share and no time."""
        return [hits for hits in self.hits if hits.any()]
