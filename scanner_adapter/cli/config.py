"""`scanrank.toml` in the working folder: what every command takes where no option says otherwise.

An option on the command line beats the environment, which beats the file::

    store = "redis://localhost:6379/0"
    ruleset = "breakout"
    bars = "bars.parquet"
    hit = "top:0.05"
    settings = "settings.toml"
    notify = "json://localhost/hits"
    page = "http://localhost:8765"
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bandit.errors import InvalidInputError
from scanner_adapter.jsonio import read_toml

FILE = Path("scanrank.toml")
# What may stand in the file, each with its environment variable; None = the command's own default.
KEYS: Mapping[str, str | None] = {
    "store": "SCANRANK_STORE",
    "ruleset": "SCANRANK_RULESET",
    "bars": None,
    "hit": None,
    "settings": None,
    "notify": "SCANRANK_NOTIFY",
    "page": None,
}


def read_config(file: Path = FILE) -> dict[str, str]:
    """Return what the file says, nothing where there is none.

    Raises
    ------
    InvalidInputError
        For a file that is not TOML, a key that no command takes, or a value that is no text.
    """
    try:
        found = read_toml(file)
    except FileNotFoundError:
        return {}
    for key, value in found.items():
        if key not in KEYS:
            raise InvalidInputError(f"{file}: {key!r} is unknown; expected {', '.join(KEYS)}")
        if not isinstance(value, str) or not value.strip():
            raise InvalidInputError(
                f"{file}: {key} is {value!r}; expected a string, or no {key} for the default"
            )
    return found


def defaults_of(command: Any, values: Mapping[str, str]) -> dict[str, Any]:
    """Return the defaults of every command below a click group, as its `default_map` takes them."""
    found: dict[str, Any] = {}
    for name, each in getattr(command, "commands", {}).items():
        is_list = {option.name: option.multiple for option in each.params if option.opts}
        found[name] = {
            key: value.split() if is_list[key] else value
            for key, value in values.items()
            if key in is_list
        }
        found[name] |= defaults_of(each, values)
    return found


def where_from(values: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return key, value and source of everything that holds without an option."""
    rows = []
    for key, variable in KEYS.items():
        if variable is not None and (value := os.environ.get(variable)):
            rows.append((key, value, variable))
        elif key in values:
            rows.append((key, values[key], str(FILE)))
        else:
            rows.append((key, "embedded://" if key == "store" else "-", "default"))
    return rows
