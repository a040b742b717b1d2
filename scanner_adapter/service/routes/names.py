"""Parameters that many routes take, and the refusals that all of them may give."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Path
from pydantic import AfterValidator

from bandit.checks import as_arms
from bandit.stores.names import check_name, position_key
from scanner_adapter.service import problems
from scanner_adapter.service.schemas import Problem

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_POSITION = r"^[0-9]{1,20}-[0-9]{1,20}$"


def _ruleset(name: str) -> str:
    return check_name("ruleset", name)


def _scan(name: str) -> str:
    return check_name("scan", name)


def _scanner(name: str) -> str:
    return check_name("scanner", name)


def _symbol(name: str) -> str:
    return as_arms([name])[0]


def _position(position: str) -> str:
    position_key(position)
    return position


RulesetName = Annotated[
    str,
    Path(pattern=_NAME, description="Name of a ruleset.", examples=["breakout"]),
    AfterValidator(_ruleset),
]
ScanId = Annotated[
    str,
    Path(
        pattern=_NAME,
        description="Id of a scan.",
        examples=["0f3cc4a1b2d34e5f8a9b0c1d2e3f4a5b"],
    ),
    AfterValidator(_scan),
]
ScannerName = Annotated[
    str,
    Path(pattern=_NAME, description="Name in the scanners file.", examples=["breakout"]),
    AfterValidator(_scanner),
]
SymbolName = Annotated[
    str,
    Path(
        min_length=1,
        max_length=64,
        description="A symbol, percent-encoded (its slashes too).",
        examples=["NVDA"],
    ),
    AfterValidator(_symbol),
]
Position = Annotated[str, AfterValidator(_position)]
POSITION_PATTERN = _POSITION
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=128,
        pattern=r"^[!-~]+$",
        description="The same key changes nothing a second time: the replay is refused with 409.",
        examples=["5f0c-stop-breakout"],
    ),
]


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's declaration of what a route may refuse with, beside what all may."""
    always = (400, 401, 403, 404, 405, 408, 413, 421, 422, 429, 431, 503)
    return {
        status: {
            "model": Problem,
            "description": _TITLES[status],
            "content": {problems.MEDIA_TYPE: {"example": _example(status)}},
        }
        for status in sorted({*always, *statuses})
    }


_KINDS = [kind for kind in vars(problems).values() if isinstance(kind, problems.Kind)]
_TITLES = {kind.status: kind.title for kind in reversed(_KINDS)}


def _example(status: int) -> dict[str, Any]:
    kind = next(kind for kind in _KINDS if kind.status == status)
    return {
        "type": f"/problems/{kind.name}",
        "title": kind.title,
        "status": status,
        "detail": "one sentence: what was met, what was expected, and the way out",
    }
