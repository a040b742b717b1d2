"""Judge orders on scans that were stopped, from the propensities in the journal.

A complete scan judges any order exactly (`replay`). Of a stopped one the journal shows only what
its own order chose: `evaluation.offpolicy` corrects for that by the logged propensities, or refuses
where the log never looked. Only orders that are fixed before a scan can be judged so: one that
learns within the scan would have seen other outcomes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from bandit.belief.belief import Belief
from bandit.checks import as_count, as_number, refusal
from bandit.choice.open_scan import OpenScan
from bandit.errors import BanditError, InvalidInputError, UnanswerableError
from bandit.evaluation.metrics import first_places
from bandit.evaluation.offpolicy import (
    LoggedScan,
    Method,
    OffPolicyEstimate,
    estimate_recall,
    inclusion_weights,
)
from bandit.rewards import RewardRule, final_hits, limit_above, rule_text
from bandit.stores import Entry
from features.errors import FeatureError
from features.factors import combine
from scanner_adapter.errors import AdapterError
from scanner_adapter.inputs.context import MarketFacts, scan_context
from scanner_adapter.replay.journals.journal_scan import (
    FactsOf,
    JournalScan,
    journal_rule,
    journal_scans,
)
from scanner_adapter.replay.logs.outcome_log import rows_between
from scanner_adapter.replay.orders import by_value
from scanner_adapter.state.fold import settings_from_fingerprint
from scanner_adapter.tables import plain_table

ORDERS = ("last rating", "composite", "file order")
SHARES = (0.10, 0.25)
_HALVINGS = 40  # of the interval of a factor: to a bit
_GOLDEN = (5.0**0.5 - 1.0) / 2.0
METHODS: tuple[Method, ...] = ("dr", "snips", "ips")


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the log says of one order.

    Attributes
    ----------
    order : str
    share : float
        Of the universe: the recall is that after so much was scanned.
    method : str
    estimate : OffPolicyEstimate or None
        None where the log cannot answer.
    refusal : str
        Why not; empty with an estimate.
    """

    order: str
    share: float
    method: Method
    estimate: OffPolicyEstimate | None
    refusal: str = ""


def judge_stopped(
    entries: Iterable[Entry],
    *,
    facts_of: FactsOf | None = None,
    orders: Sequence[str] = ORDERS,
    shares: Sequence[float] = SHARES,
    methods: Sequence[Method] = METHODS,
    rule: RewardRule | None = None,
    from_: date | str | None = None,
    to: date | str | None = None,
    warmup: int = 0,
    left_out: list[str] | None = None,
) -> tuple[Judgement, ...]:
    """Estimate the recall of orders from a journal of scans that were stopped.

    Parameters
    ----------
    entries : iterable of Entry
        The whole journal of one ruleset.
    facts_of : callable, optional
        Facts from bars; without them the composite cannot be judged, nor anything by the doubly
        robust estimator, whose predictions need them.
    orders : sequence of str
        Out of `ORDERS`. "last rating" goes by what the journal itself has seen before the scan.
    shares : sequence of float
    methods : sequence of str
        See `bandit.evaluation.offpolicy.estimate_recall`.
    rule : RewardRule, optional
        What counts as a hit; by default the rule that judged the journal.
    from_, to : date, optional
        First and last scan to judge on; what came before counts as known.
    warmup : int
        Scans of that period, its first ones, that are learned from and not judged on.
    left_out : list of str, optional
        Takes a sentence for each scan that cannot be judged on.

    Raises
    ------
    InvalidInputError
        For unknown orders, a period without scans, or a journal of which no scan can be judged on.

    Notes
    -----
    Which rating a top share starts at is not known of a scan that was stopped; its own close entry
    holds an estimate, which is too high where few were seen. See `with_limits`: over all scans
    together the hits add up to the share.
    """
    if isinstance(orders, str):
        raise refusal(orders, "orders", f"a list, such as [{orders!r}]")
    for share in shares:
        as_number(share, "share", "a share of the universe in (0, 1]", above=0.0, most=1.0)
    as_count(warmup, "warmup", least=0)
    unknown = [order for order in orders if order not in ORDERS]
    if unknown:
        raise InvalidInputError(
            f"order is {unknown[0]!r}; stopped scans can judge {', '.join(ORDERS)}: an order that "
            "learns within a scan would have seen different outcomes"
        )
    journal, bad = list(entries), [] if left_out is None else left_out
    rule = rule or journal_rule(journal_scans(journal, left_out=[]))
    every = list(logged_scans(journal, facts_of, rule, left_out=bad))
    if not every:
        raise InvalidInputError(f"no scan of the journal can be used; the first: {bad[0]}")
    days = np.array([scan.day for scan in every])
    logged = [every[i] for i in rows_between(days, np.ones(len(every), bool), from_, to)[warmup:]]
    if not logged:
        raise InvalidInputError(
            f"a warm-up of {warmup} leaves none of {len(every)} scans to judge; use a shorter "
            "warm-up or a longer period"
        )
    logged = with_limits(logged, rule)
    found = []
    for order in orders:
        for share in shares:
            scans = [each.toward(order, share) for each in logged]
            found += [_judge(order, share, method, scans) for method in methods]
    return tuple(found)


def judgement_table(judgements: Sequence[Judgement]) -> Table:
    """Return the judgements as a table of at most 80 columns."""
    table = plain_table(
        "Recall of other orders, estimated from stopped scans",
        ("order", "first", "method"),
        caption="dr: doubly robust; snips: self-normalised, biased by about 1/outcomes; ips: "
        "inverse propensities. In brackets the 95% interval. Outcomes: the equivalent number of "
        "equally weighted outcomes. Overlap: share of the order's picks that were scanned.",
    )
    table.add_column("recall", ratio=1)
    for name in ("outcomes", "overlap"):
        table.add_column(name, justify="right", no_wrap=True)
    shown: set[tuple[str, str]] = set()
    for each in judgements:
        head = (each.order, f"{100 * each.share:.4g}%", each.method)
        if each.estimate is None:
            if (each.order, each.refusal) not in shown:
                table.add_row(*head, f"no answer: {each.refusal}", "–", "–")
            shown.add((each.order, each.refusal))
            continue
        e = each.estimate
        recall = f"{e.recall:.3f} ({e.low:.3f} to {e.high:.3f})"
        table.add_row(*head, recall, f"{e.effective_sample_size:.0f}", f"{e.overlap:.2f}")
    return table


@dataclass(frozen=True)
class StoppedScan:
    """A journaled scan over its whole universe; arrays of shape (n,), see `LoggedScan`.

    `reward` is that of the close entry, by its own limit; `rating` is NaN of what was not scanned.
    """

    day: np.datetime64
    batch: NDArray[np.int64]
    propensity: NDArray[np.float64]
    reward: NDArray[np.float64]
    rating: NDArray[np.float64]
    last_rating: NDArray[np.float64]
    composite: NDArray[np.float64] | None
    prediction: NDArray[np.float64] | None

    def toward(self, order: str, share: float) -> LoggedScan | None:
        """The scan with an order's first picks as the target; None where it cannot be known."""
        n = len(self.batch)
        values = {
            "last rating": self.last_rating,
            "composite": self.composite,
            "file order": -np.arange(n, dtype=np.float64),
        }[order]
        if values is None:
            return None
        target = np.zeros(n)
        target[by_value(values)[: first_places(share, n)]] = 1.0
        return LoggedScan(self.batch, self.propensity, self.reward, target, self.prediction)


def with_limits(scans: Sequence[StoppedScan], rule: RewardRule) -> list[StoppedScan]:
    """Judge scans anew, by limits at which the hits of all stopped ones add up to the top share.

    Each scan's best ratings are its hits: as many as its own limit counted, times one factor for
    all scans, rounded up in some and down in others. At that factor the weighted log estimates as
    many hits as there are, the share of all universes, as nearly as the weight of one outcome lets
    it. Scans that ran to their end, and other rules, are left as they are.
    """
    share = rule.expected_share
    stopped = [scan for scan in scans if (scan.batch < 0).any()]
    if share is None or not stopped:
        return list(scans)
    parts = [_Ranked.of(scan, number) for number, scan in enumerate(stopped)]
    n_hits = share * sum(scan.batch.size for scan in stopped)
    low, high = 0.0, max(part.above.size / part.n_counted for part in parts)

    def too_many(factor: float) -> float:
        return sum(part.n_estimated(factor) for part in parts) - n_hits

    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if too_many(middle) >= 0.0 else (middle, high)
    # One outcome represents many: between the two lies a jump, and the nearer end is taken.
    factor = min((low, high), key=lambda each: abs(too_many(each)))
    limits = iter([part.limit(factor) for part in parts])
    return [
        replace(scan, reward=np.where(scan.batch >= 0, scan.rating >= next(limits), np.nan))
        if (scan.batch < 0).any()
        else scan
        for scan in scans
    ]


@dataclass(frozen=True)
class _Ranked:
    """The known ratings of a stopped scan, ascending, with the hits estimated from each on."""

    ratings: NDArray[np.float64]
    above: NDArray[np.float64]
    n_counted: float
    rounding: float

    @classmethod
    def of(cls, scan: StoppedScan, number: int) -> _Ranked:
        known = np.flatnonzero(~np.isnan(scan.rating))
        known = known[np.argsort(scan.rating[known], kind="stable")]
        weight = inclusion_weights(scan.batch, scan.propensity)
        above = np.append(weight[known][::-1].cumsum()[::-1], 0.0)
        if scan.prediction is not None:  # doubly robust: what is predicted, and the surprises
            above += float(scan.prediction.sum() - weight @ scan.prediction)
        rounding = (number * _GOLDEN) % 1.0 - 0.5  # spread evenly over any run of scans
        return cls(scan.rating[known], above, max(float(np.nansum(scan.reward)), 1.0), rounding)

    def limit(self, factor: float) -> float:
        if not self.ratings.size:
            return np.inf
        return limit_above(self.ratings, factor * self.n_counted + self.rounding)

    def n_estimated(self, factor: float) -> float:
        return float(self.above[np.searchsorted(self.ratings, self.limit(factor))])


def logged_scans(
    journal: list[Entry],
    facts_of: FactsOf | None,
    rule: RewardRule,
    *,
    left_out: list[str],
) -> Iterator[StoppedScan]:
    """Yield reported scans over their whole universes; `left_out` takes why others are none."""
    scans = {scan.scan_id: scan for scan in journal_scans(journal, left_out=left_out)}
    last: dict[str, float] = {}
    belief: Belief | None = None
    for entry in journal:
        scan = scans.get(entry.scan_id)
        if scan is None:
            continue
        if belief is None:
            belief = Belief(settings_from_fingerprint(scan.settings))
        belief.fold(entry.kind, entry.header, entry.arms, entry.arrays, scan_id=entry.scan_id)
        if entry.kind == "open" and scan.reports:
            try:
                yield _over_universe(scan, belief, last, facts_of, rule)
            except (BanditError, AdapterError, FeatureError) as error:
                left_out.append(str(error))
        elif entry.kind == "report":
            ratings = zip(entry.arms, entry.arrays["rating"].tolist(), strict=True)
            last.update({arm: rating for arm, rating in ratings if not math.isnan(rating)})


def _over_universe(
    scan: JournalScan,
    belief: Belief,
    last: dict[str, float],
    facts_of: FactsOf | None,
    rule: RewardRule,
) -> StoppedScan:
    symbols = scan.universe()
    n = len(symbols)
    place = scan.column("place").astype(np.intp)
    batch, (propensity, reward, rating) = np.full(n, -1, np.int64), np.full((3, n), np.nan)
    # Numbered anew: of a batch that was handed out last, nothing may have come back.
    batch[place] = np.unique(scan.column("batch"), return_inverse=True)[1]
    propensity[place] = scan.column("propensity")
    reward[place] = _hits(scan, rule)
    rating[place] = scan.column("rating")
    composite = prediction = None
    try:
        _, facts = scan.facts(facts_of)
    except (BanditError, AdapterError, FeatureError):
        if facts_of is not None:
            raise
    else:
        composite, prediction = _beliefs(scan, symbols, facts, belief)
    before = np.array([last.get(symbol, np.nan) for symbol in symbols])
    day = np.datetime64(scan.now.date(), "D")
    return StoppedScan(day, batch, propensity, reward, rating, before, composite, prediction)


def _hits(scan: JournalScan, rule: RewardRule) -> NDArray[np.bool_]:
    """Which reported symbols (k,) are hits, by the limit that the scan ended with."""
    rating = scan.column("rating").astype(np.float64)
    is_signal = scan.column("is_signal").astype(np.float64)
    is_own = not scan.is_complete and scan.settings["rule"] == rule_text(rule)
    limit = (scan.closed or {}).get("hit_limit") if is_own else None
    return final_hits(rule, rating, is_signal, limit)


def _beliefs(
    scan: JournalScan, symbols: tuple[str, ...], facts: MarketFacts, belief: Belief
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The composite, and the expected reward of every symbol before the scan began."""
    now = float(scan.opened["scan_time"])
    view = belief.track.view(symbols, now=now, groups=facts.groups)
    columns, values = scan_context(belief, facts, view)
    open_scan = OpenScan(
        belief, scan.scan_id, symbols, values, columns, rng=np.random.default_rng(0),
        loadings=facts.loadings, blocks=facts.blocks,
    )  # fmt: skip
    composite = combine(facts.values, facts.names)[1]
    return composite, open_scan.predict(np.arange(len(symbols))).probability


def _judge(
    order: str, share: float, method: Method, scans: Sequence[LoggedScan | None]
) -> Judgement:
    known = [scan for scan in scans if scan is not None]
    estimate, refusal = None, ""
    if len(known) < len(scans):
        refusal = "it needs the sub-scores of every symbol; give --bars"
    elif method == "dr" and any(scan.prediction is None for scan in known):
        refusal = "predictions need the sub-scores of every symbol; give --bars"
    else:
        try:
            estimate = estimate_recall(known, method=method)
        except UnanswerableError as error:
            refusal = str(error)
    return Judgement(order, share, method, estimate, refusal)
