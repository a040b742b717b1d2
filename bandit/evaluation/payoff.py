"""Whether any order can pay: one verdict, for the summary of a scan and for a replay."""

from __future__ import annotations

from bandit.evaluation.intervals import PairedDifference

# With a larger share of hits a random order finds them nearly as early.
TOO_COMMON = 0.5
# Share of all hits that an order must be able to gain in the first tenth to count as a gain.
_LEAST_GAIN = 0.05
# Scans with hits from which an interval is wide enough to rule such a gain out.
_LEAST_SCANS = 10


def no_gain(share: float, gain: PairedDifference | None = None) -> str | None:
    """Say in a sentence why no order can pay; None where one can, or where it is not known.

    Parameters
    ----------
    share : float
        Share of the whole universe that is high-value, scanned or not; NaN = not known.
    gain : PairedDifference, optional
        Share of the hits that the order found in the first tenth, less that of a random order.

    Examples
    --------
    >>> no_gain(0.05) is None
    True
    >>> no_gain(0.8)[:68]
    'ordering cannot pay here, because 80% of the results are high-value:'
    """
    why = None
    if share == 0.0:
        why = "none of the results is high-value. Try a lower threshold, or the best 5% by rating"
    elif share >= TOO_COMMON:
        why = (
            f"{share:.0%} of the results are high-value: any order finds them early. Try a rarer "
            "hit, such as the best 5% by rating or a higher threshold"
        )
    elif (
        gain is not None and gain.n >= _LEAST_SCANS and gain.low <= 0.0 and gain.high < _LEAST_GAIN
    ):
        why = (
            "nothing known before a scan predicts its hits: the share of them found in the first "
            f"10% of the symbols differs from a random order's by {100 * gain.mean:+.1f} points "
            f"(95% interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
        )
    return None if why is None else f"ordering cannot pay here, because {why}"
