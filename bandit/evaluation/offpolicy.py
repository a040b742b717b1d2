"""Off-policy estimates: recall of a target order from scans that were stopped early.

A scan that stopped early only shows the symbols that its own order chose, so counting hits favours
similar orders. The logged propensities correct for that: an outcome seen with probability 0.1
represents ten of its kind. No weight can replace symbols that the log never chose;
`estimate_recall` then refuses to answer instead of guessing.

Complete scans need none of this: judge any order on them exactly with `bandit.evaluation.metrics`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from bandit.errors import InvalidInputError, UnanswerableError

Method = Literal["ips", "snips", "dr"]

BIAS: dict[Method, str] = {
    "ips": "both totals unbiased, their ratio biased by about 1/n_scans",
    "snips": "biased by about 1/effective_sample_size, in exchange for less variance",
    "dr": "both totals unbiased whatever the predictions, their ratio biased by about 1/n_scans",
}

MIN_SCANS = 20  # with fewer, the normal interval of a ratio is too narrow
MIN_EFFECTIVE_SAMPLE = 10.0  # outcomes; below, single weights decide the answer
# Hits that the log came upon by chance (propensity below a half); only they say how many more were
# hidden. With 10 to 20 of them, on real scans stopped at 10 %, intervals of 95 % are 0.1 to 0.2
# wide to either side and held the truth in 96 % (`python -m benchmarks.offpolicy`).
MIN_CHANCE_HITS = 10
# Of the hits found by chance, those in the target, or those outside of it, may by luck be none, and
# show no variance: half a hit more of either kind counts in it. Without, intervals of orders that
# find few hits held the truth in half of the cases.
_FURTHER_HITS = 0.5
_BY_CHANCE = 0.5
MAX_MISSING_SHARE = 0.05  # of the universe or the target that the weights may fail to account for
# Degrees of freedom of one scan's variance. Its batches would give their number less one if totals
# were normal; with rare hits of large weight they give fewer. With 2, intervals of 95 % held the
# truth in 95 to 97 % of stopped real scans, with 6 in 92 to 96 %, with 1 in 97 to 99 %.
_FREEDOM_PER_SCAN = 2.0
SURE = 4.0  # standard errors before a missing share counts as real


Weights = Sequence[NDArray[np.float64]]  # per scan, shape (n_arms,)
Estimate = tuple[float, list[NDArray[np.float64]]]  # recall, and each arm's influence on it


@dataclass(frozen=True, slots=True)
class LoggedScan:
    """One scan as it was logged, over all arms of its universe.

    Attributes
    ----------
    batch : ndarray of int, shape (n_arms,)
        Number of the batch in which the arm was handed out, from 0; -1 if it never was.
    propensity : ndarray of float, shape (n_arms,)
        Probability, given everything reported before, that the arm came into *that* batch; read
        only where the arm was handed out. Known at decision time, never reconstructed.
    reward : ndarray of float, shape (n_arms,)
        0 or 1 (a hit), or graded; read only where the arm was handed out.
    target : ndarray of float, shape (n_arms,)
        Whether the order in question puts the arm among its first k (1 or 0), or how probably.
    prediction : ndarray of float, shape (n_arms,), optional
        Expected reward of every arm from a model that had not seen this scan's outcomes; needed
        by the doubly robust estimator.
    """

    batch: NDArray[np.int64]
    propensity: NDArray[np.float64]
    reward: NDArray[np.float64]
    target: NDArray[np.float64]
    prediction: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class OffPolicyEstimate:
    """Estimated recall of the target order, pooled: its hits over all hits of all scans.

    Attributes
    ----------
    recall, low, high : float
        The estimate and its interval, cut to [0, 1].
    method : str
    bias : str
        What is known about the method's bias.
    n_scans : int
    effective_sample_size : float
        Kish's: as many equally weighted outcomes would be as informative about the target.
    overlap : float
        Share of the target's arms that the log itself handed out; near 1 the weights matter
        little, near 0 everything hangs on them.
    covered : float
        Share of the target that the weighted log accounts for; 1 is expected.
    largest_weight : float
        Universe members that the heaviest single outcome represents.
    chance_hits : int
        Hits that were found by chance, see `MIN_CHANCE_HITS`.
    """

    recall: float
    low: float
    high: float
    method: Method
    bias: str
    n_scans: int
    effective_sample_size: float
    overlap: float
    covered: float
    largest_weight: float
    chance_hits: int


def inclusion_weights(
    batch: NDArray[np.int64], propensity: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How many members of the universe each outcome of a batched scan represents.

    Batch b alone, together with what was seen before it, estimates a total over the universe
    without bias: the outcomes before b as they are, those of b divided by their propensity. The
    mean over all B batches gives the arm of batch b the weight ``(1 / propensity + B - 1 - b) / B``
    (b from 0). Averaging keeps single weights small, because whatever is seen early counts as
    certain for all later batches.

    Parameters
    ----------
    batch : ndarray of int, shape (n_arms,)
    propensity : ndarray of float, shape (n_arms,)

    Returns
    -------
    ndarray of float, shape (n_arms,)
        0 for arms that were not handed out; 1 throughout if the scan was completed.

    Notes
    -----
    Unbiased if every arm that remains has a positive propensity in every batch and the number of
    batches does not depend on the outcomes; a stop rule such as `RecallReached` bends it slightly.

    References
    ----------
    Des Raj (1956). Some estimators in sampling with varying probabilities without replacement.
    Journal of the American Statistical Association 51, 269-284.

    Examples
    --------
    Two batches of one arm each, from four arms: the first arm was certain, the second one of three.

    >>> inclusion_weights(np.array([0, 1, -1, -1]), np.array([1.0, 1 / 3, np.nan, np.nan]))
    array([1. , 1.5, 0. , 0. ])
    """
    seen = batch >= 0
    if seen.all():
        return np.ones(len(batch))
    n_batches = int(batch.max(initial=-1)) + 1
    weights = np.zeros(len(batch))
    weights[seen] = (1.0 / propensity[seen] + n_batches - 1 - batch[seen]) / n_batches
    return weights


def estimate_recall(
    scans: Sequence[LoggedScan], *, method: Method = "dr", level: float = 0.95
) -> OffPolicyEstimate:
    """Recall that the target order would have had on the logged scans, with its interval.

    `dr` is the one to choose where predictions were logged: its variance comes only from what the
    predictions miss. `ips` needs nothing but propensities; `snips` steadies it when weights vary.

    Parameters
    ----------
    scans : sequence of LoggedScan
        At least `MIN_SCANS`.
    method : {"dr", "ips", "snips"}
        Doubly robust, inverse propensity scoring, self-normalised inverse propensity scoring.
    level : float
        Probability inside the interval.

    Raises
    ------
    InvalidInputError
        If a scan's arrays do not fit together, a propensity is missing or outside (0, 1], or the
        predictions that `dr` needs are missing.
    UnanswerableError
        If the log is too small: too few scans, too few effective outcomes, no hit seen, or a part
        of the universe or of the target that the logging order could never have chosen.

    Notes
    -----
    The interval answers for the logged scans themselves: what was hidden is its only source of
    error. The ratio is linearised (Taylor); how the order would do in other weeks is a question
    for `metrics.bootstrap_interval` over complete scans. Its width uses Student's t with
    Satterthwaite's degrees of freedom.

    References
    ----------
    D. G. Horvitz, D. J. Thompson (1952). A generalization of sampling without replacement from a
    finite universe. JASA 47, 663-685.
    A. Swaminathan, T. Joachims (2015). The self-normalized estimator for counterfactual learning.
    NeurIPS.
    F. E. Satterthwaite (1946). An approximate distribution of estimates of variance components.
    Biometrics Bulletin 2(6), 110-114.
    M. Dudík, D. Erhan, J. Langford, L. Li (2014). Doubly robust policy evaluation and
    optimization. Statistical Science 29(4), 485-511.
    """
    if method not in get_args(Method):
        raise InvalidInputError(f"method is {method!r}; expected one of {get_args(Method)}")
    if not 0.0 < level < 1.0:
        raise InvalidInputError(f"level is {level!r}; expected a probability in (0, 1)")
    if len(scans) < MIN_SCANS:
        raise UnanswerableError(
            f"{len(scans)} scans are too few for an interval; expected at least {MIN_SCANS}. "
            "Log more scans, or replay complete ones"
        )
    for place, scan in enumerate(scans):
        _check(place, scan, needs_prediction=method == "dr")

    weights = [inclusion_weights(scan.batch, scan.propensity) for scan in scans]
    diagnostics = _diagnose(scans, weights)
    recall, influences = _ESTIMATORS[method](scans, weights)
    variances = _variances(scans, influences)
    chance_weights = _chance_weights(scans, weights)
    hits = sum(float(w @ _seen_reward(scan)) for scan, w in zip(scans, weights, strict=True))
    further = _FURTHER_HITS / max(chance_weights.size, 1)
    further *= (recall**2 + (1.0 - recall) ** 2) / hits**2
    variance = variances.sum() + further * float((chance_weights**2).sum())
    half_width = _quantile(variances, level) * math.sqrt(variance)
    cut = np.clip([recall, recall - half_width, recall + half_width], 0.0, 1.0).tolist()
    return OffPolicyEstimate(
        recall=cut[0],
        low=cut[1],
        high=cut[2],
        method=method,
        bias=BIAS[method],
        n_scans=len(scans),
        chance_hits=chance_weights.size,
        **diagnostics,
    )


def _check(place: int, scan: LoggedScan, *, needs_prediction: bool) -> None:
    shape = scan.batch.shape
    rows = {"propensity": scan.propensity, "reward": scan.reward, "target": scan.target}
    if scan.prediction is not None:
        rows["prediction"] = scan.prediction
    elif needs_prediction:
        raise InvalidInputError(
            f"scan {place} has no prediction, which the doubly robust estimator needs; "
            'log predictions, or use method="snips"'
        )
    for name, row in rows.items():
        if row.shape != shape or len(shape) != 1:
            raise InvalidInputError(
                f"scan {place}: {name} has shape {row.shape} and batch {shape}; "
                "expected (n_arms,) in both"
            )
    seen = scan.batch >= 0
    propensity = scan.propensity[seen]
    wrong = propensity[~((propensity > 0) & (propensity <= 1))]  # NaN fails both comparisons
    if wrong.size:
        raise InvalidInputError(
            f"scan {place}: a propensity is {wrong[0]}; expected one in (0, 1] for every symbol "
            "handed out. Logs without propensities can only be judged if their scans are complete"
        )
    for name, known in (
        ("reward", scan.reward[seen]),
        ("target", scan.target),
        ("prediction", scan.prediction if scan.prediction is not None else np.empty(0)),
    ):
        wrong = known[~((known >= 0) & (known <= 1))]
        if wrong.size:
            raise InvalidInputError(f"scan {place}: a {name} is {wrong[0]}; expected one in [0, 1]")


def _diagnose(scans: Sequence[LoggedScan], weights: Weights) -> dict[str, float]:
    """Overlap of log and target; refuses where there is too little of it."""
    targets = [scan.target for scan in scans]
    target_size = sum(float(row.sum()) for row in targets)
    if target_size == 0:
        raise InvalidInputError(
            "the target is empty in every scan; expected the first k symbols of the target order"
        )
    _refuse_gaps("universe", scans, weights, [np.ones(len(scan.batch)) for scan in scans])
    covered = _refuse_gaps("target", scans, weights, targets)
    on_target = np.concatenate([w * row for w, row in zip(weights, targets, strict=True)])
    effective = float(on_target.sum() ** 2 / (on_target**2).sum()) if on_target.any() else 0.0
    if effective < MIN_EFFECTIVE_SAMPLE:
        raise UnanswerableError(
            f"the log contains {effective:.0f} effective outcomes of the target's symbols; "
            f"expected at least {MIN_EFFECTIVE_SAMPLE:.0f}. Log more scans, or a larger "
            "random quota"
        )
    if not any(_seen_reward(scan).any() for scan in scans):
        raise UnanswerableError("the log contains no hit, so recall is undefined")
    chosen = sum(float(scan.target[scan.batch >= 0].sum()) for scan in scans)
    return {
        "effective_sample_size": effective,
        "overlap": chosen / target_size,
        "covered": covered,
        "largest_weight": max(float(w.max(initial=0.0)) for w in weights),
    }


def _chance_weights(scans: Sequence[LoggedScan], weights: Weights) -> NDArray[np.float64]:
    """Weights of hits that stopped scans found by chance; refuses where there are too few."""
    stopped = [(scan, w) for scan, w in zip(scans, weights, strict=True) if (scan.batch < 0).any()]
    if not stopped:
        return np.empty(0)
    found = np.concatenate(
        [
            w[(scan.batch >= 0) & (scan.propensity < _BY_CHANCE) & (scan.reward >= 0.5)]
            for scan, w in stopped
        ]
    )
    if found.size < MIN_CHANCE_HITS:
        raise UnanswerableError(
            f"{found.size} hits were found by random draws; expected at least {MIN_CHANCE_HITS}, "
            "because only they show how many hits were missed. Log more scans, or a larger random "
            "quota"
        )
    return found


def _refuse_gaps(what: str, scans: Sequence[LoggedScan], weights: Weights, rows: Weights) -> float:
    """Share of the total of `rows` that the weighted log accounts for, 1 being expected."""
    size = sum(float(row.sum()) for row in rows)
    covered = sum(float(w @ row) for w, row in zip(weights, rows, strict=True)) / size
    error = math.sqrt(_variances(scans, rows).sum()) / size
    if covered < 1 - MAX_MISSING_SHARE and (1 - covered) > SURE * error:
        raise UnanswerableError(
            f"the weighted log accounts for {covered:.0%} of the {what} only, because the logging "
            "order never chose the rest. Scan with a random quota, or replay complete scans"
        )
    return covered


def _seen_reward(scan: LoggedScan) -> NDArray[np.float64]:
    """Rewards with 0 for arms that were not handed out, whose weight is 0 anyway."""
    return np.where(scan.batch >= 0, scan.reward, 0.0)


def _variances(
    scans: Sequence[LoggedScan], rows: Sequence[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Variance of the estimated total of `rows` in each scan, shape (n_scans,).

    Each batch estimates its scan's total by itself and the errors of two batches are uncorrelated
    (Des Raj, theorem 2), so that the spread between batches gives the variance of their mean
    without bias. Only what was hidden counts: how much scans differ is not an error here.
    """
    variances = np.zeros(len(scans))
    for place, (scan, row) in enumerate(zip(scans, rows, strict=True)):
        seen = scan.batch >= 0
        if seen.all() or not seen.any():
            continue
        batch, values = scan.batch[seen], row[seen]
        in_batch = np.bincount(batch, values)
        totals = np.bincount(batch, values / scan.propensity[seen]) + in_batch.cumsum() - in_batch
        # A single batch has no spread; its own square is the cautious stand-in.
        single = len(totals) == 1
        variances[place] = totals[0] ** 2 if single else totals.var(ddof=1) / len(totals)
    return variances


def _quantile(variances: NDArray[np.float64], level: float) -> float:
    """Student's quantile with Satterthwaite's degrees of freedom.

    A hit with a large weight is rare, so that most scans' variances are small and a few are large:
    their sum is far less sure than its number of terms suggests.
    """
    if not variances.any():
        return 0.0
    freedom = _FREEDOM_PER_SCAN * variances.sum() ** 2 / (variances**2).sum()
    return float(stdtrit(freedom, 0.5 + level / 2))


def _ips(scans: Sequence[LoggedScan], weights: Weights) -> Estimate:
    nothing = [replace(scan, prediction=np.zeros(len(scan.batch))) for scan in scans]
    return _dr(nothing, weights)  # predictions of nothing


def _snips(scans: Sequence[LoggedScan], weights: Weights) -> Estimate:
    # Both totals are scaled by a known size over an estimated one: a log that by luck saw too much
    # of the target is corrected for it. Each factor enters the error by its logarithm's derivative.
    pairs = [(scan, w, _seen_reward(scan)) for scan, w in zip(scans, weights, strict=True)]
    found = sum(float(w @ (scan.target * reward)) for scan, w, reward in pairs)
    hits = sum(float(w @ reward) for _, w, reward in pairs)
    on_target = sum(float(w @ scan.target) for scan, w, _ in pairs)
    everywhere = sum(float(w.sum()) for w in weights)
    k = sum(float(scan.target.sum()) for scan in scans)
    recall = (found / on_target * k) / (hits / everywhere * sum(len(w) for w in weights))
    return recall, [
        (recall / found * scan.target * reward if found else np.zeros(len(reward)))
        - recall * (reward / hits + scan.target / on_target - 1.0 / everywhere)
        for scan, _, reward in pairs
    ]


def _dr(scans: Sequence[LoggedScan], weights: Weights) -> Estimate:
    found = hits = 0.0
    surprises = []
    for scan, w in zip(scans, weights, strict=True):
        prediction = scan.prediction
        assert prediction is not None  # noqa: S101 - checked at the border by `_check`
        surprise = np.where(scan.batch >= 0, _seen_reward(scan) - prediction, 0.0)
        found += float(prediction @ scan.target + w @ (scan.target * surprise))
        hits += float(prediction.sum() + w @ surprise)
        surprises.append(surprise)
    if hits <= 0:
        raise UnanswerableError(
            f"predictions and outcomes contradict each other: {hits:.1f} hits estimated in total. "
            'Use method="snips", which uses no predictions'
        )
    recall = found / hits
    return recall, [
        (scan.target - recall) * surprise / hits
        for scan, surprise in zip(scans, surprises, strict=True)
    ]


_ESTIMATORS: dict[Method, Callable[[Sequence[LoggedScan], Weights], Estimate]] = {
    "ips": _ips,
    "snips": _snips,
    "dr": _dr,
}
