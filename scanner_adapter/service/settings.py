"""What an operator sets for the service, and what is refused before it listens."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

from bandit.checks import as_number, refusal
from bandit.errors import InvalidInputError
from bandit.stores.names import check_name
from scanner_adapter.errors import InvalidNoteError
from scanner_adapter.jsonio import from_json, read_toml

TOKEN_VARIABLE = "SCANRANK_TOKEN"  # noqa: S105  (the name of the variable)
READ_TOKEN_VARIABLE = "SCANRANK_READ_TOKEN"  # noqa: S105
STORE_VARIABLE = "SCANRANK_STORE"
MIN_TOKEN = 24  # characters; 24 random letters and digits are 142 bits
_LEAST_DIFFERENT = 8  # characters of a token
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class ConfiguredScanner:
    """A scanner as the operator configured it: the options of `scanrank scan` that are given."""

    scanner: str
    bars: str
    as_of: str = "last"
    ruleset: str = ""  # by default the name; `read_scanners` fills it in
    settings: str | None = None
    hit: str | None = None
    workers: int | None = None
    until_recall: float | None = None
    max_symbols: int | None = None

    def arguments(self, scan_id: str) -> list[str]:
        """Return the arguments of `scanrank` that start a scan, each a string of its own.

        The store's address is not among them: it may hold a password, and everybody on a machine
        sees the arguments of a process.
        """
        given = {name.replace("_", "-"): value for name, value in vars(self).items()}
        # "--name=value": a value that starts with a dash stays a value.
        options = [f"--{name}={value}" for name, value in given.items() if value is not None]
        return ["scan", *options, f"--scan-id={scan_id}"]


@dataclass(frozen=True)
class ServiceSettings:
    """Settings of one server.

    Parameters
    ----------
    store : str
        Address of the store.
    host, port : str, int
        Where to listen.
    token : str, optional
        What a caller must show who may steer scans; needed on any address but loopback.
    read_token : str, optional
        What a caller may show who only reads.
    trusted_proxies : tuple of str
        Addresses whose X-Forwarded-For is believed.
    allowed_hosts : tuple of str
        Names under which the service may be asked (the Host header), beside `host` itself.
    scanners : mapping of name to ConfiguredScanner
        What may be started over HTTP.
    requests_per_s : float
        Sustained rate that one client address may ask at; twice that much at once.
    max_streams : int
        Event streams open at the same time.
    max_running : int
        Scans that run at the same time, of those started over HTTP.
    poll_s : float
        Pause between two looks at a scan that somebody watches. The mean delay of an event is half
        of it, and the store is asked three small questions each time, however many watch.
    notify : tuple of str
        Addresses, as apprise reads them, that get a message when a scan ends.
    page : str, optional
        Address of the live page in messages, where it is not that of `host` and `port`.
    """

    store: str
    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = field(default=None, repr=False)
    read_token: str | None = field(default=None, repr=False)
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    scanners: dict[str, ConfiguredScanner] = field(default_factory=dict)
    requests_per_s: float = 100.0
    max_streams: int = 500
    max_running: int = 2
    poll_s: float = 0.1
    notify: tuple[str, ...] = field(default=(), repr=False)
    page: str | None = None

    def __post_init__(self) -> None:
        check_token(self.token)
        check_token(self.read_token)
        if self.read_token is not None and self.read_token == self.token:
            raise InvalidInputError(
                "the read-only token equals the full token; expected two different tokens"
            )
        if self.read_token is not None and self.token is None:
            raise InvalidInputError(
                "there is a read-only token but no full token, so anyone could control scans: give "
                f"one with --token-file or the variable {TOKEN_VARIABLE}"
            )
        for address in self.trusted_proxies:
            _check_address(address)
        if self.token is None and not is_loopback(self.host):
            raise InvalidInputError(
                f"host {self.host} can be reached from other machines, but there is no token: give "
                f"one with --token-file or the variable {TOKEN_VARIABLE}, or listen on 127.0.0.1"
            )
        as_number(self.requests_per_s, "requests_per_s", "a positive number", above=0.0)

    @property
    def host_names(self) -> frozenset[str]:
        """Names and addresses that a Host header may carry, in lower case, without the port."""
        return frozenset(name.lower() for name in (*_LOCAL, self.host, *self.allowed_hosts))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"  # any other name may resolve to anything


def check_token(token: str | None) -> None:
    """Refuse a token that is short, or that a header could not carry; never repeats it."""
    if token is None:
        return
    if len(token) < MIN_TOKEN:
        raise InvalidInputError(
            f"the token has {len(token)} characters; expected at least {MIN_TOKEN} random ones, "
            "such as from: python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    if is_guessable(token):
        raise InvalidInputError(
            "the token is easy to guess: its characters repeat or follow each other; expected "
            "random ones, such as from: python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    if not (token.isascii() and token.isprintable() and " " not in token and len(token) <= 512):
        raise InvalidInputError(
            "the token has characters that are not allowed in a header; expected up to 512 "
            "letters, digits and punctuation marks"
        )


def is_guessable(token: str) -> bool:
    """Whether a token is surely not random: few characters, a repeated block, or sequences.

    Of 24 random hexadecimal digits fewer than 8 are different in 1 of 40,000 tokens.

    Examples
    --------
    >>> [is_guessable(text) for text in ("a" * 24, "secret12" * 3, "abcdefghijklmnopqrstuvwxyz")]
    [True, True, True]
    >>> is_guessable("Zk3vQ0p-7TnWc_1xRb9LdJ5m")
    False
    """
    if len(set(token)) < _LEAST_DIFFERENT or token in (token + token)[1:-1]:  # a block, repeated
        return True
    longest = run = 1
    for before, letter in pairwise(token):
        run = run + 1 if abs(ord(letter) - ord(before)) <= 1 else 1
        longest = max(longest, run)
    return longest > 0.75 * len(token)


def _check_address(address: str) -> None:
    try:
        ipaddress.ip_address(address)
    except ValueError as err:
        raise refusal(
            address, "the trusted proxy", "the IP address that it connects from, such as 10.0.0.5"
        ) from err


def read_token(path: Path | None, variable: str = TOKEN_VARIABLE) -> str | None:
    """Return a token from a file, else from the environment, else None.

    Raises
    ------
    InvalidInputError
        When the file cannot be read, is empty, or others may read it.
    """
    if path is None:
        return os.environ.get(variable) or None
    try:
        mode = path.stat().st_mode
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as err:
        raise InvalidInputError(f"token file {path} cannot be read: {err}") from err
    if mode & 0o077:
        raise InvalidInputError(
            f"token file {path} is readable by others (mode {mode & 0o777:o}): chmod 600 {path}"
        )
    if not token:
        raise InvalidInputError(f"token file {path} is empty")
    return token


def check_hosts(names: Sequence[str]) -> tuple[str, ...]:
    """Return names for Host headers, refusing what is none (a port, a path, a star).

    Examples
    --------
    >>> check_hosts(["scans.example.org"])
    ('scans.example.org',)
    """
    for name in names:
        fits = name and all(c.isascii() and (c.isalnum() or c in ".-:_") for c in name)
        if not fits or (name.count(":") == 1):
            raise InvalidInputError(
                f"allowed host {name!r}: expected a name or address without port, such as "
                "scans.example.org"
            )
    return tuple(names)


def read_scanners(path: Path) -> dict[str, ConfiguredScanner]:
    """Read the file of scanners that may be started over HTTP, which only the operator writes::

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

    A request names a scanner and nothing else: no path, number or option comes from outside.

    Raises
    ------
    InvalidInputError
        Naming the file, the scanner and the option that does not fit.
    """
    try:
        content = read_toml(path)
    except FileNotFoundError as err:
        raise InvalidInputError(f"there is no scanners file {path}") from err
    tables = content.pop("scanners", None)
    if content or not isinstance(tables, dict) or not tables:
        raise InvalidInputError(
            f"scanners file {path}: expected tables [scanners.NAME] and nothing else, got "
            f"{', '.join(content) or 'none'}"
        )
    return {name: _scanner(path, name, table) for name, table in tables.items()}


def _scanner(path: Path, name: str, table: Any) -> ConfiguredScanner:
    where = f"scanners file {path}, [scanners.{name}]"
    check_name("scanner", name)
    if not isinstance(table, dict):
        raise InvalidInputError(f"{where}: expected a table")
    known = [each.name for each in fields(ConfiguredScanner)]
    if unknown := [option for option in table if option not in known]:
        raise InvalidInputError(
            f"{where}: option {unknown[0]!r} is unknown; known are {', '.join(known)}"
        )
    for option in ("scanner", "bars"):
        if not table.get(option):
            raise InvalidInputError(f"{where}: {option} is missing")
    plain = {key: str(value) if isinstance(value, date) else value for key, value in table.items()}
    try:
        found = from_json(ConfiguredScanner, plain, where)
    except InvalidNoteError as err:
        raise InvalidInputError(str(err)) from err

    def resolved(file: str) -> str:  # relative to this one, wherever the server was started
        return str((path.absolute().parent / file).resolve())

    return replace(
        found,
        ruleset=check_name("ruleset", found.ruleset or name),
        bars=resolved(found.bars),
        settings=None if found.settings is None else resolved(found.settings),
    )
