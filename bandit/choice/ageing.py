"""Many scans a day: what a look can still bring, and which arms are due for one.

A look at an arm says all there is for a while: until its value may have changed, another look finds
what was found before. Refreshing a cache of pages is the same problem (Cho and Garcia-Molina,
2003, "Effective page refresh policies for web crawlers"; Azar et al., 2018, "Tractable near-optimal
policies for crawling"): an arm is worth its chance of something new, which grows from zero since
the last look. Reckoned for each arm alone, that is the index of a restless bandit whose passive
arms go back to their usual state (Whittle, 1988).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Where scans come so far apart, the gap says nothing of the scans to come (a night, a weekend):
# then so many are taken to come within the promised time.
_LONG_GAP, _SCANS = 0.5, 20


def something_new(age: Array, half_life: float) -> Array:
    """Return log of the chance, (n,), that an arm's state was drawn anew since it was looked at.

    Parameters
    ----------
    age : array, shape (n,)
        Time since the last look; NaN = never, which is as good as long ago.
    half_life : float
        After which half of the states have changed, in the same unit.

    Examples
    --------
    >>> np.exp(something_new(np.array([0.0, 1.0, 2.0, np.nan]), 1.0)).round(2).tolist()
    [0.0, 0.5, 0.75, 1.0]
    """
    gone = 1.0 - 0.5 ** (np.nan_to_num(age, nan=np.inf) / half_life)
    return np.log(np.maximum(gone, 1e-9))


def due_now(age: Array, within: float, gap: float) -> NDArray[np.intp]:
    """Return the arms that this scan has to look at, so that none waits longer than `within`.

    They are as few as can be: the ones longest unseen, as many as bring the work that is ahead to
    an even pace. Those never seen have their turn at an even pace from the start.

    Parameters
    ----------
    age : array, shape (n,)
        Time since the last look, NaN = never.
    within, gap : float
        In which every arm is to be looked at once, and the time since the last scan (NaN =
        this is the first), in the same unit.

    Examples
    --------
    >>> due_now(np.array([7.0, 1.0, 9.5, np.nan]), within=10.0, gap=1.0).tolist()
    [2]
    """
    left = within - age
    never = np.isnan(age)
    left[never] = np.arange(1, np.count_nonzero(never) + 1) * within / age.size
    if not gap <= _LONG_GAP * within:
        gap = within / _SCANS
    order = np.argsort(left, kind="stable")
    # The pace at which all of the first i, for every i, are looked at before the i-th is overdue.
    pace = np.arange(1, left.size + 1) / np.maximum(left[order], gap)
    return order[: int(np.ceil(pace.max() * gap - 1e-9))]
