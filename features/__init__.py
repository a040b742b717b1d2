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
_WHERE = {
    "Bars": "features.inputs.bars",
    "DEFAULT_WEIGHTS": "features.factors",
    "Events": "features.inputs.events",
    "FACTORS": "features.factors",
    "FactorReport": "features.report",
    "FactorScores": "features.factors",
    "FeatureError": "features.errors",
    "HISTORICAL": "features.measures.historical",
    "InvalidBarsError": "features.errors",
    "InvalidEventsError": "features.errors",
    "Loadings": "features.similarity",
    "Panel": "features.factors",
    "SUB_SCORES": "features.factors",
    "StoredFeatures": "features.large.pieces",
    "combine": "features.factors",
    "daily_bars": "features.inputs.intraday",
    "factor_report": "features.report",
    "factor_scores": "features.factors",
    "features_in_pieces": "features.large.pieces",
    "historical_sub_scores": "features.measures.historical",
    "similarity_loadings": "features.similarity",
    "sub_score_panel": "features.factors",
}

__all__ = [
    "DEFAULT_WEIGHTS",
    "FACTORS",
    "HISTORICAL",
    "SUB_SCORES",
    "Bars",
    "Events",
    "FactorReport",
    "FactorScores",
    "FeatureError",
    "InvalidBarsError",
    "InvalidEventsError",
    "Loadings",
    "Panel",
    "StoredFeatures",
    "combine",
    "daily_bars",
    "factor_report",
    "factor_scores",
    "features_in_pieces",
    "historical_sub_scores",
    "similarity_loadings",
    "sub_score_panel",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_WHERE[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
