"""Historical sub-scores: what earlier scans found in a symbol, as today's clock sees it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.checks import as_array, as_kind
from features.errors import FeatureError

HISTORICAL = (
    "historical.last",
    "historical.fast",
    "historical.slow",
    "historical.hit_rate",
    "historical.frequency",
)
_KEYS = ("last_reward", "last_age_days", "fast_mean", "slow_mean", "n_scans", "n_hits")

# Days after which the last reward counts half as much. A rating scanner's ratings correlate
# 0.9 over one day and 0.65 over five, which is a half-life of about eight days.
_HALF_LIFE = 8.0
# Scans that an unseen symbol's hit rate is worth, and that rate: hits are rare.
_PRIOR_SCANS, _PRIOR_RATE = 4.0, 0.05


def historical_sub_scores(track_record: Mapping[str, ArrayLike]) -> NDArray[np.float32]:
    """Return the sub-scores of `HISTORICAL` from the track record, 0 to 100, NaN = never seen.

    Parameters
    ----------
    track_record : mapping of str to ndarray, each of shape (n_symbols,)
        last_reward (0 to 1, NaN = never seen), last_age_days, fast_mean and slow_mean (0 to 1,
        decayed by the clock), n_scans and n_hits (decayed counts).

    Returns
    -------
    ndarray of float32, shape (n_symbols, len(HISTORICAL))
        last: the last reward, fading to 50 with its age. fast, slow: the decayed means.
        hit_rate: 50 for the usual rate of hits, 100 for certainty. frequency: the number of
        decayed scans, 50 at four.

    Raises
    ------
    FeatureError
        If a key is missing or the arrays differ in length.
    """
    as_kind(track_record, "track_record", Mapping, "a mapping of names to arrays")
    missing = [key for key in _KEYS if key not in track_record]
    if missing:
        raise FeatureError(
            f"the track record lacks {', '.join(missing)}; expected {', '.join(_KEYS)}"
        )
    last, age, fast, slow, n_scans, n_hits = (
        as_array(track_record[key], key, "an array of numbers") for key in _KEYS
    )
    if len({array.shape for array in (last, age, fast, slow, n_scans, n_hits)}) != 1:
        raise FeatureError("the arrays of the track record differ in length")
    if last.ndim != 1:
        raise FeatureError(f"last_reward has shape {last.shape}; expected one number per symbol")
    seen = ~np.isnan(last)
    fade = 0.5 ** (np.maximum(age, 0.0) / _HALF_LIFE)
    rate = (n_hits + _PRIOR_SCANS * _PRIOR_RATE) / (n_scans + _PRIOR_SCANS)
    # Odds relative to the usual odds, so that the usual rate is 50 and the range is kept.
    odds = rate / np.maximum(1.0 - rate, 1e-9) * (1.0 - _PRIOR_RATE) / _PRIOR_RATE
    scores = np.column_stack(
        [
            50.0 + 100.0 * (last - 0.5) * fade,
            100.0 * fast,
            100.0 * slow,
            100.0 * odds / (1.0 + odds),
            100.0 * n_scans / (n_scans + _PRIOR_SCANS),
        ]
    )
    scores[~seen] = np.nan
    return np.clip(scores, 0.0, 100.0).astype(np.float32)
