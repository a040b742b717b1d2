"""The two files of pinned versions say the same, and know every development dependency."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s\\;]+)", re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    found = PIN.findall((ROOT / name).read_text())
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in found}


def test_the_hashed_file_has_the_versions_of_the_other() -> None:
    plain, hashed = pins("constraints.txt"), pins("constraints-hashed.txt")
    assert len(plain) > 100
    assert {name: hashed.get(name) for name in plain} == plain


def test_every_development_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!;~ ]", line)[0]).lower()
        for line in [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    } - {"scanrank"}
    assert wanted <= set(pins("constraints-hashed.txt"))
