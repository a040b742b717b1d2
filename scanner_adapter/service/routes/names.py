"""Parameters that many routes take, and the refusals that all of them may give."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import Header, Path
from pydantic import AfterValidator

from bandit.checks import as_arms
from bandit.stores.names import check_name, position_key
from scanner_adapter.service import problems
from scanner_adapter.service.schemas import Problem

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
POSITION_PATTERN = r"^[0-9]{1,20}-[0-9]{1,20}$"


def _symbol(name: str) -> str:
    return as_arms([name])[0]


def _position(position: str) -> str:
    position_key(position)
    return position


RulesetName = Annotated[
    str,
    Path(pattern=_NAME, description="Name of a ruleset.", examples=["breakout"]),
    AfterValidator(partial(check_name, "ruleset")),
]
ScanId = Annotated[
    str,
    Path(
        pattern=_NAME,
        description="Id of a scan.",
        examples=["0f3cc4a1b2d34e5f8a9b0c1d2e3f4a5b"],
    ),
    AfterValidator(partial(check_name, "scan")),
]
ScannerName = Annotated[
    str,
    Path(pattern=_NAME, description="Name in the scanners file.", examples=["breakout"]),
    AfterValidator(partial(check_name, "scanner")),
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
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=128,
        pattern=r"^[!-~]+$",
        description="A repeated key is refused with 409 and changes nothing.",
        examples=["5f0c-stop-breakout"],
    ),
]


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's declaration of what a route may refuse with, beside what all may."""
    always = (400, 401, 403, 404, 405, 408, 413, 421, 422, 429, 431, 503)
    return {status: _refusal(_KINDS[status]) for status in sorted({*always, *statuses})}


# The first kind of each status.
_KINDS = {
    kind.status: kind
    for kind in reversed(vars(problems).values())
    if isinstance(kind, problems.Kind)
}


def _refusal(kind: problems.Kind) -> dict[str, Any]:
    detail = "one sentence: the value found, the value expected, and how to fix it"
    example = problems.problem_of(kind, detail).model_dump()
    return {
        "model": Problem,
        "description": kind.title,
        "content": {problems.MEDIA_TYPE: {"example": example}},
    }
