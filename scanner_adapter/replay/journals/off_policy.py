"""Judge orders on scans that were stopped, from the propensities in the journal.

A complete scan judges any order exactly (`replay`). Of a stopped one the journal shows only what
its own order chose: `evaluation.offpolicy` corrects for that by the logged propensities, or refuses
where the log never looked. Only orders that are fixed before a scan can be judged so: one that
learns within the scan would have seen other outcomes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from bandit.belief.belief import Belief, BeliefSettings
from bandit.choice.open_scan import OpenScan
from bandit.errors import BanditError, InvalidInputError, UnanswerableError
from bandit.evaluation.offpolicy import LoggedScan, Method, OffPolicyEstimate, estimate_recall
from bandit.stores import Entry
from features.errors import FeatureError
from features.factors import combine
from scanner_adapter.errors import AdapterError
from scanner_adapter.inputs.context import MarketFacts, scan_context
from scanner_adapter.replay.journals.journal_scan import FactsOf, JournalScan, journal_scans
from scanner_adapter.replay.orders import by_value
from scanner_adapter.state.fingerprint import settings_from_fingerprint

ORDERS = ("last rating", "composite", "file order")
SHARES = (0.10, 0.25)
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

    Raises
    ------
    InvalidInputError
        For unknown orders, or a journal without propensities or universes.

    Notes
    -----
    A hit is what the scan itself counted as one when it was reported.
    """
    unknown = [order for order in orders if order not in ORDERS]
    if unknown:
        raise InvalidInputError(
            f"order is {unknown[0]!r}; stopped scans can judge {', '.join(ORDERS)}: an order that "
            "learns within a scan would have seen other outcomes"
        )
    logged = list(logged_scans(list(entries), facts_of))
    found = []
    for order in orders:
        for share in shares:
            scans = [each.toward(order, share) for each in logged]
            found += [_judge(order, share, method, scans) for method in methods]
    return tuple(found)


def judgement_table(judgements: Sequence[Judgement]) -> Table:
    """The judgements for people; 80 columns suffice."""
    table = Table(
        title="Recall of other orders, estimated from stopped scans",
        caption="dr: doubly robust; snips: self-normalised, biased by about 1/outcomes; ips: "
        "inverse propensities. In brackets the 95 % interval. Outcomes: as many equally weighted "
        "ones would tell as much. Overlap: share of the order's picks that were scanned.",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title_justify="left",
        caption_justify="left",
    )
    for name in ("order", "first", "method"):
        table.add_column(name, no_wrap=True)
    table.add_column("recall", ratio=1)
    for name in ("outcomes", "overlap"):
        table.add_column(name, justify="right", no_wrap=True)
    told: set[tuple[str, str]] = set()
    for each in judgements:
        head = (each.order, f"{each.share:.0%}", each.method)
        if each.estimate is None:
            if (each.order, each.refusal) not in told:
                table.add_row(*head, f"no answer: {each.refusal}", "–", "–")
            told.add((each.order, each.refusal))
            continue
        e = each.estimate
        recall = f"{e.recall:.3f} ({e.low:.3f} to {e.high:.3f})"
        table.add_row(*head, recall, f"{e.effective_sample_size:.0f}", f"{e.overlap:.2f}")
    return table


@dataclass(frozen=True)
class StoppedScan:
    """A journaled scan over its whole universe; arrays of shape (n,)."""

    batch: NDArray[np.int64]
    propensity: NDArray[np.float64]
    reward: NDArray[np.float64]
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
        target[by_value(values)[: math.ceil(share * n)]] = 1.0
        return LoggedScan(self.batch, self.propensity, self.reward, target, self.prediction)


def logged_scans(journal: list[Entry], facts_of: FactsOf | None) -> Iterator[StoppedScan]:
    """Yield reported scans over their whole universes; raises as `judge_stopped`."""
    scans = {scan.scan_id: scan for scan in journal_scans(journal)}
    last: dict[str, float] = {}
    ranker: Belief | None = None
    for entry in journal:
        scan = scans[entry.scan_id]
        if ranker is None:
            ranker = Belief(_settings(scan))
        ranker.fold(entry.kind, entry.header, entry.arms, entry.arrays, scan_id=entry.scan_id)
        if entry.kind == "open" and scan.reports:
            yield _over_universe(scan, ranker, last, facts_of)
        elif entry.kind == "report":
            rated = ~np.isnan(entry.arrays["rating"])
            for arm, rating, known in zip(
                entry.arms, entry.arrays["rating"].tolist(), rated.tolist(), strict=True
            ):
                if known:
                    last[arm] = rating


def _over_universe(
    scan: JournalScan, ranker: Belief, last: dict[str, float], facts_of: FactsOf | None
) -> StoppedScan:
    symbols = scan.universe()
    n = len(symbols)
    place = scan.column("place").astype(np.intp)
    batch, propensity = np.full(n, -1, np.int64), np.full(n, np.nan)
    reward = np.full(n, np.nan)
    # Numbered anew: of a batch that was handed out last, nothing may have come back.
    batch[place] = np.unique(scan.column("batch"), return_inverse=True)[1]
    propensity[place] = scan.column("propensity")
    reward[place] = np.nan_to_num(scan.column("reward"))  # a failed evaluation is no hit
    composite = prediction = None
    try:
        _, facts = scan.facts(facts_of)
    except (BanditError, AdapterError, FeatureError):
        if facts_of is not None:
            raise
    else:
        composite, prediction = _beliefs(scan, symbols, facts, ranker)
    rating = np.array([last.get(symbol, np.nan) for symbol in symbols])
    return StoppedScan(batch, propensity, reward, rating, composite, prediction)


def _beliefs(
    scan: JournalScan, symbols: tuple[str, ...], facts: MarketFacts, ranker: Belief
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The composite, and the expected reward of every symbol before the scan began."""
    now = float(scan.opened["scan_time"])
    view = ranker.view(symbols, now=now, groups=facts.groups)
    columns, values = scan_context(ranker, facts, view)
    live = OpenScan.open(
        ranker,
        scan.scan_id,
        symbols,
        values,
        columns,
        rng=np.random.default_rng(0),
        loadings=facts.loadings,
        blocks=facts.blocks,
    )
    composite = combine(facts.values, facts.names)[1]
    return composite, live.predict(np.arange(len(symbols))).probability


def _judge(
    order: str, share: float, method: Method, scans: Sequence[LoggedScan | None]
) -> Judgement:
    known = [scan for scan in scans if scan is not None]
    if len(known) < len(scans):
        return Judgement(
            order, share, method, None, "it needs the sub-scores of every symbol; give --bars"
        )
    if method == "dr" and any(scan.prediction is None for scan in known):
        return Judgement(
            order, share, method, None, "predictions need the sub-scores of every symbol; give "
            "--bars",
        )  # fmt: skip
    try:
        return Judgement(order, share, method, estimate_recall(known, method=method))
    except UnanswerableError as refusal:
        return Judgement(order, share, method, None, str(refusal))


def _settings(scan: JournalScan) -> BeliefSettings:
    if "settings" not in scan.opened:
        raise InvalidInputError(
            f"scan {scan.scan_id} was journaled without its settings (scanrank 0.1.0 or earlier "
            "wrote it); replay its ratings with bars (--bars)"
        )
    return settings_from_fingerprint(scan.opened["settings"])
