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


# Where a space before the sign is no operator of Python or JavaScript.
SPACED = re.compile(r"[0-9}] %(?![ (a-zA-Z0-9])|[0-9}] % [a-z]+ ")


def printed_lines(path: Path) -> set[int]:
    """The lines of a program that hold strings, but no docstrings unless they are a help text."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    return {
        number
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        or (isinstance(node, ast.Constant) and isinstance(node.value, str))
        if "cli" in path.parts or node not in docs
        for number in range(node.lineno, (node.end_lineno or 0) + 1)
    }


def test_output_writes_95_percent_without_a_space_and_prose_with_one() -> None:
    """What scanrank prints has "95%", as Python formats it; pages and docstrings have "95 %"."""
    met = [
        f"{path.relative_to(ROOT)}:{number}: {line}"
        for path in files()
        if path.suffix in (".py", ".js", ".html") and path.parts[len(ROOT.parts)] in CODE
        for shown in [printed_lines(path) if path.suffix == ".py" else None]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (shown is None or number in shown) and SPACED.search(line)
    ]
    assert met == []
    prose = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in files()
        if path.suffix == ".md"
        for line in re.sub(r"```.*?```|`[^`]*`", "", path.read_text(), flags=re.S).splitlines()
        if not line.startswith("    ") and re.search(r"[0-9]%", line)
    ]
    assert prose == []
