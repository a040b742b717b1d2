"""Scanners that may be started over HTTP: a TOML file that only the operator writes.

    [scanners.breakout]
    scanner = "breakout"                 # or package.module:function
    bars = "/data/bars.parquet"
    as_of = "last"                       # day of the bars, or a date
    ruleset = "breakout"                 # default: the name
    hit = "signal"                       # further options of `scanrank scan`
    workers = 4
    until_recall = 0.95
    max_symbols = 5000
    settings = "breakout.toml"           # what `scanrank tune --out` wrote

A request names a scanner and nothing else: no path, number or option of it comes from outside.
"""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Any

from bandit.errors import InvalidInputError
from bandit.stores.names import check_name
from scanner_adapter.service.settings import ConfiguredScanner

_REQUIRED = ("scanner", "bars")
_TYPES: dict[str, tuple[type, ...]] = {
    "scanner": (str,), "bars": (str,), "as_of": (str, date), "ruleset": (str,), "hit": (str,),
    "workers": (int,), "until_recall": (int, float), "max_symbols": (int,),
    "settings": (str,),
}  # fmt: skip


def read_scanners(path: Path) -> dict[str, ConfiguredScanner]:
    """Read the file of scanners.

    Raises
    ------
    InvalidInputError
        Naming the file, the scanner and the option that does not fit.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as err:  # nested too deep, too
        raise InvalidInputError(f"scanners file {path} cannot be read: {err}") from err
    tables = content.pop("scanners", None)
    if content or not isinstance(tables, dict) or not tables:
        raise InvalidInputError(
            f"scanners file {path}: expected tables [scanners.NAME] and nothing else, met "
            f"{', '.join(content) or 'none'}"
        )
    return {name: _scanner(path, name, table) for name, table in tables.items()}


def _scanner(path: Path, name: str, table: Any) -> ConfiguredScanner:
    where = f"scanners file {path}, [scanners.{name}]"
    check_name("scanner", name)
    if not isinstance(table, dict):
        raise InvalidInputError(f"{where}: expected a table")
    for option, value in table.items():
        if option not in _TYPES:
            raise InvalidInputError(
                f"{where}: option {option!r} is unknown; known are {', '.join(_TYPES)}"
            )
        if not isinstance(value, _TYPES[option]) or isinstance(value, bool):
            raise InvalidInputError(f"{where}: {option} is {value!r}")
    for option in _REQUIRED:
        if not table.get(option):
            raise InvalidInputError(f"{where}: {option} is missing")
    # Relative to the file, so that it does not matter where the server was started.
    files = {
        option: str((path.absolute().parent / table[option]).resolve())
        for option in ("bars", "settings")
        if option in table
    }
    return ConfiguredScanner(
        name=name,
        ruleset=check_name("ruleset", table.get("ruleset", name)),
        scanner=table["scanner"],
        bars=files.pop("bars"),
        as_of=str(table.get("as_of", "last")),
        options=files
        | {
            option: table[option]
            for option in ("hit", "workers", "until_recall", "max_symbols")
            if option in table
        },
    )
