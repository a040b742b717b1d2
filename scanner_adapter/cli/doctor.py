"""`scanrank doctor`: what an installation has, what is wrong with it, and how to mend it."""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from bandit.errors import BanditError, StoreError
from bandit.stores import Store, store_from_url
from bandit.stores.names import position_key
from features.errors import FeatureError
from features.inputs.bars import Bars
from scanner_adapter.errors import AdapterError
from scanner_adapter.inputs.bars import scannable

State = Literal["ok", "warning", "error"]

# Extras and the module whose presence shows that one is installed.
EXTRAS = {
    "api": "fastapi", "notify": "apprise", "plots": "matplotlib", "tune": "optuna",
    "dask": "distributed", "exchanges": "exchange_calendars",
}  # fmt: skip
PROBE = "scanrank-doctor"  # the ruleset that a write is tried in, and that is removed again
SLOW_S = 0.1  # for one write
CLOCK_S = 5.0  # between this machine and the server: ages of results would be off
OLD_DAYS = 5  # a long week-end
WHOLE_SHARE = 0.9  # of the symbols should have the last day


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, what was met, and what to do where it is not ok."""

    name: str
    state: State
    found: str
    mend: str | None = None


def run_doctor(store: str, bars: Path | None, *, as_json: bool) -> bool:
    """Look at everything and print it; whether no check failed."""
    checks = [*_versions(), *_store(store), *_bars(bars)]
    if as_json:
        print(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        for check in checks:
            print(f"{check.state:<8} {check.name}: {check.found}")
            if check.mend is not None:
                print(f"         -> {check.mend}")
    return all(check.state != "error" for check in checks)


def _versions() -> Iterator[Check]:
    names = ("scanrank", "numpy", "scipy", "pandas", "pyarrow", "TA-Lib", "redis")
    found = [f"Python {sys.version.split()[0]}"]
    try:
        found += [f"{name} {version(name)}" for name in names]
    except PackageNotFoundError as err:
        yield Check("versions", "error", f"{err.name} is missing", "pip install scanrank")
        return
    yield Check("versions", "ok", ", ".join(found))
    missing = [name for name, module in EXTRAS.items() if find_spec(module) is None]
    has = ", ".join(name for name in EXTRAS if name not in missing) or "none"
    yield Check("extras", "ok", f"{has}; not installed: {', '.join(missing) or 'none'}")


def _store(url: str) -> Iterator[Check]:
    try:
        opened = store_from_url(url)
    except BanditError as err:
        yield Check("store", "error", str(err), "see --store, or `scanrank config show`")
        return
    try:
        rulesets = opened.list_rulesets()
        yield Check("store", "ok", f"{opened.address} answers, {len(rulesets)} rulesets")
        for warning in opened.warnings():
            said, _, mend = warning.rpartition(". ")
            yield Check("store settings", "warning", said or warning, mend or None)
        advice = getattr(opened, "durability", None)
        if advice is not None and (found := advice()) is not None:
            yield Check("durability", "warning", *found)
        yield from _writing(opened)
    except StoreError as err:
        yield Check("store", "error", str(err), "mend that: scans need to read and write the store")
    finally:
        opened.close()


def _writing(store: Store) -> Iterator[Check]:
    start, before = time.monotonic(), time.time()
    try:
        receipt = store.append_event(PROBE, uuid.uuid4().hex, "open", header={}, arrays={})
        took = time.monotonic() - start
        clock = before if receipt.position is None else position_key(receipt.position)[0] / 1000
    finally:
        store.drop_ruleset(PROBE)
    is_slow = took > SLOW_S
    yield Check(
        "write", "warning" if is_slow else "ok", f"a write took {1000 * took:.1f} ms",
        "move the store closer to the scanner" if is_slow else None,
    )  # fmt: skip
    off = abs(clock - before)
    is_off = off > CLOCK_S
    yield Check(
        "clock", "warning" if is_off else "ok", f"{off:.1f} s between this machine and the store",
        "synchronise both with NTP: ages of results and leases depend on these "
        "clocks" if is_off else None,
    )  # fmt: skip


def _bars(path: Path | None) -> Iterator[Check]:
    if path is None:
        yield Check("bars", "ok", "not checked; give them with --bars")
        return
    now = datetime.now(UTC)
    try:
        bars, notes = scannable(Bars.read(path), None, now)
    except (BanditError, FeatureError, AdapterError, OSError) as err:
        yield Check("bars", "error", str(err), "see docs/reference/inputs.md for accepted formats")
        return
    last = bars.dates[-1]
    age = (now.date() - last.item()).days
    share = float(bars.mask[-1].mean())
    found = (
        f"{len(bars.symbols):,} symbols, {bars.dates[0]} to {last}; {share:.0%} have the last day"
    )
    if age > OLD_DAYS:
        yield Check("bars", "warning", f"{found}; {age} days old", "download newer bars")
    elif share < WHOLE_SHARE:
        yield Check("bars", "warning", found, "download again: the last day is incomplete")
    else:
        yield Check("bars", "ok", found)
    for note in notes:
        yield Check("bars", "ok", note)
