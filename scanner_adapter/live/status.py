"""What a running scan publishes: the status note that the page, the API and `watch` show.

The scanner writes it (`scanner_adapter.live.publisher`), anybody may read it from the store::

    LiveStatus.from_json(store.get_status(ruleset, scan_id))
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bandit.choice.queue import Tier
from bandit.stores.notes import MAX_NOTE_BYTES
from scanner_adapter.errors import InvalidNoteError
from scanner_adapter.jsonio import from_json, to_json

FORMAT = 1

# Most entries of each list: what a screen shows, so that a note stays at some 15 kB.
MAX_NEXT = 20
MAX_HITS = 50
MAX_POINTS = 200
MAX_NAMES = 200
# Letters of a scanner's own words that are kept.
MAX_TEXT = 200
MAX_WARNING = 500  # an error that shows a long value still says what to do


@dataclass(frozen=True)
class LiveEstimate:
    """What was found and what is left, so far as known; see `bandit.belief.recall.RecallEstimate`.

    Parameters
    ----------
    recall, low, high : float
        Share of all hits that was found, and its interval.
    hits_found : float
    hits_remaining, remaining_low, remaining_high : float
        What stopping now would miss: the expected number, and its interval.
    confidence : float
        Probability that an interval holds the truth.
    """

    recall: float
    low: float
    high: float
    hits_found: float
    hits_remaining: float
    remaining_low: float
    remaining_high: float
    confidence: float


@dataclass(frozen=True)
class TierCount:
    """Symbols of one tier; `other` are being scanned now, or excluded."""

    waiting: int
    scanned: int
    other: int = 0


@dataclass(frozen=True)
class LiveWeight:
    """Weight of a factor as a share of all: where learning started, what was learned."""

    prior: float
    learned: float
    low: float
    high: float


@dataclass(frozen=True)
class Reason:
    """What a factor adds to a symbol's log odds: by the prior, and by what was learned."""

    prior: float
    learned: float


@dataclass(frozen=True)
class NextUp:
    """One of the best symbols that wait.

    Parameters
    ----------
    symbol : str
    score : float
        Percentile of its expected worth in the universe, 0 to 100.
    tier : "high", "medium" or "low"
    probability : float
        Of being high-value.
    is_pinned : bool
    reasons : mapping of factor to Reason
    today : float
        What today's pattern adds, in log odds.
    constant : float
        What is the same for all symbols; all of it adds up to the log odds of `probability`.
    """

    symbol: str
    score: float
    tier: Tier
    probability: float
    is_pinned: bool
    reasons: Mapping[str, Reason]
    today: float
    constant: float


@dataclass(frozen=True)
class LiveHit:
    """A high-value result.

    Parameters
    ----------
    symbol : str
    rating : float or None
    signal : str or None
    rank : int
        Place in the order of reporting, from 1.
    at : float
        When it was reported, seconds since 1970.
    is_random : bool
        Whether the uniform quota drew it.
    """

    symbol: str
    rating: float | None
    signal: str | None
    rank: int
    at: float
    is_random: bool


@dataclass(frozen=True)
class LiveStatus:
    """A scan at one moment. Times are seconds since 1970; None = not known.

    Parameters
    ----------
    scan_id, ruleset, mode : str
    state : "scanning" or "done"
    stopped : str or None
        Why it ended, or is ending, before everything was scanned.
    started_at, updated_at, scan_time : float
        When this scanner opened it, when it wrote this, and the time that the scan is of.
    workers : int or None
        Evaluations at a time in the process that wrote this; None where the scanner owns its loop.
    n_symbols, n_scanned, n_errors : int
    n_hits : float or None
    hits_low, hits_high : float or None
        While `n_hits` is provisional: under a top share the limit settles when the scan ends. The
        lower end holds if what is left is as good as what was scanned, the upper end if it
        holds no hit. None = final.
    rate_per_s : float or None
        Symbols a second since it was opened here.
    target_recall : float
    eta_s : float or None
        Seconds until the target recall is expected.
    estimate : LiveEstimate or None
        None before anything was scanned.
    tiers : mapping of tier to TierCount
        Empty where nothing ranks the symbols.
    hit_rule : str
        "signal", "top:0.05" or "rating:70".
    hit_limit : float or None
        Rating from which a result counts as a hit now; None for signals (then a reward of 0.5).
    weights : mapping of factor to LiveWeight
    next : tuple of NextUp
        At most `MAX_NEXT`, best first.
    newest_hits : tuple of LiveHit
        At most `MAX_HITS`, newest first.
    curve : tuple of (n_scanned, n_hits)
        At most `MAX_POINTS` points.
    pinned, excluded : tuple of str
        At most `MAX_NAMES` each.
    failure : str or None
        What broke in scanrank itself, so that the rest comes in the given order.
    warning : str or None
        What is wrong with the scanner's results, and the way out.
    """

    scan_id: str
    ruleset: str
    mode: str
    state: Literal["scanning", "done"]
    stopped: str | None
    started_at: float
    updated_at: float
    scan_time: float
    workers: int | None
    n_symbols: int
    n_scanned: int
    n_errors: int
    n_hits: float | None
    rate_per_s: float | None
    target_recall: float
    eta_s: float | None
    hit_rule: str
    hit_limit: float | None
    estimate: LiveEstimate | None = None
    hits_low: float | None = None
    hits_high: float | None = None
    tiers: Mapping[Tier, TierCount] = field(default_factory=dict)
    weights: Mapping[str, LiveWeight] = field(default_factory=dict)
    next: tuple[NextUp, ...] = ()
    newest_hits: tuple[LiveHit, ...] = ()
    curve: tuple[tuple[int, float], ...] = ()
    pinned: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    failure: str | None = None
    warning: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the status note."""
        return {"format": FORMAT, **to_json(self)}

    @classmethod
    def from_json(cls, note: Mapping[str, Any]) -> LiveStatus:
        """Read a status note.

        Raises
        ------
        InvalidNoteError
            For a newer format, or a field that does not fit.
        """
        if note.get("format") != FORMAT:
            raise InvalidNoteError(
                f"the status has format {note.get('format')!r}, but this version reads {FORMAT}; "
                "use the scanner's version of scanrank"
            )
        return from_json(cls, note, "status")


def fitted(note: Mapping[str, Any]) -> dict[str, Any]:
    """Return a status note whose lists are halved until it is as small as a note must be.

    Long names in an alphabet of three bytes a letter may need it; others never do.
    """
    fitting, lists = dict(note), ("next", "newest_hits", "pinned", "excluded")
    while len(json.dumps(fitting, ensure_ascii=False).encode()) > MAX_NOTE_BYTES and any(
        fitting[name] for name in lists
    ):
        fitting.update({name: fitting[name][: len(fitting[name]) // 2] for name in lists})
    return fitting
