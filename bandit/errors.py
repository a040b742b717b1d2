"""Every error that `bandit` raises on purpose: one root, a few leaves a caller can act on."""

from __future__ import annotations


class BanditError(Exception):
    """Root of the errors of this package; catching it catches them all."""


class InvalidInputError(BanditError, ValueError):
    """An argument was refused at the border; nothing was changed."""


class StoreError(BanditError):
    """Something about the store; see the leaves."""


class StoreUnavailableError(StoreError, ConnectionError):
    """The server did not answer. Reports can be sent again: appending is idempotent."""


class StoreRefusedError(StoreError):
    """The server answered no (password, rights, memory, read-only); retrying will not help."""


class EntryTooLargeError(StoreRefusedError):
    """The server takes no entry of this size; smaller ones it does."""


class JournalChangedError(StoreError):
    """The journal is not the one that was read before: it lost entries, or its base was replaced.

    What was folded of it is no prefix of it any more. Load the snapshot, and read from there.
    """


class CorruptStateError(StoreError):
    """A stored blob is damaged or not ours; the message names the key."""


class IncompatibleStateError(StoreError):
    """The stored state has another format or configuration; the message names the way out."""


class UnanswerableError(BanditError):
    """The log holds no answer to the question asked; the message names what it lacks."""
