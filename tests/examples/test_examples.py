"""Each worked example runs, on made data or recorded answers, and gains what its README says."""

from __future__ import annotations

import ast
import re
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(p for p in EXAMPLES.glob("*.py") if p.name != "made_market.py")
GAIN = re.compile(r"(\d+) of (\d+) hits in the first quarter of the symbols; file order: (\d+)")
ROW = re.compile(r"\| \[(\w+\.py)\]\(\w+\.py\) \| .* \| (\d+) \| (\d+) of (\d+) \| (\d+) \|")


def lines_of(script: Path) -> int:
    """Lines of code: no docstring, comments and blanks."""
    text = script.read_text()
    tree = ast.parse(text)
    is_doc = ast.get_docstring(tree) is not None
    skipped = range(tree.body[0].lineno, (tree.body[0].end_lineno or 0) + 1) if is_doc else ()
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and number not in skipped
        for number, line in enumerate(text.splitlines(), 1)
    )


def printed() -> dict[str, tuple[int, ...]]:
    """What the README says of each: lines, hits early, hits in all, early in file order."""
    rows = ROW.findall((EXAMPLES / "README.md").read_text())
    return {name: tuple(map(int, numbers)) for name, *numbers in rows}


def test_the_readme_names_every_example_and_its_lines() -> None:
    assert {name: row[0] for name, row in printed().items()} == {
        script.name: lines_of(script) for script in SCRIPTS
    }


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_example_runs_and_gains(
    script: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("schedule" if script.stem == "every_five_minutes" else "numpy")
    if script.stem == "joblib_generator":
        pytest.importorskip("joblib")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "stand_ins"))
    # The exchange's stand-in refuses once and names no time: a minute, in earnest.
    monkeypatch.setattr("scanner_adapter.run.vendor_errors.UNNAMED_PAUSE_S", 0.01)
    for name in ("made_market", "yfinance", "ccxt"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    runpy.run_path(str(script), run_name="__main__")
    found = GAIN.search(capsys.readouterr().out)
    assert found is not None
    early, n_hits, in_file = map(int, found.groups())
    assert early > 2 * in_file
    _, told_early, told_hits, told_in_file = printed()[script.name]
    assert (n_hits, in_file) == (told_hits, told_in_file)
    # With several workers, which results are in when a batch is chosen depends on their timing.
    assert abs(early - told_early) <= 3
