"""A store that passes every call to another one: the base of stores that change a few calls."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from bandit.stores.base import Receipt, Store
from bandit.stores.entries import Sealed

if TYPE_CHECKING:
    from bandit.stores.sqlite.store import SqliteStore as _Complete  # any class that has every call
else:
    _Complete = object  # what is not defined here comes from `__getattr__`


class WrappedStore(_Complete):
    """A `bandit.stores.base.Store` that passes each call on (`_call`)."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # also `_store` itself, before it is there
            raise AttributeError(name)
        found = getattr(self._store, name)
        return partial(self._call, name) if callable(found) else found

    append_report = Store.append_report
    append_event = Store.append_event

    def append_sealed(self, ruleset: str, entry: Sealed) -> Receipt:
        """See `Store`."""
        return self._store.append_sealed(ruleset, entry)

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        return getattr(self._store, name)(*args, **options)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._store!r})"
