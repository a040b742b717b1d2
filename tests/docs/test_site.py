"""The documentation builds without a warning, and the site asks no other site for anything."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("furo", reason="needs the extra docs")
    built = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", str(built / ".doctrees"), str(DOCS), str(built)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return built


def text_of(page: Path) -> str:
    return re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8"))


def test_every_page_is_built_and_has_its_title(site: Path) -> None:
    pages = [path.relative_to(DOCS) for path in DOCS.rglob("*.md")]
    assert len(pages) > 20
    for page in pages:
        html = (site / page.with_suffix(".html")).read_text(encoding="utf-8")
        assert re.search(r"<h1>[^<]*[a-zA-Z]", html), page


def test_no_line_of_a_page_is_lost() -> None:
    # MyST reads a line that begins with a per cent sign as a comment.
    lost = [
        f"{path.name}: {line}"
        for path in DOCS.rglob("*.md")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.lstrip().startswith("%")
    ]
    assert lost == []


def test_it_loads_nothing_from_elsewhere(site: Path) -> None:
    # Links that a reader may click are fine; what a browser fetches by itself is not.
    fetched = re.compile(
        r"""<(?:script|img|iframe|source|video)\b[^>]*\bsrc=["'](?:https?:)?//"""
        r"""|<link\b[^>]*\bhref=["'](?:https?:)?//|@import|url\(["']?(?:https?:)?//"""
    )
    files = [path for path in site.rglob("*") if path.suffix in {".html", ".css"}]
    assert len(files) > 20
    outside = {
        path.name: found[0]
        for path in files
        if (found := fetched.search(path.read_text(encoding="utf-8")))
    }
    assert outside == {}


def test_formulas_are_there_as_mathematics(site: Path) -> None:
    html = (site / "explanation" / "model.html").read_text(encoding="utf-8")
    assert html.count("<math") > 50
    assert "\\frac" not in html
    assert "$$" not in html


def test_the_command_line_and_the_service_are_described_by_themselves(site: Path) -> None:
    commands = text_of(site / "reference" / "command-line.html")
    assert "scanrank journal export" in commands
    assert "--until-recall SHARE" in commands
    answers = text_of(site / "reference" / "http.html")
    assert "GET /api/v1/rulesets/{ruleset}/scans" in answers
    assert "scanrank_refusals_total{reason}" in answers
