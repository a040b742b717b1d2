"""What an outcome is worth: rules from a scanner's rating or signal to a reward in [0, 1].

A rule never compares ratings of one scale with a limit of another by accident: `Threshold` is
the user's own number, `TopShare` reads the scale from the ratings themselves, so that a rating
from -8 to 26 and one from 0 to 100 learn alike, and rewards never saturate.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from bandit.checks import as_flag, as_function, as_kind, as_number, as_texts, refusal
from bandit.errors import InvalidInputError

Array = NDArray[np.float64]

# With so many hits seen, the limit carried over from earlier scans keeps 1/e of its weight: off by
# 1.3 rating points from day to day, it is worth a quarter after 30 hits and nothing after 60, when
# that of the scan itself is off by 0.3 (measured on scans up to 2018).
_CARRIED_HITS = 20.0
# How far the number of hits in what was seen lies from the expected one, in its square root; it was
# 0.85 to 0.95 after 1 to 6 batches (scans up to 2018).
_HITS_SPREAD = 0.9
# Share of the carried limit that each finished scan replaces.
_CARRY_RATE = 0.6


# An outcome of this reward or more is a hit.
HIT = 0.5


class RewardRule(Protocol):
    """Turns what the scanner said into rewards."""

    @property
    def expected_share(self) -> float | None:
        """Share of the universe that is a hit by definition; None when it varies."""

    def judge(self, rating: Array, is_signal: Array, limit: float) -> Array:
        """Return rewards in [0, 1], shape (k,); NaN where the outcome does not say.

        Parameters
        ----------
        rating : array, shape (k,)
            The scanner's ratings on its own scale, NaN = none given.
        is_signal : array, shape (k,)
            1 where the scanner signalled, 0 where not, NaN = it does not say.
        limit : float
            Present limit of a running quantile; ignored by rules with a limit of their own.
        """


@dataclass(frozen=True, slots=True)
class Signal:
    """A hit is what the scanner signals.

    Parameters
    ----------
    words : sequence of str, optional
        The scanner's own words for a signal; every other word is none. Case, punctuation and
        underscores do not matter. By default the common English ones, such as "buy", "long",
        "bullish", "oversold", "breakout".
    none_is_no : bool
        The scanner returns something for a signal, and None, an empty row or NaN for none. By
        default nothing returned is a failed evaluation.

    Examples
    --------
    >>> Signal(words=("Grade A", "Grade B"), none_is_no=True)
    Signal(words=('Grade A', 'Grade B'), none_is_no=True)
    """

    expected_share: ClassVar[float | None] = None  # it varies from scan to scan
    words: Sequence[str] | None = None
    none_is_no: bool = False

    def __post_init__(self) -> None:
        as_flag(self.none_is_no, "none_is_no")
        if self.words is None:
            return
        words = as_texts(self.words, "words", "BUY")
        if not words or not all(map(str.strip, words)):
            raise refusal(
                self.words,
                "words",
                "strings such as ['BUY', 'LONG'], or None for the English defaults",
            )
        object.__setattr__(self, "words", words)

    def judge(self, rating: Array, is_signal: Array, limit: float) -> Array:
        """Return 1 for a signal, 0 for none."""
        return np.asarray(is_signal, np.float64)


@dataclass(frozen=True, slots=True)
class HitIf:
    """A hit is what a function of the user's own says of a result: for results of any shape.

    Parameters
    ----------
    is_hit : callable
        Takes what the scanner returned for a symbol, as it is; returns whether that is a hit.
        What it raises is an error of that symbol.
    name : str
        Under which the rule is shown; by default the function's.

    Examples
    --------
    >>> HitIf(lambda result: result["volume"] > 5 * result["mean"], name="five times the volume")
    HitIf(name='five times the volume')
    """

    expected_share: ClassVar[float | None] = None  # it varies from scan to scan
    is_hit: Callable[[Any], object] = field(repr=False)
    name: str = ""

    def __post_init__(self) -> None:
        as_function(self.is_hit, "is_hit", "a result and returns whether it is a hit")
        as_kind(self.name, "name", str, "a string")
        name = self.name or getattr(self.is_hit, "__name__", type(self.is_hit).__name__)
        object.__setattr__(self, "name", name)

    def judge(self, rating: Array, is_signal: Array, limit: float) -> Array:
        """Return 1 where the function said so: the reader of results has asked it."""
        return np.asarray(is_signal, np.float64)


@dataclass(frozen=True, slots=True)
class Threshold:
    """A hit is a rating of at least `minimum`, on the scanner's own scale.

    Examples
    --------
    >>> Threshold(10)
    Threshold(minimum=10.0)
    """

    expected_share: ClassVar[float | None] = None  # it varies from scan to scan
    minimum: float

    def __post_init__(self) -> None:
        # Rules are compared by how they are written down: 10 and 10.0 are the same one.
        object.__setattr__(self, "minimum", as_number(self.minimum, "minimum", "a finite rating"))

    def judge(self, rating: Array, is_signal: Array, limit: float) -> Array:
        """Return 1 where the rating reaches the minimum."""
        return np.where(np.isnan(rating), np.nan, (rating >= self.minimum).astype(np.float64))


@dataclass(frozen=True, slots=True)
class TopShare:
    """A hit is one of the scan's best `share` of ratings (0.05 = the top 5 %)."""

    share: float = 0.05

    def __post_init__(self) -> None:
        as_number(
            self.share, "share", "a share in (0, 1), 0.05 for the top 5%", above=0.0, below=1.0
        )

    @property
    def expected_share(self) -> float | None:
        """The share itself."""
        return self.share

    def judge(self, rating: Array, is_signal: Array, limit: float) -> Array:
        """Return 1 where the rating reaches the running limit."""
        return np.where(np.isnan(rating), np.nan, (rating >= limit).astype(np.float64))


# How the command line writes signals, and whether nothing returned means none.
_SIGNAL_KINDS = {"signal": False, "signal-or-none": True}


def as_rule(rule: object, name: str = "rewards") -> RewardRule:
    """Return a reward rule.

    Raises
    ------
    InvalidInputError
        For anything else.
    """
    # A class has the method too, and lacks the numbers.
    if isinstance(rule, type) or not callable(getattr(rule, "judge", None)):
        raise refusal(rule, name, "a reward rule such as TopShare(0.05)")
    return cast("RewardRule", rule)


def rule_from_text(text: str) -> RewardRule:
    """Read what counts as high-value.

    Raises
    ------
    InvalidInputError
        For anything but `signal`, `signal-or-none`, either with `:WORD,WORD`, `top:SHARE` and
        `rating:NUMBER`.

    Examples
    --------
    >>> rule_from_text("top:0.05"), rule_from_text("signal-or-none:BUY,ADD")
    (TopShare(share=0.05), Signal(words=('BUY', 'ADD'), none_is_no=True))
    """
    kind, _, number = text.partition(":")
    numbered: dict[str, Callable[[float], RewardRule]] = {"top": TopShare, "rating": Threshold}
    if kind in _SIGNAL_KINDS and (number or kind == text):
        words = tuple(word.strip() for word in number.split(",")) if number else None
        return Signal(words, none_is_no=_SIGNAL_KINDS[kind])
    if kind in numbered and re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", number):
        return numbered[kind](float(number))
    raise InvalidInputError(
        f"what counts as high-value is {text!r}; expected signal, signal:WORD,WORD, "
        "signal-or-none, top:0.05 or rating:70"
    )


def rule_text(rule: RewardRule) -> str:
    """Return what counts as high-value as the command line writes it.

    Examples
    --------
    >>> rule_text(TopShare(0.05)), rule_text(Threshold(70.0)), rule_text(Signal())
    ('top:0.05', 'rating:70', 'signal')
    """
    match rule:
        case TopShare(share=share):
            return f"top:{_exact(share)}"
        case Threshold(minimum=minimum):
            return f"rating:{_exact(minimum)}"
        case Signal(words=words, none_is_no=none_is_no):
            kind = "signal-or-none" if none_is_no else "signal"
            return kind if words is None else f"{kind}:{','.join(words)}"
        case HitIf(name=name):
            return f"hit-if:{name}"
    return str(rule)


def _exact(number: float) -> str:
    """Write a number so that it is read back to the same bits."""
    return repr(float(number)).removesuffix(".0")


def final_rewards(rule: RewardRule, rating: Array, reward: Array, limit: float | None) -> Array:
    """Return what outcomes are worth once their scan is over: the one definition of a hit.

    Parameters
    ----------
    rating, reward : array, shape (k,)
        The scanner's ratings (NaN = none), and what the outcomes were worth when they came in
        (NaN = the evaluation failed).
    limit : float or None
        Rating that the scan's best share starts at, from its close entry or `final_limit`;
        None = no rating was seen.

    Returns
    -------
    array, shape (k,)
        Of a top share, 1 from the limit on and 0 below it; by other rules the reward itself. A
        hit is a reward of at least `HIT`.

    Examples
    --------
    >>> final_rewards(TopShare(0.05), np.array([7.0, 9.0]), np.array([0.4, 0.8]), 8.0)
    array([0., 1.])
    """
    if rule.expected_share is None or limit is None:
        return reward
    return np.where(np.isnan(rating) | np.isnan(reward), reward, rating >= limit)


def final_limit(share: float, ratings: Array) -> float:
    """Return the rating that the best share starts at, of a scan of which all was seen.

    Parameters
    ----------
    ratings : array, shape (n,)
        NaN = none. Without any the limit is infinite.
    """
    known = np.sort(ratings[~np.isnan(ratings)])
    return limit_above(known, share * known.size) if known.size else math.inf


def final_hits(
    rule: RewardRule, rating: Array, is_signal: Array, limit: float | None = None
) -> NDArray[np.bool_]:
    """Return which outcomes of a scan that is over are hits, shape (k,); failures are none.

    Parameters
    ----------
    rating, is_signal : array, shape (k,)
        See `RewardRule.judge`.
    limit : float, optional
        Rating that the top share starts at, where not all was seen; by default that of all these
        ratings.

    Examples
    --------
    Where nearly all ratings are the same, what stands out are the hits:

    >>> final_hits(TopShare(0.4), np.array([0.0, 0.0, 0.0, 0.0, 7.0]), np.zeros(5))
    array([False, False, False, False,  True])
    """
    if rule.expected_share is not None and limit is None:
        limit = final_limit(rule.expected_share, rating)
    reward = rule.judge(rating, is_signal, math.nan if limit is None else limit)
    return np.asarray(final_rewards(rule, rating, reward, limit) >= HIT)


def limit_above(ordered: Array, n_hits: float) -> float:
    """Return the rating that `n_hits` of all ratings reach, and never all of them.

    Many scanners give 0 to all but a few. Where fewer than `n_hits` stand out, those are the hits:
    the lowest rating is no distinction, or every symbol would be one.

    Parameters
    ----------
    ordered : array, shape (n,)
        All ratings, ascending.

    Examples
    --------
    >>> limit_above(np.array([0.0, 0.0, 0.0, 0.0, 7.0, 9.0]), 3.0)
    7.0
    """
    n = ordered.size
    # np.quantile's linear interpolation; it takes ten times as long for a few hundred numbers.
    place = (n - 1) * (1.0 - min(max(n_hits, 0.5), n) / n)
    left = int(place)
    right = min(left + 1, n - 1)
    lowest, limit = float(ordered[0]), float(ordered[left])
    limit += (place - left) * (float(ordered[right]) - limit)
    if limit > lowest:
        return limit
    n_lowest = int(np.searchsorted(ordered, lowest, side="right"))
    return float(ordered[n_lowest] if n_lowest < n else np.nextafter(lowest, np.inf))


class RunningLimit:
    """The rating that a scan's top share starts at, while most of it is still unseen.

    What was scanned so far is no random sample: the promising come first. The model says how
    many hits it expects among them (the sum of their probabilities, made to add up to the share
    over the whole universe), and the limit is the rating that leaves that many above it, blended
    with the limit carried over from earlier scans until enough was seen.

    Parameters
    ----------
    carried : float
        Limit of the scans before, NaN = none yet.
    most : float, optional
        Hits that the whole scan has by definition: what was seen of it holds no more, whatever the
        model expects. Without this bound a model that expects too much lowers the limit, finds
        itself confirmed, and expects more.
    """

    def __init__(self, carried: float, most: float = math.inf) -> None:
        self.carried = carried
        self._most = most
        self._ratings = np.empty(0)  # of all that was seen, ascending
        self._expected = 0.0

    def observe(self, rating: Array, probability: Array) -> None:
        """Add the ratings of one batch (k,) with their probabilities."""
        known = ~np.isnan(rating)
        self._ratings = np.concatenate([self._ratings, rating[known]])
        self._ratings.sort()
        self._expected = min(self._expected + float(probability[known].sum()), self._most)

    def value(self) -> float:
        """Return the limit, given the number of hits expected among what was seen."""
        return self._blended(self._expected, -math.expm1(-self._expected / _CARRIED_HITS))

    def chance(self, rating: Array) -> Array:
        """Return the probability that ratings (k,), seen before, are of the top share; NaN stays.

        How many of the ratings seen are hits is known up to its spread, taken as normal: the one at
        rank r from above is a hit if at least r are.
        """
        seen = self._ratings
        n_hits = seen.size - int(seen.searchsorted(self.value(), side="left"))
        # Mid-ranks: what is tied shares its place.
        place = seen.searchsorted(rating, side="left") + seen.searchsorted(rating, side="right")
        rank = seen.size - 0.5 * place
        spread = _HITS_SPREAD * math.sqrt(max(n_hits, self._expected, 1e-9))
        return np.where(np.isnan(rating), np.nan, ndtr((n_hits - rank) / spread))

    def carry(self, expected: float) -> float:
        """Return the limit to carry to the next scan, given the hits among what was seen."""
        return self._blended(expected, _CARRY_RATE)

    def _blended(self, expected: float, share: float) -> float:
        """Move the carried limit by `share` towards the one with `expected` hits above it."""
        if self._ratings.size == 0:
            return self.carried
        here = limit_above(self._ratings, expected)
        if np.isnan(self.carried):
            return here
        # Written so that equal limits blend to the same bits: on a coarse scale the limit is a
        # rating, and one bit above it nobody would be a hit.
        return self.carried + share * (here - self.carried)
