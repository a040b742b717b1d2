"""The page that compares: each Y names a test or a picture that exists, and its sums are right."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "compared.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| expected", "| ---", "| **"))
]


def test_every_y_names_a_test_or_a_picture_that_exists() -> None:
    for feature, here, shown_by, *_ in ROWS:
        if here != "Y":
            continue
        name = shown_by.strip("`")
        if name.endswith(".png"):
            assert (ROOT / name).is_file(), feature
        else:
            file, _, test = name.partition("::")
            assert re.search(rf"def {test}\(", (ROOT / "tests" / file).read_text()), feature


def test_the_page_counts_its_rows() -> None:
    counts = Counter(row[1] for row in ROWS)
    assert set(counts) == {"Y", "partly", "no"}
    assert len(ROWS) >= 60
    words = " ".join(PAGE.split())
    assert f"{len(ROWS)} features" in words
    assert f"{counts['Y']} are here, {counts['partly']} partly, {counts['no']} not" in words


def test_every_cell_is_filled() -> None:
    for row in ROWS:
        assert len(row) == 8, row
        assert all(cell in ("Y", "partly", "no") for cell in row[3:]), row
        assert row[2] or row[1] == "no", row
