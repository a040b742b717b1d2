"""Several scans a day: the chance that an arm shows something new, and which arms are due.

Evaluating an arm again before its state has changed finds what was found before. Refreshing a
cache of web pages is the same problem (Cho and Garcia-Molina, 2003, "Effective page refresh
policies for web crawlers"; Azar et al., 2018, "Tractable near-optimal policies for crawling"): the
value of an arm is multiplied by the chance of something new, which grows from zero since its last
evaluation. Computed for each arm alone, that is the index of a restless bandit whose passive arms
return to their usual state (Whittle, 1988).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# A gap of more than this share of the promised time (a night, a weekend) does not predict the next
# one: then this many scans are expected within the promised time.
_LONG_GAP, _SCANS = 0.5, 20


def something_new(age: Array, half_life: float) -> Array:
    """Return the log of the chance, (n,), that an arm's state has changed since its evaluation.

    Parameters
    ----------
    age : array, shape (n,)
        Time since the last evaluation; NaN = never, which counts as long ago.
    half_life : float
        Time after which half of the states have changed, in the same unit.

    Examples
    --------
    >>> np.exp(something_new(np.array([0.0, 1.0, 2.0, np.nan]), 1.0)).round(2).tolist()
    [0.0, 0.5, 0.75, 1.0]
    """
    gone = 1.0 - 0.5 ** (np.nan_to_num(age, nan=np.inf) / half_life)
    return np.log(np.maximum(gone, 1e-9))


def due_now(age: Array, within: float, gap: float) -> NDArray[np.intp]:
    """Return the arms that this scan must evaluate so that none waits longer than `within`.

    They are as few as possible: the ones that have waited longest, as many as spread the remaining
    work evenly over the scans to come. Arms that were never evaluated are spread evenly too.

    Parameters
    ----------
    age : array, shape (n,)
        Time since the last evaluation, NaN = never.
    within : float
        Time within which every arm is to be evaluated once.
    gap : float
        Time since the last scan, in the same unit; NaN = this is the first.

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
