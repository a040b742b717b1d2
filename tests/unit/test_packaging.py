"""What an installation must have: our own `bandit`, and pins that name no index host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _import_with(path_entry: Path, code: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(path_entry), str(ROOT)])}
    return subprocess.run(
        # -P: the folder that the tests run in must not come before the path entry.
        [sys.executable, "-P", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def linter(tmp_path: Path) -> Path:
    """A folder with a package like the security linter's."""
    package = tmp_path / "bandit"
    package.mkdir()
    (package / "__init__.py").write_text("from bandit.core import config\n")
    (package / "core").mkdir()
    (package / "core" / "__init__.py").write_text("config = None\n")
    return tmp_path


@pytest.mark.parametrize("is_mixed", [False, True])
def test_the_linter_of_the_same_name_is_named_in_one_line(linter: Path, is_mixed: bool) -> None:
    if is_mixed:  # both wheels unpacked into one folder, the linter's last
        (linter / "bandit" / "stores").mkdir()
        (linter / "bandit" / "stores" / "codec.py").touch()
    run = _import_with(linter, "import scanner_adapter")
    assert run.returncode == 1
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: scanrank needs its own package 'bandit'")
    assert str(linter / "bandit") in last
    assert "pip uninstall bandit" in last


def test_our_own_package_passes(tmp_path: Path) -> None:
    run = _import_with(tmp_path, "import scanner_adapter, bandit.stores; print(bandit.__file__)")
    assert (run.returncode, run.stderr) == (0, "")
    assert Path(run.stdout.strip()) == ROOT / "bandit" / "__init__.py"


def test_every_constraint_is_an_exact_pin_and_names_no_host() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert len(pins) > 40
    assert [pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin)] == []


def test_every_pin_has_the_hashes_of_its_files() -> None:
    """A few have a marker, or are of other platforms; what both files name is of one version."""
    text = (ROOT / "constraints-hashed.txt").read_text().replace("\\\n", " ")
    pin, marker, hashes = (
        r"([^ =\[]+)(?:\[\w+\])?==(\S+)",
        "(?: ; .+?)?",
        "(?: +--hash=sha256:[0-9a-f]{64})+",
    )
    hashed = {}
    for line in text.splitlines()[1:]:
        found = re.fullmatch(f"{pin} ?{marker}{hashes}", line.strip())
        assert found, line
        hashed[found[1]] = found[2]
    pins = re.findall(r"^([^#=]+)==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    pinned = {re.sub("[-_.]+", "-", name).lower(): version for name, version in pins}
    assert {"numpy", "redis", "hatchling"} <= hashed.keys() & pinned.keys()
    assert {name: hashed.get(name, version) for name, version in pinned.items()} == pinned


def test_make_says_which_python_it_needs(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo "Python 3.9.2" && exit 0\nexit 1\n')
    old.chmod(0o755)
    # BIN points into an empty folder: the recipe that creates the environment must run.
    run = subprocess.run(
        ["make", "-C", str(ROOT), f"PYTHON={old}", f"VENV={tmp_path / 'venv'}", "demo"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert "Python 3.9.2, older than 3.11: install a newer one" in run.stderr
    assert not (tmp_path / "venv").exists()
