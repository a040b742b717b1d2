"""What operators ask of a running scan: the control note, read by every worker of the scan.

An operator writes it without losing what another one writes at the same time::

    store.update_control(ruleset, scan_id, with_pins(["NVDA"]))
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bandit.checks import as_number, as_text, as_texts
from bandit.choice.queue import MAX_BOOST, PriorityQueue
from scanner_adapter.errors import InvalidNoteError
from scanner_adapter.jsonio import from_json, to_json

log = logging.getLogger("scanrank")


@dataclass(frozen=True)
class Stop:
    """A request that a scan ends: why, and since when (seconds since 1970)."""

    reason: str
    at: float


@dataclass(frozen=True)
class ScanControl:
    """What is asked of a scan, as a whole: what is left out is asked no longer.

    Parameters
    ----------
    stop : Stop or None
    pin : tuple of str
        To be scanned first, in this order.
    exclude : tuple of str
        Not to be scanned; beats a pin.
    boost : mapping of str to float
        Log odds to add, in [-20, 20].
    """

    stop: Stop | None = None
    pin: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    boost: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for symbol, log_odds in self.boost.items():
            if not abs(log_odds) <= MAX_BOOST:
                raise InvalidNoteError(
                    f"control.boost.{symbol} is {log_odds}; "
                    f"expected log odds in [-{MAX_BOOST:g}, {MAX_BOOST:g}]"
                )

    @classmethod
    def from_json(cls, note: Mapping[str, Any]) -> ScanControl:
        """Read a control note; an empty one asks for nothing.

        Raises
        ------
        InvalidNoteError
            For a field that does not fit.
        """
        return from_json(cls, note, "control")

    def to_json(self) -> dict[str, Any]:
        """Return the control note."""
        note: dict[str, Any] = to_json(self)
        return note


def apply(
    queue: PriorityQueue, control: ScanControl, former: ScanControl, universe: Container[str]
) -> None:
    """Do in a queue what is asked now, and undo what was asked and is asked no longer.

    What the scan's own program pinned, excluded or boosted stays as it is. Symbols that are not
    part of the scan are passed over, with one warning.
    """
    asked = (*control.pin, *control.exclude, *control.boost)
    unknown = [symbol for symbol in asked if symbol not in universe]
    if unknown:
        log.warning(
            "%d of the symbols that operators named are not part of the scan, such as %r",
            len(unknown), unknown[0],
        )  # fmt: skip

    def known(symbols: Iterable[str]) -> dict[str, None]:
        return {symbol: None for symbol in symbols if symbol in universe}

    excluded, excluded_before = known(control.exclude), known(former.exclude)
    queue.include(excluded_before.keys() - excluded.keys())
    queue.exclude(excluded.keys() - excluded_before.keys())
    cannot_come = set(queue.excluded)
    pins = [symbol for symbol in known(control.pin) if symbol not in cannot_come]
    queue.unpin(symbol for symbol in known(former.pin) if symbol not in pins)
    queue.pin(pins)
    queue.boost(
        dict.fromkeys(known(former.boost), 0.0)
        | {symbol: control.boost[symbol] for symbol in known(control.boost)}
    )


# For `Store.update_control`.
Change = Callable[[dict[str, Any]], dict[str, Any]]


def with_stop(reason: str, at: float | None = None) -> Change:
    """Ask for the end of a scan; the first one who asks is the one who is named."""
    moment = time.time() if at is None else as_number(at, "at", "seconds since 1970")
    stop = Stop(as_text(reason, "reason"), moment)
    return _change(lambda control: replace(control, stop=control.stop or stop))


def without_stop() -> Change:
    """Withdraw the request, before a stopped scan is continued."""
    return _change(lambda control: replace(control, stop=None))


def with_pins(symbols: Iterable[str]) -> Change:
    """Pin symbols behind those that are pinned; a former exclusion of theirs ends."""
    names = as_texts(symbols)
    return _change(
        lambda old: replace(old, pin=_with(old.pin, names), exclude=_without(old.exclude, names))
    )


def without_pins(symbols: Iterable[str]) -> Change:
    """Give symbols back their own place."""
    names = as_texts(symbols)
    return _change(lambda control: replace(control, pin=_without(control.pin, names)))


def with_exclusions(symbols: Iterable[str]) -> Change:
    """Exclude symbols; a former pin of theirs ends."""
    names = as_texts(symbols)
    return _change(
        lambda old: replace(old, exclude=_with(old.exclude, names), pin=_without(old.pin, names))
    )


def without_exclusions(symbols: Iterable[str]) -> Change:
    """Let excluded symbols be scanned again."""
    names = as_texts(symbols)
    return _change(lambda control: replace(control, exclude=_without(control.exclude, names)))


def _change(next_control: Callable[[ScanControl], ScanControl]) -> Change:
    # Keys that this version does not know stay: a newer operator may have written them.
    return lambda note: {**note, **next_control(ScanControl.from_json(note)).to_json()}


def _with(symbols: tuple[str, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*symbols, *names)))


def _without(symbols: tuple[str, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(symbol for symbol in symbols if symbol not in names)
