"""Rulesets and their symbols over all scans: sizes, weights, track records."""

from __future__ import annotations

import math
import time

import numpy as np
from fastapi import APIRouter

from bandit.evaluation.intervals import Interval
from bandit.stores import Entry, RulesetStats, ScanInfo, Store
from bandit.stores.names import position_key
from scanner_adapter.batch import SECONDS_PER_DAY
from scanner_adapter.jsonio import finite_or_none
from scanner_adapter.live.status import LiveWeight
from scanner_adapter.service import schemas
from scanner_adapter.service.context import Asked
from scanner_adapter.service.notes import past, read_newest_scans, read_status, seconds_of
from scanner_adapter.service.problems import NOT_FOUND, ProblemError
from scanner_adapter.service.routes.names import RulesetName, SymbolName, refusals
from scanner_adapter.service.watching.beliefs import CONFIDENCE, Beliefs

router = APIRouter(prefix="/api/v1/rulesets", tags=["rulesets"], responses=refusals())

# Of a symbol's history: so many scans, and of these so many results, are looked through.
HISTORY_SCANS = 20
HISTORY_RESULTS = 100_000


@router.get("", summary="Every ruleset, with its newest scan")
async def list_rulesets(service: Asked) -> schemas.Rulesets:
    """List the rulesets that have a journal."""
    return await service.access.call(_read_rulesets)


@router.get("/{ruleset}", summary="Sizes and learned factor weights with intervals")
async def show_ruleset(service: Asked, ruleset: RulesetName) -> schemas.Ruleset:
    """Show one ruleset; its belief is folded up to `position`."""
    return await service.access.call_slow(
        lambda store: _read_ruleset(store, service.beliefs, ruleset)
    )


@router.get(
    "/{ruleset}/comparison", summary="Prioritised scans compared with those in the given order"
)
async def compare_scans(service: Asked, ruleset: RulesetName) -> schemas.Compared:
    """Compare the scans of a ruleset by what their first tenth of symbols brought."""
    return await service.access.call_slow(lambda store: _compare(store, service.beliefs, ruleset))


@router.get("/{ruleset}/symbols/{symbol:path}", summary="A symbol's track record and history")
async def show_symbol(service: Asked, ruleset: RulesetName, symbol: SymbolName) -> schemas.Symbol:
    """Show what a symbol has shown over the scans of a ruleset."""
    return await service.access.call_slow(
        lambda store: _read_symbol(store, service.beliefs, ruleset, symbol)
    )


def known_stats(store: Store, ruleset: str) -> RulesetStats:
    """Return a ruleset's sizes.

    Raises
    ------
    ProblemError
        404, when it has no journal.
    """
    stats = store.stats(ruleset)
    if not stats.n_entries and not stats.snapshot_version:
        raise ProblemError(
            NOT_FOUND, f"ruleset {ruleset!r} has no journal in this store; see /api/v1/rulesets"
        )
    return stats


def _read_rulesets(store: Store) -> schemas.Rulesets:
    """Ask for all at once: seven round trips, however many rulesets there are."""
    names = store.list_rulesets()
    newest = read_newest_scans(store, names)
    return schemas.Rulesets(
        rulesets=[
            schemas.RulesetBrief(
                name=name,
                n_scans=stats.n_scans,
                n_entries=stats.n_entries,
                written_at=seconds_of(stats.last_position),
                newest_scan=newest.get(name),
            )
            for name, stats in zip(names, store.stats_of(names), strict=True)
        ]
    )


def _read_ruleset(store: Store, beliefs: Beliefs, ruleset: str) -> schemas.Ruleset:
    stats = known_stats(store, ruleset)
    with beliefs.of(store, ruleset, stats) as folded:
        sizes = {name: value for name, value in vars(stats).items() if name != "last_position"}
        return schemas.Ruleset(
            **sizes,
            name=ruleset,
            position=folded.position,
            n_scans_learned=folded.belief.n_scans,
            n_reports_learned=folded.belief.n_reports,
            confidence=CONFIDENCE,
            weights={
                factor: LiveWeight(w.prior, w.learned, w.low, w.high)
                for factor, w in folded.weights().items()
                if math.isfinite(w.learned)
            },
        )


def _compare(store: Store, beliefs: Beliefs, ruleset: str) -> schemas.Compared:
    found = beliefs.comparison(store, ruleset, known_stats(store, ruleset))

    def group(interval: Interval) -> schemas.ComparedScans:
        mean, low, high = map(finite_or_none, (interval.mean, interval.low, interval.high))
        return schemas.ComparedScans(n_scans=interval.n, mean=mean, low=low, high=high)

    lift, low, high = map(finite_or_none, (found.lift, found.lift_low, found.lift_high))
    return schemas.Compared(
        prioritised=group(found.prioritised), control=group(found.control), text=str(found),
        lift=lift, lift_low=low, lift_high=high, is_randomised=found.is_randomised,
    )  # fmt: skip


def _read_symbol(store: Store, beliefs: Beliefs, ruleset: str, symbol: str) -> schemas.Symbol:
    stats = known_stats(store, ruleset)
    scans = _latest_scans(store, ruleset)
    # Ages go by the scan's own clock: one of last year's bars was not scanned a year ago.
    status = read_status(store, ruleset, scans[0].scan_id) if scans else None
    now = time.time() if status is None else status.scan_time
    with beliefs.of(store, ruleset, stats) as folded:
        view = folded.belief.track.view([symbol], now=now / SECONDS_PER_DAY)
    track = schemas.Track.model_validate(
        {name: finite_or_none(getattr(view, name)[0]) for name in schemas.Track.model_fields}
    )
    history = _history(store, ruleset, symbol, scans)
    # In its first scan a symbol has results, and a track record only when that scan has settled.
    if track.last_reward is None and not history:
        raise ProblemError(
            NOT_FOUND, f"symbol {symbol!r} was never scanned under ruleset {ruleset!r}"
        )
    return schemas.Symbol(
        symbol=symbol, ruleset=ruleset, track=track, history=history, n_scans_read=len(scans)
    )


def _latest_scans(store: Store, ruleset: str) -> list[ScanInfo]:
    scans: list[ScanInfo] = []
    n_results = 0
    for info in store.list_scans(ruleset, HISTORY_SCANS):
        n_results += info.n_reported
        if scans and n_results > HISTORY_RESULTS:
            break
        scans.append(info)
    return scans


def _history(
    store: Store, ruleset: str, symbol: str, scans: list[ScanInfo]
) -> list[schemas.PastResult]:
    if not scans:
        return []
    first = min((scan.started for scan in scans), key=position_key)
    found = [
        _past_result(entry, entry.arms.index(symbol))
        for entry in store.read(ruleset, after=past(first))
        if entry.kind == "report" and symbol in entry.arms
    ]
    return found[::-1]


def _past_result(entry: Entry, row: int) -> schemas.PastResult:
    rating, reward = entry.arrays["rating"][row], entry.arrays["reward"][row]
    is_random = entry.arrays.get("is_random")
    return schemas.PastResult(
        scan_id=entry.scan_id,
        reported_at=seconds_of(entry.position),
        rating=finite_or_none(float(rating)),
        reward=finite_or_none(float(reward)),
        is_error=bool(np.isnan(rating) and np.isnan(reward)),
        is_random=is_random is not None and bool(is_random[row]),
    )
