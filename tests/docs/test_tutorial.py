"""A person who follows the tutorial gets what it shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import Page

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"


def test_its_programs_run_in_order_and_print_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SCANRANK_MODE", raising=False)
    differences = Page(TUTORIAL).differences()
    assert not differences, (
        "\n".join(differences)
        + "\nIf the change is meant: python tests/pages.py docs/tutorial.md --write"
    )
