"""Market facts in, sub-scores out: what do we know about each symbol now?

Bars and events become sub-scores from 0 to 100 (NaN = unknown), four factor scores and a
composite, for a whole universe at once and without a look past `as_of`. Start reading in
`features.factors`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from features.errors import FeatureError as FeatureError
    from features.errors import InvalidBarsError as InvalidBarsError
    from features.errors import InvalidEventsError as InvalidEventsError
    from features.errors import InvalidQuotesError as InvalidQuotesError
    from features.factors import DEFAULT_WEIGHTS as DEFAULT_WEIGHTS
    from features.factors import FACTORS as FACTORS
    from features.factors import SUB_SCORES as SUB_SCORES
    from features.factors import FactorScores as FactorScores
    from features.factors import Panel as Panel
    from features.factors import combine as combine
    from features.factors import factor_scores as factor_scores
    from features.factors import sub_score_panel as sub_score_panel
    from features.inputs.bars import Bars as Bars
    from features.inputs.events import Events as Events
    from features.inputs.intraday import daily_bars as daily_bars
    from features.inputs.quotes import Quotes as Quotes
    from features.inputs.sessions import Session as Session
    from features.large.pieces import StoredFeatures as StoredFeatures
    from features.large.pieces import features_in_pieces as features_in_pieces
    from features.measures.historical import HISTORICAL as HISTORICAL
    from features.measures.historical import historical_sub_scores as historical_sub_scores
    from features.report import FactorReport as FactorReport
    from features.report import factor_report as factor_report
    from features.similarity import Loadings as Loadings
    from features.similarity import similarity_loadings as similarity_loadings

# Where each public name lives. It is imported when it is first asked for, so that the command line
# and a program that needs one part of the package do not wait for all of it.
_NAMES = {
    "features.errors": (
        "FeatureError",
        "InvalidBarsError",
        "InvalidEventsError",
        "InvalidQuotesError",
    ),
    "features.factors": (
        "DEFAULT_WEIGHTS",
        "FACTORS",
        "FactorScores",
        "Panel",
        "SUB_SCORES",
        "combine",
        "factor_scores",
        "sub_score_panel",
    ),
    "features.inputs.bars": ("Bars",),
    "features.inputs.events": ("Events",),
    "features.inputs.intraday": ("daily_bars",),
    "features.inputs.quotes": ("Quotes",),
    "features.inputs.sessions": ("Session",),
    "features.large.pieces": ("StoredFeatures", "features_in_pieces"),
    "features.measures.historical": ("HISTORICAL", "historical_sub_scores"),
    "features.report": ("FactorReport", "factor_report"),
    "features.similarity": ("Loadings", "similarity_loadings"),
}
_MODULE = {name: module for module, names in _NAMES.items() for name in names}

if not TYPE_CHECKING:  # a checker reads the imports above, and no list that is computed
    __all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULE[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(_MODULE)
