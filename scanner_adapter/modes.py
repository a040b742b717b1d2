"""Which mode a scan runs in: as set, as the environment says, or drawn for a controlled rollout."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from bandit.checks import as_number, as_one_of

Mode = Literal["on", "shadow", "off"]
MODES: tuple[Mode, ...] = ("on", "shadow", "off")

# Lets an operator switch a deployed scanner without touching its code; it beats `mode=`.
MODE_VARIABLE = "SCANRANK_MODE"


@dataclass(frozen=True, slots=True)
class ModeChoice:
    """The mode of one scan.

    Parameters
    ----------
    mode : "on", "shadow" or "off"
    rollout : float or None
        Probability with which the scan was prioritised; None where nothing was drawn.
    """

    mode: Mode
    rollout: float | None = None


def choose_mode(mode: str, rollout: float | None, rng: np.random.Generator) -> ModeChoice:
    """Return the mode of the next scan.

    Parameters
    ----------
    mode : str
        As the ranker was opened; the environment variable SCANRANK_MODE beats it.
    rollout : float, optional
        With mode on, the share of scans that are prioritised; the others run in shadow, as the
        control group. Drawn per scan, so that the two groups differ in nothing else.

    Raises
    ------
    InvalidInputError
        For an unknown mode, or a share outside [0, 1].

    Examples
    --------
    >>> choose_mode("on", 0.0, np.random.default_rng(0))
    ModeChoice(mode='shadow', rollout=0.0)
    """
    said = os.environ.get(MODE_VARIABLE)
    if said:
        return ModeChoice(check_mode(said, f"the environment variable {MODE_VARIABLE}"))
    known = check_mode(mode)
    if rollout is None or known != "on":
        return ModeChoice(known)
    check_rollout(rollout)
    return ModeChoice("on" if rng.random() < rollout else "shadow", rollout)


def check_mode(mode: str, name: str = "mode") -> Mode:
    """Return `mode` if it is one."""
    return cast("Mode", as_one_of(mode, name, MODES))


def check_rollout(rollout: float | None) -> float | None:
    """Return `rollout` if it is a share."""
    if rollout is None:
        return None
    return as_number(
        rollout, "rollout", "a share of scans in [0, 1], 0.1 for a tenth", least=0.0, most=1.0
    )
