"""Market facts in, sub-scores out: what do we know about each symbol now?

Bars and events become sub-scores from 0 to 100 (NaN = unknown), four factor scores and a
composite, for a whole universe at once and without a look past `as_of`. Start reading in
`features.factors`.
"""

from features.errors import FeatureError, InvalidBarsError, InvalidEventsError
from features.factors import (
    DEFAULT_WEIGHTS,
    FACTORS,
    SUB_SCORES,
    FactorScores,
    Panel,
    combine,
    factor_scores,
    sub_score_panel,
)
from features.inputs.bars import Bars
from features.inputs.events import Events
from features.inputs.intraday import daily_bars
from features.large.pieces import StoredFeatures, features_in_pieces
from features.measures.historical import HISTORICAL, historical_sub_scores
from features.report import FactorReport, factor_report
from features.similarity import Loadings, similarity_loadings

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
