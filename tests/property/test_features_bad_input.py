"""Bad bars get a clear error, odd ones a defined NaN; nothing becomes a silent zero."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import Bars, FeatureError, InvalidBarsError, factor_scores, sub_score_panel


def frame(n_days: int = 80, symbols: tuple[str, ...] = ("A", "B")) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    parts = []
    for name in symbols:
        close = 20 * np.exp(np.cumsum(rng.normal(0, 0.02, n_days)))
        parts.append(
            pd.DataFrame(
                {
                    "date": pd.bdate_range("2019-01-01", periods=n_days),
                    "symbol": name,
                    "open": close,
                    "high": close * 1.01,
                    "low": close * 0.99,
                    "close": close,
                    "volume": rng.integers(1000, 9000, n_days),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


MISTAKES = st.sampled_from(
    ["drop column", "text", "zero price", "negative volume", "infinite", "twice",
     "high under low", "no date", "number as date", "no symbol"]
)  # fmt: skip


@given(MISTAKES, st.integers(0, 159), st.sampled_from(["open", "high", "low", "close", "volume"]))
def test_every_mistake_is_named(mistake: str, row: int, column: str) -> None:
    """Whatever is wrong, wherever it stands: one error of ours, and it names what it met."""
    bad = frame().astype({"volume": float})
    expected = bad.loc[row, "symbol"]
    if mistake == "drop column":
        bad, expected = bad.drop(columns=column), column
    elif mistake == "text":
        bad = bad.astype({column: object})
        bad.loc[row, column] = "12,5 USD"
        expected = "12,5 USD"
    elif mistake == "zero price":
        bad.loc[row, "low"] = 0.0
        expected = "low 0"
    elif mistake == "negative volume":
        bad.loc[row, "volume"] = -5
        expected = "volume -5"
    elif mistake == "infinite":
        bad.loc[row, column] = np.inf
        expected = "inf"
    elif mistake == "twice":
        bad = pd.concat([bad, bad.iloc[[row]].assign(volume=1.0)])
        expected = str(bad["date"].iloc[row].date())
    elif mistake == "high under low":
        bad.loc[row, "high"] = bad.loc[row, "low"] * 0.9
        expected = "high"
    elif mistake == "no date":
        bad.loc[row, "date"] = pd.NaT
        expected = f"row {row}"
    elif mistake == "number as date":
        bad["date"] = range(len(bad))
        expected = "number"
    else:
        bad = bad.astype({"symbol": object})
        bad.loc[row, "symbol"] = None
        expected = f"row {row}"
    with pytest.raises(InvalidBarsError, match=expected.replace(".", r"\.")):
        Bars.from_frame(bad)


@settings(max_examples=25)
@given(
    st.integers(1, 130),
    st.sampled_from(["constant", "no volume", "one day moves", "tiny", "huge"]),
    st.integers(1, 3),
)
def test_odd_markets_are_unknown_never_zero(n_days: int, kind: str, n_symbols: int) -> None:
    """Constant prices, no volume, one symbol, one bar: a score is in 0..100 or NaN."""
    table = frame(n_days, tuple("ABC"[:n_symbols])).astype({"volume": float})
    prices = ["open", "high", "low", "close"]
    if kind == "constant":
        table[prices] = 7.0
    elif kind == "no volume":
        table["volume"] = 0.0
    elif kind == "one day moves":
        table[prices] = 7.0
        table.loc[table.index[-1], prices] = 8.0
    elif kind == "tiny":
        table[prices] = table[prices] * 1e-7
    else:
        table[prices] = table[prices] * 1e9
        table["volume"] = table["volume"] * 1e9
    bars = Bars.from_frame(table)
    scores = factor_scores(bars, as_of=bars.dates[-1])
    values = scores.values
    assert np.all(np.isnan(values) | ((values >= 0) & (values <= 100)))
    assert np.all((scores.composite_values >= 0) & (scores.composite_values <= 100))
    if kind == "constant":
        known = {
            name for name, row in zip(scores.names, values.T, strict=True) if (~np.isnan(row)).any()
        }
        # What is left says nothing about prices: volume, liquidity, the lack of breakouts.
        assert not [n for n in known if n.startswith("technical.")]
        assert not [n for n in known if "momentum" in n or "high" in n or "volatility" in n]
    if kind == "no volume":
        for name in scores.names:
            if "volume" in name or "liquidity" in name or "surge" in name or "money" in name:
                assert np.isnan(scores.sub_scores[name]).all(), name


def test_one_bar_each_for_a_large_universe() -> None:
    """100,000 symbols with one bar each: everything from bars is unknown, the rest neutral."""
    n = 100_000
    one = np.full((1, n), 10.0)
    bars = Bars(
        np.array(["2020-01-02"], dtype="datetime64[D]"),
        tuple(f"S{i}" for i in range(n)),
        *(one, one, one, one, one),
    )
    scores = factor_scores(bars, as_of="2020-01-02")
    assert np.isnan(scores.values).all()
    assert np.unique(scores.composite_values) == pytest.approx([50.0])


def test_as_of_before_the_first_bar() -> None:
    bars = Bars.from_frame(frame())
    with pytest.raises(InvalidBarsError, match=r"2018-12-31 is before the first bar"):
        factor_scores(bars, as_of="2018-12-31")
    with pytest.raises(InvalidBarsError, match="is not a date"):
        factor_scores(bars, as_of="soon")
    with pytest.raises(FeatureError, match="days of the bars"):
        sub_score_panel(bars, dates=["2019-01-05"])


def test_empty_frames() -> None:
    with pytest.raises(InvalidBarsError, match="no complete bar in 0 rows"):
        Bars.from_frame(frame().head(0))
    with pytest.raises(InvalidBarsError, match="missing columns in bars"):
        Bars.from_frame(pd.DataFrame())
    with pytest.raises(InvalidBarsError, match="bars are a list"):
        Bars.from_frame([1, 2])
