"""Where everything is in Redis, and of which type.

Keys, all of one ruleset in one cluster slot by the hash tag::

    scanrank:rulesets                          set of ruleset names (an index only)
    scanrank:server                            string: names this database, however addressed
    scanrank:{<ruleset>}:journal               stream; fields b = entry, m = mask
    scanrank:{<ruleset>}:meta                  hash: generation, trimmed, removed:<position>,
                                               snapshot (version), scans (how many), synced
    scanrank:{<ruleset>}:snapshot              hash: version, position, id, pieces, bytes
    scanrank:{<ruleset>}:snapshot:<id>:<n>     string, at most 8 MiB each
    scanrank:{<ruleset>}:scans                 sorted set: scan id by time of its first entry
    scanrank:{<ruleset>}:scan:<id>:reported    set of arms          } forgotten `SCAN_TTL_S` after
    scanrank:{<ruleset>}:scan:<id>:events      set: open, close     } the scan's first entry
    scanrank:{<ruleset>}:scan:<id>:claims      hash: arm -> lease   }
    scanrank:{<ruleset>}:scan:<id>:control     string, JSON         } after its last writing
    scanrank:{<ruleset>}:scan:<id>:status      string, JSON         }
"""

from __future__ import annotations

from bandit.stores.names import check_name

INDEX = "scanrank:rulesets"
SERVER = "scanrank:server"
TYPES = {  # by the last word of a key; the pieces of a snapshot are strings
    "journal": "stream",
    "meta": "hash",
    "snapshot": "hash",
    "scans": "zset",
    "reported": "set",
    "events": "set",
    "claims": "hash",
    "control": "string",
    "status": "string",
}


def ruleset_key(ruleset: str, *rest: str) -> str:
    """Return a key of a ruleset; `rest` is ours, the name is checked.

    Examples
    --------
    >>> ruleset_key("breakout", "journal")
    'scanrank:{breakout}:journal'
    """
    return ":".join((f"scanrank:{{{check_name('ruleset', ruleset)}}}", *rest))


def scan_key(ruleset: str, scan_id: str, what: str) -> str:
    """Return a key of a scan; both names are checked."""
    return ruleset_key(ruleset, "scan", check_name("scan", scan_id), what)


def piece_keys(ruleset: str, snapshot_id: str, n_pieces: int) -> list[str]:
    """Return the keys of a snapshot's pieces, in order."""
    return [ruleset_key(ruleset, "snapshot", snapshot_id, str(n)) for n in range(n_pieces)]
