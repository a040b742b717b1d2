"""What each arm has shown so far, decayed by the clock.

One row of numbers per arm, added when the arm first reports; an arm that leaves keeps its row, and
one that never reported is unknown. Nothing decays per observation: an arm scanned ten times in an
hour forgets no more than one scanned once, and reports that arrive late or out of order give the
same record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from bandit.errors import InvalidInputError

Array = NDArray[np.float64]

# State per arm: 8 bytes of time, 5 x 4 bytes of these, and 2 bytes for each numeric column of
# the scanner's rows: 50 bytes for the 11 columns of the scanner that we measured.
_FIELDS = ("last", "fast_n", "fast_sum", "slow_n", "slow_sum")
_LAST, _FAST_N, _FAST_SUM, _SLOW_N, _SLOW_SUM = range(len(_FIELDS))

# An aged row is worth less: the distance of its percentiles from 50 halves in this many days (a
# rating's autocorrelation is about 0.9 after one trading day and 0.65 after five).
_ROW_HALF_LIFE_DAYS = 12.0

# A mean over fewer than this many decayed reports is mostly its group's; used until two arms
# with enough reports let the data say otherwise.
_DEFAULT_STRENGTH = 4.0


@dataclass(frozen=True, slots=True)
class TrackView:
    """Track records of n arms at one time; every array has shape (n,) unless said.

    `last_reward` (in [0, 1], NaN = never seen), `age_days` (since the last report, NaN = never),
    `fast_mean` and `slow_mean` (in [0, 1], shrunk towards the group, NaN = nobody was seen yet),
    `n_scans` and `n_hits` (decayed counts), `rows` (n, n_columns): monotone transforms of the
    columns of the scanner's last row, NaN = unknown.
    """

    last_reward: Array
    age_days: Array
    fast_mean: Array
    slow_mean: Array
    n_scans: Array
    n_hits: Array
    rows: NDArray[np.float16]

    def row_percentiles(self) -> NDArray[np.float32]:
        """Return the scanner's own last rows as percentiles within these arms.

        Returns
        -------
        array, shape (n, n_columns), float32
            0 to 100, drawn to 50 as the row ages; NaN where the arm has no row.
        """
        columns = np.ascontiguousarray(self.rows.T)
        bits = columns.view(np.int16)
        # Whole numbers in the same order (and -0 = 0), which sort five times as fast.
        keys = np.where(bits < 0, np.int16(-0x8000) - bits, bits)
        is_known = ~np.isnan(columns)
        values = np.full(columns.shape, np.nan, np.float32)
        kept = 0.5 ** (np.nan_to_num(self.age_days) / _ROW_HALF_LIFE_DAYS)
        for key, known, value in zip(keys, is_known, values, strict=True):
            if known.any():
                value[known] = 50.0 + 100.0 * (percentiles(key[known]) - 0.5) * kept[known]
        return values.T


class TrackRecord:
    """Track records of many arms, in arrays.

    Parameters
    ----------
    fast_days, slow_days : float
        Half-lives of the two memories, in days.

    Attributes
    ----------
    columns : tuple of str
        Every column of the scanner's rows, in order of first appearance.

    Notes
    -----
    Not thread safe. `view` returns fresh arrays that the caller owns.

    Examples
    --------
    >>> track = TrackRecord(fast_days=2.0, slow_days=60.0)
    >>> track.update(["AAPL"], now=10.0, rewards=[1.0])
    >>> track.view(["AAPL", "NEW"], now=12.0).last_reward
    array([ 1., nan])
    """

    def __init__(self, *, fast_days: float = 3.0, slow_days: float = 40.0) -> None:
        if not (0 < fast_days < slow_days):
            raise InvalidInputError(
                f"half-lives fast_days={fast_days}, slow_days={slow_days}: expected "
                "0 < fast_days < slow_days"
            )
        self.fast_days = fast_days
        self.slow_days = slow_days
        self.columns: tuple[str, ...] = ()
        self._index: dict[str, int] = {}
        self._time = np.empty(0)
        self._values = np.empty((0, len(_FIELDS)), np.float32)
        self._rows = np.empty((0, 0), np.float16)

    @property
    def arms(self) -> tuple[str, ...]:
        """Every arm that ever reported, in order of first appearance."""
        return tuple(self._index)

    @property
    def has_hits(self) -> bool:
        """Whether any arm was ever high-value."""
        return bool(self._values[:, _SLOW_SUM].any())

    def update(
        self,
        arms: Sequence[str],
        *,
        now: float,
        rewards: Sequence[float] | Array,
        columns: Sequence[str] = (),
        rows: NDArray[np.floating] | None = None,
    ) -> None:
        """Add one report each for `arms`, all different, made at `now` (days since the epoch).

        Nothing is checked: `Report.of` has checked it.

        Parameters
        ----------
        rewards : array-like, shape (k,)
            In [0, 1]. Outcomes that failed are left out by the caller.
        columns, rows : names and array of shape (k, len(columns))
            Numeric columns of the scanner's rows. New names add columns.
        """
        r = np.asarray(rewards, np.float64)
        at = self._rows_of(arms)
        values, time = self._values[at].astype(np.float64), self._time[at]
        age = np.where(np.isfinite(time), now - time, 0.0)
        is_newest = age >= 0.0
        added = np.zeros(values.shape)
        added[:, _FAST_N] = added[:, _SLOW_N] = 1.0
        added[:, _FAST_SUM] = added[:, _SLOW_SUM] = r
        kept = np.empty(values.shape)
        kept[:, : _FAST_SUM + 1] = (0.5 ** (np.abs(age) / self.fast_days))[:, None]
        kept[:, _SLOW_N:] = (0.5 ** (np.abs(age) / self.slow_days))[:, None]
        if is_newest.all():
            values = values * kept + added
            values[:, _LAST] = r
        else:
            # A report older than the last one is weighed by its age instead of ageing the record,
            # so that the order of arrival does not matter.
            newest = is_newest[:, None]
            last = np.where(is_newest, r, values[:, _LAST])
            values = values * np.where(newest, kept, 1.0) + added * np.where(newest, 1.0, kept)
            values[:, _LAST] = last
        if rows is not None and len(columns):
            self._set_rows(at[is_newest], columns, np.asarray(rows)[is_newest])
        self._values[at] = values
        self._time[at] = np.where(is_newest, now, time)

    def view(
        self, arms: Sequence[str], *, now: float, groups: NDArray[np.intp] | None = None
    ) -> TrackView:
        """Return the records of `arms` as they stand at `now` (days since the epoch).

        Parameters
        ----------
        groups : array of int, shape (n,), optional
            Group number of each arm (its sector), 0, 1, ...; -1 = none. An arm's means are
            shrunk towards its group's, the group's towards everybody's.
        """
        at = np.fromiter(map(self._index.get, arms, repeat(-1)), np.intp, len(arms))
        known = at >= 0
        values = np.zeros((at.size, len(_FIELDS)))
        values[known] = self._values[at[known]]
        age = np.full(at.size, np.nan)
        age[known] = np.maximum(now - self._time[at[known]], 0.0)
        elapsed = np.nan_to_num(age)
        fast, slow = 0.5 ** (elapsed / self.fast_days), 0.5 ** (elapsed / self.slow_days)
        n_slow, hits_slow = values[:, _SLOW_N] * slow, values[:, _SLOW_SUM] * slow
        rows = np.full((at.size, len(self.columns)), np.nan, np.float16)
        rows[known] = self._rows[at[known]]
        slow_mean = shrunken_means(n_slow, hits_slow, groups)
        n_fast, hits_fast = values[:, _FAST_N] * fast, values[:, _FAST_SUM] * fast
        return TrackView(
            last_reward=np.where(known, values[:, _LAST], np.nan),
            age_days=age,
            # The fast mean falls back to the slow one as its few reports fade.
            fast_mean=(hits_fast + slow_mean) / (n_fast + 1.0),
            slow_mean=slow_mean,
            n_scans=n_slow,
            n_hits=hits_slow,
            rows=rows,
        )

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Return the arrays that `restore` takes; the arms and column names travel beside them."""
        n = len(self._index)
        return {
            "track_time": self._time[:n].copy(),
            "track_values": self._values[:n].copy(),
            "track_rows": self._rows[:n].copy(),
        }

    def restore(
        self,
        arms: Sequence[str],
        columns: Sequence[str],
        arrays: Mapping[str, NDArray[np.generic]],
    ) -> None:
        """Replace everything by what `state` returned for `arms` and `columns`."""
        time = np.array(arrays["track_time"], np.float64)
        values = np.array(arrays["track_values"], np.float32)
        rows = np.array(arrays["track_rows"], np.float16)
        n = len(arms)
        expected = ((n,), (n, len(_FIELDS)), (n, len(columns)))
        if (time.shape, values.shape, rows.shape) != expected:
            raise InvalidInputError(
                f"track record arrays have shapes {time.shape}, {values.shape}, {rows.shape}; "
                f"expected {expected} for {n} symbols and {len(columns)} columns"
            )
        self._index = {arm: i for i, arm in enumerate(arms)}
        self.columns = tuple(columns)
        self._time, self._values, self._rows = time, values, rows

    def _rows_of(self, arms: Sequence[str]) -> NDArray[np.intp]:
        index = self._index
        found = list(map(index.get, arms))
        if None in found:
            found = [index.setdefault(arm, len(index)) for arm in arms]
        at = np.array(found, np.intp)
        if len(index) > self._time.size:
            extra = max(len(index), 2 * self._time.size) - self._time.size
            self._time = np.pad(self._time, (0, extra), constant_values=-np.inf)
            self._values = np.pad(self._values, ((0, extra), (0, 0)))
            self._rows = np.pad(self._rows, ((0, extra), (0, 0)), constant_values=np.nan)
        return at

    def _set_rows(
        self, at: NDArray[np.intp], columns: Sequence[str], rows: NDArray[np.floating]
    ) -> None:
        # Only ranks are read from these, so any monotone map serves: asinh brings every scale
        # (a share of 0.02, a volume of 1e9) into what 16 bits resolve to 3 digits.
        values = np.arcsinh(rows).astype(np.float16)
        if tuple(columns) == self.columns:  # nearly always
            self._rows[at] = values
            return
        added = [name for name in columns if name not in self.columns]
        if added:
            self._rows = np.pad(self._rows, ((0, 0), (0, len(added))), constant_values=np.nan)
            self.columns += tuple(added)
        position = [self.columns.index(name) for name in columns]
        self._rows[at[:, None], position] = values


def percentiles(values: NDArray[np.floating | np.integer]) -> Array:
    """Return the mid-rank of each value among all, in (0, 1); ties share theirs.

    Examples
    --------
    >>> import numpy as np
    >>> percentiles(np.array([7.0, 1.0, 7.0, 9.0]))
    array([0.5  , 0.125, 0.5  , 0.875])
    """
    n = values.size
    # Numbers of 16 bits are sorted digit by digit, in a fifth of the time, if stably.
    order = np.argsort(values, kind="stable" if values.dtype.itemsize <= 2 else None)
    ordered = values[order]
    is_first = np.ones(n, bool)  # of those that are equal
    is_first[1:] = ordered[1:] != ordered[:-1]
    below = np.flatnonzero(is_first)
    n_equal = np.concatenate([below[1:], [n]]) - below
    result = np.empty(n)
    result[order] = np.repeat((2.0 * below + n_equal) / (2.0 * n), n_equal)
    return result


def shrunken_means(n: Array, total: Array, groups: NDArray[np.intp] | None = None) -> Array:
    """Means of arms, each shrunk towards its group's mean, and that towards everybody's.

    Parameters
    ----------
    n, total : array, shape (n_arms,)
        Decayed number of reports and sum of rewards.
    groups : array of int, shape (n_arms,), optional
        Group numbers, -1 = none.

    Returns
    -------
    array, shape (n_arms,)
        NaN everywhere while nobody was seen.

    Notes
    -----
    Beta-binomial shrinkage with the strength (prior reports) estimated by moments: for arms with
    n_i reports and mean m_i around a common mean m, E[(m_i - m)^2] = v + (m (1 - m) - v) / n_i.

    References
    ----------
    Kleinman (1973), Proportions with Extraneous Variance: Single and Independent Samples.

    Examples
    --------
    >>> import numpy as np
    >>> shrunken_means(np.array([0.0, 10.0]), np.array([0.0, 5.0]))
    array([0.5, 0.5])
    """
    seen = n > 0
    if not seen.any():
        return np.full(n.shape, np.nan)
    overall = total.sum() / n.sum()
    target = np.full(n.shape, overall)
    if groups is not None and groups.size and groups.max() >= 0:
        member = groups >= 0
        n_group = np.bincount(groups[member], n[member]).astype(np.float64)
        total_group = np.bincount(groups[member], total[member]).astype(np.float64)
        strength = _strength(n_group, total_group)
        means = (total_group + strength * overall) / (n_group + strength)
        target[member] = means[groups[member]]
    strength = _strength(n, total)
    return np.asarray((total + strength * target) / (n + strength))


def _strength(n: Array, total: Array) -> float:
    used = n >= 1.0
    if used.sum() < 3:
        return _DEFAULT_STRENGTH
    mean = total[used].sum() / n[used].sum()
    spread = mean * (1.0 - mean)
    if spread <= 0.0:
        return _DEFAULT_STRENGTH
    deviation = ((total[used] / n[used] - mean) ** 2).mean()
    noise = (1.0 / n[used]).mean()
    between = (deviation - spread * noise) / max(1.0 - noise, 1e-3)
    if between <= 0.0:
        return 1e3  # no arm differs from another beyond chance
    return float(np.clip(spread / between - 1.0, 0.25, 1e3))
