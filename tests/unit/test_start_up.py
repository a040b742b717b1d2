"""Nothing is imported before it is needed, and `scanrank` hands on the public names alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

import bandit
import features
import scanner_adapter
import scanrank

HEAVY = ("pandas", "scipy", "sklearn", "talib", "redis", "pyarrow", "matplotlib", "optuna")


def loaded(code: str) -> set[str]:
    """Return which heavy libraries a new interpreter has loaded after `code`."""
    script = f"{code}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_the_command_line_answers_without_them(option: str) -> None:
    code = (
        "import sys\nfrom scanner_adapter.cli.app import main\n"
        f"sys.argv = ['scanrank', {option!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass"
    )
    assert loaded(code) == set()


def test_the_package_is_light_and_the_ranker_waits_for_its_first_scan() -> None:
    assert loaded("import scanrank") == set()
    ranker = loaded("from scanrank import SymbolRanker")
    assert not ranker & {"sklearn", "talib", "redis", "matplotlib", "optuna"}


def test_scanrank_hands_on_every_public_name_and_nothing_else() -> None:
    names = {name for package in (bandit, features, scanner_adapter) for name in package.__all__}
    assert set(dir(scanrank)) == set(scanrank.__all__) == names
    assert len(names) <= 120
    for name in names:
        assert getattr(scanrank, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'pandas'"):
        scanrank.pandas  # noqa: B018
