"""One command or one Lua script on a server, with errors that name the store and the key."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from redis.cluster import RedisCluster
from redis.exceptions import NoScriptError, RedisError, ResponseError

from bandit.errors import CorruptStateError, StoreRefusedError
from bandit.stores.names import shown
from bandit.stores.redis.connection import connect, errors_of
from bandit.stores.redis.keys import TYPES

log = logging.getLogger(__name__)

OLDEST_SERVER = (6, 2)  # SMISMEMBER, exclusive stream ranges


@cache
def script(name: str) -> tuple[str, str]:
    """Return a Lua script and the SHA-1 that the server knows it by."""
    text = (Path(__file__).parent / "lua" / f"{name}.lua").read_text(encoding="utf-8")
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisCommands:
    """A connected Redis client; the base of `bandit.stores.redis.store.RedisStore`.

    Parameters
    ----------
    url : str
        See `bandit.stores.store_from_url`. Opening queries the server's version, so a wrong address
        or password fails at once.

    Raises
    ------
    StoreUnavailableError, StoreRefusedError
        If the server does not answer; if the password is wrong or the server too old.
    """

    def __init__(self, url: str) -> None:
        self._address = shown(url)
        with errors_of(self._address):
            self._client = connect(url)
        self._check_server()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._address!r})"

    @property
    def address(self) -> str:
        """See `Store`."""
        return self._address

    def close(self) -> None:
        """See `Store`."""
        self._client.close()

    def warnings(self) -> list[str]:
        """Return what an operator should change on the server."""
        policies = {str(node.get("maxmemory_policy")) for node in self._info("memory")}
        return [
            f"store {self._address} has maxmemory-policy {policy}: a full server drops learned "
            "state. Set `maxmemory-policy noeviction`."
            for policy in sorted(policies - {"noeviction", "None"})
        ]

    def durability(self) -> tuple[str, str] | None:
        """Return what a crash of the server would lose and how to mend it; None = nothing.

        Where this user may not ask, nothing is known and None returned.
        """
        if all(node.get("aof_enabled") for node in self._info("persistence")):
            return None
        return (
            f"store {self._address} has no append-only file: if the server crashes, everything "
            "reported since its last RDB snapshot is lost",
            "set `appendonly yes`",
        )

    def _info(self, section: str) -> list[dict[str, Any]]:
        """Return what each node says of itself, [] to a user without the right to ask."""
        try:
            answer = self._client.info(section)
        except RedisError:
            return []
        nodes = answer.values() if isinstance(self._client, RedisCluster) else [answer]
        return [node for node in nodes if isinstance(node, dict)]

    def _check_server(self) -> None:
        """Refuse a server that is too old, before the first command fails in a stranger way."""
        if isinstance(self._client, RedisCluster):
            return
        for warning in self.warnings():
            log.warning("%s", warning)
        try:
            found = self._call("INFO", "server")
        except StoreRefusedError as err:
            if "may not do that" not in str(err):
                raise
            return  # a user without the right to ask; the commands themselves will fail then
        version = str(found.get("redis_version", "0.0"))
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_SERVER:
            raise StoreRefusedError(
                f"store {self._address} runs Redis {version}; 6.2 or newer is needed."
            )

    def _call(self, *command: Any) -> Any:
        with self._errors_of([command]):
            return self._client.execute_command(*command)

    def _call_all(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Run commands in one round trip; answers in their order.

        Keys may be of several rulesets: in a cluster redis-py sends each node its part, and waits
        for the first answer when all are sent.
        """
        with self._errors_of(commands):
            pipeline = self._client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            return list(pipeline.execute())

    def _run(self, name: str, keys: Sequence[str], *args: Any) -> Any:
        """Run a Lua script by its SHA-1; send its text once per server."""
        text, sha = script(name)
        with self._errors_of([(name, key) for key in keys]):
            try:
                return self._client.execute_command("EVALSHA", sha, len(keys), *keys, *args)
            except NoScriptError:
                return self._client.execute_command("EVAL", text, len(keys), *keys, *args)

    @contextmanager
    def _errors_of(self, commands: Sequence[tuple[Any, ...]]) -> Iterator[None]:
        """Say in our words what goes wrong in commands, whose second word is a key."""
        with errors_of(self._address):
            try:
                yield
            except ResponseError as err:
                if "WRONGTYPE" in str(err):
                    raise self._foreign([str(command[1]) for command in commands]) from err
                raise

    def _foreign(self, keys: Sequence[str]) -> CorruptStateError:
        """Name the key whose type is not the one that we gave it."""
        for key in keys:
            expected = TYPES.get(key.rpartition(":")[2], "string")
            found = self._client.type(key).decode()
            if found not in (expected, "none"):
                return CorruptStateError(
                    f"{key}: a {found} where scanrank keeps a {expected}; another program wrote "
                    "it. "
                    "Nothing was changed. Remove or rename that key."
                )
        return CorruptStateError(f"one of {', '.join(keys)} has an unexpected type.")
