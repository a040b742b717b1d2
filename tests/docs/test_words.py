"""One word for one thing: words that were replaced do not come back, in code, page or documents."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = ("bandit", "features", "scanner_adapter", "scanrank")
# Of each the reason is that a reader of the field has another word for it.
REPLACED = {
    r"told|told_of|tell|telling|telling_s": "publish, send, say, show",
    r"hear|hear_others|obey|obeys": "poll, apply",
    r"wish|wishes|wished": "request, control, pin or exclusion",
    r"dear|dearer": "expensive",
    r"foretold|foretells?": "predicted",
    r"stands? for": "represents",
    r"given way|gives? way|give_way": "falls back",
    r"ScanRanking|ScanOutside|kept_loadings|scan_origin|journal_rows|shared_choice|worker_paces": (
        "the new names"
    ),
    r"is_told|warn_of_going_back|(opening|seed)_note|note_failed|(failed|tried)_again": (
        "log_coverage, warn_if_out_of_order, opening_header, seed_text, record_failed, retry"
    ),
}
# Names of others: Optuna's method.
ALLOWED = re.compile(r"study\.tell\(|ask, evaluate, tell")


def files() -> list[Path]:
    found = [
        path
        for folder in CODE
        for pattern in ("*.py", "*.js", "*.html", "*.j2", "*.lua")
        for path in (ROOT / folder).rglob(pattern)
    ]
    return [*found, *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), *ROOT.glob("examples/*")]


@pytest.mark.parametrize(("words", "instead"), REPLACED.items())
def test_no_replaced_word_stands_in_code_or_documents(words: str, instead: str) -> None:
    pattern = re.compile(rf"(?<![A-Za-z_])({words})(?![A-Za-z])")
    met = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:90]}"
        for path in files()
        if path.is_file() and "__pycache__" not in path.parts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(ALLOWED.sub("", line))
    ]
    assert met == [], f"say {instead}"


def test_messages_speak_of_symbols() -> None:
    """What raises or warns is read by users, who have symbols; "arm" is a word of the code."""
    said = [
        f"{path.relative_to(ROOT)}:{part.lineno}: {part.value}"
        for folder in CODE
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Raise)
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
        if re.search(r"\barms?\b(?!')", part.value)
    ]
    assert said == []
