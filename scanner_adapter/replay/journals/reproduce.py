"""Live equals replay: make the choices of journaled scans again, and compare bit for bit.

Each scan is run through the code that runs live, with the belief that the journal gives up to it,
its own random numbers, its own facts and the outcomes that were reported, in the batches in which
they were. The journal that this writes must be the one that was read. A scan whose choices cannot
be made again (several workers shared it, somebody pinned symbols) is only learned from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from rich.table import Table

from bandit.belief.belief import LEARNING_VERSION, BeliefSettings
from bandit.errors import BanditError
from bandit.rewards import RewardRule
from bandit.stores import Entry
from bandit.stores.entries import sealed_again
from bandit.stores.sqlite.store import SqliteStore
from features.errors import FeatureError
from features.similarity import Loadings
from scanner_adapter.errors import AdapterError
from scanner_adapter.inputs.context import MarketFacts
from scanner_adapter.replay.journals.journal_scan import FactsOf, JournalScan, journal_scans
from scanner_adapter.state.fold import rule_from_fingerprint, settings_from_fingerprint
from scanner_adapter.state.provenance import Provenance
from scanner_adapter.state.rows import outcome_for_replay
from scanner_adapter.symbol_ranker import SymbolRanker
from scanner_adapter.tables import plain_table

_RULESET = "replay"
# What a replay cannot and need not repeat: clocks, names of processes, where facts came from.
_NOT_COMPARED = {"reported_at", "session", "rollout", "first_hit_s", "as_of", "scanrank", "by"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of making one scan's choices again.

    Attributes
    ----------
    scan_id : str
    n_batches, n_symbols : int
        Batches chosen, and symbols reported, in the journal.
    is_same : bool or None
        Whether every batch, reward and number is the same, bit for bit; None = not replayed.
    reason : str
        Where it first differs, or why it was not replayed; empty if it is the same.
    """

    scan_id: str
    n_batches: int
    n_symbols: int
    is_same: bool | None
    reason: str = ""


def replay_again(
    entries: Iterable[Entry], *, facts_of: FactsOf | None = None, rule: RewardRule | None = None
) -> tuple[Verdict, ...]:
    """Repeat the choices of every scan of a journal and compare.

    Parameters
    ----------
    entries : iterable of Entry
        The whole journal of one ruleset, from a store or from `read_journal`.
    facts_of : callable, optional
        Facts from bars, for scans that were stopped.
    rule : RewardRule, optional
        The hit rule, if it was your own; otherwise the journal's rule is used.

    Raises
    ------
    InvalidInputError
        For a journal without its beginning.
    """
    journal = list(entries)
    scans = {scan.scan_id: scan for scan in journal_scans(journal)}
    stage = _Stage(rule)
    verdicts: dict[str, Verdict] = {}
    for number, entry in enumerate(journal):
        scan = scans[entry.scan_id]
        if entry.scan_id not in verdicts:
            own = [e for e in journal[number:] if e.scan_id == entry.scan_id]
            verdicts[entry.scan_id] = stage.replay(scan, own, facts_of)
        stage.learn(entry)
    return tuple(verdicts.values())


def again_table(verdicts: Sequence[Verdict]) -> Table:
    """The verdicts for people."""
    n_same = sum(verdict.is_same is True for verdict in verdicts)
    n_other = sum(verdict.is_same is False for verdict in verdicts)
    table = plain_table(
        f"{n_same} scans were reproduced bit for bit, {n_other} were not, "
        f"{len(verdicts) - n_same - n_other} cannot be repeated",
        ("scan",),
        ("batches", "symbols"),
    )
    table.columns[0].max_width = 32
    table.add_column("again", ratio=1)
    words = {True: "the same", False: "DIFFERENT", None: "not repeated"}
    for each in verdicts:
        said = words[each.is_same] + (f": {each.reason}" if each.reason else "")
        table.add_row(each.scan_id, str(each.n_batches), str(each.n_symbols), said)
    return table


class _Stage:
    """The journal so far, and a ranker whose belief is its fold."""

    def __init__(self, rule: RewardRule | None) -> None:
        self._rule = rule
        self._so_far = SqliteStore()  # what was read
        self._played: SymbolRanker | None = None  # what was played again, as far as it is the same
        self._settings: BeliefSettings | None = None
        self._is_ahead = 0  # entries that were played and are still to be read

    def learn(self, entry: Entry) -> None:
        """Take in an entry as it was read."""
        self._so_far.append_sealed(_RULESET, sealed_again(entry))
        if self._is_ahead:
            self._is_ahead -= 1
        elif self._played is not None:
            self._played.store.append_sealed(_RULESET, sealed_again(entry))

    def replay(self, scan: JournalScan, own: Sequence[Entry], facts_of: FactsOf | None) -> Verdict:
        """Play a scan whose entries are `own`."""
        sizes = [size for e in scan.reports for size in e.header.get("handed_out") or ()]
        n_batches = sum(size > 0 for size in sizes)

        def verdict(is_same: bool | None, reason: str = "") -> Verdict:
            return Verdict(scan.scan_id, n_batches, len(scan.arms), is_same, reason)

        obstacle = scan.obstacle()
        if obstacle is not None:
            return verdict(None, obstacle)
        noted = scan.settings
        if noted and noted.get("learning_version") != LEARNING_VERSION:
            return verdict(None, "it was written by a version of scanrank that learned differently")
        try:
            symbols, facts = scan.facts(facts_of)
            origin, settings = Provenance.of(scan.opened), _settings_of(scan, self._rule)
        except (BanditError, AdapterError, FeatureError) as error:
            return verdict(None, str(error))
        ranker = self._ranker(settings)
        difference = _play(ranker, scan, origin, symbols, facts) or _compare(ranker, own)
        if difference is not None:
            self._played = None  # its belief is not the journal's: folded anew for the next scan
            return verdict(False, difference)
        self._is_ahead = len(own)
        return verdict(True)

    def _ranker(self, settings: BeliefSettings) -> SymbolRanker:
        if self._played is None:
            store = SqliteStore()
            for entry in self._so_far.read(_RULESET):
                store.append_sealed(_RULESET, sealed_again(entry))
            self._played = SymbolRanker(store, ruleset=_RULESET, settings=settings)
        elif settings != self._settings:
            # As live: what was learned is kept, and goes on under the new settings.
            self._played.learned.snapshot()
            self._played = SymbolRanker(self._played.store, ruleset=_RULESET, settings=settings)
        self._settings = settings
        return self._played


def _play(
    ranker: SymbolRanker,
    scan: JournalScan,
    origin: Provenance,
    symbols: Sequence[str],
    facts: MarketFacts,
) -> str | None:
    """Run the scan; return where its batches differ from the journal's."""
    live = ranker.start_scan(
        symbols,
        context=(facts.names, facts.values),
        loadings=Loadings(facts.loading_names, facts.loadings),
        now=scan.now,
        scan_id=scan.scan_id,
        origin=origin,
        hits_last=_span(scan.opened["hits_last"]),
        seen_within=_span(scan.opened["seen_within"]),
    )
    chosen: set[str] = set()
    for entry in scan.reports:
        for size in entry.header["handed_out"]:
            # One that came back empty, at the end, was asked for all the same.
            live.show(workers=max(size, 1), target=None)  # a batch before features is no larger
            chosen.update(live.next_batch(max(size, 1)).symbols)
        strange = [arm for arm in entry.arms if arm not in chosen]
        if strange:
            return (
                f"up to batch {live.n_batches}, {len(strange)} different symbols ({strange[0]} ...)"
            )
        live.report({arm: outcome_for_replay(entry, i) for i, arm in enumerate(entry.arms)})
    if scan.closed is not None:
        live.close()
    return None


def _span(days: float | None) -> timedelta | None:
    return None if days is None else timedelta(days=days)


def _compare(ranker: SymbolRanker, own: Sequence[Entry]) -> str | None:
    """Return the first difference between the journal's entries and those that were played."""
    played = [e for e in ranker.store.read(_RULESET) if e.scan_id == own[0].scan_id]
    for number, (was, now) in enumerate(zip(own, played, strict=False)):
        where = f"{was.kind} entry {number} of the scan"
        if was.kind != now.kind or was.arms != now.arms:
            return f"{where}: {now.kind} of {len(now.arms)} symbols"
        for name in {**was.arrays, **now.arrays}:
            mine, theirs = was.arrays.get(name), now.arrays.get(name)
            if mine is None or theirs is None or not np.array_equal(
                mine.astype(np.float64), theirs.astype(np.float64), equal_nan=True
            ):  # fmt: skip
                return f"{where}: {name}"
        for name in {**was.header, **now.header}:
            if name not in _NOT_COMPARED and was.header.get(name) != now.header.get(name):
                return f"{where}: {name} is {now.header.get(name)}, was {was.header.get(name)}"
    if len(own) != len(played):
        return f"{len(played)} entries instead of {len(own)}"
    return None


def _settings_of(scan: JournalScan, rule: RewardRule | None) -> BeliefSettings:
    note = scan.settings
    return replace(
        settings_from_fingerprint(note),
        rule=rule or rule_from_fingerprint(note),
        exploration=float(note["exploration"]),
        random_share=float(note["random_share"]),
    )
