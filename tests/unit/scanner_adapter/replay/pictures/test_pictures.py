"""Figures, pictures and the page of a replay."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from bandit.choice.explain import GroupWeight
from bandit.errors import InvalidInputError
from scanner_adapter.replay import ReplayReport, bundled_log, replay
from scanner_adapter.replay.pictures.figures import (
    SHARES,
    WINDOW,
    first_hits,
    gains,
    last_weights,
    recall_bands,
    reliability,
    weight_histories,
)
from scanner_adapter.replay.pictures.page import page, verdict
from scanner_adapter.replay.pictures.pictures import (
    check_installed,
    picture,
    pictures,
    write_pictures,
)
from scanner_adapter.replay.ranked import Check, Recorder


@pytest.fixture(scope="module")
def report() -> ReplayReport:
    log = bundled_log()
    return replay(log, from_=str(log.dates[-40]), warmup=10, watch=True)


class TestFigures:
    def test_bands_hold_the_mean(self, report: ReplayReport) -> None:
        for name, band in recall_bands(report).items():
            assert band.mean.shape == SHARES.shape
            assert (band.low <= band.mean + 1e-9).all()
            assert (band.mean <= band.high + 1e-9).all()
            np.testing.assert_allclose(band.mean, report.results[name].curve, atol=1e-6)

    def test_gain_is_the_rolling_difference(self, report: ReplayReport) -> None:
        gain = gains(report, against=["random"])["random"]
        mine, theirs = (
            report.results[name].values("recall_10")[:WINDOW] for name in ("scanrank", "random")
        )
        assert gain.band.mean[0] == pytest.approx(np.mean(mine - theirs))
        assert gain.dates[0] == report.dates[WINDOW - 1]

    def test_gain_needs_a_window(self, report: ReplayReport) -> None:
        few = report.select(np.arange(len(report.dates)) < 5)
        with pytest.raises(InvalidInputError, match="5 measured scans"):
            gains(few)
        with pytest.raises(InvalidInputError, match="order is 'best'"):
            gains(report, against=["best"])

    def test_first_hits_by_hand(self, report: ReplayReport) -> None:
        """The oracle's first symbol is a hit in every scan."""
        share = first_hits(report, 10)
        np.testing.assert_array_equal(share["oracle"], np.ones(10))
        assert (np.diff(share["random"]) >= 0).all()

    def test_weights_are_those_noted(self) -> None:
        def weight(learned: float) -> GroupWeight:
            return GroupWeight(0.4, learned, learned - 0.1, learned + 0.1)

        silent = GroupWeight(0.0, 0.0, 0.0, 0.0)
        watch = Recorder(
            [(0, {"a": weight(0.5), "b": silent}), (5, {"a": weight(0.6), "b": silent})]
        )
        history = weight_histories(watch)
        assert list(history) == list(last_weights(watch)) == ["a"]
        np.testing.assert_array_equal(history["a"].scans, [0, 5])
        np.testing.assert_allclose(history["a"].learned, [0.5, 0.6])

    def test_reliability_by_hand(self) -> None:
        """20 looks at an estimate of 0.8, all truly 0.9: above the lower bound, below the upper
        one in half of them. A single look elsewhere says nothing; it counts for the bounds only."""
        checks = [Check(i, 0.1, 0.8, 0.7, 0.85 + 0.1 * (i % 2), 0.9) for i in range(20)]
        found = reliability(Recorder(checks=[*checks, Check(20, 0.1, 0.3, 0.2, 1.0, 0.1)]))
        np.testing.assert_allclose(found.true, [0.9])
        np.testing.assert_array_equal(found.n, [20])
        assert found.above_low == pytest.approx(20 / 21)
        assert found.below_high == pytest.approx(11 / 21)
        assert reliability(Recorder(checks=checks), warmup=15).n.size == 0

    def test_the_watch_looks_without_changing_the_choice(self, report: ReplayReport) -> None:
        log = bundled_log()
        unwatched = replay(log, from_=str(log.dates[-40]), warmup=10, orders=["scanrank"])
        np.testing.assert_array_equal(
            unwatched.results["scanrank"].values("area"), report.results["scanrank"].values("area")
        )
        assert report.watch is not None
        assert len(report.watch.weights) == 8


class TestFiles:
    def test_every_picture_is_written_twice(self, report: ReplayReport, tmp_path: Path) -> None:
        files = write_pictures(report, tmp_path / "new")
        names = {file.stem for file in files}
        assert names == set(pictures(report)) >= {"recall", "gain", "weights", "first-hit"}
        for file in files:
            head = file.read_bytes()[:200]
            assert head.startswith(b"\x89PNG") or b"<?xml" in head

    def test_the_page_asks_for_nothing(self, report: ReplayReport) -> None:
        text = page(report)
        assert not re.search(r"<(script|link|img|iframe|object)\b", text)
        links = re.findall(r'(?:href|src)="([^"]+)"', text)
        assert all(link.startswith("#") for link in links), links
        assert "url(http" not in text
        assert "@import" not in text
        assert text.count("<svg") == len(pictures(report))
        assert len(text) < 1_000_000

    def test_its_names_are_unique_and_its_tags_closed(self, report: ReplayReport) -> None:
        class Reader(HTMLParser):
            def __init__(self) -> None:
                super().__init__()
                self.open: list[str] = []
                self.ids: list[str] = []

            def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
                self.ids += [value for name, value in attrs if name == "id" and value]
                if tag not in ("meta", "br"):
                    self.open.append(tag)

            def handle_startendtag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
                self.ids += [value for name, value in attrs if name == "id" and value]

            def handle_endtag(self, tag: str) -> None:
                assert self.open.pop() == tag

        reader = Reader()
        reader.feed(page(report))
        assert reader.open == []
        assert len(set(reader.ids)) == len(reader.ids)

    def test_every_colour_has_a_dark_one(self, report: ReplayReport) -> None:
        """Every colour drawn is a variable, and dark mode sets it."""
        text = page(report)
        used = set(re.findall(r"var\(--(c[0-9a-f]{6}),", text))
        dark = text[text.index("prefers-color-scheme: dark") : text.index("</style>")]
        assert used
        assert used <= set(re.findall(r"--(c[0-9a-f]{6}):", dark))

    def test_the_verdict_says_how_sure(self, report: ReplayReport) -> None:
        assert "the best of the other orders" in verdict(report, "scanrank")
        alone = replace(report, results={"scanrank": report.results["scanrank"]})
        assert verdict(alone, "scanrank").startswith("scanrank found")

    def test_names_of_orders_are_escaped(self, report: ReplayReport) -> None:
        bold = replace(report, results={"<b>": report.results["random"]}, watch=None)
        assert "<b>" not in page(bold)

    def test_a_missing_library_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
        with pytest.raises(InvalidInputError, match=r"pip install 'scanrank\[plots\]'"):
            check_installed()


class TestInANotebook:
    def test_every_picture_shows_itself(self, report: ReplayReport) -> None:
        for name in pictures(report):
            assert picture(report, name)._repr_png_().startswith(b"\x89PNG"), name

    def test_a_picture_that_is_not_there_is_named(self, report: ReplayReport) -> None:
        with pytest.raises(InvalidInputError, match=r"no picture 'weights' .*watch=True"):
            picture(replace(report, watch=None), "weights")
