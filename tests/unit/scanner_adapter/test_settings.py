"""The settings file: what is written is read, what it says takes effect, what is wrong is named."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.errors import IncompatibleStateError, InvalidInputError
from features.similarity import Loadings
from scanner_adapter.errors import InvalidContextError
from scanner_adapter.inputs.context import CROSSED
from scanner_adapter.settings import FORMAT, Settings, _known
from scanner_adapter.symbol_ranker import SymbolRanker

OTHER = Settings(
    weights={"historical": 0.1, "market": 0.2, "fundamental": 0.3, "technical": 0.4},
    half_life_days=30.0,
    fast_days=2.0,
    slow_days=20.0,
    exploration=0.5,
    random_share=0.04,
    batch_size=7,
    products=False,
    similarity=False,
)
SYMBOLS = [f"S{i}" for i in range(30)]


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


positive = st.floats(1e-6, 1e6)


@given(
    st.tuples(*[st.floats(0.001, 1.0)] * 4),
    st.tuples(positive, positive, positive),
    st.floats(0, 10),
    st.floats(0, 1),
    st.integers(1, 10_000),
    st.booleans(),
    st.booleans(),
)
def test_what_is_written_is_read_exactly(
    weights: tuple[float, ...],
    days: tuple[float, float, float],
    exploration: float,
    random_share: float,
    batch_size: int,
    products: bool,
    similarity: bool,
) -> None:
    names = ("historical", "market", "fundamental", "technical")
    given_ = Settings(
        dict(zip(names, weights, strict=True)), *days, exploration, random_share, batch_size,
        products, similarity,
    )  # fmt: skip
    text = given_.to_toml(["a remark\nof two lines"])
    assert Settings(**_known(tomllib.loads(text))) == given_


class TestReading:
    def test_a_file_of_the_format_alone_is_the_defaults(self, tmp_path: Path) -> None:
        assert Settings.read(written(tmp_path, "format = 1\n")) == Settings()

    def test_the_other_settings_differ_in_every_field(self) -> None:
        """So that the round trip and the ranker below would notice a field that is forgotten."""
        default = Settings()
        assert all(getattr(OTHER, f.name) != getattr(default, f.name) for f in fields(Settings))

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            (
                "halflife_days = 3",
                "'halflife_days' is not a setting; known settings: weights, half_life",
            ),
            ("half_life_days = -3", "half_life_days is -3; expected a positive number of days"),
            (
                "half_life_days = 'long'",
                "half_life_days is 'long'; expected a positive number of days",
            ),
            ("half_life_days = inf", "half_life_days is inf; expected a positive number of days"),
            ("exploration = true", "exploration is True; expected 0 to 10"),
            ("random_share = 2", "random_share is 2; expected 0 to 1"),
            ("batch_size = 10.5", "batch_size is 10.5; expected a whole number"),
            ("batch_size = 0", "batch_size is 0; expected a whole number, 1 or more"),
            ("products = 1", "products is 1; expected True or False"),
            ("weights = 3", "[weights] has 3; expected a weight for each of historical"),
            ("[weights]\nmarket = 1", "[weights] has market; expected a weight for each"),
            (
                "[weights]\nhistorical=0\nmarket=0\nfundamental=0\ntechnical=0",
                "all factor weights are zero",
            ),
            (
                "[weights]\nhistorical=-1\nmarket=1\nfundamental=0\ntechnical=0",
                "weight of historical is -1; expected a number, 0 or more",
            ),
            ("exploration = = 2", "cannot be read as TOML"),
        ],
    )
    def test_what_is_wrong_is_named_with_the_file(
        self, tmp_path: Path, line: str, message: str
    ) -> None:
        path = written(tmp_path, f"format = {FORMAT}\n{line}\n")
        with pytest.raises(InvalidInputError) as caught:
            Settings.read(path)
        assert str(path) in str(caught.value)
        assert message in str(caught.value)

    @pytest.mark.parametrize("text", ["", "format = 2", "format = '1'"])
    def test_another_format_is_refused(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(InvalidInputError, match=r"expected format = 1, the one this version"):
            Settings.read(written(tmp_path, text))

    def test_a_file_that_is_missing_or_no_text_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match=r"no settings file .*scanrank tune --out"):
            Settings.read(tmp_path / "none.toml")
        (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
        with pytest.raises(InvalidInputError, match="cannot be read as TOML"):
            Settings.read(tmp_path / "bytes.toml")


class TestOpening:
    def test_a_file_sets_all_that_it_names(self, tmp_path: Path) -> None:
        path = written(tmp_path, OTHER.to_toml())
        ranker = SymbolRanker.open("memory://", ruleset="x", settings=path)
        used = ranker.learned.settings
        assert used.seed_weights == pytest.approx(
            {f"factor.{name}": weight for name, weight in OTHER.weights.items()}
        )
        assert used.crossed == ()
        assert (used.half_life_days, used.fast_days, used.slow_days) == (30.0, 2.0, 20.0)
        assert (used.exploration, used.random_share) == (0.5, 0.04)
        assert (ranker.batch_size, ranker.similarity) == (7, False)

    def test_an_argument_beats_the_file(self, tmp_path: Path) -> None:
        path = written(tmp_path, OTHER.to_toml())
        ranker = SymbolRanker.open(
            "memory://", ruleset="x", settings=path, exploration=0.0, weights={"market": 1.0}
        )
        assert ranker.learned.settings.exploration == 0.0
        assert ranker.learned.settings.half_life_days == 30.0
        assert ranker.learned.settings.seed_weights["factor.market"] == 1.0

    def test_without_a_file_everything_is_as_before(self) -> None:
        used = SymbolRanker.open("memory://", ruleset="x").learned.settings
        assert used.crossed == CROSSED
        assert used == Settings().ranker_settings()

    def test_the_batch_size_holds_where_the_loop_names_none(self) -> None:
        ranker = SymbolRanker.open("memory://", ruleset="x", settings=OTHER)
        with ranker.start_scan(SYMBOLS) as scan:
            first = scan.next_batch()
            assert len(first) == 7
            scan.report(dict.fromkeys(first, 1.0))
            assert [len(batch) for batch in scan.batches()] == [7, 7, 7, 2]
        with ranker.start_scan(SYMBOLS) as scan:
            assert len(scan.next_batch(3)) == 3

    def test_without_similarity_the_loadings_are_left_out(self) -> None:
        """Rising in one half of the universe teaches nothing of the rest of that half."""
        half = np.repeat([[1.0, 0.0], [0.0, 1.0]], 15, axis=0).astype(np.float32)
        loadings = Loadings(("sector.A", "sector.B"), half)
        patterns = {}
        for similarity in (True, False):
            ranker = SymbolRanker.open("memory://", ruleset="x", seed=1, similarity=similarity)
            with ranker.start_scan(SYMBOLS, loadings=loadings) as scan:
                for batch in scan.batches(10):
                    scan.report({symbol: float(int(symbol[1:]) < 15) for symbol in batch})
            patterns[similarity] = set(ranker.learned.belief.pattern_variances)
        assert patterns == {True: {"level", "sector"}, False: {"level"}}

    def test_other_products_than_the_store_learned_with_are_refused(self, tmp_path: Path) -> None:
        """Nothing that was learned can be read without them; half-lives may change at any time."""
        url = f"embedded://{tmp_path}/store"
        context = (CROSSED[:2], np.full((len(SYMBOLS), 2), 60.0, np.float32))
        with (
            SymbolRanker.open(url, ruleset="x") as ranker,
            ranker.start_scan(SYMBOLS, context=context) as scan,
        ):
            for batch in scan.batches():
                scan.report({symbol: float(symbol[1:]) for symbol in batch})
        with SymbolRanker.open(url, ruleset="x", half_life_days=10.0) as again:
            assert again.n_scans == 1
        with pytest.raises(IncompatibleStateError, match=r"they cross other columns; use the form"):
            SymbolRanker.open(url, ruleset="x", products=False)

    def test_what_does_not_fit_is_refused_before_a_store_is_opened(self, tmp_path: Path) -> None:
        url = f"embedded://{tmp_path}/store"
        with pytest.raises(InvalidInputError, match="'speed' is unknown"):
            SymbolRanker.open(url, ruleset="x", speed=3)
        with pytest.raises(InvalidInputError, match="no settings file"):
            SymbolRanker.open(url, ruleset="x", settings=tmp_path / "none.toml")
        with pytest.raises(InvalidContextError, match="factor 'luck' is unknown"):
            SymbolRanker.open(url, ruleset="x", weights={"luck": 1.0})
        assert not (tmp_path / "store").exists()
