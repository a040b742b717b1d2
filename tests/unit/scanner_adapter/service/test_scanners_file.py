"""The operator's file of scanners: what is read, what is refused, and what a process is given."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from bandit.errors import InvalidInputError
from scanner_adapter.service.settings import read_scanners


def write(folder: Path, text: str) -> Path:
    path = folder / "scanners.toml"
    path.write_text(text)
    return path


def test_a_scanner_becomes_a_list_of_arguments(tmp_path: Path) -> None:
    """Each is one string with its name in front: a value with a dash or a space stays a value."""
    path = write(
        tmp_path,
        """
        [scanners.breakout]
        scanner = "breakout"
        bars = "daily bars.parquet"
        as_of = 2019-12-31
        hit = "--store=redis://evil; rm -rf ~"
        workers = 4
        until_recall = 0.95
        settings = "found.toml"
        """,
    )
    scanner = read_scanners(path)["breakout"]
    assert scanner.as_of == str(datetime.date(2019, 12, 31))
    assert scanner.arguments("s1") == [
        "scan",
        "--scanner=breakout",
        f"--bars={tmp_path}/daily bars.parquet",
        "--as-of=2019-12-31",
        "--ruleset=breakout",
        f"--settings={tmp_path}/found.toml",
        "--hit=--store=redis://evil; rm -rf ~",
        "--workers=4",
        "--until-recall=0.95",
        "--scan-id=s1",
    ]


def test_by_default_the_last_day_is_scanned_under_the_scanners_name(tmp_path: Path) -> None:
    path = write(tmp_path, '[scanners.mine]\nscanner = "a.b:c"\nbars = "/data/bars.csv"\n')
    scanner = read_scanners(path)["mine"]
    assert (scanner.as_of, scanner.ruleset, scanner.bars) == ("last", "mine", "/data/bars.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[scanners", "cannot be read"),
        ("", "got none"),
        ("[scanners]\n", "got none"),
        ("[other]\nx = 1\n[scanners.a]\n", "got other"),
        ("[scanners]\na = 1\n", "expected a table"),
        ('[scanners."a b"]\nscanner = "x"\nbars = "y"', "scanner 'a b'"),
        ('[scanners.a]\nbars = "y"', "scanner is missing"),
        ('[scanners.a]\nscanner = "x"', "bars is missing"),
        ('[scanners.a]\nscanner = "x"\nbars = "y"\nstore = "z"', "'store' is unknown"),
        ('[scanners.a]\nscanner = "x"\nbars = "y"\nworkers = "4"', "workers is '4'"),
        ('[scanners.a]\nscanner = "x"\nbars = "y"\nworkers = true', "workers is True"),
        ('[scanners.a]\nscanner = "x"\nbars = "y"\nruleset = "../x"', "ruleset '../x'"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        read_scanners(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="there is no scanners file"):
        read_scanners(tmp_path / "none.toml")
