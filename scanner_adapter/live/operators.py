"""The line between a running scan and operators: what it publishes, what they ask of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from bandit.choice.queue import PriorityQueue
from bandit.rewards import rule_text
from scanner_adapter.ledger import Ledger
from scanner_adapter.live.control import ScanControl, apply
from scanner_adapter.live.publisher import StatusPublisher
from scanner_adapter.live.status_builder import StatusBuilder
from scanner_adapter.state.learned_state import LearnedState

log = logging.getLogger("scanrank")


class OperatorLine:
    """The view of a scan from outside, and the line to those who look and steer.

    Parameters
    ----------
    ledger : Ledger
    fixed : dict
        Fields of the status that stay as they are.

    Attributes
    ----------
    view : StatusBuilder
    link : StatusPublisher or None
        None where nobody can look: mode off publishes nothing, and a store inside this process
        nobody else can read.
    """

    def __init__(self, ledger: Ledger, fixed: dict[str, Any]) -> None:
        self.view = StatusBuilder(ledger)
        self.view.fixed = fixed
        self.link: StatusPublisher | None = None
        self._ledger = ledger
        self._applied = ScanControl()

    def connect(
        self, learned: LearnedState, scan_id: str, status: Callable[[], dict[str, Any]], *,
        is_shared: bool,
    ) -> None:  # fmt: skip
        """Open the line, through the store; `status` is a bound method, see `StatusPublisher`."""
        if learned.store.address != "memory://":
            self.link = StatusPublisher(
                learned.store, learned.ruleset, scan_id, status, is_shared=is_shared
            )

    def poll(self, queue: PriorityQueue | None) -> None:
        """Do what operators ask since the last batch."""
        if self.link is None:
            return
        self.link.poll()
        control, former = self.link.control, self._applied
        if control is former or queue is None:
            return
        self._applied = control
        try:
            apply(queue, control, former, self._ledger.place)
        except Exception as error:
            log.warning("an operator's request (%s) failed: %s", control, error, exc_info=error)
        self.view.show_control()
        self.link.publish()

    def publish(self) -> None:
        """Send the status when it is due, and poll for requests between batches."""
        if self.link is not None:
            self.link.publish()
        self.listen()

    def listen(self) -> None:
        """Poll for operators' requests between batches."""
        if self.link is not None:
            self.link.listen()

    @property
    def stop_asked(self) -> str | None:
        """Why the scan is to end at an operator's request; None to go on."""
        stop = None if self.link is None else self.link.control.stop
        return None if stop is None else f"stopped from outside: {stop.reason}"

    @property
    def cost_s(self) -> float:
        """Processor seconds spent on publishing."""
        return 0.0 if self.link is None else self.link.cost_s

    def close(self, *, has_last: bool) -> None:
        """End the line; not to be called under the scan's lock, which the line's thread takes."""
        if self.link is not None:
            self.link.close(has_last=has_last)


def fixed_fields(
    scan_id: str, mode: str, scan_time_s: float, learned: LearnedState | None
) -> dict[str, Any]:
    """Return the fields of a scan's status that stay as they are."""
    return {
        "scan_id": scan_id,
        "ruleset": "-" if learned is None else learned.ruleset,
        "mode": mode,
        "scan_time": scan_time_s,
        "hit_rule": "-" if learned is None else rule_text(learned.settings.rule),
    }
