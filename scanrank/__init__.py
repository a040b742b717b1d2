"""Learns, online, which symbols a stock scanner should evaluate next.

Every public name of the three packages behind it can be imported from here; start with
`SymbolRanker.open`. A name is imported when it is first asked for.

>>> from scanrank import SymbolRanker
>>> SymbolRanker.open("memory://", ruleset="demo").n_scans
0
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bandit
import features
import scanner_adapter

if TYPE_CHECKING:
    from bandit import *
    from features import *
    from scanner_adapter import *

_PACKAGES = (scanner_adapter, features, bandit)

__all__ = sorted({name for package in _PACKAGES for name in package.__all__})


def __getattr__(name: str) -> Any:
    for package in _PACKAGES:
        if name in package.__all__:
            value = globals()[name] = getattr(package, name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
