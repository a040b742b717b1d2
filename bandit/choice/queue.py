"""The order in which a scan will go on, to look at and to correct: tiers, pins, exclusions, boosts.

The queue is a view of an `OpenScan`: what it shows is computed from the belief of the moment, and
what the user asks for bends the choice, never the belief. A pinned arm is handed out first
whatever it promises, an excluded one never, and a boost adds to an arm's log odds for this scan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bandit.belief.track_record import percentiles
from bandit.checks import as_count, as_kind, as_number, as_texts
from bandit.choice.draw import Choice
from bandit.choice.open_scan import OpenScan
from bandit.errors import InvalidInputError

Tier = Literal["high", "medium", "low"]

# Priority scores, percentiles of the expected reward within the scan's universe, part here.
HIGH_ABOVE = 70.0
LOW_BELOW = 40.0
# Log odds that a user may add to an arm.
MAX_BOOST = 20.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """An arm that waits to be handed out.

    Parameters
    ----------
    arm : str
    score : float
        Priority: percentile (0 to 100) of its expected reward within the universe.
    tier : "high", "medium" or "low"
        Above 70, 40 to 70, below 40.
    is_pinned : bool
    """

    arm: str
    score: float
    tier: Tier
    is_pinned: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """A queue at a glance.

    Parameters
    ----------
    best : list of Waiting
        Those that are expected next.
    counts : mapping of tier to (n_waiting, n_reported, n_other)
        The others were handed out and are not reported yet, or are excluded; together they are
        the universe.
    """

    best: list[Waiting]
    counts: dict[Tier, tuple[int, int, int]]


class PriorityQueue:
    """What waits in a scan, best first, and what the user wants of it.

    Why one would choose it: "scan my open positions first" (`pin`), "leave out what I may not
    trade" (`exclude`), "I have heard of news about this one" (`boost`).

    Notes
    -----
    Not thread safe. Pinned arms count against the batch they come in; they have propensity 1,
    the others the propensity of the choice that is left. Expected order is not the exact order
    to come: every batch is drawn anew, and every report moves the belief.

    Examples
    --------
    >>> from bandit.belief.belief import Belief, BeliefSettings
    >>> belief = Belief(BeliefSettings({"factor.market": 1.0}, random_share=0.0))
    >>> scan = OpenScan(
    ...     belief, "scan", ["A", "B", "C"], np.array([[90.0], [50.0], [10.0]]), ["factor.market"],
    ...     rng=np.random.default_rng(0),
    ... )
    >>> queue = PriorityQueue(scan)
    >>> [(waiting.arm, waiting.tier) for waiting in queue.peek()]
    [('A', 'high'), ('B', 'medium'), ('C', 'low')]
    >>> queue.pin(["C"])
    >>> queue.select(1).arms.tolist()
    [2]
    """

    def __init__(self, scan: OpenScan) -> None:
        self._scan = scan
        n = len(scan.arms)
        self._pinned: dict[int, None] = {}  # in the order of pinning
        self._allowed = np.ones(n, bool)
        self._boost = np.zeros(n)
        self._has_excluded = self._has_boosts = False  # asked before every batch

    def __repr__(self) -> str:
        view = self.overview(3)
        tiers = ", ".join(f"{waiting} {tier}" for tier, (waiting, *_) in view.counts.items())
        best = ", ".join(each.arm for each in view.best)
        return f"PriorityQueue({tiers}; next: {best or 'none'})"

    # -- what the user wants -----------------------------------------------------------------

    def pin(self, arms: Iterable[str]) -> None:
        """Hand these out first, in this order; those handed out already are passed over.

        Raises
        ------
        InvalidInputError
            For an arm that is not part of the scan, or is excluded; nothing was pinned.
        """
        places = self._places(arms)
        for place in places:
            if not self._allowed[place]:
                raise InvalidInputError(
                    f"symbol {self._scan.arms[place]!r} is excluded; include it before pinning it"
                )
        self._pinned.update(dict.fromkeys(places))

    def unpin(self, arms: Iterable[str]) -> None:
        """Give arms back their own place."""
        for place in self._places(arms):
            self._pinned.pop(place, None)

    def exclude(self, arms: Iterable[str]) -> None:
        """Never hand these out; a pin of theirs ends."""
        places = self._places(arms)
        self._allowed[places] = False
        self._has_excluded = not self._allowed.all()
        for place in places:
            self._pinned.pop(place, None)

    def include(self, arms: Iterable[str]) -> None:
        """Let excluded arms be handed out again."""
        self._allowed[self._places(arms)] = True
        self._has_excluded = not self._allowed.all()

    def boost(self, log_odds: Mapping[str, float]) -> None:
        """Add to the log odds of arms for this scan; 2 makes a hit 7.4 times as likely.

        Raises
        ------
        InvalidInputError
            For an unknown arm, or a boost that is not a number in [-20, 20]; nothing was changed.
        """
        as_kind(log_odds, "log_odds", Mapping, "a mapping of symbol to log odds")
        places = self._places(log_odds)
        self._boost[places] = [
            as_number(
                value, f"the boost of {arm}", f"log odds in [-{MAX_BOOST:g}, {MAX_BOOST:g}]",
                least=-MAX_BOOST, most=MAX_BOOST,
            )
            for arm, value in log_odds.items()
        ]  # fmt: skip
        self._has_boosts = bool(self._boost.any())

    # -- what waits --------------------------------------------------------------------------

    @property
    def pinned(self) -> tuple[str, ...]:
        """Pinned arms that still wait, in their order."""
        return tuple(self._scan.arms[place] for place in self._waiting_pins())

    @property
    def excluded(self) -> tuple[str, ...]:
        """Excluded arms."""
        return tuple(self._scan.arms[place] for place in np.flatnonzero(~self._allowed))

    @property
    def is_steered(self) -> bool:
        """Whether a pin, an exclusion or a boost changes the choice now."""
        return bool(self._pinned) or self._has_excluded or self._has_boosts

    def __len__(self) -> int:
        """Return how many arms wait."""
        return int(np.count_nonzero(self._scan.is_available & self._allowed))

    def scores(self) -> NDArray[np.float64]:
        """Return the priority of every arm of the universe, 0 to 100, shape (n,)."""
        return 100.0 * percentiles(self._scan.expected_scores + self._boost)

    def peek(self, k: int | None = None) -> list[Waiting]:
        """Return the `k` arms (all of them by default) that are expected next, best first.

        Raises
        ------
        InvalidInputError
            If `k` is not a whole number, 0 or more.
        """
        return self._peek(None if k is None else as_count(k, "k", least=0), self.scores())

    def overview(self, k: int) -> Overview:
        """Return the `k` best that wait and the sizes of the tiers, from one scoring of all."""
        k = as_count(k, "k", least=0)
        scores = self.scores()
        waits = self._scan.is_available & self._allowed
        was_scanned = self._scan.is_reported | self._scan.has_failed
        tiers: dict[Tier, NDArray[np.bool_]] = {
            "high": scores > HIGH_ABOVE,
            "medium": (scores >= LOW_BELOW) & (scores <= HIGH_ABOVE),
            "low": scores < LOW_BELOW,
        }
        counts = {
            tier: (
                int(np.count_nonzero(waits & within)),
                int(np.count_nonzero(was_scanned & ~waits & within)),
                int(np.count_nonzero(~was_scanned & ~waits & within)),
            )
            for tier, within in tiers.items()
        }
        return Overview(self._peek(k, scores), counts)

    def _peek(self, k: int | None, scores: NDArray[np.float64]) -> list[Waiting]:
        pins = self._waiting_pins()
        waits = self._scan.is_available & self._allowed
        waits[pins] = False
        rest = np.flatnonzero(waits)
        if k is not None and k < rest.size:  # sorts only those that can be among the k best
            edge = np.partition(scores[rest], rest.size - max(k, 1))[rest.size - max(k, 1)]
            rest = rest[scores[rest] >= edge]
        rest = rest[np.argsort(-scores[rest], kind="stable")]
        return [
            Waiting(
                self._scan.arms[place],
                float(scores[place]),
                tier_of(float(scores[place])),
                place in self._pinned,
            )
            for place in [*pins, *rest[:k].tolist()][:k]
        ]

    def tiers(self) -> dict[Tier, tuple[str, ...]]:
        """Return the waiting arms by tier, best first."""
        best = self.peek()
        tiers: tuple[Tier, ...] = get_args(Tier)
        return {tier: tuple(each.arm for each in best if each.tier == tier) for tier in tiers}

    # -- choose ------------------------------------------------------------------------------

    def select(self, k: int) -> Choice:
        """Choose up to `k` arms: pinned ones first, then those due, then what the scan draws."""
        k = as_count(k, "k", least=0)
        allowed = self._allowed if self._has_excluded else None
        boost = self._boost if self._has_boosts else None
        due = [place for place in self._scan.due if self._allowed[place]]
        waiting = list(dict.fromkeys([*self._waiting_pins(), *due]))[:k]
        if not waiting:
            return self._scan.select(k, allowed=allowed, boost=boost)
        pins = np.array(waiting, np.intp)
        # Taken before the draw, so that it neither sees them nor counts them as remaining.
        self._scan.take(pins)
        for place in waiting:
            self._pinned.pop(place, None)
        drawn = self._scan.select(k - pins.size, allowed=allowed, boost=boost)
        return Choice.joined([Choice.certain(pins), drawn])

    def _waiting_pins(self) -> list[int]:
        return [place for place in self._pinned if self._scan.is_available[place]]

    @cached_property
    def _place(self) -> dict[str, int]:
        # Only what users ask for needs it: over a million arms half a second and 100 MB.
        return {arm: place for place, arm in enumerate(self._scan.arms)}

    def _places(self, arms: Iterable[str]) -> list[int]:
        places = []
        for arm in as_texts(arms):
            place = self._place.get(arm)
            if place is None:
                raise InvalidInputError(
                    f"symbol {arm!r} is not part of this scan of {len(self._scan.arms)} symbols"
                )
            places.append(place)
        return places


def tier_of(score: float) -> Tier:
    """Return the tier of a priority score.

    Examples
    --------
    >>> tier_of(70.0), tier_of(70.1), tier_of(39.9)
    ('medium', 'high', 'low')
    """
    if score > HIGH_ABOVE:
        return "high"
    return "low" if score < LOW_BELOW else "medium"
