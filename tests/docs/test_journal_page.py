"""docs/reference/journal.md names the fields of the journal: exactly those that a scan writes."""

from __future__ import annotations

import re
from pathlib import Path

from scanner_adapter import SymbolRanker
from scanner_adapter.demo.simulator import simulate

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "journal.md"


def fields_on_the_page(kind: str, what: str) -> set[str]:
    section = PAGE.read_text(encoding="utf-8").partition(f"## `{kind}`")[2].partition("\n## ")[0]
    table = section.partition(f"| {what} |")[2].partition("\n\n")[0]
    cells = re.findall(r"^\| (`[^|]*`) \|", table, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_it_names_every_field_and_no_other() -> None:
    market = simulate(n_symbols=60, n_days=80, seed=1)
    symbols = list(market.sectors)
    with SymbolRanker.open("memory://", ruleset="fields", seed=1) as ranker:
        with ranker.start_scan(symbols, bars=market.bars, sectors=market.sectors) as scan:
            batch = scan.next_batch(20)
            scan.report({symbol: {"rating": 1.0, "volume": 2.0} for symbol in batch})
        entries = {entry.kind: entry for entry in ranker.store.read("fields")}
    assert set(entries) == {"open", "report", "close"}
    for kind, entry in entries.items():
        assert fields_on_the_page(kind, "header") == set(entry.header), f"header of {kind}"
        assert fields_on_the_page(kind, "array") == set(entry.arrays), f"arrays of {kind}"
